//! Alerts out of a checkpoint are the alerts of all the rows: for any events, cut anywhere.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::event::IncidentKind;
use crate::journal::checkpoint::FormError;
use crate::journal::{Checkpoint, Entry};
use crate::secret::Secret;

fn start() -> DateTime<Utc> {
    "2026-11-22T03:30:00Z".parse().unwrap()
}

fn time() -> impl Strategy<Value = DateTime<Utc>> {
    (-200_000_i64..200_000).prop_map(|seconds| start() + TimeDelta::seconds(seconds))
}

fn incident() -> impl Strategy<Value = IncidentKey> {
    let kind = select(vec![IncidentKind::SinkFailed, IncidentKind::LoginRejected]);
    (
        select(vec!["a", "b"]),
        kind,
        select(vec![None, Some("crm".to_owned())]),
    )
        .prop_map(|(account, kind, sink)| IncidentKey {
            account: account.to_owned(),
            kind,
            sink,
        })
}

fn words() -> impl Strategy<Value = String> {
    select(vec!["", "connection refused", "\"quoted\"\nü"]).prop_map(str::to_owned)
}

fn mail() -> impl Strategy<Value = Mail> {
    (0_u64..6, prop::option::of(incident()), time(), words()).prop_map(
        |(id, incident, written_at, body)| Mail {
            id,
            message_id: format!("<{id}@example.com>"),
            references: incident.as_ref().map(|_| "<0@example.com>".to_owned()),
            written_at,
            incident,
            subject: "subject".to_owned(),
            body,
        },
    )
}

