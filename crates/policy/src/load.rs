//! From paths to a policy: reads the main file and those of `accounts-dir`, nothing else.
//!
//! Of the files a policy names (secrets, sinks, certificates) none is opened; whether a secret's
//! file is open to others is asked of its directory. Knows no keys: those are `policy/spec.rs`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::diagnostic::{Diagnostic, PolicyErrors};
use super::issues::{IssuePlace, Issues};
use super::source::{FileId, Span};
use super::spec::{AccountSpec, PolicySpec, read_accounts};
use super::table::{Reading, Table, read_file};
use super::validate;
use rotator_core::config::Policy;

/// Where the daemon listens unless the policy says otherwise.
pub(super) const DEFAULT_CONTROL_SOCKET: &str = "/run/ringcx-rotator/control.sock";

/// No policy file is larger: a thousand accounts take a third of it.
const LARGEST_FILE: u64 = 1024 * 1024;
/// No `accounts-dir` holds more files.
const MOST_FILES: usize = 10_000;

/// A policy, and what its operator should know about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// None of them an error.
    pub warnings: Vec<Diagnostic>,
}

/// Reads and checks the policy in this file and, if it names one, in its `accounts-dir`.
pub fn load(path: &Path) -> Result<Loaded, PolicyErrors> {
    // Only an empty path cannot be made absolute, and that is reported as missing.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut reading = Reading::default();
    let policy = read(&path, &mut reading);
    let refused = reading.issues.is_fatal();
    let diagnostics = reading.issues.into_diagnostics();
    match policy {
        Some(policy) if !refused => Ok(Loaded {
            policy,
            warnings: diagnostics,
        }),
        Some(_) | None => Err(PolicyErrors::new(path, diagnostics)),
    }
}

/// Where the daemon of this policy listens, as far as a policy that may be wrong can tell: a daemon
/// that runs with the one before it is to be reached all the same.
pub fn control_socket_of(path: &Path) -> PathBuf {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST_FILE).read_to_string(&mut text));
    let told = read
        .ok()
        .and_then(|_| text.parse::<toml::Table>().ok())
        .and_then(|table| {
            let socket = table.get("daemon")?.get("control-socket")?.as_str()?;
            Some(PathBuf::from(socket))
        });
    told.unwrap_or_else(|| DEFAULT_CONTROL_SOCKET.into())
}

/// The policy, if it can be told at all. What it means when faults were recorded is nothing.
pub(super) fn read(path: &Path, reading: &mut Reading) -> Option<Policy> {
    let missing = "name the policy with --config or RINGCX_ROTATOR_CONFIG";
    let main = open(path, missing, &mut reading.issues)?;
    let spec = parse(main, "the policy", reading, PolicySpec::read)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let more = match &spec.daemon.accounts_dir {
        Some(at) => read_directory(&directory.join(&at.value), at.span, reading),
        None => Vec::new(),
    };
    if spec.accounts.is_empty() && more.is_empty() {
        let help = "add an [[account]] table, or a file with one in accounts-dir";
        // Errors elsewhere may be why there is none.
        match &spec.daemon.accounts_dir {
            Some(at) => reading
                .issues
                .warning(at.span, "no account: there is nothing to rotate"),
            None => reading.issues.error(
                IssuePlace::File(main),
                "no account: there is nothing to rotate",
            ),
        }
        .help(help.to_owned());
    }
    Some(validate::policy(path, spec, more, &mut reading.issues))
}

fn read_directory(directory: &Path, named_at: Span, reading: &mut Reading) -> Vec<AccountSpec> {
    let paths = match list(directory) {
        Ok(paths) => paths,
        Err(error) => {
            let message = format!("accounts-dir {}: {}", directory.display(), words(&error));
            let help = "create the directory, or take the key out";
            reading
                .issues
                .error(named_at, message)
                .help(help.to_owned());
            return Vec::new();
        }
    };
    if paths.len() > MOST_FILES {
        let message = format!(
            "accounts-dir holds {} files, at most {MOST_FILES}",
            paths.len()
        );
        reading.issues.error(named_at, message);
        return Vec::new();
    }
    let help = "every *.toml in accounts-dir is read: mend it or take it out";
    let mut accounts = Vec::new();
    for path in paths {
        let Some(file) = open(&path, help, &mut reading.issues) else {
            continue;
        };
        let found =
            parse(file, "a file of accounts-dir", reading, read_accounts).unwrap_or_default();
        if found.is_empty() {
            reading
                .issues
                .warning(IssuePlace::File(file), "no account in this file");
        }
        accounts.extend(found);
    }
    accounts
}

