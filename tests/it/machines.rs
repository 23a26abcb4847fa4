//! Machines that sleep, clocks that jump, sockets that are in the way.
//!
//! The clock of the real daemon is moved by `libfaketime`, wall time only: timers stand still
//! meanwhile, as they do when a machine sleeps. Where the library is not installed these tests say
//! so and are skipped.

use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use ringcx_rotator::clock::Clock;
use rotator_simulator::Call;

use crate::env::{Daemon, TestEnv, eventually, user, write};

/// Moves the wall clock of a daemon.
struct FakeClock {
    library: PathBuf,
    offset: PathBuf,
}

impl FakeClock {
    fn new(house: &TestEnv) -> Option<Self> {
        let found = std::fs::read_dir("/usr/lib")
            .unwrap()
            .flatten()
            .find_map(|entry| {
                let path = entry.path().join("faketime/libfaketimeMT.so.1");
                path.is_file().then_some(path)
            });
        if found.is_none() {
            eprintln!("skipped: libfaketime is not installed (Debian: apt-get install faketime)");
        }
        let clock = Self {
            library: found?,
            offset: house.path("clock"),
        };
        clock.set(0);
        Some(clock)
    }

    /// So many seconds ahead of the truth.
    fn set(&self, seconds: i64) {
        let beside = self.offset.with_extension("new");
        write(&beside, format!("{seconds:+}").as_bytes());
        std::fs::rename(beside, &self.offset).unwrap();
    }

    async fn start(&self, house: &TestEnv) -> Daemon {
        let daemon = house.start_with(|command| {
            command
                .env("LD_PRELOAD", &self.library)
                .env("FAKETIME_TIMESTAMP_FILE", &self.offset);
            command
                .env("FAKETIME_NO_CACHE", "1")
                .env("DONT_FAKE_MONOTONIC", "1");
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        });
        daemon.ready().await;
        daemon
    }
}

const HOUR: i64 = 3600;

