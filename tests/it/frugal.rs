//! What a rotation and a check cost, by the stand-in's own count.

use rotator_simulator::Call;

use crate::env::{TestEnv, eventually};

/// The calls that one run makes.
fn calls_of_a_run(house: &TestEnv) -> Vec<String> {
    let before = house.record().calls().len();
    let ran = house.run(["run", "--once"]);
    assert_eq!(ran.code(), 0, "{}", ran.err);
    house.record().calls()[before..]
        .iter()
        .map(|it| it.call.to_string())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_costs_one_call_and_a_rotation_with_a_delete_at_most_eight() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let first = calls_of_a_run(&house);
    assert_eq!(
        calls_of_a_run(&house),
        ["list"],
        "a check of a healthy account"
    );

    // Now a rotation is due, and the old token goes in the same pass.
    let due = "schedule = { every = \"4s\", jitter = \"0s\" }\nretention = { max-age = \"1ms\", overlap = \"0s\" }";
    house.set_policy(&house.usual(due));
    let rotation = eventually("a rotation is due", || {
        let calls = calls_of_a_run(&house);
        (house.count(Call::Mint) > 1).then_some(calls)
    })
    .await;
    assert_eq!(
        (
            house.count(Call::Mint),
            house.record().effects(Call::Delete),
            house.alive()
        ),
        (2, 1, 1)
    );
    println!(
        "frugal: first rotation {} calls, check 1, rotation with a delete {}",
        first.len(),
        rotation.len()
    );
    println!("frugal: {}", rotation.join(" "));
    assert!(rotation.len() <= 8, "{rotation:?}");
}
