//! `GET /v1/status`: each account's tokens, sinks, incidents and next times.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::routing::get;

use super::{Route, accounts_of};
use crate::daemon::error::RequestError;
use crate::daemon::supervisor::Supervisor;
use crate::daemon::view::StatusView;

/// Path of the request on the control socket.
pub const PATH: &str = "/v1/status";

pub(super) fn route() -> Route {
    (PATH, get(answer))
}

async fn answer(
    State(supervisor): State<Arc<Supervisor>>,
    RawQuery(query): RawQuery,
) -> Result<Json<StatusView>, RequestError> {
    supervisor.status(&accounts_of(query)).await.map(Json)
}
