//! One log line an event: what happened to which account, in fields, without secrets.
//!
//! ERROR someone must act, WARN it is tried again by itself, INFO what happened to a token, DEBUG why.

use tracing::{debug, error, info, warn};

use crate::account::AccountState;
use crate::event::{Event, IncidentKind};

/// Logs what was just recorded.
pub fn event(account: &str, state: &AccountState, event: &Event) {
    match event {
        Event::LineStarted { username, platform_id } => {
            info!(account, username, platform_id, "Account taken under management");
        }
        Event::RotationAsked => info!(account, "Rotation asked for"),
        Event::LoginAttempted => debug!(account, "Logging in"),
        Event::PasswordReset { required: true } => {
            error!(account, "RingCX wants the password changed: it may stop working soon");
        }
        Event::PasswordReset { required: false } => {
            info!(account, "RingCX no longer wants the password changed")
        }
        Event::ForeignSeen { fingerprints } => {
            info!(account, count = fingerprints.len(), "Tokens that are not ours appeared");
        }
        Event::ForeignGone { fingerprints } => {
            info!(account, count = fingerprints.len(), "Tokens that are not ours are gone");
        }
        Event::MintIntended { generation, baseline } => {
            debug!(account, %generation, listed = baseline.len(), "Minting");
        }
        Event::Minted { generation, fingerprint, how } => {
            info!(account, %generation, fingerprint = fingerprint.short(), how = ?how, "Token minted");
        }
        Event::MintFailed { generation, error } => warn!(account, %generation, error, "Mint not sent"),
        Event::MintUnknown { generation, error } => {
            warn!(account, %generation, error, "Outcome of the mint unknown, looking at the list");
        }
        Event::MintMissing { generation, open_until } => {
            info!(account, %generation, %open_until, "Mint left no token on the list so far");
        }
        Event::MintAmbiguous { generation, candidates } => {
            error!(account, %generation, candidates = candidates.len(), "Cannot tell which token is ours");
        }
        Event::LostMintClosed { generation } => debug!(account, %generation, "Lost mint did not arrive"),
        Event::Verified { generation } => info!(account, %generation, "Token verified"),
        Event::Abandoned { generation, reason } => warn!(account, %generation, reason, "Token given up"),
        Event::SinkBound { sink, sink_type, target } => {
            info!(account, sink, sink_type, target, "Sink taken under management");
        }
        Event::SinkReleased { sink } => info!(account, sink, "Sink taken out of the policy"),
        Event::DeliveryIntended { sink, generation } => debug!(account, sink, %generation, "Delivering"),
        Event::Delivered { sink, generation, taken } => {
            let (proof, note) = (taken.proof.as_deref(), taken.note.as_deref());
            info!(account, sink, %generation, proof, note, "Token delivered");
        }
        Event::DeliveryFailed { sink, generation, outcome, parked, note } => {
            debug!(account, sink, %generation, outcome = ?outcome, parked, note, "Delivery did not succeed");
        }
        Event::Proved { sink, generation } => info!(account, sink, %generation, "Delivery proved"),
        Event::Drifted { sink, generation, found } => {
            warn!(account, sink, %generation, found, "Sink no longer holds the token");
        }
        Event::Promoted { generation } => {
            let fingerprint = state.generations.get(generation).map(|it| it.fingerprint.short());
            info!(account, %generation, fingerprint, "Token is current");
        }
        Event::DeleteIntended { fingerprint, because, .. } => {
            info!(account, fingerprint = fingerprint.short(), because, "Deleting token");
        }
        Event::Retired { fingerprint, generation, by } => {
            let generation = generation.map(|it| it.0);
            info!(account, fingerprint = fingerprint.short(), generation, by = ?by, "Token is gone");
        }
        Event::TokenLost { generation, evidence } => {
            error!(account, %generation, evidence, "Token vanished from the server");
        }
        Event::Reappeared { generation } => warn!(account, %generation, "Token is on the server again"),
        Event::AttemptFailed { lane, incident, error, failures, next_attempt_at, .. } => {
            let someone_must_act = matches!(incident, IncidentKind::LoginRejected);
            if someone_must_act {
                error!(account, %lane, %incident, error, failures, %next_attempt_at, "Attempt failed");
            } else {
                warn!(account, %lane, %incident, error, failures, %next_attempt_at, "Attempt failed");
            }
        }
        Event::LaneCleared { lane } => info!(account, %lane, "Works again"),
        Event::HoldLifted { lane, by } => debug!(account, %lane, by = ?by, "May be tried again"),
        Event::ClockDisagreed { skew_seconds } => {
            error!(account, skew_seconds, "Local clock and server disagree, nothing is deleted");
        }
        Event::ClockAgreed => info!(account, "Local clock and server agree again"),
    }
}
