//! Signals, and what systemd is told.

use std::time::Duration;

use rotator_simulator::{Call, Fault, Times};

use crate::env::{TestEnv, eventually, recorded};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_finishes_the_step_in_flight_and_records_it() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    house
        .ringcx
        .inject(Call::Mint, Fault::Slow(Duration::from_secs(2)), Times::Once);
    let mut daemon = house.start();
    recorded(&house.record(), "a mint", |record| {
        record.count(Call::Mint) == 1
    })
    .await;
    daemon.signal("TERM");
    let status = daemon.ended();
    assert_eq!(status.code(), Some(0), "{status:?}\n{}", daemon.log());
    let history = house.run(["history", "--json"]).out;
    let kinds: Vec<String> = history
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        kinds.last().unwrap(),
        "minted",
        "the step was finished, and no other begun: {kinds:?}"
    );

    // The next one goes on from there, with the same token.
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    assert_eq!(house.count(Call::Mint), 1);
    assert!(house.record().is_alive(&house.token()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_sigterm_ends_it_at_once() {
    let house = TestEnv::new().await;
    let patient = house
        .usual("")
        .replace("request-timeout = \"20s\"", "request-timeout = \"1h\"");
    house.set_policy(&patient.replace("[daemon]\n", "[daemon]\nshutdown-grace = \"1h\"\n"));
    house
        .ringcx
        .inject(Call::Mint, Fault::SilenceAfter, Times::Once);
    let mut daemon = house.start();
    recorded(&house.record(), "a mint", |record| {
        record.count(Call::Mint) == 1
    })
    .await;
    daemon.signal("TERM");
    daemon
        .until_told("STOPPING=1", |told| {
            told.iter().any(|it| it.contains("STOPPING=1"))
        })
        .await;
    // Two in quick succession are one press of Ctrl-C.
    tokio::time::sleep(Duration::from_millis(700)).await;
    daemon.signal("TERM");
    let status = daemon.ended();
    assert_eq!(status.code(), Some(1), "{status:?}");
    assert!(
        daemon.log().contains("Second signal, ending at once"),
        "{}",
        daemon.log()
    );

    // What was under way is found out.
    house.set_policy(&house.usual(""));
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    assert_eq!(house.record().effects(Call::Mint), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reads_the_policy_again_and_sigusr1_looks_at_everything_now() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let daemon = house.start_ready().await;
    let sinks = [house.file_sink("token"), house.file_sink("second")];
    house.set_policy(&house.policy("", &house.account("ivr", &sinks)));
    daemon.signal("HUP");
    eventually("the new sink holds the token", || {
        house.path("second").exists().then_some(())
    })
    .await;
    assert_eq!(house.read("second"), house.token());

    let token = house.token();
    std::fs::remove_file(house.path("token")).unwrap();
    daemon.signal("USR1");
    eventually("the file is back", || {
        house.path("token").exists().then_some(())
    })
    .await;
    assert_eq!((house.token(), house.count(Call::Mint)), (token, 1));
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_is_told_ready_after_the_first_pass_and_busy_before() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    house
        .ringcx
        .inject(Call::Mint, Fault::Slow(Duration::from_secs(2)), Times::Once);
    let mut daemon = house.start_with(|command| {
        command.env("WATCHDOG_USEC", "600000");
    });
    recorded(&house.record(), "a mint", |record| {
        record.count(Call::Mint) == 1
    })
    .await;
    assert!(
        !all(&daemon.told()).contains(&"READY=1".to_owned()),
        "the first pass is under way"
    );
    daemon.ready().await;
    assert!(
        house.record().is_alive(&house.token()),
        "the first pass has ended"
    );
    let told = all(&daemon.told());
    let ready = told.iter().position(|it| it == "READY=1").unwrap();
    let before = &told[..ready];
    assert!(
        before
            .iter()
            .any(|it| it.starts_with("EXTEND_TIMEOUT_USEC=")),
        "{told:?}"
    );
    assert!(before.iter().any(|it| it == "WATCHDOG=1"), "{told:?}");
    assert!(
        told[ready..]
            .iter()
            .any(|it| it.starts_with("STATUS=1 account well, next rotation")),
        "{told:?}"
    );

    let fed = told.iter().filter(|it| *it == "WATCHDOG=1").count();
    daemon
        .until_told("WATCHDOG=1 again and again", |told| {
            all(told).iter().filter(|it| *it == "WATCHDOG=1").count() >= fed + 3
        })
        .await;

    daemon.signal("HUP");
    let reloaded = |told: &[String]| all(told).iter().filter(|it| *it == "READY=1").count() == 2;
    daemon
        .until_told("READY=1 after the reload", reloaded)
        .await;
    let reloading = daemon
        .told()
        .into_iter()
        .find(|it| it.contains("RELOADING=1"))
        .unwrap();
    assert!(
        reloading.contains("MONOTONIC_USEC="),
        "both in one message: {reloading}"
    );

    daemon.signal("TERM");
    assert_eq!(daemon.ended().code(), Some(0));
    let told = all(&daemon.told());
    assert!(told.contains(&"STOPPING=1".to_owned()), "{told:?}");
}

/// Every assignment, in order.
fn all(told: &[String]) -> Vec<String> {
    told.iter()
        .flat_map(|message| message.lines().map(str::to_owned))
        .collect()
}
