//! Every state that a small world can come to, within stated bounds, and from each of them a fair
//! continuation. Breadth first, by how many things went wrong or were changed, so that the history
//! that breaks an invariant is a short one. It is printed as `corpus/` keeps histories, to be
//! replayed.
//!
//! The bound is the number of disturbances: whatever is not the next step without a fault, or time
//! that passes until the next pass is due; those two are free. A world is not followed beyond so
//! many of our tokens.

#![expect(
    clippy::disallowed_methods,
    reason = "the person at the keyboard chooses what is explored; the corpus is in files"
)]

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use super::fair::go_on_fairly;
use super::history::{History, Setup};
use super::moves::{Change, Flow, Move, Said};
use super::scene::{days, hours, minutes};
use super::world::{Broken, Fault, Maker, Refusal, World};
use crate::config::Foreign;
use crate::plan::{Look, Next, Step};

/// One small world, and what may happen in it.
struct Exploration {
    name: &'static str,
    setup: Setup,
    /// How things go on when nothing happens, where no time passes.
    ordinary: Move,
    moves: fn(&World) -> Vec<Move>,
    /// Those that are no disturbance.
    free: &'static [Move],
    disturbances: u32,
    /// A world with more of our tokens, dead ones counted, is not followed further.
    tokens: usize,
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    states: usize,
    transitions: usize,
    /// The longest of the shortest ways to a state.
    depth: usize,
    /// Moves made to see that all ends well.
    fair: usize,
}

/// A state on the way: the move that leads to it from another.
#[derive(Clone, Copy)]
struct Way {
    from: Option<usize>,
    by: Move,
}

/// A move that is to be made.
struct Open {
    world: Rc<World>,
    from: Option<usize>,
    depth: usize,
    by: Move,
}

impl Exploration {
    #[track_caller]
    fn run(&self) -> Found {
        // Shares of waits would make many worlds of one.
        crate::spread::tests::draw_evenly();
        let mut found = Found::default();
        let (mut known, mut healthy) = (HashSet::new(), HashSet::new());
        let mut ways: Vec<Way> = Vec::new();
        let start = Rc::new(self.setup.world());
        let mut layers: Vec<VecDeque<Open>> =
            (0..=self.disturbances).map(|_| VecDeque::new()).collect();
        self.open(&start, None, 0, 0, &mut layers);
        for layer in 0..layers.len() {
            while let Some(Open {
                world,
                from,
                depth,
                by,
            }) = layers[layer].pop_front()
            {
                found.transitions += 1;
                let mut world = World::clone(&world);
                let moved = by.make(&mut world);
                moved.unwrap_or_else(|broken| self.fail(&broken, &ways, from, by));
                if !known.insert(world.key()) {
                    continue;
                }
                found.states += 1;
                found.depth = found.depth.max(depth);
                let ended = go_on_fairly(&mut world.clone(), &mut healthy);
                found.fair += ended.unwrap_or_else(|broken| self.fail(&broken, &ways, from, by));
                ways.push(Way { from, by });
                if world.out.server.count(Maker::Us) <= self.tokens {
                    self.open(
                        &Rc::new(world),
                        Some(ways.len() - 1),
                        depth,
                        layer,
                        &mut layers,
                    );
                }
            }
        }
        println!(
            "{}: {} states, {} transitions, depth {}, {} disturbances, {} tokens of ours; \
             {} moves to see that each ends well",
            self.name,
            found.states,
            found.transitions,
            found.depth,
            self.disturbances,
            self.tokens,
            found.fair,
        );
        found
    }

    fn open(
        &self,
        world: &Rc<World>,
        from: Option<usize>,
        depth: usize,
        layer: usize,
        layers: &mut [VecDeque<Open>],
    ) {
        let ordinary = if world.rests_until.is_some() {
            Move::Next
        } else {
            self.ordinary
        };
        for by in [ordinary].into_iter().chain((self.moves)(world)) {
            let is_free = by == ordinary || self.free.contains(&by);
            let layer = if is_free { layer } else { layer + 1 };
            if let Some(layer) = layers.get_mut(layer) {
                layer.push_back(Open {
                    world: Rc::clone(world),
                    from,
                    depth: depth + 1,
                    by,
                });
            }
        }
    }

