//! From a minted token to a current one in every sink, whatever a sink does.

use super::*;
use crate::event::{Event, GenerationNo, IncidentKind, Outcome, ReleaseCause};
use crate::plan::tests::scene::{Scene, file, hours, minutes, optional, token, webhook};

/// Generation 2 is verified and in no sink yet.
fn pending(sinks: impl IntoIterator<Item = SinkPolicy>) -> Scene {
    let scene = Scene::with_current(sinks)
        .verified(2)
        .listed_as_current([token(1), token(2)]);
    with_text(scene)
}

fn with_text(mut scene: Scene) -> Scene {
    scene.seen.values = scene.state.in_use().into_iter().collect();
    scene
}

fn refused(scene: Scene, sink: &str, outcome: Outcome, parked: bool) -> Scene {
    let newest = scene.state.pending().or(scene.state.current());
    let (sink, generation) = (sink.to_owned(), newest.unwrap().number);
    let lane = BackoffKey::Sink(sink.clone());
    let scene = scene.happened(Event::DeliveryIntended {
        sink: sink.clone(),
        generation,
    });
    let failed = Event::DeliveryFailed {
        sink,
        generation,
        outcome,
        parked,
        note: None,
    };
    scene
        .happened(failed)
        .failed(lane, IncidentKind::SinkFailed)
}

// fault: order at account/proof Verified: a token is published before it was seen to work
#[test]
fn a_token_is_verified_before_it_is_delivered() {
    Scene::with_current([file("app")])
        .minted(2)
        .does("verify 2");
}

// proves: order
#[test]
fn all_sinks_are_delivered_to_side_by_side_then_proved_then_it_is_promoted() {
    let scene = pending([file("app"), webhook("crm")]).does("deliver 2 to app, crm");
    let mut scene = scene
        .delivered("app", 2)
        .delivered("crm", 2)
        .all_hold(2)
        .does("prove 2 in app, crm");
    scene = scene.proved("app", 2).proved("crm", 2).does("promote 2");
    scene.promoted(2).waits_for("the next rotation");
}

// fault: rest at plan wake: it rests until a time that is past
#[test]
fn one_failing_sink_holds_up_no_other() {
    let scene = pending([file("app"), webhook("crm")]);
    let scene = refused(
        scene
            .delivered("app", 2)
            .holds("app", SinkContent::Token(token(2))),
        "crm",
        Outcome::NotDone,
        false,
    );
    let scene = scene.does("prove 2 in app").proved("app", 2);
    scene
        .clone()
        .does("rest")
        .waits_for("the next try of sink crm")
        .rests_until(scene.next_try(BackoffKey::Sink("crm".to_owned())));
}

// fault: order at account/proof Proved: a token is promoted before each required sink is proved
#[test]
fn a_failed_required_sink_leaves_the_token_pending_and_is_tried_with_the_same_one() {
    let scene = pending([file("app"), webhook("crm")])
        .proved("app", 2)
        .holds("app", SinkContent::Token(token(2)));
    let scene = refused(scene, "crm", Outcome::Unknown, false).does("rest");
    // However long it takes, and whatever falls due meanwhile.
    let scene = scene
        .happened(Event::RotationAsked)
        .next_pass(hours(24 * 30));
    with_text(scene)
        .does("deliver 2 to crm")
        .delivered("crm", 2)
        .proved("crm", 2)
        .does("promote 2");
}

#[test]
fn a_failing_optional_sink_does_not_stop_promotion() {
    let scene = pending([file("app"), optional(webhook("crm"))])
        .proved("app", 2)
        .holds("app", SinkContent::Token(token(2)));
    let scene = refused(scene, "crm", Outcome::NotDone, false)
        .does("promote 2")
        .promoted(2);
    // And is tried again with what is current.
    with_text(scene.next_pass(minutes(1))).does("deliver 2 to crm");
}

#[test]
fn a_parked_sink_is_left_alone_until_someone_acts() {
    let scene = pending([webhook("crm")]);
    let scene = refused(scene, "crm", Outcome::NotDone, true).next_pass(hours(24));
    let scene = scene.does("rest").waits_for("sink crm is parked");
    let lifted = Event::HoldLifted {
        lane: BackoffKey::Sink("crm".to_owned()),
        by: ReleaseCause::Reload,
    };
    scene.happened(lifted).does("deliver 2 to crm");
}

