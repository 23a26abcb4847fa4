//! When a token is minted, when not, and what becomes of a mint whose answer was lost.

use super::*;
use crate::event::{GenerationNo, ReleaseCause};
use crate::plan::backoff::failed;
use crate::plan::evidence::SinkContent;
use crate::plan::tests::scene::{
    Scene, days, every, file, foreign, hours, minutes, optional, token,
};
use crate::plan::tests::world::{Came, Fault, Maker, World};
use crate::secret::{Secret, SecretTag};

/// A rotation is due, sinks are fit, and the server was looked at.
fn ready() -> Scene {
    Scene::with_current([file("app")]).next_pass(days(7)).fit()
}

// fault: liveness at plan wait: a wait sets no time to wake up
#[test]
fn nothing_is_minted_before_its_time() {
    let scene = Scene::with_current([file("app")]);
    let due = scene.now + days(7);
    let scene = scene
        .next_pass(days(7) - minutes(5))
        .fit()
        .does("rest")
        .waits_for("the next rotation");
    scene.rests_until(due);
}

#[track_caller]
fn check_due(scene: &Scene, because: &str) {
    let found = due(&scene.policy, &scene.state, scene.now).map(|due| due.because.to_string());
    assert!(
        found.as_ref().is_some_and(|text| text.contains(because)),
        "{found:?}"
    );
}

#[test]
fn a_rotation_is_due_by_schedule_by_word_by_loss_and_at_the_start() {
    check_due(&ready(), "the schedule says so");
    check_due(&Scene::new([file("app")]), "there is no current token");
    check_due(
        &Scene::with_current([file("app")]).happened(Event::RotationAsked),
        "an operator asked",
    );
    let lost = Event::TokenLost {
        generation: GenerationNo(1),
        evidence: "RingCX refuses it".to_owned(),
    };
    check_due(
        &Scene::with_current([file("app")]).happened(lost),
        "generation 1 is lost: RingCX refuses it",
    );
    let scene = Scene::with_current([file("app")]);
    assert_eq!(due(&scene.policy, &scene.state, scene.now), None);
}

#[test]
fn a_promotion_answers_the_operator() {
    let scene = Scene::with_current([file("app")])
        .happened(Event::RotationAsked)
        .fit()
        .does("mint 2");
    let scene = scene
        .rotated(2)
        .all_hold(2)
        .listed_as_current([token(1), token(2)]);
    scene.does("rest");
}

#[test]
fn a_mint_needs_a_look_at_the_sinks_and_a_fresh_list_as_baseline() {
    let mut scene = Scene::with_current([file("app")])
        .later(days(7))
        .does("look whether sinks are fit");
    scene = scene
        .fit()
        .does("list by login")
        .listed_by_login([token(1), foreign(1)])
        .books_kept();
    let baseline = [token(1), foreign(1)].into();
    assert_eq!(
        scene.decision().next,
        Next::Do(Step::Mint {
            generation: GenerationNo(2),
            baseline
        })
    );
}

#[test]
fn an_unfit_required_sink_stops_the_rotation_before_a_token_is_minted() {
    let scene = ready()
        .unfit("app")
        .does("record attempt-failed")
        .books_kept();
    assert_eq!(
        scene.state.trouble(&BackoffKey::Rotation),
        Some(IncidentKind::PreflightFailed)
    );
    let again = scene.next_try(BackoffKey::Rotation);
    let scene = scene
        .does("rest")
        .waits_for("the next try of the rotation")
        .rests_until(again);
    scene
        .next_pass(std::time::Duration::from_secs(30))
        .does("look whether sinks are fit");
}

#[test]
fn a_rotation_that_failed_and_is_not_due_any_more_is_no_trouble() {
    let scene = ready().failed(BackoffKey::Rotation, IncidentKind::MintFailed);
    let scene = scene
        .with(|policy| policy.schedule = every(days(30)))
        .does("record lane-cleared")
        .books_kept();
    assert_eq!(scene.state.trouble(&BackoffKey::Rotation), None);
    scene.does("rest").waits_for("the next rotation");
}

