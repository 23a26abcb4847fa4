//! Why a sink did not take a token, and what that means for the next attempt.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::ProcessError;
use crate::ringcx::ApiError;
use crate::secret_source::SecretError;
use rotator_core::event::Outcome;

/// Why a sink did not take a token, or may not have. Texts hold no token, secret or address that
/// may be one.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The target is not something this sink may replace: a symlink, a directory, a mount point. An
    /// operator must act.
    #[error("{path} is {what}: {help}", path = path.display())]
    Target {
        /// Path of the target, as in the policy.
        path: PathBuf,
        /// What it is instead of a regular file.
        what: &'static str,
        /// What an operator can do, for example `name a file in it`.
        help: &'static str,
    },
    /// A user or group name is not known on this machine.
    #[error("no {what} `{name}` on this machine")]
    UnknownName {
        /// What was looked up: `user` or `group`.
        what: &'static str,
        /// As in the policy.
        name: String,
    },
    /// The file system refused. The old bytes are still there.
    #[error("{path}: cannot {doing}: {source}{}", closed(path, source), path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// `create`, `write`, `rename` …
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The existing env-file cannot be edited without losing something.
    #[error("{path}: {why}", path = path.display())]
    Unfit {
        /// Path of the env-file, as in the policy.
        path: PathBuf,
        /// Why, without its content.
        why: String,
    },
    /// The signing secret could not be read.
    #[error("webhook secret: {0}")]
    Secret(#[from] SecretError),
    /// The webhook's secret or a header cannot be used.
    #[error("webhook: {why}")]
    Setup {
        /// Why, without the value.
        why: String,
    },
    /// The webhook could not be reached; nothing was sent.
    #[error("cannot reach {host}: {why}")]
    Unreachable {
        /// Scheme, host and port.
        host: String,
        /// Reason, without secrets, for example `timed out`.
        why: String,
    },
    /// The webhook was sent and no answer came.
    #[error("no answer from {host}: {why}")]
    NoAnswer {
        /// Scheme, host and port.
        host: String,
        /// Reason, without secrets, for example `timed out`.
        why: String,
    },
    /// The webhook answered something else than success.
    #[error("{host} answered {status}")]
    Refused {
        /// Scheme, host and port.
        host: String,
        /// HTTP status of the answer, for example 503.
        status: u16,
        /// `Retry-After` as a wait from now, if it came with 429 or 503.
        retry_after: Option<Duration>,
    },
    /// 410: the receiver is gone for good. Park the sink; an operator must act.
    #[error("{host} answered 410: the receiver says it is gone for good")]
    Gone {
        /// Scheme, host and port.
        host: String,
    },
    /// Another account that the template names has no token yet. Try again when it has.
    #[error("there is no token of account {account} yet")]
    NoPeer {
        /// Name of the other account, as in the policy.
        account: String,
    },
    /// The template cannot be rendered. An operator must act.
    #[error("template: {why}")]
    Template {
        /// Where and why, without any value.
        why: String,
    },
    /// RingCX may not be asked now, or there is no token or login to ask with. Try again later.
    #[error("RingCX cannot be asked just now")]
    NotAsked,
    /// RingCX refused or failed a call about an auth config.
    #[error("auth config {config} cannot be {doing}: {error}{}", advice(help))]
    AuthConfig {
        /// Id of the auth config.
        config: String,
        /// What failed: the config was to be `read` or `changed`.
        doing: &'static str,
        /// The answer of RingCX, or why there is none.
        error: ApiError,
        /// What to do, where something can be done.
        help: &'static str,
        /// Whether it may hold the token in spite of the error.
        outcome: Outcome,
    },
    /// The auth config is not one that holds a key. An operator must act.
    #[error("auth config {config} is of type {got}, not APIKEY: choose one of type APIKEY")]
    NoApiKey {
        /// Id of the auth config.
        config: String,
        /// The type that it has.
        got: String,
        /// Whether it may hold the token in spite of the error.
        outcome: Outcome,
    },
    /// The auth config was changed, and does not show it.
    #[error("auth config {config} was changed, but {why}")]
    NotShown {
        /// Id of the auth config.
        config: String,
        /// What is missing in it.
        why: &'static str,
    },
    /// There is no such program, or we may not run it. An operator must act.
    #[error("{program}: no such program, or it may not be run")]
    NoProgram {
        /// As in the policy.
        program: String,
    },
    /// The program did not come to its own end, or was not even started.
    #[error("{source}{}", printed(note.as_deref()))]
    NotRun {
        /// How far it got.
        source: ProcessError,
        /// What it printed, redacted and cut.
        note: Option<String>,
    },
    /// The program was given the token, and did not say that it took it.
    #[error("{program} {how}{}", printed(note.as_deref()))]
    Program {
        /// As in the policy.
        program: String,
        /// How it ended, for example `ended with exit code 1`.
        how: String,
        /// What it printed, redacted and cut.
        note: Option<String>,
    },
    /// 2xx, but the answer does not prove that the receiver holds the token.
    #[error("{host} answered {status}, but {why}")]
    Unproved {
        /// Scheme, host and port.
        host: String,
        /// HTTP status of the answer, always 2xx.
        status: u16,
        /// What the answer lacks.
        why: &'static str,
    },
}

