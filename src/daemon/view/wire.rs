//! The words of the views, as enums.
//!
//! A command may be older than the daemon it asks, for example right after an upgrade. So each enum
//! has a last variant for a word that it does not know: such a word is shown, and printed again as
//! JSON, as it came.

use std::fmt::{self, Display, Formatter};

use rotator_core::account::Stage;
use rotator_core::plan::Action;
use serde::{Deserialize, Serialize};

/// How an account is: `state` of an account in `status --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountHealth {
    /// Nothing is wrong and nothing is under way.
    Ok,
    /// A token is on its way.
    Rotating,
    /// Something fails and is tried again by itself.
    Failing,
    /// Something waits for an operator, or the account is not in the policy.
    Parked,
    /// A word of a newer daemon.
    #[serde(untagged)]
    Other(String),
}

/// How a sink is: `state` of a sink in `status --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SinkHealth {
    /// It holds the token that it should hold.
    Serving,
    /// It took the token that it should hold, and cannot be read back.
    Delivered,
    /// It holds an older token, or none.
    Stale,
    /// Its last delivery or proof failed.
    Failing,
    /// What it holds is not known.
    Unknown,
    /// A word of a newer daemon.
    #[serde(untagged)]
    Other(String),
}

/// What a token is: `stage` in `tokens --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenStage {
    /// Ours, on its way to become current.
    Pending,
    /// Ours, the one that every sink should hold.
    Current,
    /// Ours, superseded, and kept until its overlap and age are over.
    Previous,
    /// Ours, and deleted from the server.
    Retired,
    /// Ours, and found not to work any more.
    Lost,
    /// Not in the journal.
    Foreign,
    /// A word of a newer daemon.
    #[serde(untagged)]
    Other(String),
}

/// What would be done: `action` in `plan --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// A new token is minted.
    Mint,
    /// A mint without an answer is looked into.
    ResolveMint,
    /// A new token is used for a call.
    Verify,
    /// A token is written to a sink.
    Deliver,
    /// A sink is read, and what it holds is used for a call.
    Prove,
    /// The consumer of a sink is notified.
    Notify,
    /// The pending token becomes the current one.
    Promote,
    /// An old token is deleted.
    Delete,
    /// A word of a newer daemon.
    #[serde(untagged)]
    Other(String),
}

/// What came of a rotation: `outcome` in `rotate --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RotationStatus {
    /// A new token is current.
    Promoted,
    /// The first try failed; it is tried again.
    Failing,
    /// It was asked for, and the command did not wait.
    Asked,
    /// A word of a newer daemon.
    #[serde(untagged)]
    Other(String),
}

impl From<Stage> for TokenStage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Pending => Self::Pending,
            Stage::Current => Self::Current,
            Stage::Previous => Self::Previous,
            Stage::Retired => Self::Retired,
            Stage::Lost => Self::Lost,
        }
    }
}

impl From<Action> for StepKind {
    fn from(action: Action) -> Self {
        match action {
            Action::Mint => Self::Mint,
            Action::ResolveMint => Self::ResolveMint,
            Action::Verify => Self::Verify,
            Action::Deliver => Self::Deliver,
            Action::Prove => Self::Prove,
            Action::Notify => Self::Notify,
            Action::Promote => Self::Promote,
            Action::Delete => Self::Delete,
        }
    }
}

impl Display for AccountHealth {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // `pad` keeps to the width that a table asks for; `write_str` would not.
        f.pad(match self {
            Self::Ok => "ok",
            Self::Rotating => "rotating",
            Self::Failing => "failing",
            Self::Parked => "parked",
            Self::Other(word) => word,
        })
    }
}

impl Display for SinkHealth {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Serving => "serving",
            Self::Delivered => "delivered",
            Self::Stale => "stale",
            Self::Failing => "failing",
            Self::Unknown => "unknown",
            Self::Other(word) => word,
        })
    }
}

impl Display for TokenStage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Retired => "retired",
            Self::Lost => "lost",
            Self::Foreign => "foreign",
            Self::Other(word) => word,
        })
    }
}

impl Display for StepKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mint => "mint",
            Self::ResolveMint => "resolve-mint",
            Self::Verify => "verify",
            Self::Deliver => "deliver",
            Self::Prove => "prove",
            Self::Notify => "notify",
            Self::Promote => "promote",
            Self::Delete => "delete",
            Self::Other(word) => word,
        })
    }
}