// fault: intent-first at account/fold: an announced delivery is forgotten
#[test]
fn a_delivery_that_was_interrupted_is_made_again() {
    let intended = Event::DeliveryIntended {
        sink: "crm".to_owned(),
        generation: GenerationNo(2),
    };
    pending([webhook("crm")])
        .happened(intended)
        .restarted()
        .holds("crm", SinkContent::Opaque)
        .does("deliver 2 to crm");
    // A file is looked at instead.
    let intended = Event::DeliveryIntended {
        sink: "app".to_owned(),
        generation: GenerationNo(2),
    };
    pending([file("app")])
        .happened(intended)
        .all_hold(2)
        .does("prove 2 in app");
}

#[test]
fn what_is_not_there_after_a_delivery_is_proved_and_backs_off() {
    for found in [
        SinkContent::Absent,
        SinkContent::Token(token(1)),
        SinkContent::Other("two different tokens".to_owned()),
        SinkContent::Unreadable("permission denied".to_owned()),
    ] {
        let scene = pending([file("app")])
            .delivered("app", 2)
            .holds("app", found);
        let scene = scene
            .does("prove 2 in app")
            .failed(BackoffKey::Sink("app".to_owned()), IncidentKind::SinkFailed);
        scene
            .does("rest")
            .next_pass(minutes(1))
            .does("deliver 2 to app");
    }
}

#[test]
fn a_new_sink_gets_the_current_token_without_a_mint() {
    let scene = Scene::with_current([file("app")]).with(|policy| policy.sinks.push(webhook("crm")));
    let scene = scene
        .does("record sink-bound")
        .books_kept()
        .holds("crm", SinkContent::Opaque);
    let scene = with_text(scene)
        .does("deliver 1 to crm")
        .delivered("crm", 1)
        .does("prove 1 in crm");
    scene.proved("crm", 1).does("rest");
}

#[test]
fn a_file_that_lost_its_token_is_repaired_and_told_of() {
    for (found, in_words) in [
        (SinkContent::Absent, "nothing"),
        (SinkContent::Token(token(9)), "another token"),
        (
            SinkContent::Other("two different tokens".to_owned()),
            "two different tokens",
        ),
    ] {
        let scene = Scene::with_current([file("app")])
            .holds("app", found)
            .does("record drifted")
            .books_kept();
        let (_, told) = scene.state.sinks["app"].drifted.clone().unwrap();
        assert!(told.contains(in_words), "{told}");
        let scene = scene
            .does("deliver 1 to app")
            .delivered("app", 1)
            .does("prove 1 in app");
        let scene = scene.proved("app", 1).all_hold(1).does("rest");
        assert_eq!(scene.state.sinks["app"].drifted, None);
    }
}

#[test]
fn a_file_that_someone_keeps_overwriting_backs_off() {
    let other = || SinkContent::Token(token(9));
    let scene = Scene::with_current([file("app")])
        .holds("app", other())
        .books_kept();
    let scene = scene
        .does("deliver 1 to app")
        .delivered("app", 1)
        .holds("app", other());
    let scene = scene
        .does("prove 1 in app")
        .failed(BackoffKey::Sink("app".to_owned()), IncidentKind::SinkFailed);
    let scene = scene
        .does("rest")
        .next_pass(minutes(1))
        .does("deliver 1 to app");
    scene.delivered("app", 1).does("prove 1 in app");
}

// fault: monotone at plan/deliver plan_sink: a sink may go back to an older token
#[test]
fn a_sink_never_goes_back_to_an_older_token() {
    let lost = Event::TokenLost {
        generation: GenerationNo(2),
        evidence: String::new(),
    };
    let scene = pending([file("app"), file("b")])
        .proved("app", 2)
        .happened(lost)
        .holds("app", SinkContent::Token(token(2)));
    let scene = scene
        .happened(Event::RotationAsked)
        .happened(Event::AttemptFailed {
            lane: BackoffKey::Rotation,
            incident: IncidentKind::MintFailed,
            error: String::new(),
            failures: 1,
            next_attempt_at: crate::plan::tests::scene::start() + hours(1),
            rejected: None,
        });
    scene
        .listed_as_current([token(1)])
        .does("rest")
        .waits_for("a newer token for sink app");
}

// fault: fail-static at plan/deliver settles_doubt: a token in doubt is handed on
// fault: two-looks at plan/evidence agrees: a refusal is enough to call a token lost
#[test]
fn a_token_in_doubt_is_not_handed_on() {
    let scene = pending([file("app")])
        .at_hand([token(1), token(2)])
        .later(minutes(3))
        .refused(token(2));
    scene
        .does("list by login")
        .listed_by_login([token(1)])
        .does("wait")
        .waited()
        .does(&format!("list as {}", token(2).short()))
        .refused(token(2))
        .does("record token-lost");
}

