//! Kinds and events belong together.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::event::BackoffKey;
use crate::testing::{events, start};

#[test]
fn names_and_numbers_are_unique() {
    let names: BTreeSet<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
    let ids: BTreeSet<&str> = EventKind::ALL
        .iter()
        .map(|kind| kind.message_id())
        .collect();
    assert_eq!((names.len(), ids.len()), (47, 47));
    for kind in EventKind::ALL {
        assert_eq!(kind.message_id().len(), 32, "{}", kind.name());
        assert!(!kind.message().is_empty() && !kind.message().ends_with('.'));
    }
}

fn failed(incident: IncidentKind) -> Event {
    Event::AttemptFailed {
        lane: BackoffKey::Login,
        incident,
        error: String::new(),
        failures: 1,
        next_attempt_at: start(),
        rejected: None,
    }
}

#[test]
fn only_a_rejected_login_makes_an_attempt_an_error() {
    assert_eq!(failed(IncidentKind::LoginRejected).level(), Level::Error);
    assert_eq!(failed(IncidentKind::LoginFailed).level(), Level::Warn);
    let reset = |required| Event::PasswordReset { required };
    assert_eq!(reset(true).level(), Level::Error);
    assert_eq!(reset(false).level(), Level::Info);
    assert_eq!(
        reset(false).message(),
        EventKind::PasswordResetOver.message()
    );
}

proptest! {
    /// The name in the log is the name in the journal, but for the two kinds of
    /// `password-reset`.
    #[test]
    fn a_log_line_is_named_as_its_row_in_the_journal(event in events::event()) {
        let row = serde_json::to_value(&event).unwrap();
        let name = row["kind"].as_str().unwrap();
        prop_assert!(event.kind().name().starts_with(name), "{name}: {}", event.kind().name());
    }
}
