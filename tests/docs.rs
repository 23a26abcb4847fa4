//! The documentation, checked against the program: every policy in it loads, every command parses,
//! every link leads somewhere, every file that is named exists, and what it lists is complete.
//!
//! Reads Markdown line by line. What this does not see: whether a sentence is true.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ringcx_rotator::cli;

/// An account for those pieces of policy that have none.
const ACCOUNT: &str = r#"
[[account]]
name = "example"
username = "ivr-bot@example.com"
password = { credential = "example" }
platform-id = "aws80"

[[account.sink]]
name = "example"
type = "file"
path = "/srv/ivr/example.token"
"#;

/// One of the pages.
struct Page {
    path: PathBuf,
    text: String,
}

/// A fenced block.
struct Block {
    language: String,
    text: String,
    place: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page(path: &str) -> Page {
    Page {
        path: root().join(path),
        text: fs::read_to_string(root().join(path)).unwrap(),
    }
}

fn pages() -> Vec<Page> {
    let mut pages = vec![
        page("README.md"),
        page("ARCHITECTURE.md"),
        page("CONTRIBUTING.md"),
        page("CHANGELOG.md"),
        page("SECURITY.md"),
    ];
    for directory in ["docs", "docs/design"] {
        let files = fs::read_dir(root().join(directory)).unwrap();
        let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names = names.filter(|name| name.ends_with(".md"));
        pages.extend(names.map(|name| page(&format!("{directory}/{name}"))));
    }
    assert!(pages.len() >= 30);
    pages
}

impl Page {
    fn name(&self) -> String {
        self.path
            .strip_prefix(root())
            .unwrap()
            .display()
            .to_string()
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<(usize, Block)> = None;
        for (number, line) in self.text.lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), open.take()) {
                (Some(language), None) => {
                    let place = format!("{}:{}", self.name(), number + 1);
                    let block = Block {
                        language: language.trim().to_owned(),
                        text: String::new(),
                        place,
                    };
                    open = Some((line.len() - line.trim_start().len(), block));
                }
                (Some(_), Some((_, block))) => blocks.push(block),
                (None, Some((indent, mut block))) => {
                    block.text.push_str(line.get(indent..).unwrap_or_default());
                    block.text.push('\n');
                    open = Some((indent, block));
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.name());
        blocks
    }

