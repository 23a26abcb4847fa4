//! Many accounts side by side: one that is in trouble delays no other.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rotator_simulator::receiver::{Behavior, Receiver, ReceiverSetup};
use rotator_simulator::{Call, Fault, Times};

use crate::env::{PASSWORD, TestEnv, eventually, recorded, user};

const ACCOUNTS: usize = 30;

fn username(number: usize) -> String {
    format!("bot-{number}@example.com")
}

/// Thirty accounts: the first has a webhook too, the second a wrong password.
fn policy(house: &TestEnv, receiver: &Receiver) -> String {
    let mut accounts = String::new();
    for number in 0..ACCOUNTS {
        let mut sinks = vec![house.file_sink(&format!("token-{number}"))];
        if number == 0 {
            sinks.push(format!(
                "[[account.sink]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{}\"\ntimeout = \"1h\"\n\
                 secret = {{ file = \"secret\" }}\n",
                receiver.url()
            ));
        }
        let account = house.account(&format!("ivr-{number}"), &sinks);
        let account = account.replace(crate::env::USER, &username(number));
        let account = if number == 1 {
            account.replace("\"password\"", "\"wrong\"")
        } else {
            account
        };
        write!(accounts, "{account}").unwrap();
    }
    house.policy("", &accounts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_in_trouble_delay_no_other() {
    let users = (0..ACCOUNTS)
        .map(|number| user(&username(number), PASSWORD))
        .collect();
    let house = TestEnv::with_users(users).await;
    let receiver = Receiver::start(ReceiverSetup::default()).await.unwrap();
    receiver.answer(Behavior::Hang);
    house.write("wrong", "wrong");
    house.write("secret", "a secret for webhooks");
    house.set_policy(&policy(&house, &receiver));
    let daemon = house.start();

    let ready = eventually("the 28 others have their token", || {
        let written = (2..ACCOUNTS)
            .filter(|number| house.path(&format!("token-{number}")).exists())
            .count();
        (written == ACCOUNTS - 2).then_some(written)
    })
    .await;
    let told = tokio::time::timeout(crate::env::PATIENCE, receiver.until(|it| it.len() == 1)).await;
    assert!(told.is_ok(), "the webhook was never called");
    // The status is had while the webhook still hangs.
    let states = eventually("28 accounts are well", || {
        let status = house.json(&["status", "--json"]);
        let mut states: BTreeMap<String, usize> = BTreeMap::new();
        for account in status["accounts"].as_array().unwrap() {
            *states
                .entry(account["state"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
        (states.get("ok") == Some(&(ACCOUNTS - 2))).then_some(states)
    })
    .await;
    println!(
        "fleet: {ready} accounts served while one webhook hangs and one login is rejected: {states:?}"
    );
    assert_eq!(states.get("parked"), Some(&1), "{states:?}");
    assert_eq!(states.get("rotating"), Some(&1), "{states:?}");
    assert_eq!(
        (house.count(Call::Login), house.record().effects(Call::Mint)),
        (ACCOUNTS, ACCOUNTS - 1)
    );
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_accounts_are_worked_on_than_the_policy_allows() {
    let users = (0..8)
        .map(|number| user(&username(number), PASSWORD))
        .collect();
    let house = TestEnv::with_users(users).await;
    let accounts: String = (0..8)
        .map(|number| {
            let sinks = [house.file_sink(&format!("token-{number}"))];
            house
                .account(&format!("ivr-{number}"), &sinks)
                .replace(crate::env::USER, &username(number))
        })
        .collect();
    let policy = house
        .policy("", &accounts)
        .replace("[daemon]\n", "[daemon]\nmax-concurrent-accounts = 3\n");
    house.set_policy(&policy.replace("request-timeout = \"20s\"", "request-timeout = \"1h\""));
    // Whoever gets to its mint stays there.
    house
        .ringcx
        .inject(Call::Mint, Fault::SilenceAfter, Times::Always);
    let daemon = house.start();
    recorded(&house.record(), "three mints", |record| {
        record.count(Call::Mint) == 3
    })
    .await;
    // A fourth would need nothing but a turn: commands are answered, and no login is on its way.
    let status = house.json(&["status", "--json"]);
    assert_eq!(status["accounts"].as_array().unwrap().len(), 8);
    assert_eq!((house.count(Call::Login), house.count(Call::Mint)), (3, 3));
    println!("fleet: 8 accounts, max-concurrent-accounts = 3: 3 logins and 3 mints under way");
    drop(daemon);
}
