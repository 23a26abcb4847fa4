//! One log line for each event: what happened to which account, in fields, without secrets.
//!
//! Name, level and message of a line are those of its [`EventKind`]; here are only its fields.

use std::collections::BTreeSet;

use rotator_core::account::AccountState;
use rotator_core::event::{BackoffKey, Event, EventKind, Level};
use rotator_core::incidents::IncidentKey;

/// Logs the fields as a line of this kind: `log!(Minted, account, %generation)`.
// A macro, because a callsite of tracing has its name, level and field names as constants.
macro_rules! log {
    ($kind:ident, $($fields:tt)*) => {
        log!(level(EventKind::$kind.level()), $kind, $($fields)*)
    };
    ($level:expr, $kind:ident, $($fields:tt)*) => {
        tracing::event!(
            name: EventKind::$kind.name(),
            $level,
            { $($fields)* },
            "{}",
            EventKind::$kind.message()
        )
    };
}

/// Logs what was just recorded. `state` is the account's state after it.
pub fn event(account: &str, state: &AccountState, event: &Event) {
    match event {
        rotator_core::account_events!() => account_event(account, event),
        rotator_core::backoff_events!() => backoff_event(account, event),
        rotator_core::foreign_events!() => foreign_event(account, event),
        rotator_core::mint_events!() => mint_event(account, event),
        rotator_core::token_events!() => token_event(account, state, event),
        rotator_core::sink_events!() => sink_event(account, event),
        rotator_core::consumer_events!() => consumer_event(account, event),
    }
}

const fn level(level: Level) -> tracing::Level {
    match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
    }
}

fn account_event(account: &str, event: &Event) {
    match event {
        Event::LineStarted {
            username,
            platform_id,
        } => log!(LineStarted, account, username, platform_id),
        Event::RotationAsked => log!(RotationAsked, account),
        Event::RingexAttempted { client_id } => log!(RingexAttempted, account, client_id),
        Event::RingexQuiet { client_id, until } => log!(RingexQuiet, account, client_id, %until),
        Event::ServerQuiet { until } => log!(ServerQuiet, account, %until),
        Event::SecretAccepted { .. } => log!(SecretAccepted, account),
        Event::LoginAttempted => log!(LoginAttempted, account),
        Event::PasswordReset { required: true } => log!(PasswordResetRequired, account),
        Event::PasswordReset { required: false } => log!(PasswordResetOver, account),
        Event::ClockDisagreed { skew_seconds } => log!(ClockDisagreed, account, skew_seconds),
        Event::ClockAgreed => log!(ClockAgreed, account),
        Event::ClockStepped { by_ms, source } => log!(ClockStepped, account, by_ms, %source),
        // Each group by its name instead of `_`: a new group does not compile until it has been
        // given a place here.
        rotator_core::backoff_events!()
        | rotator_core::foreign_events!()
        | rotator_core::mint_events!()
        | rotator_core::token_events!()
        | rotator_core::sink_events!()
        | rotator_core::consumer_events!() => {}
    }
}

fn backoff_event(account: &str, event: &Event) {
    match event {
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
                | BackoffKey::Retirement
                | BackoffKey::Pass => None,
            };
            let incident = IncidentKey {
                account: account.to_owned(),
                kind: *kind,
                sink: sink.map(str::to_owned),
            };
            // A callsite has one level, and this event can have two.
            if event.level() == Level::Error {
                log!(tracing::Level::ERROR, AttemptFailed, account, sink, %lane, %incident, error,
                    failures, %next_attempt_at);
            } else {
                log!(AttemptFailed, account, sink, %lane, %incident, error, failures,
                    %next_attempt_at);
            }
        }
        Event::LaneCleared { lane } => log!(LaneCleared, account, %lane),
        Event::HoldLifted { lane, by } => log!(HoldLifted, account, %lane, by = ?by),
        rotator_core::account_events!()
        | rotator_core::foreign_events!()
        | rotator_core::mint_events!()
        | rotator_core::token_events!()
        | rotator_core::sink_events!()
        | rotator_core::consumer_events!() => {}
    }
}

fn foreign_event(account: &str, event: &Event) {
    match event {
        Event::ForeignSeen { fingerprints } => {
            log!(ForeignSeen, account, count = fingerprints.len())
        }
        Event::ForeignGone { fingerprints } => {
            log!(ForeignGone, account, count = fingerprints.len())
        }
        Event::ForeignClaimed {
            fingerprints,
            owner,
        } => {
            log!(ForeignClaimed, account, count = fingerprints.len(), owner)
        }
        Event::Adopted {
            fingerprint,
            files,
            held_by,
            ..
        } => {
            let (files, held_by) = (places(files), places(held_by));
            log!(
                Adopted,
                account,
                fingerprint = fingerprint.short(),
                files,
                held_by
            );
        }
        Event::AdoptedHeld {
            fingerprint,
            held_by,
        } => {
            let held_by = places(held_by);
            log!(
                AdoptedHeld,
                account,
                fingerprint = fingerprint.short(),
                held_by
            );
        }
        Event::Disowned { fingerprint } => {
            log!(Disowned, account, fingerprint = fingerprint.short())
        }
        rotator_core::account_events!()
        | rotator_core::backoff_events!()
        | rotator_core::mint_events!()
        | rotator_core::token_events!()
        | rotator_core::sink_events!()
        | rotator_core::consumer_events!() => {}
    }
}

