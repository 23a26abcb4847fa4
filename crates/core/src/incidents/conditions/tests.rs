//! Each kind of incident comes when it should, says what it should, and goes.

use super::*;
use crate::config::Foreign;
use crate::event::{Event, GenerationNo, Outcome, ReleaseCause};
use crate::plan::backoff::{FailureReport, failed};
use crate::plan::evidence::{ConsumerAck, SinkContent};
use crate::plan::tests::scene::{
    Scene, acknowledged, adoption, days, file, foreign, hours, minutes, optional, token, told,
    webhook,
};
use crate::time::delta;

fn alerts() -> AlertsPolicy {
    AlertsPolicy {
        repeat_after: hours(24),
        resolved: true,
        overdue_after: hours(24),
        email: None,
    }
}

fn all(scene: &Scene) -> Vec<Condition> {
    conditions(&scene.policy, &alerts(), &scene.state, scene.now)
}

/// What is wrong, by kind.
#[track_caller]
fn check(scene: &Scene, expected: &[IncidentKind]) {
    let found: Vec<IncidentKind> = all(scene).iter().map(|condition| condition.kind).collect();
    assert_eq!(found, expected, "{:#?}", all(scene));
}

#[track_caller]
fn only(scene: &Scene, kind: IncidentKind) -> Condition {
    let mut found = all(scene);
    found.retain(|condition| condition.kind == kind);
    assert_eq!(found.len(), 1, "{:#?}", all(scene));
    found.remove(0)
}

fn healthy() -> Scene {
    Scene::with_current([file("app"), webhook("crm")])
}

#[test]
fn nothing_is_wrong_with_a_healthy_account() {
    check(&healthy(), &[]);
}

#[test]
fn trouble_in_a_lane_is_its_incident_until_the_lane_is_clear() {
    for (lane, kind) in [
        (BackoffKey::Login, IncidentKind::LoginRejected),
        (BackoffKey::Login, IncidentKind::LoginFailed),
        (BackoffKey::Server, IncidentKind::LoginFailed),
        (BackoffKey::Server, IncidentKind::VerifyFailed),
        (BackoffKey::Rotation, IncidentKind::PreflightFailed),
        (BackoffKey::Rotation, IncidentKind::MintFailed),
        (BackoffKey::Rotation, IncidentKind::VerifyFailed),
        (BackoffKey::Retirement, IncidentKind::RetireFailed),
        (BackoffKey::Sink("app".to_owned()), IncidentKind::SinkFailed),
    ] {
        let scene = healthy().failed(lane.clone(), kind);
        check(&scene, &[kind]);
        // A hold that is lifted says nothing of the trouble being over.
        let scene = scene.happened(Event::HoldLifted {
            lane: lane.clone(),
            by: ReleaseCause::Reload,
        });
        check(&scene, &[kind]);
        check(&scene.happened(Event::LaneCleared { lane }), &[]);
    }
}

#[test]
fn two_lanes_in_the_same_trouble_are_one_incident() {
    let scene = healthy().failed(BackoffKey::Login, IncidentKind::LoginFailed);
    let since = scene.now;
    let scene = scene
        .later(minutes(1))
        .failed(BackoffKey::Server, IncidentKind::LoginFailed);
    let found = only(&scene, IncidentKind::LoginFailed);
    assert_eq!(
        (found.since, found.next_attempt_at.is_some()),
        (since, true)
    );
}

#[test]
fn an_incident_counts_its_failures_and_tells_the_first_and_the_next() {
    let scene = healthy().failed(BackoffKey::Login, IncidentKind::LoginFailed);
    let since = scene.now;
    let scene = scene
        .later(minutes(5))
        .failed(BackoffKey::Login, IncidentKind::LoginFailed);
    let scene = scene
        .later(minutes(5))
        .failed(BackoffKey::Login, IncidentKind::LoginFailed);
    let found = only(&scene, IncidentKind::LoginFailed);
    assert_eq!((found.since, found.count), (since, 3));
    let next = found.next_attempt_at.unwrap() - scene.now;
    assert!(
        (delta(minutes(1))..=delta(minutes(2))).contains(&next),
        "{next}"
    );
    assert_eq!(
        (found.cause.as_str(), found.sink),
        ("it did not work", None)
    );
    assert_eq!(
        found.still_works,
        "generation 1 stays valid in its sinks; IVR flows are not affected"
    );
}

