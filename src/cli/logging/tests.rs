//! What the journal is sent, and that numbers, catalog and pages agree.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use tracing::{debug, error, info, trace, warn};

use super::*;
use rotator_core::event::EventKind;
use rotator_core::incidents::INCIDENTS;

mod generated;

const CATALOG: &str = include_str!("../../../systemd/ringcx-rotator.catalog");
const OPERATING: &str = include_str!("../../../docs/operating.md");

/// What a journal on a socket of its own receives from this.
fn received(log: impl FnOnce()) -> Vec<BTreeMap<String, String>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let journal = UnixDatagram::bind(&path).unwrap();
    let layer = journald::Journald::connect(&path).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    journal
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let mut entries = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    while let Ok(length) = journal.recv(&mut buffer) {
        if length > 0 {
            entries.push(parsed(&buffer[..length]));
        }
    }
    entries
}

/// As the protocol has it.
fn parsed(mut bytes: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while !bytes.is_empty() {
        let at = bytes
            .iter()
            .position(|byte| [b'=', b'\n'].contains(byte))
            .unwrap();
        let (name, rest) = (
            String::from_utf8(bytes[..at].to_vec()).unwrap(),
            &bytes[at + 1..],
        );
        let (value, rest) = if bytes[at] == b'=' {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
            (&rest[..end], &rest[end + 1..])
        } else {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8 + length], b'\n');
            (&rest[8..8 + length], &rest[8 + length + 1..])
        };
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'),
            "{name}"
        );
        assert!(
            fields
                .insert(name, String::from_utf8(value.to_vec()).unwrap())
                .is_none()
        );
        bytes = rest;
    }
    fields
}

#[test]
fn every_fact_is_a_field_and_every_kind_has_its_number() {
    let sink: Option<&str> = None;
    let entries = received(|| {
        info!(name: "delivered", account = "sales-ivr", sink = "crm", generation = %7, "Token delivered");
        error!(name: "incident-opened", account = "a", kind = %"login-rejected", sink, incident = %"a/login-rejected", "Incident opened");
        info!("Without a name");
    });
    let expected = [
        ("MESSAGE", "Token delivered"),
        ("ACCOUNT", "sales-ivr"),
        ("SINK", "crm"),
        ("GENERATION", "7"),
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "ringcx-rotator"),
    ];
    for (name, value) in expected {
        assert_eq!(
            entries[0].get(name).map(String::as_str),
            Some(value),
            "{:?}",
            entries[0]
        );
    }
    assert_eq!(
        entries[0].get("MESSAGE_ID").map(String::as_str),
        kinds::message_id("delivered", None)
    );
    assert_eq!(entries[1]["INCIDENT"], "a/login-rejected");
    assert_eq!(
        Some(entries[1]["MESSAGE_ID"].as_str()),
        kinds::message_id("incident-opened", Some("login-rejected"))
    );
    assert!(!entries[1].contains_key("SINK"), "there is none");
    assert!(!entries[2].contains_key("MESSAGE_ID"));
}

#[test]
fn priorities_are_those_that_journalctl_counts_in() {
    let entries = received(|| {
        error!("e");
        warn!("w");
        info!("i");
        debug!("d");
        trace!("t");
    });
    let found: Vec<&str> = entries
        .iter()
        .map(|entry| entry["PRIORITY"].as_str())
        .collect();
    assert_eq!(found, ["3", "4", "6", "7", "7"]);
}

#[test]
fn line_ends_survive_and_what_is_too_large_is_cut_and_not_lost() {
    let large = "ü".repeat(1 << 20);
    let entries = received(|| {
        info!(cause = "two\nlines=x", "And\nhere");
        info!(cause = large, account = "a", "Large");
    });
    assert_eq!(
        (entries[0]["CAUSE"].as_str(), entries[0]["MESSAGE"].as_str()),
        ("two\nlines=x", "And\nhere")
    );
    assert_eq!(entries[1]["ACCOUNT"], "a");
    assert_eq!(entries[1]["CAUSE"].len(), 1024);
}

#[test]
fn without_a_journal_there_is_an_error_and_no_panic() {
    assert!(journald::Journald::connect(Path::new("/nowhere/socket")).is_err());
}

#[test]
fn a_journal_that_nobody_reads_costs_one_wait_and_is_used_again_once_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let journal = UnixDatagram::bind(&path).unwrap();
    let layer = journald::Journald::connect(&path).unwrap();
    let since = crate::clock::monotonic();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        // More than any queue takes.
        (0..20_000).for_each(|number| info!(number, "Busy"));
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "a wait for each would take hours"
        );
        journal.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 1 << 16];
        while journal.recv(&mut buffer).is_ok() {}
        info!("Read again");
        let length = journal.recv(&mut buffer).unwrap();
        assert_eq!(parsed(&buffer[..length])["MESSAGE"], "Read again");
    });
}

