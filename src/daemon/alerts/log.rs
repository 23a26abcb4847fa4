//! What the desk says in the log: who must act, what recovered, what was sent to whom.

use tracing::{error, info, warn};

use rotator_core::event::IncidentKind;
use rotator_core::incidents::{AlertEvent, AlertState, IncidentKey, Resolution};
use rotator_core::journal::{ALERTS, JournalError};

/// One line for each event that was journaled. `before` is the state without it.
pub(super) fn event(event: &AlertEvent, before: &AlertState) {
    match event {
        AlertEvent::IncidentOpened {
            incident,
            cause,
            next_attempt_at,
            ..
        } => {
            let IncidentKey {
                account,
                kind,
                sink,
            } = incident;
            let (account, sink) = (account.as_str(), sink.as_deref());
            let next = next_attempt_at.map(|at| at.to_rfc3339());
            let next_attempt_at = next.as_deref();
            // Drift is repaired in the pass that finds it, so it has no next attempt.
            let parked = next.is_none() && *kind != IncidentKind::SinkDrifted;
            if needs_someone(*kind) || parked {
                error!(name: "incident-opened", account, %kind, sink, %incident, cause, next_attempt_at, "Incident opened");
            } else {
                warn!(name: "incident-opened", account, %kind, sink, %incident, cause, next_attempt_at, "Incident opened");
            }
        }
        AlertEvent::IncidentResolved { incident, over, .. } => {
            let IncidentKey {
                account,
                kind,
                sink,
            } = incident;
            let (account, sink) = (account.as_str(), sink.as_deref());
            match over {
                Resolution::Gone => {
                    info!(name: "incident-resolved", account, %kind, sink, %incident, "Incident resolved")
                }
                Resolution::Unmanaged => {
                    info!(name: "incident-closed", account, %kind, sink, %incident, "Incident closed, the account is no longer managed");
                }
            }
        }
        AlertEvent::MailQueued { .. } | AlertEvent::MailHoldsLifted => {}
        AlertEvent::MailSent { mail, refused } => {
            info!(name: "mail-sent", subject = subject(before, *mail), "Mail sent");
            for recipient in refused {
                warn!(name: "mail-recipient-refused", recipient, "Mail not taken for one recipient");
            }
        }
        AlertEvent::MailFailed {
            mail,
            error,
            failures,
            next_attempt_at,
            ..
        } => {
            let next_attempt_at = next_attempt_at.to_rfc3339();
            warn!(name: "mail-failed", subject = subject(before, *mail), error, failures, next_attempt_at, "Mail not sent");
        }
        AlertEvent::MailDropped { mail, error } => {
            error!(name: "mail-dropped", subject = subject(before, *mail), error, "Mail given up");
        }
    }
}

pub(super) fn resumed(state: &AlertState) {
    let (open, unsent) = (state.open.len(), state.outbox.len());
    if open + unsent > 0 {
        info!(name: "alerts-resumed", open, unsent, "Incidents and mails taken over from before");
    }
}

pub(super) fn journal_refuses(error: &JournalError) {
    error!(name: "alerts-not-journaled", %error, "Alerts cannot be journaled, so none is mailed; trying again");
}

pub(super) fn journal_works() {
    info!(name: "alerts-journaled", "Alerts are journaled again");
}

pub(super) fn compacted(rows: usize, upto: u64) {
    info!(name: "history-compacted", stream = ALERTS, rows, upto, "Oldest history compacted");
}

pub(super) fn not_compacted(error: &JournalError) {
    warn!(name: "history-not-compacted", stream = ALERTS, %error, "History not compacted, trying again");
}

pub(super) fn left_unsent(unsent: usize) {
    if unsent > 0 {
        warn!(name: "mail-left-unsent", unsent, "Stopping with mail unsent; it is kept for the next start");
    }
}

/// Whether this does not mend itself, however often it is tried.
fn needs_someone(kind: IncidentKind) -> bool {
    match kind {
        IncidentKind::LoginRejected
        | IncidentKind::PasswordResetRequired
        | IncidentKind::MintUnknown
        | IncidentKind::MintCapped
        | IncidentKind::AcknowledgementLate
        | IncidentKind::TokenLost
        | IncidentKind::RotationOverdue
        | IncidentKind::RetirementOverdue
        | IncidentKind::ClockDisagrees
        | IncidentKind::ReloadFailed => true,
        IncidentKind::LoginFailed
        | IncidentKind::PreflightFailed
        | IncidentKind::MintFailed
        | IncidentKind::VerifyFailed
        | IncidentKind::SinkFailed
        | IncidentKind::SinkDrifted
        | IncidentKind::NotifyFailed
        | IncidentKind::RetireFailed => false,
    }
}

fn subject(state: &AlertState, mail: u64) -> &str {
    let found = state.outbox.iter().find(|unsent| unsent.mail.id == mail);
    found.map_or("", |unsent| unsent.mail.subject.as_str())
}
