//! Incidents: what an operator is told, when, and how often. Pure: no I/O, no clock.
//!
//! Conditions are what is wrong right now, derived from an account's state; incidents are what became
//! of them over time. The two are compared as levels, not edges: a condition that is there without an
//! incident opens one, an incident without its condition is over. So nothing is lost in a crash.

use chrono::{DateTime, Utc};

use crate::event::IncidentKind;

/// Something that is wrong right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The account, or [`DAEMON`].
    pub account: String,
    /// What kind of incident it makes.
    pub kind: IncidentKind,
    /// The sink, where it is about one.
    pub sink: Option<String>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// How often it was seen in a row.
    pub count: u32,
    /// The cause in words, without secrets: the last error.
    pub cause: String,
    /// When the daemon tries again by itself; `None`: not before someone acts.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// What still works, in a sentence: "the previous token stays valid; IVR flows are not affected".
    pub still_works: String,
}

/// Stands where an account's name would, for what concerns the daemon as a whole.
pub const DAEMON: &str = "@daemon";

mod conditions;
pub use conditions::conditions;