    /// The text outside of blocks, line by line with its place.
    fn prose(&self) -> Vec<(String, &str)> {
        let mut inside = false;
        let mut lines = Vec::new();
        for (number, line) in self.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                inside = !inside;
            } else if !inside {
                lines.push((format!("{}:{}", self.name(), number + 1), line));
            }
        }
        lines
    }

    /// What stands between backticks outside of blocks.
    fn code_spans(&self) -> Vec<(String, &str)> {
        self.prose()
            .into_iter()
            .flat_map(|(place, line)| {
                line.split('`')
                    .skip(1)
                    .step_by(2)
                    .map(move |span| (place.clone(), span))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose().into_iter().filter_map(|(_, line)| {
            let title = line.trim_start_matches('#');
            (title.len() < line.len()).then_some(title)
        });
        headings.map(slug).collect()
    }
}

/// As GitHub makes one of a heading.
fn slug(title: &str) -> String {
    let kept = title
        .trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[track_caller]
fn check(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn every_policy_shown_loads_without_a_warning() {
    let blocks: Vec<Block> = pages()
        .iter()
        .flat_map(Page::blocks)
        .filter(|block| block.language == "toml")
        .collect();
    assert!(blocks.len() >= 4);
    for Block { text, place, .. } in blocks {
        let whole = if text.contains("[[account]]") {
            text
        } else {
            format!("{ACCOUNT}\n{text}")
        };
        loads(&whole, &place);
    }
}

/// Policies that a page writes with `cat`.
#[test]
fn every_policy_that_a_page_writes_loads() {
    let written: Vec<(String, String)> = pages()
        .iter()
        .flat_map(Page::blocks)
        .filter_map(|block| {
            let (_, rest) = block.text.split_once("config.toml <<'EOF'\n")?;
            Some((
                rest.split_once("\nEOF\n").unwrap().0.to_owned(),
                block.place,
            ))
        })
        .collect();
    assert!(!written.is_empty());
    written.iter().for_each(|(text, place)| loads(text, place));
}

#[track_caller]
fn loads(text: &str, place: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    fs::File::create(&path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let loaded = rotator_policy::load(&path).unwrap_or_else(|errors| {
        panic!(
            "{place}:\n{}",
            errors.render(rotator_policy::Color::Never, None)
        );
    });
    assert!(loaded.warnings.is_empty(), "{place}: {:?}", loaded.warnings);
}

#[test]
fn every_json_shown_is_json() {
    let blocks: Vec<Block> = pages()
        .iter()
        .flat_map(Page::blocks)
        .filter(|block| block.language == "json")
        .collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&block.text);
        assert!(parsed.is_ok(), "{}: {parsed:?}", block.place);
    }
}

#[test]
fn every_command_shown_can_be_typed() {
    let mut typed = 0;
    let mut broken = Vec::new();
    for page in pages() {
        let shell = page
            .blocks()
            .into_iter()
            .filter(|block| block.language == "sh");
        let lines = shell.flat_map(|block| {
            let lines: Vec<_> = logical_lines(&block.text)
                .into_iter()
                .map(|line| (block.place.clone(), line))
                .collect();
            lines
        });
        let spans = page
            .code_spans()
            .into_iter()
            .map(|(place, span)| (place, span.to_owned()));
        for (place, line) in lines.chain(spans) {
            let Some(arguments) = arguments(&line) else {
                continue;
            };
            typed += 1;
            if is_left_out(&arguments[0]) {
                continue;
            }
            if let Err(why) = parses(&arguments) {
                broken.push(format!("{place}: {line}: {why}"));
            }
        }
    }
    check("a command of the pages is one of the program's", broken);
    assert!(typed > 50, "only {typed} commands were found");
}

/// Lines as the shell takes them: continued ones joined, here-documents left out.
fn logical_lines(text: &str) -> Vec<String> {
    let (mut lines, mut inside) = (Vec::new(), false);
    for line in text.replace("\\\n", " ").lines() {
        match (inside, line) {
            (true, "EOF") => inside = false,
            (true, _) => {}
            (false, _) => {
                inside = line.contains("<<'EOF'");
                lines.push(line.to_owned());
            }
        }
    }
    lines
}

/// What our program is given in this line, if it is called in it.
fn arguments(line: &str) -> Option<Vec<String>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    // Of these it is an operand.
    let others = [
        "systemctl",
        "journalctl",
        "usermod",
        "systemd-analyze",
        "install",
    ];
    if words.iter().any(|word| others.contains(word)) {
        return None;
    }
    let begin = if words.starts_with(&["cargo", "run"]) {
        words.iter().position(|word| *word == "--")? + 1
    } else {
        let called =
            |at: &usize| words[*at] == "ringcx-rotator" && (*at == 0 || words[at - 1] != "-u");
        (0..words.len()).find(called)? + 1
    };
    let ends = |word: &&&str| !["#", "&", "|", ">", "2>", "&&", ";"].contains(*word);
    let arguments: Vec<String> = words[begin..]
        .iter()
        .take_while(ends)
        .map(|word| (*word).to_owned())
        .collect();
    (!arguments.is_empty()).then_some(arguments)
}

/// Whether this is a command of a feature that this build is without.
fn is_left_out(command: &str) -> bool {
    let present = [
        ("demo", cfg!(feature = "demo")),
        ("simulate", cfg!(feature = "simulate")),
    ];
    present.contains(&(command, false))
}

fn parses(arguments: &[String]) -> Result<(), String> {
    use clap::error::ErrorKind;
    let line = std::iter::once("ringcx-rotator").chain(arguments.iter().map(String::as_str));
    match cli::command().try_get_matches_from(line) {
        Ok(_) => Ok(()),
        Err(error)
            if [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind()) =>
        {
            Ok(())
        }
        Err(error) => Err(error.kind().to_string()),
    }
}

#[test]
fn the_page_of_the_command_line_lists_every_command_and_exit_code() {
    let listing = page("docs/cli.md");
    let listed: BTreeSet<String> = listing
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("| `ringcx-rotator "))
        .map(|rest| rest.split([' ', '`']).next().unwrap().to_owned())
        .filter(|command| !is_left_out(command))
        .collect();
    let commands = cli::command();
    let there: BTreeSet<String> = commands
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
        .map(|command| command.get_name().to_owned())
        .collect();
    assert_eq!(listed, there);

    let help = commands.get_after_help().unwrap().to_string();
    let codes = help
        .lines()
        .skip(1)
        .map(|line| line.trim().split_once(' ').unwrap());
    let codes: Vec<String> = codes.map(|(code, _)| format!("| {code} | ")).collect();
    assert_eq!(codes.len(), 5);
    check(
        "exit codes",
        codes
            .into_iter()
            .filter(|row| !listing.text.contains(row.as_str()))
            .collect(),
    );
}

