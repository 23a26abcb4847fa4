//! A mint whose answer was lost: no token too many, and the one there is gets used.

use std::time::Duration;

use rotator_core::secret::Fingerprint;
use rotator_simulator::{Call, Effect, Fault, RetryAfter, Times};
use serde_json::Value;

use crate::env::{TestEnv, USER, eventually, recorded};

/// Short enough that silence is soon taken for what it is.
fn policy(house: &TestEnv, defaults: &str) -> String {
    house.usual(defaults).replace(
        "request-timeout = \"20s\"",
        "connect-timeout = \"2s\"\nrequest-timeout = \"2s\"",
    )
}

/// Every event of this kind.
fn events(house: &TestEnv, kind: &str) -> Vec<Value> {
    let ran = house.run(["history", "--json"]);
    let lines = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|event| event["kind"] == kind).collect()
}

/// Waits until this generation is current and nothing is left to do.
async fn settled_at(house: &TestEnv, generation: u64) {
    eventually(&format!("generation {generation} is current"), || {
        let status = house.status();
        (status["state"] == "ok" && status["current"]["generation"] == generation).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_mint_is_recovered_from_the_list_and_used() {
    for fault in [
        Fault::LostAnswer,
        Fault::SilenceAfter,
        Fault::HalfBody,
        Fault::Empty,
        Fault::Garbage,
        Fault::Status(500, RetryAfter::Absent, Effect::Done),
        Fault::Html(504, Effect::Done),
    ] {
        let house = TestEnv::new().await;
        house.set_policy(&policy(&house, ""));
        let daemon = house.start_ready().await;
        house.ringcx.inject(Call::Mint, fault, Times::Once);
        house.run(["rotate", "ivr"]);
        settled_at(&house, 2).await;

        let record = house.record();
        let minted = record.tokens();
        assert_eq!(
            (
                minted.len(),
                record.effects(Call::Mint),
                record.count(Call::Mint)
            ),
            (2, 2, 2),
            "{fault}"
        );
        assert_eq!(
            house.token(),
            minted[1].token,
            "{fault}: the sink serves the one that was recovered"
        );
        let how: Vec<Value> = events(&house, "minted")
            .iter()
            .map(|it| it["how"].clone())
            .collect();
        assert_eq!(how, ["answered", "recovered"], "{fault}");
        println!("lost mint, {fault}: 2 generations, 2 mints, recovered and served");
        daemon.stop();
    }
}

// fault: intent-first at reconcile mint: a mint is sent before it is announced
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_under_way_when_the_daemon_is_killed_is_recovered_by_the_next_one() {
    let house = TestEnv::new().await;
    house.set_policy(
        &policy(&house, "").replace("request-timeout = \"2s\"", "request-timeout = \"100s\""),
    );
    let daemon = house.start_ready().await;
    house
        .ringcx
        .inject(Call::Mint, Fault::SilenceAfter, Times::Once);
    house.run(["rotate", "--no-wait", "ivr"]);
    recorded(&house.record(), "a second mint", |record| {
        record.effects(Call::Mint) == 2
    })
    .await;
    daemon.kill();
    assert_eq!(
        events(&house, "mint-intended").len(),
        2,
        "the intent was there before the call"
    );

    let daemon = house.start_ready().await;
    settled_at(&house, 2).await;
    let record = house.record();
    assert_eq!((record.count(Call::Mint), record.tokens().len()), (2, 2));
    assert_eq!(house.token(), record.tokens()[1].token);
    assert_eq!(events(&house, "minted")[1]["how"], "recovered");
    println!("lost mint across a kill: 2 generations, 2 mints, recovered and served");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_that_never_happened_is_made_again_after_a_kill() {
    let house = TestEnv::new().await;
    house.set_policy(
        &policy(&house, "").replace("request-timeout = \"2s\"", "request-timeout = \"100s\""),
    );
    let daemon = house.start_ready().await;
    house.ringcx.inject(Call::Mint, Fault::Silence, Times::Once);
    house.run(["rotate", "--no-wait", "ivr"]);
    recorded(&house.record(), "a second mint call", |record| {
        record.count(Call::Mint) == 2
    })
    .await;
    daemon.kill();

    let daemon = house.start_ready().await;
    settled_at(&house, 3).await;
    assert_eq!((house.record().effects(Call::Mint), house.alive()), (2, 2));
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_that_happens_late_becomes_the_generation_it_was_meant_to_be() {
    let house = TestEnv::new().await;
    let retry = "retry = { initial = \"4s\", max = \"4s\", rejected-login = \"10h\" }";
    house.set_policy(&policy(&house, retry));
    let daemon = house.start_ready().await;
    house.ringcx.inject(
        Call::Mint,
        Fault::LateEffect(Duration::from_secs(1)),
        Times::Once,
    );
    house.run(["rotate", "ivr"]);
    settled_at(&house, 2).await;
    let record = house.record();
    assert_eq!((record.count(Call::Mint), record.tokens().len()), (2, 2));
    assert_eq!(house.token(), record.tokens()[1].token);
    assert_eq!(events(&house, "minted")[1]["how"], "late");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_that_happens_after_its_replacement_is_deleted_again() {
    let house = TestEnv::new().await;
    house.set_policy(&policy(
        &house,
        "retention = { max-age = \"1s\", overlap = \"1s\" }\ncheck-every = \"1s\"",
    ));
    let daemon = house.start_ready().await;
    house.ringcx.inject(
        Call::Mint,
        Fault::LateEffect(Duration::from_secs(4)),
        Times::Once,
    );
    house.run(["rotate", "ivr"]);
    let record = house.record();
    recorded(&record, "the late mint", |record| {
        record.effects(Call::Mint) == 3
    })
    .await;
    eventually("only the current token is left", || {
        (house.alive() == 1).then_some(())
    })
    .await;
    assert!(record.is_alive(&house.token()));
    eventually("all is well", || {
        (house.status()["state"] == "ok").then_some(())
    })
    .await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_several_unknown_tokens_none_is_touched_and_someone_is_told() {
    let house = TestEnv::new().await;
    house.set_policy(&policy(
        &house,
        "retention = { max-age = \"1s\", overlap = \"1s\" }\ncheck-every = \"1s\"",
    ));
    let daemon = house.start_ready().await;
    let record = house.record();
    house
        .ringcx
        .inject(Call::Mint, Fault::SilenceAfter, Times::Once);
    house.run(["rotate", "--no-wait", "ivr"]);
    recorded(&record, "a second mint", |record| {
        record.effects(Call::Mint) == 2
    })
    .await;
    let unknown = [
        record.tokens()[1].token.clone(),
        house.ringcx.mint_foreign(USER),
    ];

    eventually("another was minted and promoted", || {
        let status = house.status();
        (status["current"]["generation"] == 3 && status["pending"].is_null()).then_some(())
    })
    .await;
    let told = events(&house, "mint-ambiguous");
    assert_eq!(told[0]["candidates"].as_array().unwrap().len(), 2);
    assert_eq!(house.status()["foreign"], 2);
    recorded(&record, "the first token is gone", |record| {
        record.effects(Call::Delete) == 1
    })
    .await;
    assert!(
        unknown.iter().all(|token| record.is_alive(token)),
        "neither is touched"
    );
    let log = daemon.log();
    assert!(log.contains("mint-unknown"), "{log}");
    assert_eq!(
        Fingerprint::of(house.token().as_bytes()).to_string(),
        house.status()["current"]["fingerprint"]
    );
    daemon.stop();
}
