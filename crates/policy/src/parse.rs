//! The first step: from the policy's files to what is written in them, as a [`PolicySpec`].
//!
//! Reads the main file and those of `accounts-dir`, nothing else: of the files that a policy names
//! (secrets, sinks, certificates) none is opened. Records what is wrong with a file, a table or a
//! single value. Knows no keys: those are in `parse/` and `sinks/`.

use std::io;
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;
use std::sync::Arc;

use toml::de::DeTable;

use crate::base_dir::BaseDir;
use crate::files::{self, FileError};
use crate::issues::{IssuePlace, Issues};
use crate::source::{FileId, Span};
use crate::table::{Reading, Table, read_file};

mod account;
mod login;
mod spec;
mod tuning;

pub(crate) use account::AccountSpec;
pub(crate) use login::{LoginSpec, OwnSecret};
pub(crate) use spec::{
    AlertsSpec, DaemonSpec, DefaultsSpec, EmailSpec, LogSpec, NetworkSpec, PolicySpec, RingcxSpec,
};
pub(crate) use tuning::{RetentionSpec, RetrySpec, ScheduleSpec, TuningSpec};

/// In bytes. A file with a thousand accounts has a third of it.
pub(crate) const LARGEST_FILE: u64 = 1024 * 1024;
/// The largest number of files in `accounts-dir`.
const MOST_FILES: usize = 10_000;

/// What is written in the policy's files; none if the main file cannot be read or is not TOML.
///
/// The accounts of `accounts-dir` come after those of the main file, ordered by file name.
pub(crate) fn policy(path: &Path, reading: &mut Reading) -> Option<PolicySpec> {
    let if_missing = "name the policy with --config or RINGCX_ROTATOR_CONFIG";
    let main = open(path, if_missing, &mut reading.issues)?;
    let mut spec = parse(main, "the policy", reading, PolicySpec::read)?;
    if let Some(directory) = &spec.daemon.accounts_dir {
        let path = BaseDir::of(path).join(&directory.value);
        let more = read_directory(&path, directory.span, reading);
        spec.accounts.extend(more);
    }
    Some(spec)
}

fn read_directory(directory: &Path, named_at: Span, reading: &mut Reading) -> Vec<AccountSpec> {
    let paths = match list(directory) {
        Ok(paths) => paths,
        Err(error) => {
            let why = error_text(&error);
            let message = format!("accounts-dir {}: {why}", directory.display());
            reading
                .issues
                .error(named_at, message)
                .help("create the directory or remove the key".to_owned());
            return Vec::new();
        }
    };
    // Before any is opened: a directory with this many files was hardly meant.
    if paths.len() > MOST_FILES {
        let count = paths.len();
        let message = format!("accounts-dir holds {count} files, at most {MOST_FILES}");
        reading.issues.error(named_at, message);
        return Vec::new();
    }
    let help = "every *.toml in accounts-dir is read: correct the file or move it away";
    let mut accounts = Vec::new();
    for path in paths {
        let Some(file) = open(&path, help, &mut reading.issues) else {
            // Recorded; the other files are read, so that all faults are reported at once.
            continue;
        };
        let found = parse(
            file,
            "a file of accounts-dir",
            reading,
            AccountSpec::read_all,
        );
        let found = found.unwrap_or_default();
        // A warning only: the file does no harm, but it was hardly meant to hold nothing.
        if found.is_empty() {
            reading
                .issues
                .warning(IssuePlace::File(file), "no account in this file");
        }
        accounts.extend(found);
    }
    accounts
}

/// The `*.toml` files of a directory by name. Hidden ones are left out: editors write such files.
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
    // The order of a directory is not defined, and that of accounts shows in `status`.
    paths.sort();
    Ok(paths)
}