#[test]
fn another_kind_of_trouble_in_the_same_lane_begins_anew() {
    let scene = healthy()
        .failed(BackoffKey::Login, IncidentKind::LoginFailed)
        .later(hours(1));
    let mut trouble = FailureReport::new(
        BackoffKey::Login,
        IncidentKind::LoginRejected,
        "answered 401",
    );
    trouble.rejected = Some(crate::secret::SecretTag::of(
        "",
        &crate::secret::Secret::new("wrong"),
    ));
    let event = failed(
        &scene.policy.name,
        &scene.state,
        &scene.policy.retry,
        trouble,
        scene.now,
    );
    let scene = scene.happened(event);
    let found = only(&scene, IncidentKind::LoginRejected);
    assert_eq!(found.since, scene.now);
    let next = found.next_attempt_at.unwrap() - scene.now;
    assert!((delta(hours(6))..delta(hours(7))).contains(&next), "{next}");
    check(&scene, &[IncidentKind::LoginRejected]);
}

#[test]
fn a_sink_names_itself_and_says_what_works_there() {
    let scene = healthy().failed(BackoffKey::Sink("crm".to_owned()), IncidentKind::SinkFailed);
    let found = only(&scene, IncidentKind::SinkFailed);
    assert_eq!(found.sink.as_deref(), Some("crm"));
    assert!(
        found
            .still_works
            .starts_with("generation 1 was delivered there before, stays valid")
    );
    let never = Scene::new([file("app")])
        .failed(BackoffKey::Sink("app".to_owned()), IncidentKind::SinkFailed);
    assert!(
        only(&never, IncidentKind::SinkFailed)
            .still_works
            .starts_with("this sink never held a token")
    );
    let lost = Event::TokenLost {
        generation: GenerationNo(1),
        evidence: String::new(),
    };
    assert!(
        only(&scene.happened(lost), IncidentKind::SinkFailed)
            .still_works
            .starts_with("nothing in this sink")
    );
}

// fault: told-once at incidents/conditions: a sink that is parked is no incident
#[test]
fn a_parked_sink_is_tried_by_nobody_until_someone_acts() {
    let parked = Event::DeliveryFailed {
        sink: "crm".to_owned(),
        generation: GenerationNo(1),
        outcome: Outcome::NotDone,
        parked: true,
        note: None,
    };
    let scene = healthy()
        .happened(parked)
        .failed(BackoffKey::Sink("crm".to_owned()), IncidentKind::SinkFailed);
    assert_eq!(only(&scene, IncidentKind::SinkFailed).next_attempt_at, None);
    let lifted = Event::HoldLifted {
        lane: BackoffKey::Sink("crm".to_owned()),
        by: ReleaseCause::Operator,
    };
    let scene = scene.happened(lifted);
    assert_eq!(
        only(&scene, IncidentKind::SinkFailed).next_attempt_at,
        Some(scene.now)
    );
}

#[test]
fn a_sink_that_is_taken_out_takes_its_incidents_along() {
    let scene = healthy().failed(BackoffKey::Sink("crm".to_owned()), IncidentKind::SinkFailed);
    check(
        &scene.with(|policy| policy.sinks.truncate(1)).books_kept(),
        &[],
    );
}

#[test]
fn a_drifted_sink_is_an_incident_until_it_is_proved_again() {
    let scene = healthy()
        .later(hours(1))
        .holds("app", SinkContent::Absent)
        .books_kept();
    let found = only(&scene, IncidentKind::SinkDrifted);
    assert_eq!(
        (found.since, found.sink.as_deref()),
        (scene.now, Some("app"))
    );
    assert_eq!(found.cause, "/run/app no longer held the token: nothing");
    check(&scene.proved("app", 1), &[]);
}

