//! What the journal says, in words for people. Pure, but for asking the stand-in's record.

use crate::console::Tone;
use crate::reconcile::Recorded;
use rotator_core::account::AccountState;
use rotator_core::event::{BackoffKey, Event, GenerationNo, MintSource, RetiredBy};
use rotator_core::secret::Fingerprint;
use rotator_simulator::Record;

/// A sentence for an event, given the account's state just before it. Of many steps only the last
/// is told.
pub fn sentence(
    before: &AccountState,
    recorded: &Recorded,
    ringcx: &Record,
) -> Option<(Tone, String)> {
    let told = match &recorded.event {
        Event::ForeignSeen { fingerprints } => {
            let (what, it) = match fingerprints.len() {
                1 => ("1 token on the server is not ours".to_owned(), "it"),
                several => (
                    format!("{several} tokens on the server are not ours"),
                    "they",
                ),
            };
            (Tone::Dim, format!("{what}: {it} will not be touched"))
        }
        Event::Minted {
            generation,
            fingerprint,
            how,
        } => {
            let token = shown(fingerprint, ringcx);
            match how {
                MintSource::Answered => (
                    Tone::Dim,
                    format!("generation {generation} minted: {token}"),
                ),
                MintSource::Recovered => (
                    Tone::Good,
                    format!(
                        "the list has one token more, so that is generation {generation}: {token}"
                    ),
                ),
                MintSource::Late => (
                    Tone::Busy,
                    format!("the lost mint of generation {generation} came late"),
                ),
            }
        }
        Event::MintUnknown { generation, error } => (
            Tone::Bad,
            format!("mint of generation {generation}: {error}; was there one made?"),
        ),
        Event::MintMissing { .. } => (
            Tone::Busy,
            "the list has no token more: none was made".to_owned(),
        ),
        Event::Promoted { generation } => (
            Tone::Good,
            format!(
                "generation {generation} works, is in all {} sinks, and is current",
                before.sinks.len()
            ),
        ),
        Event::AttemptFailed {
            lane: BackoffKey::Sink(sink),
            error,
            failures,
            next_attempt_at,
            ..
        } => {
            let wait = (*next_attempt_at - recorded.at).as_seconds_f64();
            (
                Tone::Bad,
                format!("sink {sink}: {error} (try {failures}, the next in {wait:.0} s)"),
            )
        }
        // Told already, as what is unknown about the mint.
        Event::AttemptFailed {
            lane: BackoffKey::Rotation,
            ..
        } if before.open_mint.is_some() => {
            return None;
        }
        Event::AttemptFailed { lane, error, .. } => (Tone::Bad, format!("{lane}: {error}")),
        Event::LaneCleared {
            lane: BackoffKey::Sink(sink),
        } => (Tone::Good, format!("sink {sink} works again")),
        Event::Drifted {
            sink,
            generation,
            found,
        } => (
            Tone::Bad,
            format!("sink {sink} holds {found} where generation {generation} should be"),
        ),
        Event::Proved { sink, generation } if has_drifted(before, sink) => (
            Tone::Good,
            format!("sink {sink} holds generation {generation} again"),
        ),
        Event::Notified {
            sink, generation, ..
        } => (
            Tone::Good,
            format!("the consumer of sink {sink} was told of generation {generation}"),
        ),
        Event::Acknowledged { sink, generation } => (
            Tone::Good,
            format!("the consumer of sink {sink} says that it uses generation {generation}"),
        ),
        Event::Retired {
            fingerprint,
            generation,
            by,
        } => retired(fingerprint, *generation, *by, ringcx),
        Event::TokenLost {
            generation,
            evidence,
        } => (
            Tone::Bad,
            format!("generation {generation} vanished: {evidence}"),
        ),
        Event::Abandoned { generation, reason } => (
            Tone::Bad,
            format!("generation {generation} is given up: {reason}"),
        ),
        Event::MintFailed { error, .. } => (Tone::Bad, format!("mint: {error}")),
        Event::MintAmbiguous { candidates, .. } => (
            Tone::Bad,
            format!(
                "{} new tokens, and nobody knows which is ours",
                candidates.len()
            ),
        ),
        Event::Reappeared { generation } => (Tone::Bad, format!("generation {generation} is back")),
        Event::ForeignGone { .. } => (Tone::Bad, "a token that is not ours is gone".to_owned()),
        Event::Adopted { .. } => (Tone::Busy, "a token that is not ours is adopted".to_owned()),
        Event::ClockDisagreed { skew_seconds } => (
            Tone::Bad,
            format!("the clock is {skew_seconds} s off the server's"),
        ),
        Event::LineStarted { .. }
        | Event::RotationAsked
        | Event::RingexAttempted { .. }
        | Event::RingexQuiet { .. }
        | Event::LoginAttempted
        | Event::PasswordReset { .. }
        | Event::MintIntended { .. }
        | Event::LostMintClosed { .. }
        | Event::Verified { .. }
        | Event::SinkBound { .. }
        | Event::SinkReleased { .. }
        | Event::DeliveryIntended { .. }
        | Event::Delivered { .. }
        | Event::DeliveryFailed { .. }
        | Event::Proved { .. }
        | Event::NotifyOwed { .. }
        | Event::DeleteIntended { .. }
        | Event::AdoptedHeld { .. }
        | Event::Disowned { .. }
        | Event::LaneCleared { .. }
        | Event::HoldLifted { .. }
        | Event::ClockAgreed => return None,
    };
    Some(told)
}

fn has_drifted(state: &AccountState, sink: &str) -> bool {
    state
        .sinks
        .get(sink)
        .is_some_and(|record| record.drifted.is_some())
}

fn shown(fingerprint: &Fingerprint, ringcx: &Record) -> String {
    ringcx
        .token(*fingerprint)
        .map_or_else(|| fingerprint.short(), |token| token.masked)
}

fn retired(
    fingerprint: &Fingerprint,
    generation: Option<GenerationNo>,
    by: RetiredBy,
    ringcx: &Record,
) -> (Tone, String) {
    let name = generation.map_or_else(
        || fingerprint.short(),
        |number| format!("generation {number}"),
    );
    let gone = ringcx
        .token(*fingerprint)
        .is_some_and(|token| token.deleted_at.is_some());
    match (gone, by) {
        (true, RetiredBy::Us) => (
            Tone::Dim,
            format!("{name} deleted, and gone from the server"),
        ),
        (true, RetiredBy::Another) => (Tone::Bad, format!("{name} was deleted by another's hand")),
        (false, RetiredBy::Us | RetiredBy::Another) => (
            Tone::Bad,
            format!("{name} is said to be gone, but the server has it"),
        ),
    }
}