    #[track_caller]
    fn fail(&self, broken: &Broken, ways: &[Way], from: Option<usize>, by: Move) -> ! {
        let mut moves = vec![(1, by)];
        let mut at = from;
        while let Some(way) = at.map(|index| ways[index]) {
            moves.push((1, way.by));
            at = way.from;
        }
        moves.reverse();
        let history = History {
            setup: self.setup.clone(),
            moves,
        };
        panic!(
            "{}: {broken}\nReplay it: keep this as a file in crates/core/src/plan/tests/corpus, \
             see CONTRIBUTING.md\n{history}",
            self.name
        );
    }
}

/// Hours are what everything is reckoned in, so that worlds that differ by minutes are few.
fn small() -> Setup {
    Setup {
        every: hours(24),
        check: hours(8),
        max_age: hours(6),
        overlap: hours(2),
        max_live: 3,
        retry: (hours(1), hours(4)),
        verify_within: minutes(30),
        ..Setup::new()
    }
}

/// What a step can suffer. Faults that come to the same are not both tried.
fn faults(next: Option<&Next>) -> Vec<Move> {
    let Some(Next::Do(step)) = next else {
        return Vec::new();
    };
    let faults: &[Fault] = match step {
        Step::Look(Look::Sinks | Look::Preflight) | Step::Wait { .. } => &[],
        Step::Look(Look::ListByLogin | Look::ListAgain) => &[Fault::NoAnswer, Fault::Part],
        Step::Look(Look::ListAsCurrent | Look::ListAs(_)) => {
            &[Fault::NoAnswer, Fault::Denied, Fault::Part]
        }
        Step::Mint { .. } => &[
            Fault::Before,
            Fault::NoEffect,
            Fault::NoAnswer,
            Fault::Late(minutes(30)),
            Fault::CrashBefore,
            Fault::CrashAfter,
        ],
        Step::Verify(_) => &[Fault::NoAnswer, Fault::Denied, Fault::CrashBefore],
        Step::Deliver { .. } => &[
            Fault::Before,
            Fault::NoAnswer,
            Fault::NoEffect,
            Fault::CrashBefore,
            Fault::CrashAfter,
        ],
        Step::Prove { .. } => &[Fault::NoAnswer, Fault::Denied, Fault::CrashBefore],
        Step::Notify { .. } => &[Fault::NoEffect, Fault::CrashBefore, Fault::CrashAfter],
        Step::Promote(_) => &[Fault::CrashBefore, Fault::CrashAfter],
        Step::Delete(_) => &[
            Fault::Before,
            Fault::NoEffect,
            Fault::NoAnswer,
            Fault::CrashBefore,
            Fault::CrashAfter,
        ],
    };
    faults.iter().map(|fault| Move::Step(*fault)).collect()
}

/// What others do, and the machine.
fn outside(world: &World) -> Vec<Move> {
    let server = &world.out.server;
    let mut moves = vec![
        if server.down {
            Move::ServerUp
        } else {
            Move::ServerDown
        },
        if server.page.is_some() {
            Move::WholeList
        } else {
            Move::OnePage
        },
        Move::RevokeOldest,
        Move::RevokeNewest,
        Move::Lose("app"),
        Move::Restore("app"),
    ];
    if server.password == "first" {
        moves.push(Move::ChangePassword);
    } else if world.password == "first" {
        moves.push(Move::TellPassword);
    }
    if server.count(Maker::Another) == 0 {
        moves.extend([Move::MintForeign, Move::Overwrite("app")]);
    }
    moves.extend(sink_trouble(
        world,
        "app",
        &[Refusal::NotDone, Refusal::NoAnswer, Refusal::Lies],
    ));
    let of_webhook = [
        Refusal::NotDone,
        Refusal::NoAnswer,
        Refusal::Silent,
        Refusal::Gone,
    ];
    moves.extend(sink_trouble(world, "crm", &of_webhook));
    let place = world
        .policy
        .sinks
        .iter()
        .find(|configured| configured.name == "app");
    let place = place.and_then(|configured| world.out.places.get(&configured.kind.target()));
    moves.push(if place.is_some_and(|place| place.unreadable) {
        Move::Show("app")
    } else {
        Move::Hide("app")
    });
    moves
}

