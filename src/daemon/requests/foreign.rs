//! `GET /v1/foreign/{account}`: the server's tokens that the daemon did not mint, for `adopt`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::get;

use super::{Route, tokens};
use crate::daemon::error::RequestError;
use crate::daemon::supervisor::Supervisor;
use crate::daemon::view::{self, ForeignView};

/// Path of the request for one account, for example `/v1/foreign/ivr`.
pub fn path(account: &str) -> String {
    format!("/v1/foreign/{account}")
}

pub(super) fn route() -> Route {
    ("/v1/foreign/{account}", get(answer))
}

async fn answer(
    State(supervisor): State<Arc<Supervisor>>,
    Path(account): Path<String>,
) -> Result<Json<ForeignView>, RequestError> {
    let listed = tokens::list(&supervisor, &account).await?;
    // Read after the list: a reload may have removed the account meanwhile.
    let policy = supervisor.policy().await;
    let own = policy
        .account(&account)
        .ok_or_else(|| RequestError::Ended(account.clone()))?;
    let snapshot = supervisor.snapshot(&account);
    let view = view::foreign(own, &snapshot.state, &snapshot.sinks, &listed);
    Ok(Json(view))
}
