//! `GET /v1/plan`: what would be done now and why, and what is waited for.

use std::future::ready;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::routing::get;
use futures_util::FutureExt;

use super::{Route, accounts_of};
use crate::daemon::error::RequestError;
use crate::daemon::supervisor::Supervisor;
use crate::daemon::view::{self, PlanView};
use crate::daemon::worker::AfterCall;

/// Path of the request on the control socket.
pub const PATH: &str = "/v1/plan";

pub(super) fn route() -> Route {
    (PATH, get(answer))
}

async fn answer(
    State(supervisor): State<Arc<Supervisor>>,
    RawQuery(query): RawQuery,
) -> Result<Json<PlanView>, RequestError> {
    let mut accounts = Vec::new();
    for name in supervisor.select(&accounts_of(query)).await? {
        // In the task of the account, which has what was last seen of server and sinks.
        let decision = supervisor.call(&name, AfterCall::Rest, |reconciler, _stop| {
            ready(reconciler.decide()).boxed()
        });
        accounts.push(view::plan(&name, &decision.await?));
    }
    Ok(Json(PlanView { accounts }))
}
