//! Several accounts that log in as the same RingCX user, one for each service: each knows the
//! others' tokens from the tokens of strangers.

use rotator_core::secret::Fingerprint;
use rotator_simulator::{Call, Effect, Fault, RetryAfter, Times};
use serde_json::Value;

use crate::env::{TestEnv, USER, eventually, side_by_side};

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
        eventually("all are served again", || {
            let status = house.json(&["status", "--json"]);
            let accounts = status["accounts"].as_array()?;
            accounts
                .iter()
                .all(|account| account["state"] == "ok" && account["pending"].is_null())
                .then_some(())
        })
        .await;
        all_served(&house);
    }
    let generations: Vec<Value> = events(&house, "minted");
    let mut fingerprints: Vec<&str> = generations
        .iter()
        .filter_map(|event| event["fingerprint"].as_str())
        .collect();
    let minted = fingerprints.len();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), minted, "a token has two owners");
    assert_eq!(minted, house.record().tokens().len(), "a token has none");
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
