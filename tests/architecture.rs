//! Rules about the sources of all packages that no compiler checks: which module may import which, what the
//! pure parts may not touch, and limits on size and naming. `ARCHITECTURE.md` gives the reasons;
//! `tests/architecture/tables.rs` lists layers, places and known exceptions.
//!
//! Sources are parsed as syntax. Not seen are names that a macro assembles, and paths in strings.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::LazyLock;

#[path = "architecture/licences.rs"]
mod licences;
#[path = "architecture/names.rs"]
mod names;
#[path = "architecture/sources.rs"]
mod sources;
#[path = "architecture/syntax.rs"]
mod syntax;
#[path = "architecture/tables.rs"]
mod tables;

use licences::is_allowed;
use names::{Arrow, arrows, cycles};
use sources::{SOURCES, Source, crates, has_word, manifest, product, root};
use tables::{LAYERS, Layers};

/// What the modules of all packages name of each other, outside tests.
static ARROWS: LazyLock<Vec<Arrow>> = LazyLock::new(|| arrows(product()));

/// Lines of a function, from `fn` to the closing brace.
const LONGEST_FUNCTION: usize = 60;

#[track_caller]
fn check(rule: &str, broken: impl IntoIterator<Item = String>) {
    let broken: Vec<String> = broken.into_iter().collect();
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// Known exceptions: fails for a new one, and for a listed one that is no longer needed.
#[track_caller]
fn check_list(rule: &str, listed: &[&str], found: &BTreeSet<String>) {
    let listed: BTreeSet<String> = listed.iter().map(|entry| (*entry).to_owned()).collect();
    let new = found.difference(&listed).map(|entry| format!("not allowed: \"{entry}\""));
    let gone = listed
        .difference(found)
        .map(|entry| format!("no longer needed, remove it from the list: \"{entry}\""));
    check(rule, new.chain(gone));
}

impl Layers {
    fn of(library: &str) -> Option<&'static Self> {
        LAYERS.iter().find(|layers| layers.library == library)
    }

    fn floor(&self, module: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor.contains(&module))
    }

    /// Whether `from` may import `to`, both modules at the crate's root.
    fn may_import(&self, from: &str, to: &str) -> bool {
        let (Some(above), Some(below)) = (self.floor(from), self.floor(to)) else { return false };
        let pair = (from, to);
        let aside = self.sideways.contains(&pair);
        from == to || aside || (above < below && !self.forbidden.contains(&pair))
    }

    /// Whether it may use something of this module, which is in another library.
    fn may_use(&self, module: &[String]) -> bool {
        let path = module.join("::");
        self.uses.iter().any(|used| path == *used || path.starts_with(&format!("{used}::")))
    }
}

fn is_allowed_arrow(Arrow { from, to, .. }: &Arrow) -> bool {
    let Some(layers) = Layers::of(&from[0]) else { return false };
    match (from.get(1), to.get(1)) {
        _ if from[0] != to[0] => layers.may_use(to),
        (Some(from), Some(to)) => layers.may_import(from, to),
        // The root itself: it has modules and nothing else.
        _ => true,
    }
}

#[test]
fn no_import_runs_up() {
    let modules: BTreeSet<&[String]> = SOURCES.iter().filter_map(|source| source.module.get(..2)).collect();
    let floor = |module: &[String]| Layers::of(&module[0])?.floor(&module[1]);
    let missing = modules.iter().filter(|module| floor(module).is_none());
    check("each module has a floor", missing.map(|module| module.join("::")));
    let floors = LAYERS.iter().flat_map(|layers| {
        layers.floors.concat().into_iter().map(|module| [layers.library, module].map(str::to_owned))
    });
    let stale = floors.filter(|module| !modules.contains(&module[..]));
    check("each module on a floor exists", stale.map(|module| module.join("::")));

    let broken = ARROWS.iter().filter(|arrow| !is_allowed_arrow(arrow));
    check(
        "an import goes down",
        broken.map(|arrow| format!("{} imports {}", arrow.place, arrow.to.join("::"))),
    );
    // Without these the search for imports would be broken.
    for layers in LAYERS {
        let is_found = |(from, to): &&(&str, &str)| {
            let [from, to] = [from, to].map(|name| [layers.library, name].map(str::to_owned));
            ARROWS.iter().any(|arrow| arrow.from.starts_with(&from) && arrow.to.starts_with(&to))
        };
        let lost = layers.known.iter().filter(|pair| !is_found(pair));
        check("imports are found", lost.map(|pair| format!("{pair:?}")));
    }
}

