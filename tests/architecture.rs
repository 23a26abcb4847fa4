//! The rules of the house, read off the sources: who may import whom, what the pure parts may not
//! touch, and the guard rails that no compiler checks. `ARCHITECTURE.md` gives the reasons.
//!
//! Sources are read as text with comments and strings taken out, not as syntax. What this does not
//! see: a path put together by a macro, or a name that is re-exported under another.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// From top to bottom. An import goes down, or to the side where [`SIDEWAYS`] says so.
const FLOORS: [&[&str]; 9] = [
    &["hostile"], // compiled for tests and for fuzzing only
    &["main"],
    &["cli", "demo", "simulate"],
    &["daemon"],
    &["driver"],
    &["plan", "alert"],
    &["account"],
    &["policy", "sink", "ringcx", "journal"],
    &["event", "secret", "child", "clock", "template", "effect"],
];

/// Who may import a neighbour on the same floor.
const SIDEWAYS: [(&str, &str); 8] = [
    ("cli", "demo"),     // the command line starts it
    ("cli", "simulate"), // the command line starts it
    ("demo", "cli"),     // exit codes and colours
    ("demo", "simulate"),
    ("alert", "plan"), // what is overdue is what the plan says is due
    ("sink", "policy"),
    ("sink", "ringcx"), // one kind of sink is inside RingCX, and Retry-After is the same to all
    ("ringcx", "policy"),
];

/// Imports that the floors would allow and that would still be wrong.
const FORBIDDEN: [(&str, &str); 6] = [
    ("simulate", "daemon"), // the stand-in is a server of its own: it must not share the client's mistakes
    ("simulate", "driver"),
    ("simulate", "ringcx"),
    ("simulate", "plan"),
    ("simulate", "account"),
    ("plan", "journal"), // the plan is handed a state, it does not fetch one
];

/// Also to the side: `event` names fingerprints, a secret may be another program's output, and that
/// takes time.
const AT_THE_BOTTOM: [(&str, &str); 6] = [
    ("event", "secret"),
    ("secret", "child"),
    ("child", "clock"),
    ("child", "effect"),
    ("template", "event"),
    ("template", "secret"),
];

/// A source file below `src/`.
struct Source {
    /// Relative to `src/`, with slashes.
    path: String,
    text: String,
    /// Without comments, strings, characters and what is compiled for tests only.
    code: String,
    /// Whether the whole file is compiled for tests only.
    is_test: bool,
}

impl Source {
    /// The module at the crate's root that it belongs to.
    fn root(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    /// How many `super::` lead to the crate's root.
    fn depth(&self) -> usize {
        if self.path == "lib.rs" || self.path == "main.rs" {
            0
        } else {
            self.path.split('/').count()
        }
    }

    fn is_below(&self, places: &[&str]) -> bool {
        places
            .iter()
            .any(|place| self.path == *place || self.path.starts_with(&format!("{place}/")))
    }
}

/// Every source file, read once.
static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(read_sources);

fn read_sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let mut sources: Vec<Source> = paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let path = path
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let code = without_tests(&bare(&text));
            let is_test = path
                .split('/')
                .any(|part| part == "tests" || part == "tests.rs");
            Source {
                path,
                text,
                code,
                is_test,
            }
        })
        .collect();
    let declared: BTreeSet<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        source.is_test |= declared.contains(&source.path);
    }
    assert!(
        sources.len() > 100,
        "only {} sources were found",
        sources.len()
    );
    sources
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// The files of `#[cfg(test)] mod name;`.
fn test_modules(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs");
    let directory = if source.depth() == 0 {
        String::new()
    } else {
        format!("{stem}/")
    };
    let text = bare(&source.text);
    let rests = text.split("#[cfg(test)]").skip(1).map(str::trim_start);
    let names = rests.filter_map(|rest| {
        let (_, rest) = rest
            .split_once("mod ")
            .filter(|(before, _)| before.len() < "pub(crate) ".len())?;
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        rest[end..]
            .trim_start()
            .starts_with(';')
            .then(|| &rest[..end])
    });
    names.map(|name| format!("{directory}{name}.rs")).collect()
}

/// The text without comments and without what is in quotes.
fn bare(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(end) = raw_string(rest).filter(|_| !continues_a_name(&out)) {
            end
        } else if rest.starts_with('"') {
            quoted(rest, '"')
        } else if let Some(end) = character(rest) {
            end
        } else {
            let char = rest.chars().next().unwrap();
            out.push(char);
            at += char.len_utf8();
            continue;
        };
        // Lines stay where they were.
        out.extend(rest[..end].chars().filter(|c| *c == '\n'));
        out.push(' ');
        at += end;
    }
    out
}