#[test]
fn numbers_are_unique_and_every_name_in_the_code_has_one() {
    let ids: BTreeSet<&str> = kinds::all().iter().map(|(_, id)| *id).collect();
    assert_eq!(ids.len(), kinds::all().len());
    assert!(ids.iter().all(|id| {
        id.len() == 32
            && id
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    }));

    let mut used = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for place in [
        "daemon",
        "daemon.rs",
        "outbound.rs",
        "sinks",
        "cli/logging.rs",
        "cli/commands/run.rs",
        "console",
        "reconcile",
    ] {
        names(&root.join(place), &mut used);
    }
    assert!(used.remove("incident-opened") && used.len() > 25);
    // `reconcile/log.rs` takes the names of events from the core.
    used.extend(EventKind::ALL.iter().map(|event| event.name().to_owned()));
    used.extend(
        INCIDENTS
            .iter()
            .map(|info| format!("incident-opened/{}", info.kind)),
    );
    let numbered: BTreeSet<String> = kinds::all().into_iter().map(|(name, _)| name).collect();
    assert_eq!(used, numbered);
}

/// Operators filter by these numbers: what an earlier version had stays as it was.
#[test]
fn no_number_and_no_name_ever_changes() {
    let now: BTreeSet<(String, &str)> = kinds::all().into_iter().collect();
    for line in include_str!("tests/numbers.tsv").lines() {
        let (name, id) = line.split_once('\t').unwrap();
        assert!(now.contains(&(name.to_owned(), id)), "{name}");
    }
}

/// The names of log lines in these sources.
fn names(path: &Path, found: &mut BTreeSet<String>) {
    if path.is_dir() {
        std::fs::read_dir(path)
            .unwrap()
            .for_each(|entry| names(&entry.unwrap().path(), found));
        return;
    }
    let text = std::fs::read_to_string(path).unwrap();
    for (at, _) in text.match_indices("!(") {
        let rest = text[at + 2..].trim_start();
        if let Some(rest) = rest.strip_prefix("name: \"") {
            found.insert(rest.split('"').next().unwrap().to_owned());
        }
    }
}

/// The catalog by number: its head and its text.
fn catalog() -> BTreeMap<&'static str, (&'static str, String)> {
    let entries = CATALOG.split("\n-- ").skip(1).map(|entry| {
        let (id, rest) = entry.split_once('\n').unwrap();
        let (head, text) = rest.split_once("\n\n").unwrap();
        (
            id,
            (head, text.split_whitespace().collect::<Vec<_>>().join(" ")),
        )
    });
    let all: Vec<_> = entries.collect();
    let count = all.len();
    let by_id: BTreeMap<_, _> = all.into_iter().collect();
    assert_eq!(by_id.len(), count, "an entry is there twice");
    by_id
}

#[test]
fn the_catalog_explains_every_number_and_no_other() {
    let catalog = catalog();
    let explained: BTreeSet<&str> = catalog.keys().copied().collect();
    let numbered: BTreeSet<&str> = kinds::all().iter().map(|(_, id)| *id).collect();
    assert_eq!(explained, numbered);
    for (id, (head, text)) in &catalog {
        assert!(
            head.starts_with("Subject: ") && head.contains("\nDefined-By: ringcx-rotator"),
            "{id}"
        );
        assert!(text.len() > 10, "{id}");
    }
}

/// Both are for the same person, one of them at three in the morning.
#[test]
fn of_an_incident_the_catalog_says_what_the_page_says() {
    let catalog = catalog();
    let (_, page) = OPERATING.split_once("\n## Incidents\n").unwrap();
    for section in page.split("\n### ").skip(1) {
        let (kind, text) = section.split_once('\n').unwrap();
        let text = text.split("\n## ").next().unwrap();
        let expected = plain(text).replace(" ACCOUNT", " @ACCOUNT@");
        let id = kinds::message_id("incident-opened", Some(kind))
            .unwrap_or_else(|| panic!("{kind} has no number"));
        let said = &catalog[id].1;
        assert!(said.starts_with(&expected), "{kind}:\n{said}\n{expected}");
        assert!(
            said.contains("ringcx-rotator") || said.contains("What to do: "),
            "{kind}"
        );
    }
}

/// Markdown as plain words.
fn plain(markdown: &str) -> String {
    let mut text = markdown.replace("*Do*:", "What to do:");
    while let Some((before, rest)) = text.split_once("](") {
        let after = rest.split_once(')').map_or("", |(_, after)| after);
        let (start, label) = before.rsplit_once('[').unwrap();
        text = format!("{start}{label}{after}");
    }
    text.replace('*', "")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
