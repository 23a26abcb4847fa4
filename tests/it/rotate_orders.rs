//! Orders to rotate that come while a rotation is under way are orders for that one.

use rotator_simulator::{Call, Effect, Fault, RetryAfter, Times};

use crate::env::{Daemon, TestEnv, eventually};

const ORDERS: usize = 10;

/// A daemon whose first rotation waits at its login, and ten orders that came meanwhile.
async fn ordered_while_waiting() -> (TestEnv, Daemon) {
    let house = TestEnv::new().await;
    let script = format!(
        "while ! test -e {0}/go; do sleep 0.05; done; cat {0}/password",
        house.dir.path().display()
    );
    house.write("wait.sh", script);
    let command = format!(
        "{{ command = [\"sh\", \"{}\"], timeout = \"60s\" }}",
        house.path("wait.sh").display()
    );
    let policy = house.usual("retry = { initial = \"10h\", max = \"10h\" }");
    house.set_policy(&policy.replace("{ file = \"password\" }", &command));
    let daemon = house.start();
    // Not by a request that waits for the account itself.
    eventually("the daemon answers", || {
        let status = house.run(["status", "--json"]).out;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap_or_default();
        (status["daemon"]["running"] == true).then_some(())
    })
    .await;
    for _ in 0..ORDERS {
        let ordered = house.run(["rotate", "ivr", "--no-wait"]);
        assert_eq!(ordered.code(), 0, "{}", ordered.err);
    }
    (house, daemon)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_orders_at_once_make_one_token() {
    let (house, daemon) = ordered_while_waiting().await;
    house.write("go", "");
    eventually("the rotation", || {
        (house.status()["current"]["generation"] == 1).then_some(())
    })
    .await;
    // It comes after the others, and after that rotation: this one is another.
    let rotated = house.run(["rotate", "ivr", "--json"]);
    assert_eq!(rotated.code(), 0, "{}", rotated.err);
    let outcome: serde_json::Value = serde_json::from_str(&rotated.out).unwrap();
    assert_eq!(outcome[0]["generation"], 2, "{outcome}");
    assert_eq!((house.count(Call::Mint), house.alive()), (2, 2));
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_orders_at_once_are_one_try_also_where_it_fails() {
    let (house, daemon) = ordered_while_waiting().await;
    let refused = Fault::Status(500, RetryAfter::Absent, Effect::None);
    house.ringcx.inject(Call::Mint, refused, Times::Always);
    house.write("go", "");
    let rotated = house.run(["rotate", "ivr"]);
    assert_eq!(rotated.code(), 1);
    assert!(
        rotated.err.contains("mint: answered 500"),
        "{}",
        rotated.err
    );
    // The first pass, one for the orders, and perhaps one for the last of them.
    let mints = house.count(Call::Mint);
    let log = daemon.log();
    assert!((2..=3).contains(&mints), "{mints}\n{log}");
    daemon.stop();
}
