//! What commit 78e54a1 wrote is read, understood and written as it was: its journal, its policies
//! and its JSON.
//!
//! `tests/compat/78e54a1` holds the journal that its program left after a minute with the simulator:
//! a lost answer, a rejected login, an unreachable webhook, a file that drifted, an adopted token, a
//! sink that left the policy and came back. Beside it is the output of that program for this
//! journal, printed when every due time was long over and none of the files existed any more; so it
//! does not depend on the time of the test. The policies are those that it shipped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use ringcx_rotator::reconcile;
use ringcx_rotator::store::SqliteJournal;
use rotator_core::account::AccountState;
use rotator_core::event::EventKind;
use rotator_core::incidents::{AlertEvent, AlertState};
use rotator_core::journal::{ALERTS, Journal, checkpoint};
use serde_json::Value;
use tempfile::TempDir;

use crate::env::{TestEnv, write};

const ACCOUNTS: [&str; 2] = ["ivr", "dialer"];

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/compat/78e54a1")
        .join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(kept(name)).unwrap()
}

/// A state directory with the journal in it, and the policy that it was written under.
struct Restored {
    directory: TempDir,
}

impl Restored {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        std::fs::copy(kept("journal.sqlite"), path.join("journal.sqlite")).unwrap();
        let policy = text("config.toml").replace("STATE", path.to_str().unwrap());
        write(&path.join("config.toml"), policy.as_bytes());
        Self { directory }
    }

    fn journal(&self) -> SqliteJournal {
        SqliteJournal::open(self.directory.path()).unwrap()
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_ringcx-rotator"))
            .args(args)
            .arg("--config")
            .arg(self.directory.path().join("config.toml"))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test]
async fn every_row_is_written_again_byte_for_byte() {
    let restored = Restored::new();
    let journal = restored.journal();
    let mut kinds: BTreeSet<&str> = BTreeSet::new();
    for account in ACCOUNTS {
        let rows = journal.load(account).await.unwrap().rows;
        let history = reconcile::history(&journal, account).await.unwrap();
        assert_eq!(rows.len(), history.events.len());
        for (row, recorded) in rows.iter().zip(&history.events) {
            // As the reconciler writes it: by way of a JSON value, which sorts the fields.
            let body = serde_json::to_value(&recorded.event).unwrap().to_string();
            assert_eq!(body, row.entry.body, "{account} {}", row.seq);
            kinds.insert(recorded.event.kind().name());
        }
    }
    assert!(kinds.len() >= 27, "the fixture shows {} kinds", kinds.len());
    assert!(kinds.len() <= EventKind::ALL.len());

    let rows = journal.load(ALERTS).await.unwrap().rows;
    assert!(rows.len() > 40);
    for row in rows {
        let event = AlertEvent::from_row(&row).unwrap();
        assert_eq!(event.to_entry(row.entry.at), row.entry);
    }
}

#[tokio::test]
async fn the_journal_folds_and_its_checkpoint_reads_the_same() {
    let restored = Restored::new();
    let journal = restored.journal();
    for account in ACCOUNTS {
        let history = reconcile::history(&journal, account).await.unwrap();
        let events = history
            .events
            .iter()
            .map(|recorded| (recorded.seq, recorded.at, &recorded.event));
        let state = AccountState::fold(events);
        let kept = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<AccountState>(&kept).unwrap(), state);
        assert_eq!(state.current().map(|current| current.number.0), Some(5));
    }
    let alerts = AlertState::from_stream(&journal.load(ALERTS).await.unwrap()).unwrap();
    assert_eq!((alerts.open.len(), alerts.outbox.len()), (6, 20));
}

/// The state of an account with forty sinks after 22 rotations, from that program's checkpoint.
#[test]
fn a_checkpoint_is_written_again_byte_for_byte() {
    let text = text("checkpoint.json");
    let kept = text.trim_end();
    let state: AccountState = checkpoint::read(AccountState::FORM, kept).unwrap();
    assert_eq!((state.seq, state.sinks.len()), (2079, 41));
    assert_eq!(checkpoint::write(AccountState::FORM, &state), kept);
}

#[test]
fn history_status_and_plan_print_the_same_json() {
    let restored = Restored::new();
    for (command, file) in [
        ("history", "history.jsonl"),
        ("status", "status.json"),
        ("plan", "plan.json"),
    ] {
        assert_eq!(restored.run(&[command, "--json"]), text(file), "{command}");
    }
    let verified = restored.run(&["history", "--verify"]);
    assert_eq!(
        verified.matches("rows, as they were written").count(),
        3,
        "{verified}"
    );
}

/// Names, order and types of the fields: the values are others each time.
fn shape(value: &Value, path: &str, found: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(items) => {
            items
                .iter()
                .for_each(|item| shape(item, &format!("{path}[]"), found));
            "array"
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                shape(field, &format!("{path}.{name}"), found);
            }
            "object"
        }
    };
    found.entry(path.to_owned()).or_default().insert(kind);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_print_the_same_fields() {
    let fields = |json: &str| {
        let mut found = BTreeMap::new();
        shape(&serde_json::from_str(json).unwrap(), "", &mut found);
        found
    };
    let env = TestEnv::new().await;
    env.set_policy(&env.usual(""));
    assert_eq!(env.run(["run", "--once"]).code(), 0);
    let ran = env.run(["tokens", "ivr", "--json"]);
    assert_eq!(ran.code(), 0, "{}", ran.err);
    assert_eq!(fields(&ran.out), fields(&text("tokens.json")));
}

#[test]
fn the_policies_that_it_shipped_still_load() {
    let mut loaded = 0;
    let examples = std::fs::read_dir(kept("config/examples")).unwrap();
    let paths = examples.map(|entry| entry.unwrap().path());
    for path in paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .chain([kept("config/ringcx-rotator.toml")])
    {
        if let Err(errors) = rotator_policy::load(&path) {
            panic!("{}", errors.render(rotator_policy::Color::Never, None));
        }
        loaded += 1;
    }
    assert_eq!(loaded, 10);
}
