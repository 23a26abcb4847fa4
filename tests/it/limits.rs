//! What a server asks for when it is called too often is kept, whichever call it answers, and what
//! it did not mean is not taken for more than it is.

use std::time::Duration;

use chrono::TimeDelta;
use rotator_simulator::{Call, CallRecord, Effect, Fault, RetryAfter, RingexSetup, Times};

use crate::env::{PASSWORD, TestEnv, USER, by_ringex, eventually, recorded, user};

/// What the faults below ask for, in seconds.
const PAUSE: u32 = 2;
/// Waits of the daemon itself that are shorter than that.
const RETRY: &str = "retry = { initial = \"50ms\", max = \"100ms\", rejected-login = \"10h\" }\n";

fn busy(status: u16) -> Fault {
    Fault::Status(status, RetryAfter::Seconds(PAUSE), Effect::None)
}

/// The calls of one host that came while it wanted none, as text.
fn within_the_pause(calls: &[CallRecord], fault: Fault) -> Vec<String> {
    let is_ringex = |call: &CallRecord| call.call == Call::RingexToken;
    let asked = calls
        .iter()
        .position(|call| call.fault == Some(fault))
        .expect("the fault was met");
    let until = calls[asked].at + TimeDelta::seconds(PAUSE.into());
    calls[asked + 1..]
        .iter()
        .filter(|call| call.at < until && is_ringex(call) == is_ringex(&calls[asked]))
        .map(|call| format!("{} after {}", call.call, call.at - calls[asked].at))
        .collect()
}

fn policy(house: &TestEnv, call: Call) -> String {
    let account = house.account("ivr", &[house.file_sink("token")]);
    let account = match call {
        Call::RingexToken | Call::RingexLogin => by_ringex(&account, "app", "app-secret", "jwt"),
        _ => account,
    };
    let defaults = format!("{RETRY}retention = {{ max-age = \"1ms\", overlap = \"1ms\" }}\n");
    house.policy(&defaults, &account)
}

async fn house() -> TestEnv {
    let ringex = RingexSetup {
        apps: [("app".to_owned(), "app secret".to_owned())].into(),
        ..RingexSetup::default()
    };
    let house = TestEnv::with_ringex(vec![user(USER, PASSWORD)], ringex).await;
    house.write("app-secret", "app secret");
    house.write("jwt", house.ringcx.make_jwt(USER));
    house
}