fn continues_a_name(out: &str) -> bool {
    out.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().unwrap().len_utf8();
        }
    }
    at
}

fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.bytes().take_while(|byte| *byte == b'#').count();
    let body = after[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let begin = rest.len() - body.len();
    Some(
        body.find(&close)
            .map_or(rest.len(), |end| begin + end + close.len()),
    )
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, char)) = chars.next() {
        if char == '\\' {
            chars.next();
        } else if char == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// `'x'` and `'\n'`, but not the lifetime `'a`.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.strip_prefix('\'')?.chars();
    match (chars.next()?, chars.next()?) {
        ('\\', _) => Some(quoted(rest, '\'')),
        (char, '\'') => Some(2 + char.len_utf8()),
        _ => None,
    }
}

/// Bare text without the items under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut parts = code.split("#[cfg(test)]");
    let mut out = parts.next().unwrap().to_owned();
    parts.for_each(|part| out.push_str(&part[item(part)..]));
    out
}

/// Where the first item of this text ends: at its `;`, or at the brace that closes it.
fn item(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, char) in text.char_indices() {
        match char {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The modules at the crate's root that this code names.
fn imports(code: &str, depth: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut ups = vec!["crate::".to_owned(), "ringcx_rotator::".to_owned()];
    if depth > 0 {
        ups.push("super::".repeat(depth));
    }
    for up in ups {
        for (at, _) in code.match_indices(&up) {
            let before = &code[..at];
            if continues_a_name(before) || before.ends_with("::") {
                continue;
            }
            found.extend(first_names(code[at + up.len()..].trim_start()));
        }
    }
    found
}

/// `plan` of `plan::Step`; `plan` and `event` of `{plan::Step, event::{A, B}}`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let (mut depth, mut names, mut begin) = (0, vec![name(group.trim_start())], 0);
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begin = at + 1,
            _ => continue,
        }
        if begin == at + 1 {
            names.push(name(group[begin..].trim_start()));
        }
    }
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Whether `from` may import `to`, both modules at the crate's root.
fn may_import(from: &str, to: &str) -> bool {
    let (Some(above), Some(below)) = (floor(from), floor(to)) else {
        return false;
    };
    let pair = (from, to);
    let aside = SIDEWAYS.contains(&pair) || AT_THE_BOTTOM.contains(&pair);
    from == to || aside || (above < below && !FORBIDDEN.contains(&pair))
}