/// The `*.toml` of a directory by name; hidden ones are an editor's.
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(b".toml") && !bytes.starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Takes in a file's text; what cannot be had is a fault.
fn open(path: &Path, missing: &str, issues: &mut Issues) -> Option<FileId> {
    let mut refuse = |message: &str, help: &str| {
        let file = issues.add_file(path.to_owned(), String::new());
        issues
            .error(IssuePlace::File(file), message)
            .help(help.to_owned());
    };
    let bytes = match read_bytes(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let help = match error.kind() {
                io::ErrorKind::NotFound => missing,
                io::ErrorKind::PermissionDenied => "let the daemon's user read it",
                _ => "it must be a regular file that can be read",
            };
            refuse(&format!("the file cannot be read: {}", words(&error)), help);
            return None;
        }
    };
    if bytes.len() as u64 > LARGEST_FILE {
        refuse(
            "the file is larger than 1 MiB",
            "split the accounts over files of accounts-dir",
        );
        return None;
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            bytes.truncate(good);
            let text = String::from_utf8(bytes).expect("valid up to here");
            let file = issues.add_file(path.to_owned(), text);
            issues.file(file).hide();
            issues
                .error(
                    Span::new(file, good..good),
                    "the file is not UTF-8 from here on",
                )
                .help("save it as UTF-8".to_owned());
            return None;
        }
    };
    let text = text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text);
    Some(issues.add_file(path.to_owned(), text))
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would be waited for, and could not be read again at a reload.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An error of the system in words, without its number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error")
        .map_or(text.as_str(), |(words, _)| words)
        .to_lowercase()
}

/// Reads a file's tables, or records why it is no TOML. toml's own words are kept, not its
/// excerpts: those show the line.
fn parse<T>(
    file: FileId,
    place: &'static str,
    reading: &mut Reading,
    read: impl FnOnce(&mut Table<'_>) -> T,
) -> Option<T> {
    let text = Arc::clone(&reading.issues.file(file).text);
    let (root, errors) = DeTable::parse_recoverable(&text);
    let mut readable = true;
    for error in errors {
        let range = error.span().unwrap_or(text.len()..text.len());
        let span = Span::new(file, range);
        if error.message() == "duplicate key" {
            // Everything else can still be told.
            let help =
                "a key or a [table] stands once; tables of which there are several are [[double]]";
            reading
                .issues
                .error(span, "duplicate key")
                .help(help.to_owned());
        } else {
            readable = false;
            reading
                .issues
                .error(span, format!("not TOML: {}", error.message()));
        }
    }
    readable.then(|| read_file(reading, file, place, root.get_ref(), read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_stands_in_the_shipped_policy() {
        let option =
            |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
        let shipped = include_str!("../../../config/ringcx-rotator.toml");
        let text: String = shipped
            .lines()
            .map(|line| format!("{}\n", if option(line) { &line[1..] } else { line }))
            .collect();
        let mut reading = Reading::default();
        let file = reading.issues.add_file("config.toml".into(), text);
        assert!(parse(file, "the policy", &mut reading, PolicySpec::read).is_some());
        let silent: Vec<String> = reading
            .known
            .iter()
            .flat_map(|(place, keys)| keys.iter().map(move |(key, present)| (place, key, present)))
            .filter(|(_, _, present)| !**present)
            .map(|(place, key, _)| format!("{key} in {place}"))
            .collect();
        // Account and [defaults] have them in common, and [defaults] is where they are explained.
        let in_common = [
            "check-every",
            "retention",
            "retry",
            "smoke-test",
            "verify-within",
        ];
        // It excludes `inline`, which stands there, and is spoken of beside it.
        let mut expected = vec!["template in [[account.sink]]".to_owned()];
        expected.extend(in_common.map(|key| format!("{key} in [[account]]")));
        assert_eq!(silent, expected);
        // The counts of tables and keys: a reader that asks for nothing would pass too easily.
        assert!(reading.known.len() >= 10 && reading.known["[[account.sink]]"].len() >= 12);
    }
}