fn sink_trouble(world: &World, name: &'static str, refusals: &[Refusal]) -> Vec<Move> {
    let sink = world
        .policy
        .sinks
        .iter()
        .find(|configured| configured.name == name);
    let place = sink.and_then(|configured| world.out.places.get(&configured.kind.target()));
    match place.and_then(|place| place.refuses) {
        Some(_) => vec![Move::Accept(name)],
        None => refusals
            .iter()
            .map(|refusal| Move::Refuse(name, *refusal))
            .collect(),
    }
}

/// What an operator does.
fn operator(world: &World) -> Vec<Move> {
    let mut moves = vec![
        Move::Reload(Change::Nothing),
        Move::Reload(Change::Demand("app")),
        Move::Reload(Change::Demand("crm")),
        Move::Reload(Change::Toggle("app")),
        Move::Reload(Change::Toggle("crm")),
        Move::Reload(Change::Move("app")),
        Move::Reload(Change::User),
        Move::Reload(Change::MaxAge(hours(30))),
        Move::Reload(Change::Overlap(hours(0))),
        Move::Reload(Change::MaxLive(1)),
        Move::Reload(Change::Foreign(Foreign::Adopt)),
    ];
    moves.extend(ask(world));
    moves
}

fn time() -> [Move; 4] {
    [
        Move::Wait(hours(30)),
        Move::ClockAhead(hours(24)),
        Move::ClockBack(hours(24)),
        Move::ClockAhead(minutes(10)),
    ]
}

/// Everything, between any two steps.
fn everything(world: &World) -> Vec<Move> {
    let next = world.next();
    let mut moves = faults(next.as_ref());
    moves.push(Move::Crash);
    moves.extend(operator(world));
    moves.extend(time());
    // A record looks at nothing outside: what happens there may as well happen after it.
    if !matches!(next, Some(Next::Record(_))) {
        moves.extend(outside(world));
    }
    moves
}

const ADOPT: Move = Move::Reload(Change::Foreign(Foreign::Adopt));

/// The clock jumps both ways, and the machine is started anew, between any two steps.
fn of_clocks(world: &World) -> Vec<Move> {
    let mut moves = vec![
        Move::ClockAhead(hours(24)),
        Move::ClockBack(hours(24)),
        Move::Reboot,
    ];
    if world.rests_until.is_some() {
        moves.extend(ask(world));
        let made = |maker| world.out.server.count(maker);
        match (made(Maker::Us), made(Maker::Another)) {
            (1, 0) => moves.push(Move::MintForeign),
            (1, 1) => moves.push(ADOPT),
            _ => {}
        }
    }
    moves
}

/// Faults of steps and deaths only, so that it can be more of them.
fn faults_and_deaths(world: &World) -> Vec<Move> {
    let mut moves = faults(world.next().as_ref());
    moves.push(Move::Crash);
    moves
}

/// What a receiver and an operator can do about an optional webhook that lags behind and is
/// demanded again, between two passes. What keeps a token that a webhook may serve counts nowhere
/// else.
fn of_a_webhook(world: &World) -> Vec<Move> {
    if world.rests_until.is_none() {
        return Vec::new();
    }
    let mut moves = vec![
        Move::Reload(Change::Demand("crm")),
        Move::Refuse("crm", Refusal::NotDone),
        Move::Refuse("crm", Refusal::NoAnswer),
    ];
    // One that was taken out of the policy and is put back is another sink.
    if world.state.generations.len() < 2
        || !world.policy.sinks.iter().any(|sink| sink.name == "crm")
    {
        moves.push(Move::Reload(Change::Toggle("crm")));
    }
    moves.extend(ask(world));
    moves
}

