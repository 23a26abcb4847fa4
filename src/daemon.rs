//! Build, run, drain.
//!
//! The daemon is the sum of what stands below it: one task an account ([`runner`]), the alert desk
//! ([`alerts`]), the waker, the control socket. It decides nothing about tokens.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::reconcile::HistoryError;
use crate::ringcx::http::HttpSetupError;
use rotator_core::config::{LogPolicy, Policy};
use rotator_core::journal::JournalError;

pub mod alerts;
pub mod control;
pub mod signals;
pub mod status;
pub mod supervisor;
mod systemd;
pub mod view;
mod waker;
pub mod worker;
pub mod workers;

use signals::SignalAction;
use supervisor::Supervisor;

/// How long the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Until a signal says otherwise.
    Forever,
    /// Until every account has had one pass.
    Once,
}

/// Applies a changed `[log]` table to the running process.
pub type ReloadLogging = Arc<dyn Fn(&LogPolicy) + Send + Sync>;

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
    Http(#[from] HttpSetupError),
    /// The scheduler could not be started.
    #[error("scheduler: {0}")]
    Scheduler(#[from] tokio_cron_scheduler::JobSchedulerError),
    /// The control socket could not be made.
    #[error("control socket {path}: {source}", path = path.display())]
    Socket {
        /// Where.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another daemon listens there: give each its own `control-socket`.
    #[error("control socket {path}: another daemon listens on it; give this one another control-socket", path = path.display())]
    SocketTaken {
        /// Where.
        path: std::path::PathBuf,
    },
    /// What is there is not ours to replace: remove it, or name another path.
    #[error("control socket {path}: there is something that is no socket; remove it, or name another path", path = path.display())]
    NotASocket {
        /// Where.
        path: std::path::PathBuf,
    },
    /// Signals could not be listened to.
    #[error("signals: {0}")]
    Signals(std::io::Error),
}

/// What is failing when the daemon ends, one line each.
pub type Failing = Vec<String>;

/// Runs the daemon to its end.
pub async fn run(
    policy: Policy,
    mode: Mode,
    reload_logging: ReloadLogging,
) -> Result<Failing, DaemonError> {
    let signals = signals::listen().map_err(DaemonError::Signals)?;
    let grace = policy.daemon.shutdown_grace;
    let socket = (mode == Mode::Forever).then(|| policy.daemon.control_socket.clone());

    let office = Arc::new(Supervisor::open(policy, Clock::system(), reload_logging).await?);
    let _socket = match socket {
        Some(path) => Some(control::serve(Arc::clone(&office), path)?),
        None => None,
    };
    let ending = serve(&office, mode, signals).await;
    office.systemd().stopping();
    office.close(grace).await;
    Ok(ending)
}

async fn serve(
    office: &Arc<Supervisor>,
    mode: Mode,
    mut signals: mpsc::Receiver<SignalAction>,
) -> Failing {
    let first_passes = office.start_accounts().await;
    tokio::pin!(first_passes);
    let mut feed = tokio::time::interval(
        office
            .systemd()
            .watchdog_interval()
            .unwrap_or(Duration::from_secs(60)),
    );
    let mut report = tokio::time::interval(Duration::from_secs(10));
    let mut ready = false;
    loop {
        tokio::select! {
            () = &mut first_passes, if !ready => {
                ready = true;
                if mode == Mode::Once {
                    office.peers_at_rest().await;
                    return office.failing().await;
                }
                office.systemd().ready(&office.summary().await);
                tracing::info!(name: "ready", accounts = office.account_names().await.len(), "Ready");
            }
            told = signals.recv() => match told {
                Some(SignalAction::Reload) => {
                    // What is wrong with the policy was logged, and is an incident.
                    let _logged = office.reload().await;
                }
                Some(SignalAction::PassNow) => office.pass_now().await,
                Some(SignalAction::Stop) | None => {
                    tracing::info!(name: "stopping", "Stopping");
                    return Vec::new();
                }
            },
            _ = feed.tick() => office.systemd().feed(),
            _ = report.tick() => {
                let summary = office.summary().await;
                if ready { office.systemd().status(&summary) } else { office.systemd().extend(&summary) }
            }
        }
    }
}
