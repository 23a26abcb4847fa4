//! `POST /v1/adopt`: puts foreign tokens under the policy, or leaves them alone again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::post;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Route;
use crate::daemon::error::RequestError;
use crate::daemon::supervisor::Supervisor;
use crate::daemon::worker::AfterCall;
use crate::reconcile::Adopt;
use rotator_core::secret::Fingerprint;

/// Path of the request on the control socket.
pub const PATH: &str = "/v1/adopt";

/// The body of the request.
#[derive(Debug, Serialize, Deserialize)]
pub struct AdoptRequest {
    /// The account whose tokens they are.
    pub account: String,
    /// The foreign tokens to put under the policy, each with the files to search for it before it
    /// is deleted.
    #[serde(default)]
    pub take: BTreeMap<Fingerprint, BTreeSet<String>>,
    /// The tokens to leave alone again.
    #[serde(default)]
    pub leave: BTreeSet<Fingerprint>,
}

impl AdoptRequest {
    /// What the reconciler has to do, one by one.
    pub fn actions(self) -> Vec<Adopt> {
        let take = self.take.into_iter();
        let take = take.map(|(fingerprint, files)| Adopt::Take { fingerprint, files });
        let leave = self.leave.into_iter();
        take.chain(leave.map(|fingerprint| Adopt::Leave { fingerprint }))
            .collect()
    }
}

pub(super) fn route() -> Route {
    (PATH, post(answer))
}

async fn answer(
    State(supervisor): State<Arc<Supervisor>>,
    Json(request): Json<AdoptRequest>,
) -> Result<Json<Value>, RequestError> {
    let account = request.account.clone();
    let actions = request.actions();
    // An adopted token may be due for deletion; the pass afterwards finds out.
    let adopted = supervisor.call(&account, AfterCall::Pass, |reconciler, stop| {
        reconciler.adopt(actions, stop).boxed()
    });
    adopted.await??;
    Ok(Json(json!({ "adopted": true })))
}