#[test]
fn a_password_that_must_be_changed_is_an_incident_until_a_login_says_otherwise() {
    let scene = healthy().happened(Event::PasswordReset { required: true });
    let since = scene.now;
    let scene = scene
        .later(hours(5))
        .happened(Event::PasswordReset { required: true });
    assert_eq!(
        only(&scene, IncidentKind::PasswordResetRequired).since,
        since
    );
    check(
        &scene.happened(Event::PasswordReset { required: false }),
        &[],
    );
}

#[test]
fn a_mint_that_cannot_be_told_is_an_incident_until_the_next_promotion() {
    let candidates = [foreign(1), foreign(2)].into();
    let scene = healthy().happened(Event::MintAmbiguous {
        generation: GenerationNo(2),
        candidates,
    });
    let found = only(&scene, IncidentKind::MintUnknown);
    assert!(found.cause.contains(&foreign(1).short()) && found.cause.contains(&foreign(2).short()));
    check(&scene.rotated(3), &[]);
}

#[test]
fn a_lost_token_is_an_incident_until_another_is_promoted_or_it_is_back() {
    let lost = Event::TokenLost {
        generation: GenerationNo(1),
        evidence: "RingCX refuses it".to_owned(),
    };
    let scene = healthy().happened(lost);
    let found = only(&scene, IncidentKind::TokenLost);
    assert_eq!(found.cause, "generation 1: RingCX refuses it");
    assert!(
        found
            .still_works
            .starts_with("nothing: what the sinks hold no longer works")
    );
    check(
        &scene.clone().happened(Event::Reappeared {
            generation: GenerationNo(1),
        }),
        &[],
    );
    check(&scene.rotated(2), &[]);
}

#[test]
fn clocks_that_disagree_are_an_incident_until_they_agree() {
    let scene = healthy().happened(Event::ClockDisagreed { skew_seconds: -420 });
    assert_eq!(
        only(&scene, IncidentKind::ClockDisagrees).cause,
        "the local clock is -420 s off RingCX's"
    );
    check(&scene.happened(Event::ClockAgreed), &[]);
}

#[test]
fn a_due_mint_that_the_cap_forbids_is_an_incident_until_there_is_room() {
    let scene = healthy().with(|policy| policy.retention.max_live = 1);
    check(&scene, &[]);
    let scene = scene.later(days(7));
    let found = only(&scene, IncidentKind::MintCapped);
    assert_eq!(
        (found.since, found.cause.as_str()),
        (scene.now, "1 of our tokens are alive, max-live is 1")
    );
    check(&scene.with(|policy| policy.retention.max_live = 2), &[]);
}

#[test]
fn a_rotation_is_overdue_a_day_after_it_was_due_whatever_the_reason() {
    let due = healthy().later(days(7));
    let since = due.now;
    check(&due.clone().later(hours(24) - minutes(1)), &[]);
    let late = due.clone().later(hours(24));
    assert_eq!(only(&late, IncidentKind::RotationOverdue).since, since);
    assert_eq!(
        only(&late, IncidentKind::RotationOverdue).cause,
        "the rotation is not finished"
    );
    let failing = due
        .clone()
        .failed(BackoffKey::Login, IncidentKind::LoginFailed)
        .later(hours(24));
    check(
        &failing,
        &[IncidentKind::LoginFailed, IncidentKind::RotationOverdue],
    );
    assert_eq!(
        only(&failing, IncidentKind::RotationOverdue).cause,
        "it did not work"
    );
    check(&late.rotated(2), &[]);
}

#[test]
fn a_rotation_that_was_asked_for_and_hangs_in_a_sink_is_overdue_too() {
    let scene = healthy().verified(2).later(hours(24));
    let found = only(&scene, IncidentKind::RotationOverdue);
    assert_eq!(found.since, scene.now - hours(24));
    check(&scene.proved("app", 2).proved("crm", 2).promoted(2), &[]);
}