fn event() -> impl Strategy<Value = AlertEvent> {
    let news = select(vec![
        NoticeKind::Opened,
        NoticeKind::StillOpen,
        NoticeKind::Resolved,
        NoticeKind::Passed,
    ]);
    let notice = (incident(), news).prop_map(|(incident, news)| Notice { incident, news });
    let over = select(vec![Resolution::Gone, Resolution::Unmanaged]);
    let announce = select(vec![Announce::Mail, Announce::Nobody]);
    let scope = select(vec![Scope::Server, Scope::Mail]);
    prop_oneof![
        3 => (incident(), time(), any::<u32>(), words(), prop::option::of(time()), words()).prop_map(
            |(incident, since, count, cause, next_attempt_at, still_works)| AlertEvent::IncidentOpened {
                incident, since, count, cause, next_attempt_at, still_works,
            }
        ),
        2 => (incident(), over, announce)
            .prop_map(|(incident, over, announce)| AlertEvent::IncidentResolved { incident, over, announce }),
        3 => (mail(), prop::collection::vec(notice, 0..3))
            .prop_map(|(mail, notices)| AlertEvent::MailQueued { mail, notices }),
        1 => (0_u64..6).prop_map(|mail| AlertEvent::MailSent { mail, refused: vec!["x@example.com".into()] }),
        2 => (0_u64..6, words(), scope, any::<u32>(), time(), any::<bool>()).prop_map(
            |(mail, error, scope, failures, next_attempt_at, some)| AlertEvent::MailFailed {
                mail, error, scope, failures, next_attempt_at,
                settled: if some { vec!["x@example.com".into(), "y@example.com".into()] } else { vec![] },
                refused: if some { vec!["y@example.com: 550".into()] } else { vec![] },
                rejected: some.then(|| SecretTag::of("", &Secret::new("swordfish"))),
            }
        ),
        1 => (0_u64..6, words()).prop_map(|(mail, error)| AlertEvent::MailDropped { mail, error }),
        1 => Just(AlertEvent::MailHoldsLifted),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_checkpoint_and_the_rows_behind_it_come_to_the_same_as_all_alerts(
        events in prop::collection::vec((time(), event()), 1..40),
        cut in any::<Index>(),
    ) {
        let rows: Vec<Row> =
            (1..).zip(&events).map(|(seq, (at, event))| Row { seq, entry: event.to_entry(*at) }).collect();
        let whole = AlertState::from_stream(&Stream { checkpoint: None, rows: rows.clone() }).unwrap();
        let (old, kept) = rows.split_at(cut.index(rows.len()) + 1);
        let state = AlertState::default().after(old).unwrap();
        let checkpoint = Checkpoint {
            seq: old.len() as u64,
            since: old[0].entry.at,
            until: old[old.len() - 1].entry.at,
            body: checkpoint::write(AlertState::FORM, &state),
        };
        let compacted = Stream { checkpoint: Some(checkpoint), rows: kept.to_vec() };
        prop_assert_eq!(AlertState::from_stream(&compacted).unwrap(), whole);
    }
}

#[test]
fn a_checkpoint_of_a_newer_form_is_refused() {
    let Entry { at, .. } = AlertEvent::MailHoldsLifted.to_entry(start());
    let body = checkpoint::write(AlertState::FORM + 1, &"another shape");
    let checkpoint = Some(Checkpoint {
        seq: 7,
        since: at,
        until: at,
        body,
    });
    let refused = AlertState::from_stream(&Stream {
        checkpoint,
        rows: vec![],
    })
    .unwrap_err();
    assert!(
        matches!(
            &refused,
            Unreadable::Checkpoint {
                seq: 7,
                source: FormError::Newer { got: 3, known: 2 }
            }
        ),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("was it downgraded?"),
        "{refused}"
    );
}

/// The form stands in people's journals. Whoever has to change what is expected here has changed
/// the form: give it the next number, and go on reading this one.
#[test]
fn the_form_of_a_checkpoint_stays_what_it_is() {
    let incident = |account: &str| IncidentKey {
        account: account.into(),
        kind: IncidentKind::SinkFailed,
        sink: Some("crm".into()),
    };
    let opened = |account: &str| AlertEvent::IncidentOpened {
        incident: incident(account),
        since: start(),
        count: 2,
        cause: "refused".into(),
        next_attempt_at: Some(start()),
        still_works: "the rest".into(),
    };
    let mail = |id, about: Option<&str>| Mail {
        id,
        message_id: format!("<{id}@example.com>"),
        references: None,
        written_at: start(),
        incident: about.map(incident),
        subject: "subject".into(),
        body: "body".into(),
    };
    let told = |account: &str| Notice {
        incident: incident(account),
        news: NoticeKind::Opened,
    };
    let events = [
        opened("a"),
        opened("b"),
        AlertEvent::MailQueued {
            mail: mail(1, Some("a")),
            notices: vec![told("a")],
        },
        AlertEvent::MailQueued {
            mail: mail(2, None),
            notices: vec![told("b")],
        },
        AlertEvent::MailFailed {
            mail: 1,
            error: "no".into(),
            scope: Scope::Server,
            failures: 3,
            next_attempt_at: start(),
            settled: vec!["x@example.com".into(), "y@example.com".into()],
            refused: vec!["y@example.com: 550 nobody".into()],
            rejected: Some(SecretTag::of("", &Secret::new("swordfish"))),
        },
        AlertEvent::IncidentResolved {
            incident: incident("b"),
            over: Resolution::Gone,
            announce: Announce::Mail,
        },
    ];
    let rows: Vec<Row> = (1..)
        .zip(&events)
        .map(|(seq, event)| Row {
            seq,
            entry: event.to_entry(start()),
        })
        .collect();
    let state = AlertState::default().after(&rows).unwrap();
    let kept = include_str!("form-2.json");
    let value: serde_json::Value =
        serde_json::from_str(&checkpoint::write(AlertState::FORM, &state)).unwrap();
    assert_eq!(
        serde_json::to_string_pretty(&value).unwrap(),
        kept.trim_end()
    );
    assert_eq!(
        checkpoint::read::<AlertState>(AlertState::FORM, kept).unwrap(),
        state
    );
}

#[test]
fn a_checkpoint_of_the_first_form_is_still_read() {
    let kept = include_str!("form-1.json");
    let state = checkpoint::read::<AlertState>(AlertState::FORM, kept).unwrap();
    assert!(state.outbox[0].settled.is_empty() && state.refused.is_empty());
}
