//! What the `@alerts` stream holds: incidents that open and end, and mails on their way.
//!
//! A mail is kept as it will be sent, to the letter, so that a restart sends the same one under the
//! same Message-ID. As with account events, a variant that is in somebody's journal is never
//! renamed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::IncidentKey;
use crate::journal::checkpoint::FormError;
use crate::journal::{Entry, Row};
use crate::secret::SecretTag;

/// One thing that happened to an incident or a mail, at the time its journal row says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AlertEvent {
    /// A condition appeared for which no incident was open.
    IncidentOpened {
        /// Key of the incident.
        incident: IncidentKey,
        /// Since when it is wrong.
        since: DateTime<Utc>,
        /// How often it was seen in a row.
        count: u32,
        /// The cause as text, without secrets.
        cause: String,
        /// When the daemon tries again by itself.
        next_attempt_at: Option<DateTime<Utc>>,
        /// What still works, in a sentence for the operator.
        still_works: String,
    },
    /// The condition is gone.
    IncidentResolved {
        /// Key of the incident.
        incident: IncidentKey,
        /// Whether it works again, or its account left the policy.
        over: Resolution,
        /// Whether anyone is to be told.
        announce: Announce,
    },
    /// A mail is ready to be sent.
    MailQueued {
        /// As it will be sent.
        mail: Mail,
        /// The incidents it is about, and what is new about each.
        notices: Vec<Notice>,
    },
    /// The server took the mail.
    MailSent {
        /// Id of the mail.
        mail: u64,
        /// Recipients that the server refused, at any try, with what it said.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        refused: Vec<String>,
    },
    /// The mail was not taken for everyone; it stays in the outbox for the others.
    MailFailed {
        /// Id of the mail.
        mail: u64,
        /// The error as text, without secrets.
        error: String,
        /// Whether only this mail failed, or the server for all mails.
        scope: Scope,
        /// How many times in a row, this one included.
        failures: u32,
        /// It is not sent again before then.
        next_attempt_at: DateTime<Utc>,
        /// Addresses that it is not sent to again: the server took it for them, or refused them
        /// for good.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        settled: Vec<String>,
        /// Those of them that it refused, with what it said.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        refused: Vec<String>,
        /// Where the server rejected user and password: the tag of the password.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rejected: Option<SecretTag>,
    },
    /// The mail is given up: every recipient was refused for good, or the server has not taken it
    /// for so long.
    MailDropped {
        /// Id of the mail.
        mail: u64,
        /// What the server said last.
        error: String,
    },
    /// The mail settings changed, or mail works again: what waited for its next try may be sent at
    /// once.
    MailHoldsLifted,
}

/// How an incident ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// What was wrong works again.
    Gone,
    /// The account is no longer in the policy.
    Unmanaged,
}

/// Whether the end of an incident is mailed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Announce {
    /// A mail tells of the end.
    Mail,
    /// The policy wants no such mail.
    Nobody,
}

/// Whom a failed mail concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The server did not work, or refused us: every mail waits.
    Server,
    /// The server refused this mail for good: the others go past it.
    Mail,
}

/// What a mail tells about one incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Key of the incident.
    pub incident: IncidentKey,
    /// What the mail says of the incident.
    pub news: NoticeKind,
}

/// What is new about an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// The incident opened.
    Opened,
    /// It is open still, `repeat-after` later.
    StillOpen,
    /// The incident is over, and its opening was mailed.
    Resolved,
    /// It opened and ended before anyone was told.
    Passed,
}

/// A mail as it will be sent. Sender and recipients are those of the policy at that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Counts the mails from 1.
    pub id: u64,
    /// With its angle brackets. The same for every try.
    pub message_id: String,
    /// The Message-ID of the first mail about the same incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<String>,
    /// When it was written.
    pub written_at: DateTime<Utc>,
    /// What it is about, where that is one incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<IncidentKey>,
    /// One line, such as `[ringcx-rotator] sales-ivr: sink crm failed (FIRING)`.
    pub subject: String,
    /// Plain text, at most 76 columns wide.
    pub body: String,
}

/// The stream of the alerts holds something that this version does not know.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A row that does not hold an alert event.
    #[error("row {seq} of the alerts is not one this version knows: {source}")]
    Row {
        /// Number of the row in its stream.
        seq: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// What stands in for its oldest rows.
    #[error("the checkpoint of rows 1 to {seq} of the alerts {source}")]
    Checkpoint {
        /// The last row it stands for.
        seq: u64,
        /// What is wrong with it.
        source: FormError,
    },
}

impl AlertEvent {
    /// The journal entry: the kind beside the body, not in it.
    pub fn to_entry(&self, at: DateTime<Utc>) -> Entry {
        let mut body = serde_json::to_value(self).expect("an alert event is plain data");
        // The journal has a column of its own for the kind, so the body does not repeat it.
        let kind = body.as_object_mut().and_then(|body| body.remove("kind"));
        let kind = kind
            .as_ref()
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        Entry {
            at,
            kind,
            body: body.to_string(),
        }
    }

    /// The event of a journal row.
    pub fn from_row(row: &Row) -> Result<Self, Unreadable> {
        let unreadable = |source| Unreadable::Row {
            seq: row.seq,
            source,
        };
        let mut body: Map<String, Value> =
            serde_json::from_str(&row.entry.body).map_err(unreadable)?;
        // Back to where serde's tag expects it; see `to_entry`.
        body.insert("kind".to_owned(), Value::String(row.entry.kind.clone()));
        serde_json::from_value(Value::Object(body)).map_err(unreadable)
    }
}