/// The same of a file that takes nothing, and of what is there instead.
fn of_a_file(world: &World) -> Vec<Move> {
    if world.rests_until.is_none() {
        return Vec::new();
    }
    let mut moves = vec![
        Move::Restore("app"),
        Move::Hide("app"),
        Move::Reload(Change::Demand("app")),
        Move::Reload(Change::Foreign(Foreign::Adopt)),
    ];
    moves.extend(sink_trouble(world, "app", &[Refusal::NotDone]));
    if world.out.server.count(Maker::Another) == 0 {
        moves.extend([Move::MintForeign, Move::Overwrite("app")]);
    }
    moves.extend(ask(world));
    moves
}

/// What those who read a file may do, between two passes, and what befalls the steps that concern
/// them.
fn of_a_consumer(world: &World) -> Vec<Move> {
    if world.rests_until.is_none() {
        let next = world.next();
        let mut moves = match &next {
            Some(Next::Do(Step::Deliver { .. } | Step::Prove { .. } | Step::Notify { .. })) => {
                faults(next.as_ref())
            }
            Some(Next::Do(_) | Next::Record(_) | Next::Rest) | None => Vec::new(),
        };
        moves.retain(|move_| !matches!(move_, Move::Step(Fault::Before | Fault::Denied)));
        return moves;
    }
    let deaf = world
        .policy
        .sinks
        .iter()
        .any(|configured| world.place_of(configured).is_some_and(|place| place.deaf));
    let mut moves = vec![
        if deaf {
            Move::Hear("dialer")
        } else {
            Move::Deafen("dialer")
        },
        Move::Acknowledge("dialer", Said::Held),
        Move::Acknowledge("dialer", Said::Oldest),
        Move::Acknowledge("dialer", Said::Odd),
        Move::Acknowledge("dialer", Said::Nothing),
        Move::Restore("dialer"),
        Move::Reload(Change::Demand("dialer")),
        Move::Reload(Change::Toggle("dialer")),
    ];
    moves.extend(ask(world));
    moves
}

/// What befalls a sink that shows no token, between two passes, and the steps that concern it.
fn of_a_masked_sink(world: &World) -> Vec<Move> {
    if world.rests_until.is_none() {
        let next = world.next();
        return match &next {
            Some(Next::Do(Step::Deliver { .. })) => faults(next.as_ref()),
            Some(Next::Do(_) | Next::Record(_) | Next::Rest) | None => Vec::new(),
        };
    }
    let mut moves = vec![
        Move::Restore("ivr"),
        Move::Touch("ivr"),
        Move::RevokeNewest,
        Move::Crash,
        Move::Reload(Change::Demand("ivr")),
        Move::Reload(Change::Foreign(Foreign::Adopt)),
        if world.out.server.down {
            Move::ServerUp
        } else {
            Move::ServerDown
        },
    ];
    moves.extend(sink_trouble(
        world,
        "ivr",
        &[Refusal::NotDone, Refusal::NoAnswer, Refusal::Lies],
    ));
    if world.out.server.count(Maker::Another) == 0 {
        moves.push(Move::Overwrite("ivr"));
    }
    moves.extend(ask(world));
    moves
}

/// What befalls a flow that has a token of others, and those tokens, between two passes, and their
/// deletion.
fn of_adoption(world: &World) -> Vec<Move> {
    if world.rests_until.is_none() {
        let next = world.next();
        return match &next {
            Some(Next::Do(Step::Delete(_))) => faults(next.as_ref()),
            Some(Next::Do(_) | Next::Record(_) | Next::Rest) | None => Vec::new(),
        };
    }
    let flow = &world.out.flow;
    let mut moves = vec![
        if flow.holds.is_some() {
            Move::Flow(Flow::Mended)
        } else {
            Move::Flow(Flow::Pasted)
        },
        if flow.unreadable {
            Move::Flow(Flow::Shown)
        } else {
            Move::Flow(Flow::Hidden)
        },
        Move::Adopt,
        Move::Crash,
        Move::Reload(Change::Foreign(Foreign::Adopt)),
    ];
    if world
        .state
        .foreign
        .values()
        .any(|token| token.adoption.is_some())
    {
        moves.push(Move::Disown);
    }
    match world.out.server.count(Maker::Another) {
        0 => moves.push(Move::MintForeign),
        1 => moves.push(Move::Overwrite("app")),
        _ => {}
    }
    moves.extend(ask(world));
    moves
}

