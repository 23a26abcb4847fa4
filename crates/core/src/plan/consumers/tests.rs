//! Consumers are told once of what is proved, and what they may still use is kept.

use crate::config::SinkPolicy;
use crate::event::{BackoffKey, Event, GenerationNo, IncidentKind, Outcome};
use crate::plan::evidence::{ConsumerAck, SinkContent};
use crate::plan::tests::scene::{
    Scene, acknowledged, days, file, hours, minutes, optional, token, told, webhook,
};

/// Generation 2 is in every sink and promoted a moment ago.
fn rotated(sinks: impl IntoIterator<Item = SinkPolicy>) -> Scene {
    let scene = Scene::with_current(sinks).rotated(2).all_hold(2);
    scene.listed_as_current([token(1), token(2)])
}

/// The same, so much later that generation 1 may go as far as time goes.
fn ripe(sinks: impl IntoIterator<Item = SinkPolicy>) -> Scene {
    let scene = rotated(sinks)
        .with(|policy| policy.schedule.timing = crate::config::Timing::Every(days(99)));
    scene.next_pass(days(20))
}

// fault: consumers-told at account/fold: what is owed is forgotten once the sink is proved
// fault: consumers-told at account/fold: that a consumer was notified is forgotten
#[test]
fn a_consumer_is_told_once_its_sink_is_proved_and_not_again() {
    let scene = rotated([told(file("app"), "reload"), webhook("crm")]).does("notify app");
    let scene = scene.notified("app", 2).waits_for("the next rotation");
    scene
        .restarted()
        .all_hold(2)
        .listed_as_current([token(1), token(2)])
        .does("rest");
}

#[test]
fn sinks_that_tell_in_the_same_way_tell_once() {
    let scene = rotated([
        told(file("a"), "reload"),
        told(file("b"), "reload"),
        told(file("c"), "other"),
    ]);
    let scene = scene.does("notify a, b").notified("a", 2).notified("b", 2);
    scene.does("notify c");
}

#[test]
fn nobody_is_told_of_what_is_not_proved_yet() {
    let scene = Scene::with_current([told(file("app"), "reload")])
        .notified("app", 1)
        .verified(2);
    let scene = scene
        .listed_as_current([token(1), token(2)])
        .does("deliver 2 to app");
    let scene = scene.delivered("app", 2).all_hold(2).does("prove 2 in app");
    scene
        .proved("app", 2)
        .does("promote 2")
        .promoted(2)
        .does("notify app");
}

// fault: consumers-told, order at plan/consumers is_settled: a consumer is notified before its sink
//   is proved (the exploration fails, too)
#[test]
fn a_consumer_is_not_told_while_its_sink_does_not_take_the_token() {
    let scene = Scene::with_current([told(file("app"), "reload")])
        .notified("app", 1)
        .verified(2);
    let (sink, generation) = ("app".to_owned(), GenerationNo(2));
    let failed = Event::DeliveryFailed {
        sink,
        generation,
        outcome: Outcome::NotDone,
        parked: false,
        note: None,
    };
    let scene = scene.intended("app", 2).happened(failed);
    let scene = scene.failed(BackoffKey::Sink("app".to_owned()), IncidentKind::SinkFailed);
    let scene = scene.all_hold(1).listed_as_current([token(1), token(2)]);
    scene.waits_for("the next try of sink app").does("rest");
}

// fault: consumers-told at plan/consumers notifications_owed: nothing is owed for a delivery
#[test]
fn after_a_crash_between_writing_and_telling_it_is_told() {
    // The file was replaced, and nothing after that was written down.
    let scene = Scene::with_current([told(file("app"), "reload")])
        .notified("app", 1)
        .verified(2);
    let scene = scene
        .intended("app", 2)
        .restarted()
        .all_hold(2)
        .listed_as_current([token(1), token(2)]);
    let proved = Event::Proved {
        sink: "app".to_owned(),
        generation: GenerationNo(2),
    };
    scene
        .does("prove 2 in app")
        .happened(proved)
        .promoted(2)
        .does("notify app");
}

#[test]
fn a_file_that_was_lost_and_written_again_is_told_of() {
    let scene = rotated([told(file("app"), "reload")]).notified("app", 2);
    let scene = scene
        .holds("app", SinkContent::Absent)
        .books_kept()
        .does("deliver 2 to app");
    scene
        .intended("app", 2)
        .proved("app", 2)
        .all_hold(2)
        .does("notify app");
}

// fault: consumers-told at plan/deliver plan_sink: nothing is owed where a sink that was put back
//   holds the token
#[test]
fn the_consumer_of_a_sink_that_is_put_back_is_told_though_it_holds_the_token_already() {
    let scene = rotated([told(file("app"), "reload")]);
    let scene = scene
        .happened(Event::SinkReleased {
            sink: "app".to_owned(),
        })
        .books_kept()
        .all_hold(2);
    let scene = scene.books_kept().does("prove 2 in app");
    let proved = Event::Proved {
        sink: "app".to_owned(),
        generation: GenerationNo(2),
    };
    scene
        .happened(proved)
        .does("notify app")
        .notified("app", 2)
        .does("rest");
}

