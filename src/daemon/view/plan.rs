//! `plan --json`: what would be done now, and what is waited for.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::StepKind;
use super::status::last_error;
use rotator_core::account::AccountState;
use rotator_core::plan::Decision;

/// The answer of `plan --json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanView {
    /// One plan for each account.
    pub accounts: Vec<AccountPlanView>,
}

/// What would be done for one account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccountPlanView {
    /// Name of the account, as in the policy.
    pub name: String,
    /// What would be done now, in order.
    pub steps: Vec<StepView>,
    /// What is waited for.
    pub waiting: Vec<WaitingView>,
    /// What an operator should know though nothing is wrong.
    #[serde(default)]
    pub notices: Vec<String>,
}

/// One step, for example a delivery to a sink.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepView {
    /// What would be done.
    pub action: StepKind,
    /// What it is done to: a sink's name, or the beginning of a token's fingerprint.
    pub target: Option<String>,
    /// Why, as a text for an operator.
    pub because: String,
}

/// One thing that is waited for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WaitingView {
    /// The event that it takes, as a text.
    #[serde(rename = "for")]
    pub what: String,
    /// When the wait is over; none where that is not known.
    pub until: Option<DateTime<Utc>>,
}

/// What is planned for one account.
pub fn plan(name: &str, decision: &Decision) -> AccountPlanView {
    AccountPlanView {
        name: name.to_owned(),
        steps: decision
            .steps
            .iter()
            .map(|step| StepView {
                action: step.action.into(),
                target: step.target.clone(),
                because: step.because.to_string(),
            })
            .collect(),
        waiting: decision
            .waiting
            .iter()
            .map(|waiting| WaitingView {
                what: waiting.what.to_string(),
                until: waiting.until,
            })
            .collect(),
        notices: decision.notices.iter().map(ToString::to_string).collect(),
    }
}

/// Why a rotation that was asked for is not done.
pub fn why_not_done(state: &AccountState, decision: &Decision) -> String {
    // A failure says more than the wait that it caused.
    if let Some(error) = last_error(state) {
        return error;
    }
    match decision.waiting.first() {
        Some(waiting) => format!("waiting for {}", waiting.what),
        None => "the daemon was stopped meanwhile".to_owned(),
    }
}
