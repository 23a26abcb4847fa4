//! What is chosen, what is asked of the daemon, and what is said before.

use chrono::{DateTime, Utc};

use super::choice::numbered;
use super::files::{FoundIn, FoundToken};
use super::text::{consequences, table};
use super::{AdoptAction, request};
use crate::daemon::view::ForeignTokenView;
use rotator_core::secret::Fingerprint;
use rotator_core::testing::{days, hours, policy, start};
use rotator_core::time::after;

fn token(byte: u8) -> FoundToken {
    FoundToken {
        token: ForeignTokenView {
            fingerprint: Fingerprint::of(&[byte]),
            token: "aws80:…c0a9".to_owned(),
            length: 42,
            first_seen_at: Some(start()),
            adopted_at: None,
            retires_after: None,
            held_by: Vec::new(),
            files: Vec::new(),
        },
        found_in: Vec::new(),
    }
}

fn found(path: &str, sink: Option<&str>) -> FoundIn {
    FoundIn {
        path: path.to_owned(),
        sink: sink.map(str::to_owned),
    }
}

#[test]
fn numbers_choose_rows_and_anything_else_chooses_nothing() {
    let tokens = [token(1), token(2), token(3)];
    let mut expected = vec![tokens[0].token.fingerprint, tokens[2].token.fingerprint];
    expected.sort();
    assert_eq!(numbered(&tokens, "3, 1 1\n"), Ok(expected));
    assert_eq!(numbered(&tokens, "\n"), Ok(Vec::new()));
    for wrong in ["0", "4", "-1", "all", "1 x"] {
        assert!(numbered(&tokens, wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_token_is_watched_for_in_every_file_that_holds_it() {
    let mut one = token(1);
    one.found_in = vec![found("/a", None), found("/b", Some("ivr/b"))];
    let (first, tokens) = (one.token.fingerprint, [one, token(2)]);
    let take = request("ivr", &tokens, &[first], AdoptAction::Take);
    assert_eq!(
        take.take,
        [(first, ["/a".to_owned(), "/b".to_owned()].into())].into()
    );
    assert!(take.leave.is_empty());
    let leave = request("ivr", &tokens, &[first], AdoptAction::Leave);
    assert_eq!((leave.take.len(), leave.leave), (0, [first].into()));
}

#[track_caller]
fn check_told(found: &FoundToken, now: DateTime<Utc>, expected: &[&str]) {
    let mut policy = policy([]);
    policy.retention.overlap = hours(24);
    let told = consequences(&policy, found, now);
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn who_adopts_is_told_when_it_goes_and_what_would_break() {
    let nowhere = "was found in no sink and in no given file";
    let mut lost = token(1);
    check_told(
        &lost,
        start(),
        &["1d after the next rotation at the earliest", nowhere],
    );
    lost.token.retires_after = Some(start());
    check_told(
        &lost,
        after(start(), days(20)),
        &[
            "is deleted 2026-03-23 00:00:00 UTC at the earliest",
            nowhere,
        ],
    );

    let mut served = token(1);
    served.token.held_by = vec!["app".to_owned()];
    served.found_in = vec![
        found("/etc/app.conf", Some("ivr/app")),
        found("/srv/flow.json", None),
    ];
    check_told(
        &served,
        start(),
        &[
            "after the next rotation",
            "/srv/flow.json is written by no sink: give the policy one",
        ],
    );
}

#[test]
fn the_table_names_every_place_and_no_token() {
    let mut one = token(1);
    one.token.held_by = vec!["app".to_owned()];
    one.found_in = vec![
        found("/etc/app.conf", Some("ivr/app")),
        found("/srv/flow.json", None),
    ];
    let text = table("ivr", &[one, token(2)]);
    assert!(
        text.contains("sink app, /etc/app.conf (sink ivr/app), /srv/flow.json"),
        "{text}"
    );
    assert_eq!(table("ivr", &[]), "ivr: no foreign tokens on the server");
}
