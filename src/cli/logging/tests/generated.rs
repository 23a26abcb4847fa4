//! The incident entries of the catalog and the incident chapter of `docs/operating.md` are what the
//! table in `crates/core/src/incidents/table.rs` says. `RINGCX_ROTATOR_TEST_UPDATE=1` writes them.

use std::path::Path;

use rotator_core::incidents::{INCIDENTS, IncidentInfo};

const CATALOG: &str = "systemd/ringcx-rotator.catalog";
const OPERATING: &str = "docs/operating.md";
const CHAPTER: &str = "\n## Incidents\n";

#[test]
fn the_catalog_has_the_incidents_of_the_table() {
    let found = read(CATALOG);
    let (head, entries) = found.split_once("\n-- ").unwrap();
    let is_incident = |entry: &&str| {
        let id = entry.split_once('\n').unwrap().0;
        INCIDENTS.iter().any(|info| info.message_id == id)
    };
    let mut expected = format!("{head}\n");
    for info in &INCIDENTS {
        expected += &format!("-- {}\n", entry(info));
    }
    let others: Vec<&str> = entries
        .split("\n-- ")
        .filter(|entry| !is_incident(entry))
        .collect();
    expected += "-- ";
    expected += &others.join("\n-- ");
    agree(CATALOG, &found, &expected);
}

#[test]
fn the_chapter_has_the_incidents_of_the_table() {
    let found = read(OPERATING);
    let (before, chapter) = found.split_once(CHAPTER).unwrap();
    // The chapter's introduction is written by hand, and ends where the list begins.
    let introduction = chapter.split("\n| Incident |").next().unwrap();
    let introduction = introduction.split("\n### ").next().unwrap();
    let after = chapter.find("\n## ").map_or("", |next| &chapter[next..]);
    let mut expected = format!("{before}{CHAPTER}{introduction}");
    expected += "\n| Incident | Severity |\n| --- | --- |\n";
    for info in &INCIDENTS {
        expected += &format!("| [{0}](#{0}) | {1} |\n", info.kind, info.severity.name());
    }
    for info in &INCIDENTS {
        expected += &section(info);
    }
    agree(OPERATING, &found, &(expected + after));
}

fn section(info: &IncidentInfo) -> String {
    let mut text = format!("\n### {}\n\n", info.kind);
    let fill = |text: &str| fill(text, "ACCOUNT");
    wrap(&mut text, 110, &fill(&explained(info)));
    text += "\n*Do*:\n\n";
    for step in info.runbook.steps {
        wrap(&mut text, 110, &format!("- {}", fill(step)));
    }
    text
}

fn entry(info: &IncidentInfo) -> String {
    let mut text = format!(
        "{}\nSubject: @ACCOUNT@: {}\nDefined-By: ringcx-rotator\n\
         Documentation: man:ringcx-rotator(1)\n\n",
        info.message_id, info.kind
    );
    let fill = |text: &str| super::plain(&fill(text, "@ACCOUNT@"));
    wrap(&mut text, 100, &fill(&explained(info)));
    text += "\nWhat to do:\n";
    for step in info.runbook.steps {
        wrap(&mut text, 100, &format!("- {}", fill(step)));
    }
    text + "\nIncident: @INCIDENT@. Cause: @CAUSE@\n"
}

fn explained(info: &IncidentInfo) -> String {
    format!("{} {}", info.runbook.what, info.runbook.background)
}

/// Neither page is about one sink.
fn fill(text: &str, account: &str) -> String {
    text.replace("{account}", account)
        .replace("{sink}", "a sink")
}

/// Adds the text in lines of this width, with a step's second line under its first.
fn wrap(out: &mut String, columns: usize, text: &str) {
    let indent = if text.starts_with("- ") { "  " } else { "" };
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + 1 + word.len() > columns {
            *out += &line;
            *out += "\n";
            line = indent.to_owned() + word;
        } else {
            if !line.is_empty() {
                line += " ";
            }
            line += word;
        }
    }
    *out += &line;
    *out += "\n";
}

fn path(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a file of the sources, written on demand"
)]
fn agree(file: &str, found: &str, expected: &str) {
    if found == expected {
        return;
    }
    if std::env::var_os("RINGCX_ROTATOR_TEST_UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(path(file), expected).unwrap();
        return;
    }
    let lines = found.lines().zip(expected.lines());
    let differing = lines
        .enumerate()
        .find(|(_, (found, expected))| found != expected);
    panic!(
        "{file} is not what the table of incidents says, first at line {differing:?}; \
         RINGCX_ROTATOR_TEST_UPDATE=1 writes it"
    );
}