// fault: liveness at plan try_login_again: a login that failed is not tried again
#[test]
fn a_login_that_failed_is_tried_again_though_nothing_needs_it_any_more() {
    let scene =
        Scene::with_current([file("app")]).failed(BackoffKey::Login, IncidentKind::LoginFailed);
    let again = scene.state.lanes[&BackoffKey::Login].next_attempt_at;
    let scene = scene.next_pass(minutes(0)).rests_until(again);
    scene
        .next_pass(minutes(1))
        .does("list by login")
        .listed_by_login([token(1)])
        .does("rest");
}

#[test]
fn an_unfit_sink_that_is_told_of_already_is_not_told_of_twice() {
    let lane = BackoffKey::Sink("app".to_owned());
    let scene = ready().holds("app", SinkContent::Unreadable("gone".to_owned()));
    let scene = scene
        .failed(lane.clone(), IncidentKind::SinkFailed)
        .unfit("app");
    let again = scene.next_try(lane);
    let scene = scene
        .does("rest")
        .waits_for("sinks that fail (sink app: the disk is full)")
        .rests_until(again);
    assert_eq!(scene.state.trouble(&BackoffKey::Rotation), None);
}

#[test]
fn an_unfit_optional_sink_stops_nothing() {
    let scene = Scene::with_current([file("app"), optional(file("extra"))]).next_pass(days(7));
    scene.unfit("extra").does("mint 2");
}

// fault: mint-cap at plan/mint rotate: max-live is no cap
#[test]
fn with_max_live_alive_nothing_is_minted() {
    let capped = |max_live| ready().with(|policy| policy.retention.max_live = max_live);
    capped(2).does("mint 2");
    capped(1)
        .does("rest")
        .waits_for("max-live is 1: nothing is minted");
}

// fault: mint-cap at account live_count: mints that may be among foreign tokens do not count
#[test]
fn the_cap_counts_mints_whose_token_may_be_among_foreign_ones() {
    let ambiguous = |scene: Scene| {
        let candidates: BTreeSet<_> = [foreign(1), foreign(2)].into();
        let seen = Event::ForeignSeen {
            fingerprints: candidates.clone(),
        };
        scene.happened(seen).happened(Event::MintAmbiguous {
            generation: GenerationNo(2),
            candidates,
        })
    };
    let scene = ambiguous(ready().with(|policy| policy.retention.max_live = 2));
    let scene = scene
        .listed_as_current([token(1), foreign(1), foreign(2)])
        .does("rest")
        .waits_for("max-live");
    // Both are gone: so is ours. One list that lacks them may be a part.
    scene
        .listed_as_current([token(1)])
        .does("wait")
        .waited()
        .does("list again")
        .listed_as_current([token(1)])
        .does("record foreign-gone")
        .books_kept()
        .does("mint 2");
}

/// A mint was sent and its outcome is not known.
fn unknown() -> Scene {
    let baseline = [token(1), foreign(7)].into();
    let scene = ready().happened(Event::ForeignSeen {
        fingerprints: [foreign(7)].into(),
    });
    let mut scene = scene.happened(Event::MintIntended {
        generation: GenerationNo(2),
        baseline,
    });
    scene.seen.server_changed();
    scene
}

// proves: no-blind-mint, one-open-intent
// fault: no-blind-mint at plan/mint resolve_open_mint: a lost mint is given up without a look
#[test]
fn a_mint_whose_answer_is_missing_is_never_repeated_blind() {
    unknown().does("list by login");
    let foreseen: Vec<Action> = unknown()
        .decision()
        .steps
        .iter()
        .map(|step| step.action)
        .collect();
    assert_eq!(foreseen, [Action::ResolveMint]);
    unknown()
        .restarted()
        .fit()
        .all_hold(1)
        .does("list by login");
    // A list with the current token may come from before.
    unknown()
        .listed_as_current([token(1)])
        .does("list by login");
}

