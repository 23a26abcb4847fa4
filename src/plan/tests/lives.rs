//! Whole lives, step by step, with one thing that goes wrong.

use super::scene::{days, file, hours, policy, webhook};
use super::world::World;

#[test]
fn a_first_pass_makes_a_current_token_in_every_sink() {
    let mut world = World::new(policy([file("app"), webhook("crm")]));
    let (done, _) = world.pass();
    let deeds: Vec<&str> = done
        .iter()
        .map(String::as_str)
        .filter(|did| !did.starts_with("record") && !did.contains("look"))
        .collect();
    assert_eq!(
        deeds,
        ["list by login", "mint 1", "verify 1", "deliver 1 to app, crm", "prove 1 in app, crm", "promote 1"]
    );
    assert_eq!(world.held_by("app"), world.held_by("crm"));
}

#[test]
fn a_year_goes_by_with_a_token_a_week_and_no_more_than_four_alive() {
    let mut world = World::new(policy([file("app")]));
    world.policy.check_every = hours(12);
    let done = world.live(days(364));
    let count = |deed: &str| done.iter().filter(|did| did.starts_with(deed)).count();
    assert_eq!((count("mint"), count("promote")), (53, 53));
    assert!(count("delete") >= 50);
    world.live(hours(1));
    assert!(world.alive().len() <= 4);
}