fn incidents(house: &TestEnv) -> Vec<String> {
    let status = house.status();
    let all = status["incidents"].as_array().unwrap();
    all.iter()
        .map(|it| it["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_hours_of_suspend_what_was_missed_is_made_up_for_by_one_rotation() {
    let house = TestEnv::new().await;
    let Some(clock) = FakeClock::new(&house) else {
        return;
    };
    house.set_policy(&house.usual(""));
    let daemon = clock.start(&house).await;
    let first = house.token();
    // Two runs are missed: every 10 h, and asleep for 25. The server's clock has gone on.
    house
        .ringcx
        .adjust(|settings| settings.date_skew_seconds = 25 * HOUR);
    clock.set(25 * HOUR);
    // Nobody tells the daemon: it looks at the wall clock by itself.
    eventually("a second token", || (house.token() != first).then_some(())).await;
    eventually("at rest", || {
        (house.status()["state"] == "ok").then_some(())
    })
    .await;
    assert_eq!(
        (
            house.count(Call::Mint),
            house.record().effects(Call::Delete)
        ),
        (2, 0)
    );
    assert!(house.record().is_alive(&first) && house.record().is_alive(&house.token()));
    assert_eq!(incidents(&house), [""; 0]);
    // Past the overlap, with the first one 27 h old, it goes; not before.
    house
        .ringcx
        .adjust(|settings| settings.date_skew_seconds = 27 * HOUR);
    clock.set(27 * HOUR);
    daemon.signal("USR1");
    eventually("the first one is gone", || {
        (!house.record().is_alive(&first)).then_some(())
    })
    .await;
    assert!(house.record().is_alive(&house.token()));
    assert_eq!(house.count(Call::Mint), 2);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_set_forward_or_back_deletes_nothing_until_it_is_right_again() {
    let house = TestEnv::new().await;
    let Some(clock) = FakeClock::new(&house) else {
        return;
    };
    house.set_policy(&house.usual("check-every = \"1s\""));
    let daemon = clock.start(&house).await;
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    for (what, offset) in [("forward", 72 * HOUR), ("back", -72 * HOUR)] {
        clock.set(offset);
        daemon.signal("USR1");
        eventually(what, || {
            incidents(&house)
                .contains(&"clock-disagrees".to_owned())
                .then_some(())
        })
        .await;
        let told = daemon.log();
        assert!(
            told.contains("Local clock and server disagree, nothing is deleted"),
            "{told}"
        );
        // By that clock the first token is three days old, or not born yet.
        for _ in 0..3 {
            daemon.signal("USR1");
            assert_eq!(house.run(["plan", "ivr"]).code(), 0);
        }
        assert_eq!(house.record().effects(Call::Delete), 0, "set {what}");
        assert!(house.record().is_alive(&house.token()));
        clock.set(0);
        daemon.signal("USR1");
        eventually("the clocks agree", || {
            incidents(&house).is_empty().then_some(())
        })
        .await;
    }
    let mints = house.count(Call::Mint);
    println!(
        "clock: {} mints for two of ours and four changes of the clock",
        mints
    );
    assert!(mints <= 6, "{mints} mints");
    assert_eq!(
        (house.record().effects(Call::Delete), house.alive()),
        (0, mints)
    );
    // What happened at times that never were holds up nothing.
    let next = house.status()["next_rotation_at"]
        .as_str()
        .unwrap()
        .parse::<DateTime<Utc>>()
        .unwrap();
    let wait = next - Clock::system().now();
    assert!(
        wait <= TimeDelta::hours(10),
        "the next rotation is in {wait}"
    );
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    assert!(house.record().is_alive(&house.token()));
    daemon.stop();
}

// proves: one-writer
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_of_another_daemon_is_not_taken_from_it() {
    let house = TestEnv::with_users(vec![user(crate::env::USER, crate::env::PASSWORD)]).await;
    house.set_policy(&house.usual(""));
    let daemon = house.start_ready().await;
    let policy = house.usual("");
    house.write(
        "second.toml",
        policy
            .replace("/state\"", "/second-state\"")
            .replace("token", "second"),
    );
    let mut second = house.command();
    second
        .arg("run")
        .arg("--config")
        .arg(house.path("second.toml"));
    let calls = house.record().calls().len();
    let ran = house.finish(second);
    assert_eq!(ran.code(), 1, "{}", ran.err);
    assert!(
        ran.err.contains("another daemon listens on it"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("control.sock"), "{}", ran.err);
    assert_eq!(house.record().calls().len(), calls, "it had begun to work");
    assert_eq!(house.json(&["status", "--json"])["daemon"]["running"], true);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_socket_is_not_replaced_by_one() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    house.write("control.sock", "somebody's file");
    let ran = house.run(["run"]);
    assert_eq!(ran.code(), 1, "{}", ran.err);
    assert!(
        ran.err.contains("is not a socket; remove it"),
        "{}",
        ran.err
    );
    assert_eq!(
        (house.read("control.sock"), house.record().calls().len()),
        ("somebody's file".to_owned(), 0)
    );
    std::fs::remove_file(house.path("control.sock")).unwrap();
    let daemon = house.start_ready().await;
    assert!(
        house
            .path("control.sock")
            .metadata()
            .unwrap()
            .file_type()
            .is_socket()
    );
    // One that took its place meanwhile is not removed in its stead.
    std::fs::remove_file(house.path("control.sock")).unwrap();
    house.write("control.sock", "somebody's file");
    daemon.stop();
    assert_eq!(house.read("control.sock"), "somebody's file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_is_refused_by_the_control_socket() {
    use std::io::{Read, Write};
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let daemon = house.start_ready().await;
    // 64 KiB and one byte, of which nothing need be sent for it to be refused.
    for (length, status) in [(65_536, "422"), (65_537, "413")] {
        let mut socket =
            std::os::unix::net::UnixStream::connect(house.path("control.sock")).unwrap();
        let head = format!(
            "POST /v1/revoke HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
        let body = format!("{{\"x\":\"{}\"}}", "y".repeat(length - 8));
        // It may have hung up by then.
        let _hung_up = socket.write_all(body.as_bytes());
        let mut answer = String::new();
        let _hung_up = socket.read_to_string(&mut answer);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{length}: {answer}"
        );
    }
    daemon.stop();
}
