//! The JSON of every kind of event. It stands in people's journals: a row here may be added, but
//! none may change.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::event::{
    BackoffKey, DeliveryReceipt, Event, GenerationNo, IncidentKind, MintSource, Outcome, PeerToken,
    ReleaseCause, RetiredBy, StepSource,
};
use crate::secret::{Fingerprint, Secret, SecretTag};

const GENERATION: GenerationNo = GenerationNo(7);
/// The SHA-256 of `a`.
const A: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";

fn a() -> Fingerprint {
    Fingerprint::of(b"a")
}

fn at() -> DateTime<Utc> {
    "2026-03-29T02:30:00Z".parse().unwrap()
}

fn samples() -> Vec<(Event, Value)> {
    let text = |text: &str| text.to_owned();
    vec![
        (
            Event::LineStarted {
                username: text("u"),
                platform_id: text("aws80"),
            },
            json!({"kind": "line-started", "username": "u", "platform_id": "aws80"}),
        ),
        (Event::RotationAsked, json!({"kind": "rotation-asked"})),
        (
            Event::RingexAttempted {
                client_id: text("app"),
            },
            json!({"kind": "ringex-attempted", "client_id": "app"}),
        ),
        (
            Event::RingexQuiet {
                client_id: text("app"),
                until: at(),
            },
            json!({"kind": "ringex-quiet", "client_id": "app", "until": "2026-03-29T02:30:00Z"}),
        ),
        (
            Event::ServerQuiet { until: at() },
            json!({"kind": "server-quiet", "until": "2026-03-29T02:30:00Z"}),
        ),
        (
            Event::SecretAccepted {
                tag: SecretTag::of("salt", &Secret::new("swordfish")),
            },
            json!({"kind": "secret-accepted", "tag": SecretTag::of("salt", &Secret::new("swordfish"))}),
        ),
        (Event::LoginAttempted, json!({"kind": "login-attempted"})),
        (
            Event::PasswordReset { required: true },
            json!({"kind": "password-reset", "required": true}),
        ),
        (
            Event::ForeignSeen {
                fingerprints: [a()].into(),
            },
            json!({"kind": "foreign-seen", "fingerprints": [A]}),
        ),
        (
            Event::ForeignGone {
                fingerprints: [a()].into(),
            },
            json!({"kind": "foreign-gone", "fingerprints": [A]}),
        ),
        (
            Event::ForeignClaimed {
                fingerprints: [a()].into(),
                owner: text("crm"),
            },
            json!({"kind": "foreign-claimed", "fingerprints": [A], "owner": "crm"}),
        ),
        (
            Event::Adopted {
                fingerprint: a(),
                length: 42,
                files: [text("/f")].into(),
                held_by: [text("/f"), text("s")].into(),
            },
            json!({"kind": "adopted", "fingerprint": A, "length": 42, "files": ["/f"], "held_by": ["/f", "s"]}),
        ),
        (
            Event::AdoptedHeld {
                fingerprint: a(),
                held_by: [text("s")].into(),
            },
            json!({"kind": "adopted-held", "fingerprint": A, "held_by": ["s"]}),
        ),
        (
            Event::Disowned { fingerprint: a() },
            json!({"kind": "disowned", "fingerprint": A}),
        ),
        (
            Event::MintIntended {
                generation: GENERATION,
                baseline: [a()].into(),
            },
            json!({"kind": "mint-intended", "generation": 7, "baseline": [A]}),
        ),
        (
            Event::Minted {
                generation: GENERATION,
                fingerprint: a(),
                how: MintSource::Answered,
            },
            json!({"kind": "minted", "generation": 7, "fingerprint": A, "how": "answered"}),
        ),
        (
            Event::MintFailed {
                generation: GENERATION,
                error: text("e"),
            },
            json!({"kind": "mint-failed", "generation": 7, "error": "e"}),
        ),
        (
            Event::MintUnknown {
                generation: GENERATION,
                error: text("e"),
            },
            json!({"kind": "mint-unknown", "generation": 7, "error": "e"}),
        ),
        (
            Event::MintMissing {
                generation: GENERATION,
                open_until: at(),
            },
            json!({"kind": "mint-missing", "generation": 7, "open_until": "2026-03-29T02:30:00Z"}),
        ),
        (
            Event::MintAmbiguous {
                generation: GENERATION,
                candidates: [a()].into(),
            },
            json!({"kind": "mint-ambiguous", "generation": 7, "candidates": [A]}),
        ),
        (
            Event::LostMintClosed {
                generation: GENERATION,
            },
            json!({"kind": "lost-mint-closed", "generation": 7}),
        ),
        (
            Event::Verified {
                generation: GENERATION,
            },
            json!({"kind": "verified", "generation": 7}),
        ),
        (
            Event::Abandoned {
                generation: GENERATION,
                reason: text("r"),
            },
            json!({"kind": "abandoned", "generation": 7, "reason": "r"}),
        ),
        (
            Event::SinkBound {
                sink: text("s"),
                sink_type: text("env-file"),
                target: text("/t K"),
            },
            json!({"kind": "sink-bound", "sink": "s", "sink_type": "env-file", "target": "/t K"}),
        ),
        (
            Event::SinkReleased { sink: text("s") },
            json!({"kind": "sink-released", "sink": "s"}),
        ),
        (
            Event::DeliveryIntended {
                sink: text("s"),
                generation: GENERATION,
            },
            json!({"kind": "delivery-intended", "sink": "s", "generation": 7}),
        ),
        (
            Event::Delivered {
                sink: text("s"),
                generation: GENERATION,
                taken: DeliveryReceipt::default(),
            },
            json!({"kind": "delivered", "sink": "s", "generation": 7}),
        ),
        (
            Event::Delivered {
                sink: text("s"),
                generation: GENERATION,
                taken: DeliveryReceipt {
                    version: Some(text("v")),
                    proof: Some(text("p")),
                    note: Some(text("n")),
                    peers: [(
                        text("b"),
                        PeerToken {
                            generation: GENERATION,
                            fingerprint: a(),
                        },
                    )]
                    .into(),
                },
            },
            json!({"kind": "delivered", "sink": "s", "generation": 7, "taken": {"version": "v", "proof": "p",
                   "note": "n", "peers": {"b": {"generation": 7, "fingerprint": A}}}}),
        ),
        (
            Event::DeliveryFailed {
                sink: text("s"),
                generation: GENERATION,
                outcome: Outcome::NotDone,
                parked: true,
                note: None,
            },
            json!({"kind": "delivery-failed", "sink": "s", "generation": 7, "outcome": "not-done", "parked": true}),
        ),
        (
            Event::DeliveryFailed {
                sink: text("s"),
                generation: GENERATION,
                outcome: Outcome::Unknown,
                parked: false,
                note: Some(text("n")),
            },
            json!({"kind": "delivery-failed", "sink": "s", "generation": 7, "outcome": "unknown",
                   "parked": false, "note": "n"}),
        ),
        (
            Event::Proved {
                sink: text("s"),
                generation: GENERATION,
            },
            json!({"kind": "proved", "sink": "s", "generation": 7}),
        ),
        (
            Event::Drifted {
                sink: text("s"),
                generation: GENERATION,
                found: text("nothing"),
            },
            json!({"kind": "drifted", "sink": "s", "generation": 7, "found": "nothing"}),
        ),
        (
            Event::NotifyOwed {
                sink: text("s"),
                generation: GENERATION,
            },
            json!({"kind": "notify-owed", "sink": "s", "generation": 7}),
        ),
        (
            Event::Notified {
                sink: text("s"),
                generation: GENERATION,
                note: None,
            },
            json!({"kind": "notified", "sink": "s", "generation": 7}),
        ),
        (
            Event::Acknowledged {
                sink: text("s"),
                generation: GENERATION,
            },
            json!({"kind": "acknowledged", "sink": "s", "generation": 7}),
        ),
        (
            Event::Promoted {
                generation: GENERATION,
            },
            json!({"kind": "promoted", "generation": 7}),
        ),
        (
            Event::DeleteIntended {
                fingerprint: a(),
                generation: None,
                because: text("b"),
            },
            json!({"kind": "delete-intended", "fingerprint": A, "generation": null, "because": "b"}),
        ),
        (
            Event::Retired {
                fingerprint: a(),
                generation: Some(GENERATION),
                by: RetiredBy::Another,
            },
            json!({"kind": "retired", "fingerprint": A, "generation": 7, "by": "another"}),
        ),
        (
            Event::TokenLost {
                generation: GENERATION,
                evidence: text("e"),
            },
            json!({"kind": "token-lost", "generation": 7, "evidence": "e"}),
        ),
        (
            Event::Reappeared {
                generation: GENERATION,
            },
            json!({"kind": "reappeared", "generation": 7}),
        ),
        (
            Event::ListDisagreed {
                generation: GENERATION,
            },
            json!({"kind": "list-disagreed", "generation": 7}),
        ),
        (
            Event::ListAgreed {
                generation: GENERATION,
            },
            json!({"kind": "list-agreed", "generation": 7}),
        ),
        (
            Event::AttemptFailed {
                lane: BackoffKey::Sink(text("s")),
                incident: IncidentKind::SinkFailed,
                error: text("e"),
                failures: 2,
                next_attempt_at: at(),
                rejected: None,
            },
            json!({"kind": "attempt-failed", "lane": "sink:s", "incident": "sink-failed", "error": "e",
                   "failures": 2, "next_attempt_at": "2026-03-29T02:30:00Z"}),
        ),
        (
            Event::LaneCleared {
                lane: BackoffKey::Login,
            },
            json!({"kind": "lane-cleared", "lane": "login"}),
        ),
        (
            Event::HoldLifted {
                lane: BackoffKey::Retirement,
                by: ReleaseCause::SecretChanged,
            },
            json!({"kind": "hold-lifted", "lane": "retirement", "by": "secret-changed"}),
        ),
        (
            Event::ClockDisagreed { skew_seconds: -301 },
            json!({"kind": "clock-disagreed", "skew_seconds": -301}),
        ),
        (Event::ClockAgreed, json!({"kind": "clock-agreed"})),
        (
            Event::ClockStepped {
                by_ms: -1500,
                source: StepSource::Steady,
            },
            json!({"kind": "clock-stepped", "by_ms": -1500, "source": "steady"}),
        ),
    ]
}

