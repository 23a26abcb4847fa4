//! Several accounts that log in as the same RingCX user, one for each service: each knows the
//! others' tokens from the tokens of strangers.

use std::collections::BTreeSet;
use std::time::Duration;

use rotator_core::secret::Fingerprint;
use rotator_simulator::{Call, Effect, Fault, Record, RetryAfter, Times};
use serde_json::Value;

use crate::env::{TestEnv, USER, eventually, recorded, side_by_side};

const SERVICES: [&str; 3] = ["dialler", "ivr", "loader"];
/// Strangers' tokens are deleted too, and everything is ripe at once.
const ADOPT: &str = "retention = { max-age = \"1ms\", overlap = \"1ms\", foreign = \"adopt\", max-live = 20 }\n\
                     check-every = \"100ms\"\nretry = { initial = \"20ms\", max = \"100ms\" }";
/// Only what is recorded as ours may go.
const KEEP: &str = "retention = { max-age = \"1h\", overlap = \"1h\", max-live = 20 }\n\
                    retry = { initial = \"20ms\", max = \"100ms\" }";

fn policy(house: &TestEnv, defaults: &str) -> String {
    let accounts = SERVICES.map(|name| house.account(name, &[house.file_sink(name)]));
    house.policy(defaults, &accounts.concat()).replace(
        "requests-per-minute = 6000",
        "requests-per-minute = 60000\nlogins-per-minute = 1000",
    )
}

fn print_of(token: &str) -> String {
    Fingerprint::of(token.as_bytes()).to_string()
}

/// What each service reads works, and each reads another token.
#[track_caller]
fn all_served(house: &TestEnv) -> [String; 3] {
    let tokens = SERVICES.map(|name| house.read(name));
    for (name, token) in SERVICES.iter().zip(&tokens) {
        assert!(house.record().is_alive(token), "{name} reads a dead token");
    }
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2] && tokens[0] != tokens[2]);
    tokens
}

/// Every event of this kind, of all accounts.
fn events(house: &TestEnv, kind: &str) -> Vec<Value> {
    let ran = house.run(["history", "--json"]);
    let lines = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|event| event["kind"] == kind).collect()
}

/// Every token was minted by one account, and no other claims it.
#[track_caller]
fn one_owner_each(house: &TestEnv) {
    let minted = events(house, "minted");
    let owned: BTreeSet<&str> = minted
        .iter()
        .filter_map(|event| event["fingerprint"].as_str())
        .collect();
    assert_eq!(owned.len(), minted.len(), "a token has two owners");
    let made = house.record().tokens().len();
    assert_eq!(owned.len(), made, "a token has no owner");
}

async fn all_ok(house: &TestEnv) {
    eventually("all accounts are well and hold one token each", || {
        let status = house.json(&["status", "--json"]);
        let accounts = status["accounts"].as_array().unwrap();
        let well = |account: &Value| {
            account["state"] == "ok"
                && account["previous"].as_array().is_some_and(Vec::is_empty)
                && account["incidents"].as_array().is_some_and(Vec::is_empty)
        };
        (accounts.len() == 3 && accounts.iter().all(well)).then_some(())
    })
    .await;
}

async fn all_settled(house: &TestEnv) {
    eventually("all accounts are well and nothing is under way", || {
        let status = house.json(&["status", "--json"]);
        let accounts = status["accounts"].as_array()?;
        let settled = |account: &Value| account["state"] == "ok" && account["pending"].is_null();
        accounts.iter().all(settled).then_some(())
    })
    .await;
}

// proves: own-only, serve-live, retention
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_of_one_user_never_delete_each_others_tokens() {
    let house = TestEnv::new().await;
    house.set_policy(&policy(&house, ADOPT));
    let daemon = house.start_ready().await;
    for _ in 0..4 {
        let codes = tokio::task::block_in_place(|| {
            side_by_side(3, &SERVICES, |name| house.run(["rotate", name]).code())
        });
        assert_eq!(codes, [0, 0, 0]);
        all_served(&house);
    }
    // One of a stranger is adopted by them, and goes.
    let stranger = house.ringcx.mint_foreign(USER);
    house.run(["rotate", "--all"]);
    eventually("the stranger's token is deleted", || {
        house.run(["rotate", "--all"]);
        house.record().dead_since(&stranger)
    })
    .await;
    all_ok(&house).await;
    let held = all_served(&house);
    let alive = house.record().alive(USER);
    assert_eq!(alive.len(), 3, "nothing of ours is left over");
    assert!(alive.iter().all(|token| held.contains(&token.token)));
    assert!(events(&house, "token-lost").is_empty());
    daemon.stop();
}

