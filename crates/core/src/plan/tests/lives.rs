//! Whole lives, step by step, with nothing that goes wrong.

use super::scene::{days, file, hours, policy, webhook};
use super::world::World;

#[test]
fn a_first_pass_makes_a_current_token_in_every_sink() {
    let mut world = World::new(policy([file("app"), webhook("crm")])).telling();
    world.pass().unwrap();
    assert_eq!(
        world.deeds(),
        [
            "mint 1",
            "verify 1",
            "deliver 1 to app, crm",
            "prove 1 in app, crm",
            "promote 1"
        ]
    );
    assert!(world.held_by("app").is_some());
    assert_eq!(world.held_by("app"), world.held_by("crm"));
}

#[test]
fn a_year_goes_by_with_a_token_a_week_and_no_more_than_four_alive() {
    let mut policy = policy([file("app")]);
    policy.check_every = hours(12);
    let mut world = World::new(policy).telling();
    world.live(days(364)).unwrap();
    let count = |verb: &str| {
        world
            .deeds()
            .iter()
            .filter(|did| did.starts_with(verb))
            .count()
    };
    assert_eq!((count("mint"), count("promote")), (53, 53));
    assert!(count("delete") >= 50);
    world.live(hours(1)).unwrap();
    assert!(world.alive().len() <= 4);
}