/// A new kind of event has to be named here, and then in the samples.
fn number_of_kinds(event: &Event) -> usize {
    match event {
        Event::LineStarted { .. }
        | Event::RotationAsked
        | Event::RingexAttempted { .. }
        | Event::RingexQuiet { .. }
        | Event::ServerQuiet { .. }
        | Event::SecretAccepted { .. }
        | Event::LoginAttempted
        | Event::PasswordReset { .. }
        | Event::ForeignSeen { .. }
        | Event::ForeignGone { .. }
        | Event::ForeignClaimed { .. }
        | Event::Adopted { .. }
        | Event::AdoptedHeld { .. }
        | Event::Disowned { .. }
        | Event::MintIntended { .. }
        | Event::Minted { .. }
        | Event::MintFailed { .. }
        | Event::MintUnknown { .. }
        | Event::MintMissing { .. }
        | Event::MintAmbiguous { .. }
        | Event::LostMintClosed { .. }
        | Event::Verified { .. }
        | Event::Abandoned { .. }
        | Event::SinkBound { .. }
        | Event::SinkReleased { .. }
        | Event::DeliveryIntended { .. }
        | Event::Delivered { .. }
        | Event::DeliveryFailed { .. }
        | Event::Proved { .. }
        | Event::Drifted { .. }
        | Event::NotifyOwed { .. }
        | Event::Notified { .. }
        | Event::Acknowledged { .. }
        | Event::Promoted { .. }
        | Event::DeleteIntended { .. }
        | Event::Retired { .. }
        | Event::TokenLost { .. }
        | Event::Reappeared { .. }
        | Event::ListDisagreed { .. }
        | Event::ListAgreed { .. }
        | Event::AttemptFailed { .. }
        | Event::LaneCleared { .. }
        | Event::HoldLifted { .. }
        | Event::ClockDisagreed { .. }
        | Event::ClockAgreed
        | Event::ClockStepped { .. } => 46,
    }
}