/// What `ProtectHome=` hides from a service.
pub(crate) const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// What to add for a service in systemd's sandbox: the system's message alone reads as if the
/// directory itself were at fault.
fn closed(path: &Path, source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::ReadOnlyFilesystem => {
            "; for the service it is read-only under ProtectSystem=strict: run `ringcx-rotator systemd-dropin`, \
             which prints what the unit must allow"
        }
        std::io::ErrorKind::PermissionDenied if HOMES.iter().any(|home| path.starts_with(home)) => {
            "; for the service homes are hidden by ProtectHome=: run `ringcx-rotator systemd-dropin`, which \
             prints what the unit must allow"
        }
        _other => "",
    }
}

fn advice(help: &str) -> String {
    if help.is_empty() {
        String::new()
    } else {
        format!(": {help}")
    }
}

fn printed(note: Option<&str>) -> String {
    note.map_or_else(String::new, |note| format!(": {note}"))
}

impl SinkError {
    /// Whether the sink may hold the token in spite of the error. A webhook that was sent may have
    /// been taken in, whatever it answered; a file is read back, so it need not be guessed about.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::NotRun { source, .. } if source.was_started() => Outcome::Unknown,
            Self::AuthConfig { outcome, .. } | Self::NoApiKey { outcome, .. } => *outcome,
            // These were sent or started: the receiver may have kept the token, whatever it said.
            Self::NoAnswer { .. }
            | Self::Refused { .. }
            | Self::Unproved { .. }
            | Self::Program { .. }
            | Self::NotShown { .. } => Outcome::Unknown,
            Self::Target { .. }
            | Self::UnknownName { .. }
            | Self::Io { .. }
            | Self::Unfit { .. }
            | Self::Secret(_)
            | Self::Setup { .. }
            | Self::Unreachable { .. }
            | Self::NoPeer { .. }
            | Self::Template { .. }
            | Self::NotAsked
            | Self::NoProgram { .. }
            | Self::NotRun { .. }
            | Self::Gone { .. } => Outcome::NotDone,
        }
    }

    /// The answer of RingCX, if it was RingCX that failed.
    pub fn of_ringcx(&self) -> Option<&ApiError> {
        match self {
            Self::AuthConfig { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Whether RingCX no longer accepts the token or the login that the sink asked as.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self.of_ringcx(), Some(ApiError::Denied { status: 401, .. }))
    }

    /// Whether trying again is pointless until someone acts.
    pub fn parks(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }

    /// What the sink printed, for the audit trail.
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Program { note, .. } | Self::NotRun { note, .. } => note.clone(),
            _ => None,
        }
    }

    /// The pause that the receiver asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::AuthConfig { error, .. } => error.retry_after(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_place_that_the_sandbox_closes_is_told_with_what_opens_it() {
        let said = |path: &str, kind: io::ErrorKind| {
            SinkError::Io {
                path: path.into(),
                doing: "create a file in it",
                source: kind.into(),
            }
            .to_string()
        };
        for (path, kind, because) in [
            (
                "/srv/ivr",
                io::ErrorKind::ReadOnlyFilesystem,
                "ProtectSystem=strict",
            ),
            ("/home/ivr", io::ErrorKind::PermissionDenied, "ProtectHome="),
        ] {
            let text = said(path, kind);
            assert!(
                text.contains(because) && text.contains("`ringcx-rotator systemd-dropin`"),
                "{text}"
            );
        }
        for (path, kind) in [
            ("/srv/ivr", io::ErrorKind::PermissionDenied),
            ("/homes/ivr", io::ErrorKind::PermissionDenied),
            ("/home/ivr", io::ErrorKind::StorageFull),
        ] {
            assert!(
                !said(path, kind).contains("systemd-dropin"),
                "{path} {kind}"
            );
        }
    }
}
