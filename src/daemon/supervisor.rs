//! Everything that the running process has: the account tasks, the journal, the alert task, and
//! what they share.
//!
//! Used by the signal loop, by the control socket, and by commands that do their work without a
//! daemon: these open a supervisor of their own and so hold the state directory.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, RwLock, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::alerts::{AlertHandle, AlertTask};
use super::error::DaemonError;
use super::status::{AccountSnapshot, AlertObserver, StatusCache};
use super::systemd::Systemd;
use super::waker::Waker;
use super::worker::{StartMode, WorkerShared};
use super::workers::Workers;
use crate::clock::{Clock, monotonic};
use crate::outbound::OutboundError;
use crate::process::blocking;
use crate::reconcile::{AccountConfig, RingexRateLimiter, TokenExchange};
use crate::ringcx::http::HttpApi;
use crate::store::SqliteJournal;
use rotator_core::config::{AccountPolicy, DaemonPolicy, LogPolicy, Policy};
use rotator_core::incidents::DAEMON;
use rotator_core::journal::JournalError;

mod calls;
mod late;
mod overview;
mod reload;
mod stop;

/// How long a command may hold the journal while the daemon starts.
const COMMANDS_TAKE: Duration = Duration::from_secs(5);

pub use overview::{Failing, incidents_of, is_asked_for, unmanaged_accounts};

/// Applies a changed `[log]` table to the running process, for example another level.
pub type ReloadLogging = Arc<dyn Fn(&LogPolicy) + Send + Sync>;

/// Everything the running process has.
pub struct Supervisor {
    // In an `Arc`, so that a request keeps one policy to its end while a reload sets the next.
    policy: RwLock<Arc<Policy>>,
    api: RwLock<Arc<HttpApi>>,
    workers: Mutex<Workers>,
    shared: Arc<WorkerShared>,
    alerts: AlertHandle,
    observer: AlertObserver,
    journal: SqliteJournal,
    clock: Clock,
    reload_logging: ReloadLogging,
    /// One reload at a time, so that the last to read the files puts its policy into force.
    reloading: Mutex<()>,
    stop: CancellationToken,
    started_at: DateTime<Utc>,
}

impl Supervisor {
    /// Takes the state directory and reads the journal. No account is worked on yet.
    pub async fn open(
        policy: Policy,
        clock: Clock,
        reload_logging: ReloadLogging,
    ) -> Result<Self, DaemonError> {
        // First of all, because its lock stops a second instance of this state directory.
        let journal = open_journal(&policy.daemon).await?;
        let api = Arc::new(new_api(&policy, &clock).await?);
        let stop = CancellationToken::new();
        let waker = Waker::start(clock.clone(), stop.clone()).await?;
        let alerts = AlertTask::start(
            journal.clone(),
            policy.alerts.clone(),
            names(&policy),
            clock.clone(),
        )
        .await?;
        let systemd = Systemd::default();
        systemd.allow_calls_of(policy.longest_call());
        let status = Arc::new(StatusCache::default());
        let shared = Arc::new(WorkerShared {
            permits: Semaphore::new(policy.daemon.max_concurrent_accounts),
            waker,
            status: Arc::clone(&status),
            peers: TokenExchange::of_journal(&journal, &policy).await,
            systemd: systemd.clone(),
            ringex_limits: Arc::new(RingexRateLimiter::of_journal(&journal, &policy).await),
        });
        let observer = AlertObserver {
            status,
            alerts: alerts.clone(),
            systemd,
        };
        let workers = Workers::new(
            Arc::clone(&shared),
            journal.clone(),
            observer.clone(),
            clock.clone(),
        );
        // Incidents of the process end with it: a failed reload of the last run is over.
        alerts.report(DAEMON, Vec::new()).await;
        Ok(Self {
            policy: RwLock::new(Arc::new(policy)),
            api: RwLock::new(api),
            workers: Mutex::new(workers),
            shared,
            alerts,
            observer,
            journal,
            started_at: clock.now(),
            clock,
            reload_logging,
            reloading: Mutex::default(),
            stop,
        })
    }

    /// Starts a task for every account of the policy. The returned future resolves when all first
    /// passes have ended.
    pub async fn start_accounts(&self) -> impl Future<Output = ()> + use<> {
        let policy = self.policy().await;
        let mut first_passes = Vec::new();
        for account in &policy.accounts {
            first_passes.extend(self.start_account(&policy, account, StartMode::Pass).await);
        }
        async move {
            // Waited for one after the other; the passes themselves run side by side.
            for first_pass in first_passes {
                // A task that ended early is as done as one that answered.
                let _ended = first_pass.await;
            }
        }
    }

    /// Starts the task of one account. If its history cannot be read, logs an error and returns
    /// `None`: the other accounts do not depend on it.
    pub async fn start_account(
        &self,
        policy: &Policy,
        account: &AccountPolicy,
        mode: StartMode,
    ) -> Option<oneshot::Receiver<()>> {
        let api = Arc::clone(&*self.api.read().await);
        let started = self
            .workers
            .lock()
            .await
            .start(account_config(policy, account), api, mode)
            .await;
        match started {
            Ok(first_pass) => Some(first_pass),
            Err(error) => {
                tracing::error!(
                    name: "account-not-started",
                    account = account.name,
                    %error,
                    "Account is not worked on"
                );
                // So that `status` shows the account as failing, and why.
                self.shared
                    .status
                    .journal_error(&account.name, Some(error.to_string()));
                None
            }
        }
    }

    /// The policy in force.
    pub async fn policy(&self) -> Arc<Policy> {
        Arc::clone(&*self.policy.read().await)
    }

    /// The connection to the service manager.
    pub fn systemd(&self) -> &Systemd {
        &self.shared.systemd
    }

    /// The handle of the alert task.
    pub fn alerts(&self) -> &AlertHandle {
        &self.alerts
    }

    /// The journal of all accounts.
    pub fn journal(&self) -> &SqliteJournal {
        &self.journal
    }

    /// The accounts that are worked on.
    pub async fn account_names(&self) -> Vec<String> {
        self.workers.lock().await.names()
    }

    /// What is known of an account right now, without asking its task.
    pub fn snapshot(&self, account: &str) -> AccountSnapshot {
        self.shared.status.snapshot(account).unwrap_or_default()
    }
}

/// Away from the runtime's thread, because it reads the `ca-file`.
async fn new_api(policy: &Policy, clock: &Clock) -> Result<HttpApi, OutboundError> {
    let (ringcx, clock) = (policy.ringcx.clone(), clock.clone());
    blocking(move || HttpApi::try_new(&ringcx, clock)).await
}

fn names(policy: &Policy) -> BTreeSet<String> {
    policy
        .accounts
        .iter()
        .map(|account| account.name.clone())
        .collect()
}

fn account_config(policy: &Policy, account: &AccountPolicy) -> AccountConfig {
    AccountConfig {
        account: account.clone(),
        ringcx: policy.ringcx.clone(),
        alerts: policy.alerts.clone(),
    }
}

/// Opens the journal. A command such as `tokens` holds it for a moment, which must not keep the
/// daemon from starting; a daemon keeps it, which shows at once.
async fn open_journal(policy: &DaemonPolicy) -> Result<SqliteJournal, JournalError> {
    let began = monotonic();
    loop {
        let locked = match SqliteJournal::open(&policy.state_dir) {
            Err(error @ JournalError::Locked { .. }) => error,
            opened => return opened,
        };
        let is_daemon = UnixStream::connect(&policy.control_socket).await.is_ok();
        if is_daemon || began.elapsed() > COMMANDS_TAKE {
            return Err(locked);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