/// Two rotations; the fault is met in the second, where every kind of call is made.
async fn a_penalty_on(call: Call, fault: Fault) {
    let house = house().await;
    house.set_policy(&policy(&house, call));
    let daemon = house.start_ready().await;
    let shown = format!("{call} {fault}\n");
    house.ringcx.expire_sessions();
    // A refresh comes first, and a login only where it fails.
    if matches!(call, Call::Login | Call::RingexLogin | Call::RingexToken) {
        let refused = Fault::Status(401, RetryAfter::Absent, Effect::None);
        house.ringcx.inject(Call::Refresh, refused, Times::Once);
    }
    house.ringcx.revoke_ringex_tokens();
    house.ringcx.inject(call, fault, Times::Once);
    house.run(["rotate", "ivr", "--no-wait"]);
    recorded(&house.record(), &shown, |record| {
        record.calls().iter().any(|call| call.fault == Some(fault))
    })
    .await;
    eventually(&shown, || {
        let status = house.status();
        // A mint without an outcome uses up a number.
        let rotated = status["current"]["generation"].as_u64() >= Some(2);
        (status["state"] == "ok" && rotated).then_some(())
    })
    .await;
    let calls = house.record().calls();
    assert_eq!(
        within_the_pause(&calls, fault),
        [""; 0],
        "{shown}{}",
        daemon.log()
    );
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_penalty_on_any_call_rests_every_call_of_the_account() {
    let cases = [
        (Call::List, busy(429)),
        (Call::Accounts, busy(429)),
        (Call::Refresh, busy(503)),
        (Call::Delete, busy(429)),
        (Call::Mint, busy(503)),
        (Call::Login, busy(429)),
        (Call::RingexLogin, busy(503)),
        (Call::RingexToken, busy(503)),
        // Any refusal may ask for a wait.
        (Call::List, busy(500)),
        (Call::List, Fault::Firewall(RetryAfter::Seconds(PAUSE))),
    ];
    let all = cases.map(|(call, fault)| tokio::spawn(a_penalty_on(call, fault)));
    for case in all {
        case.await.unwrap();
    }
}

/// A day's pause: nothing in it may be waited for.
fn a_day() -> Fault {
    Fault::Status(503, RetryAfter::Seconds(86_400), Effect::None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_survives_a_restart_and_ends_by_hand_and_sinks_are_looked_after_meanwhile() {
    let house = house().await;
    house.set_policy(&house.usual(&format!("{RETRY}check-every = \"100ms\"\n")));
    let daemon = house.start_ready().await;
    let (token, record) = (house.token(), house.record());
    house.ringcx.inject(Call::List, a_day(), Times::Once);
    let asks = |record: &rotator_simulator::Record| {
        record
            .calls()
            .iter()
            .any(|call| call.fault == Some(a_day()))
    };
    recorded(&record, "a pause", asks).await;
    daemon.stop();
    let calls = record.calls().len();
    std::fs::remove_file(house.path("token")).unwrap();
    let daemon = house.start_ready().await;
    // The token's text is nowhere: only RingCX has it, and RingCX is left alone.
    assert_eq!(record.calls().len(), calls, "a restart is no reason");
    // Another credential than RingCX's is not concerned: the file is read, and what it holds is
    // known.
    house.write("token", "another");
    eventually("the look at the file", || {
        daemon.signal("USR1");
        let status = house.status();
        (status["sinks"][0]["state"] == "stale").then_some(())
    })
    .await;
    let until = |row: &serde_json::Value| {
        row["until"]
            .as_str()
            .map(|at| at.parse::<chrono::DateTime<chrono::Utc>>().unwrap())
    };
    let history = house.run(["history", "ivr", "--json"]).out;
    let quiet: Vec<serde_json::Value> = history
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|row: &serde_json::Value| row["kind"] == "server-quiet")
        .collect();
    let asked: chrono::DateTime<chrono::Utc> = quiet[0]["at"].as_str().unwrap().parse().unwrap();
    let length = until(&quiet[0]).unwrap() - asked;
    assert!(
        length <= TimeDelta::hours(1) && length > TimeDelta::minutes(50),
        "{length}"
    );
    assert_eq!(record.calls().len(), calls, "not even a look");

    assert_eq!(house.run(["reload"]).code(), 0);
    eventually("the reload ends the pause", || {
        (house.token() == token).then_some(())
    })
    .await;
    house.ringcx.inject(Call::List, a_day(), Times::Once);
    let asked_twice = |record: &rotator_simulator::Record| {
        record
            .calls()
            .iter()
            .filter(|call| call.fault == Some(a_day()))
            .count()
            == 2
    };
    recorded(&record, "another pause", asked_twice).await;
    let calls = record.calls().len();
    assert_ne!(house.run(["tokens", "ivr"]).code(), 0);
    assert_eq!(record.calls().len(), calls, "to look is no reason either");
    assert_eq!(
        house.run(["rotate", "ivr"]).code(),
        0,
        "an operator ends it"
    );
    assert_ne!(house.token(), token);
    daemon.stop();
}

/// A firewall between us and RingCX is not RingCX, and what worked before is not wrong at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_may_be_right_is_tried_once_more_soon() {
    let own = Fault::Status(401, RetryAfter::Absent, Effect::None);
    for (fault, worked_before, looks) in [
        (Fault::Firewall(RetryAfter::Seconds(1)), false, 2),
        (Fault::Firewall(RetryAfter::Absent), false, 2),
        (own, true, 2),
        (own, false, 1),
    ] {
        let house = house().await;
        let policy = house.usual(&format!("{RETRY}check-every = \"100ms\"\n"));
        house.set_policy(&policy.replace("[defaults]", "logins-per-minute = 100\n[defaults]"));
        let record = house.record();
        if worked_before {
            house.start_ready().await.stop();
        }
        let before = record.count(Call::Login);
        // Lost, so that nothing goes on without a login.
        for token in record.alive(USER) {
            assert!(house.ringcx.revoke(token.fingerprint));
        }
        house.ringcx.inject(Call::Login, fault, Times::Always);
        let daemon = house.start_ready().await;
        let shown = format!("{fault} {worked_before}");
        eventually(&shown, || {
            (house.status()["incidents"]
                .to_string()
                .contains("login-rejected"))
            .then_some(())
        })
        .await;
        assert_eq!(record.count(Call::Login) - before, looks, "{shown}");
        daemon.stop();
        let daemon = house.start_ready().await;
        assert_eq!(
            record.count(Call::Login) - before,
            looks,
            "{shown}: a restart"
        );
        assert_eq!(house.status()["state"], "parked", "{shown}");
        house.ringcx.clear();
        let ran = house.run(["rotate", "ivr"]);
        assert_eq!(ran.code(), 0, "{shown}: {}", ran.err);
        daemon.stop();

        // Over before the second look: nothing is parked.
        if looks == 2 {
            for token in record.alive(USER) {
                assert!(house.ringcx.revoke(token.fingerprint));
            }
            house.ringcx.inject(Call::Login, fault, Times::Once);
            let daemon = house.start_ready().await;
            eventually(&shown, || (house.status()["state"] == "ok").then_some(())).await;
            daemon.stop();
        }
    }
}

/// Whatever the clocks say of an access token that was issued just now, it is tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_of_the_issuer_that_differs_costs_no_login_more() {
    for (issuer, date) in [(-301, 0), (-86_400, 0), (86_400, 0), (-301, 301), (0, -301)] {
        let house = house().await;
        house.set_policy(&house.usual(RETRY));
        house.ringcx.adjust(|settings| {
            settings.issuer_skew_seconds = issuer;
            settings.date_skew_seconds = date;
        });
        let daemon = house.start_ready().await;
        assert_eq!(house.run(["rotate", "ivr"]).code(), 0, "{issuer} {date}");
        let calls = |call| house.count(call);
        assert_eq!(
            (calls(Call::Login), calls(Call::Refresh)),
            (1, 0),
            "{issuer} {date}"
        );
        daemon.stop();
    }
}