// proves: no-blind-mint, one-open-intent, intent-first
// fault: intent-first at account/fold: an announced mint is forgotten
// fault: one-open-intent at plan/mint rotate: another mint is begun while one is open or pending
#[test]
fn a_lost_mint_is_recovered_from_the_list() {
    let scene = unknown()
        .listed_by_login([token(1), foreign(7), token(2)])
        .does("record minted")
        .books_kept();
    let recovered = scene.state.pending().unwrap();
    assert_eq!(
        (recovered.fingerprint, recovered.learnt),
        (token(2), MintSource::Recovered)
    );
    scene.does("verify 2");
}

#[test]
fn a_mint_that_never_happened_is_repeated_and_stays_open_for_a_while() {
    let scene = unknown()
        .listed_by_login([token(1), foreign(7)])
        .does("record mint-missing")
        .books_kept();
    scene
        .clone()
        .does("mint 3")
        .waits_for("a late arrival of the lost mint of generation 2");
    assert_eq!(scene.state.lost_mints[0].open_until, scene.now + minutes(4));
}

#[test]
fn among_several_new_tokens_none_is_touched_and_minting_goes_on() {
    let new = [token(1), foreign(7), foreign(1), foreign(2)];
    let scene = unknown()
        .listed_by_login(new)
        .does("record foreign-seen, mint-ambiguous")
        .books_kept();
    assert_eq!(scene.state.foreign.len(), 3);
    scene.does("mint 3");
}

#[test]
fn under_keep_a_lost_mint_stays_foreign() {
    let scene = unknown().with(|policy| policy.retention.lost_mint = LostMintPolicy::Keep);
    let scene = scene.listed_by_login([token(1), foreign(7), token(2)]);
    let scene = scene
        .does("record foreign-seen, mint-ambiguous")
        .books_kept();
    assert!(scene.state.foreign.contains_key(&token(2)));
    let late = missing().with(|policy| policy.retention.lost_mint = LostMintPolicy::Keep);
    late.listed_by_login([token(1), foreign(7), token(2)])
        .does("record foreign-seen, mint-ambiguous");
}

/// The mint of generation 2 was given up.
fn missing() -> Scene {
    unknown()
        .listed_by_login([token(1), foreign(7)])
        .books_kept()
}

#[test]
fn a_late_arrival_within_the_time_is_taken_for_the_lost_mint() {
    let scene = missing()
        .later(minutes(3))
        .listed_by_login([token(1), foreign(7), token(2)]);
    let scene = scene.does("record minted").books_kept();
    assert_eq!(
        scene.state.pending().map(|generation| generation.number),
        Some(GenerationNo(2))
    );
}

#[test]
fn a_late_arrival_after_another_mint_is_not_published_but_deleted() {
    let scene = missing().rotated(3).all_hold(3).later(minutes(3));
    let scene = scene.listed_as_current([token(1), foreign(7), token(2), token(3)]);
    let scene = scene.does("record minted, abandoned").books_kept();
    scene.does("delete 2");
}

#[test]
fn a_late_arrival_after_the_time_is_foreign() {
    let scene =
        missing()
            .rotated(3)
            .all_hold(3)
            .listed_as_current([token(1), foreign(7), token(3)]);
    let scene = scene
        .next_pass(minutes(4))
        .does("record lost-mint-closed")
        .books_kept();
    scene
        .listed_as_current([token(1), foreign(7), token(3), token(2)])
        .does("record foreign-seen");
}

#[test]
fn the_last_chance_of_a_lost_mint_is_a_list_had_after_its_time() {
    let scene =
        missing()
            .rotated(3)
            .all_hold(3)
            .listed_as_current([token(1), foreign(7), token(3)]);
    let scene = scene.later(minutes(4)).does("list by login");
    // With no login to be had, the end of the hold is waited for, and not in vain at once.
    let scene = scene.failed(BackoffKey::Login, IncidentKind::LoginFailed);
    let until = scene.next_try(BackoffKey::Login);
    scene.does("rest").rests_until(until);
}