/// What another account of the same user does, and what befalls our own mints and deletions.
fn of_a_sibling(world: &World) -> Vec<Move> {
    let next = world.next();
    let mut moves = match &next {
        Some(Next::Do(Step::Mint { .. } | Step::Delete(_) | Step::Look(_))) => {
            faults(next.as_ref())
        }
        Some(Next::Do(_) | Next::Record(_) | Next::Rest) | None => Vec::new(),
    };
    if world.out.server.count(Maker::Sibling) < 2 {
        moves.push(Move::MintSibling);
    }
    if world.rests_until.is_some() {
        moves.extend([
            Move::Crash,
            Move::Wait(hours(3)),
            Move::RevokeNewest,
            Move::Reload(Change::Foreign(Foreign::Adopt)),
        ]);
        if world.out.server.count(Maker::Another) == 0 {
            moves.push(Move::MintForeign);
        }
        moves.extend(ask(world));
    }
    moves
}

/// What befalls lists, and tokens beside: lists that are a part, for once or from here on.
fn of_lists(world: &World) -> Vec<Move> {
    if world.rests_until.is_none() {
        let next = world.next();
        let faults: &[Fault] = match &next {
            // No node refuses what works: of a token that lists lack, refusals are all there is.
            Some(Next::Do(Step::Look(
                Look::ListByLogin | Look::ListAgain | Look::ListAsCurrent | Look::ListAs(_),
            ))) => &[Fault::Part],
            Some(Next::Do(Step::Mint { .. })) => &[Fault::NoAnswer, Fault::Late(minutes(30))],
            Some(Next::Do(Step::Delete(_))) => &[Fault::NoEffect, Fault::NoAnswer],
            Some(Next::Do(_) | Next::Record(_) | Next::Rest) | None => &[],
        };
        return faults.iter().map(|fault| Move::Step(*fault)).collect();
    }
    let mut moves = vec![
        if world.out.server.page.is_some() {
            Move::WholeList
        } else {
            Move::OnePage
        },
        Move::Crash,
        Move::RevokeOldest,
        Move::RevokeNewest,
    ];
    if world.out.server.count(Maker::Another) == 0 {
        moves.push(Move::MintForeign);
    }
    moves.extend(ask(world));
    moves
}

fn ask(world: &World) -> Option<Move> {
    world.state.asked_at.is_none().then_some(Move::Ask)
}

/// So many more disturbances than by default: the long version.
fn further() -> u32 {
    std::env::var("RINGCX_ROTATOR_TEST_EXPLORE_FURTHER").map_or(0, |text| {
        text.parse()
            .expect("RINGCX_ROTATOR_TEST_EXPLORE_FURTHER is a number of disturbances")
    })
}

// proves: rest, liveness
#[test]
fn every_single_thing_may_happen_between_any_two_steps() {
    let found = Exploration {
        name: "everything between steps",
        setup: small(),
        ordinary: Move::Step(Fault::None),
        moves: everything,
        free: &[],
        disturbances: 1 + further(),
        tokens: 2,
    }
    .run();
    assert!(found.states > 5000);
}

// proves: retention, clock
#[test]
fn whenever_the_clock_jumps_no_overlap_is_cut_and_no_token_outlives_its_time() {
    let found = Exploration {
        name: "clocks",
        setup: Setup {
            sinks: vec!["app"],
            ..small()
        },
        ordinary: Move::Step(Fault::None),
        moves: of_clocks,
        free: &[Move::Ask, Move::MintForeign, ADOPT],
        disturbances: 2 + further(),
        tokens: 2,
    }
    .run();
    assert!(found.states > 5000);
}

#[test]
fn every_two_steps_may_fail_or_be_the_last_of_a_process() {
    let found = Exploration {
        name: "faults of steps",
        setup: small(),
        ordinary: Move::Step(Fault::None),
        moves: faults_and_deaths,
        free: &[],
        disturbances: 2 + further(),
        tokens: 2,
    }
    .run();
    assert!(found.states > 5000);
}

