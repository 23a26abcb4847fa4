//! What the alert task logs: incidents that open and end, and what became of mails.

use chrono::{DateTime, Utc};
use tracing::{error, info, warn};

use rotator_core::event::IncidentKind;
use rotator_core::incidents::{AlertEvent, AlertState, IncidentKey, Remedy, Resolution};
use rotator_core::journal::{ALERTS, JournalError};

/// One line for each event that was journaled. `before` is the state without it.
pub(super) fn event(event: &AlertEvent, before: &AlertState) {
    match event {
        AlertEvent::IncidentOpened {
            incident,
            cause,
            next_attempt_at,
            ..
        } => opened(incident, cause, *next_attempt_at),
        AlertEvent::IncidentResolved { incident, over, .. } => resolved(incident, *over),
        // Each follows from something that is logged already: an incident, or a reload.
        AlertEvent::MailQueued { .. } | AlertEvent::MailHoldsLifted => {}
        AlertEvent::MailSent { mail, refused } => {
            info!(name: "mail-sent", subject = subject(before, *mail), "Mail sent");
            // Of earlier tries too: each has its line once it is final.
            let known = before.outbox.iter().find(|unsent| unsent.mail.id == *mail);
            let known = known.map_or(0, |unsent| unsent.refused.len());
            for recipient in refused.iter().skip(known) {
                warn!(name: "mail-recipient-refused", recipient,
                    "Mail not taken for one recipient");
            }
        }
        AlertEvent::MailFailed {
            mail,
            error,
            failures,
            next_attempt_at,
            refused,
            ..
        } => {
            for recipient in refused {
                warn!(name: "mail-recipient-refused", recipient,
                    "Mail not taken for one recipient");
            }
            let (subject, next_attempt_at) = (subject(before, *mail), next_attempt_at.to_rfc3339());
            warn!(name: "mail-failed", subject, error, failures, next_attempt_at, "Mail not sent");
        }
        AlertEvent::MailDropped { mail, error } => {
            error!(name: "mail-dropped", subject = subject(before, *mail), error, "Mail given up");
        }
    }
}

/// An error where an operator has to act, a warning where the daemon tries again.
fn opened(incident: &IncidentKey, cause: &str, next_attempt_at: Option<DateTime<Utc>>) {
    let (account, kind) = (incident.account.as_str(), incident.kind);
    let sink = incident.sink.as_deref();
    let next = next_attempt_at.map(|at| at.to_rfc3339());
    let next_attempt_at = next.as_deref();
    let remedy = match kind.info().remedy {
        // No time is set for a drift because the pass that finds it also repairs it. Where any
        // other kind has none, nothing is tried before an operator acts.
        Remedy::Daemon if next.is_none() && kind != IncidentKind::SinkDrifted => Remedy::Operator,
        remedy @ (Remedy::Daemon | Remedy::Operator) => remedy,
    };
    match remedy {
        Remedy::Operator => {
            error!(name: "incident-opened", account, %kind, sink, %incident, cause,
                next_attempt_at, "Incident opened");
        }
        Remedy::Daemon => {
            warn!(name: "incident-opened", account, %kind, sink, %incident, cause,
                next_attempt_at, "Incident opened");
        }
    }
}

fn resolved(incident: &IncidentKey, over: Resolution) {
    let (account, kind) = (incident.account.as_str(), incident.kind);
    let sink = incident.sink.as_deref();
    match over {
        Resolution::Gone => {
            info!(name: "incident-resolved", account, %kind, sink, %incident, "Incident resolved");
        }
        Resolution::Unmanaged => {
            info!(name: "incident-closed", account, %kind, sink, %incident,
                "Incident closed, the account is no longer managed");
        }
    }
}

pub(super) fn resumed(state: &AlertState) {
    let (open, unsent) = (state.open.len(), state.outbox.len());
    // A start with nothing to take over is the usual case, and not worth a line.
    if open + unsent > 0 {
        info!(name: "alerts-resumed", open, unsent, "Incidents and mails taken over from before");
    }
}

pub(super) fn journal_refuses(error: &JournalError) {
    error!(name: "alerts-not-journaled", %error,
        "Alerts cannot be journaled, so none is mailed; trying again");
}

pub(super) fn journal_works() {
    info!(name: "alerts-journaled", "Alerts are journaled again");
}

pub(super) fn compacted(rows: usize, upto: u64) {
    info!(name: "history-compacted", stream = ALERTS, rows, upto, "Oldest history compacted");
}

pub(super) fn not_compacted(error: &JournalError) {
    warn!(name: "history-not-compacted", stream = ALERTS, %error,
        "History not compacted, trying again");
}

pub(super) fn left_unsent(unsent: usize) {
    if unsent > 0 {
        warn!(name: "mail-left-unsent", unsent,
            "Stopping with mail unsent; it is kept for the next start");
    }
}

fn subject(state: &AlertState, mail: u64) -> &str {
    let found = state.outbox.iter().find(|unsent| unsent.mail.id == mail);
    found.map_or("", |unsent| unsent.mail.subject.as_str())
}
