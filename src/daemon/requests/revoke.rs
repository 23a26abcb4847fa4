//! `POST /v1/revoke`: deletes one token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::post;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};

use super::Route;
use crate::daemon::error::RequestError;
use crate::daemon::supervisor::Supervisor;
use crate::daemon::worker::AfterCall;
use rotator_core::secret::Fingerprint;

/// Path of the request on the control socket.
pub const PATH: &str = "/v1/revoke";

/// The body of the request.
#[derive(Debug, Serialize, Deserialize)]
pub struct RevokeRequest {
    /// The account whose token it is.
    pub account: String,
    /// The fingerprint, or the beginning of it.
    pub fingerprint: String,
}

/// The answer to a token that was deleted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Revoked {
    /// The whole fingerprint of the token that was deleted.
    pub fingerprint: Fingerprint,
}

pub(super) fn route() -> Route {
    (PATH, post(answer))
}

async fn answer(
    State(supervisor): State<Arc<Supervisor>>,
    Json(request): Json<RevokeRequest>,
) -> Result<Json<Revoked>, RequestError> {
    let RevokeRequest {
        account,
        fingerprint,
    } = request;
    // The deletion changes what is due next.
    let revoked = supervisor.call(&account, AfterCall::Pass, |reconciler, stop| {
        async move { reconciler.revoke(&fingerprint, stop).await }.boxed()
    });
    let fingerprint = revoked.await??;
    Ok(Json(Revoked { fingerprint }))
}