#[test]
fn a_lost_mint_whose_time_is_up_does_not_get_in_the_way_of_an_open_one() {
    let scene = missing().later(minutes(3));
    let intended = Event::MintIntended {
        generation: GenerationNo(3),
        baseline: [token(1), foreign(7)].into(),
    };
    let mut scene = scene.happened(intended).later(minutes(1));
    scene.seen.server_changed();
    let scene = scene
        .does("list by login")
        .listed_by_login([token(1), foreign(7)]);
    let scene = scene.does("record mint-missing").books_kept();
    let still_open: Vec<u64> = scene
        .state
        .lost_mints
        .iter()
        .map(|lost| lost.generation.0)
        .collect();
    assert_eq!(still_open, [3]);
    scene.does("mint 4");
}

#[test]
fn several_lost_mints_with_one_arrival_name_it_after_the_first() {
    let scene = missing();
    let intended = Event::MintIntended {
        generation: GenerationNo(3),
        baseline: [token(1), foreign(7)].into(),
    };
    let scene = scene
        .happened(intended)
        .listed_by_login([token(1), foreign(7)])
        .books_kept();
    assert_eq!(scene.state.lost_mints.len(), 2);
    let scene = scene
        .listed_by_login([token(1), foreign(7), token(2)])
        .does("record minted, abandoned");
    let scene = scene.books_kept();
    assert_eq!(scene.state.lost_mints.len(), 1);
}

#[test]
fn an_open_mint_is_settled_though_the_clock_was_set_back() {
    let mut scene = unknown();
    scene.now -= hours(1);
    scene
        .listed_by_login([token(1), foreign(7), token(2)])
        .does("record minted");
}

// fault: liveness at account held_until: what failed before the clock was set back is held back for
//   that much longer
#[test]
fn a_hold_ends_when_the_clock_is_set_back_behind_its_beginning() {
    let scene = ready()
        .failed(BackoffKey::Rotation, IncidentKind::MintFailed)
        .does("rest");
    let mut scene = scene.happened(Event::RotationAsked);
    scene.now -= days(1);
    scene.listed_as_current([token(1)]).does("mint 2");
}

#[test]
fn a_rotation_made_while_the_clock_was_ahead_is_made_again_once_it_is_right() {
    let mut scene = Scene::new([file("app")])
        .later(days(3650))
        .rotated(1)
        .all_hold(1);
    scene.now -= days(3650);
    check_due(&scene, "the clock was set back");
    // As long as it is not known which clock is right, nothing is minted for that.
    scene.skew = Some(chrono::TimeDelta::hours(-1));
    let scene = scene
        .listed_as_current([token(1)])
        .does("record clock-disagreed")
        .books_kept();
    scene.does("rest");
}

#[test]
fn a_healthy_account_is_looked_at_every_check_every_whatever_the_clock_did() {
    let checked = Scene::with_current([file("app")]);
    let next = checked.decision().wake_at - checked.now;
    let next = next.to_std().unwrap();
    assert!((minutes(13)..=minutes(15)).contains(&next), "{next:?}");
    let mut later = checked.clone();
    later.now += minutes(15);
    later.does("list as current");
    // The clock was a day ahead when it was looked last.
    let mut back = checked;
    back.now -= days(1);
    back.happened(Event::Promoted {
        generation: GenerationNo(1),
    })
    .does("list as current");
}

fn tag(password: &str) -> SecretTag {
    SecretTag::of("", &Secret::new(password))
}

