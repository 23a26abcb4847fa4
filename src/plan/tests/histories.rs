//! Histories drawn at random: steps that go wrong in every way, sinks that fail, others who mint and
//! revoke, clocks that are set, policies that change, crashes. `World` checks the invariants after each
//! move; here it is checked that every history comes to a good end once nothing goes wrong any more.

use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::sample::select;

use super::scene::{days, every, file, hours, login, minutes, optional, policy, webhook};
use super::world::{Came, Fault, Maker, Refusal, World};
use crate::event::Learnt;
use crate::policy::{AccountPolicy, Foreign, LostMint, SinkPolicy};

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The next thing the plan wants, with this fault.
    Step(Fault),
    /// All that is due, without a fault.
    Pass,
    /// Passes without a fault for so many hours.
    Live(u64),
    Crash,
    /// A sink begins to refuse, or works again.
    Refuse(&'static str, Option<Refusal>),
    /// A file can be read no more, or again.
    Unreadable(&'static str, bool),
    /// A file is gone.
    Lose(&'static str),
    /// A file gets another token.
    Overwrite(&'static str),
    MintForeign,
    /// Someone deletes the oldest or the newest token of the account's user.
    RevokeOldest,
    RevokeNewest,
    Wait(Duration),
    SetClock(i64),
    ServerDown(bool),
    /// The password is changed on the server, or in the policy's source.
    NewPassword,
    TellPassword,
    Ask,
    Reload(Change),
}

/// A change of the policy.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    /// A sink is taken out, or put back.
    Toggle(&'static str),
    /// A sink becomes optional, or required.
    Demand(&'static str),
    /// Another user, or the first one again.
    User(&'static str),
    /// Another path, or the first one again.
    Move(&'static str),
    /// Max-age and overlap, in hours.
    Retention(u64, u64),
    Foreign(Foreign),
}

const NAMES: [&str; 3] = ["app", "crm", "extra"];
/// Max-age and overlap, in hours. With none, a sink that serves a token is all that keeps it.
const RETENTIONS: [(u64, u64); 3] = [(0, 0), (2, 1), (48, 6)];
const FILES: [&str; 2] = ["app", "extra"];

fn sink(name: &str) -> SinkPolicy {
    match name {
        "crm" => webhook("crm"),
        "extra" => optional(file("extra")),
        _ => file(name),
    }
}

fn apply(change: Change, policy: &mut AccountPolicy) {
    match change {
        Change::Nothing => {}
        Change::Toggle(name) => match policy.sinks.iter().position(|it| it.name == name) {
            Some(at) => _ = policy.sinks.remove(at),
            None => policy.sinks.push(sink(name)),
        },
        Change::Demand(name) => {
            for sink in policy.sinks.iter_mut().filter(|sink| sink.name == name) {
                sink.required = !sink.required;
            }
        }
        Change::User(username) => policy.login = login(username),
        Change::Move(name) => {
            for sink in policy.sinks.iter_mut().filter(|sink| sink.name == name) {
                let moved = file(&format!("{name}-moved")).kind;
                sink.kind = if sink.kind == moved { file(name).kind } else { moved };
            }
        }
        Change::Retention(max_age, overlap) => {
            (policy.retention.max_age, policy.retention.overlap) = (hours(max_age), hours(overlap));
        }
        Change::Foreign(foreign) => policy.retention.foreign = foreign,
    }
}

fn make(world: &mut World, next: Move) {
    let has = |world: &World, name: &str| world.policy.sinks.iter().any(|sink| sink.name == name);
    match next {
        Move::Step(fault) => {
            let _: Came = world.step(fault);
        }
        Move::Pass => _ = world.pass(),
        Move::Live(count) => _ = world.live(hours(count)),
        Move::Crash => world.crash(),
        Move::Refuse(name, refusal) if has(world, name) => world.place(name).refuses = refusal,
        Move::Unreadable(name, is_so) if has(world, name) => world.place(name).unreadable = is_so,
        Move::Lose(name) if has(world, name) => world.place(name).holds = None,
        Move::Overwrite(name) if has(world, name) => {
            let other = world.mint_foreign();
            world.place(name).holds = Some(other);
        }
        Move::Refuse(..) | Move::Unreadable(..) | Move::Lose(_) | Move::Overwrite(_) => {}
        Move::MintForeign => _ = world.mint_foreign(),
        Move::RevokeOldest => {
            let token = world.state.own().find(|it| it.is_alive()).map(|it| it.fingerprint);
            token.into_iter().for_each(|token| world.revoke(token));
        }
        Move::RevokeNewest => {
            let token = world.state.own().rfind(|it| it.is_alive()).map(|it| it.fingerprint);
            token.into_iter().for_each(|token| world.revoke(token));
        }
        Move::Wait(time) => world.wait(time),
        Move::SetClock(seconds) => world.set_clock(TimeDelta::seconds(seconds)),
        Move::ServerDown(is_so) => world.server.down = is_so,
        Move::NewPassword => world.server.password = "second",
        Move::TellPassword => world.password = world.server.password,
        Move::Ask => world.ask(),
        Move::Reload(change) => world.reload(|policy| apply(change, policy)),
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Before),
        1 => Just(Fault::NoEffect),
        2 => Just(Fault::NoAnswer),
        1 => select(vec![minutes(1), minutes(3), minutes(30)]).prop_map(Fault::Late),
        1 => Just(Fault::Denied),
        1 => Just(Fault::CrashBefore),
        2 => Just(Fault::CrashAfter),
    ]
}

fn some_move() -> impl Strategy<Value = Move> {
    let refusal = select(vec![
        None,
        Some(Refusal::NotDone),
        Some(Refusal::NoAnswer),
        Some(Refusal::Silent),
        Some(Refusal::Gone),
        Some(Refusal::Lies),
    ]);
    let waits = [Duration::from_secs(20), minutes(1), minutes(5), hours(1), hours(7), days(1), days(3)];
    let change = prop_oneof![
        Just(Change::Nothing),
        select(NAMES.to_vec()).prop_map(Change::Toggle),
        select(NAMES.to_vec()).prop_map(Change::Demand),
        select(vec!["ivr-bot@example.com", "other@example.com"]).prop_map(Change::User),
        select(FILES.to_vec()).prop_map(Change::Move),
        select(RETENTIONS.to_vec()).prop_map(|(max_age, overlap)| Change::Retention(max_age, overlap)),
        select(vec![Foreign::Keep, Foreign::Adopt]).prop_map(Change::Foreign),
    ];
    prop_oneof![
        30 => fault().prop_map(Move::Step),
        6 => Just(Move::Pass),
        6 => select(vec![2_u64, 30, 75]).prop_map(Move::Live),
        3 => Just(Move::Crash),
        4 => (select(NAMES.to_vec()), refusal).prop_map(|(name, refusal)| Move::Refuse(name, refusal)),
        1 => (select(FILES.to_vec()), any::<bool>()).prop_map(|(name, is_so)| Move::Unreadable(name, is_so)),
        1 => select(FILES.to_vec()).prop_map(Move::Lose),
        1 => select(FILES.to_vec()).prop_map(Move::Overwrite),
        1 => Just(Move::MintForeign),
        1 => Just(Move::RevokeOldest),
        1 => Just(Move::RevokeNewest),
        8 => select(waits.to_vec()).prop_map(Move::Wait),
        1 => select(vec![-86_400_i64, -400, -60, 60, 400, 86_400]).prop_map(Move::SetClock),
        2 => any::<bool>().prop_map(Move::ServerDown),
        1 => Just(Move::NewPassword),
        1 => Just(Move::TellPassword),
        4 => Just(Move::Ask),
        4 => change.prop_map(Move::Reload),
    ]
}

/// Nothing goes wrong any more: clocks are right, sinks work, an operator has done what incidents ask for.
fn mend(world: &mut World) {
    world.server.down = false;
    world.password = world.server.password;
    let off = world.skew;
    world.set_clock(-off);
    for place in world.places.values_mut() {
        (place.refuses, place.unreadable) = (None, false);
    }
    world.reload(|policy| {
        (policy.retention.max_age, policy.retention.overlap) = (days(2), hours(6));
        policy.retention.foreign = Foreign::Keep;
        // Without a current token nothing is deleted, and at the cap nothing is minted: an account that
        // is in both at once needs more room.
        policy.retention.max_live = 16;
    });
    world.ask();
}

/// One current token, proved in every sink; nothing of ours alive past the policy.
fn check_good_end(world: &mut World) {
    let told = world.told();
    let alive = world.alive();
    let state = world.state.clone();
    let Some(current) = state.current() else { panic!("no current token: {state:#?}\n{told}") };
    assert!(alive.contains(&current.fingerprint), "the current token is dead\n{told}");
    assert!(state.pending().is_none() && state.open_mint.is_none(), "unfinished: {state:#?}\n{told}");
    for sink in world.policy.sinks.clone() {
        assert_eq!(world.held_by(&sink.name), Some(current.fingerprint), "{}\n{told}", sink.name);
        assert_eq!(state.sinks[&sink.name].proved.map(|(it, _)| it), Some(current.number), "{told}");
    }
    assert!(state.lanes.is_empty(), "still in trouble: {:#?}\n{told}", state.lanes);
    for generation in state.previous() {
        // One that was minted while the clock was ahead is younger than it is.
        let age = world.now - generation.minted_at;
        let overlap = generation.superseded_at.map(|at| world.now - at);
        let may_go = age > TimeDelta::hours(49) && overlap.is_some_and(|it| it > TimeDelta::hours(7));
        assert!(!may_go, "generation {} is alive past its time: {state:#?}\n{told}", generation.number);
    }
}

fn check_history(lost_mint: LostMint, max_live: u32, (max_age, overlap): (u64, u64), moves: Vec<Move>) {
    let mut policy = policy([file("app"), webhook("crm")]);
    policy.schedule = every(days(1));
    policy.check_every = hours(3);
    policy.retention.max_age = hours(max_age);
    policy.retention.overlap = hours(overlap);
    policy.retention.max_live = max_live;
    policy.retention.lost_mint = lost_mint;
    let mut world = World::new(policy);
    for next in moves {
        make(&mut world, next);
    }
    mend(&mut world);
    // What is foreign now stays so.
    world.live(hours(1));
    let others: Vec<_> = world.alive().into_iter().filter(|it| world.maker(it) == Maker::Another).collect();
    let guessed: Vec<_> =
        world.state.generations.values().filter(|it| it.learnt != Learnt::Answered).collect();
    let others: Vec<_> =
        others.into_iter().filter(|it| !guessed.iter().any(|guess| guess.fingerprint == *it)).collect();
    world.live(days(5));
    check_good_end(&mut world);
    for other in others {
        assert!(world.alive().contains(&other), "a foreign token was deleted\n{}", world.told());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 4000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_history_keeps_the_invariants_and_comes_to_a_good_end(
        lost_mint in select(vec![LostMint::Recover, LostMint::Recover, LostMint::Keep]),
        max_live in 4_u32..9,
        retention in select(RETENTIONS.to_vec()),
        moves in prop::collection::vec(some_move(), 1..80),
    ) {
        check_history(lost_mint, max_live, retention, moves);
    }
}
