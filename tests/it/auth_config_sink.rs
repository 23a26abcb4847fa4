//! A token where an IVR flow takes it from, inside RingCX: the flow's own view of it, whatever goes
//! wrong.

use std::time::Duration;

use rotator_core::secret::Fingerprint;
use rotator_simulator::{Call, ConfigAccess, KeyForm};

use crate::env::{TestEnv, USER, eventually, recorded};

const SINK: &str = "[[account.sink]]\nname = \"ivr-config\"\ntype = \"ringcx-auth-config\"\n\
                    account-id = \"21170002\"\nauth-config-id = \"c0ffee00-1234\"\n";
const CONFIG: &str = "c0ffee00-1234";

async fn house(form: KeyForm, defaults: &str) -> TestEnv {
    let house = TestEnv::new().await;
    house.ringcx.adjust(|settings| settings.key_form = form);
    house
        .ringcx
        .add_auth_config(format!("21170002/{CONFIG}").parse().unwrap());
    house
        .ringcx
        .add_auth_config("21170001/9d2b=BASIC".parse().unwrap());
    house.set_policy(&house.policy(defaults, &house.account("ivr", &[SINK.to_owned()])));
    house
}

fn key(house: &TestEnv) -> String {
    house.record().config(CONFIG).unwrap().key
}