/// An access token that RingCX itself refuses is no login: the attempts get rarer, and the clocks
/// are named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_that_is_refused_at_once_is_a_failure_with_a_back_off() {
    let house = house().await;
    house.set_policy(
        &house.usual("retry = { initial = \"50ms\", max = \"10h\", rejected-login = \"10h\" }\n"),
    );
    house
        .ringcx
        .adjust(|settings| settings.issuer_skew_seconds = -301);
    let own = Fault::Status(401, RetryAfter::Absent, Effect::None);
    house.ringcx.inject(Call::List, own, Times::Always);
    let daemon = house.start_ready().await;
    eventually("a third failure", || {
        (house.status()["consecutive_failures"].as_u64() >= Some(3)).then_some(())
    })
    .await;
    let error = house.status()["last_error"].to_string();
    assert!(
        error.contains("301 s ahead of the clock that issues access tokens"),
        "{error}"
    );
    house.ringcx.clear();
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    daemon.stop();
}

/// Calls that take longer than the waits between them, and access tokens that end between two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_calls_and_short_lives_come_to_an_end() {
    let house = house().await;
    let retry = "retry = { initial = \"20ms\", max = \"40ms\", rejected-login = \"10h\" }\n";
    house.set_policy(&house.usual(retry));
    house
        .ringcx
        .adjust(|settings| settings.access_token_ttl = Duration::from_secs(4));
    // Another call as long as this one would end after the access token.
    let slow = Fault::Slow(Duration::from_millis(2_300));
    house.ringcx.inject(Call::List, slow, Times::Once);
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    let made = [Call::Login, Call::Refresh, Call::Mint].map(|call| house.count(call));
    assert_eq!(made, [1, 1, 1]);

    // Mints that never work, and calls that take longer than the wait after one.
    let refused = Fault::Status(401, RetryAfter::Absent, Effect::None);
    house.ringcx.inject(Call::Mint, refused, Times::Always);
    let slow = Fault::Slow(Duration::from_millis(120));
    house.ringcx.inject(Call::List, slow, Times::Always);
    let rotated = house.run(["rotate", "ivr"]);
    assert_eq!(
        (rotated.code(), house.count(Call::Mint)),
        (1, 2),
        "{}",
        rotated.err
    );
}
