//! What commands show, as data: the JSON of `status`, `plan`, `tokens`, `adopt` and `auth-configs`.
//!
//! Built from an account's policy, state and incidents, by the daemon or by a command that reads
//! the journal itself. Nothing secret can get in: there are fingerprints only.
//!
//! A state is an enum here and in the commands, for example [`SinkHealth::Serving`] for
//! `"state": "serving"`. See `view/wire.rs` for states that this version does not know.

use std::collections::BTreeMap;

use rotator_core::plan::evidence::SinkContent;

mod auth_configs;
mod plan;
mod status;
mod tokens;
mod wire;

pub use auth_configs::{AuthConfigView, AuthConfigsView, RingcxAccountView, auth_configs};
pub use plan::{AccountPlanView, PlanView, StepView, WaitingView, plan, why_not_done};
pub use status::{
    AccountView, DaemonView, GenerationView, SinkView, StatusView, account, unmanaged,
};
pub use tokens::{ForeignTokenView, ForeignView, TokenView, TokensView, foreign, tokens};
pub use wire::{AccountHealth, RotationStatus, SinkHealth, StepKind, TokenStage};

/// What each sink was last seen to hold, by its name.
pub type HeldBySink = BTreeMap<String, SinkContent>;

#[cfg(test)]
mod tests;
