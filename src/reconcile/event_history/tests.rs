//! What a checkpoint keeps is what the rows it stands for come to: for any events, cut anywhere.

use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::store::SqliteJournal;
use rotator_core::event::{BackoffKey, GenerationNo, IncidentKind, MintSource, Outcome, RetiredBy};
use rotator_core::secret::{Fingerprint, Secret, SecretTag};
use rotator_core::testing::events::events;
use rotator_core::testing::start;

fn rows(events: &[(DateTime<Utc>, Event)]) -> Vec<Row> {
    (1..)
        .zip(events)
        .map(|(seq, (at, event))| Row {
            seq,
            entry: entry(*at, None, event),
        })
        .collect()
}

fn checkpoint_of(rows: &[Row], body: String) -> Option<Checkpoint> {
    let (first, last) = rows.first().zip(rows.last())?;
    Some(Checkpoint {
        seq: last.seq,
        since: first.entry.at,
        until: last.entry.at,
        body,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_checkpoint_and_the_rows_behind_it_come_to_the_same_as_all_rows(
        events in events(),
        cuts in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let rows = rows(&events);
        let whole = fold("a", AccountState::default(), &rows).unwrap();
        // Compacted twice, the second time from the first checkpoint on.
        let (one, two) = (cuts.0.index(rows.len() + 1), cuts.1.index(rows.len() + 1));
        let (one, two) = (one.min(two), one.max(two));
        let first = fold("a", AccountState::default(), &rows[..one]).unwrap();
        let first = checkpoint_of(&rows[..one], checkpoint::write(AccountState::FORM, &first));
        let second = fold("a", begin("a", first.as_ref()).unwrap(), &rows[one..two]).unwrap();
        let second = checkpoint_of(&rows[..two], checkpoint::write(AccountState::FORM, &second));
        prop_assert_eq!(fold("a", begin("a", second.as_ref()).unwrap(), &rows[two..]).unwrap(), whole);
    }
}

async fn journal_with(dir: &std::path::Path, count: usize) -> SqliteJournal {
    let journal = SqliteJournal::open(dir).unwrap();
    let events = (0..count as i64).map(|n| {
        let event = match n % 3 {
            0 => Event::LoginAttempted,
            1 => Event::ClockDisagreed { skew_seconds: n },
            _ => Event::ClockAgreed,
        };
        entry(start() + TimeDelta::seconds(n), None, &event)
    });
    journal.append("a", 0, events.collect()).await.unwrap();
    journal
}

#[tokio::test]
async fn a_long_stream_is_cut_to_half_and_a_short_one_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let journal = journal_with(dir.path(), checkpoint::MOST_ROWS).await;
    assert_eq!(
        compact(&journal, "a").await.unwrap().rows,
        checkpoint::MOST_ROWS
    );
    assert_eq!(history(&journal, "a").await.unwrap().compacted, None);

    let one = vec![entry(
        start() + TimeDelta::hours(9),
        None,
        &Event::RotationAsked,
    )];
    journal
        .append("a", checkpoint::MOST_ROWS as u64, one)
        .await
        .unwrap();
    let (state, length) = load(&journal, "a").await.unwrap();
    assert!(length.is_long());
    assert_eq!(
        compact(&journal, "a").await.unwrap().rows,
        checkpoint::MOST_ROWS / 2
    );

    assert_eq!(load_state(&journal, "a").await.unwrap(), state);
    let EventHistory { compacted, events } = history(&journal, "a").await.unwrap();
    let compacted = compacted.expect("a checkpoint");
    assert_eq!((compacted.rows, compacted.since), (1_001, start()));
    assert_eq!(compacted.until, start() + TimeDelta::seconds(1_000));
    assert_eq!(
        (events.len(), events[0].seq, events[999].seq),
        (1_000, 1_002, 2_001)
    );
    assert_eq!(events[999].event, Event::RotationAsked);
}

#[tokio::test]
async fn a_checkpoint_of_a_newer_form_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let journal = journal_with(dir.path(), 3).await;
    let newer = r#"{"form":9,"state":{"what":"nobody knows yet"}}"#;
    journal.compact("a", 2, newer.to_owned()).await.unwrap();
    let error = load_state(&journal, "a").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "journal stream `a`: the checkpoint of rows 1 to 2 is of form 9, this ringcx-rotator knows up to 1: \
         was it downgraded?"
    );
    // The trail can still be read, and is what it was.
    let trail = history(&journal, "a").await.unwrap();
    assert_eq!(
        (
            trail.compacted.map(|compacted| compacted.rows),
            trail.events.len()
        ),
        (Some(2), 1)
    );
    assert_eq!(
        journal
            .load("a")
            .await
            .unwrap()
            .checkpoint
            .map(|checkpoint| checkpoint.body),
        Some(newer.to_owned())
    );
}

