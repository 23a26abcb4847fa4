//! The local clock was wrong when a time was recorded. RingCX's is right all the time; how old a
//! token really is, this machine's steady clock knows.

use std::ffi::OsStr;
use std::process::Command;

use chrono::{DateTime, Utc};
use ringcx_rotator::clock::Clock;
use rotator_simulator::Call;
use serde_json::Value;

use crate::env::{Ran, TestEnv, USER, eventually};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A house whose local clock can be set.
struct Clocks {
    house: TestEnv,
}

impl Clocks {
    async fn new(ahead_ms: i64, defaults: &str) -> Self {
        let house = TestEnv::new().await;
        house.set_policy(&house.usual(defaults));
        let clocks = Self { house };
        clocks.set(ahead_ms, 1);
        clocks
    }

    /// Sets the clock; with another number the machine was started anew.
    fn set(&self, ahead_ms: i64, boot: u32) {
        // In one go: a daemon may be reading it.
        self.house.write("clock.new", format!("{ahead_ms} {boot}"));
        std::fs::rename(self.house.path("clock.new"), self.house.path("clock")).unwrap();
    }

    fn hook(&self, command: &mut Command) {
        command.env("RINGCX_ROTATOR_TEST_CLOCK", self.house.path("clock"));
    }

    #[track_caller]
    fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        let mut command = self.house.command();
        self.hook(&mut command);
        command.args(args);
        let ran = self.house.finish(command);
        // With 1 it says that an incident is open: the clocks disagree.
        assert!([0, 1].contains(&ran.code()), "{}", ran.err);
        ran
    }

    #[track_caller]
    fn pass(&self) {
        self.run(["run", "--once"]);
    }

    #[track_caller]
    fn rotate(&self) {
        self.run(["rotate", "ivr"]);
    }

    fn deletes(&self) -> usize {
        self.house.record().effects(Call::Delete)
    }

    /// The sources of the steps in the journal.
    fn steps(&self) -> Vec<String> {
        let ran = self.run(["history", "ivr", "--json"]);
        let rows = ran.out.lines().map(serde_json::from_str::<Value>);
        rows.map(|row| row.expect("each line is one row"))
            .filter(|row| row["kind"] == "clock-stepped")
            .map(|row| row["source"].as_str().expect("it has one").to_owned())
            .collect()
    }
}

const AN_HOUR_EACH: &str = "retention = { max-age = \"1h\", overlap = \"1h\" }";

/// Rotates with the clock so far off, and then sets it right.
async fn nothing_is_deleted_early(ahead_ms: i64, defaults: &str, boot: u32) {
    let clocks = Clocks::new(ahead_ms, defaults).await;
    clocks.pass();
    clocks.rotate();
    assert_eq!(clocks.house.alive(), 2);
    clocks.set(0, boot);
    for _ in 0..2 {
        clocks.pass();
        assert_eq!(clocks.deletes(), 0, "after {ahead_ms} ms, boot {boot}");
    }
    // Each run is a process of its own, and there was one step.
    let expected: &[&str] = if boot == 1 {
        &["steady"]
    } else {
        &["order", "server"]
    };
    assert_eq!(clocks.steps(), expected);
}

// proves: retention
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_hours_behind_cuts_no_overlap() {
    nothing_is_deleted_early(-2 * HOUR, AN_HOUR_EACH, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_if_it_was_set_while_the_machine_was_off() {
    nothing_is_deleted_early(-2 * HOUR, AN_HOUR_EACH, 2).await;
}

/// Less than is told of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_some_minutes_behind_cuts_no_overlap() {
    let defaults = "retention = { max-age = \"2m\", overlap = \"2m\" }";
    for boot in [1, 2] {
        nothing_is_deleted_early(-4 * MINUTE, defaults, boot).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_others_is_adopted_for_as_long_as_it_was_really_seen() {
    let defaults = AN_HOUR_EACH.replace(" }", ", foreign = \"adopt\" }");
    for boot in [1, 2] {
        let clocks = Clocks::new(-2 * HOUR, &defaults).await;
        let foreign = clocks.house.ringcx.mint_foreign(USER);
        clocks.pass();
        clocks.rotate();
        clocks.set(0, boot);
        clocks.pass();
        clocks.pass();
        assert!(clocks.house.record().is_alive(&foreign));
        assert_eq!(clocks.deletes(), 0);
    }
}

/// Two tokens of a clock that ran sixty days ahead; then it is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_outlives_its_time_for_a_clock_that_ran_ahead() {
    for boot in [1, 2] {
        let retention = "retention = { max-age = \"2s\", overlap = \"1s\" }";
        let clocks = Clocks::new(60 * DAY, retention).await;
        clocks.pass();
        clocks.rotate();
        // As long as it is wrong nothing is deleted, however long that is.
        clocks.pass();
        assert_eq!(clocks.deletes(), 0);
        clocks.set(0, boot);
        eventually("the old token is deleted", || {
            clocks.pass();
            (clocks.deletes() == 1).then_some(())
        })
        .await;
        let ran = clocks.run(["status", "--json"]);
        let status: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(status["accounts"][0]["state"], "ok", "{status}");
        no_time_is_ahead(&status);
        // A healthy account is not rotated anew for a clock that was wrong.
        assert_eq!(clocks.house.count(Call::Mint), 2);
    }
}

/// Those that are said to be past are.
#[track_caller]
fn no_time_is_ahead(status: &Value) {
    let now = Clock::system().now();
    let (mut looked, mut rest) = (0, vec![status]);
    while let Some(value) = rest.pop() {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let text = field.as_str().unwrap_or_default();
                    let is_past = name.ends_with("ed_at") || name == "since";
                    if let (Ok(at), true) = (text.parse::<DateTime<Utc>>(), is_past) {
                        looked += 1;
                        assert!(at <= now, "{name} is {at} at {now}");
                    }
                    rest.push(field);
                }
            }
            Value::Array(items) => rest.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    assert!(looked > 0, "{status}");
}

// proves: retention, clock
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_lives_through_steps_of_the_clock() {
    let clocks = Clocks::new(-2 * HOUR, AN_HOUR_EACH).await;
    let daemon = clocks.house.start_with(|command| clocks.hook(command));
    daemon.ready().await;
    tokio::task::block_in_place(|| clocks.rotate());
    let settings = [0, 3 * HOUR, 60 * DAY, -HOUR, 4 * MINUTE, 0];
    for (number, ahead_ms) in settings.into_iter().enumerate() {
        clocks.set(ahead_ms, 1);
        // A reload is a pass.
        daemon.signal("HUP");
        eventually("the step is in the journal", || {
            (clocks.steps().len() > number).then_some(())
        })
        .await;
        assert_eq!(clocks.deletes(), 0, "{ahead_ms}");
    }
    tokio::task::block_in_place(|| clocks.rotate());
    assert_eq!(clocks.deletes(), 0);
    assert_eq!(clocks.house.alive(), 3);
    assert!(clocks.steps().iter().all(|source| source == "steady"));
    daemon.stop();
}