#[test]
fn no_cycles_between_modules() {
    let found = cycles(&ARROWS);
    for (cycle, by) in &found {
        println!("{cycle}\n  {}", by.join("\n  "));
    }
    let listed: Vec<&str> = tables::CYCLES.iter().map(|(cycle, _)| *cycle).collect();
    check_list("sibling modules do not import each other", &listed, &found.into_keys().collect());
}

#[test]
fn sinks_and_clients_do_not_use_the_plan() {
    let place = |module: &[String]| module[1..].join("::");
    let is_in = |module: &[String], name: &str| {
        place(module) == name || place(module).starts_with(&format!("{name}::"))
    };
    for name in tables::WITHOUT_THE_PLAN.iter().chain([&tables::PLAN]) {
        assert!(SOURCES.iter().any(|source| is_in(&source.module, name)), "there is no {name}");
    }
    let broken = ARROWS.iter().filter(|arrow| {
        let is_listed = tables::WITHOUT_THE_PLAN.iter().any(|name| is_in(&arrow.from, name));
        is_listed && is_in(&arrow.to, tables::PLAN)
    });
    check("these modules do not import the plan", broken.map(|arrow| arrow.place.clone()));
}

#[test]
fn no_type_name_is_declared_twice() {
    let mut declared: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in product() {
        for found in &source.syntax.types {
            declared.entry(&found.name).or_default().push(format!("{}:{}", source.path, found.line));
        }
    }
    declared.retain(|_, places| places.len() > 1);
    for (name, places) in &declared {
        println!("{name}: {}", places.join(", "));
    }
    let found = declared.iter().map(|(name, places)| format!("{name} {}", places.len())).collect();
    check_list("a type name is declared once", tables::REPEATED_TYPES, &found);
}

#[test]
fn functions_have_sixty_lines_at_most() {
    let long = product().flat_map(|source| {
        let functions = source.syntax.functions.iter();
        let long = functions.filter(|function| function.lines > LONGEST_FUNCTION);
        long.map(|function| format!("{} {} {}", source.path, function.name, function.lines))
    });
    check_list("a function has 60 lines at most", tables::LONG_FUNCTIONS, &long.collect());
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
    let pure = || product().filter(|source| source.is_in(tables::PURE) && !source.is_in(tables::NOT_PURE));
    assert!(pure().count() > 15);
    let broken = pure().flat_map(|source| source.lines_with(&source.syntax.code, &words));
    check("the pure part touches nothing", broken);
}

#[test]
fn only_the_clock_asks_the_time() {
    let words = ["Utc::now", "Local::now", "SystemTime::now", "Instant::now"];
    let others = || SOURCES.iter().filter(|source| source.path != tables::CLOCK);
    let asked = others().flat_map(|source| source.lines_with(&source.syntax.all_code, &words));
    check("time is an argument", asked);
    let lint = ["clippy::disallowed_methods"];
    let lifted = others().filter(|source| !source.is_test);
    check("the ban holds", lifted.flat_map(|source| source.lines_with(&source.syntax.all_code, &lint)));
    let clock = SOURCES.iter().find(|source| source.path == tables::CLOCK).unwrap();
    assert!(!clock.lines_with(&clock.syntax.all_code, &words).is_empty());
}

#[test]
fn sql_stays_in_the_store() {
    let words =
        ["SELECT ", "INSERT INTO", "UPDATE rows", "UPDATE heads", "DELETE FROM", "CREATE TABLE", "PRAGMA "];
    let others = product().filter(|source| source.path != tables::STORE);
    check("SQL is in the store", others.flat_map(|source| source.lines_with(&source.text, &words)));
    let others = SOURCES.iter().filter(|source| !source.is_in(tables::JOURNAL));
    check(
        "only the journal knows SQLite",
        others.flat_map(|source| source.lines_with(&source.syntax.all_code, &["rusqlite"])),
    );
    let store = SOURCES.iter().find(|source| source.path == tables::STORE).unwrap();
    assert!(!store.lines_with(&store.text, &words).is_empty());
}