#[test]
fn telling_that_fails_is_tried_again_after_its_back_off_and_holds_up_nothing_else() {
    let scene = rotated([told(file("app"), "reload")]).failed(lane(), IncidentKind::NotifyFailed);
    let scene = scene.does("rest").waits_for("the next try of reload");
    scene.later(minutes(1)).does("notify app");
}

fn lane() -> BackoffKey {
    BackoffKey::Notify("app".to_owned())
}

#[test]
fn a_consumer_that_nobody_wants_told_any_more_is_no_trouble() {
    let scene = rotated([told(file("app"), "reload")]).failed(lane(), IncidentKind::NotifyFailed);
    let scene = scene
        .with(|policy| policy.sinks[0].notify = None)
        .does("record lane-cleared");
    scene.books_kept().does("rest");
}

// fault: consumers-told at plan/retire check_consumer: a consumer that was not notified is no guard
#[test]
fn one_is_kept_while_the_consumer_of_a_required_sink_was_not_told() {
    let scene = ripe([told(file("app"), "reload")]).failed(lane(), IncidentKind::NotifyFailed);
    let scene = scene
        .waits_for("the consumer of sink app was not told of a newer one")
        .does("rest");
    scene.notified("app", 2).books_kept().does("delete 1");
    let best_effort = ripe([file("app"), optional(told(file("extra"), "reload"))]);
    best_effort
        .failed(
            BackoffKey::Notify("extra".to_owned()),
            IncidentKind::NotifyFailed,
        )
        .does("delete 1");
}

// fault: consumers-told at plan/retire check_consumer: a sink that was never proved is no guard
#[test]
fn one_is_kept_while_a_sink_with_a_consumer_was_never_proved() {
    // Another token is on its way, so the sink that was put back is not looked into.
    let scene = ripe([told(file("app"), "reload")])
        .notified("app", 2)
        .does("delete 1")
        .minted(3);
    let scene = scene
        .happened(Event::SinkReleased {
            sink: "app".to_owned(),
        })
        .books_kept()
        .all_hold(2);
    let scene = scene.failed(BackoffKey::Rotation, IncidentKind::VerifyFailed);
    scene
        .waits_for("the consumer of sink app was not told of a newer one")
        .does("rest");
}

// fault: acknowledged at plan/retire check_consumer: a consumer that has said nothing is no guard
// fault: acknowledged at plan/observations note_acknowledgements: any acknowledgement counts as one
//   of the newest token
#[test]
fn one_is_kept_until_the_consumer_says_that_it_uses_a_newer_one() {
    let scene = ripe([acknowledged(file("app"))]).does("rest");
    let scene = scene.waits_for("the consumer of sink app has not said that it uses a newer one");
    scene
        .clone()
        .claims("app", ConsumerAck::UsesGeneration(GenerationNo(1)))
        .does("rest");
    scene
        .clone()
        .claims(
            "app",
            ConsumerAck::Odd("says nothing that makes sense".to_owned()),
        )
        .does("rest");
    scene
        .clone()
        .claims("app", ConsumerAck::Uses(token(2)))
        .does("delete 1");
    scene
        .clone()
        .claims("app", ConsumerAck::UsesGeneration(GenerationNo(2)))
        .does("delete 1");
    // One that was never ours tells nothing.
    scene
        .claims("app", ConsumerAck::UsesGeneration(GenerationNo(77)))
        .does("rest");
    ripe([file("app"), optional(acknowledged(file("extra")))]).does("delete 1");
}

// fault: acknowledged at plan/observations note_acknowledgements: a consumer that goes back to an
//   older token is ignored
#[test]
fn a_consumer_that_goes_back_to_an_older_one_keeps_it() {
    let scene = ripe([acknowledged(file("app"))])
        .claims("app", ConsumerAck::Uses(token(2)))
        .does("delete 1");
    scene
        .claims("app", ConsumerAck::Uses(token(1)))
        .does("rest");
}

#[test]
fn what_was_said_once_holds_when_the_file_is_gone() {
    let scene = ripe([acknowledged(file("app"))]).claims("app", ConsumerAck::Uses(token(2)));
    scene.next_pass(hours(1)).does("delete 1");
}

#[test]
fn an_acknowledgement_is_waited_for_until_it_is_late() {
    let scene = rotated([acknowledged(file("app"))]);
    let scene = scene.waits_for("the consumer of sink app to acknowledge generation 2");
    let late_at = scene.now + hours(2);
    let decision = scene.decision();
    let wait = decision
        .waiting
        .iter()
        .find(|wait| wait.what.to_string().contains("acknowledge"))
        .unwrap();
    assert_eq!(wait.until, Some(late_at));
    let late = scene.later(hours(3)).decision();
    let wait = late
        .waiting
        .iter()
        .find(|wait| wait.what.to_string().contains("acknowledge"))
        .unwrap();
    assert_eq!(wait.until, None);
}