#[track_caller]
fn check(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// The lines of this code that have one of these words in them.
fn lines_with(source: &Source, code: &str, words: &[&str]) -> Vec<String> {
    let hit = |line: &str| words.iter().any(|word| has_word(line, word));
    let lines = code.lines().enumerate().filter(|(_, line)| hit(line));
    lines
        .map(|(number, line)| format!("src/{}:{}: {}", source.path, number + 1, line.trim()))
        .collect()
}

fn has_word(line: &str, word: &str) -> bool {
    let starts_with_name = word.starts_with(|c: char| c.is_alphanumeric());
    line.match_indices(word)
        .any(|(at, _)| !starts_with_name || !continues_a_name(&line[..at]))
}

#[test]
fn no_import_runs_up() {
    let modules: BTreeSet<&str> = SOURCES
        .iter()
        .map(Source::root)
        .filter(|root| *root != "lib")
        .collect();
    let homeless = modules.iter().filter(|module| floor(module).is_none());
    check(
        "each module has a floor",
        homeless.map(|module| format!("src/{module}.rs")).collect(),
    );

    let mut broken = Vec::new();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in SOURCES
        .iter()
        .filter(|source| !source.is_test && source.path != "lib.rs")
    {
        for import in imports(&source.code, source.depth()) {
            // Other names of the root are macros and the crate's own items: there are none.
            if modules.contains(import.as_str()) {
                if !may_import(source.root(), &import) {
                    broken.push(format!("src/{} imports {import}", source.path));
                }
                seen.entry(source.root().to_owned())
                    .or_default()
                    .insert(import);
            }
        }
    }
    check("an import goes down", broken);
    // That they are found at all.
    assert!(
        seen["driver"].is_superset(
            &["plan", "sink", "ringcx", "journal"]
                .map(str::to_owned)
                .into()
        )
    );
    assert!(seen["main"].contains("cli"));
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
    let core = [
        "plan.rs",
        "plan",
        "account.rs",
        "account",
        "alert.rs",
        "alert",
    ];
    let spared = ["alert/email.rs", "alert/email"]; // it is the mailer
    let core = |it: &&Source| it.is_below(&core) && !it.is_below(&spared) && !it.is_test;
    assert!(SOURCES.iter().filter(core).count() > 15);
    let broken = SOURCES
        .iter()
        .filter(core)
        .flat_map(|it| lines_with(it, &it.code, &words))
        .collect();
    check("plan, account and alert are pure", broken);
}

#[test]
fn only_the_clock_asks_the_time() {
    let words = ["Utc::now", "Local::now", "SystemTime::now", "Instant::now"];
    let others = |it: &&Source| it.path != "clock.rs";
    let asked = SOURCES
        .iter()
        .filter(others)
        .flat_map(|it| lines_with(it, &bare(&it.text), &words));
    check("time is an argument", asked.collect());
    let lint = ["clippy::disallowed_methods"];
    let lifted = SOURCES.iter().filter(others).filter(|it| !it.is_test);
    check(
        "the ban holds",
        lifted
            .flat_map(|it| lines_with(it, &bare(&it.text), &lint))
            .collect(),
    );
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
    let others = SOURCES
        .iter()
        .filter(|it| !it.is_test && it.path != "journal/sqlite/store.rs");
    check(
        "SQL is in journal/sqlite/store.rs",
        others
            .flat_map(|it| lines_with(it, &it.text, &words))
            .collect(),
    );
    let others = SOURCES
        .iter()
        .filter(|it| !it.is_below(&["journal.rs", "journal"]));
    check(
        "only the journal knows SQLite",
        others
            .flat_map(|it| lines_with(it, &it.code, &["rusqlite"]))
            .collect(),
    );
    let store = SOURCES
        .iter()
        .find(|it| it.path == "journal/sqlite/store.rs")
        .unwrap();
    assert!(!lines_with(store, &store.text, &words).is_empty());
}

#[test]
fn which_kind_a_sink_is_is_asked_by_the_policy_and_the_sinks_only() {
    let elsewhere = |source: &&Source| {
        !source.is_test && !source.is_below(&["policy", "policy.rs", "sink", "sink.rs"])
    };
    let kinds = [
        "SinkKind::",
        "AnySink::File",
        "AnySink::EnvFile",
        "AnySink::Webhook",
        "AnySink::Command",
    ];
    let broken = SOURCES
        .iter()
        .filter(elsewhere)
        .flat_map(|it| lines_with(it, &it.code, &kinds))
        .collect();
    check(
        "a new kind of sink changes nothing but policy and sink: ask it, see policy/kind.rs",
        broken,
    );
    let policy = SOURCES
        .iter()
        .find(|it| it.path == "policy/kind.rs")
        .unwrap();
    assert!(
        !lines_with(policy, &policy.code, &kinds).is_empty(),
        "it is looked for under another name"
    );
}

#[test]
fn only_commands_speak_and_exit() {
    let words = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];
    let others = SOURCES
        .iter()
        .filter(|it| !it.is_test && !it.is_below(&["cli.rs", "cli", "demo.rs", "demo"]));
    check(
        "what is said is logged or returned",
        others
            .flat_map(|it| lines_with(it, &it.code, &words))
            .collect(),
    );
    // A second signal ends at once; a reader of a pipe had enough; a panic ends the daemon; a test
    // kills it.
    let exits = [
        "effect.rs",
        "daemon/signals.rs",
        "cli/output.rs",
        "cli/run.rs",
    ];
    let others = SOURCES
        .iter()
        .filter(|it| !exits.contains(&it.path.as_str()));
    check(
        "main returns",
        others
            .flat_map(|it| lines_with(it, &it.code, &["process::exit", "process::abort"]))
            .collect(),
    );
}

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    let mute = SOURCES
        .iter()
        .filter(|it| !it.text.trim().is_empty() && !it.text.starts_with("//! "));
    check(
        "a file begins with `//!`",
        mute.map(|it| format!("src/{}", it.path)).collect(),
    );
    let long = SOURCES.iter().filter(|it| it.text.lines().count() > 800);
    check(
        "a file has 800 lines at most",
        long.map(|it| format!("src/{}", it.path)).collect(),
    );
    let named = SOURCES.iter().filter(|it| it.path.ends_with("mod.rs"));
    check(
        "`foo.rs` beside `foo/`",
        named.map(|it| format!("src/{}", it.path)).collect(),
    );
    let main = SOURCES.iter().find(|it| it.path == "main.rs").unwrap();
    assert!(main.text.lines().count() < 60, "main.rs reads aloud");
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let words = ["[allow(", "[cfg_attr(test, allow", "unsafe {", "unsafe fn"];
    check(
        "`#[expect(…, reason)]`",
        SOURCES
            .iter()
            .flat_map(|it| lines_with(it, &bare(&it.text), &words))
            .collect(),
    );
}

