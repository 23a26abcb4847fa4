//! A fault that lasts is told of once, and its end once, by a real mail server.

use rotator_simulator::mailbox::{MailBehavior, Mailbox, MailboxSetup};
use rotator_simulator::{Call, Effect, Fault, RetryAfter, Times};

use crate::env::{PATIENCE, TestEnv, eventually, recorded};

fn policy(house: &TestEnv, mailbox: &Mailbox) -> String {
    format!(
        "{}[alerts.email]\nfrom = \"rotator@example.com\"\nto = [\"oncall@example.com\"]\nhost = \"127.0.0.1\"\n\
         port = {}\ntls = \"none\"\n",
        house.usual(
            "check-every = \"1s\"\nretry = { initial = \"100ms\", max = \"1s\", rejected-login = \"10h\" }"
        ),
        mailbox.address().port()
    )
}

fn subjects(mailbox: &Mailbox) -> Vec<String> {
    mailbox.mails().iter().map(|mail| mail.subject()).collect()
}

// proves: told-once
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_lasts_makes_one_mail_and_its_end_another() {
    for (call, fault) in [
        (
            Call::Mint,
            Fault::Status(500, RetryAfter::Absent, Effect::None),
        ),
        (Call::Login, Fault::CutBefore),
        (Call::List, Fault::Html(502, Effect::None)),
        (
            Call::Accounts,
            Fault::Status(429, RetryAfter::Seconds(2), Effect::None),
        ),
    ] {
        let house = TestEnv::new().await;
        let mailbox = Mailbox::start(MailboxSetup::default()).await.unwrap();
        house.set_policy(&policy(&house, &mailbox));
        house.ringcx.inject(call, fault, Times::Always);
        let daemon = house.start_ready().await;
        // So many failures, and one mail.
        recorded(&house.record(), "four failures", |record| {
            record.count(call) >= 4
        })
        .await;
        let told = tokio::time::timeout(PATIENCE, mailbox.until(|mails| !mails.is_empty())).await;
        assert!(told.is_ok(), "{call} {fault}: nobody was told");
        house.ringcx.clear();
        eventually("all is well", || {
            (house.status()["state"] == "ok").then_some(())
        })
        .await;
        let over = mailbox.until(|mails| {
            mails
                .iter()
                .any(|mail| mail.subject().ends_with("(RESOLVED)"))
        });
        assert!(
            tokio::time::timeout(PATIENCE, over).await.is_ok(),
            "{:?}",
            subjects(&mailbox)
        );
        daemon.stop();
        let subjects = subjects(&mailbox);
        println!("mails, {call} {fault}: {subjects:?}");
        let firing = subjects
            .iter()
            .filter(|it| it.ends_with("(FIRING)"))
            .count();
        assert_eq!(
            (firing, subjects.len()),
            (1, 2),
            "{call} {fault}: {subjects:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_cannot_be_sent_outlives_the_daemon() {
    let house = TestEnv::new().await;
    let mailbox = Mailbox::start(MailboxSetup::default()).await.unwrap();
    mailbox.answer(MailBehavior::RefuseForNow);
    house.set_policy(&policy(&house, &mailbox));
    house.write("password", "wrong");
    let daemon = house.start_ready().await;
    eventually("a mail waits", || {
        let waits = house.json(&["status", "--json"])["daemon"]["mail_error"].is_string();
        waits.then_some(())
    })
    .await;
    daemon.kill();
    assert_eq!(
        house.json(&["status", "--json"])["daemon"]["unsent_mails"],
        1
    );

    mailbox.answer(MailBehavior::Accept);
    let daemon = house.start_ready().await;
    // Stopping tries once more whatever waits for its time.
    daemon.stop();
    assert_eq!(
        subjects(&mailbox),
        ["[ringcx-rotator] ivr: login rejected (FIRING)"]
    );
    assert_eq!(
        house.json(&["status", "--json"])["daemon"]["unsent_mails"],
        0
    );
}
