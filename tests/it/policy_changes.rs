//! What a changed policy does, and what others do to our sinks and tokens.

use rotator_core::secret::Fingerprint;
use rotator_simulator::Call;
use rotator_simulator::mailbox::{Mailbox, MailboxSetup};
use serde_json::Value;

use crate::env::{PASSWORD, TestEnv, USER, eventually, recorded, user};

/// Takes a policy and lets the daemon read it.
#[track_caller]
fn reload(house: &TestEnv, policy: &str) {
    house.set_policy(policy);
    let ran = house.run(["reload"]);
    assert_eq!(ran.code(), 0, "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_sink_gets_the_current_token_without_a_mint_and_one_taken_out_is_left_alone() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let daemon = house.start_ready().await;
    let both = [house.file_sink("token"), house.file_sink("second")];
    reload(&house, &house.policy("", &house.account("ivr", &both)));
    eventually("the new sink serves", || {
        let sinks = house.status()["sinks"].clone();
        sinks
            .as_array()
            .unwrap()
            .iter()
            .all(|sink| sink["state"] == "serving")
            .then_some(())
    })
    .await;
    assert_eq!(
        (house.read("second"), house.count(Call::Mint)),
        (house.token(), 1)
    );

    reload(&house, &house.policy("", &house.account("ivr", &both[1..])));
    let notice = eventually("plan tells of the file left behind", || {
        let plan = house.json(&["plan", "--json"]);
        plan["accounts"][0]["notices"][0]
            .as_str()
            .map(str::to_owned)
    })
    .await;
    let expected = format!(
        "{} was taken out of the policy but still holds generation 1: it will not be kept fresh",
        house.path("token").display()
    );
    assert_eq!(notice, expected);
    let old = house.token();
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    assert_eq!(house.token(), old, "it is left alone");
    let status = house.status();
    assert_eq!(
        (
            status["sinks"].as_array().unwrap().len(),
            &status["incidents"]
        ),
        (1, &Value::Array(vec![]))
    );
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_taken_out_is_shown_and_nothing_of_it_is_deleted() {
    let house = TestEnv::with_users(vec![
        user(USER, PASSWORD),
        user("other@example.com", PASSWORD),
    ])
    .await;
    let one = house.account("ivr", &[house.file_sink("token")]);
    let other = house
        .account("other", &[house.file_sink("other-token")])
        .replace(USER, "other@example.com");
    let short = "retention = { max-age = \"1s\", overlap = \"1s\" }";
    house.set_policy(&house.policy(short, &format!("{one}{other}")));
    let daemon = house.start_ready().await;
    let kept = house.read("other-token");
    reload(&house, &house.policy(short, &one));

    let gone = house.json(&["status", "other", "--json"])["accounts"][0].clone();
    assert_eq!(
        (&gone["managed"], &gone["current"]["generation"]),
        (&Value::Bool(false), &1.into())
    );
    assert!(house.run(["status"]).out.contains("not managed"));
    assert!(
        house.run(["history", "other"]).out.contains("promoted"),
        "its journal is kept"
    );
    assert_eq!(house.run(["rotate", "--all"]).code(), 0);
    daemon.stop();
    assert_eq!(
        house.json(&["status", "other", "--json"])["accounts"][0]["managed"],
        false
    );
    assert_eq!(
        (house.read("other-token"), house.record().is_alive(&kept)),
        (kept, true)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_username_starts_a_new_line_and_the_old_tokens_are_reported() {
    let house = TestEnv::with_users(vec![
        user(USER, PASSWORD),
        user("new@example.com", PASSWORD),
    ])
    .await;
    let short = "retention = { max-age = \"1ms\", overlap = \"1ms\" }";
    house.set_policy(&house.usual(short));
    let daemon = house.start_ready().await;
    let old = house.token();
    reload(&house, &house.usual(short).replace(USER, "new@example.com"));
    eventually("the new user's token is current", || {
        let status = house.status();
        (status["state"] == "ok" && status["current"]["generation"] == 2).then_some(())
    })
    .await;
    assert_ne!(house.token(), old);
    let alive = |name: &str| house.record().alive(name).len();
    assert_eq!(
        (
            alive(USER),
            alive("new@example.com"),
            house.count(Call::Delete)
        ),
        (1, 1, 0)
    );
    let notice = house.json(&["plan", "--json"])["accounts"][0]["notices"][0].clone();
    let notice = notice.as_str().unwrap();
    assert!(
        notice.contains(USER) && notice.contains("is still alive there"),
        "{notice}"
    );
    daemon.stop();
}

/// `[alerts.email]` for this mailbox.
fn alerts(mailbox: &Mailbox) -> String {
    format!(
        "[alerts.email]\nfrom = \"rotator@example.com\"\nto = [\"oncall@example.com\"]\nhost = \"127.0.0.1\"\n\
         port = {}\ntls = \"none\"\n",
        mailbox.address().port()
    )
}

async fn mail(mailbox: &Mailbox, part: &str) -> String {
    let came = mailbox.until(|mails| mails.iter().any(|it| it.subject().contains(part)));
    let came = tokio::time::timeout(crate::env::PATIENCE, came).await;
    let subjects: Vec<String> = mailbox.mails().iter().map(|it| it.subject()).collect();
    assert!(came.is_ok(), "no mail about {part}: {subjects:?}");
    subjects.into_iter().find(|it| it.contains(part)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_someone_changed_is_repaired_and_someone_is_told() {
    let house = TestEnv::new().await;
    let mailbox = Mailbox::start(MailboxSetup::default()).await.unwrap();
    house.set_policy(&format!(
        "{}{}",
        house.usual("check-every = \"1s\""),
        alerts(&mailbox)
    ));
    let daemon = house.start_ready().await;
    let token = house.token();
    house.write("token", "someone else's");
    eventually("the file holds the token again", || {
        (house.token() == token).then_some(())
    })
    .await;
    let subject = mail(&mailbox, "drifted").await;
    println!("drift: {subject}");
    assert!(subject.starts_with("[ringcx-rotator] ivr: "), "{subject}");
    assert_eq!(
        (
            house.count(Call::Mint),
            house.run(["history"]).out.matches("drifted").count()
        ),
        (1, 1)
    );
    eventually("all is well", || {
        (house.status()["state"] == "ok").then_some(())
    })
    .await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_revoked_by_anothers_hand_is_replaced_at_once_and_someone_is_told() {
    let house = TestEnv::new().await;
    let mailbox = Mailbox::start(MailboxSetup::default()).await.unwrap();
    house.set_policy(&format!(
        "{}{}",
        house.usual("check-every = \"1s\""),
        alerts(&mailbox)
    ));
    let daemon = house.start_ready().await;
    let lost = house.token();
    assert!(house.ringcx.revoke(Fingerprint::of(lost.as_bytes())));
    recorded(&house.record(), "another mint", |record| {
        record.effects(Call::Mint) == 2
    })
    .await;
    eventually("all is well", || {
        let status = house.status();
        (status["state"] == "ok" && status["current"]["generation"] == 2).then_some(())
    })
    .await;
    assert!(house.token() != lost && house.record().is_alive(&house.token()));
    let subject = mail(&mailbox, "lost").await;
    println!("token lost: {subject}");
    assert!(house.run(["history"]).out.contains("token-lost"));
    assert_eq!(house.alive(), 1);
    daemon.stop();
}