#[test]
fn a_retirement_is_overdue_a_day_after_its_guards_of_time_opened() {
    // 14 days old after 4 more days; its overlap is long over then.
    let scene = healthy()
        .later(days(10))
        .rotated(2)
        .with(|policy| policy.schedule = crate::testing::every(days(365)));
    let due = scene.now + days(4);
    check(&scene.clone().later(days(5) - minutes(1)), &[]);
    let late = scene.later(days(5));
    let found = only(&late, IncidentKind::RetirementOverdue);
    assert_eq!(
        (found.since, found.cause.as_str()),
        (due, "generation 1 is still alive: see `plan`")
    );
    let failing = late.failed(BackoffKey::Retirement, IncidentKind::RetireFailed);
    assert_eq!(
        only(&failing, IncidentKind::RetirementOverdue).cause,
        "it did not work"
    );
    let retired = Event::Retired {
        fingerprint: token(1),
        generation: Some(GenerationNo(1)),
        by: crate::event::RetiredBy::Us,
    };
    check(
        &failing.happened(retired).happened(Event::LaneCleared {
            lane: BackoffKey::Retirement,
        }),
        &[],
    );
}

#[test]
fn a_foreign_token_is_overdue_under_adopt_only() {
    let seen = Event::ForeignSeen {
        fingerprints: [foreign(1)].into(),
    };
    let scene = Scene::new([optional(file("app"))])
        .happened(seen)
        .rotated(1)
        .later(days(15));
    let scene = scene.with(|policy| policy.schedule = crate::testing::every(days(365)));
    check(&scene, &[]);
    let scene = scene.with(|policy| policy.retention.foreign = Foreign::Adopt);
    let found = only(&scene, IncidentKind::RetirementOverdue);
    assert_eq!(found.since, scene.now - hours(24));
    assert!(found.cause.contains(&foreign(1).short()));
}

#[test]
fn a_token_adopted_by_an_operator_is_overdue_too_and_it_is_said_where_it_is() {
    let seen = Event::ForeignSeen {
        fingerprints: [foreign(1), foreign(2)].into(),
    };
    let scene = Scene::new([optional(file("app"))])
        .happened(seen)
        .rotated(1)
        .later(days(13));
    let scene = scene.with(|policy| policy.schedule = crate::testing::every(days(365)));
    let scene = scene.happened(adoption(foreign(1), ["/srv/flow.json"]));
    check(&scene.clone().later(days(2) - hours(1)), &[]);
    let found = only(&scene.later(days(2)), IncidentKind::RetirementOverdue);
    assert!(
        found.cause.contains(&format!(
            "{}, which is in /srv/flow.json,",
            foreign(1).short()
        )),
        "{}",
        found.cause
    );
}

#[test]
fn before_the_first_token_nothing_is_said_to_work() {
    let scene = Scene::new([file("app")]).failed(BackoffKey::Login, IncidentKind::LoginFailed);
    let found = only(&scene, IncidentKind::LoginFailed);
    assert_eq!(
        found.still_works,
        "there is no token yet; nothing that worked before was changed"
    );
}

#[test]
fn a_consumer_that_was_not_told_is_an_incident_of_its_sink() {
    let scene = Scene::with_current([told(file("app"), "reload")]);
    let scene = scene.failed(
        BackoffKey::Notify("app".to_owned()),
        IncidentKind::NotifyFailed,
    );
    let found = only(&scene, IncidentKind::NotifyFailed);
    assert_eq!((found.sink.as_deref(), found.count), (Some("app"), 1));
    assert!(found.still_works.contains("is not deleted"));
}

// fault: acknowledged at plan/consumers unacknowledged: a consumer is never late
#[test]
fn a_consumer_that_says_nothing_in_time_is_an_incident_and_none_once_it_does() {
    let scene = Scene::with_current([acknowledged(file("app"))]);
    check(&scene, &[]);
    let late = scene.next_pass(hours(2));
    let condition = only(&late, IncidentKind::AcknowledgementLate);
    assert_eq!(condition.since, late.now);
    assert_eq!(
        condition.cause,
        "generation 1 was to be acknowledged in /run/app.acknowledged within 2h; it has said nothing yet"
    );
    check(&late.claims("app", ConsumerAck::Uses(token(1))), &[]);
}