#[test]
fn what_is_to_be_seen_is_seen() {
    let sample = r##"
        //! crate::daemon is only spoken of
        use crate::{plan::{self, Step}, event};
        use super::super::driver::Access;
        /* crate::cli /* nested */ crate::cli */
        const TEXT: &str = "crate::alert \" crate::alert";
        const RAW: &str = r#"crate::demo " crate::demo"#;
        fn quote<'a>(c: char) -> bool { c == '"' && crate::sink::is('\'') }
        #[cfg(test)]
        mod tests { use crate::simulate::{Fault}; fn f() { {} } }
        fn after() { my_crate::journal(); }
    "##;
    let found = imports(&without_tests(&bare(sample)), 2);
    let expected = ["driver", "event", "plan", "sink"].map(str::to_owned);
    assert_eq!(found, expected.into());
    let upwards = [
        ("plan", "driver"),
        ("sink", "plan"),
        ("event", "account"),
        ("ringcx", "sink"),
        ("journal", "policy"),
    ];
    assert!(upwards.iter().all(|(from, to)| !may_import(from, to)));
    assert!(
        may_import("driver", "sink") && may_import("alert", "plan") && !may_import("plan", "alert")
    );
    assert!(has_word("let at = Utc::now();", "Utc::now") && !has_word("MyUtc::now()", "Utc::now"));
}

#[test]
fn the_tree_has_only_licences_and_crates_that_deny_toml_lets_in() {
    let deny: toml::Table =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml"))
            .unwrap()
            .parse()
            .unwrap();
    let texts = |value: &toml::Value| -> BTreeSet<String> {
        let name = |it: &toml::Value| it.get("crate").unwrap_or(it).as_str().unwrap().to_owned();
        value.as_array().unwrap().iter().map(name).collect()
    };
    let (allowed, banned) = (
        texts(&deny["licenses"]["allow"]),
        texts(&deny["bans"]["deny"]),
    );
    // What a build for this machine compiles; everything of it is at hand, so the network is not
    // needed.
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal,build,dev",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}|{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| line.split_once('|'))
        .map(|(package, licence)| (package, licence.trim_end_matches(" (*)")))
        .collect();
    assert!(
        crates.len() > 150,
        "only {} crates were found",
        crates.len()
    );
    let unfit = crates
        .iter()
        .filter(|(_, licence)| !is_allowed(licence, &allowed));
    check(
        "every licence is allowed",
        unfit
            .map(|(package, licence)| format!("{package}: {licence}"))
            .collect(),
    );
    let name = |package: &str| package.split(' ').next().unwrap_or_default().to_owned();
    let unwanted = crates
        .iter()
        .filter(|(package, _)| banned.contains(&name(package)));
    check(
        "no banned crate",
        unwanted.map(|(package, _)| (*package).to_owned()).collect(),
    );
}

#[test]
fn licences_are_read_as_they_are_meant() {
    let allowed: BTreeSet<String> = ["MIT", "ISC"].map(str::to_owned).into();
    for (licence, fits) in [
        ("MIT", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("(GPL-3.0 OR MIT) AND Zlib", false),
        ("MIT WITH exception", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(licence, &allowed), fits, "{licence}");
    }
}

/// An SPDX expression, also in the old form with a slash.
fn is_allowed(licence: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = licence
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    either(&mut words, allowed) && words.is_empty()
}

fn either(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> bool {
    let mut fits = both(words, allowed);
    while words.pop_if(|word| *word == "OR").is_some() {
        fits |= both(words, allowed);
    }
    fits
}

fn both(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> bool {
    let mut fits = one(words, allowed);
    while words.pop_if(|word| *word == "AND").is_some() {
        fits &= one(words, allowed);
    }
    fits
}

fn one(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> bool {
    match words.pop() {
        Some("(") => {
            let fits = either(words, allowed);
            words.pop_if(|word| *word == ")").is_some() && fits
        }
        Some(name) if words.pop_if(|word| *word == "WITH").is_some() => {
            let exception = words.pop().unwrap_or_default();
            allowed.contains(&format!("{name} WITH {exception}"))
        }
        Some(name) => allowed.contains(name),
        None => false,
    }
}
