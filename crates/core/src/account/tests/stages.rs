//! Where a token is in its life, from what happened to it.

use crate::account::{LOGIN_WINDOW, RETIRED_KEPT, Stage};
use crate::event::{Event, GenerationNo, MintSource, RetiredBy};
use crate::plan::tests::scene::{Scene, days, file, minutes, token};

#[track_caller]
fn check(scene: &Scene, expected: &[(u64, Stage)]) {
    let found: Vec<_> = scene
        .state
        .generations
        .values()
        .map(|generation| (generation.number.0, generation.stage()))
        .collect();
    assert_eq!(found, expected);
}

fn retired(number: u64) -> Event {
    Event::Retired {
        fingerprint: token(number),
        generation: Some(GenerationNo(number)),
        by: RetiredBy::Us,
    }
}

#[test]
fn a_token_goes_from_pending_over_current_and_previous_to_retired() {
    let scene = Scene::new([file("app")]).minted(1);
    check(&scene, &[(1, Stage::Pending)]);
    let scene = scene.rotated(1);
    check(&scene, &[(1, Stage::Current)]);
    let scene = scene.verified(2);
    check(&scene, &[(1, Stage::Current), (2, Stage::Pending)]);
    let scene = scene.promoted(2);
    check(&scene, &[(1, Stage::Previous), (2, Stage::Current)]);
    check(
        &scene.happened(retired(1)),
        &[(1, Stage::Retired), (2, Stage::Current)],
    );
}

#[test]
fn a_lost_token_that_is_back_is_what_it_was_or_previous() {
    let lost = |number| Event::TokenLost {
        generation: GenerationNo(number),
        evidence: String::new(),
    };
    let back = |number| Event::Reappeared {
        generation: GenerationNo(number),
    };
    let scene = Scene::with_current([file("app")]).happened(lost(1));
    check(&scene, &[(1, Stage::Lost)]);
    check(&scene.clone().happened(back(1)), &[(1, Stage::Current)]);
    check(
        &scene.rotated(2).happened(back(1)),
        &[(1, Stage::Previous), (2, Stage::Current)],
    );
}

#[test]
fn a_late_arrival_never_takes_the_place_of_a_newer_token() {
    let late = Event::Minted {
        generation: GenerationNo(1),
        fingerprint: token(1),
        how: MintSource::Late,
    };
    let given_up = Event::Abandoned {
        generation: GenerationNo(1),
        reason: String::new(),
    };
    let scene = Scene::new([file("app")])
        .rotated(2)
        .happened(late)
        .happened(given_up);
    check(&scene, &[(1, Stage::Previous), (2, Stage::Current)]);
    assert_eq!(scene.state.next_generation(), GenerationNo(3));
}

#[test]
fn a_delivery_survives_as_the_newest_generation_a_sink_was_sent() {
    let scene = Scene::new([file("app")])
        .rotated(1)
        .verified(2)
        .delivered("app", 2);
    let record = &scene.state.sinks["app"];
    assert_eq!(
        (record.intended, record.proved.map(|(number, _)| number)),
        (Some(GenerationNo(2)), Some(GenerationNo(1)))
    );
}

#[test]
fn tokens_lost_one_after_the_other_are_forgotten_too() {
    let mut scene = Scene::new([file("app")]);
    for number in 1..=RETIRED_KEPT as u64 + 5 {
        let lost = Event::TokenLost {
            generation: GenerationNo(number),
            evidence: String::new(),
        };
        scene = scene.rotated(number).happened(lost);
    }
    assert_eq!(scene.state.generations.len(), RETIRED_KEPT);
    assert!(
        scene
            .state
            .generations
            .contains_key(&GenerationNo(RETIRED_KEPT as u64 + 5)),
        "the newest are kept"
    );
}

#[test]
fn tokens_long_gone_are_forgotten_and_those_alive_are_not() {
    let mut scene = Scene::new([file("app")]);
    let many = RETIRED_KEPT as u64 + 20;
    for number in 1..=many {
        scene = scene.rotated(number);
    }
    for number in 2..many {
        scene = scene.happened(retired(number));
    }
    assert_eq!(scene.state.generations.len(), RETIRED_KEPT + 2);
    assert_eq!(
        scene
            .state
            .previous()
            .map(|generation| generation.number.0)
            .collect::<Vec<_>>(),
        [1]
    );
    assert_eq!(
        scene.state.current().map(|generation| generation.number.0),
        Some(many)
    );
    assert_eq!(scene.state.next_generation(), GenerationNo(many + 1));
}

#[test]
fn logins_are_counted_for_a_minute_and_not_from_a_time_to_come() {
    let login = |scene: Scene| scene.happened(Event::LoginAttempted);
    let mut scene = login(login(Scene::new([file("app")]).later(days(1))));
    assert_eq!(scene.state.recent_logins(scene.now), 2);
    assert_eq!(
        scene.state.recent_logins(scene.now + minutes(1)),
        2,
        "the server heard of them later"
    );
    assert_eq!(scene.state.recent_logins(scene.now + LOGIN_WINDOW), 0);
    // The clock was a day ahead.
    scene.now -= days(1);
    assert_eq!(scene.state.recent_logins(scene.now), 0);
    assert_eq!(login(scene).state.logins.len(), 1);
}
