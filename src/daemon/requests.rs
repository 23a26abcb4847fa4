//! What can be asked of the running daemon: each request in a file of its own, with its path, its
//! JSON and its handler.
//!
//! To add one, write its file, declare it here and put it into [`routes`]; `CONTRIBUTING.md` says
//! what is frozen about them.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::error::RequestError;
use super::supervisor::Supervisor;
use crate::reconcile::RevokeError;

pub mod adopt;
pub mod auth_configs;
pub mod foreign;
pub mod history;
pub mod plan;
pub mod reload;
pub mod revoke;
pub mod rotate;
pub mod status;
pub mod test_alert;
pub mod tokens;

/// Method and handler of a request, and its path.
type Route = (&'static str, MethodRouter<Arc<Supervisor>>);

/// The requests of the API, each at its path.
pub(super) fn routes() -> Router<Arc<Supervisor>> {
    let routes = [
        adopt::route(),
        auth_configs::route(),
        foreign::route(),
        history::route(),
        plan::route(),
        reload::route(),
        revoke::route(),
        rotate::route(),
        status::route(),
        test_alert::route(),
        tokens::route(),
    ];
    let add = |router: Router<_>, (path, handler): Route| router.route(path, handler);
    routes.into_iter().fold(Router::new(), add)
}

/// The answer to a request that was not done.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Why, as a message for people.
    pub error: String,
    /// The errors of a policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<PolicyFault>,
}

/// One error of a policy.
#[derive(Debug, Serialize, Deserialize)]
pub struct PolicyFault {
    /// The message with the lines of the policy that it is about, for a terminal.
    pub rendered: String,
}

pub(super) fn refuse(status: StatusCode, error: String) -> Response {
    let body = ErrorBody {
        error,
        faults: Vec::new(),
    };
    (status, Json(body)).into_response()
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoAccount { .. } | Self::Revoke(RevokeError::NoMatch { .. }) => {
                StatusCode::NOT_FOUND
            }
            Self::Ended(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Revoke(_) | Self::List(_) | Self::Adopt(_) => StatusCode::CONFLICT,
            Self::History(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        refuse(status, self.to_string())
    }
}

/// The accounts that a query names: `?account=a&account=b`. None means all.
fn accounts_of(query: Option<String>) -> Vec<String> {
    let query = query.unwrap_or_default();
    // Not the `Query` of axum, which cannot collect a repeated key into a list.
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs
        .filter(|(key, _)| key == "account")
        .map(|(_, value)| value.into_owned())
        .collect()
}
