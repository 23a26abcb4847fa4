//! A journal that is damaged, from another version, lost, or very long: what the daemon does, and
//! what it says. Never does it guess.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use ringcx_rotator::store::SqliteJournal;
use rotator_core::event::Event;
use rotator_core::journal::{Entry, Journal};
use rotator_core::secret::Fingerprint;
use rotator_simulator::Call;
use rusqlite::Connection;
use serde_json::Value;

use crate::env::{Ran, TestEnv, USER, eventually, user, write};

fn file(house: &TestEnv) -> PathBuf {
    house.path("state/journal.sqlite")
}

pub fn sql(house: &TestEnv, statements: &str) {
    Connection::open(file(house))
        .unwrap()
        .execute_batch(statements)
        .unwrap();
}

/// A house with one rotation behind it, and no daemon.
async fn lived_in() -> TestEnv {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    house
}

/// Starting ends with 1, tells of all this, makes no call, and leaves the journal and the sink
/// alone.
#[track_caller]
fn refuses_to_start(house: &TestEnv, tells: &[&str]) {
    let (journal, token) = (std::fs::read(file(house)).unwrap(), house.token());
    let calls = house.record().calls().len();
    for args in [
        &["run"][..],
        &["run", "--once"],
        &["rotate", "ivr"],
        &["status"],
        &["history"],
    ] {
        let ran = house.run(args);
        assert_eq!(ran.code(), 1, "{args:?}: {}{}", ran.out, ran.err);
        for word in tells {
            assert!(
                ran.err.contains(word),
                "{args:?} does not tell of {word}: {}",
                ran.err
            );
        }
    }
    assert_eq!(house.record().calls().len(), calls);
    assert!(
        std::fs::read(file(house)).unwrap() == journal,
        "the journal was written to"
    );
    assert_eq!(house.token(), token);
    assert!(house.record().is_alive(&token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_garbled_or_truncated_journal_is_refused_named_and_left_alone() {
    let house = lived_in().await;
    let whole = std::fs::read(file(&house)).unwrap();
    let mut scribbled = whole.clone();
    scribbled[4096..8192].fill(0xa5);
    for broken in [
        b"this is no journal at all".repeat(400),
        whole[..whole.len() / 2].to_vec(),
        scribbled,
    ] {
        write(&file(&house), &broken);
        refuses_to_start(&house, &["journal.sqlite", "cannot be read as a journal"]);
    }
    write(&file(&house), &whole);
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    assert_eq!(
        house.count(Call::Mint),
        1,
        "put back, it goes on as if nothing had been"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_a_newer_version_is_refused_and_left_alone() {
    let house = lived_in().await;
    sql(&house, "PRAGMA user_version = 77");
    refuses_to_start(&house, &["schema version 77", "was it downgraded?"]);
}

/// What concerns one account holds up no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_whose_history_was_changed_is_not_worked_on_and_the_others_are() {
    let house = TestEnv::with_users(vec![user(USER, crate::env::PASSWORD)]).await;
    let accounts: String = ["one", "two"]
        .map(|name| house.account(name, &[house.file_sink(&format!("token-{name}"))]))
        .concat();
    house.set_policy(&house.policy("schedule = { every = \"1s\", jitter = \"0s\" }", &accounts));
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    let one = house.read("token-one");
    sql(
        &house,
        "UPDATE rows SET body = '{\"kind\":\"rotation-asked\"}' WHERE stream = 'one' AND seq = 2",
    );

    let ran = house.run(["run", "--once"]);
    assert_eq!(ran.code(), 1, "{}", ran.err);
    assert!(
        ran.err.contains("one: journal stream `one`, row"),
        "{}",
        ran.err
    );
    let two = house.read("token-two");
    let daemon = house.start_ready().await;
    eventually("the other account goes on", || {
        (house.read("token-two") != two).then_some(())
    })
    .await;
    let status = house.json(&["status", "--json"]);
    assert_eq!(status["accounts"][0]["state"], "failing", "{status}");
    assert!(
        status["accounts"][0]["last_error"]
            .as_str()
            .unwrap()
            .contains("was changed"),
        "{status}"
    );
    let asked = house.run(["rotate", "one"]);
    assert!(
        asked.code() != 0 && asked.err.contains("one"),
        "{}",
        asked.err
    );
    assert_eq!(house.read("token-one"), one);
    assert!(house.record().is_alive(&one));
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_journal_makes_every_token_foreign_and_deletes_nothing() {
    let house = TestEnv::new().await;
    let soon = "retention = { max-age = \"1s\", overlap = \"0s\" }\ncheck-every = \"1s\"";
    house.set_policy(&house.usual(soon));
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    let old = house.token();
    std::fs::remove_dir_all(house.path("state")).unwrap();

    let daemon = house.start_ready().await;
    let new = house.token();
    assert_ne!(new, old, "another is minted");
    // Some checks later all is as it was, however old the old one is by now.
    let lists = house.count(Call::List);
    eventually("some checks", || {
        (house.count(Call::List) > lists + 3).then_some(())
    })
    .await;
    assert_eq!(
        (house.record().effects(Call::Delete), house.alive()),
        (0, 2)
    );
    assert_eq!(house.status()["foreign"], 1);
    let tokens = house.json(&["tokens", "ivr", "--json"]);
    let stages: Vec<&str> = tokens["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["stage"].as_str().unwrap())
        .collect();
    assert!(
        stages.contains(&"foreign") && stages.contains(&"current"),
        "{tokens}"
    );

    // One way out: by hand.
    let foreign = house.ringcx.mint_foreign(USER);
    let print = Fingerprint::of(old.as_bytes()).to_string();
    let revoked = house.run(["revoke", "ivr", &print, "--yes"]);
    assert_eq!(revoked.code(), 0, "{}", revoked.err);
    assert!(!house.record().is_alive(&old) && house.record().is_alive(&foreign));

    // The other: adopted, what is foreign ages from when it was first seen.
    house.set_policy(&house.usual(&soon.replace("\"0s\" }", "\"0s\", foreign = \"adopt\" }")));
    assert_eq!(house.run(["reload"]).code(), 0);
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    eventually("what was foreign is gone", || {
        (house.alive() == 1).then_some(())
    })
    .await;
    assert!(house.record().is_alive(&house.token()));
    daemon.stop();
}

/// `history --verify` after a change by hand.
#[track_caller]
fn verify(house: &TestEnv) -> Ran {
    house.run(["history", "--verify"])
}

// proves: audit
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_by_hand_in_the_audit_trail_is_named_with_its_row() {
    let house = lived_in().await;
    let whole = std::fs::read(file(&house)).unwrap();
    let good = verify(&house);
    assert_eq!(good.code(), 0, "{}", good.err);
    assert!(
        good.out.contains("ivr: ") && good.out.contains("as they were written"),
        "{}",
        good.out
    );
    let swap = "UPDATE rows SET seq = 99 WHERE stream = 'ivr' AND seq = 2; \
                UPDATE rows SET seq = 2 WHERE stream = 'ivr' AND seq = 3; \
                UPDATE rows SET seq = 3 WHERE stream = 'ivr' AND seq = 99";
    for (what, change, told) in [
        (
            "changed",
            "UPDATE rows SET at = '2020-01-01T00:00:00Z' WHERE stream = 'ivr' AND seq = 3",
            "row 4",
        ),
        (
            "removed",
            "DELETE FROM rows WHERE stream = 'ivr' AND seq = 3",
            "row 3: it is missing",
        ),
        ("reordered", swap, "row 2"),
        (
            "cut off",
            "DELETE FROM rows WHERE stream = 'ivr' AND seq > 3",
            "row 4: it is missing",
        ),
        (
            "cut off, and the head with it",
            "DELETE FROM rows WHERE stream = 'ivr' AND seq > 3; UPDATE heads SET seq = 3 WHERE stream = 'ivr'",
            "row 3: it was changed",
        ),
        (
            "without its head",
            "DELETE FROM heads WHERE stream = 'ivr'",
            "row 1: it was never committed",
        ),
    ] {
        write(&file(&house), &whole);
        sql(&house, change);
        let bad = verify(&house);
        assert_eq!(bad.code(), 1, "{what}: {}{}", bad.out, bad.err);
        let told = format!("journal stream `ivr`, {told}");
        assert!(bad.err.contains(&told), "{what}: {told}: {}", bad.err);
    }
}

/// So many events of an account that they are too many.
async fn fill(house: &TestEnv, count: usize) {
    let journal = SqliteJournal::open(&house.path("state")).unwrap();
    let state = journal.load("ivr").await.unwrap();
    let at: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
    let entry = |n| {
        let body = serde_json::to_string(&Event::LoginAttempted).unwrap();
        Entry {
            at: at + TimeDelta::minutes(n),
            kind: "login-attempted".to_owned(),
            body,
        }
    };
    journal
        .append("ivr", state.last(), (0..count as i64).map(entry).collect())
        .await
        .unwrap();
    journal.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_history_is_compacted_at_rest_and_the_trail_says_so() {
    let house = lived_in().await;
    let token = house.token();
    let rows = house.run(["history", "--json"]).out.lines().count();
    fill(&house, 2_100).await;
    let status = house.status();
    assert_eq!(house.run(["run", "--once"]).code(), 0);

    let told = house.run(["history", "ivr"]).out;
    let compacted = rows + 2_100 - 1_000;
    let first = told.lines().next().unwrap();
    assert!(
        first.contains(&format!("{compacted} earlier events since")),
        "{first}"
    );
    let json = house.run(["history", "--json"]).out;
    assert_eq!(json.lines().count(), 1_001);
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(
        (
            &first["kind"],
            &first["seq"],
            &first["rows"],
            &first["account"]
        ),
        (
            &"checkpoint".into(),
            &compacted.into(),
            &compacted.into(),
            &"ivr".into()
        )
    );
    let good = verify(&house);
    assert_eq!(good.code(), 0, "{}", good.err);
    let counted = format!(
        "ivr: 1000 rows and the checkpoint of {compacted} earlier ones, as they were written"
    );
    assert!(good.out.contains(&counted), "{}", good.out);

    // Nothing is forgotten by it: the same token, and no second one.
    let kept = |status: &Value| (status["current"].clone(), status["sinks"].clone());
    assert_eq!(kept(&house.status()), kept(&status));
    let daemon = house.start_ready().await;
    assert_eq!((house.token(), house.count(Call::Mint)), (token.clone(), 1));
    // The daemon tells the same, over its socket.
    assert_eq!(house.run(["history", "--json"]).out, json);
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    daemon.stop();
    assert!(
        house.record().is_alive(&token),
        "the old one waits for its time"
    );

    sql(
        &house,
        "UPDATE checkpoints SET body = replace(body, '\"seq\"', '\"sep\"')",
    );
    let bad = verify(&house);
    assert_eq!(bad.code(), 1);
    let told = format!(
        "journal stream `ivr`, row {compacted}: the checkpoint that ends with it was changed"
    );
    assert!(bad.err.contains(&told), "{}", bad.err);
}
