//! Works on one account: observe, plan, act, until nothing is left to do.
//!
//! A pass asks [`rotator_core::plan`] for the next step, performs it, and appends what came of it
//! to the journal as events. The only module that knows the plan, the API, the sinks and the
//! journal. It alone waits and gives up; what is retried, and when, is in the events it appends.
//! It does not know why it was woken.
//!
//! Start reading at [`Reconciler::pass`]; then `act/mint.rs` shows how a step is performed. The
//! struct and what its fields are for is in `state.rs`.

mod act;
mod adopt;
mod caller;
mod configs;
pub(crate) mod event_history;
mod interrupt;
mod limits;
mod list;
mod log;
mod login;
mod observe;
mod pass;
mod peers;
mod record;
mod revoke;
mod ringex_limits;
mod server_clock;
mod session;
mod state;
mod token_exchange;

pub use adopt::{Adopt, AdoptError};
pub use configs::{ConfigsOfAccount, ListedConfig};
pub use event_history::{Compacted, EventHistory, HistoryError, Recorded, history, load_state};
pub use list::{ListError, ListedToken};
pub use login::{RefusedBy, explain};
pub use observe::{look_at, look_at_siblings};
pub use pass::{PassOutcome, PassReport};
pub use revoke::RevokeError;
pub use ringex_limits::RingexRateLimiter;
pub use session::Access;
pub use state::{AccountConfig, Observer, Reconciler};
pub use token_exchange::TokenExchange;
