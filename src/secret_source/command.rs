//! A secret that a command prints: `pass show …`, `op read …`, `vault kv get …`.
//!
//! How it is run, and ended when its time is up, is `process.rs`: no shell, nothing on its standard
//! input, few variables. Here is what is passed on beside those, and what of a failure may be said.
//! What this file does not know: what the command is, and whether the secret it prints is the right
//! one.

use std::io;
use std::time::Duration;

use secrecy::zeroize::Zeroizing;

use rotator_core::secret::{SecretCommand, redact};

use crate::process::{self, LARGEST_OUTPUT, ProcessError, Program};

/// What a command finds in its environment beside `PATH`, `HOME` and `LANG`, as far as the daemon
/// has it: what `pass`, GnuPG and systemd's credentials need. More goes into the argv: `["env",
/// "NAME=…", …]`.
const PASSED_ON: [&str; 8] = [
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "GNUPGHOME",
    "PASSWORD_STORE_DIR",
    "CREDENTIALS_DIRECTORY",
];

/// Why a command gave no secret. Never says what it printed on its standard output.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started: install it, or write its whole path.
    #[error("cannot be started: {0}")]
    NotStarted(#[source] io::Error),
    /// It was ended, and all it had started in its process group with it.
    #[error(
        "did not end within {timeout:?} and was ended: nobody is there to type a passphrase{}",
        colon(said)
    )]
    TimedOut {
        /// How long it had.
        timeout: Duration,
        /// What it said on its standard error, scrubbed and cut.
        said: String,
    },
    /// It ended with another exit code than 0, or by a signal.
    #[error("{ending}{}", colon(said))]
    Failed {
        /// How it ended, for example `exit code 1` or `signal 9`.
        ending: String,
        /// What it said on its standard error, scrubbed and cut.
        said: String,
    },
    /// It printed more than any secret is long.
    #[error("printed more than 64 KiB, that is no secret")]
    TooLarge,
    /// It was started, but its end could not be observed.
    #[error("cannot be watched: {0}")]
    Lost(#[source] io::Error),
}

fn colon(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    }
}

/// Runs it to its end and gives what it printed. Blocks for as long as `timeout`, and two
/// seconds more.
pub(super) fn run(command: &SecretCommand) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let passed_on = PASSED_ON
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let environment: Vec<(String, String)> = passed_on.collect();
    let program = Program {
        argv: &command.argv,
        environment: &environment,
        // Empty: a command that asks for a passphrase meets the end of its input.
        stdin: Zeroizing::default(),
        timeout: command.timeout,
    };
    let ended = process::run(program).map_err(|error| match error {
        ProcessError::Nothing => CommandError::NotStarted(io::ErrorKind::InvalidInput.into()),
        ProcessError::Start { source, .. } => CommandError::NotStarted(source),
        ProcessError::Lost { source, .. } => CommandError::Lost(source),
        ProcessError::TimedOut {
            timeout, stderr, ..
        } => CommandError::TimedOut {
            timeout,
            said: shown(&stderr, &[]),
        },
    })?;
    if !ended.status.success() {
        let said = shown(&ended.stderr, &ended.stdout);
        return Err(CommandError::Failed {
            ending: process::ending(ended.status),
            said,
        });
    }
    // At this size the output may have been cut, and a secret cut short would be a wrong login.
    if ended.stdout.len() >= LARGEST_OUTPUT {
        return Err(CommandError::TooLarge);
    }
    Ok(ended.stdout)
}

/// What a command said on its standard error, fit to be shown: what it printed as the secret is not
/// in it, nor a word that looks like one.
fn shown(said: &[u8], printed: &[u8]) -> String {
    let (said, printed) = (
        String::from_utf8_lossy(said),
        String::from_utf8_lossy(printed),
    );
    let secrets: Vec<&str> = printed
        .lines()
        .map(str::trim)
        // Shorter lines would blot out parts of ordinary words.
        .filter(|line| line.len() >= 4)
        .collect();
    let words: Vec<&str> = said
        .split_whitespace()
        .map(|word| if is_opaque(word) { redact::BLOT } else { word })
        .collect();
    redact::line(&words.join(" "), &secrets)
}

/// Long, and letters and digits without the dots, slashes and colons of names and paths.
fn is_opaque(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=-_".contains(&b);
    let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    // Shorter words are names and numbers more often than secrets.
    core.len() >= 16
        && core.bytes().all(plain)
        && core.bytes().any(|b| b.is_ascii_digit())
        && core.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests;