fn sink(house: &TestEnv) -> serde_json::Value {
    house.status()["sinks"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_never_calls_with_a_key_that_fails_however_the_key_is_shown() {
    for form in [KeyForm::Whole, KeyForm::Masked, KeyForm::Absent] {
        let often = "schedule = { every = \"1s\", jitter = \"0s\" }\n\
                     retention = { max-age = \"2s\", overlap = \"500ms\" }\ncheck-every = \"500ms\"";
        let house = house(form, often).await;
        house.ringcx.start_flow(CONFIG, Duration::from_millis(5));
        let daemon = house.start_ready().await;
        recorded(&house.record(), "two deletes", |record| {
            record.effects(Call::Delete) >= 2
        })
        .await;
        daemon.kill();
        let daemon = house.start_ready().await;
        recorded(&house.record(), "four deletes", |record| {
            record.effects(Call::Delete) >= 4
        })
        .await;
        daemon.stop();
        let flow = house.record().flow(CONFIG).unwrap();
        println!(
            "flow, key shown {form:?}: {} calls with {} keys, {} failed",
            flow.calls,
            flow.keys.len(),
            flow.failed
        );
        assert_eq!((flow.failed, flow.first_failed_at), (0, None), "{form:?}");
        assert!(
            flow.keys.len() >= 4 && flow.calls > 50,
            "{form:?}: {flow:?}"
        );
        let minted = |it: &Fingerprint| house.record().token(*it).is_some();
        assert!(
            flow.keys.iter().all(minted),
            "{form:?}: a key that nobody minted"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_pasted_by_another_is_noticed_and_replaced() {
    for form in [
        KeyForm::Whole,
        KeyForm::Masked,
        KeyForm::Hidden,
        KeyForm::Absent,
    ] {
        let house = house(form, "check-every = \"200ms\"").await;
        let daemon = house.start_ready().await;
        let ours = key(&house);
        assert!(house.record().is_alive(&ours), "{form:?}");
        let pasted = house.ringcx.paste_foreign(USER, CONFIG);
        assert_eq!(key(&house), pasted);
        eventually("ours is back", || (key(&house) == ours).then_some(())).await;
        eventually("all is well", || {
            (house.status()["state"] == "ok").then_some(())
        })
        .await;
        let said = house.run(["history"]).out;
        assert!(said.contains("drifted"), "{form:?}: {said}");
        let proof = sink(&house)["proof"].as_str().unwrap().to_owned();
        assert_eq!(
            proof.contains("whole key"),
            form == KeyForm::Whole,
            "{proof}"
        );
        assert!(
            house
                .run(["status", "ivr"])
                .out
                .contains(&format!("proved by {proof}"))
        );
        daemon.stop();
        assert_eq!(
            house.count(Call::Mint),
            1,
            "{form:?}: it was no reason to mint"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_permission_to_read_nothing_is_minted() {
    let house = house(KeyForm::Whole, "").await;
    house
        .ringcx
        .adjust(|settings| settings.config_access = ConfigAccess::None);
    let ran = house.run(["run", "--once"]);
    assert_eq!(ran.code(), 1);
    let help = "give the account's user READ and UPDATE on External Auth Config";
    assert!(ran.err.contains(help), "{}", ran.err);
    let checked = house.run(["check", "--online"]);
    assert!(
        checked.code() == 1 && checked.err.contains(help),
        "{}",
        checked.err
    );
    assert_eq!(house.count(Call::Mint), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_permission_to_change_the_old_token_stays_until_it_is_given() {
    let house = house(
        KeyForm::Masked,
        "retention = { max-age = \"1ms\", overlap = \"0s\" }",
    )
    .await;
    house.ringcx.start_flow(CONFIG, Duration::from_millis(5));
    let daemon = house.start_ready().await;
    let old = key(&house);
    house
        .ringcx
        .adjust(|settings| settings.config_access = ConfigAccess::Read);
    let ran = house.run(["rotate", "ivr"]);
    assert_eq!(ran.code(), 1);
    assert!(
        ran.err.contains("UPDATE on External Auth Config"),
        "{}",
        ran.err
    );
    assert!(house.record().is_alive(&old) && key(&house) == old);
    house
        .ringcx
        .adjust(|settings| settings.config_access = ConfigAccess::Full);
    let done = || house.record().dead_since(&old).is_some();
    eventually("the old token is gone", || done().then_some(())).await;
    eventually("all is well", || {
        (house.status()["state"] == "ok").then_some(())
    })
    .await;
    daemon.stop();
    assert_eq!(house.count(Call::Mint), 2);
    assert_eq!(house.record().flow(CONFIG).unwrap().failed, 0);
}

// fault: liveness at reconcile note_ringcx_error: that a config in RingCX refuses the token is no
//   doubt about it
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_revoked_before_a_config_took_it_makes_way_for_another() {
    let house = house(KeyForm::Masked, "").await;
    house
        .ringcx
        .adjust(|settings| settings.config_access = ConfigAccess::Read);
    let daemon = house.start_ready().await;
    let first = house
        .record()
        .tokens()
        .first()
        .expect("it was minted before it was refused")
        .fingerprint;
    assert!(house.ringcx.revoke(first));
    // RingCX is asked for nothing but this config, and as this token.
    house
        .ringcx
        .adjust(|settings| settings.config_access = ConfigAccess::Full);
    eventually("another is minted", || {
        (house.count(Call::Mint) == 2).then_some(())
    })
    .await;
    eventually("all is well", || {
        (house.status()["state"] == "ok").then_some(())
    })
    .await;
    daemon.stop();
    assert!(house.record().is_alive(&key(&house)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_nothing_is_delivered_again_that_is_as_it_was() {
    for form in [KeyForm::Whole, KeyForm::Masked, KeyForm::Absent] {
        let house = house(form, "").await;
        assert_eq!(house.run(["run", "--once"]).code(), 0);
        let changes = house.record().config(CONFIG).unwrap().changes;
        assert_eq!(house.run(["run", "--once"]).code(), 0);
        assert_eq!(
            house.record().config(CONFIG).unwrap().changes,
            changes,
            "{form:?}"
        );
        assert_eq!(
            sink(&house)["state"],
            "unknown",
            "{form:?}: without a daemon RingCX is not asked"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_auth_configs_are_listed_without_their_values() {
    let house = house(KeyForm::Whole, "").await;
    let check = |said: &str| {
        for text in [
            "21170001",
            "9d2b",
            "BASIC",
            "21170002",
            CONFIG,
            "APIKEY",
            "ivr-config",
        ] {
            assert!(said.contains(text), "{text}: {said}");
        }
        assert!(!said.contains(&key(&house)), "{said}");
    };
    // By itself, and through the daemon.
    check(&house.run(["auth-configs", "ivr"]).out);
    let daemon = house.start_ready().await;
    check(&house.run(["auth-configs", "ivr"]).out);
    let listed = house.json(&["auth-configs", "ivr", "--json"]);
    check(&listed.to_string());
    assert_eq!(
        listed["ringcx_accounts"][1]["auth_configs"][0]["sink"],
        "ivr-config"
    );
    house
        .ringcx
        .adjust(|settings| settings.config_access = ConfigAccess::None);
    let refused = house.run(["auth-configs", "ivr"]);
    assert!(
        refused.code() == 1 && refused.err.contains("answered 403"),
        "{}",
        refused.err
    );
    assert_eq!(house.run(["auth-configs", "nobody"]).code(), 2);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_costs_is_counted() {
    let house = house(KeyForm::Masked, "").await;
    let calls_of_a_run = || {
        let before = house.record().calls().len();
        let ran = house.run(["run", "--once"]);
        assert_eq!(ran.code(), 0, "{}", ran.err);
        house.record().calls()[before..]
            .iter()
            .map(|it| it.call.to_string())
            .collect::<Vec<_>>()
    };
    let first = calls_of_a_run();
    let daemon = house.start_ready().await;
    let before = house.record().calls().len();
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    let rotation: Vec<String> = house.record().calls()[before..]
        .iter()
        .map(|it| it.call.to_string())
        .collect();
    daemon.stop();
    let configs = |calls: &[String]| {
        calls
            .iter()
            .filter(|call| call.starts_with("config-"))
            .count()
    };
    println!("frugal: first rotation {}", first.join(" "));
    println!("frugal: a later rotation {}", rotation.join(" "));
    println!(
        "frugal: {} and {} calls more than a file",
        configs(&first),
        configs(&rotation)
    );
    assert!(configs(&rotation) <= 8, "{rotation:?}");
}
