//! A server that answers a login with another user's session, as a cache in front of it may: no
//! token of that user gets into the sinks.

use rotator_simulator::Call;
use serde_json::Value;

use crate::env::{PASSWORD, TestEnv, USER, eventually, user};

const OTHER: &str = "somebody-else@example.com";
const FAST: &str = "retry = { initial = \"50ms\", max = \"100ms\", rejected-login = \"10h\" }\n\
                    check-every = \"200ms\"";

async fn house() -> TestEnv {
    let house = TestEnv::with_users(vec![user(USER, PASSWORD), user(OTHER, PASSWORD)]).await;
    house.set_policy(&house.usual(FAST).replace(
        "request-timeout",
        "logins-per-minute = 1000\nrequest-timeout",
    ));
    house
}

fn answer_as(house: &TestEnv, whose: Option<&str>) {
    house.ringcx.expire_sessions();
    house
        .ringcx
        .adjust(|settings| settings.session_of = whose.map(str::to_owned));
}

fn incidents(house: &TestEnv) -> Vec<String> {
    let status = house.status();
    let incidents = status["incidents"].as_array().unwrap();
    let kinds = incidents.iter().filter_map(|it| it["kind"].as_str());
    kinds.map(str::to_owned).collect()
}

// proves: serve-live, own-only
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_minted_with_the_session_of_another_user() {
    let house = house().await;
    // So that the other user's list is not empty.
    house.ringcx.mint_foreign(OTHER);
    let daemon = house.start_ready().await;
    let (token, mints) = (house.token(), house.count(Call::Mint));
    answer_as(&house, Some(OTHER));
    house.run(["rotate", "--no-wait", "ivr"]);
    eventually("the incident is open", || {
        incidents(&house)
            .contains(&"list-disagrees".to_owned())
            .then_some(())
    })
    .await;
    assert_eq!(house.count(Call::Mint), mints, "it minted for another user");
    assert_eq!(house.token(), token);
    assert!(house.record().is_alive(&token));
    assert_eq!(house.record().alive(OTHER).len(), 1);

    answer_as(&house, None);
    eventually("the rotation is done", || {
        let status = house.status();
        let done = status["current"]["generation"] == 2 && status["pending"] == Value::Null;
        (done && incidents(&house).is_empty()).then_some(())
    })
    .await;
    assert_ne!(house.token(), token);
    assert!(house.record().is_alive(&house.token()));
    let history = house.run(["history", "--json"]).out;
    assert!(!history.contains("\"foreign-seen\""), "{history}");
    daemon.stop();
}

// proves: no-blind-mint
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_mint_is_not_settled_by_the_list_of_another_user() {
    use rotator_simulator::{Fault, Times};
    let house = house().await;
    let daemon = house.start_ready().await;
    let stranger = house.ringcx.mint_foreign(OTHER);
    house
        .ringcx
        .inject(Call::Mint, Fault::LostAnswer, Times::Once);
    // The list that is to settle it comes from another user's session.
    house.ringcx.inject(Call::List, Fault::Pass, Times::Once);
    house.ringcx.inject(
        Call::List,
        Fault::Status(
            401,
            rotator_simulator::RetryAfter::Absent,
            rotator_simulator::Effect::None,
        ),
        Times::Once,
    );
    house
        .ringcx
        .adjust(|settings| settings.session_of = Some(OTHER.to_owned()));
    house.run(["rotate", "--no-wait", "ivr"]);
    eventually("a lookup by the wrong session", || {
        let open = house.run(["history", "--json"]).out;
        (open.contains("mint-unknown") || incidents(&house).contains(&"list-disagrees".to_owned()))
            .then_some(())
    })
    .await;
    answer_as(&house, None);
    eventually("all is well", || {
        let status = house.status();
        (status["state"] == "ok" && status["current"]["generation"] != 1).then_some(())
    })
    .await;
    let record = house.record();
    assert!(record.is_alive(&house.token()));
    assert_ne!(house.token(), stranger);
    let ours: Vec<_> = record.alive(OTHER);
    assert_eq!(ours.len(), 1, "a token was minted for another user");
    daemon.stop();
}
