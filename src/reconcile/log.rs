//! One log line an event: what happened to which account, in fields, without secrets.
//!
//! ERROR someone must act, WARN it is tried again by itself, INFO what happened to a token, DEBUG
//! why.

use tracing::{debug, error, info, warn};

use rotator_core::account::AccountState;
use rotator_core::event::{BackoffKey, Event, IncidentKind};
use rotator_core::incidents::IncidentKey;

/// Logs what was just recorded.
pub fn event(account: &str, state: &AccountState, event: &Event) {
    match event {
        Event::LineStarted {
            username,
            platform_id,
        } => {
            info!(name: "line-started", account, username, platform_id, "Account taken under management");
        }
        Event::RotationAsked => info!(name: "rotation-asked", account, "Rotation asked for"),
        Event::RingexAttempted { client_id } => {
            debug!(name: "ringex-attempted", account, client_id, "Logging in to RingEX");
        }
        Event::RingexQuiet { client_id, until } => {
            warn!(name: "ringex-quiet", account, client_id, %until, "RingEX asks to be left alone, no account of this app logs in");
        }
        Event::LoginAttempted => debug!(name: "login-attempted", account, "Logging in"),
        Event::PasswordReset { required: true } => {
            error!(name: "password-reset-required", account, "RingCX wants the password changed: it may stop working soon");
        }
        Event::PasswordReset { required: false } => {
            info!(name: "password-reset-over", account, "RingCX no longer wants the password changed")
        }
        Event::ForeignSeen { fingerprints } => {
            info!(name: "foreign-seen", account, count = fingerprints.len(), "Tokens that are not ours appeared");
        }
        Event::ForeignGone { fingerprints } => {
            info!(name: "foreign-gone", account, count = fingerprints.len(), "Tokens that are not ours are gone");
        }
        Event::Adopted {
            fingerprint,
            files,
            held_by,
            ..
        } => {
            let (files, held_by) = (places(files), places(held_by));
            info!(name: "adopted", account, fingerprint = fingerprint.short(), files, held_by, "Foreign token adopted");
        }
        Event::AdoptedHeld {
            fingerprint,
            held_by,
        } => {
            let held_by = places(held_by);
            info!(name: "adopted-held", account, fingerprint = fingerprint.short(), held_by, "Adopted token is elsewhere now");
        }
        Event::Disowned { fingerprint } => {
            info!(name: "disowned", account, fingerprint = fingerprint.short(), "Adopted token is foreign again");
        }
        Event::MintIntended {
            generation,
            baseline,
        } => {
            debug!(name: "mint-intended", account, %generation, listed = baseline.len(), "Minting");
        }
        Event::Minted {
            generation,
            fingerprint,
            how,
        } => {
            info!(name: "minted", account, %generation, fingerprint = fingerprint.short(), how = ?how, "Token minted");
        }
        Event::MintFailed { generation, error } => {
            warn!(name: "mint-failed", account, %generation, error, "Mint not sent")
        }
        Event::MintUnknown { generation, error } => {
            warn!(name: "mint-unknown", account, %generation, error, "Outcome of the mint unknown, looking at the list");
        }
        Event::MintMissing {
            generation,
            open_until,
        } => {
            info!(name: "mint-missing", account, %generation, %open_until, "Mint left no token on the list so far");
        }
        Event::MintAmbiguous {
            generation,
            candidates,
        } => {
            error!(name: "mint-ambiguous", account, %generation, candidates = candidates.len(), "Cannot tell which token is ours");
        }
        Event::LostMintClosed { generation } => {
            debug!(name: "lost-mint-closed", account, %generation, "Lost mint did not arrive")
        }
        Event::Verified { generation } => {
            info!(name: "verified", account, %generation, "Token verified")
        }
        Event::Abandoned { generation, reason } => {
            warn!(name: "abandoned", account, %generation, reason, "Token given up")
        }
        Event::SinkBound {
            sink,
            sink_type,
            target,
        } => {
            info!(name: "sink-bound", account, sink, sink_type, target, "Sink taken under management");
        }
        Event::SinkReleased { sink } => {
            info!(name: "sink-released", account, sink, "Sink taken out of the policy")
        }
        Event::DeliveryIntended { sink, generation } => {
            debug!(name: "delivery-intended", account, sink, %generation, "Delivering")
        }
        Event::Delivered {
            sink,
            generation,
            taken,
        } => {
            let (proof, note) = (taken.proof.as_deref(), taken.note.as_deref());
            info!(name: "delivered", account, sink, %generation, proof, note, "Token delivered");
        }
        Event::DeliveryFailed {
            sink,
            generation,
            outcome,
            parked,
            note,
        } => {
            debug!(name: "delivery-failed", account, sink, %generation, outcome = ?outcome, parked, note, "Delivery did not succeed");
        }
        Event::Proved { sink, generation } => {
            info!(name: "proved", account, sink, %generation, "Delivery proved")
        }
        Event::Drifted {
            sink,
            generation,
            found,
        } => {
            warn!(name: "drifted", account, sink, %generation, found, "Sink no longer holds the token");
        }
        Event::NotifyOwed { sink, generation } => {
            debug!(name: "notify-owed", account, sink, %generation, "Consumer is to be told");
        }
        Event::Notified {
            sink,
            generation,
            note,
        } => {
            info!(name: "notified", account, sink, %generation, note, "Consumer told");
        }
        Event::Acknowledged { sink, generation } => {
            info!(name: "acknowledged", account, sink, %generation, "Consumer says that it uses this token");
        }
        Event::Promoted { generation } => {
            let fingerprint = state
                .generations
                .get(generation)
                .map(|it| it.fingerprint.short());
            info!(name: "promoted", account, %generation, fingerprint, "Token is current");
        }
        Event::DeleteIntended {
            fingerprint,
            generation,
            because,
        } => {
            let generation = generation.map(|it| it.0);
            info!(name: "delete-intended", account, generation, fingerprint = fingerprint.short(), because, "Deleting token");
        }
        Event::Retired {
            fingerprint,
            generation,
            by,
        } => {
            let generation = generation.map(|it| it.0);
            info!(name: "retired", account, fingerprint = fingerprint.short(), generation, by = ?by, "Token is gone");
        }
        Event::TokenLost {
            generation,
            evidence,
        } => {
            error!(name: "token-lost", account, %generation, evidence, "Token vanished from the server");
        }
        Event::Reappeared { generation } => {
            warn!(name: "reappeared", account, %generation, "Token is on the server again")
        }
        Event::AttemptFailed {
            lane,
            incident: kind,
            error,
            failures,
            next_attempt_at,
            ..
        } => {
            let sink = match lane {
                BackoffKey::Sink(sink) | BackoffKey::Notify(sink) => Some(sink.as_str()),
                BackoffKey::Login
                | BackoffKey::Server
                | BackoffKey::Rotation
                | BackoffKey::Retirement => None,
            };
            let incident = IncidentKey {
                account: account.to_owned(),
                kind: *kind,
                sink: sink.map(str::to_owned),
            };
            let someone_must_act = matches!(kind, IncidentKind::LoginRejected);
            if someone_must_act {
                error!(name: "attempt-failed", account, sink, %lane, %incident, error, failures, %next_attempt_at, "Attempt failed");
            } else {
                warn!(name: "attempt-failed", account, sink, %lane, %incident, error, failures, %next_attempt_at, "Attempt failed");
            }
        }
        Event::LaneCleared { lane } => info!(name: "lane-cleared", account, %lane, "Works again"),
        Event::HoldLifted { lane, by } => {
            debug!(name: "hold-lifted", account, %lane, by = ?by, "May be tried again")
        }
        Event::ClockDisagreed { skew_seconds } => {
            error!(name: "clock-disagreed", account, skew_seconds, "Local clock and server disagree, nothing is deleted");
        }
        Event::ClockAgreed => {
            info!(name: "clock-agreed", account, "Local clock and server agree again")
        }
    }
}

fn places(places: &std::collections::BTreeSet<String>) -> String {
    places
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
