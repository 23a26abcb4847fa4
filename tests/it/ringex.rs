//! Accounts that log in by RingEX: what it costs, who is asked how often, whose tokens they are,
//! and what is said when one of the two hosts refuses.

use std::collections::BTreeMap;

use rotator_simulator::{Call, Effect, Fault, RetryAfter, RingexSetup, Times};

use crate::broken_journal::sql;
use crate::env::{PASSWORD, TestEnv, USER, by_ringex, eventually, recorded, user};

const APP: &str = "the-app";
const APP_SECRET: &str = "app secret/+&%\"42\"";

/// A house with an app and [`USER`]'s JWT.
async fn house() -> TestEnv {
    let house = TestEnv::with_ringex(
        vec![user(USER, PASSWORD)],
        RingexSetup {
            apps: [(APP.to_owned(), APP_SECRET.to_owned())].into(),
            jwts: BTreeMap::new(),
        },
    )
    .await;
    house.write("client-secret", APP_SECRET);
    house.write("jwt", house.ringcx.make_jwt(USER));
    house
}

fn account(house: &TestEnv, name: &str, jwt: &str, app: &str) -> String {
    let account = house.account(name, &[house.file_sink(&format!("{name}-token"))]);
    by_ringex(&account, app, "client-secret", jwt)
}

fn usual(house: &TestEnv, defaults: &str) -> String {
    house.policy(defaults, &account(house, "ivr", "jwt", APP))
}

