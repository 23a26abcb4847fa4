//! Rules about the sources of all packages that no compiler checks: which module may import which,
//! what the pure parts may not touch, and limits on size and naming. `ARCHITECTURE.md` gives the
//! reasons; `tests/architecture/tables.rs` lists layers, places and known exceptions.
//!
//! Sources are parsed as syntax. Not seen are names that a macro assembles, and paths in strings.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

#[path = "architecture/layers.rs"]
mod layers;
#[path = "architecture/licences.rs"]
mod licences;
#[path = "architecture/members.rs"]
mod members;
#[path = "architecture/names.rs"]
mod names;
#[path = "architecture/samples.rs"]
mod samples;
#[path = "architecture/sources.rs"]
mod sources;
#[path = "architecture/syntax.rs"]
mod syntax;
#[path = "architecture/tables.rs"]
mod tables;

use layers::{Layers, is_allowed};
use names::{Arrow, arrows, cycles, is_below};
use sources::{Part, SOURCES, Source, file, lines_with, product};
use tables::{
    CLOCKS, CYCLES, EXITS, JOURNAL, LAYERS, LONG_FUNCTIONS, NOT_PURE, PLAN, PURE, REPEATED_TYPES,
    SINK_KINDS, SINK_KINDS_HOME, STORE, WITHOUT_THE_PLAN,
};

/// The imports and paths between the modules of all packages, outside tests.
static ARROWS: LazyLock<Vec<Arrow>> = LazyLock::new(|| arrows(product()));

/// Lines of a function, from `fn` to the closing brace.
const LONGEST_FUNCTION: usize = 60;

