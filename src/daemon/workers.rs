//! The account tasks: starting, changing and ending them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::status::AlertObserver;
use super::worker::{AccountWorker, StartMode, WorkerRequest, WorkerShared};
use crate::clock::Clock;
use crate::reconcile::{AccountConfig, HistoryError, Reconciler};
use crate::ringcx::http::HttpApi;
use crate::store::SqliteJournal;

/// Requests that may wait for one account.
const QUEUE: usize = 16;

/// The tasks of all accounts that are worked on.
pub struct Workers {
    shared: Arc<WorkerShared>,
    journal: SqliteJournal,
    observer: AlertObserver,
    clock: Clock,
    /// By the name of the account.
    running: BTreeMap<String, WorkerHandle>,
}

struct WorkerHandle {
    requests: mpsc::Sender<WorkerRequest>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Workers {
    /// Starts with no account; see [`Workers::start`].
    pub fn new(
        shared: Arc<WorkerShared>,
        journal: SqliteJournal,
        observer: AlertObserver,
        clock: Clock,
    ) -> Self {
        Self {
            shared,
            journal,
            observer,
            clock,
            running: BTreeMap::new(),
        }
    }

    /// Starts an account's task. The receiver resolves when its first pass has ended.
    pub async fn start(
        &mut self,
        config: AccountConfig,
        api: Arc<HttpApi>,
        mode: StartMode,
    ) -> Result<oneshot::Receiver<()>, HistoryError> {
        let name = config.account.name.clone();
        let reconciler = Reconciler::open(
            config,
            api,
            self.journal.clone(),
            self.observer.clone(),
            self.clock.clone(),
        )
        .await?;
        let reconciler = reconciler.sharing(Arc::clone(&self.shared.ringex_limits));
        let stop = CancellationToken::new();
        let (requests, inbox) = mpsc::channel(QUEUE);
        let (first_pass, first_pass_ended) = oneshot::channel();
        let worker = AccountWorker::new(reconciler, Arc::clone(&self.shared), stop.clone());
        let task = tokio::spawn(worker.run(mode, inbox, first_pass));
        let handle = WorkerHandle {
            requests,
            stop,
            task,
        };
        self.running.insert(name, handle);
        Ok(first_pass_ended)
    }

    /// The queue of an account's task.
    pub fn requests(&self, account: &str) -> Option<mpsc::Sender<WorkerRequest>> {
        // A clone of the sender, so that the caller can wait without the lock of all workers.
        let worker = self.running.get(account);
        worker.map(|worker| worker.requests.clone())
    }

    /// The accounts that are worked on.
    pub fn names(&self) -> Vec<String> {
        self.running.keys().cloned().collect()
    }

    /// Ends one account's task after the step in flight.
    pub async fn end(&mut self, account: &str) {
        if let Some(worker) = self.running.remove(account) {
            worker.stop.cancel();
            finish(account, worker.task).await;
            // After its end: a running task would leave a new snapshot.
            self.shared.status.remove(account);
            self.shared.peers.leave(account);
        }
    }

    /// Ends all tasks after the step in flight. Tasks that take longer than `grace` are dropped;
    /// the next start finds out from the journal what they were doing.
    pub async fn end_all(&mut self, grace: Duration) {
        let workers = std::mem::take(&mut self.running);
        // All are stopped before the first is waited for, because they share one grace period.
        for worker in workers.values() {
            worker.stop.cancel();
        }
        let all = async {
            for (account, worker) in workers {
                finish(&account, worker.task).await;
            }
        };
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!(
                name: "step-cut-off",
                "A step took longer than shutdown-grace, its outcome is found out at the next start"
            );
        }
    }
}

async fn finish(account: &str, task: JoinHandle<()>) {
    // A task that panicked must not keep the others from ending in order.
    if let Err(error) = task.await {
        tracing::error!(name: "account-task-ended", account, %error, "Account task ended badly");
    }
}
