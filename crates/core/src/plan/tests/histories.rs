//! Histories drawn at random: steps that go wrong in every way, sinks that fail, others who mint
//! and revoke, clocks that are set, policies that change, crashes, many accounts, weeks and years.
//! A history that fails is made as short as it can be and kept in `corpus/`, where it is replayed
//! by every run.

#![expect(
    clippy::disallowed_methods,
    reason = "the person at the keyboard chooses what is explored; the corpus is in files"
)]

use std::cell::RefCell;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use super::history::{History, Setup, Tally, corpus};
use super::moves::{Change, Flow, Move, SINKS, Said};
use super::scene::{days, hours, minutes};
use super::world::{Fault, Refusal};
use crate::config::{Foreign, LostMintPolicy};

/// How many are drawn, where the environment says nothing else.
const HISTORIES: u32 = 150;

/// Max-age and overlap. With none, a sink that serves a token is all that keeps it.
const RETENTIONS: [(Duration, Duration); 3] = [
    (Duration::ZERO, Duration::ZERO),
    (Duration::from_secs(2 * 3600), Duration::from_secs(3600)),
    (
        Duration::from_secs(48 * 3600),
        Duration::from_secs(6 * 3600),
    ),
];

/// What others may get at.
const FILES: [&str; 5] = ["app", "extra", "shared", "dialer", "ivr"];

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Before),
        1 => Just(Fault::NoEffect),
        2 => Just(Fault::NoAnswer),
        1 => select(vec![minutes(1), minutes(3), minutes(30)]).prop_map(Fault::Late),
        1 => Just(Fault::Denied),
        1 => Just(Fault::Part),
        1 => Just(Fault::CrashBefore),
        2 => Just(Fault::CrashAfter),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => Just(Change::Nothing),
        4 => select(SINKS.to_vec()).prop_map(Change::Toggle),
        4 => select(SINKS.to_vec()).prop_map(Change::Demand),
        1 => Just(Change::User),
        1 => select(FILES.to_vec()).prop_map(Change::Move),
        1 => select(RETENTIONS.to_vec()).prop_map(|(max_age, _)| Change::MaxAge(max_age)),
        1 => select(RETENTIONS.to_vec()).prop_map(|(_, overlap)| Change::Overlap(overlap)),
        1 => (1_u32..9).prop_map(Change::MaxLive),
        1 => select(vec![Foreign::Keep, Foreign::Adopt]).prop_map(Change::Foreign),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        4 => Just(Said::Held),
        2 => Just(Said::Oldest),
        1 => Just(Said::Odd),
        1 => Just(Said::Nothing),
    ]
}

fn some_move() -> impl Strategy<Value = Move> {
    let refusals = vec![
        Refusal::NotDone,
        Refusal::NoAnswer,
        Refusal::Silent,
        Refusal::Gone,
        Refusal::Lies,
    ];
    let waits = vec![
        Duration::from_secs(20),
        minutes(1),
        minutes(5),
        hours(1),
        hours(7),
        days(1),
        days(3),
        days(40),
    ];
    let clocks = || select(vec![minutes(1), Duration::from_secs(400), days(1)]);
    prop_oneof![
        30 => fault().prop_map(Move::Step),
        6 => Just(Move::Pass),
        6 => select(vec![hours(2), hours(30), days(3)]).prop_map(Move::Live),
        2 => Just(Move::Next),
        3 => Just(Move::Crash),
        1 => Just(Move::Reboot),
        5 => (select(SINKS.to_vec()), select(refusals))
            .prop_map(|(name, refusal)| Move::Refuse(name, refusal)),
        3 => select(SINKS.to_vec()).prop_map(Move::Accept),
        1 => select(FILES.to_vec()).prop_map(Move::Hide),
        1 => select(FILES.to_vec()).prop_map(Move::Show),
        1 => select(FILES.to_vec()).prop_map(Move::Lose),
        1 => select(FILES.to_vec()).prop_map(Move::Overwrite),
        1 => select(FILES.to_vec()).prop_map(Move::Restore),
        1 => Just(Move::Touch("ivr")),
        2 => Just(Move::Deafen("dialer")),
        1 => Just(Move::Hear("dialer")),
        5 => said().prop_map(|said| Move::Acknowledge("dialer", said)),
        1 => Just(Move::MintForeign),
        1 => Just(Move::MintSibling),
        2 => select(vec![Flow::Pasted, Flow::Mended, Flow::Hidden, Flow::Shown])
            .prop_map(Move::Flow),
        2 => Just(Move::Adopt),
        1 => Just(Move::Disown),
        1 => Just(Move::RevokeOldest),
        1 => Just(Move::RevokeNewest),
        8 => select(waits).prop_map(Move::Wait),
        1 => clocks().prop_map(Move::ClockAhead),
        1 => clocks().prop_map(Move::ClockBack),
        1 => Just(Move::ServerDown),
        2 => Just(Move::ServerUp),
        1 => Just(Move::OnePage),
        2 => Just(Move::WholeList),
        1 => Just(Move::ChangePassword),
        1 => Just(Move::TellPassword),
        4 => Just(Move::Ask),
        5 => change().prop_map(Move::Reload),
    ]
}