#[track_caller]
fn check(rule: &str, broken: impl IntoIterator<Item = String>) {
    let broken: Vec<String> = broken.into_iter().collect();
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// For rules with known exceptions: fails for a new one, and for a listed one that is gone.
#[track_caller]
fn check_list(rule: &str, listed: &[&str], found: &BTreeSet<String>) {
    let listed: BTreeSet<String> = listed.iter().map(|entry| (*entry).to_owned()).collect();
    let new = found.difference(&listed);
    let new = new.map(|entry| format!("not allowed: \"{entry}\""));
    let gone = listed.difference(found);
    let gone = gone.map(|entry| format!("no longer needed, remove it: \"{entry}\""));
    check(rule, new.chain(gone));
}

#[test]
fn no_import_runs_up() {
    let roots = product().filter_map(|source| source.module.get(..2));
    let roots: BTreeSet<&[String]> = roots.collect();
    let floor = |root: &[String]| Layers::of(&root[0])?.floor(&root[1]);
    let missing = roots.iter().filter(|root| floor(root).is_none());
    check(
        "each module has a floor",
        missing.map(|root| root.join("::")),
    );
    let listed = LAYERS.iter().flat_map(Layers::modules);
    let stale = listed.filter(|root| !roots.contains(&root[..]));
    check(
        "each module on a floor exists",
        stale.map(|root| root.join("::")),
    );

    let broken = ARROWS.iter().filter(|arrow| !is_allowed(arrow));
    let broken = broken.map(|arrow| format!("{} imports {}", arrow.place, arrow.to.join("::")));
    check("an import goes down", broken);
    let known = LAYERS.iter().flat_map(Layers::known_arrows);
    let lost = known.filter(|(from, to)| {
        let is_it = |arrow: &Arrow| is_below(&arrow.from, from) && is_below(&arrow.to, to);
        !ARROWS.iter().any(is_it)
    });
    check(
        "a listed import exists",
        lost.map(|pair| format!("{pair:?}")),
    );
}

#[test]
fn no_cycles_between_modules() {
    let found = cycles(&ARROWS);
    for (cycle, by) in &found {
        println!("{cycle}\n  {}", by.join("\n  "));
    }
    let listed: Vec<&str> = CYCLES.iter().map(|(cycle, _)| *cycle).collect();
    let found = found.into_keys().collect();
    check_list("sibling modules do not import each other", &listed, &found);
}

#[test]
fn sinks_and_clients_do_not_use_the_plan() {
    for name in WITHOUT_THE_PLAN.iter().chain([&PLAN]) {
        let mut modules = SOURCES.iter().map(|source| &source.module[1..]);
        assert!(
            modules.any(|module| is_below(module, name)),
            "there is no {name}"
        );
    }
    let is_listed = |from: &[String]| WITHOUT_THE_PLAN.iter().any(|name| is_below(from, name));
    let broken = ARROWS.iter().filter(|arrow| is_below(&arrow.to[1..], PLAN));
    let broken = broken.filter(|arrow| is_listed(&arrow.from[1..]));
    let broken = broken.map(|arrow| arrow.place.clone());
    check("these modules do not import the plan", broken);
}

#[test]
fn no_type_name_is_declared_twice() {
    let mut declared: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in product() {
        for found in &source.syntax.types {
            let place = format!("{}:{}", source.path, found.line);
            declared.entry(&found.name).or_default().push(place);
        }
    }
    declared.retain(|_, places| places.len() > 1);
    for (name, places) in &declared {
        println!("{name}: {}", places.join(", "));
    }
    let found = declared.iter();
    let found = found.map(|(name, places)| format!("{name} {}", places.len()));
    check_list(
        "a type name is declared once",
        REPEATED_TYPES,
        &found.collect(),
    );
}

#[test]
fn functions_have_sixty_lines_at_most() {
    let mut found = BTreeSet::new();
    for source in product() {
        for function in &source.syntax.functions {
            if function.lines > LONGEST_FUNCTION {
                let name = format!("{} {}", source.path, function.name);
                println!("(\"{name}\", {}),", function.lines);
                // A listed one may become shorter, but not longer.
                let listed = LONG_FUNCTIONS.iter().find(|(listed, _)| *listed == name);
                let ceiling = listed.map_or(0, |(_, lines)| *lines);
                found.insert(format!("{name} {}", function.lines.max(ceiling)));
            }
        }
    }
    let listed = LONG_FUNCTIONS.iter();
    let listed: Vec<String> = listed
        .map(|(name, lines)| format!("{name} {lines}"))
        .collect();
    let listed: Vec<&str> = listed.iter().map(String::as_str).collect();
    check_list("a function has 60 lines at most", &listed, &found);
}

/// Commands and daemon have the same enums for the words of views. A field of type `String` would
/// be compared with a word that the compiler does not know.
#[test]
fn no_state_is_compared_as_text() {
    let broken = product().flat_map(|source| {
        let lines = (1..).zip(source.text.lines().map(str::trim));
        let broken = lines.filter(|(_, line)| holds_state_as_text(line));
        broken.map(|(number, line)| format!("{}:{number}: {line}", source.path))
    });
    check("a state is an enum", broken);
    for line in [
        "pub state: String,",
        "outcome: Option<String>,",
        "if sink.state == \"serving\" {",
        ".filter(|sink| whole || sink.state != \"serving\")",
        "match account.state.as_str() {",
    ] {
        assert!(holds_state_as_text(line), "{line}");
    }
    let fine = "pub state: AccountHealth, if sink.state == SinkHealth::Serving";
    assert!(!holds_state_as_text(fine));
}

fn holds_state_as_text(line: &str) -> bool {
    ["state", "stage", "action", "outcome"].iter().any(|name| {
        let declared = ["String", "Option<String>", "&str", "&'static str"]
            .map(|text| format!("{name}: {text}"));
        let used = [" == \"", " != \"", ".as_str()"].map(|text| format!(".{name}{text}"));
        let is_it = |start: &str| {
            let mut lines = line.match_indices(start);
            lines.any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        declared.iter().any(|text| is_it(text)) || used.iter().any(|text| line.contains(text))
    })
}

#[test]
fn the_core_touches_nothing() {
    let words = [
        "tokio",
        "reqwest",
        "lettre",
        "rusqlite",
        "axum",
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "fs::",
        "File::",
        "thread::",
        "SystemTime",
        "Instant",
        "Utc::now",
        "Clock::",
        "clock::Clock",
        "monotonic",
    ];
    let is_pure = |source: &&Source| source.is_in(PURE) && !source.is_in(NOT_PURE);
    assert!(product().filter(is_pure).count() > 15);
    let found = lines_with(product().filter(is_pure), Part::Code, &words);
    check("the pure part touches nothing", found);
}

#[test]
fn only_the_clock_asks_the_time() {
    let words = ["Utc::now", "Local::now", "SystemTime::now", "Instant::now"];
    let others = || SOURCES.iter().filter(|source| !source.is_in(CLOCKS));
    let found = lines_with(others(), Part::CodeWithTests, &words);
    check("time is an argument", found);
    let others = others().filter(|source| !source.is_test);
    let found = lines_with(others, Part::CodeWithTests, &["clippy::disallowed_methods"]);
    check("the ban holds", found);
    for clock in CLOCKS {
        assert!(!file(clock).lines_with(Part::Code, &words).is_empty());
    }
}

#[test]
fn sql_stays_in_the_store() {
    let words = [
        "SELECT ",
        "INSERT INTO",
        "UPDATE rows",
        "UPDATE heads",
        "DELETE FROM",
        "CREATE TABLE",
        "PRAGMA ",
    ];
    let others = product().filter(|source| source.path != STORE);
    let found = lines_with(others, Part::Text, &words);
    check("SQL is in the store", found);
    let others = SOURCES.iter().filter(|source| !source.is_in(JOURNAL));
    let found = lines_with(others, Part::Code, &["rusqlite"]);
    check("only the journal knows SQLite", found);
    assert!(!file(STORE).lines_with(Part::Text, &words).is_empty());
}

#[test]
fn which_kind_a_sink_is_is_asked_by_the_policy_and_the_sinks_only() {
    let kinds = [
        "SinkKind::",
        "AnySink::File",
        "AnySink::EnvFile",
        "AnySink::Webhook",
        "AnySink::Command",
        "AnySink::AuthConfig",
        "AnySink::Template",
    ];
    let others = product().filter(|source| !source.is_in(SINK_KINDS));
    let found = lines_with(others, Part::Code, &kinds);
    check(
        "a new kind of sink changes nothing but policy and sink",
        found,
    );
    let home = file(SINK_KINDS_HOME).lines_with(Part::Code, &kinds);
    assert!(!home.is_empty(), "kinds are asked under another name");
}

#[test]
fn nothing_prints_by_a_macro_and_only_main_exits() {
    let words = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];
    // They panic where stdout or stderr is closed; what is said goes through `console::output`.
    let found = lines_with(product(), Part::Code, &words);
    check(
        "a message is logged, returned or given to the console",
        found,
    );
    let exits = ["process::exit", "process::abort"];
    let others = SOURCES.iter().filter(|source| !source.is_in(EXITS));
    check("main returns", lines_with(others, Part::Code, &exits));
    let idle = EXITS.iter().map(|path| file(path));
    let idle = idle.filter(|source| source.lines_with(Part::Code, &exits).is_empty());
    check(
        "a listed file exits",
        idle.map(|source| source.path.clone()),
    );
}

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    let paths = |rule: &str, is_broken: &dyn Fn(&Source) -> bool| {
        let broken = SOURCES.iter().filter(|source| is_broken(source));
        check(rule, broken.map(|source| source.path.clone()));
    };
    let is_mute = |text: &str| !text.trim().is_empty() && !text.starts_with("//! ");
    paths("a file begins with `//!`", &|source| is_mute(&source.text));
    let is_long = |text: &str| text.lines().count() > 800;
    paths("a file has 800 lines at most", &|source| {
        is_long(&source.text)
    });
    paths("`foo.rs` beside `foo/`", &|source| {
        source.path.ends_with("mod.rs")
    });
    let main = file("src/main.rs").text.lines().count();
    assert!(main < 60, "main.rs reads aloud");
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let words = ["[allow(", "[cfg_attr(test, allow", "unsafe {", "unsafe fn"];
    let found = lines_with(SOURCES.iter(), Part::CodeWithTests, &words);
    check("`#[expect(…, reason)]`", found);
}
