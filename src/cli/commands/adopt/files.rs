//! Finds the tokens in files: in those of `--file`, and in those that sinks write.
//!
//! This happens in the command, with the rights of the operator who runs it. The daemon opens a
//! file that a request names only to look for a token that is adopted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::console::{Exit, Screen};
use crate::daemon::view::ForeignTokenView;
use crate::sinks::search::search;
use rotator_core::config::{AccountPolicy, Policy, SinkPolicy};
use rotator_core::secret::Fingerprint;
use rotator_core::secret::find::Wanted;

/// The tokens in each file, by its path.
type TokensByFile = BTreeMap<String, BTreeSet<Fingerprint>>;

/// One token that the daemon did not mint, and the files that hold it.
#[derive(Serialize)]
pub struct FoundToken {
    #[serde(flatten)]
    pub token: ForeignTokenView,
    pub found_in: Vec<FoundIn>,
}

/// A file that was searched and holds the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundIn {
    pub path: String,
    /// The sink of the policy that writes there, as `ACCOUNT/SINK`.
    pub sink: Option<String>,
}

/// Makes paths absolute, because the daemon has another working directory. They have to be text,
/// because the journal keeps them as text.
pub fn absolute(files: &[PathBuf], screen: &Screen) -> Result<Vec<String>, Exit> {
    let absolute = files.iter().map(|path| {
        let text = match std::path::absolute(path) {
            Ok(whole) => whole.into_os_string().into_string(),
            Err(error) => {
                screen.error(format!("{}: {error}", path.display()));
                return Err(Exit::Usage);
            }
        };
        text.map_err(|_| {
            screen.error(format!("{}: the name is not UTF-8", path.display()));
            Exit::Usage
        })
    });
    absolute.collect()
}

/// Searches all files for the tokens.
pub fn search_all(
    policy: &Policy,
    own: &AccountPolicy,
    tokens: Vec<ForeignTokenView>,
    given: &[String],
    screen: &Screen,
) -> Result<Vec<FoundToken>, Exit> {
    let wanted: Wanted = tokens
        .iter()
        .map(|token| (token.fingerprint, token.length))
        .collect();
    // The given files come first: an unreadable one is an error, and a sink's file is only left
    // out.
    let mut found = search_given(given, &wanted, screen)?;
    for (path, tokens) in search_sinks(own, &tokens, &wanted) {
        // A file that was also given has been searched already.
        found.entry(path).or_insert(tokens);
    }
    let files_with = |token: &ForeignTokenView| {
        let holding = found
            .iter()
            .filter(|(_, tokens)| tokens.contains(&token.fingerprint));
        holding
            .map(|(path, _)| FoundIn {
                path: path.clone(),
                sink: writer_of(policy, path),
            })
            .collect()
    };
    let all = tokens.into_iter().map(|token| FoundToken {
        found_in: files_with(&token),
        token,
    });
    Ok(all.collect())
}

/// A file that cannot be searched might hold any token, so it is an error; all such files are
/// named.
fn search_given(given: &[String], wanted: &Wanted, screen: &Screen) -> Result<TokensByFile, Exit> {
    let mut found = TokensByFile::new();
    let mut exit = Ok(());
    for path in given {
        match search(Path::new(path), wanted) {
            // The search takes a missing file for an empty one, as for a sink; here it is a
            // mistyped path.
            Ok(_) if !Path::new(path).exists() => {
                screen.error(format!("{path}: there is no such file"));
                exit = Err(Exit::Failing);
            }
            Ok(tokens) => drop(found.insert(path.clone(), tokens)),
            Err(error) => {
                screen.error(error);
                exit = Err(Exit::Failing);
            }
        }
    }
    exit.map(|()| found)
}

/// Searches the files of sinks that are not known to hold one of the tokens: of a file in which the
/// daemon reads only its own key, it does not know the rest. A file that this user cannot read is
/// left out.
fn search_sinks(
    own: &AccountPolicy,
    tokens: &[ForeignTokenView],
    wanted: &Wanted,
) -> Vec<(String, BTreeSet<Fingerprint>)> {
    let holds_one = |sink: &SinkPolicy| {
        tokens
            .iter()
            .any(|token| token.held_by.contains(&sink.name))
    };
    // The others are known from the daemon's own look at its sinks.
    let others = own.sinks.iter().filter(|sink| !holds_one(sink));
    let paths = others.filter_map(|sink| sink.kind.path());
    paths
        .filter_map(|path| Some((path.display().to_string(), search(path, wanted).ok()?)))
        .collect()
}

/// The sink that writes to this file, also if it names it by another path.
fn writer_of(policy: &Policy, path: &str) -> Option<String> {
    // A path that does not exist is compared as it is written.
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let wanted = real(Path::new(path));
    let writes = |sink: &&SinkPolicy| sink.kind.path().is_some_and(|path| real(path) == wanted);
    policy.accounts.iter().find_map(|account| {
        let sink = account.sinks.iter().find(writes)?;
        Some(format!("{}/{}", account.name, sink.name))
    })
}
