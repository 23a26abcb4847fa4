//! Any events in any order at any time.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::start;
use crate::event::{
    BackoffKey, DeliveryReceipt, Event, GenerationNo, IncidentKind, MintSource, Outcome, PeerToken,
    ReleaseCause, RetiredBy, StepSource,
};
use crate::secret::{Fingerprint, Secret, SecretTag};

fn number() -> impl Strategy<Value = GenerationNo> {
    select(vec![0, 1, 2, 3, u64::MAX]).prop_map(GenerationNo)
}

pub fn token() -> impl Strategy<Value = Fingerprint> {
    (0_u8..5).prop_map(|byte| Fingerprint::of(&[byte]))
}

pub fn tokens() -> impl Strategy<Value = std::collections::BTreeSet<Fingerprint>> {
    subsequence((0_u8..5).collect::<Vec<_>>(), 0..5)
        .prop_map(|bytes| bytes.iter().map(|byte| Fingerprint::of(&[*byte])).collect())
}

fn places() -> impl Strategy<Value = std::collections::BTreeSet<String>> {
    subsequence(vec!["app", "gone", "/file"], 0..3)
        .prop_map(|places| places.into_iter().map(str::to_owned).collect())
}

fn sink() -> impl Strategy<Value = String> {
    select(vec!["app", "crm", "gone"]).prop_map(str::to_owned)
}

fn lane() -> impl Strategy<Value = BackoffKey> {
    prop_oneof![
        select(vec![
            BackoffKey::Login,
            BackoffKey::Server,
            BackoffKey::Rotation,
            BackoffKey::Retirement,
            BackoffKey::Pass
        ]),
        sink().prop_map(BackoffKey::Sink),
    ]
}

fn time() -> impl Strategy<Value = DateTime<Utc>> {
    prop_oneof![
        8 => (-2_000_000_i64..2_000_000).prop_map(|seconds| start() + TimeDelta::seconds(seconds)),
        1 => select(vec![DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC, DateTime::UNIX_EPOCH]),
    ]
}

pub fn words() -> impl Strategy<Value = String> {
    select(vec!["", "it did not work"]).prop_map(str::to_owned)
}

fn taken() -> impl Strategy<Value = DeliveryReceipt> {
    (
        prop::option::of(words()),
        prop::option::of((number(), token())),
    )
        .prop_map(|(version, peer)| DeliveryReceipt {
            version,
            peers: peer
                .map(|(generation, fingerprint)| {
                    (
                        "crm".to_owned(),
                        PeerToken {
                            generation,
                            fingerprint,
                        },
                    )
                })
                .into_iter()
                .collect(),
            ..DeliveryReceipt::default()
        })
}

fn account_event() -> BoxedStrategy<Event> {
    prop_oneof![
        select(vec!["a", "b"]).prop_map(|user| Event::LineStarted {
            username: user.to_owned(),
            platform_id: "aws80".to_owned(),
        }),
        Just(Event::RotationAsked),
        Just(Event::LoginAttempted),
        select(vec!["a", "b"]).prop_map(|app| Event::RingexAttempted {
            client_id: app.to_owned()
        }),
        (select(vec!["a", "b"]), time()).prop_map(|(app, until)| Event::RingexQuiet {
            client_id: app.to_owned(),
            until
        }),
        time().prop_map(|until| Event::ServerQuiet { until }),
        Just(Event::SecretAccepted {
            tag: SecretTag::of("salt", &Secret::new("swordfish")),
        }),
        any::<bool>().prop_map(|required| Event::PasswordReset { required }),
        any::<i64>().prop_map(|skew_seconds| Event::ClockDisagreed { skew_seconds }),
        Just(Event::ClockAgreed),
        any::<i64>().prop_map(|by_ms| Event::ClockStepped {
            by_ms,
            source: StepSource::Steady
        }),
    ]
    .boxed()
}

fn foreign_event() -> BoxedStrategy<Event> {
    prop_oneof![
        tokens().prop_map(|fingerprints| Event::ForeignSeen { fingerprints }),
        tokens().prop_map(|fingerprints| Event::ForeignGone { fingerprints }),
        tokens().prop_map(|fingerprints| Event::ForeignClaimed {
            fingerprints,
            owner: "other".to_owned()
        }),
        (token(), places(), places()).prop_map(|(fingerprint, files, held_by)| Event::Adopted {
            fingerprint,
            length: 1,
            files,
            held_by
        }),
        (token(), places()).prop_map(|(fingerprint, held_by)| Event::AdoptedHeld {
            fingerprint,
            held_by
        }),
        token().prop_map(|fingerprint| Event::Disowned { fingerprint }),
    ]
    .boxed()
}

