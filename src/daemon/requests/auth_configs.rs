//! `GET /v1/auth-configs/{account}`: the external auth configs that an account's login can see.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::get;
use futures_util::FutureExt;

use super::Route;
use crate::daemon::error::RequestError;
use crate::daemon::supervisor::Supervisor;
use crate::daemon::view::{self, AuthConfigsView};
use crate::daemon::worker::AfterCall;

/// Path of the request for one account, for example `/v1/auth-configs/ivr`.
pub fn path(account: &str) -> String {
    format!("/v1/auth-configs/{account}")
}

pub(super) fn route() -> Route {
    ("/v1/auth-configs/{account}", get(answer))
}

async fn answer(
    State(supervisor): State<Arc<Supervisor>>,
    Path(account): Path<String>,
) -> Result<Json<AuthConfigsView>, RequestError> {
    let listed = supervisor.call(&account, AfterCall::Rest, |reconciler, stop| {
        reconciler.list_auth_configs(stop).boxed()
    });
    let listed = listed.await??;
    // A reload may have removed the account meanwhile.
    let policy = supervisor.policy().await;
    let own = policy
        .account(&account)
        .ok_or(RequestError::Ended(account))?;
    Ok(Json(view::auth_configs(own, listed)))
}
