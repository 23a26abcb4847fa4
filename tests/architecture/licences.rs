//! Licences of dependencies, by the rules of `deny.toml`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use spdx::{Expression, ParseMode};

use super::check;
use super::sources::root;

/// Whether one alternative of this licence expression is allowed. The old form with a slash is
/// accepted; names that SPDX does not list are not.
fn is_allowed(licence: &str, allowed: &BTreeSet<String>) -> bool {
    let mode = ParseMode {
        allow_slash_as_or_operator: true,
        allow_deprecated: true,
        ..ParseMode::STRICT
    };
    let Ok(expression) = Expression::parse_mode(licence, mode) else {
        return false;
    };
    expression.evaluate(|required| allowed.contains(&required.to_string()))
}

/// The names in a list of `deny.toml`, in which an entry is a name or a table with `crate`.
fn names(list: &toml::Value) -> BTreeSet<String> {
    let name = |entry: &toml::Value| {
        let name = entry.get("crate").unwrap_or(entry);
        name.as_str().unwrap().to_owned()
    };
    list.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn the_tree_has_only_licences_and_crates_that_deny_toml_lets_in() {
    let deny = fs::read_to_string(root().join("deny.toml")).unwrap();
    let deny: toml::Table = deny.parse().unwrap();
    let (allowed, banned) = (
        names(&deny["licenses"]["allow"]),
        names(&deny["bans"]["deny"]),
    );
    // What a build for this machine compiles. It is downloaded already: no network is needed.
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--offline"])
        .args([
            "--edges",
            "normal,build,dev",
            "--prefix",
            "none",
            "--format",
            "{p}|{l}",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates = tree.lines().filter_map(|line| line.split_once('|'));
    let crates = crates.map(|(package, licence)| (package, licence.trim_end_matches(" (*)")));
    let crates: BTreeSet<(&str, &str)> = crates.collect();
    assert!(
        crates.len() > 150,
        "only {} crates were found",
        crates.len()
    );
    let unfit = crates
        .iter()
        .filter(|(_, licence)| !is_allowed(licence, &allowed));
    let unfit = unfit.map(|(package, licence)| format!("{package}: {licence}"));
    check("every licence is allowed", unfit);
    let name = |package: &str| package.split(' ').next().unwrap_or_default().to_owned();
    let unwanted = crates
        .iter()
        .filter(|(package, _)| banned.contains(&name(package)));
    check(
        "no banned crate",
        unwanted.map(|(package, _)| (*package).to_owned()),
    );
}

#[test]
fn licences_are_read_as_they_are_meant() {
    let allowed: BTreeSet<String> = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]
        .map(str::to_owned)
        .into();
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
