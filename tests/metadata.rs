//! What the project says about itself and about what it is made of: the oldest Rust that builds
//! it, licences, and where it lives. Reads manifests and texts of the checkout, and asks cargo for
//! the tree of dependencies.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

/// What cargo knows of the workspace and of all that a build for this machine compiles. Needs no
/// network.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let about = cargo(&["-vV"]);
    let host = about
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let metadata = cargo(&[
        "metadata",
        "--offline",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        host,
    ]);
    serde_json::from_str(&metadata).unwrap()
});

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn root() -> PathBuf {
    METADATA["workspace_root"].as_str().unwrap().into()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn packages() -> impl Iterator<Item = &'static Value> {
    METADATA["packages"].as_array().unwrap().iter()
}

/// The crates of this workspace.
fn ours() -> impl Iterator<Item = &'static Value> {
    packages().filter(|package| package["source"].is_null())
}

#[track_caller]
fn check(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// `1.88` and `1.88.0` are the same version.
fn version(text: &str) -> [u32; 3] {
    let mut parts = text.split('.').map(|part| part.parse().unwrap());
    [
        parts.next().unwrap(),
        parts.next().unwrap_or(0),
        parts.next().unwrap_or(0),
    ]
}

fn rust_version(package: &Value) -> Option<[u32; 3]> {
    package["rust_version"].as_str().map(version)
}

#[test]
fn no_dependency_needs_a_newer_rust_than_we_promise() {
    let promised = ours()
        .map(|package| rust_version(package).unwrap())
        .min()
        .unwrap();
    let foreign: Vec<&Value> = packages()
        .filter(|package| !package["source"].is_null())
        .collect();
    assert!(
        foreign
            .iter()
            .filter(|package| rust_version(package).is_some())
            .count()
            > 100
    );
    let newer = foreign
        .iter()
        .filter(|package| rust_version(package) > Some(promised));
    check(
        "a dependency's rust-version is not above ours",
        newer
            .map(|package| format!("{} {}", package["id"], package["rust_version"]))
            .collect(),
    );
}

#[test]
fn the_readme_names_the_rust_that_the_manifest_asks_for() {
    let promised: BTreeSet<&str> = ours()
        .map(|package| package["rust_version"].as_str().unwrap())
        .collect();
    assert_eq!(promised.len(), 1, "{promised:?}");
    let promised = promised.first().unwrap();
    assert!(
        read("README.md").contains(&format!("Rust ({promised} or newer)")),
        "README.md: {promised}"
    );
}

#[test]
fn texts_are_collected_for_just_those_licences_that_deny_toml_allows() {
    let names = |list: &toml::Value| -> BTreeSet<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    let table = |path: &str| -> toml::Table { read(path).parse().unwrap() };
    let allowed = names(&table("deny.toml")["licenses"]["allow"]);
    assert_eq!(names(&table("packaging/about.toml")["accepted"]), allowed);
}

/// `reuse lint` wants it in `LICENSES`, everything else at the root.
#[test]
fn both_copies_of_the_licence_are_the_same() {
    assert_eq!(read("LICENSE"), read("LICENSES/Apache-2.0.txt"));
}

/// They are set once, in the root manifest, when there is a place to name. Until then nothing
/// invents one.
#[test]
fn only_the_manifest_says_where_the_project_lives() {
    let homes: BTreeSet<[Option<&str>; 2]> = ours()
        .map(|package| [package["repository"].as_str(), package["homepage"].as_str()])
        .collect();
    assert_eq!(homes.len(), 1, "crates differ: {homes:?}");
    let homes: Vec<&str> = homes.into_iter().flatten().flatten().collect();
    let of_home = |address: &str| homes.iter().any(|home| address.starts_with(home));
    let texts = texts(&root());
    assert!(texts.len() > 200, "only {} files were found", texts.len());
    let mut invented = Vec::new();
    for (path, text) in texts
        .iter()
        .filter(|(path, _)| !path.ends_with("Cargo.toml"))
    {
        let addresses = text
            .match_indices("https://")
            .map(|(start, _)| word(&text[start..]));
        let ours = addresses.filter(|address| address.contains("ringcx-rotator"));
        let unknown = ours.filter(|address| !of_home(address));
        invented.extend(unknown.map(|address| format!("{}: {address}", path.display())));
    }
    check(
        "an address of the project stands in its manifest, or nowhere",
        invented,
    );
}

/// The publisher of packages says who answers for them, with `MAINTAINER`.
#[test]
fn the_placeholder_for_the_maintainer_stands_in_one_place() {
    let placeholder = concat!("@ringcx-rotator", ".");
    let files = texts(&root())
        .into_iter()
        .filter(|(_, text)| text.contains(placeholder));
    let files: Vec<String> = files.map(|(path, _)| path.display().to_string()).collect();
    assert_eq!(files, ["packaging/build.sh"]);
    assert_eq!(read("packaging/build.sh").matches(placeholder).count(), 1);
}

fn word(text: &str) -> &str {
    text.split(|c: char| c.is_whitespace() || "\"'`<>()".contains(c))
        .next()
        .unwrap_or_default()
}

/// Every text of the checkout, without what is built and what git keeps.
fn texts(root: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with(".git") && !path.ends_with("target") {
                    directories.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    found
}
