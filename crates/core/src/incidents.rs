//! Incidents: what operators are notified of, when, and how often. Pure: no I/O, no clock.
//!
//! Conditions are what is wrong right now, derived from an account's state; incidents are what
//! became of them over time. The two are compared as levels, not edges: a condition that is there
//! without an incident opens one, an incident without its condition is over. So nothing is lost in
//! a crash.
//!
//! ```text
//!  conditions ─▶ assess(policy, state, …, now) ─▶ AlertEvents ─▶ journal ─▶ AlertState
//!                                                                             │ outbox
//!                                                            mail ◀───────────┘
//! ```
//!
//! Mail is one more consequence of the state: an incident without a mail owes one, and a mail waits
//! in the outbox until a server took it. Sending it is not done here.
//!
//! What is said about each kind of incident is in one table, [`INCIDENTS`].

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::IncidentKind;

mod assess;
mod conditions;
mod event;
mod state;
mod table;
mod text;

pub use assess::{FailedTry, Flush, MailTry, NextMail, assess, mail_tried, next_due};
pub use conditions::conditions;
pub use event::{AlertEvent, Announce, Mail, Notice, NoticeKind, Resolution, Scope, Unreadable};
pub use state::{AlertState, OpenIncident, ResolvedIncident, Unsent};
pub use table::{INCIDENTS, IncidentInfo, IncidentSeverity, Remedy, Runbook};
pub use text::{one_line, test_mail};

/// Something that is wrong right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The account, or [`DAEMON`].
    pub account: String,
    /// What kind of incident it makes.
    pub kind: IncidentKind,
    /// The sink, where it is about one.
    pub sink: Option<String>,
    /// Since when it is wrong, not since when it was found.
    pub since: DateTime<Utc>,
    /// How often it was seen in a row.
    pub count: u32,
    /// The last error as text, without secrets.
    pub cause: String,
    /// When the daemon tries again by itself; `None`: not before someone acts.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// What still works, in a sentence: "the previous token stays valid; IVR flows are not
    /// affected".
    pub still_works: String,
}

impl Condition {
    /// The incident it makes.
    pub fn key(&self) -> IncidentKey {
        IncidentKey {
            account: self.account.clone(),
            kind: self.kind,
            sink: self.sink.clone(),
        }
    }
}

/// Stands where an account's name would, for what concerns the daemon as a whole.
pub const DAEMON: &str = "@daemon";

/// What is wrong with each account, by name. An account that is not in it has not been looked at
/// since the start, which is not the same as being well.
pub type Conditions = BTreeMap<String, Vec<Condition>>;

/// Names one incident, for example `sales-ivr/sink-failed/crm`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentKey {
    /// The account, or [`DAEMON`].
    pub account: String,
    /// The kind of incident, such as `sink-failed`.
    pub kind: IncidentKind,
    /// The sink, where it is about one.
    pub sink: Option<String>,
}

impl fmt::Display for IncidentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.kind)?;
        self.sink
            .as_ref()
            .map_or(Ok(()), |sink| write!(f, "/{sink}"))
    }
}

/// A text that is not the key of an incident.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no incident: they look like `account/kind` or `account/kind/sink`")]
pub struct UnknownIncident(String);

impl FromStr for IncidentKey {
    type Err = UnknownIncident;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownIncident(text.to_owned());
        let mut parts = text.splitn(3, '/');
        let (account, kind) = parts.next().zip(parts.next()).ok_or_else(unknown)?;
        let kind: Result<_, serde::de::value::Error> =
            IncidentKind::deserialize(kind.into_deserializer());
        // Serde's message would list every kind; ours says how a key looks.
        let kind = kind.map_err(|_| unknown())?;
        Ok(Self {
            account: account.to_owned(),
            kind,
            sink: parts.next().map(str::to_owned),
        })
    }
}

impl Serialize for IncidentKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // As one text, because it is the key of JSON maps in checkpoints.
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IncidentKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// An open incident as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Account, kind and sink.
    pub key: IncidentKey,
    /// What went wrong; the same as in the key, for those who read JSON.
    pub kind: IncidentKind,
    /// Since when it is wrong, not since when it was found.
    pub since: DateTime<Utc>,
    /// How often it was seen in a row.
    pub count: u32,
    /// What failed and why, on one line.
    pub summary: String,
}

#[cfg(test)]
mod tests;