/// An account in which everything that can be kept is there.
fn full_life() -> Vec<Event> {
    let text = |text: &str| text.to_owned();
    let number = GenerationNo;
    let token = |byte: u8| Fingerprint::of(&[byte]);
    let failed = |lane, rejected| Event::AttemptFailed {
        lane,
        incident: IncidentKind::LoginRejected,
        error: text("no"),
        failures: 2,
        next_attempt_at: start(),
        rejected,
    };
    vec![
        Event::LineStarted {
            username: text("bot"),
            platform_id: text("aws80"),
        },
        Event::SinkBound {
            sink: text("old"),
            sink_type: text("file"),
            target: text("/old"),
        },
        Event::SinkReleased { sink: text("old") },
        Event::SinkBound {
            sink: text("app"),
            sink_type: text("file"),
            target: text("/app"),
        },
        Event::LoginAttempted,
        Event::PasswordReset { required: true },
        Event::MintIntended {
            generation: number(1),
            baseline: [].into(),
        },
        Event::Minted {
            generation: number(1),
            fingerprint: token(1),
            how: MintSource::Answered,
        },
        Event::Verified {
            generation: number(1),
        },
        Event::DeliveryIntended {
            sink: text("app"),
            generation: number(1),
        },
        Event::Delivered {
            sink: text("app"),
            generation: number(1),
            taken: rotator_core::event::DeliveryReceipt::default(),
        },
        Event::Proved {
            sink: text("app"),
            generation: number(1),
        },
        Event::Promoted {
            generation: number(1),
        },
        Event::Drifted {
            sink: text("app"),
            generation: number(1),
            found: text("nothing"),
        },
        Event::ForeignSeen {
            fingerprints: [token(9)].into(),
        },
        Event::Adopted {
            fingerprint: token(9),
            length: 42,
            files: [text("/f")].into(),
            held_by: [text("/f"), text("app")].into(),
        },
        Event::AdoptedHeld {
            fingerprint: token(9),
            held_by: [text("/f")].into(),
        },
        Event::MintIntended {
            generation: number(2),
            baseline: [token(1)].into(),
        },
        Event::MintMissing {
            generation: number(2),
            open_until: start(),
        },
        Event::MintIntended {
            generation: number(3),
            baseline: [token(1)].into(),
        },
        Event::MintAmbiguous {
            generation: number(3),
            candidates: [token(9)].into(),
        },
        Event::MintIntended {
            generation: number(4),
            baseline: [token(1)].into(),
        },
        Event::Minted {
            generation: number(4),
            fingerprint: token(4),
            how: MintSource::Recovered,
        },
        Event::Abandoned {
            generation: number(4),
            reason: text("it never worked"),
        },
        Event::DeleteIntended {
            fingerprint: token(4),
            generation: Some(number(4)),
            because: text("b"),
        },
        Event::Retired {
            fingerprint: token(4),
            generation: Some(number(4)),
            by: RetiredBy::Us,
        },
        Event::MintIntended {
            generation: number(5),
            baseline: [token(1)].into(),
        },
        Event::DeliveryFailed {
            sink: text("app"),
            generation: number(1),
            outcome: Outcome::Unknown,
            parked: true,
            note: None,
        },
        Event::DeleteIntended {
            fingerprint: token(9),
            generation: None,
            because: text("b"),
        },
        Event::TokenLost {
            generation: number(1),
            evidence: text("not listed"),
        },
        Event::RotationAsked,
        Event::ClockDisagreed { skew_seconds: 301 },
        failed(
            BackoffKey::Login,
            Some(SecretTag::of("salt", &Secret::new("swordfish"))),
        ),
        failed(BackoffKey::Sink(text("app")), None),
        Event::RingexAttempted {
            client_id: text("the-app"),
        },
        Event::RingexQuiet {
            client_id: text("the-app"),
            until: start(),
        },
    ]
}

/// The form stands in people's journals. Whoever has to change what is expected here has changed
/// the form: give it the next number, and go on reading this one.
#[test]
fn the_form_of_a_checkpoint_stays_what_it_is() {
    let events: Vec<_> = full_life()
        .into_iter()
        .map(|event| (start(), event))
        .collect();
    let state = fold("a", AccountState::default(), &rows(&events)).unwrap();
    let written = checkpoint::write(AccountState::FORM, &state);
    let value: Value = serde_json::from_str(&written).unwrap();
    let kept = include_str!("form-1.json");
    assert_eq!(
        serde_json::to_string_pretty(&value).unwrap(),
        kept.trim_end()
    );
    assert_eq!(
        checkpoint::read::<AccountState>(AccountState::FORM, kept).unwrap(),
        state
    );
    // Those from before it was kept when a mint was given up do not have that.
    let mut older = value;
    older["state"]["lost_mints"][0]
        .as_object_mut()
        .and_then(|lost| lost.remove("since"))
        .expect("it was written");
    let read: AccountState = checkpoint::read(AccountState::FORM, &older.to_string()).unwrap();
    let mut before = state;
    before.lost_mints[0].since = None;
    assert_eq!(read, before);
}

#[test]
fn nothing_that_a_checkpoint_says_is_passed_over() {
    let mut value: Value = serde_json::from_str(include_str!("form-1.json")).unwrap();
    value["state"]["of_tomorrow"] = Value::Bool(true);
    let error =
        checkpoint::read::<AccountState>(AccountState::FORM, &value.to_string()).unwrap_err();
    assert!(error.to_string().contains("of_tomorrow"), "{error}");
}