/// The last rejected login of the only account, in words.
fn rejection(house: &TestEnv) -> String {
    let status = house.status();
    assert_eq!(status["incidents"][0]["kind"], "login-rejected", "{status}");
    assert_eq!(status["state"], "parked");
    status["last_error"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_costs_one_call_more_and_ringex_is_asked_once_in_an_hour() {
    let house = house().await;
    house.set_policy(&usual(&house, ""));
    let daemon = house.start_ready().await;
    let calls: Vec<String> = house
        .record()
        .calls()
        .iter()
        .map(|it| it.call.to_string())
        .collect();
    assert_eq!(
        calls,
        [
            "ringex-token",
            "ringex-login",
            "list",
            "mint",
            "list",
            "accounts",
            "list"
        ]
    );
    // Access token and refresh token are worth nothing any more: each rotation logs in again.
    let refused = Fault::Status(401, RetryAfter::Absent, Effect::None);
    house.ringcx.inject(Call::Refresh, refused, Times::Always);
    for _ in 0..3 {
        house.ringcx.expire_sessions();
        assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    }
    assert_eq!(
        (
            house.count(Call::RingexToken),
            house.count(Call::RingexLogin)
        ),
        (1, 4)
    );
    assert!(house.record().is_alive(&house.read("ivr-token")));
    println!(
        "ringex: {} calls for the first rotation, 1 to RingEX in 4 logins",
        calls.len()
    );
    // One that was revoked before its time is had again.
    house.ringcx.revoke_ringex_tokens();
    house.ringcx.expire_sessions();
    let rotated = house.run(["rotate", "ivr"]);
    assert_eq!(
        rotated.code(),
        1,
        "the fifth login of this minute was spent on it: {}",
        rotated.out
    );
    assert_eq!(
        (
            house.count(Call::RingexToken),
            house.count(Call::RingexLogin)
        ),
        (1, 5)
    );
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ringex_token_that_was_revoked_is_had_again_in_the_same_pass() {
    let house = house().await;
    house.set_policy(&usual(&house, ""));
    let daemon = house.start_ready().await;
    let refused = Fault::Status(401, RetryAfter::Absent, Effect::None);
    house.ringcx.inject(Call::Refresh, refused, Times::Always);
    house.ringcx.revoke_ringex_tokens();
    house.ringcx.expire_sessions();
    let rotated = house.run(["rotate", "ivr"]);
    assert_eq!(rotated.code(), 0, "{}", rotated.err);
    assert_eq!(
        (
            house.count(Call::RingexToken),
            house.count(Call::RingexLogin)
        ),
        (2, 3)
    );
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_jwt_is_sent_once_across_restarts_and_again_only_for_a_reason() {
    let house = house().await;
    assert!(house.ringcx.revoke_jwt(&house.read("jwt")));
    house.set_policy(&usual(&house, "check-every = \"1s\""));
    let daemon = house.start_ready().await;
    let asked = || {
        (
            house.count(Call::RingexToken),
            house.count(Call::RingexLogin),
        )
    };
    assert_eq!(asked(), (1, 0), "RingCX is not even asked");
    let error = rejection(&house);
    assert!(
        error.starts_with("login to RingEX (127.0.0.1): answered 400: invalid_grant: "),
        "{error}"
    );
    assert!(
        error.contains("make another one in RingCentral's developer console"),
        "{error}"
    );
    daemon.kill();
    let daemon = house.start_ready().await;
    assert_eq!(asked(), (1, 0), "a restart is no reason");
    assert_eq!(house.run(["reload"]).code(), 0);
    recorded(&house.record(), "one after the reload", |it| {
        it.count(Call::RingexToken) == 2
    })
    .await;
    // Either of the two secrets may be the one that was wrong.
    house.write("client-secret", "another");
    recorded(&house.record(), "one for another app secret", |it| {
        it.count(Call::RingexToken) == 3
    })
    .await;
    eventually("the app is what is wrong", || {
        let status = house.status();
        let error = status["last_error"].as_str().unwrap_or_default();
        (status["state"] == "parked" && error.contains("invalid_client")).then_some(())
    })
    .await;
    let error = rejection(&house);
    assert!(
        error.contains("answered 401") && error.contains("see to client-id and client-secret"),
        "{error}"
    );
    house.write("client-secret", APP_SECRET);
    recorded(&house.record(), "one for the right one", |it| {
        it.count(Call::RingexToken) == 4
    })
    .await;
    house.write("jwt", house.ringcx.make_jwt(USER));
    eventually("all is well", || {
        (house.status()["state"] == "ok").then_some(())
    })
    .await;
    assert_eq!(asked(), (5, 1));
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_ringcx_does_not_let_in_is_told_from_one_that_ringex_does_not_know() {
    let house = house().await;
    house.ringcx.disable_access(USER);
    house.set_policy(&usual(&house, ""));
    assert_eq!(house.run(["run", "--once"]).code(), 1);
    assert_eq!(house.run(["run", "--once"]).code(), 1);
    assert_eq!(
        (
            house.count(Call::RingexToken),
            house.count(Call::RingexLogin)
        ),
        (1, 1)
    );
    let error = rejection(&house);
    assert!(
        error.starts_with("login to RingCX (127.0.0.1): answered 403"),
        "{error}"
    );
    assert!(error.contains("give it access to RingCX"), "{error}");
    let online = house.run(["check", "--online"]);
    assert!(
        online
            .err
            .contains("login to RingCX (127.0.0.1): answered 403"),
        "{}",
        online.err
    );
    house.ringcx.enable_access(USER);
    let online = house.run(["check", "--online"]);
    assert_eq!(online.code(), 0, "{}", online.err);
    assert!(
        online
            .out
            .contains(&format!("logged in as RingEX user {USER}")),
        "{}",
        online.out
    );
    let rotated = house.run(["rotate", "ivr"]);
    assert_eq!(rotated.code(), 0, "{}", rotated.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_of_one_app_never_trip_its_limit_and_hold_up_no_other() {
    let house = house().await;
    house
        .ringcx
        .adjust(|it| it.ringex_logins_per_minute = Some(5));
    house.ringcx.set_app("another-app", APP_SECRET);
    let mut accounts = String::new();
    for number in 0..8 {
        let jwt = format!("jwt-{number}");
        house.write(&jwt, house.ringcx.make_jwt(&format!("bot-{number}")));
        accounts += &account(&house, &format!("ivr-{number}"), &jwt, APP);
    }
    house.write("jwt-other", house.ringcx.make_jwt("bot-other"));
    accounts += &account(&house, "other", "jwt-other", "another-app");
    house.set_policy(&house.policy("", &accounts));
    let daemon = house.start_ready().await;
    let record = house.record();
    let well = || {
        let status = house.json(&["status", "--json"]);
        let accounts = status["accounts"].as_array().unwrap().clone();
        accounts
            .iter()
            .filter(|it| !it["current"].is_null())
            .count()
    };
    eventually("five of one app, and one of another", || {
        (well() == 6).then_some(())
    })
    .await;
    assert!(house.path("other-token").exists());
    assert_eq!(record.count(Call::RingexToken), 6);
    // Another process, the same minute.
    daemon.kill();
    let daemon = house.start_ready().await;
    daemon.signal("USR1");
    // One that has had no turn yet: which five came first is up to the moment.
    let status = house.json(&["status", "--json"]);
    let waits = status["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["current"].is_null())
        .unwrap();
    assert_eq!(
        house
            .run(["rotate", waits["name"].as_str().unwrap()])
            .code(),
        1
    );
    assert_eq!(
        record.count(Call::RingexToken),
        6,
        "what was sent before the restart counts"
    );
    eventually("all of them", || (well() == 9).then_some(())).await;
    let calls = record.calls();
    let refused = calls.iter().filter(|it| it.status == Some(429)).count();
    let asked: Vec<_> = calls
        .iter()
        .filter(|it| it.call == Call::RingexToken)
        .collect();
    assert_eq!((refused, asked.len()), (0, 9), "{asked:?}");
    println!("ringex: 8 accounts of one app, 0 refused, across a restart");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_penalty_of_one_account_is_kept_by_all_of_its_app_across_restarts() {
    let house = house().await;
    let refused = Fault::Status(429, RetryAfter::Seconds(40), Effect::None);
    house
        .ringcx
        .inject(Call::RingexToken, refused, Times::Always);
    let accounts: String = (0..3)
        .map(|it| account(&house, &format!("ivr-{it}"), "jwt", APP))
        .collect();
    house.set_policy(&house.policy("check-every = \"1s\"", &accounts));
    let daemon = house.start_ready().await;
    let record = house.record();
    // Those that were on their way before the first was answered.
    let sent = record.count(Call::RingexToken);
    assert!((1..=3).contains(&sent));
    // Asking for it lifts an account's own hold, and not the app's.
    assert_eq!(house.run(["rotate", "--all"]).code(), 1);
    assert_eq!(record.count(Call::RingexToken), sent);
    daemon.kill();
    let daemon = house.start_ready().await;
    let rotated = house.run(["rotate", "--all"]);
    assert_eq!(rotated.code(), 1);
    assert!(rotated.err.contains("answered 429"), "{}", rotated.err);
    assert_eq!(
        record.count(Call::RingexToken),
        sent,
        "a request during a penalty prolongs it"
    );
    house.ringcx.clear();
    recorded(&record, "another try once it is over", |it| {
        it.count(Call::RingexToken) > sent
    })
    .await;
    let calls = record.calls();
    let asked: Vec<_> = calls
        .iter()
        .filter(|it| it.call == Call::RingexToken)
        .map(|it| it.at)
        .collect();
    assert!(
        (asked[sent] - asked[sent - 1]).num_seconds() >= 39,
        "{asked:?}"
    );
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_run_by_themselves_keep_the_penalty_of_their_app_too() {
    let house = house().await;
    let refused = Fault::Status(429, RetryAfter::Seconds(300), Effect::None);
    house
        .ringcx
        .inject(Call::RingexToken, refused, Times::Always);
    let accounts: String = (0..2)
        .map(|it| account(&house, &format!("ivr-{it}"), "jwt", APP))
        .collect();
    house.set_policy(&house.policy("", &accounts));
    assert_eq!(house.run(["rotate", "ivr-0"]).code(), 1);
    assert_eq!(house.count(Call::RingexToken), 1);
    for command in [
        ["rotate", "ivr-1"],
        ["tokens", "ivr-1"],
        ["check", "--online"],
    ] {
        let ran = house.run(command);
        assert_eq!(ran.code(), 1, "{command:?}: {}", ran.err);
        assert_eq!(
            house.count(Call::RingexToken),
            1,
            "{command:?}: a request prolongs the penalty"
        );
    }
    let online = house.run(["check", "--online"]);
    assert!(
        online
            .err
            .contains("ivr-1: login to RingEX not tried: it refuses logins of this app until ")
    );
    // Another app is not concerned.
    house.ringcx.set_app("another-app", APP_SECRET);
    house.ringcx.clear();
    let other = account(&house, "ivr-2", "jwt", "another-app");
    house.set_policy(&house.policy("", &format!("{accounts}{other}")));
    let rotated = house.run(["rotate", "ivr-2"]);
    assert_eq!(rotated.code(), 0, "{}", rotated.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_whose_history_cannot_be_read_keeps_none_of_its_app_from_logging_in() {
    let house = house().await;
    let accounts: String = (0..2)
        .map(|it| account(&house, &format!("ivr-{it}"), "jwt", APP))
        .collect();
    house.set_policy(&house.policy("", &accounts));
    assert_eq!(house.run(["rotate", "ivr-0"]).code(), 0);
    sql(
        &house,
        "UPDATE rows SET body = '{\"kind\":\"rotation-asked\"}' WHERE stream = 'ivr-0' AND seq = 2",
    );
    let daemon = house.start_ready().await;
    eventually("the other is well", || {
        let status = house.json(&["status", "--json"]);
        let state = |number: usize| status["accounts"][number]["state"].clone();
        (state(0) == "failing" && state(1) == "ok").then_some(())
    })
    .await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_users_jwt_begins_a_new_line_and_the_old_users_token_is_reported_not_forgotten() {
    let house = house().await;
    house.set_policy(&usual(&house, ""));
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    let old = house.read("ivr-token");
    house.write("jwt", house.ringcx.make_jwt("another-bot"));
    assert_eq!(house.run(["run", "--once"]).code(), 0, "nothing is due");
    assert_eq!(house.read("ivr-token"), old);
    let rotated = house.run(["rotate", "ivr"]);
    assert_eq!(rotated.code(), 0, "{}", rotated.err);
    let record = house.record();
    assert!(record.is_alive(&old), "it is not ours to delete any more");
    assert_eq!(record.alive("another-bot").len(), 1);
    assert_eq!(
        record.alive("another-bot")[0].token,
        house.read("ivr-token")
    );
    let plan = house.run(["plan", "ivr"]).out;
    assert!(
        plan.contains(&format!(
            "was minted by RingEX user {USER} and is still alive there"
        )),
        "{plan}"
    );
    let history = house.run(["history", "--json"]).out;
    assert!(!history.contains("\"retired\""), "{history}");
    // The first user again: what it had is its own again, and nothing is minted for that.
    let mints = record.effects(Call::Mint);
    house.write("jwt", house.ringcx.make_jwt(USER));
    let tokens = house.run(["tokens", "ivr"]);
    assert_eq!(tokens.code(), 0, "{}", tokens.err);
    assert_eq!(record.effects(Call::Mint), mints);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_login_that_becomes_one_by_ringex_goes_on_with_the_same_users_token() {
    let house = house().await;
    let admin = house.account("ivr", &[house.file_sink("ivr-token")]);
    house.set_policy(&house.policy("", &admin));
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    let token = house.read("ivr-token");
    house.set_policy(&usual(&house, ""));
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    assert_eq!(
        house.read("ivr-token"),
        token,
        "the same user's list has it"
    );
    assert_eq!(house.record().effects(Call::Mint), 1);
    assert_eq!(house.record().count(Call::RingexLogin), 1);
}
