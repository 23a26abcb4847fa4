//! The sources of all packages of the workspace: `src/` and `crates/*/src/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::syntax::Syntax;

/// The names on the way down to a module: its library, then modules.
pub type Module = Vec<String>;

/// The module of this name in a module.
pub fn child(module: &[String], name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// One source file.
pub struct Source {
    /// Relative to the root of the workspace, with slashes.
    pub path: String,
    /// `src/main.rs` counts as a module of the library beside it.
    pub module: Module,
    pub text: String,
    pub syntax: Syntax,
    /// Whether the whole file is compiled for tests only.
    pub is_test: bool,
}

/// A part of a source in which words are looked for.
#[derive(Clone, Copy)]
pub enum Part {
    Text,
    /// Without comments, literals and tests.
    Code,
    /// Without comments and literals.
    CodeWithTests,
}

impl Source {
    /// Reads the text of a file below the `src` of a library.
    pub fn new(library: &str, src: &str, below_src: &str, text: String) -> Self {
        let path = format!("{src}/{below_src}");
        let syntax = Syntax::read(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let stem = below_src.trim_end_matches(".rs");
        let below = stem.split('/').filter(|_| stem != "lib");
        let module: Module = [library]
            .into_iter()
            .chain(below)
            .map(str::to_owned)
            .collect();
        let is_test = module.contains(&"tests".to_owned());
        Self {
            path,
            module,
            text,
            syntax,
            is_test,
        }
    }

    /// Whether it is one of these files, or in one of these directories, or the file beside one.
    pub fn is_in(&self, places: &[&str]) -> bool {
        let stem = self.path.trim_end_matches(".rs");
        places.iter().any(|place| {
            self.path == *place || stem == *place || self.path.starts_with(&format!("{place}/"))
        })
    }

    /// The lines of a part that contain one of these words. In code, `use std::{fs, io}` contains
    /// `std::fs`.
    pub fn lines_with(&self, part: Part, words: &[&str]) -> Vec<String> {
        let has_one = |text: &str| words.iter().any(|word| has_word(text, word));
        let (text, paths) = match part {
            Part::Text => (&self.text, [].as_slice()),
            Part::Code => (&self.syntax.code, self.syntax.paths.as_slice()),
            Part::CodeWithTests => (&self.syntax.all_code, [].as_slice()),
        };
        let paths = paths.iter().map(|path| (path.line, path.names.join("::")));
        let lines = (1..).zip(text.lines().map(str::to_owned));
        let mut found: BTreeMap<usize, String> = paths.filter(|(_, path)| has_one(path)).collect();
        found.extend(lines.filter(|(_, line)| has_one(line)));
        let place =
            |(line, text): (usize, String)| format!("{}:{line}: {}", self.path, text.trim());
        found.into_iter().map(place).collect()
    }
}

/// The lines of a part of each source that contain one of these words.
pub fn lines_with<'a>(
    sources: impl Iterator<Item = &'a Source>,
    part: Part,
    words: &[&str],
) -> Vec<String> {
    sources
        .flat_map(|source| source.lines_with(part, words))
        .collect()
}

/// Whether a line contains a word, and not as the end of a longer name.
pub fn has_word(line: &str, word: &str) -> bool {
    let continues_a_name =
        |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let starts_with_name = word.starts_with(|c: char| c.is_alphanumeric());
    line.match_indices(word)
        .any(|(at, _)| !starts_with_name || !continues_a_name(&line[..at]))
}

/// Every source file. Read once.
pub static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let sources: Vec<Source> = packages()
        .iter()
        .flat_map(|package| read_package(package))
        .collect();
    assert!(
        sources.len() > 100,
        "only {} sources were found",
        sources.len()
    );
    sources
});

/// Those that are not compiled for tests only.
pub fn product() -> impl Iterator<Item = &'static Source> + Clone {
    SOURCES.iter().filter(|source| !source.is_test)
}

/// The source at this path.
pub fn file(path: &str) -> &'static Source {
    let found = SOURCES.iter().find(|source| source.path == path);
    found.unwrap_or_else(|| panic!("there is no {path}"))
}

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The manifest in this directory.
pub fn manifest(directory: &Path) -> toml::Table {
    fs::read_to_string(directory.join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap()
}

/// The directories below `crates/`, by name and in order.
pub fn crates() -> Vec<String> {
    let Ok(entries) = fs::read_dir(root().join("crates")) else {
        return Vec::new();
    };
    let directories = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = directories
        .map(|entry| format!("crates/{}", entry.file_name().to_str().unwrap()))
        .collect();
    names.sort();
    names
}

fn packages() -> Vec<PathBuf> {
    let crates = crates().into_iter().map(|name| root().join(name));
    [root().to_owned()].into_iter().chain(crates).collect()
}

fn read_package(package: &Path) -> Vec<Source> {
    let manifest = manifest(package);
    let named = manifest.get("lib").and_then(|library| library.get("name"));
    let named = named.unwrap_or(&manifest["package"]["name"]);
    let name = named.as_str().unwrap().replace('-', "_");
    let directory = package.join("src");
    let src = slashed(&directory, root());
    let mut paths = Vec::new();
    walk(&directory, &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        Source::new(
            &name,
            &src,
            &slashed(path, &directory),
            fs::read_to_string(path).unwrap(),
        )
    };
    let mut sources: Vec<Source> = paths.iter().map(read).collect();
    let tests: BTreeSet<Module> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        source.is_test |= tests.iter().any(|test| source.module.starts_with(test));
    }
    sources
}

fn test_modules(source: &Source) -> Vec<Module> {
    source
        .syntax
        .test_modules
        .iter()
        .map(|name| child(&source.module, name))
        .collect()
}

fn slashed(path: &Path, below: &Path) -> String {
    path.strip_prefix(below)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