/// What keeps a token that a webhook may serve counts only where one that is optional lags behind
/// and is demanded again. Left to chance that hardly ever comes about: here are its moves and few
/// others.
fn some_move_of_a_webhook() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => Just(Move::Live(hours(2))),
        1 => Just(Move::Pass),
        3 => Just(Move::Ask),
        3 => Just(Move::Reload(Change::Demand("crm"))),
        2 => Just(Move::Reload(Change::Toggle("crm"))),
        3 => select(vec![Refusal::NotDone, Refusal::NoAnswer, Refusal::Silent, Refusal::Gone])
            .prop_map(|refusal| Move::Refuse("crm", refusal)),
        1 => Just(Move::Accept("crm")),
        1 => fault().prop_map(Move::Step),
        1 => Just(Move::Crash),
    ]
}

fn setup(accounts: impl Strategy<Value = usize>) -> impl Strategy<Value = Setup> {
    let sinks = vec![
        vec!["app", "crm"],
        vec!["app"],
        vec!["shared", "crm"],
        vec!["app", "shared", "extra"],
        vec!["dialer"],
        vec!["dialer", "ivr"],
        vec!["app", "ivr"],
    ];
    let lost_mint = vec![
        LostMintPolicy::Recover,
        LostMintPolicy::Recover,
        LostMintPolicy::Keep,
    ];
    (
        accounts,
        select(sinks),
        select(lost_mint),
        4_u32..9,
        select(RETENTIONS.to_vec()),
    )
        .prop_map(
            |(accounts, sinks, lost_mint, max_live, (max_age, overlap))| Setup {
                accounts,
                sinks,
                lost_mint,
                max_live,
                max_age,
                overlap,
                ..Setup::new()
            },
        )
}

fn of_one_account() -> impl Strategy<Value = History> {
    let moves = prop::collection::vec(some_move().prop_map(|next| (1, next)), 1..80);
    (setup(Just(1)), moves).prop_map(|(setup, moves)| History { setup, moves })
}

fn of_a_webhook() -> impl Strategy<Value = History> {
    let moves = prop::collection::vec(some_move_of_a_webhook().prop_map(|next| (1, next)), 8..40);
    moves.prop_map(|moves| {
        let (max_age, overlap) = RETENTIONS[1];
        History {
            setup: Setup {
                max_age,
                overlap,
                ..Setup::new()
            },
            moves,
        }
    })
}

/// Accounts that share the server, its faults and a file, over weeks to years.
fn of_many_accounts() -> impl Strategy<Value = History> {
    let times = vec![days(7), days(7), days(30), days(90), days(400)];
    let one = prop_oneof![
        20 => some_move(),
        1 => select(times).prop_map(Move::Live),
    ]
    .boxed();
    setup(2_usize..6).prop_flat_map(move |setup| {
        let accounts = setup.accounts;
        let setup = Setup {
            every: days(7),
            check: days(2),
            max_age: days(14),
            overlap: days(1),
            ..setup
        };
        let moves = prop::collection::vec((1..=accounts, one.clone()), 10..60);
        moves.prop_map(move |moves| History {
            setup: setup.clone(),
            moves,
        })
    })
}

fn histories() -> u32 {
    std::env::var("RINGCX_ROTATOR_TEST_HISTORIES").map_or(HISTORIES, |text| {
        text.parse()
            .expect("RINGCX_ROTATOR_TEST_HISTORIES is a number of histories")
    })
}

/// Draws so many and replays each. The shortest one that fails is kept in `corpus/`.
#[track_caller]
fn check(name: &str, count: u32, drawn: impl Strategy<Value = History>) {
    let sum = RefCell::new((0_usize, Tally::default()));
    let config = Config {
        cases: count,
        max_shrink_iters: 3000,
        failure_persistence: None,
        ..Config::default()
    };
    let end = TestRunner::new(config).run(&drawn, |history| {
        let one = history.replay().map_err(TestCaseError::fail)?;
        let (histories, all) = &mut *sum.borrow_mut();
        *histories += 1;
        all.moves += one.moves;
        all.accounts += one.accounts;
        all.rows += one.rows;
        all.days += one.days;
        Ok(())
    });
    let (histories, all) = sum.into_inner();
    println!(
        "{name}: {histories} histories, {} moves, {} accounts, {} days, {} rows of the journal",
        all.moves, all.accounts, all.days, all.rows,
    );
    match end {
        Ok(()) => assert_eq!(histories, count as usize),
        Err(TestError::Fail(why, history)) => {
            let path = keep(name, &history);
            panic!("{why}\n\nkept as {path}:\n{history}");
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// Saves a history that failed, for as long as somebody does not give it a name or throw it away.
#[expect(
    clippy::disallowed_methods,
    reason = "a file of the sources, and nobody reads it meanwhile"
)]
fn keep(name: &str, history: &History) -> String {
    let path = corpus().join(format!("failed-{}.history", name.replace(' ', "-")));
    match std::fs::write(&path, format!("# Failed.\n{history}")) {
        Ok(()) => path.display().to_string(),
        Err(error) => format!("nothing, as {} cannot be written ({error})", path.display()),
    }
}

// proves: rest, liveness
#[test]
fn every_history_keeps_the_invariants_and_comes_to_a_good_end() {
    check("one account", histories(), of_one_account());
}

#[test]
fn every_history_of_a_webhook_that_lags_keeps_what_it_may_serve() {
    check("one webhook", histories(), of_a_webhook());
}

#[test]
fn every_history_of_many_accounts_over_years_keeps_the_invariants() {
    check("many accounts", histories() / 10, of_many_accounts());
}

proptest! {
    #[test]
    fn a_history_is_read_as_it_was_written(one in of_one_account(), many in of_many_accounts()) {
        prop_assert_eq!(one.to_string().parse(), Ok(one));
        prop_assert_eq!(many.to_string().parse(), Ok(many));
    }
}
