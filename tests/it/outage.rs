//! An hour in which RingCX answers nobody, for many accounts that all do the same at the same time:
//! how they come back.
//!
//! The real driver and plan in virtual time, as in `bad_day.rs`: made up are the server and the
//! journal's disk. `RINGCX_ROTATOR_TEST_OUTAGE=1000` sets the number of accounts, and prints the
//! histogram in `docs/design/limits.md`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use ringcx_rotator::clock::Clock;
use ringcx_rotator::reconcile::{AccountConfig, PassOutcome, Reconciler};
use rotator_core::config::Policy;
use tokio_util::sync::CancellationToken;

use crate::bad_day::{Inbox, Memory, Server};
use crate::env::write;

/// When it begins, after the start: in it every account has a rotation due.
const BEGINS: TimeDelta = TimeDelta::minutes(6 * 60 - 5);
const LASTS: TimeDelta = TimeDelta::hours(1);
/// `retry.max`: after an hour of failures nobody can be back sooner than that for certain.
const IDEAL: TimeDelta = TimeDelta::hours(1);

fn start() -> DateTime<Utc> {
    "2026-11-22T03:30:00Z".parse().unwrap()
}

/// Everything as it is by default, and nothing spread by the schedule.
fn policy_of(dir: &Path, accounts: usize) -> Policy {
    write(&dir.join("password"), b"swordfish");
    let mut text = String::from("[defaults]\nschedule = { every = \"6h\", jitter = \"0s\" }\n");
    for number in 0..accounts {
        let at = dir.join(format!("{number}"));
        text.push_str(&format!(
            "[[account]]\nname = \"a{number}\"\nusername = \"u{number}\"\nplatform-id = \"aws80\"\n\
             password = {{ file = \"password\" }}\n[[account.sink]]\nname = \"file\"\ntype = \"file\"\n\
             path = \"{}\"\n",
            at.display()
        ));
    }
    let config = dir.join("config.toml");
    write(&config, text.as_bytes());
    rotator_policy::load(&config)
        .unwrap_or_else(|errors| panic!("{}", errors.render(rotator_policy::Color::Never, None)))
        .policy
}

/// How many calls there were in each second from then on, before that many hours had passed.
fn calls_per_second(
    servers: &[Arc<Server>],
    from: DateTime<Utc>,
    hours: i64,
) -> BTreeMap<i64, usize> {
    let mut seconds = BTreeMap::new();
    for server in servers {
        for at in server.seconds.lock().unwrap().iter() {
            let second = at - from.timestamp();
            if (0..hours * 3600).contains(&second) {
                *seconds.entry(second).or_insert(0) += 1;
            }
        }
    }
    seconds
}

fn print_histogram(what: &str, seconds: &BTreeMap<i64, usize>, length: usize) {
    let mut of = BTreeMap::new();
    seconds
        .values()
        .for_each(|calls| *of.entry(*calls).or_insert(0_usize) += 1);
    println!(
        "{what}: {:>6} seconds without a call",
        length - seconds.len()
    );
    for (calls, times) in of {
        println!("{what}: {times:>6} seconds with {calls:>3} calls");
    }
}

#[tokio::test]
async fn after_an_hour_without_ringcx_every_account_is_well_within_two_and_nobody_comes_in_a_burst()
{
    crate::env::install_tls();
    let by_hand = std::env::var("RINGCX_ROTATOR_TEST_OUTAGE").ok();
    let accounts = by_hand
        .as_deref()
        .map_or(60, |number| number.parse().unwrap());
    let dir = tempfile::tempdir_in(
        ["/dev/shm", "/tmp"]
            .iter()
            .find(|it| Path::new(it).is_dir())
            .unwrap(),
    )
    .unwrap();
    let policy = policy_of(dir.path(), accounts);
    let outage = (start() + BEGINS, start() + BEGINS + LASTS);
    let (journal, inbox, stop) = (
        Memory::default(),
        Inbox::default(),
        CancellationToken::new(),
    );
    let (mut drivers, mut servers, mut due) = (Vec::new(), Vec::new(), BinaryHeap::new());
    for (number, account) in policy.accounts.iter().enumerate() {
        let clock = Clock::manual(start());
        let server = Arc::new(Server::new(number, clock.clone(), Some(outage)));
        let config = AccountConfig {
            account: account.clone(),
            ringcx: policy.ringcx.clone(),
            alerts: policy.alerts.clone(),
        };
        let api = Arc::clone(&server);
        let driver = Reconciler::open(config, api, journal.clone(), inbox.clone(), clock.clone());
        drivers.push((driver.await.unwrap(), clock));
        servers.push(server);
        due.push(Reverse((start(), number)));
    }
    let mut well_at = vec![None; accounts];
    while let Some(Reverse((at, number))) = due.pop() {
        if at > start() + TimeDelta::hours(9) {
            break;
        }
        let (driver, clock) = &mut drivers[number];
        clock.advance(at - clock.now());
        let report = driver.pass(&stop).await;
        assert!(
            matches!(report.end, PassOutcome::AtRest),
            "{:?}",
            report.end
        );
        let state = driver.state();
        let rotated = state.current().is_some_and(|current| current.number.0 >= 2);
        if clock.now() >= outage.1 && rotated && state.lanes.is_empty() {
            well_at[number].get_or_insert(clock.now());
        }
        let next = report.wake_at.max(clock.now() + TimeDelta::seconds(1));
        due.push(Reverse((next, number)));
    }

    let last = well_at
        .iter()
        .map(|at| at.expect("every account is well"))
        .max();
    let took = last.unwrap() - outage.1;
    assert!(took <= IDEAL * 2, "the last account took {took}");
    let after = calls_per_second(&servers, outage.1, 2);
    let most = after.values().copied().max().unwrap();
    let calls: usize = after.values().sum();
    println!(
        "{accounts} accounts: the last is well after {took}, {calls} calls, {most} in a second"
    );
    if by_hand.is_some() {
        print_histogram("in the two hours after", &after, 7200);
    }
    // Each account makes five calls a second while it is at work: so many are at work at once.
    let at_once = most.div_ceil(5);
    assert!(
        at_once <= 3 + accounts / 100,
        "{at_once} accounts at once: {most} calls in a second"
    );
}
