//! `POST /v1/reload`: reads the policy again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;

use super::{ErrorBody, PolicyFault, Route};
use crate::daemon::error::ReloadError;
use crate::daemon::supervisor::Supervisor;
use rotator_policy::{Color, Diagnostic};

/// Path of the request on the control socket.
pub const PATH: &str = "/v1/reload";

pub(super) fn route() -> Route {
    (PATH, post(answer))
}

async fn answer(State(supervisor): State<Arc<Supervisor>>) -> Response {
    match supervisor.reload().await {
        Ok(()) => Json(json!({ "reloaded": true })).into_response(),
        Err(error) => {
            let body = ErrorBody {
                error: error.to_string(),
                faults: faults(&error),
            };
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
    }
}

fn faults(error: &ReloadError) -> Vec<PolicyFault> {
    let render = |diagnostic: &Diagnostic| PolicyFault {
        // Without colors: only the command knows whether its terminal shows them.
        rendered: diagnostic.render(Color::Never, None),
    };
    match error {
        ReloadError::Policy(errors) => errors.diagnostics().iter().map(render).collect(),
        ReloadError::Start(_) => Vec::new(),
    }
}