// proves: two-looks
#[test]
fn a_token_that_only_a_sink_inside_ringcx_refuses_is_in_no_trouble_itself() {
    let mut scene = pending([file("app")])
        .at_hand([token(1), token(2)])
        .later(minutes(3));
    for _ in 0..3 {
        scene.seen.saw_refusal_in_a_sink(token(2), scene.now);
        scene = scene
            .does(&format!("list as {}", token(2).short()))
            .listed_as(token(2), [token(1), token(2)]);
    }
    let mut scene = scene.does("deliver 2 to app");
    scene.seen.saw_refusal_in_a_sink(token(2), scene.now);
    scene
        .refused(token(2))
        .does("list by login")
        .listed_by_login([token(1)])
        .does("wait")
        .waited()
        .refused(token(2))
        .does("record token-lost");
}

#[test]
fn a_sink_taken_out_is_told_of_while_it_holds_a_token_of_ours() {
    let scene =
        Scene::with_current([file("app"), file("extra")]).with(|policy| policy.sinks.truncate(1));
    let mut scene = scene.does("record sink-released").books_kept();
    scene
        .seen
        .released
        .insert("extra".to_owned(), SinkContent::Token(token(1)));
    let notices = scene.decision().notices;
    assert!(
        notices
            .iter()
            .map(ToString::to_string)
            .any(|text| text.contains("/run/extra") && text.contains("generation 1")),
        "{notices:?}"
    );
    scene
        .seen
        .released
        .insert("extra".to_owned(), SinkContent::Token(token(9)));
    assert_eq!(scene.decision().notices, []);
}

#[test]
fn a_sink_with_another_target_is_another_sink() {
    let scene = Scene::with_current([file("app")]);
    let scene = scene.with(|policy| policy.sinks[0].kind = file("elsewhere").kind);
    let scene = scene
        .does("record sink-released, sink-bound")
        .books_kept()
        .holds("app", SinkContent::Absent);
    with_text(scene).does("deliver 1 to app");
}

fn login(username: &'static str) -> impl FnOnce(&mut crate::config::AccountPolicy) {
    |policy| policy.login = crate::plan::tests::scene::login(username)
}

#[test]
fn another_user_starts_a_new_line_and_deletes_nothing_of_the_old_one() {
    let scene = Scene::with_current([file("app")])
        .restarted()
        .with(login("other@example.com"));
    let scene = scene
        .does("record line-started")
        .books_kept()
        .all_hold(1)
        .later(hours(24 * 30))
        .listed_by_login([]);
    let notices = scene.decision().notices;
    assert!(
        notices
            .iter()
            .map(ToString::to_string)
            .any(|text| text.contains("minted by ivr-bot@example.com")),
        "{notices:?}"
    );
    let scene = scene
        .fit()
        .does("mint 2")
        .rotated(2)
        .all_hold(2)
        .listed_as_current([token(2)]);
    scene.next_pass(hours(24)).does("rest");
}

#[test]
fn back_at_the_first_user_its_current_token_is_so_again() {
    let scene = Scene::with_current([file("app")]).restarted();
    let scene = scene.with(login("other@example.com")).books_kept();
    let scene = scene
        .with(login("ivr-bot@example.com"))
        .books_kept()
        .all_hold(1);
    let scene = scene
        .listed_by_login([token(1)])
        .does("record reappeared")
        .books_kept()
        .fit();
    assert_eq!(
        scene.state.current().map(|generation| generation.number),
        Some(GenerationNo(1))
    );
    scene.does("rest");
}

#[test]
fn back_at_the_first_user_a_token_that_was_replaced_meanwhile_is_an_old_one() {
    let scene = Scene::with_current([file("app")]).restarted();
    let scene = scene
        .with(login("other@example.com"))
        .books_kept()
        .rotated(2);
    let scene = scene
        .with(login("ivr-bot@example.com"))
        .books_kept()
        .all_hold(2);
    let scene = scene
        .listed_by_login([token(1)])
        .does("record reappeared")
        .books_kept()
        .fit();
    let scene = scene
        .does("mint 3")
        .rotated(3)
        .all_hold(3)
        .next_pass(hours(24 * 30));
    let scene =
        scene.with(|policy| policy.schedule = crate::plan::tests::scene::every(hours(24 * 365)));
    scene
        .listed_as_current([token(1), token(3)])
        .does("delete 1");
}

#[test]
fn while_the_server_asks_to_be_left_alone_only_what_needs_it_not_is_done() {
    let scene = pending([file("app")]);
    let until = scene.now + minutes(10);
    let scene = scene
        .happened(Event::ServerQuiet { until })
        .does("deliver 2 to app")
        .delivered("app", 2)
        .all_hold(2);
    scene.does("rest").waits_for("RingCX").rests_until(until);
}
