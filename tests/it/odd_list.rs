//! A user's list that has entries which are no tokens: they are told of once, left alone, and
//! hinder nothing.

use rotator_simulator::Call;
use serde_json::{Value, json};

use crate::env::{TestEnv, eventually};

const TOLD: &str = "has entries that are not tokens";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_a_list_that_are_no_tokens_hinder_nothing_and_are_told_once() {
    let house = TestEnv::new().await;
    let odd = vec![
        Value::Null,
        json!("bG9uZyBlbm91Z2g+/w=="),
        json!(7),
        json!({ "token": "of another kind" }),
    ];
    house
        .ringcx
        .adjust(|settings| settings.list_extra = odd.clone());
    let quick = "schedule = { every = \"10h\", jitter = \"0s\" }\ncheck-every = \"100ms\"\n\
                 retention = { max-age = \"1ms\", overlap = \"0s\" }";
    house.set_policy(&house.usual(quick));
    let daemon = house.start_ready().await;
    let first = house.token();
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    assert_ne!(house.token(), first);
    eventually("the old one is deleted", || {
        house.record().dead_since(&first)
    })
    .await;
    let lists = house.count(Call::List);
    eventually("lists come and go", || {
        (house.count(Call::List) > lists + 3).then_some(())
    })
    .await;
    let log = daemon.log();
    assert_eq!(log.matches(TOLD).count(), 1, "{log}");
    assert!(!log.contains("bG9uZ"), "an odd entry is in the log");
    assert_eq!(house.status()["state"], "ok");
    assert_eq!(house.status()["incidents"], json!([]));
    let checked = house.run(["check", "--online"]);
    assert!(
        checked
            .out
            .contains("entries of its list that are not tokens: 4"),
        "{}",
        checked.out
    );

    // One that comes to be is told of as well.
    house
        .ringcx
        .adjust(|settings| settings.list_extra.push(Value::Null));
    eventually("the fifth is told", || {
        (daemon.log().matches(TOLD).count() == 2).then_some(())
    })
    .await;
    daemon.stop();
}