// proves: no-blind-mint, never-zero
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_mint_is_not_settled_with_the_token_of_another_account() {
    let house = TestEnv::new().await;
    house.set_policy(&policy(&house, KEEP));
    let daemon = house.start_ready().await;
    for fault in [
        Fault::LostAnswer,
        Fault::Status(500, RetryAfter::Absent, Effect::None),
    ] {
        // One of the three mints loses its answer, whichever is sent first.
        house.ringcx.inject(Call::Mint, fault, Times::Once);
        tokio::task::block_in_place(|| {
            side_by_side(3, &SERVICES, |name| house.run(["rotate", name]))
        });
        all_settled(&house).await;
        all_served(&house);
    }
    one_owner_each(&house);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_mint_waits_for_the_mint_of_another_account_that_is_under_way() {
    let house = TestEnv::new().await;
    house.set_policy(
        &policy(&house, KEEP).replace("request-timeout = \"20s\"", "request-timeout = \"2s\""),
    );
    let daemon = house.start_ready().await;
    house
        .ringcx
        .inject(Call::Mint, Fault::SilenceAfter, Times::Once);
    house.run(["rotate", "--no-wait", "dialler"]);
    let mints = |number| move |record: &Record| record.effects(Call::Mint) == number;
    recorded(&house.record(), "a mint without an answer", mints(4)).await;
    // Answered after the dialler's account has given up, which then lists.
    let slow = Fault::Slow(Duration::from_millis(1900));
    house.ringcx.inject(Call::Mint, slow, Times::Once);
    tokio::time::sleep(Duration::from_millis(700)).await;
    house.run(["rotate", "ivr"]);
    all_settled(&house).await;
    assert!(events(&house, "mint-ambiguous").is_empty());
    all_served(&house);
    one_owner_each(&house);
    daemon.stop();
}

// proves: own-only, never-zero
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_late_token_that_one_account_takes_is_no_longer_the_one_of_another() {
    let house = TestEnv::new().await;
    let defaults = format!("{KEEP}\ncheck-every = \"50ms\"");
    house.set_policy(&policy(&house, &defaults));
    let daemon = house.start_ready().await;
    // From here on the dialler's account expects a token that comes late.
    house
        .ringcx
        .inject(Call::Mint, Fault::CutBefore, Times::Once);
    house.run(["rotate", "dialler"]);
    all_settled(&house).await;
    // Long enough for some checks of the dialler's account.
    let slow = Fault::Slow(Duration::from_millis(2500));
    house.ringcx.inject(Call::Mint, slow, Times::Once);
    house.run(["rotate", "ivr"]);
    all_settled(&house).await;
    all_served(&house);
    one_owner_each(&house);
    daemon.stop();
}

// proves: own-only
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_say_whose_token_it_is_and_leave_it_alone() {
    let house = TestEnv::new().await;
    house.set_policy(&policy(&house, KEEP));
    house.start_ready().await.stop();
    let [dialler, ivr, _] = all_served(&house);
    let daemons = [None, Some(house.start_ready().await)];
    for daemon in daemons {
        let view = house.json(&["tokens", "ivr", "--json"]);
        let tokens = view["tokens"].as_array().unwrap();
        let owner = |token: &str| {
            let found = tokens
                .iter()
                .find(|it| it["fingerprint"] == print_of(token));
            found.unwrap()["owner"].clone()
        };
        assert_eq!(tokens.len(), 3, "{view}");
        assert_eq!(
            (owner(&dialler), owner(&ivr)),
            ("dialler".into(), Value::Null)
        );
        let name = &print_of(&dialler)[..12];
        let shown = house.run(["tokens", "ivr"]).out;
        assert!(shown.contains("of dialler"), "{shown}");
        for command in [
            vec!["revoke", "ivr", name, "--yes"],
            vec!["adopt", "ivr", name, "--yes"],
        ] {
            let ran = house.run(&command);
            assert_eq!(ran.code(), 1, "{command:?}: {}", ran.out);
            assert!(
                ran.err.contains("account dialler") || ran.err.contains("no foreign token"),
                "{}",
                ran.err
            );
        }
        all_served(&house);
        drop(daemon);
    }
    let deleted = house
        .record()
        .tokens()
        .into_iter()
        .filter(|token| token.deleted_by.is_some());
    assert_eq!(deleted.count(), 0);
}

// proves: own-only, serve-live
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_stays_known_when_its_account_is_taken_out_of_the_policy() {
    let house = TestEnv::new().await;
    house.set_policy(&policy(&house, ADOPT));
    house.start_ready().await.stop();
    let [removed, ..] = all_served(&house);
    let accounts = ["ivr", "loader"].map(|name| house.account(name, &[house.file_sink(name)]));
    house.set_policy(&house.policy(ADOPT, &accounts.concat()));
    let stranger = house.ringcx.mint_foreign(USER);
    let daemon = house.start_ready().await;
    eventually("the stranger's token is deleted", || {
        house.run(["rotate", "--all"]);
        house.record().dead_since(&stranger)
    })
    .await;
    assert!(
        house.record().is_alive(&removed),
        "a removed account keeps its token"
    );
    daemon.stop();
}
