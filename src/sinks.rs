//! Sinks: the places that hold a token for those who use it.
//!
//! A sink does one thing at a time and once: no retries, no waiting, no memory. It knows nothing of
//! generations being due or retired. Adding a kind means one file here, one arm in [`AnySink`], and
//! its table in the policy (`policy/kind.rs`).

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::process::ProcessError;
use crate::ringcx::auth_config::AuthConfigs;
use crate::ringcx::{ApiError, Auth};
use crate::secret_source::SecretError;
use rotator_core::account::FileLocation;
use rotator_core::config::{EnvFileSink, FileAccess, FileSink, SinkKind, SinkPolicy};
use rotator_core::event::{DeliveryReceipt, GenerationNo, Outcome};
use rotator_core::secret::{Fingerprint, Token};
use rotator_core::template::RenderedToken;

pub mod atomic_file;
pub mod auth_config;
pub mod command;
pub mod env_file;
pub mod file;
pub(crate) mod message;
pub mod search;
pub mod template;
pub mod webhook;

/// A token on its way to a sink.
pub struct Delivery<'a> {
    /// The account's name.
    pub account: &'a str,
    /// Which generation of that account's tokens.
    pub generation: GenerationNo,
    /// The token.
    pub token: &'a Token,
    /// When it was minted.
    pub minted_at: DateTime<Utc>,
    /// The token it takes the place of.
    pub previous: Option<Previous>,
    /// The time now, for signatures.
    pub now: DateTime<Utc>,
}

/// The token that a delivery takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Which.
    pub fingerprint: Fingerprint,
    /// It works at least until then.
    pub retires_after: DateTime<Utc>,
}

/// What a sink may need beside its policy.
#[derive(Clone, Copy)]
pub struct SinkContext<'a> {
    /// The last delivery it took, and what it said of that.
    pub last: Option<(GenerationNo, &'a DeliveryReceipt)>,
    /// A way to ask RingCX; `None` where it may not be asked now.
    pub ringcx: Option<RingcxAccess<'a>>,
    /// The tokens of the other accounts that the sink names, as far as they are at hand.
    pub peers: &'a BTreeMap<String, RenderedToken>,
}

impl Default for SinkContext<'_> {
    fn default() -> Self {
        static NO_PEERS: BTreeMap<String, RenderedToken> = BTreeMap::new();
        Self {
            last: None,
            ringcx: None,
            peers: &NO_PEERS,
        }
    }
}

/// A way to ask RingCX. Whoever hands it out has seen to the limits.
#[derive(Clone, Copy)]
pub struct RingcxAccess<'a> {
    /// The calls.
    pub api: &'a dyn AuthConfigs,
    /// As whom.
    pub auth: Auth<'a>,
}

impl<'a> SinkContext<'a> {
    /// The way to ask RingCX, for a sink that cannot do without.
    pub fn ringcx(&self) -> Result<RingcxAccess<'a>, SinkError> {
        self.ringcx.ok_or(SinkError::NotAsked)
    }

    /// Whether its last delivery left it in this state.
    pub fn left_it_as(&self, version: &str) -> bool {
        self.last
            .is_some_and(|(_, taken)| taken.version.as_deref() == Some(version))
    }
}

/// What a sink was seen to hold.
pub enum ReadBack {
    /// This token.
    Holds(Token),
    /// What the last delivery left there, unchanged. The token itself cannot be read out of it.
    AsDelivered,
    /// There is no such file, or no such key in it.
    Absent,
    /// Something that is no token, or several different ones. The text says what, without showing
    /// it.
    Other(String),
    /// It could not be looked at.
    Unreadable(SinkError),
    /// A sink of this kind cannot be looked at: its receipt is the only proof.
    Opaque,
}

