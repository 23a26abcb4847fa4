//! The corpora, and generated input, held against every property.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::TARGETS;

pub(crate) mod env_file;
mod generated;

/// The seeds and findings of one target, by path. They are in the repository, not in the package.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = root().join("corpus").join(target);
    let files = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

#[test]
fn every_seed_keeps_its_promise() {
    for (name, property) in TARGETS {
        let seeds = corpus(name);
        assert!(seeds.len() >= 5, "{name} has {} seeds", seeds.len());
        for (path, bytes) in seeds {
            // So that the failure says whose it is.
            let held = std::panic::catch_unwind(|| property(&bytes));
            assert!(held.is_ok(), "{}", path.display());
        }
    }
}

#[test]
fn every_property_has_a_fuzz_target_and_no_other_is_there() {
    let names = |directory: &str| -> Vec<String> {
        let files = std::fs::read_dir(root().join(directory)).unwrap();
        let name = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut names: Vec<String> = files.map(|file| name(file.unwrap().path())).collect();
        names.sort();
        names
    };
    let mut properties: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    properties.sort();
    assert_eq!(names("fuzz_targets"), properties);
    assert_eq!(names("corpus"), properties);
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let binaries = manifest["bin"].as_array().unwrap().iter();
    let mut binaries: Vec<&str> = binaries.map(|it| it["name"].as_str().unwrap()).collect();
    binaries.sort_unstable();
    assert_eq!(binaries, properties);
}

/// A seed with pieces put in and taken out, of this target's words and of the seeds themselves.
fn mutated(seeds: Vec<Vec<u8>>, words: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let edit = (
        any::<prop::sample::Index>(),
        prop::sample::select(words),
        0..12_usize,
    );
    (
        prop::sample::select(seeds),
        prop::collection::vec(edit, 0..5),
    )
        .prop_map(|(mut bytes, edits)| {
            for (at, word, removed) in edits {
                let at = at.index(bytes.len() + 1);
                let end = (at + removed).min(bytes.len());
                bytes.splice(at..end, word.iter().copied());
            }
            bytes
        })
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(count)
    }
}