#[test]
fn every_event_is_written_as_it_always_was_and_read_again() {
    let mut kinds = BTreeSet::new();
    for (event, written) in samples() {
        assert_eq!(serde_json::to_value(&event).unwrap(), written);
        assert_eq!(
            serde_json::from_value::<Event>(written.clone()).unwrap(),
            event
        );
        kinds.insert(written["kind"].to_string());
    }
    assert_eq!(kinds.len(), number_of_kinds(&Event::ClockAgreed));
}

#[track_caller]
fn check_names<T: serde::Serialize>(values: &[T], names: &[&str]) {
    let written: Vec<Value> = values
        .iter()
        .map(|value| serde_json::to_value(value).unwrap())
        .collect();
    assert_eq!(written, names);
}

#[test]
fn the_words_within_events_are_what_they_always_were() {
    check_names(
        &[
            MintSource::Answered,
            MintSource::Recovered,
            MintSource::Late,
        ],
        &["answered", "recovered", "late"],
    );
    check_names(
        &[Outcome::NotDone, Outcome::Unknown],
        &["not-done", "unknown"],
    );
    check_names(&[RetiredBy::Us, RetiredBy::Another], &["us", "another"]);
    check_names(
        &[
            ReleaseCause::Operator,
            ReleaseCause::Reload,
            ReleaseCause::SecretChanged,
        ],
        &["operator", "reload", "secret-changed"],
    );
    let lanes = [
        BackoffKey::Login,
        BackoffKey::Server,
        BackoffKey::Rotation,
        BackoffKey::Retirement,
        BackoffKey::Sink("sink:x".to_owned()),
    ];
    check_names(
        &lanes,
        &["login", "server", "rotation", "retirement", "sink:sink:x"],
    );
    for lane in lanes {
        assert_eq!(lane.to_string().parse::<BackoffKey>().unwrap(), lane);
    }
    assert_eq!(
        "lane".parse::<BackoffKey>().unwrap_err().to_string(),
        "unknown lane `lane`"
    );
}