/// The server said no to the login.
fn rejected() -> Scene {
    let mut scene = Scene::new([file("app")])
        .holds("app", SinkContent::Absent)
        .fit();
    let mut trouble = FailureReport::new(
        BackoffKey::Login,
        IncidentKind::LoginRejected,
        "answered 401",
    );
    trouble.rejected = Some(tag("first"));
    let event = failed(
        &scene.policy.name,
        &scene.state,
        &scene.policy.retry,
        trouble,
        scene.now,
    );
    scene.seen.secret_tag = Some(tag("first"));
    scene.happened(event)
}

#[test]
fn a_rejected_login_is_held_for_long_across_restarts_too() {
    let scene = rejected();
    let until = scene.state.lanes[&BackoffKey::Login].next_attempt_at;
    let wait = (until - scene.now).to_std().unwrap();
    assert!((hours(6)..hours(7)).contains(&wait), "{wait:?}");
    scene
        .clone()
        .does("rest")
        .waits_for("the next try of the rotation");
    let mut restarted = scene
        .restarted()
        .later(wait - minutes(1))
        .holds("app", SinkContent::Absent)
        .fit();
    restarted.seen.secret_tag = Some(tag("first"));
    let mut restarted = restarted.rests_until(until);
    restarted.now = until;
    restarted.does("list by login");
}

#[test]
fn a_changed_secret_lifts_a_rejected_login() {
    let mut scene = rejected();
    scene.seen.secret_tag = Some(tag("second"));
    scene
        .does("record hold-lifted")
        .books_kept()
        .does("list by login");
}

#[test]
fn a_reload_or_an_operator_lifts_a_rejected_login() {
    for by in [ReleaseCause::Reload, ReleaseCause::Operator] {
        rejected()
            .happened(Event::HoldLifted {
                lane: BackoffKey::Login,
                by,
            })
            .does("list by login");
    }
}

#[test]
fn a_restart_resets_no_back_off() {
    let mut scene = ready();
    let mut waits = Vec::new();
    for _ in 0..5 {
        scene = scene
            .failed(BackoffKey::Rotation, IncidentKind::MintFailed)
            .restarted();
        let until = scene
            .state
            .held_until(&BackoffKey::Rotation, scene.now)
            .unwrap();
        waits.push((until - scene.now).num_seconds());
        scene.now = until;
    }
    for (wait, most) in waits.into_iter().zip([30, 60, 120, 240, 480]) {
        assert!((most / 2..=most).contains(&wait), "{wait} of {most}");
    }
    assert_eq!(scene.state.consecutive_failures(), 5);
}

// proves: two-looks
#[test]
fn a_token_that_two_looks_miss_is_lost_and_replaced_at_once() {
    let scene = Scene::with_current([file("app")])
        .next_pass(minutes(15))
        .listed_by_login([]);
    // Its text is nowhere, so that no call can be made with it: another list has to do.
    let scene = scene
        .does("wait")
        .waited()
        .does("list by login")
        .listed_by_login([])
        .does("record token-lost")
        .books_kept();
    scene.fit().does("mint 2");
}

// fault: two-looks at plan/evidence is_apart: two looks at the same moment are two
#[test]
fn two_looks_at_the_same_moment_are_one() {
    let scene = Scene::with_current([file("app")])
        .next_pass(minutes(15))
        .listed_by_login([])
        .listed_by_login([]);
    scene.does("wait");
}

// fault: two-looks at plan/evidence agrees: lists are believed where a call can be made
#[test]
fn a_token_that_a_call_proves_alive_is_alive_whatever_lists_say() {
    let scene = Scene::with_current([file("app")])
        .at_hand([token(1)])
        .next_pass(minutes(15));
    let mut scene = scene.at_hand([token(1)]).listed_by_login([]);
    for _ in 0..3 {
        scene = scene.does("list as current").listed_by_login([]);
    }
    // Two of its own calls agree that the list is wrong. That is told once, and nothing is lost.
    let scene = scene.listed_as_current([]).does("wait").waited();
    let scene = scene.does("list as current").listed_as_current([]);
    let scene = scene
        .does("record list-disagreed")
        .books_kept()
        .does("rest");
    let scene = scene
        .next_pass(minutes(15))
        .at_hand([token(1)])
        .listed_as_current([])
        .does("rest");
    assert_eq!(scene.state.live_count(), 1);
    let scene = scene
        .listed_as_current([token(1)])
        .does("record list-agreed")
        .books_kept();
    scene.does("rest");
}