/// Why a sink did not take a token, or may not have. Texts hold no token, secret or address that
/// may be one.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The target is not something this sink may replace: a symlink, a directory, a mount point. An
    /// operator must act.
    #[error("{path} is {what}: {help}", path = path.display())]
    Target {
        /// The target.
        path: PathBuf,
        /// What it is instead of a regular file.
        what: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// A user or group name is not known on this machine.
    #[error("no {what} `{name}` on this machine")]
    UnknownName {
        /// `user` or `group`.
        what: &'static str,
        /// As in the policy.
        name: String,
    },
    /// The file system said no. The old bytes are still there.
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
        /// The file.
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
        /// In words.
        why: String,
    },
    /// The webhook was sent and no answer came.
    #[error("no answer from {host}: {why}")]
    NoAnswer {
        /// Scheme, host and port.
        host: String,
        /// In words.
        why: String,
    },
    /// The webhook answered something else than success.
    #[error("{host} answered {status}")]
    Refused {
        /// Scheme, host and port.
        host: String,
        /// The status.
        status: u16,
        /// `Retry-After`, as a wait from now, where it came with 429 or 503.
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
        /// Which.
        account: String,
    },
    /// The template cannot be rendered. An operator must act.
    #[error("template: {why}")]
    Template {
        /// Where and why, without any value.
        why: String,
    },
    /// RingCX may not be asked now, or there is nobody to ask as. Try again later.
    #[error("RingCX cannot be asked just now")]
    NotAsked,
    /// RingCX refused or failed a call about an auth config.
    #[error("auth config {config} cannot be {doing}: {error}{}", advice(help))]
    AuthConfig {
        /// Its id.
        config: String,
        /// `read` or `changed`.
        doing: &'static str,
        /// What RingCX said.
        error: ApiError,
        /// What to do, where something can be done.
        help: &'static str,
        /// Whether it may hold the token all the same.
        outcome: Outcome,
    },
    /// The auth config is not one that holds a key. An operator must act.
    #[error("auth config {config} is of type {got}, not APIKEY: choose one of type APIKEY")]
    NoApiKey {
        /// Its id.
        config: String,
        /// Its type.
        got: String,
        /// Whether it may hold the token all the same.
        outcome: Outcome,
    },
    /// The auth config was changed, and does not show it.
    #[error("auth config {config} was changed, but {why}")]
    NotShown {
        /// Its id.
        config: String,
        /// What is missing.
        why: &'static str,
    },
    /// There is no such program, or we may not run it. An operator must act.
    #[error("{program}: no such program, or it may not be run")]
    NoProgram {
        /// As in the policy.
        program: String,
    },
    /// The program did not come to its own end, or was not even started.
    #[error("{source}{}", said(note.as_deref()))]
    NotRun {
        /// What became of it.
        source: ProcessError,
        /// What it printed, scrubbed and cut.
        note: Option<String>,
    },
    /// The program was given the token, and did not say that it took it.
    #[error("{program} {how}{}", said(note.as_deref()))]
    Program {
        /// As in the policy.
        program: String,
        /// How it ended.
        how: String,
        /// What it printed, scrubbed and cut.
        note: Option<String>,
    },
    /// 2xx, but the answer does not prove that the receiver holds the token.
    #[error("{host} answered {status}, but {why}")]
    Unproved {
        /// Scheme, host and port.
        host: String,
        /// 2xx.
        status: u16,
        /// What the answer lacks.
        why: &'static str,
    },
}

/// What `ProtectHome=` hides from a service.
pub(crate) const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// What a service that systemd keeps in a sandbox is told beside what the system said: that alone
/// reads as if the directory itself were at fault.
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

fn said(note: Option<&str>) -> String {
    note.map_or_else(String::new, |note| format!(": {note}"))
}

impl SinkError {
    /// Whether the sink may hold the token all the same. A file is looked at instead of guessed
    /// about; a webhook that was sent may have been taken in, whatever it answered.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::NotRun { source, .. } if source.was_started() => Outcome::Unknown,
            Self::AuthConfig { outcome, .. } | Self::NoApiKey { outcome, .. } => *outcome,
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

    /// What RingCX said, where it was RingCX that failed.
    pub fn of_ringcx(&self) -> Option<&ApiError> {
        match self {
            Self::AuthConfig { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Whether trying again is pointless until someone acts.
    pub fn parks(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }

    /// What the sink said, for the audit trail.
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Program { note, .. } | Self::NotRun { note, .. } => note.clone(),
            _ => None,
        }
    }

    /// How long the receiver asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::AuthConfig { error, .. } => error.retry_after(),
            _ => None,
        }
    }
}

