//! The daemon: it is built, runs until a signal ends it, and finishes the steps in flight.
//!
//! It decides nothing about tokens. It consists of one task for each account ([`worker`]), the
//! alert task ([`alerts`]), the waker and the control socket ([`control`], with one file for each
//! request in [`requests`]); [`supervisor`] holds them together.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::clock::Clock;
use rotator_core::config::Policy;

pub mod alerts;
pub mod control;
pub mod error;
pub mod requests;
pub mod signals;
pub mod status;
pub mod supervisor;
mod systemd;
pub mod view;
mod waker;
pub mod worker;
pub mod workers;

use error::DaemonError;
use signals::SignalAction;
pub use supervisor::ReloadLogging;
use supervisor::{Failing, Supervisor};

/// How often systemd is shown the state of the accounts.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// An account that is being worked on and shows nothing for this long is looked at from outside.
const QUIET: Duration = Duration::from_secs(45);

/// How long the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Until a signal ends it.
    Forever,
    /// Until every account has had one pass.
    Once,
}

/// Runs the daemon to its end.
pub async fn run(
    policy: Policy,
    mode: Mode,
    reload_logging: ReloadLogging,
) -> Result<Failing, DaemonError> {
    // Before anything else: without a handler, SIGHUP or SIGUSR1 ends the process.
    let signals = signals::listen().map_err(DaemonError::Signals)?;
    let grace = policy.daemon.shutdown_grace;
    // A single pass ends by itself, so it serves no requests.
    let socket = (mode == Mode::Forever).then(|| policy.daemon.control_socket.clone());

    let supervisor = Supervisor::open(policy, Clock::system(), reload_logging).await?;
    let supervisor = Arc::new(supervisor);
    let _socket = match socket {
        Some(path) => Some(control::serve(Arc::clone(&supervisor), path)?),
        None => None,
    };
    let failing = serve(&supervisor, mode, signals).await;
    // Said first: systemd shows it while the steps in flight finish.
    supervisor.systemd().stopping();
    supervisor.close(grace).await;
    Ok(failing)
}

/// Works until a signal ends it. Whatever the work waits for, the signal is heard.
async fn serve(
    supervisor: &Supervisor,
    mode: Mode,
    mut signals: mpsc::Receiver<SignalAction>,
) -> Failing {
    let (forward, actions) = mpsc::channel(8);
    let stopped = async {
        loop {
            match signals.recv().await {
                Some(SignalAction::Stop) | None => break,
                // A full queue holds this action already.
                Some(action) => drop(forward.try_send(action)),
            }
        }
    };
    tokio::select! {
        () = stopped => {
            tracing::info!(name: "stopping", "Stopping");
            // A requested stop is a success, in whatever state the accounts are.
            Failing::new()
        }
        failing = work(supervisor, mode, actions) => failing,
    }
}

async fn work(
    supervisor: &Supervisor,
    mode: Mode,
    mut actions: mpsc::Receiver<SignalAction>,
) -> Failing {
    let first_passes = supervisor.start_accounts().await;
    tokio::pin!(first_passes);
    let watchdog = supervisor.systemd().watchdog_interval();
    // Without a watchdog it ticks as well: it logs the accounts that make no progress.
    let mut feed = tokio::time::interval(watchdog.unwrap_or(Duration::from_secs(60)));
    let mut report = tokio::time::interval(REPORT_EVERY);
    let mut ready = false;
    // Beside the rest: a policy on a mount that hangs must not starve the watchdog.
    let mut reloads = FuturesUnordered::new();
    loop {
        tokio::select! {
            // A future that has ended must not be polled again.
            () = &mut first_passes, if !ready => {
                ready = true;
                if mode == Mode::Once {
                    // A new token may have woken accounts whose templates name it: they belong to
                    // the pass.
                    supervisor.peers_at_rest().await;
                    return supervisor.failing().await;
                }
                supervisor.systemd().ready(&supervisor.summary().await);
                let accounts = supervisor.account_names().await.len();
                tracing::info!(name: "ready", accounts, "Ready");
            }
            Some(action) = actions.recv() => match action {
                // One that waits its turn will read the newest files.
                SignalAction::Reload if reloads.len() < 2 => reloads.push(supervisor.reload()),
                SignalAction::PassNow => supervisor.pass_now().await,
                SignalAction::Reload | SignalAction::Stop => {}
            },
            // An error was logged and is an incident.
            Some(_logged) = reloads.next() => {}
            _ = feed.tick() => supervisor.systemd().feed(),
            _ = report.tick() => {
                supervisor.report_late(QUIET).await;
                let summary = supervisor.summary().await;
                // Until it is ready, systemd counts the time it takes to start, and gives more of
                // it only as long as something happens.
                if !ready && supervisor.systemd().is_moving() {
                    supervisor.systemd().extend(&summary);
                } else {
                    supervisor.systemd().status(&summary);
                }
            }
        }
    }
}
