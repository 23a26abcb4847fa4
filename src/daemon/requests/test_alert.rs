//! `POST /v1/test-alert`: sends a test mail.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;

use super::{Route, refuse};
use crate::daemon::supervisor::Supervisor;

/// Path of the request on the control socket.
pub const PATH: &str = "/v1/test-alert";

pub(super) fn route() -> Route {
    (PATH, post(answer))
}

async fn answer(State(supervisor): State<Arc<Supervisor>>) -> Response {
    if supervisor.policy().await.alerts.email.is_none() {
        let error = "the policy has no [alerts.email]: there is nowhere to send a mail to";
        return refuse(StatusCode::CONFLICT, error.to_owned());
    }
    match supervisor.alerts().test_mail().await {
        Ok(receipt) => match receipt.complaint() {
            None => Json(json!({ "sent": true })).into_response(),
            Some(error) => refuse(StatusCode::BAD_GATEWAY, error),
        },
        Err(error) => refuse(StatusCode::BAD_GATEWAY, error.to_string()),
    }
}