#[test]
fn every_kind_of_incident_is_called_in_the_journal_what_it_is_called_elsewhere() {
    let names = [
        "login-rejected",
        "login-failed",
        "password-reset-required",
        "preflight-failed",
        "mint-failed",
        "mint-unknown",
        "mint-capped",
        "verify-failed",
        "sink-failed",
        "sink-drifted",
        "token-lost",
        "retire-failed",
        "rotation-overdue",
        "retirement-overdue",
        "clock-disagrees",
        "reload-failed",
    ];
    for name in names {
        let kind: IncidentKind = serde_json::from_value(json!(name)).unwrap();
        assert_eq!(
            (serde_json::to_value(kind).unwrap(), kind.to_string()),
            (json!(name), name.to_owned())
        );
    }
}

#[test]
fn a_rejected_login_keeps_the_tag_of_the_secret_and_nothing_else_of_it() {
    let event = Event::AttemptFailed {
        lane: BackoffKey::Login,
        incident: IncidentKind::LoginRejected,
        error: "answered 401".to_owned(),
        failures: 1,
        next_attempt_at: at(),
        rejected: Some(SecretTag::of("salt", &Secret::new("swordfish"))),
    };
    let written = serde_json::to_value(&event).unwrap();
    assert!(
        written["rejected"]
            .as_u64()
            .is_some_and(|tag| tag <= 0xffff),
        "{written}"
    );
    assert_eq!(serde_json::from_value::<Event>(written).unwrap(), event);
}
