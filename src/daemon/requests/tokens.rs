//! `GET /v1/tokens/{account}`: the server's tokens joined with the journal.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::get;
use futures_util::FutureExt;

use super::Route;
use crate::daemon::error::RequestError;
use crate::daemon::supervisor::Supervisor;
use crate::daemon::view::{self, TokensView};
use crate::daemon::worker::AfterCall;
use crate::reconcile::ListedToken;

/// Path of the request for one account, for example `/v1/tokens/ivr`.
pub fn path(account: &str) -> String {
    format!("/v1/tokens/{account}")
}

pub(super) fn route() -> Route {
    ("/v1/tokens/{account}", get(answer))
}

async fn answer(
    State(supervisor): State<Arc<Supervisor>>,
    Path(account): Path<String>,
) -> Result<Json<TokensView>, RequestError> {
    let listed = list(&supervisor, &account).await?;
    // Taken after the list, which may have changed the account's state.
    let snapshot = supervisor.snapshot(&account);
    let view = view::tokens(&account, &snapshot.state, &snapshot.sinks, &listed);
    Ok(Json(view))
}

/// Asks RingCX for the tokens of an account.
pub(super) async fn list(
    supervisor: &Supervisor,
    account: &str,
) -> Result<Vec<ListedToken>, RequestError> {
    let listed = supervisor.call(account, AfterCall::Rest, |reconciler, stop| {
        reconciler.list_tokens(stop).boxed()
    });
    Ok(listed.await??)
}