// fault: two-looks at plan/doubts fresh_until: a token is lost as soon as it is minted
#[test]
fn a_fresh_token_is_not_lost_before_it_may_be_known_everywhere() {
    let scene = Scene::with_current([file("app")])
        .at_hand([token(1)])
        .refused(token(1))
        .listed_by_login([]);
    let until = scene.now + minutes(2);
    let scene = scene.does("rest").waits_for("generation 1");
    let scene = scene.next_pass(minutes(1)).at_hand([token(1)]).does("rest");
    let mut scene = scene.at_hand([token(1)]);
    scene.now = until;
    scene
        .does("list as current")
        .refused(token(1))
        .does("record token-lost");
}

// fault: two-looks at plan/evidence saw_list: what spoke against a token outlasts its return
#[test]
fn a_token_that_is_back_is_not_lost_by_what_spoke_against_it_before() {
    let scene = Scene::with_current([file("app")])
        .next_pass(minutes(15))
        .listed_by_login([]);
    let scene = scene.waited().listed_by_login([]).books_kept();
    assert!(scene.state.current().is_none(), "it is lost");
    let scene = scene
        .fit()
        .listed_by_login([token(1)])
        .does("record reappeared");
    scene.books_kept().does("rest");
}

// fault: two-looks at plan/evidence agrees: one look is enough to call a token lost
#[test]
fn one_look_that_misses_a_token_loses_nothing() {
    let scene = Scene::with_current([file("app")])
        .at_hand([token(1)])
        .listed_by_login([])
        .does("list as current");
    scene.listed_as_current([token(1)]).does("rest");
}

#[test]
fn a_lost_token_that_is_back_is_current_again() {
    let lost = Event::TokenLost {
        generation: GenerationNo(1),
        evidence: String::new(),
    };
    let scene = Scene::with_current([file("app")])
        .happened(lost)
        .listed_by_login([token(1)]);
    let scene = scene.does("record reappeared").books_kept();
    assert_eq!(
        scene.state.current().map(|generation| generation.number),
        Some(GenerationNo(1))
    );
    scene.does("rest");
}

/// An hour with this fault in the first mint.
fn life_with(fault: Fault) -> World {
    let mut world = World::new(crate::plan::tests::scene::policy([file("app")])).telling();
    loop {
        let is_mint = matches!(world.next(), Some(Next::Do(Step::Mint { .. })));
        let came = world
            .step(if is_mint { fault } else { Fault::None })
            .unwrap();
        if is_mint || matches!(came, Came::ToRest(_)) {
            break;
        }
    }
    world.live(hours(1)).unwrap();
    world
}

#[test]
fn whatever_becomes_of_a_mint_one_token_is_current_in_the_end() {
    for (fault, left) in [
        (Fault::None, 1),
        (Fault::Before, 1),
        (Fault::NoEffect, 1),
        (Fault::NoAnswer, 1),
        (Fault::CrashBefore, 1),
        (Fault::CrashAfter, 1),
        (Fault::Late(minutes(3)), 1),
        (Fault::Late(minutes(30)), 2),
    ] {
        let world = life_with(fault);
        let done = world.deeds();
        assert_eq!(world.alive().len(), left, "{fault:?}: {done:?}");
        let current = world
            .state
            .current()
            .map(|generation| generation.fingerprint);
        assert_eq!(world.held_by("app"), current, "{fault:?}: {done:?}");
        assert!(
            current.is_some_and(|fingerprint| world.maker(&fingerprint) == Maker::Us),
            "{fault:?}: {done:?}"
        );
    }
}