#[test]
fn which_kind_a_sink_is_is_asked_by_the_policy_and_the_sinks_only() {
    let kinds = ["SinkKind::", "AnySink::File", "AnySink::EnvFile", "AnySink::Webhook", "AnySink::Command"];
    let elsewhere = product().filter(|source| !source.is_in(tables::SINK_KINDS));
    let broken = elsewhere.flat_map(|source| source.lines_with(&source.syntax.code, &kinds));
    check("a new kind of sink changes nothing but policy and sink: ask the kind itself", broken);
    let home = SOURCES.iter().find(|source| source.path == tables::SINK_KINDS_HOME).unwrap();
    let asked = home.lines_with(&home.syntax.code, &kinds);
    assert!(!asked.is_empty(), "it is looked for under another name");
}

#[test]
fn only_commands_speak_and_exit() {
    let words = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];
    let others = product().filter(|source| !source.is_in(tables::SPEAKERS));
    let speaking = others.flat_map(|source| source.lines_with(&source.syntax.code, &words));
    check("what is said is logged or returned", speaking);
    let others = SOURCES.iter().filter(|source| !tables::EXITS.contains(&source.path.as_str()));
    let exits = ["process::exit", "process::abort"];
    check("main returns", others.flat_map(|source| source.lines_with(&source.syntax.code, &exits)));
}

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    let paths = |rule: &str, found: &dyn Fn(&&Source) -> bool| {
        check(rule, SOURCES.iter().filter(found).map(|source| source.path.clone()));
    };
    paths("a file begins with `//!`", &|source| {
        !source.text.trim().is_empty() && !source.text.starts_with("//! ")
    });
    paths("a file has 800 lines at most", &|source| source.text.lines().count() > 800);
    paths("`foo.rs` beside `foo/`", &|source| source.path.ends_with("mod.rs"));
    let main = SOURCES.iter().find(|source| source.path == "src/main.rs").unwrap();
    assert!(main.text.lines().count() < 60, "main.rs reads aloud");
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let words = ["[allow(", "[cfg_attr(test, allow", "unsafe {", "unsafe fn"];
    let broken = SOURCES.iter().flat_map(|source| source.lines_with(&source.syntax.all_code, &words));
    check("`#[expect(…, reason)]`", broken);
}

/// Crates that `default-members` does not name, and members that do not exist. Plain `cargo test`, `cargo clippy`
/// and `cargo fmt` cover the default members only.
fn wrong_default_members(manifest: &toml::Table, crates: &[String]) -> BTreeSet<String> {
    if crates.is_empty() && !manifest.contains_key("workspace") {
        return BTreeSet::new(); // a single package
    }
    let listed = manifest.get("workspace").and_then(|workspace| workspace.get("default-members"));
    let listed = listed.and_then(toml::Value::as_array).into_iter().flatten();
    let mut listed: BTreeSet<String> = listed.map(|member| member.as_str().unwrap().to_owned()).collect();
    if listed.remove("crates/*") {
        listed.extend(crates.to_owned());
    }
    let all: BTreeSet<String> = crates.iter().cloned().chain([".".to_owned()]).collect();
    all.symmetric_difference(&listed).cloned().collect()
}

#[test]
fn default_members_name_every_crate() {
    check("default-members is `.` and crates/*", wrong_default_members(&manifest(root()), &crates()));

    let two = ["crates/core", "crates/policy"].map(str::to_owned);
    for (text, crates, wrong) in [
        ("", &two[..0], vec![]),
        ("", &two[..], vec![".", "crates/core", "crates/policy"]),
        ("[workspace]", &two[..0], vec!["."]),
        ("[workspace]\nmembers = ['crates/*']", &two[..1], vec![".", "crates/core"]),
        ("[workspace]\ndefault-members = ['.', 'crates/core']", &two[..], vec!["crates/policy"]),
        ("[workspace]\ndefault-members = ['.', 'crates/core', 'crates/policy']", &two[..], vec![]),
        ("[workspace]\ndefault-members = ['.', 'crates/*']", &two[..], vec![]),
        ("[workspace]\ndefault-members = ['.', 'crates/old']", &two[..0], vec!["crates/old"]),
    ] {
        let found = wrong_default_members(&text.parse().unwrap(), crates);
        assert_eq!(found, wrong.into_iter().map(str::to_owned).collect(), "{text}, {crates:?}");
    }
}