fn mint_event() -> BoxedStrategy<Event> {
    let how = select(vec![
        MintSource::Answered,
        MintSource::Recovered,
        MintSource::Late,
    ]);
    prop_oneof![
        (number(), tokens()).prop_map(|(generation, baseline)| Event::MintIntended {
            generation,
            baseline
        }),
        (number(), token(), how).prop_map(|(generation, fingerprint, how)| Event::Minted {
            generation,
            fingerprint,
            how
        }),
        (number(), words()).prop_map(|(generation, error)| Event::MintFailed { generation, error }),
        (number(), words())
            .prop_map(|(generation, error)| Event::MintUnknown { generation, error }),
        (number(), time()).prop_map(|(generation, open_until)| Event::MintMissing {
            generation,
            open_until
        }),
        (number(), tokens()).prop_map(|(generation, candidates)| Event::MintAmbiguous {
            generation,
            candidates
        }),
        number().prop_map(|generation| Event::LostMintClosed { generation }),
    ]
    .boxed()
}

fn token_event() -> BoxedStrategy<Event> {
    let by = select(vec![RetiredBy::Us, RetiredBy::Another]);
    prop_oneof![
        number().prop_map(|generation| Event::Verified { generation }),
        (number(), words())
            .prop_map(|(generation, reason)| Event::Abandoned { generation, reason }),
        number().prop_map(|generation| Event::Promoted { generation }),
        (token(), prop::option::of(number()), words()).prop_map(
            |(fingerprint, generation, because)| {
                Event::DeleteIntended {
                    fingerprint,
                    generation,
                    because,
                }
            }
        ),
        (token(), prop::option::of(number()), by).prop_map(|(fingerprint, generation, by)| {
            Event::Retired {
                fingerprint,
                generation,
                by,
            }
        }),
        (number(), words()).prop_map(|(generation, evidence)| Event::TokenLost {
            generation,
            evidence
        }),
        number().prop_map(|generation| Event::Reappeared { generation }),
        number().prop_map(|generation| Event::ListDisagreed { generation }),
        number().prop_map(|generation| Event::ListAgreed { generation }),
    ]
    .boxed()
}

fn sink_event() -> BoxedStrategy<Event> {
    let outcome = select(vec![Outcome::NotDone, Outcome::Unknown]);
    prop_oneof![
        (sink(), select(vec!["file", "webhook", "?"]), words()).prop_map(|(sink, kind, target)| {
            Event::SinkBound {
                sink,
                sink_type: kind.to_owned(),
                target,
            }
        }),
        sink().prop_map(|sink| Event::SinkReleased { sink }),
        (sink(), number())
            .prop_map(|(sink, generation)| Event::DeliveryIntended { sink, generation }),
        (sink(), number(), taken()).prop_map(|(sink, generation, taken)| Event::Delivered {
            sink,
            generation,
            taken
        }),
        (sink(), number(), outcome, any::<bool>()).prop_map(
            |(sink, generation, outcome, parked)| {
                Event::DeliveryFailed {
                    sink,
                    generation,
                    outcome,
                    parked,
                    note: None,
                }
            }
        ),
        (sink(), number()).prop_map(|(sink, generation)| Event::Proved { sink, generation }),
        (sink(), number(), words()).prop_map(|(sink, generation, found)| Event::Drifted {
            sink,
            generation,
            found
        }),
    ]
    .boxed()
}

fn backoff_event() -> BoxedStrategy<Event> {
    let by = select(vec![
        ReleaseCause::Operator,
        ReleaseCause::Reload,
        ReleaseCause::SecretChanged,
    ]);
    let incident = select(vec![
        IncidentKind::LoginFailed,
        IncidentKind::SinkFailed,
        IncidentKind::MintFailed,
    ]);
    prop_oneof![
        (lane(), incident, words(), any::<u32>(), time()).prop_map(
            |(lane, incident, error, failures, next_attempt_at)| Event::AttemptFailed {
                lane,
                incident,
                error,
                failures,
                next_attempt_at,
                rejected: None,
            }
        ),
        lane().prop_map(|lane| Event::LaneCleared { lane }),
        (lane(), by).prop_map(|(lane, by)| Event::HoldLifted { lane, by }),
    ]
    .boxed()
}

fn consumer_event() -> BoxedStrategy<Event> {
    prop_oneof![
        (sink(), number()).prop_map(|(sink, generation)| Event::NotifyOwed { sink, generation }),
        (sink(), number()).prop_map(|(sink, generation)| Event::Notified {
            sink,
            generation,
            note: None,
        }),
        (sink(), number()).prop_map(|(sink, generation)| Event::Acknowledged { sink, generation }),
    ]
    .boxed()
}

/// One event of any kind. The weights make every kind about equally likely.
pub fn event() -> BoxedStrategy<Event> {
    prop_oneof![
        8 => account_event(),
        5 => foreign_event(),
        7 => mint_event(),
        7 => token_event(),
        7 => sink_event(),
        3 => consumer_event(),
        3 => backoff_event(),
    ]
    .boxed()
}

/// Any history: times and events.
pub fn events() -> impl Strategy<Value = Vec<(DateTime<Utc>, Event)>> {
    prop::collection::vec((time(), event()), 0..40)
}