#[test]
fn every_kind_of_incident_is_explained_and_no_other() {
    let kinds: BTreeSet<&str> = rotator_core::incidents::INCIDENTS
        .iter()
        .map(|info| info.kind.name())
        .collect();
    assert!(kinds.len() >= 16 && kinds.contains("token-lost"));
    let operating = page("docs/operating.md");
    let (_, incidents) = operating.text.split_once("\n## Incidents\n").unwrap();
    let explained: BTreeSet<&str> = incidents
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    assert_eq!(explained, kinds);
}

/// A link of a page, and the file or directory that it leads to.
struct Link {
    place: String,
    target: String,
    path: PathBuf,
    anchor: String,
}

impl Page {
    /// Links and pictures that lead to something in the repository.
    fn links(&self) -> Vec<Link> {
        let mut links = Vec::new();
        for (place, line) in self.prose() {
            let targets = line
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next());
            for target in targets.filter(|target| !target.starts_with("https://")) {
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                let path = if path.is_empty() {
                    self.path.clone()
                } else {
                    self.path.parent().unwrap().join(path)
                };
                links.push(Link {
                    place: place.clone(),
                    target: target.to_owned(),
                    path,
                    anchor: anchor.to_owned(),
                });
            }
        }
        links
    }
}

impl Link {
    /// Whether it leads to a file, a directory or a heading of this repository.
    fn leads_somewhere(&self) -> bool {
        let Ok(path) = self.path.canonicalize() else {
            return false;
        };
        let is_ours = path.starts_with(root().canonicalize().unwrap());
        is_ours && (self.anchor.is_empty() || self.reached().anchors().contains(&self.anchor))
    }

    /// The page that it leads to; without text, where that is a directory.
    fn reached(&self) -> Page {
        Page {
            path: self.path.clone(),
            text: fs::read_to_string(&self.path).unwrap_or_default(),
        }
    }
}

#[test]
fn every_link_within_leads_somewhere() {
    let links: Vec<Link> = pages().iter().flat_map(Page::links).collect();
    let broken = links.iter().filter(|link| !link.leads_somewhere());
    let broken = broken.map(|link| format!("{}: {}", link.place, link.target));
    check("a link leads somewhere", broken.collect());
    assert!(links.len() > 120, "only {} links were found", links.len());
}

#[test]
fn every_page_is_reached_from_the_readme() {
    let mut waiting = vec![page("README.md")];
    let mut reached = BTreeSet::new();
    while let Some(next) = waiting.pop() {
        if !reached.insert(next.path.canonicalize().unwrap()) {
            continue;
        }
        for mut link in next.links() {
            // A forge shows a directory by its README.
            if link.path.is_dir() {
                link.path.push("README.md");
            }
            if link.path.is_file() {
                waiting.push(link.reached());
            }
        }
    }
    let unreached = pages()
        .into_iter()
        // The changelog is found beside the README.
        .filter(|page| page.name() != "CHANGELOG.md")
        .filter(|page| !reached.contains(&page.path.canonicalize().unwrap()))
        .map(|page| page.name());
    check(
        "a page is linked from the README, or from one that is",
        unreached.collect(),
    );
}

/// A page that is longer than this is not read.
#[test]
fn no_page_is_longer_than_it_may_be() {
    let mut broken = Vec::new();
    let mut limited = 0;
    for page in pages() {
        let name = page.name();
        let largest = match name.as_str() {
            "ARCHITECTURE.md" => 10_000,
            "README.md" => 6_000,
            // Generated, and as long as there are invariants and tests.
            "docs/design/invariants.md" => continue,
            name if name.starts_with("docs/design/") => 3_000,
            _other => continue,
        };
        limited += 1;
        if page.text.len() > largest {
            broken.push(format!(
                "{name}: {} bytes, {largest} are allowed",
                page.text.len()
            ));
        }
    }
    check("a page says one thing, in short", broken);
    assert!(limited > 10, "only {limited} pages have a limit");
}