/// Sources of a library named `sample`, by their path below `src/`.
fn samples(files: &[(&str, &str)]) -> Vec<Source> {
    files.iter().map(|(path, text)| Source::new("sample", "src", path, (*text).to_owned())).collect()
}

#[test]
fn what_is_to_be_seen_is_seen() {
    let sample = r##"
        //! crate::daemon is only spoken of
        use crate::{plan::{self, Step}, event};
        use super::super::driver::Access as Way;
        /* crate::cli /* nested */ crate::cli */
        const TEXT: &str = "crate::alert \" crate::alert";
        const RAW: &str = r#"crate::demo " crate::demo"#;
        fn quote<'a>(c: char) -> bool { c == '"' && crate::sink::is('\'') }
        #[cfg(test)]
        use crate::{simulate, cli};
        #[cfg(test)]
        mod tests { use crate::simulate::{Fault}; fn f() { {} } }
        #[cfg(test)]
        mod beside;
        #[derive(Parser)]
        struct After { #[arg(value_parser = crate::policy::parse)] it: Way }
        fn after() { my_crate::journal(); println!("{}", Some(crate::clock::now())); }
    "##;
    let roots = "alert cli clock daemon demo driver event journal plan policy simulate sink secret";
    let paths: Vec<String> = roots.split(' ').map(|root| format!("{root}.rs")).collect();
    let mut files = vec![("secret/find.rs", sample)];
    files.extend(paths.iter().map(|path| (path.as_str(), "")));
    let sources = samples(&files);
    let found: BTreeSet<String> =
        arrows(sources.iter()).into_iter().map(|arrow| arrow.to[1].clone()).collect();
    assert_eq!(found, ["clock", "driver", "event", "plan", "policy", "sink"].map(str::to_owned).into());
    let syntax = &sources[0].syntax;
    assert_eq!(syntax.test_modules, ["beside"]);
    // Code stays on its line, and comments and strings are not code.
    assert_eq!(sources[0].lines_with(&syntax.code, &["sink::is"]).len(), 1);
    assert!(
        sources[0].lines_with(&syntax.code, &["sink::is"])[0].starts_with("src/secret/find.rs:8: fn quote")
    );
    let unseen = ["crate::alert", "crate::demo", "crate::cli", "crate::daemon", "simulate"];
    assert!(sources[0].lines_with(&syntax.code, &unseen).is_empty());
    assert_eq!(sources[0].lines_with(&syntax.all_code, &["simulate"]).len(), 2);

    let layers = Layers::of("ringcx_rotator").unwrap();
    let upwards = [
        ("plan", "driver"),
        ("sink", "plan"),
        ("event", "account"),
        ("ringcx", "sink"),
        ("journal", "policy"),
    ];
    assert!(upwards.iter().all(|(from, to)| !layers.may_import(from, to)));
    assert!(layers.may_import("driver", "sink") && layers.may_import("alert", "plan"));
    assert!(!layers.may_import("plan", "alert"));
    let simulator = Layers { uses: &["core::secret", "policy"], ..*layers };
    let may_use = |path: &str| simulator.may_use(&path.split("::").map(str::to_owned).collect::<Vec<_>>());
    assert!(may_use("core::secret") && may_use("core::secret::find") && may_use("policy::value"));
    assert!(!may_use("core") && !may_use("core::secrets") && !may_use("core::plan"));
    assert!(has_word("let at = Utc::now();", "Utc::now") && !has_word("MyUtc::now()", "Utc::now"));
}

#[test]
fn types_and_functions_are_counted() {
    let sources = samples(&[(
        "a.rs",
        "/// One.
        pub struct One;
        enum Two { Three }
        trait Four { type Five; fn none(); fn six() {
        } }
        type Seven = One;
        impl Four for One { type Five = u8; fn none() {} }
        fn eight() {
            struct Nine;

        }
        #[cfg(test)]
        fn ten() {}",
    )]);
    let syntax = &sources[0].syntax;
    let types: Vec<&str> = syntax.types.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(types, ["One", "Two", "Four", "Seven", "Nine"]);
    let functions: Vec<(&str, usize)> =
        syntax.functions.iter().map(|found| (found.name.as_str(), found.lines)).collect();
    assert_eq!(functions, [("six", 2), ("none", 1), ("eight", 4)]);
}

#[test]
fn a_cycle_is_found_through_re_exports_and_macros() {
    let check = |files: &[(&str, &str)], expected: &[&str]| {
        let found: Vec<String> = cycles(&arrows(samples(files).iter())).into_keys().collect();
        assert_eq!(found, expected, "{files:?}");
    };
    let two = |one: &str, other: &str, expected: &[&str]| {
        let below = [("top/a.rs", one), ("top/b.rs", other), ("top/b/deep.rs", "pub struct Deep;")];
        let above = [("top.rs", "pub use a::A; struct Top;"), ("c.rs", "pub struct C;")];
        check(&[&below[..], &above].concat(), expected);
    };
    let cycle = ["sample::top: a <-> b"];
    two("use super::b::B;", "use super::a::A;", &cycle);
    two("fn f() { super::b::f() }", "fn f() { vec![crate::top::a::A] }", &cycle);
    two("use super::b::deep::Deep;", "use crate::top::A; // a re-export", &cycle);
    two("use crate::top::{b as c}; fn f(_: c::X) {}", "use super::*; use super::a;", &cycle);
    // What looks like a path through a module and is one of a type.
    two("use super::Top; fn f() { Top::b() }", "use super::a;", &[]);
    two("use super::b; use super::Top;", "use super::Top; use crate::c::C;", &[]);
    two("use crate::c::C;", "mod inner { use super::super::a; } use self::deep::Deep;", &[]);
    check(
        &[
            ("a.rs", "use crate::b::x::B;"),
            ("b.rs", ""),
            ("b/x.rs", "use crate::c;"),
            ("c.rs", "use crate::a;"),
            ("d.rs", "use crate::a;"),
        ],
        &["sample: a <-> b <-> c"],
    );
    let crates = [
        Source::new("one", "src", "lib.rs", "use two::thing::T;".to_owned()),
        Source::new("two", "src", "thing.rs", "fn f() { one::f() }".to_owned()),
    ];
    assert_eq!(cycles(&arrows(crates.iter())).into_keys().collect::<Vec<_>>(), ["crates: one <-> two"]);
}

#[test]
#[should_panic(expected = "not allowed: \"b\"\n  no longer needed, remove it from the list: \"c\"")]
fn a_list_of_exceptions_can_only_shrink() {
    check_list("as listed", &["a", "c"], &["a", "b"].map(str::to_owned).into());
}

#[test]
fn the_tree_has_only_licences_and_crates_that_deny_toml_lets_in() {
    let deny: toml::Table = fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap();
    let texts = |value: &toml::Value| -> BTreeSet<String> {
        let name = |entry: &toml::Value| entry.get("crate").unwrap_or(entry).as_str().unwrap().to_owned();
        value.as_array().unwrap().iter().map(name).collect()
    };
    let (allowed, banned) = (texts(&deny["licenses"]["allow"]), texts(&deny["bans"]["deny"]));
    // What a build for this machine compiles; everything of it is at hand, so the network is not needed.
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--offline", "--edges", "normal,build,dev"])
        .args(["--prefix", "none", "--format", "{p}|{l}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| line.split_once('|'))
        .map(|(package, licence)| (package, licence.trim_end_matches(" (*)")))
        .collect();
    assert!(crates.len() > 150, "only {} crates were found", crates.len());
    let unfit = crates.iter().filter(|(_, licence)| !is_allowed(licence, &allowed));
    check("every licence is allowed", unfit.map(|(package, licence)| format!("{package}: {licence}")));
    let name = |package: &str| package.split(' ').next().unwrap_or_default().to_owned();
    let unwanted = crates.iter().filter(|(package, _)| banned.contains(&name(package)));
    check("no banned crate", unwanted.map(|(package, _)| (*package).to_owned()));
}

#[test]
fn licences_are_read_as_they_are_meant() {
    let allowed: BTreeSet<String> =
        ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for (licence, fits) in [
        ("MIT", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("(GPL-3.0 OR MIT) AND Zlib", false),
        ("MIT WITH exception", false),
        ("Apache-2.0", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0 OR Apache-2.0 WITH LLVM-exception", true),
        ("", false),
    ] {
        assert_eq!(is_allowed(licence, &allowed), fits, "{licence}");
    }
}