fn mint_event(account: &str, event: &Event) {
    match event {
        Event::MintIntended {
            generation,
            baseline,
        } => log!(MintIntended, account, %generation, listed = baseline.len()),
        Event::Minted {
            generation,
            fingerprint,
            how,
        } => log!(Minted, account, %generation, fingerprint = fingerprint.short(), how = ?how),
        Event::MintFailed { generation, error } => log!(MintFailed, account, %generation, error),
        Event::MintUnknown { generation, error } => log!(MintUnknown, account, %generation, error),
        Event::MintMissing {
            generation,
            open_until,
        } => log!(MintMissing, account, %generation, %open_until),
        Event::MintAmbiguous {
            generation,
            candidates,
        } => log!(MintAmbiguous, account, %generation, candidates = candidates.len()),
        Event::LostMintClosed { generation } => log!(LostMintClosed, account, %generation),
        rotator_core::account_events!()
        | rotator_core::backoff_events!()
        | rotator_core::foreign_events!()
        | rotator_core::token_events!()
        | rotator_core::sink_events!()
        | rotator_core::consumer_events!() => {}
    }
}

fn token_event(account: &str, state: &AccountState, event: &Event) {
    match event {
        Event::Verified { generation } => log!(Verified, account, %generation),
        Event::Abandoned { generation, reason } => log!(Abandoned, account, %generation, reason),
        Event::Promoted { generation } => {
            let fingerprint = state
                .generations
                .get(generation)
                .map(|promoted| promoted.fingerprint.short());
            log!(Promoted, account, %generation, fingerprint);
        }
        Event::DeleteIntended {
            fingerprint,
            generation,
            because,
        } => {
            let generation = generation.map(|number| number.0);
            log!(
                DeleteIntended,
                account,
                generation,
                fingerprint = fingerprint.short(),
                because
            );
        }
        Event::Retired {
            fingerprint,
            generation,
            by,
        } => {
            let generation = generation.map(|number| number.0);
            log!(Retired, account, fingerprint = fingerprint.short(), generation, by = ?by);
        }
        Event::TokenLost {
            generation,
            evidence,
        } => log!(TokenLost, account, %generation, evidence),
        Event::Reappeared { generation } => log!(Reappeared, account, %generation),
        Event::ListDisagreed { generation } => log!(ListDisagreed, account, %generation),
        Event::ListAgreed { generation } => log!(ListAgreed, account, %generation),
        rotator_core::account_events!()
        | rotator_core::backoff_events!()
        | rotator_core::foreign_events!()
        | rotator_core::mint_events!()
        | rotator_core::sink_events!()
        | rotator_core::consumer_events!() => {}
    }
}

fn sink_event(account: &str, event: &Event) {
    match event {
        Event::SinkBound {
            sink,
            sink_type,
            target,
        } => log!(SinkBound, account, sink, sink_type, target),
        Event::SinkReleased { sink } => log!(SinkReleased, account, sink),
        Event::DeliveryIntended { sink, generation } => log!(DeliveryIntended, account, sink,
            %generation),
        Event::Delivered {
            sink,
            generation,
            taken,
        } => {
            let (proof, note) = (taken.proof.as_deref(), taken.note.as_deref());
            log!(Delivered, account, sink, %generation, proof, note);
        }
        Event::DeliveryFailed {
            sink,
            generation,
            outcome,
            parked,
            note,
        } => log!(DeliveryFailed, account, sink, %generation, outcome = ?outcome, parked, note),
        Event::Proved { sink, generation } => log!(Proved, account, sink, %generation),
        Event::Drifted {
            sink,
            generation,
            found,
        } => log!(Drifted, account, sink, %generation, found),
        rotator_core::account_events!()
        | rotator_core::backoff_events!()
        | rotator_core::foreign_events!()
        | rotator_core::mint_events!()
        | rotator_core::token_events!()
        | rotator_core::consumer_events!() => {}
    }
}

fn consumer_event(account: &str, event: &Event) {
    match event {
        Event::NotifyOwed { sink, generation } => log!(NotifyOwed, account, sink, %generation),
        Event::Notified {
            sink,
            generation,
            note,
        } => log!(Notified, account, sink, %generation, note),
        Event::Acknowledged { sink, generation } => log!(Acknowledged, account, sink, %generation),
        rotator_core::account_events!()
        | rotator_core::backoff_events!()
        | rotator_core::foreign_events!()
        | rotator_core::mint_events!()
        | rotator_core::token_events!()
        | rotator_core::sink_events!() => {}
    }
}

/// Several places in one field, as `crm, /etc/crm/env`.
fn places(places: &BTreeSet<String>) -> String {
    places
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
