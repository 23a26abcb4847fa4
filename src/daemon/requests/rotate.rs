//! `POST /v1/rotate`: rotates accounts now.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::post;
use serde::{Deserialize, Serialize};

use super::Route;
use crate::clock::monotonic;
use crate::daemon::error::RequestError;
use crate::daemon::supervisor::Supervisor;
use crate::daemon::view::RotationStatus;
use crate::daemon::worker::RotationResult;
use rotator_core::event::GenerationNo;

/// Path of the request on the control socket.
pub const PATH: &str = "/v1/rotate";

/// The body of the request.
#[derive(Debug, Serialize, Deserialize)]
pub struct RotateRequest {
    /// Accounts to rotate; empty means all.
    pub accounts: Vec<String>,
    /// Whether the answer waits for the result of the first try.
    pub wait: bool,
}

/// The answer for one account.
#[derive(Debug, Serialize, Deserialize)]
pub struct RotateOutcome {
    /// Name of the account, as in the policy.
    pub account: String,
    /// What came of the first try, for example `promoted`.
    pub outcome: RotationStatus,
    /// The current generation, if the rotation is done.
    pub generation: Option<GenerationNo>,
    /// Why the first try failed, for an operator.
    pub error: Option<String>,
}

pub(super) fn route() -> Route {
    (PATH, post(answer))
}

async fn answer(
    State(supervisor): State<Arc<Supervisor>>,
    Json(RotateRequest { accounts, wait }): Json<RotateRequest>,
) -> Result<Json<Vec<RotateOutcome>>, RequestError> {
    // Before anything is waited for: with a rotation that is under way now it is one.
    let asked = monotonic();
    let known = supervisor.account_names().await;
    let accounts = if accounts.is_empty() {
        known.clone()
    } else {
        accounts
    };
    if wait {
        return Ok(Json(outcomes(supervisor.rotate(&accounts, asked).await?)));
    }
    // Checked now, because an error of the task below reaches only the log.
    if let Some(name) = accounts.iter().find(|name| !known.contains(name)) {
        let name = name.clone();
        return Err(RequestError::NoAccount { name, known });
    }
    let orders = accounts.iter().map(|account| RotateOutcome {
        account: account.clone(),
        outcome: RotationStatus::Asked,
        generation: None,
        error: None,
    });
    let answer = orders.collect();
    // The answer does not wait for this, and a client that goes away does not cancel it.
    tokio::spawn(async move {
        if let Err(error) = supervisor.rotate(&accounts, asked).await {
            tracing::warn!(
                name: "rotation-not-done",
                %error,
                "Rotation that was asked for is not done"
            );
        }
    });
    Ok(Json(answer))
}

/// The results as the answer shows them.
pub fn outcomes(results: Vec<(String, RotationResult)>) -> Vec<RotateOutcome> {
    let outcome = |(account, result)| {
        let (outcome, generation, error) = match result {
            RotationResult::Promoted(generation) => {
                (RotationStatus::Promoted, Some(generation), None)
            }
            RotationResult::Failing(error) => (RotationStatus::Failing, None, Some(error)),
        };
        RotateOutcome {
            account,
            outcome,
            generation,
            error,
        }
    };
    results.into_iter().map(outcome).collect()
}
