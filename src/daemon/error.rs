//! Why the daemon cannot start, cannot take a new policy, or cannot do what a request asks.

use std::io;
use std::path::PathBuf;

use crate::outbound::OutboundError;
use crate::reconcile::{AdoptError, HistoryError, ListError, RevokeError};
use rotator_core::journal::JournalError;
use rotator_policy::PolicyErrors;

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The journal could not be opened or read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An account's history could not be understood.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The RingCX client could not be built.
    #[error(transparent)]
    Http(#[from] OutboundError),
    /// The scheduler could not be started.
    #[error("scheduler: {0}")]
    Scheduler(#[from] tokio_cron_scheduler::JobSchedulerError),
    /// The control socket could not be made.
    #[error("control socket {path}: {source}", path = path.display())]
    Socket {
        /// Path of the socket, as in the policy.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Another daemon listens there: give each its own `control-socket`.
    #[error(
        "control socket {path}: another daemon listens on it; give this one another \
         control-socket",
        path = path.display()
    )]
    SocketTaken {
        /// Path of the socket, as in the policy.
        path: PathBuf,
    },
    /// The path holds something that this daemon must not replace.
    #[error(
        "control socket {path}: the path exists and is not a socket; remove it, or choose \
         another path",
        path = path.display()
    )]
    NotASocket {
        /// Path of the socket, as in the policy.
        path: PathBuf,
    },
    /// The signal handlers could not be installed.
    #[error("signals: {0}")]
    Signals(io::Error),
}

/// Why a new policy was not put into force. The old one stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The policy does not load.
    #[error(transparent)]
    Policy(#[from] PolicyErrors),
    /// The policy loads, but what it describes cannot be built.
    #[error(transparent)]
    Start(#[from] DaemonError),
}

/// Why a request cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The policy has no such account.
    #[error("no account `{name}` in the policy{}", hint(known))]
    NoAccount {
        /// The name in the request.
        name: String,
        /// The accounts of the policy.
        known: Vec<String>,
    },
    /// The account's task has ended.
    #[error("account `{0}` is not being worked on: the daemon is stopping")]
    Ended(String),
    /// The token was not deleted.
    #[error(transparent)]
    Revoke(#[from] RevokeError),
    /// Tokens or auth configs could not be listed.
    #[error(transparent)]
    List(#[from] ListError),
    /// The adoption was refused as a whole, so nothing was adopted.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// The journal could not be read.
    #[error(transparent)]
    History(#[from] HistoryError),
}

fn hint(known: &[String]) -> String {
    match known {
        [] => String::new(),
        known => format!(": there is {}", known.join(", ")),
    }
}
