//! The words of the views: as they were, and those of a newer daemon.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

/// Each state is written and shown as this word, and read back as the same state.
#[track_caller]
fn check<T>(states: impl IntoIterator<Item = (T, &'static str)>)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug + Clone,
{
    for (state, word) in states {
        assert_eq!(serde_json::to_value(&state).unwrap(), json!(word));
        let read: T = serde_json::from_value(json!(word)).unwrap();
        assert_eq!(read, state);
    }
}

#[test]
fn each_state_keeps_its_word() {
    check([
        (AccountHealth::Ok, "ok"),
        (AccountHealth::Rotating, "rotating"),
        (AccountHealth::Failing, "failing"),
        (AccountHealth::Parked, "parked"),
    ]);
    check([
        (SinkHealth::Serving, "serving"),
        (SinkHealth::Delivered, "delivered"),
        (SinkHealth::Stale, "stale"),
        (SinkHealth::Failing, "failing"),
        (SinkHealth::Unknown, "unknown"),
    ]);
    check([
        (TokenStage::Pending, "pending"),
        (TokenStage::Current, "current"),
        (TokenStage::Previous, "previous"),
        (TokenStage::Retired, "retired"),
        (TokenStage::Lost, "lost"),
        (TokenStage::Foreign, "foreign"),
    ]);
    check([
        (StepKind::Mint, "mint"),
        (StepKind::ResolveMint, "resolve-mint"),
        (StepKind::Verify, "verify"),
        (StepKind::Deliver, "deliver"),
        (StepKind::Prove, "prove"),
        (StepKind::Notify, "notify"),
        (StepKind::Promote, "promote"),
        (StepKind::Delete, "delete"),
    ]);
    check([
        (RotationStatus::Promoted, "promoted"),
        (RotationStatus::Failing, "failing"),
        (RotationStatus::Asked, "asked"),
    ]);
}

#[test]
fn a_state_is_shown_by_its_word() {
    for (state, word) in [
        (SinkHealth::Serving.to_string(), "serving"),
        (AccountHealth::Rotating.to_string(), "rotating"),
        (TokenStage::Foreign.to_string(), "foreign"),
        (StepKind::ResolveMint.to_string(), "resolve-mint"),
    ] {
        assert_eq!(state, word);
    }
}

/// Right after an upgrade, the command of the old version may ask the new daemon, or the other way
/// round.
#[test]
fn a_word_of_a_newer_daemon_is_passed_on_as_it_came() {
    let answer = json!({
        "accounts": [{
            "name": "example",
            "steps": [
                { "action": "re-seal", "target": "app", "because": "it asked" },
                { "action": "delete", "target": null, "because": "it is old" },
            ],
            "waiting": [],
            "notices": [],
        }],
    });
    let read: PlanView = serde_json::from_value(answer.clone()).unwrap();
    let step = &read.accounts[0].steps[0];
    assert_eq!(step.action, StepKind::Other("re-seal".to_owned()));
    assert_eq!(step.action.to_string(), "re-seal");
    assert_eq!(serde_json::to_value(&read).unwrap(), answer);

    let word: Value = json!("draining");
    let state: SinkHealth = serde_json::from_value(word.clone()).unwrap();
    assert_eq!(serde_json::to_value(&state).unwrap(), word);
    // What is not a word at all is still refused.
    assert!(serde_json::from_value::<SinkHealth>(json!(7)).is_err());
}
