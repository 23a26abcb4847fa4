//! One sentence for an event, told as a story: where the log has facts in fields, the demo has to
//! say what they mean. The tokens it shows come from the simulator's record.

use crate::console::Tone;
use crate::reconcile::Recorded;
use rotator_core::account::AccountState;
use rotator_core::event::{BackoffKey, Event, GenerationNo, MintSource, RetiredBy};
use rotator_core::secret::Fingerprint;
use rotator_simulator::Record;

/// A sentence for an event, given the account's state just before it. Of several steps only the
/// last has one.
pub fn sentence(
    before: &AccountState,
    recorded: &Recorded,
    ringcx: &Record,
) -> Option<(Tone, String)> {
    let event = &recorded.event;
    match event {
        // By groups and without a wildcard: a new event has to be given a place here.
        rotator_core::account_events!() => about_account(event),
        rotator_core::backoff_events!() => about_attempt(before, recorded),
        rotator_core::foreign_events!() => about_foreign(event),
        rotator_core::mint_events!() => about_mint(event, ringcx),
        rotator_core::token_events!() => about_token(before, event, ringcx),
        rotator_core::sink_events!() | rotator_core::consumer_events!() => {
            about_sink(before, event)
        }
    }
}

fn about_account(event: &Event) -> Option<(Tone, String)> {
    let Event::ClockDisagreed { skew_seconds } = event else {
        return None;
    };
    Some((
        Tone::Bad,
        format!("the clock is {skew_seconds} s off the server's"),
    ))
}

fn about_attempt(before: &AccountState, recorded: &Recorded) -> Option<(Tone, String)> {
    match &recorded.event {
        Event::AttemptFailed {
            lane: BackoffKey::Sink(sink),
            error,
            failures,
            next_attempt_at,
            ..
        } => {
            // From the event's own time: it may be shown a moment after it happened.
            let wait = (*next_attempt_at - recorded.at).as_seconds_f64();
            let text = format!("sink {sink}: {error} (try {failures}, the next in {wait:.0} s)");
            Some((Tone::Bad, text))
        }
        // The event of the mint has said it already.
        Event::AttemptFailed {
            lane: BackoffKey::Rotation,
            ..
        } if before.open_mint.is_some() => None,
        Event::AttemptFailed { lane, error, .. } => Some((Tone::Bad, format!("{lane}: {error}"))),
        Event::LaneCleared {
            lane: BackoffKey::Sink(sink),
        } => Some((Tone::Good, format!("sink {sink} works again"))),
        Event::LaneCleared { .. } | Event::HoldLifted { .. } => None,
        rotator_core::account_events!()
        | rotator_core::foreign_events!()
        | rotator_core::mint_events!()
        | rotator_core::token_events!()
        | rotator_core::sink_events!()
        | rotator_core::consumer_events!() => None,
    }
}

fn about_foreign(event: &Event) -> Option<(Tone, String)> {
    match event {
        Event::ForeignSeen { fingerprints } => {
            let what = match fingerprints.len() {
                1 => "1 token on the server is not ours: it".to_owned(),
                several => format!("{several} tokens on the server are not ours: they"),
            };
            Some((Tone::Dim, format!("{what} will not be touched")))
        }
        Event::ForeignGone { .. } => {
            Some((Tone::Bad, "a token that is not ours is gone".to_owned()))
        }
        Event::Adopted { .. } => {
            Some((Tone::Busy, "a token that is not ours is adopted".to_owned()))
        }
        Event::ForeignClaimed { .. } | Event::AdoptedHeld { .. } | Event::Disowned { .. } => None,
        rotator_core::account_events!()
        | rotator_core::backoff_events!()
        | rotator_core::mint_events!()
        | rotator_core::token_events!()
        | rotator_core::sink_events!()
        | rotator_core::consumer_events!() => None,
    }
}

fn about_mint(event: &Event, ringcx: &Record) -> Option<(Tone, String)> {
    let said = match event {
        Event::Minted {
            generation,
            fingerprint,
            how,
        } => minted(*generation, &shown(fingerprint, ringcx), *how),
        Event::MintUnknown { generation, error } => (
            Tone::Bad,
            format!("mint of generation {generation}: {error}; was there one made?"),
        ),
        Event::MintMissing { .. } => (
            Tone::Busy,
            "the list has no token more: none was made".to_owned(),
        ),
        Event::MintFailed { error, .. } => (Tone::Bad, format!("mint: {error}")),
        Event::MintAmbiguous { candidates, .. } => (
            Tone::Bad,
            format!(
                "{} new tokens, and it is not known which is ours",
                candidates.len()
            ),
        ),
        Event::MintIntended { .. } | Event::LostMintClosed { .. } => return None,
        rotator_core::account_events!()
        | rotator_core::backoff_events!()
        | rotator_core::foreign_events!()
        | rotator_core::token_events!()
        | rotator_core::sink_events!()
        | rotator_core::consumer_events!() => return None,
    };
    Some(said)
}

fn minted(generation: GenerationNo, token: &str, how: MintSource) -> (Tone, String) {
    match how {
        MintSource::Answered => (
            Tone::Dim,
            format!("generation {generation} minted: {token}"),
        ),
        MintSource::Recovered => (
            Tone::Good,
            format!("the list has one token more, so that is generation {generation}: {token}"),
        ),
        MintSource::Late => (
            Tone::Busy,
            format!("the lost mint of generation {generation} came late"),
        ),
    }
}

fn about_token(before: &AccountState, event: &Event, ringcx: &Record) -> Option<(Tone, String)> {
    let said = match event {
        Event::Promoted { generation } => (
            Tone::Good,
            format!(
                "generation {generation} works, is in all {} sinks, and is current",
                // The number in the policy: all sinks of the demo are required, so each has the
                // token by now.
                before.sinks.len()
            ),
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
        Event::Reappeared { generation } => (Tone::Bad, format!("generation {generation} is back")),
        Event::ListDisagreed { generation } => (
            Tone::Bad,
            format!("generation {generation} works and is not on the list"),
        ),
        Event::ListAgreed { generation } => (
            Tone::Good,
            format!("the list agrees with generation {generation} again"),
        ),
        Event::Verified { .. } | Event::DeleteIntended { .. } => return None,
        rotator_core::account_events!()
        | rotator_core::backoff_events!()
        | rotator_core::foreign_events!()
        | rotator_core::mint_events!()
        | rotator_core::sink_events!()
        | rotator_core::consumer_events!() => return None,
    };
    Some(said)
}

fn about_sink(before: &AccountState, event: &Event) -> Option<(Tone, String)> {
    let said = match event {
        Event::Drifted {
            sink,
            generation,
            found,
        } => (
            Tone::Bad,
            format!("sink {sink} holds {found} where generation {generation} should be"),
        ),
        // Only a repair is told; that a sink was written is part of the line about the promotion.
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
        rotator_core::sink_events!() | Event::NotifyOwed { .. } => return None,
        rotator_core::account_events!()
        | rotator_core::backoff_events!()
        | rotator_core::foreign_events!()
        | rotator_core::mint_events!()
        | rotator_core::token_events!() => return None,
    };
    Some(said)
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
        // The masked token is what an operator would recognize; the journal has no part of its
        // text.
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
    // The record is asked, so that the line shows what the server has and not what the daemon says.
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