#[test]
fn every_file_and_test_that_is_named_exists() {
    let mut tests = String::new();
    for place in ["src", "tests", "crates"] {
        read_all(&root().join(place), &mut tests);
    }
    let (mut broken, mut named) = (Vec::new(), 0);
    for page in pages() {
        for (place, span) in page.code_spans() {
            if is_path(span) {
                named += 1;
                if !is_there(span) {
                    broken.push(format!("{place}: no file {span}"));
                }
            }
            let is_test = span.matches('_').count() >= 4
                && span.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            if is_test {
                named += 1;
                if !tests.contains(&format!("fn {span}(")) {
                    broken.push(format!("{place}: no test {span}"));
                }
            }
        }
    }
    check("what is named exists", broken);
    assert!(named > 50, "only {named} names were found");
}

/// Whether this names a file or directory of the repository.
fn is_path(span: &str) -> bool {
    let directories = [
        "crates/",
        "src/",
        "tests/",
        "config/",
        "docs/",
        "fuzz/",
        "packaging/",
        "systemd/",
    ];
    let is_plain = span
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    // "Adding a sink" has a made-up one, "Adding a command" a word for any name; what a fuzzer finds
    // is not checked in.
    let is_made_up = ["vault", "NAME", "fuzz/found", "fuzz/artifacts"];
    is_plain
        && (span.ends_with(".rs") || directories.iter().any(|start| span.starts_with(start)))
        && !is_made_up.iter().any(|part| span.contains(part))
}

/// A path is one from the root, or from the `src` of a crate. A module may be named without `.rs`.
fn is_there(span: &str) -> bool {
    let crates = fs::read_dir(root().join("crates")).unwrap();
    let crates = crates.map(|entry| entry.unwrap().path().join("src"));
    let mut bases = crates.chain([root(), root().join("src")]);
    bases.any(|base| base.join(span).exists() || base.join(format!("{span}.rs")).exists())
}

fn read_all(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_unit_agrees_with_the_program() {
    let unit = fs::read_to_string(root().join("systemd/ringcx-rotator.service")).unwrap();
    let calls = unit
        .lines()
        .filter_map(|line| line.split_once("/usr/bin/ringcx-rotator "));
    let calls: Vec<(&str, &str)> = calls.collect();
    // The minus: a 78 from there would be tried again for ever, the one of `run` is not.
    assert_eq!(
        calls,
        [
            ("ExecStartPre=-", "check"),
            ("ExecStart=", "run"),
            ("ExecReload=", "reload")
        ]
    );
    for (_, command) in calls {
        parses(&[command.to_owned()]).unwrap();
    }
    // Where the policy's defaults point.
    let policy = fs::read_to_string(root().join("config/ringcx-rotator.toml")).unwrap();
    for (setting, place) in [
        ("StateDirectory=ringcx-rotator", "/var/lib/ringcx-rotator"),
        (
            "RuntimeDirectory=ringcx-rotator",
            "/run/ringcx-rotator/control.sock",
        ),
    ] {
        assert!(unit.lines().any(|line| line == setting), "{setting}");
        assert!(policy.contains(&format!("\"{place}\"")), "{place}");
    }
    for setting in [
        "Type=notify",
        "Restart=on-failure",
        "RestartPreventExitStatus=78",
        "User=ringcx-rotator",
    ] {
        assert!(unit.lines().any(|line| line == setting), "{setting}");
    }
    let sysusers = fs::read_to_string(root().join("systemd/ringcx-rotator.sysusers")).unwrap();
    assert!(
        sysusers
            .lines()
            .any(|line| line.starts_with("u ringcx-rotator "))
    );
}

#[test]
fn commands_are_found_where_they_are_called() {
    for (line, expected) in [
        (
            "ringcx-rotator check --online  # tries it",
            Some(vec!["check", "--online"]),
        ),
        (
            "sudo -u ringcx-rotator ringcx-rotator status 2> log &",
            Some(vec!["status"]),
        ),
        ("sudo systemctl restart ringcx-rotator", None),
        (
            "cargo run --release -- demo     # shows it",
            Some(vec!["demo"]),
        ),
        ("cargo test", None),
        ("ringcx-rotator", None),
    ] {
        let expected =
            expected.map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(arguments(line), expected, "{line}");
    }
    assert!(parses(&["chekc".to_owned()]).is_err() && parses(&["--version".to_owned()]).is_ok());
    assert_eq!(slug("A token has leaked"), "a-token-has-leaked");
    assert_eq!(
        logical_lines("a \\\n  b\ncat <<'EOF'\nx\nEOF\nc"),
        ["a    b", "cat <<'EOF'", "c"]
    );
}
