//! A RingCX stand-in on loopback that fails in every way in which the real one may fail.
//!
//! [`Simulator`] answers the calls of RingCX and, on a port of its own, RingEX's login; it keeps a
//! [`Record`] of what really happened, and injects any [`Fault`] into any [`Call`] on request.
//! Beside it stand a webhook [`receiver`] and a [`mailbox`]. What it does not know: how the real
//! server behaves where the public documentation is silent; there it can be set to each behaviour
//! that is possible.
//!
//! Nothing here listens anywhere but on loopback, and nothing of it belongs in a real deployment.

mod admin;
mod answer;
mod api;
mod authority;
pub mod clock;
mod configs;
mod fault;
mod http;
mod listener;
pub mod mailbox;
mod random;
mod rate_limit;
pub mod receiver;
mod record;
mod records;
mod ringex;
mod settings;
mod simulator;
#[cfg(test)]
mod tests;
mod world;

pub use api::PLANTED_SECRETS;
pub use authority::Authority;
pub use configs::{ConfigSpec, ConfigSpecError};
pub use fault::{
    Call, Effect, Fault, FaultSpec, FaultSpecError, RetryAfter, Times, UnknownCall, UnknownFault,
};
pub use listener::{ANY_PORT, StartError};
pub use record::Record;
pub use records::{
    AuthKind, CallRecord, ConfigRecord, DeletedBy, FlowRecord, MintedBy, TokenRecord,
};
pub use ringex::RingexSetup;
pub use settings::{
    AccessTokenForm, ConfigAccess, DateForm, DeleteForm, DeleteUnknown, KeyForm, ListForm,
    MintForm, PenaltyForm, Settings,
};
pub use simulator::{Setup, Simulator, User};
pub use world::OnCall;
