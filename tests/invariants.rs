//! `docs/design/invariants.md`, written from marks beside the tests, so that no table names a test
//! or a function that is gone.
//!
//! A mark is a comment just above a test's attributes. A longer one goes on with three blanks:
//!
//! ```text
//! // proves: never-zero
//! // fault: serve-live at plan/retire check_sink: a file that holds the candidate is no guard
//! #[test]
//! fn one_that_a_file_serves_is_kept() {
//! ```
//!
//! `proves` names invariants that the test would find broken. `fault` names them as well, and says
//! what was once broken on purpose, and where, so that the test failed: a guard whose loss no test
//! notices is no guard. A place is a module without its crate, and an item in it.
//!
//! `RINGCX_ROTATOR_TEST_UPDATE=1 cargo test --test invariants` writes the page again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![expect(
    clippy::disallowed_methods,
    reason = "a page of the repository that is half written is written again"
)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "invariants/marks.rs"]
mod marks;
#[path = "invariants/table.rs"]
mod table;

use marks::{Fault, MarkedTest, Place};
use table::{INVARIANTS, Invariant};

const PAGE: &str = "docs/design/invariants.md";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust sources of the workspace: path from the root, with slashes, and text.
fn sources() -> Vec<(String, String)> {
    let mut directories = vec!["src".to_owned(), "tests".to_owned()];
    for krate in fs::read_dir(root().join("crates")).unwrap() {
        let name = krate.unwrap().file_name().into_string().unwrap();
        directories.extend(["src", "tests"].map(|below| format!("crates/{name}/{below}")));
    }
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(root().join(&directory)) else {
            continue;
        };
        for entry in entries {
            let entry = entry.unwrap();
            let path = format!("{directory}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                directories.push(path);
            } else if Path::new(&path).extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(entry.path()).unwrap();
                sources.push((path, text));
            }
        }
    }
    // The samples of marks are not marks.
    sources.retain(|(path, _)| !path.starts_with("tests/invariants"));
    sources.sort();
    sources
}

fn marked_tests() -> Vec<MarkedTest> {
    let read = |(path, text): &(String, String)| marks::read(path, text).unwrap();
    sources().iter().flat_map(read).collect()
}

#[test]
fn the_page_is_what_the_marks_say() {
    let page = render(&marked_tests());
    let path = root().join(PAGE);
    if std::env::var_os("RINGCX_ROTATOR_TEST_UPDATE").is_some_and(|value| value == "1") {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(written.lines()).find(|(a, b)| a != b);
    assert!(
        page == written,
        "{PAGE} is not what the marks say, first at {differs:?}; \
         write it with RINGCX_ROTATOR_TEST_UPDATE=1 cargo test --test invariants"
    );
}

#[test]
fn every_invariant_has_a_test_and_every_mark_an_invariant() {
    let tests = marked_tests();
    let known: BTreeSet<&str> = INVARIANTS.iter().map(|known| known.name).collect();
    let proved: BTreeSet<&str> = tests.iter().flat_map(MarkedTest::names).collect();
    let unproved: Vec<&&str> = known.difference(&proved).collect();
    assert!(unproved.is_empty(), "without a test: {unproved:?}");
    let unknown: Vec<&&str> = proved.difference(&known).collect();
    assert!(
        unknown.is_empty(),
        "not in tests/invariants/table.rs: {unknown:?}"
    );
    let faults: usize = tests.iter().map(|test| test.faults.len()).sum();
    assert!(tests.len() >= 97 && faults >= 85, "marks are gone");
}

/// Where an invariant is kept, and where a fault was put in, is still there.
#[test]
fn every_place_exists() {
    let sources = sources();
    let kept = INVARIANTS.iter().flat_map(|known| known.kept_in);
    let mut places: Vec<Place> = kept.map(|place| Place::parse(place)).collect();
    for test in marked_tests() {
        places.extend(test.faults.into_iter().map(|fault| fault.place));
    }
    let missing: BTreeSet<String> = places
        .iter()
        .filter(|place| !place.is_in(&sources))
        .map(Place::to_string)
        .collect();
    assert!(missing.is_empty(), "no such place: {missing:#?}");
}

#[test]
fn the_architecture_names_every_invariant() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let missing: Vec<&str> = INVARIANTS
        .iter()
        .map(|known| known.name)
        .filter(|name| !page.contains(name))
        .collect();
    assert!(missing.is_empty(), "not in ARCHITECTURE.md: {missing:?}");
}

fn render(tests: &[MarkedTest]) -> String {
    let mut page = String::from(table::HEAD);
    for known in INVARIANTS {
        section(&mut page, known, tests);
    }
    page.push_str(table::TAIL);
    page
}

fn section(page: &mut String, known: &Invariant, tests: &[MarkedTest]) {
    let Invariant {
        name,
        statement,
        kept_in,
    } = known;
    let places: Vec<String> = kept_in
        .iter()
        .map(|place| Place::parse(place).to_string())
        .collect();
    writeln!(page, "\n## {name}\n\n{statement}.\n").unwrap();
    writeln!(page, "Kept in {}.\n", places.join(", ")).unwrap();
    let is_of_it = |test: &&MarkedTest| test.names().any(|proved| proved == *name);
    let mut last_path = "";
    for test in tests.iter().filter(is_of_it) {
        // Tests come file by file.
        if test.path != last_path {
            writeln!(page, "- [{}](../../{})", test.path, test.path).unwrap();
            last_path = &test.path;
        }
        writeln!(page, "  - `{}`", test.name).unwrap();
        for Fault { names, place, text } in &test.faults {
            if names.iter().any(|of| of == name) {
                writeln!(page, "    - fault in {place}: {text}").unwrap();
            }
        }
    }
}