/// What every sink can do.
pub trait Sink: Send + Sync {
    /// Whether a delivery can be expected to work, found out without changing anything.
    fn preflight(
        &self,
        around: SinkContext<'_>,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Puts the token there. Doing it twice is the same as doing it once.
    fn deliver(
        &self,
        delivery: &Delivery<'_>,
        around: SinkContext<'_>,
    ) -> impl Future<Output = Result<DeliveryReceipt, SinkError>> + Send;

    /// Looks at what is there.
    fn read_back(&self, around: SinkContext<'_>) -> impl Future<Output = ReadBack> + Send;

    /// Removes left-over temporary files of ours.
    fn clean_up(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A sink of any kind.
pub enum AnySink {
    /// See [`file::FileTarget`].
    File(file::FileTarget),
    /// See [`env_file::EnvFileTarget`].
    EnvFile(env_file::EnvFileTarget),
    /// See [`webhook::WebhookTarget`].
    Webhook(webhook::WebhookTarget),
    /// See [`command::CommandTarget`].
    Command(command::CommandTarget),
    /// See [`auth_config::AuthConfigTarget`].
    AuthConfig(auth_config::AuthConfigTarget),
    /// See [`template::TemplateTarget`].
    Template(template::TemplateTarget),
}

/// The same of whichever kind it is.
macro_rules! match_kind {
    ($any:expr, $sink:ident => $what:expr) => {
        match $any {
            AnySink::File($sink) => $what,
            AnySink::EnvFile($sink) => $what,
            AnySink::Webhook($sink) => $what,
            AnySink::Command($sink) => $what,
            AnySink::AuthConfig($sink) => $what,
            AnySink::Template($sink) => $what,
        }
    };
}

impl AnySink {
    /// Builds what the policy describes. Touches nothing yet.
    pub fn new(policy: &SinkPolicy) -> Self {
        let name = || policy.name.clone();
        match policy.kind.clone() {
            SinkKind::File(kind) => Self::File(file::FileTarget::new(kind)),
            SinkKind::EnvFile(kind) => Self::EnvFile(env_file::EnvFileTarget::new(kind)),
            SinkKind::Webhook(kind) => Self::Webhook(webhook::WebhookTarget::new(name(), kind)),
            SinkKind::Command(kind) => Self::Command(command::CommandTarget::new(name(), kind)),
            SinkKind::AuthConfig(kind) => {
                Self::AuthConfig(auth_config::AuthConfigTarget::new(kind))
            }
            SinkKind::Template(kind) => Self::Template(template::TemplateTarget::new(kind)),
        }
    }

    /// A sink that is no longer in the policy, from what the journal has of it.
    pub fn left(location: FileLocation) -> Self {
        let access = FileAccess::default();
        match location {
            FileLocation::File { path } => Self::File(file::FileTarget::new(FileSink {
                path,
                access,
                trailing_newline: false,
            })),
            FileLocation::EnvFile { path, key } => {
                Self::EnvFile(env_file::EnvFileTarget::new(EnvFileSink {
                    path,
                    key,
                    access,
                }))
            }
        }
    }
}

impl Sink for AnySink {
    async fn preflight(&self, around: SinkContext<'_>) -> Result<(), SinkError> {
        match_kind!(self, sink => sink.preflight(around).await)
    }

    async fn deliver(
        &self,
        delivery: &Delivery<'_>,
        around: SinkContext<'_>,
    ) -> Result<DeliveryReceipt, SinkError> {
        match_kind!(self, sink => sink.deliver(delivery, around).await)
    }

    async fn read_back(&self, around: SinkContext<'_>) -> ReadBack {
        match_kind!(self, sink => sink.read_back(around).await)
    }

    async fn clean_up(&self) {
        match_kind!(self, sink => sink.clean_up().await)
    }
}

/// Runs work that blocks on the disk away from the runtime's own threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is being torn down cancels such work; the caller goes with it.
            Err(_) => std::future::pending().await,
        },
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
