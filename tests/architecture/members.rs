//! The members of the workspace.

use std::collections::BTreeSet;

use super::check;
use super::sources::{crates, manifest, root};

/// Crates that `default-members` does not name, and members that do not exist. Plain `cargo test`,
/// `cargo clippy` and `cargo fmt` cover the default members only.
fn wrong_default_members(manifest: &toml::Table, crates: &[String]) -> BTreeSet<String> {
    let workspace = manifest.get("workspace");
    if crates.is_empty() && workspace.is_none() {
        return BTreeSet::new(); // a single package
    }
    let listed = workspace.and_then(|workspace| workspace.get("default-members")?.as_array());
    let listed = listed.into_iter().flatten();
    let listed = listed.map(|member| member.as_str().unwrap().to_owned());
    let mut listed: BTreeSet<String> = listed.collect();
    if listed.remove("crates/*") {
        listed.extend(crates.to_owned());
    }
    let all: BTreeSet<String> = crates.iter().cloned().chain([".".to_owned()]).collect();
    all.symmetric_difference(&listed).cloned().collect()
}

#[test]
fn default_members_name_every_crate() {
    let wrong = wrong_default_members(&manifest(root()), &crates());
    check("default-members is `.` and crates/*", wrong);
}

#[test]
fn a_crate_that_default_members_forgets_is_seen() {
    let check = |members: &str, crates: &[&str], wrong: &[&str]| {
        let manifest = format!("[workspace]\nmembers = ['crates/*']\n{members}");
        let crates: Vec<String> = crates.iter().map(|name| format!("crates/{name}")).collect();
        let found = wrong_default_members(&manifest.parse().unwrap(), &crates);
        assert_eq!(Vec::from_iter(found), wrong, "{manifest}");
    };
    check("", &["core"], &[".", "crates/core"]);
    check("default-members = ['.']", &["core"], &["crates/core"]);
    check(
        "default-members = ['.', 'crates/core']",
        &["core", "policy"],
        &["crates/policy"],
    );
    check(
        "default-members = ['.', 'crates/core', 'crates/old']",
        &["core"],
        &["crates/old"],
    );
    check("default-members = ['.', 'crates/core']", &["core"], &[]);
    check(
        "default-members = ['.', 'crates/*']",
        &["core", "policy"],
        &[],
    );

    let package = "[package]".parse().unwrap();
    assert!(wrong_default_members(&package, &[]).is_empty());
    let found = wrong_default_members(&package, &["crates/core".to_owned()]);
    assert_eq!(Vec::from_iter(found), [".", "crates/core"]);
}