// proves: two-looks, mint-cap, irreversible-last, liveness
#[test]
fn whatever_lists_lack_nothing_that_works_is_lost_or_forgotten() {
    let found = Exploration {
        name: "lists that are a part",
        setup: Setup {
            sinks: vec!["app"],
            max_live: 2,
            ..small()
        },
        ordinary: Move::Step(Fault::None),
        moves: of_lists,
        free: &[Move::Ask, Move::OnePage],
        disturbances: 1 + further(),
        tokens: 3,
    }
    .run();
    assert!(found.states > 1000);
}

/// Rotations only when asked for, and long waits: what counts is the order of things.
fn slow() -> Setup {
    Setup {
        every: days(100),
        check: hours(50),
        max_age: hours(1),
        overlap: hours(1),
        retry: (hours(50), hours(50)),
        max_live: 8,
        ..small()
    }
}

#[test]
fn whatever_an_optional_webhook_and_its_operator_do_it_is_left_with_a_token_that_works() {
    let found = Exploration {
        name: "an optional webhook",
        setup: slow(),
        ordinary: Move::Pass,
        moves: of_a_webhook,
        free: &[Move::Ask],
        disturbances: 3 + further(),
        tokens: 3,
    }
    .run();
    assert!(found.states > 5000);
}

#[test]
fn whatever_is_done_to_a_file_it_is_left_with_a_token_that_works() {
    let found = Exploration {
        name: "a file",
        setup: Setup {
            sinks: vec!["app"],
            ..slow()
        },
        ordinary: Move::Pass,
        moves: of_a_file,
        free: &[Move::Ask],
        disturbances: 2 + further(),
        tokens: 2,
    }
    .run();
    assert!(found.states > 1000);
}

// proves: consumers-told
#[test]
fn whatever_a_consumer_hears_and_says_it_is_told_and_what_it_may_use_is_kept() {
    let found = Exploration {
        name: "a consumer",
        setup: Setup {
            sinks: vec!["dialer"],
            ..slow()
        },
        ordinary: Move::Step(Fault::None),
        moves: of_a_consumer,
        free: &[Move::Ask],
        disturbances: 2 + further(),
        tokens: 2,
    }
    .run();
    assert!(found.states > 1000);
}

#[test]
fn whatever_befalls_a_sink_that_shows_no_token_it_is_left_with_one_that_works() {
    let found = Exploration {
        name: "a sink that shows no token",
        setup: Setup {
            sinks: vec!["ivr"],
            ..slow()
        },
        ordinary: Move::Step(Fault::None),
        moves: of_a_masked_sink,
        free: &[Move::Ask],
        disturbances: 2 + further(),
        tokens: 2,
    }
    .run();
    assert!(found.states > 1000);
}

// fault: serve-live at plan/retire check_files: a file that holds an adopted token, or cannot be
//   read, is no guard
// fault: retention at plan/retire replaced_at: the overlap of an adopted token does not count from
//   when it left a file
// fault: own-only at account/fold: a token stays adopted though `adopt --undo` named it
#[test]
fn whatever_is_adopted_is_deleted_only_when_nothing_that_was_named_holds_it() {
    let found = Exploration {
        name: "a flow with a token of others",
        setup: Setup {
            sinks: vec!["app"],
            ..slow()
        },
        ordinary: Move::Step(Fault::None),
        moves: of_adoption,
        free: &[Move::Ask, Move::MintForeign, Move::Flow(Flow::Pasted)],
        disturbances: 2 + further(),
        tokens: 2,
    }
    .run();
    assert!(found.states > 1000);
}

// proves: own-only
#[test]
fn whatever_another_account_of_the_user_does_its_tokens_are_left_alone() {
    let found = Exploration {
        name: "another account of the same user",
        setup: Setup {
            sinks: vec!["app"],
            ..slow()
        },
        ordinary: Move::Step(Fault::None),
        moves: of_a_sibling,
        free: &[Move::Ask, Move::MintSibling],
        disturbances: 1 + further(),
        tokens: 2,
    }
    .run();
    assert!(found.states > 1000);
}