/// Adds a file's text to the issues' files, or records why it cannot be had.
fn open(path: &Path, help_if_missing: &str, issues: &mut Issues) -> Option<FileId> {
    let refuse = |message: &str, help: &str, issues: &mut Issues| {
        // Added without its text, because a diagnostic needs a file to name.
        let file = issues.add_file(path.to_owned(), String::new());
        issues
            .error(IssuePlace::File(file), message)
            .help(help.to_owned());
    };
    let bytes = match files::read(path, LARGEST_FILE) {
        Ok(bytes) => bytes,
        Err(FileError::TooLarge(_)) => {
            let help = "split the accounts over files of accounts-dir";
            refuse("the file is larger than 1 MiB", help, issues);
            return None;
        }
        Err(error) => {
            let (why, help) = match &error {
                FileError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                    (error_text(error), help_if_missing)
                }
                FileError::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    (error_text(error), "let the daemon's user read it")
                }
                FileError::Io(error) => (
                    error_text(error),
                    "it must be a regular file that can be read",
                ),
                FileError::NotRegular(_) | FileError::TooLarge(_) | FileError::Overdue(_) => (
                    error.to_string(),
                    "it must be a regular file that can be read",
                ),
            };
            refuse(&format!("the file cannot be read: {why}"), help, issues);
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => {
            // Some editors write a byte order mark, which is not TOML.
            let text = match text.strip_prefix('\u{feff}') {
                Some(rest) => rest.to_owned(),
                None => text,
            };
            Some(issues.add_file(path.to_owned(), text))
        }
        Err(error) => {
            refuse_encoding(path, error, issues);
            None
        }
    }
}

/// Records where a file stops being UTF-8. The text before is kept for the line number only.
fn refuse_encoding(path: &Path, error: FromUtf8Error, issues: &mut Issues) {
    let good = error.utf8_error().valid_up_to();
    let mut bytes = error.into_bytes();
    bytes.truncate(good);
    let text = String::from_utf8(bytes).expect("valid up to here");
    let file = issues.add_file(path.to_owned(), text);
    // From there on it is not text, so no line of the file is shown.
    issues.file(file).hide();
    let message = "the file is not UTF-8 from here on";
    issues
        .error(Span::new(file, good..good), message)
        .help("save it as UTF-8".to_owned());
}

/// The text of an error of the system, without its number.
fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error")
        .map_or(text.as_str(), |(text, _)| text)
        .to_lowercase()
}

/// Reads a file's tables, or records why it is not TOML. The message of the TOML parser is shown,
/// but not its excerpt: that has the whole line, which may hold a secret.
fn parse<T>(
    file: FileId,
    place: &'static str,
    reading: &mut Reading,
    read: impl FnOnce(&mut Table<'_>) -> T,
) -> Option<T> {
    // A reference of its own, because `reading` is borrowed again while the text is in use.
    let text = Arc::clone(&reading.issues.file(file).text);
    // The recoverable parser keeps places, and goes on after a duplicate key.
    let (root, errors) = DeTable::parse_recoverable(&text);
    let mut readable = true;
    for error in errors {
        let range = error.span().unwrap_or(text.len()..text.len());
        let span = Span::new(file, range);
        // The parser's errors have no kind, so the text is compared. With another text, the file
        // would merely be reported as not TOML.
        if error.message() == "duplicate key" {
            // The rest of the file was understood, so its other faults are reported too.
            let help = "a key or a [table] is written once; [[double]] brackets can be repeated";
            reading
                .issues
                .error(span, "duplicate key")
                .help(help.to_owned());
        } else {
            readable = false;
            let message = format!("not TOML: {}", error.message());
            reading.issues.error(span, message);
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
        // It excludes `inline`, which is set in the file, and is explained beside it.
        let mut expected = vec!["template in [[account.sink]]".to_owned()];
        expected.extend(in_common.map(|key| format!("{key} in [[account]]")));
        assert_eq!(silent, expected);
        // The counts of tables and keys: a reader that asks for nothing would pass too easily.
        assert!(reading.known.len() >= 10 && reading.known["[[account.sink]]"].len() >= 12);
    }
}
