//! Log lines of the real daemon: what the journal is sent, and that a reload changes level and
//! format.

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rotator_simulator::Call;
use serde_json::Value;

use crate::env::{TestEnv, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_level_and_format_of_the_log() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let daemon = house.start_ready().await;
    let first = daemon.log();
    assert!(
        first.contains("INFO") && first.contains("Token is current") && !first.contains("DEBUG"),
        "{first}"
    );

    let policy = |log: &str| format!("{}\n[log]\n{log}", house.usual(""));
    house.set_policy(&policy("level = \"debug\"\nformat = \"json\"\n"));
    assert_eq!(house.run(["reload"]).code(), 0);
    let reloaded = daemon.log().len();
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    let second = daemon.log()[reloaded..].to_owned();
    let lines: Vec<Value> = second
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let levels: BTreeSet<&str> = lines
        .iter()
        .map(|line| line["level"].as_str().unwrap())
        .collect();
    assert!(
        levels.contains("DEBUG") && levels.contains("INFO"),
        "{levels:?}"
    );

    house.set_policy(&policy("level = \"warn\"\n"));
    assert_eq!(house.run(["reload"]).code(), 0);
    let quiet = daemon.log().len();
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    assert_eq!(
        &daemon.log()[quiet..],
        "",
        "a rotation that goes well warns of nothing"
    );
    assert_eq!(house.count(Call::Mint), 3);
    daemon.stop();
}

type Entry = Vec<(String, String)>;

/// The fields of an entry, those with line ends in them left out.
fn fields(entry: &[u8]) -> Entry {
    let text = String::from_utf8_lossy(entry);
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// In a mount namespace of its own the daemon finds a journal where systemd's would be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_is_sent_what_happens_to_which_account_under_fixed_numbers() {
    let possible = Command::new("unshare")
        .args(["-m", "sh", "-c", "mount -t tmpfs none /run"])
        .output();
    if !possible.is_ok_and(|tried| tried.status.success()) {
        println!("skipped: a journal of our own takes root and a mount namespace");
        return;
    }
    let house = TestEnv::new().await;
    let socket = house.path("journal");
    let journal = UnixDatagram::bind(&socket).unwrap();
    journal
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    house.set_policy(&format!(
        "{}\n[log]\nformat = \"journald\"\nlevel = \"debug\"\n",
        house.usual("")
    ));
    // Somewhere that no sink can be written.
    let policy = house
        .read("config.toml")
        .replace("/token\"", "/missing/token\"");
    house.set_policy(&policy);

    let daemon = house.start_with(|command| {
        let mut apart = Command::new("unshare");
        apart.env_clear().args(["-m", "sh", "-c"]).arg(
            "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && ln -s \"$0\" /run/systemd/journal/socket && exec \"$@\"",
        );
        apart.arg(&socket).arg(command.get_program()).args(command.get_args());
        apart.env("PATH", std::env::var_os("PATH").unwrap());
        for (name, value) in command.get_envs() {
            apart.env(name, value.unwrap());
        }
        *command = apart;
    });
    // Read all the time, as the journal is.
    let entries: Arc<Mutex<Vec<Entry>>> = Arc::default();
    let (log, over) = (Arc::clone(&entries), Arc::new(AtomicBool::new(false)));
    let stop = Arc::clone(&over);
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while !stop.load(Ordering::SeqCst) {
            if let Ok(length) = journal.recv(&mut buffer) {
                log.lock().unwrap().push(fields(&buffer[..length]));
            }
        }
    });
    let until = async |message: &str| {
        let is_it = |entry: &&Entry| entry.iter().any(|(n, v)| n == "MESSAGE" && v == message);
        eventually(message, || {
            entries.lock().unwrap().iter().find(is_it).cloned()
        })
        .await
    };
    let has = |entry: &[(String, String)], name: &str, value: &str| {
        let found = entry
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str());
        assert_eq!(found, Some(value), "{name} in {entry:?}");
    };
    let opened = until("Incident opened").await;
    has(&opened, "ACCOUNT", "ivr");
    has(&opened, "INCIDENT", "ivr/preflight-failed");
    let number = opened
        .iter()
        .find(|(name, _)| name == "MESSAGE_ID")
        .unwrap()
        .1
        .clone();
    let catalog = include_str!("../../systemd/ringcx-rotator.catalog");
    assert!(
        catalog.contains(&format!(
            "-- {number}\nSubject: @ACCOUNT@: preflight-failed\n"
        )),
        "{number}"
    );

    std::fs::create_dir(house.path("missing")).unwrap();
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    let proved = until("Delivery proved").await;
    for (name, value) in [
        ("ACCOUNT", "ivr"),
        ("SINK", "token"),
        ("GENERATION", "1"),
        ("PRIORITY", "6"),
    ] {
        has(&proved, name, value);
    }
    let debug = until("Minting").await;
    has(&debug, "PRIORITY", "7");
    eventually("the incident is over", || {
        (house.status()["state"] == "ok").then_some(())
    })
    .await;
    daemon.stop();
    over.store(true, Ordering::SeqCst);
    reader.join().unwrap();
}
