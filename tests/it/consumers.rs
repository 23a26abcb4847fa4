//! Consumers: told once a change, whatever crashes; what they may still use is kept.

use std::os::unix::fs::PermissionsExt;

use rotator_core::secret::Fingerprint;
use rotator_simulator::Call;
use serde_json::Value;

use crate::env::{TestEnv, eventually, recorded};

/// Generations come and go at a command, and old ones as soon as may be.
const SHORT: &str = "retention = { max-age = \"1ms\", overlap = \"1ms\" }\ncheck-every = \"200ms\"";

/// A program that writes down what it read when it was told.
fn consumer(house: &TestEnv, script: &str) -> String {
    let path = house.path("consumer");
    house.write(
        "consumer",
        format!(
            "#!/bin/sh\ncd {} || exit 9\n{script}\n",
            house.dir.path().display()
        ),
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    format!(
        "notify = {{ argv = [\"{}\"], timeout = \"10s\" }}\n",
        path.display()
    )
}

fn told(house: &TestEnv) -> Vec<String> {
    let told = std::fs::read_to_string(house.path("told")).unwrap_or_default();
    told.lines().map(str::to_owned).collect()
}

fn sink(status: &Value) -> &Value {
    &status["sinks"][0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_with_the_same_notify_tell_once_a_rotation_and_the_file_is_new_by_then() {
    let house = TestEnv::new().await;
    let notify = consumer(
        &house,
        "cat token >> told; echo >> told; cmp -s token second || echo torn >> told",
    );
    let sinks = [
        house.file_sink("token") + &notify,
        house.file_sink("second") + &notify,
    ];
    house.set_policy(&house.policy("", &house.account("ivr", &sinks)));
    let daemon = house.start_ready().await;
    let mut expected = vec![house.token()];
    for _ in 0..5 {
        assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
        expected.push(house.token());
    }
    assert_eq!(told(&house), expected);
    assert_eq!(sink(&house.status())["notified"], true);
    // A file that is lost and put back is told of too; a pass without a change is not.
    std::fs::remove_file(house.path("second")).unwrap();
    daemon.signal("USR1");
    eventually("it is told again", || {
        (told(&house).len() == 7).then_some(())
    })
    .await;
    daemon.signal("USR1");
    let daemon = {
        daemon.stop();
        house.start_ready().await
    };
    assert_eq!(
        told(&house).len(),
        7,
        "neither a pass nor a restart tells again"
    );
    daemon.stop();
}

// fault: consumers-told at reconcile notify: a consumer that could not be notified counts as
//   notified
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_is_told_again_and_keeps_the_older_token() {
    let house = TestEnv::new().await;
    let notify = consumer(
        &house,
        "test -e broken && { echo \"no $(cat token)\" >&2; exit 3; }; cat token >> told; echo >> told",
    );
    let sinks = [house.file_sink("token") + &notify];
    house.set_policy(&house.policy(SHORT, &house.account("ivr", &sinks)));
    let daemon = house.start_ready().await;
    let old = house.token();
    house.write("broken", "");
    assert_eq!(
        house.run(["rotate", "ivr"]).code(),
        0,
        "a rotation does not wait for it"
    );
    let status = eventually("there is an incident", || {
        let status = house.status();
        (status["incidents"][0]["kind"] == "notify-failed").then_some(status)
    })
    .await;
    assert_eq!(
        (&sink(&status)["state"], &sink(&status)["notified"]),
        (&"serving".into(), &false.into())
    );
    let error = sink(&status)["last_error"].as_str().unwrap().to_owned();
    assert!(error.contains("exit code 3: no [redacted]"), "{error}");
    assert!(
        house
            .run(["plan"])
            .out
            .contains("the consumer of sink token was not told of a newer one")
    );
    assert!(house.record().is_alive(&old));

    std::fs::remove_file(house.path("broken")).unwrap();
    recorded(&house.record(), "the old token is deleted", |record| {
        !record.is_alive(&old)
    })
    .await;
    assert_eq!(told(&house), [old, house.token()]);
    eventually("the incident is over", || {
        house.status()["incidents"]
            .as_array()
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    let whole = house.run(["history", "--json"]).out + &daemon.log();
    assert!(
        !whole.contains(&house.token()),
        "what it printed was blotted"
    );
    daemon.stop();
}

// proves: consumers-told
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_it_is_told_tells_it_again() {
    let house = TestEnv::new().await;
    let notify = consumer(
        &house,
        "cat token >> told; echo >> told; test -e slow && sleep 600; exit 0",
    );
    let sinks = [house.file_sink("token") + &notify];
    house.set_policy(&house.policy("", &house.account("ivr", &sinks)));
    let daemon = house.start_ready().await;
    let first = house.token();
    house.write("slow", "");
    house.run(["rotate", "ivr", "--no-wait"]);
    eventually("it is being told", || {
        (told(&house).len() == 2).then_some(())
    })
    .await;
    daemon.kill();
    std::fs::remove_file(house.path("slow")).unwrap();
    let daemon = house.start_ready().await;
    let second = house.token();
    assert_eq!(told(&house), [first, second.clone(), second]);
    assert_eq!(
        (house.count(Call::Mint), &sink(&house.status())["notified"]),
        (2, &true.into())
    );
    daemon.stop();
}

// proves: acknowledged
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_token_stays_until_its_consumer_says_that_it_uses_the_newer_one() {
    let house = TestEnv::new().await;
    let path = house.path("uses");
    let acknowledge = format!(
        "acknowledge = {{ path = \"{}\", within = \"1s\" }}\n",
        path.display()
    );
    let sinks = [house.file_sink("token") + &acknowledge];
    house.set_policy(&house.policy(SHORT, &house.account("ivr", &sinks)));
    let daemon = house.start_ready().await;
    let old = house.token();
    house.write("uses", format!("{}\n", Fingerprint::of(old.as_bytes())));
    eventually("it is heard", || {
        (sink(&house.status())["acknowledged"] == 1).then_some(())
    })
    .await;
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    let incident = eventually("it is late", || {
        let incident = house.status()["incidents"][0].clone();
        (incident["kind"] == "acknowledgement-late").then_some(incident)
    })
    .await;
    let summary = incident["summary"].as_str().unwrap().to_owned();
    assert!(
        summary.contains("it says that it uses generation 1"),
        "{summary}"
    );
    assert!(house.record().is_alive(&old));
    assert_eq!(house.count(Call::Delete), 0);

    house.write("uses", "2\n");
    recorded(&house.record(), "the old token is deleted", |record| {
        !record.is_alive(&old)
    })
    .await;
    eventually("the incident is over", || {
        house.status()["incidents"]
            .as_array()
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    daemon.stop();
}
