//! The one table of incidents: kind, message id, severity, headline and runbook.
//!
//! Mails, the incident entries of `systemd/ringcx-rotator.catalog` and the incident chapter of
//! `docs/operating.md` are rendered from it. A test compares both files with the table; with
//! `RINGCX_ROTATOR_TEST_UPDATE=1` it writes them.
//!
//! In the texts `{account}` and `{sink}` stand for the names and `{when}` for the time of the next
//! try. A text between backticks is a command or a word of the policy.

use crate::event::IncidentKind;

mod delivery;
mod login;
mod schedule;
mod token;

/// Everything that is said about one kind of incident.
#[derive(Debug)]
pub struct IncidentInfo {
    /// The kind. Its name is [`IncidentKind::name`].
    pub kind: IncidentKind,
    /// `MESSAGE_ID` of the log line with which such an incident opens. Never changes: operators
    /// have it in their filters.
    pub message_id: &'static str,
    /// How bad it is.
    pub severity: IncidentSeverity,
    /// Who has to do something about it.
    pub remedy: Remedy,
    /// The subject of a mail and of a line in `status`.
    pub headline: &'static str,
    /// What it means and what to do.
    pub runbook: Runbook,
}

/// How bad an incident is for those who use the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IncidentSeverity {
    /// Already repaired, or being repaired: the operator should know of it.
    Info,
    /// Something does not work, and the tokens in use still do.
    Warning,
    /// A token in use no longer works, or rotation has stopped.
    Critical,
}

impl IncidentSeverity {
    /// The word for it in texts and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Who can end an incident. The log line of its opening has level ERROR for an operator, else WARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Trying again does not help: an operator has to change something.
    Operator,
    /// The daemon tries again, and that may be enough.
    Daemon,
}

/// What an operator reads about an incident, in mails, in the documentation and in `journalctl -x`.
#[derive(Debug)]
pub struct Runbook {
    /// What failed, in one or two sentences.
    pub what: &'static str,
    /// What else helps to understand it. Only in the documentation and in `journalctl -x`; may hold
    /// Markdown links.
    pub background: &'static str,
    /// What the daemon does next, where a time is set for it: has `{when}` in it.
    pub retried: &'static str,
    /// What the daemon does next, where no time is set.
    pub not_retried: &'static str,
    /// What an operator can do, in this order.
    pub steps: &'static [&'static str],
}

/// The table, in the order of [`IncidentKind`].
pub const INCIDENTS: [IncidentInfo; 21] = [
    login::REJECTED,
    login::FAILED,
    login::PASSWORD_RESET_REQUIRED,
    delivery::PREFLIGHT_FAILED,
    token::MINT_FAILED,
    token::MINT_UNKNOWN,
    token::MINT_CAPPED,
    token::VERIFY_FAILED,
    delivery::SINK_FAILED,
    delivery::SINK_DRIFTED,
    delivery::NOTIFY_FAILED,
    delivery::ACKNOWLEDGEMENT_LATE,
    token::TOKEN_LOST,
    token::RETIRE_FAILED,
    schedule::ROTATION_OVERDUE,
    schedule::RETIREMENT_OVERDUE,
    schedule::CLOCK_DISAGREES,
    schedule::RELOAD_FAILED,
    token::LIST_DISAGREES,
    token::OVERLAP_CUT,
    schedule::STUCK,
];

// `IncidentKind::info` finds a row by its position, so the build fails where one is out of order.
const _: () = {
    let mut row = 0;
    while row < INCIDENTS.len() {
        assert!(INCIDENTS[row].kind as usize == row);
        row += 1;
    }
};

impl IncidentKind {
    /// Its row of the table.
    pub fn info(self) -> &'static IncidentInfo {
        // A constant has no address, and a reference into the table needs one.
        static TABLE: [IncidentInfo; INCIDENTS.len()] = INCIDENTS;
        &TABLE[self as usize]
    }
}

// Steps that several runbooks share.
const ROTATE: &str = "Then try at once: `ringcx-rotator rotate {account}`";
const PLAN: &str = "See what it waits for: `ringcx-rotator plan {account}`";
const TOKENS: &str =
    "See which tokens there are and who holds them: `ringcx-rotator tokens {account}`";
const ONLINE: &str =
    "Test logins, sinks and mail without changing anything: `ringcx-rotator check --online`";

/// Of incidents for which a next try is always set, except in a journal of an older version.
const NO_TIME_SET: &str = "No time is set for the next try: `ringcx-rotator plan {account}` says \
     what it waits for.";

#[cfg(test)]
mod tests;
