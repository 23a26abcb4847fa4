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

/// Orders that may wait for one account.
const QUEUE: usize = 16;

/// All account tasks.
pub struct Workers {
    shared: Arc<WorkerShared>,
    journal: SqliteJournal,
    witness: AlertObserver,
    clock: Clock,
    crews: BTreeMap<String, WorkerHandle>,
}

struct WorkerHandle {
    orders: mpsc::Sender<WorkerRequest<HttpApi>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Workers {
    /// No account yet.
    pub fn new(
        shared: Arc<WorkerShared>,
        journal: SqliteJournal,
        witness: AlertObserver,
        clock: Clock,
    ) -> Self {
        Self {
            shared,
            journal,
            witness,
            clock,
            crews: BTreeMap::new(),
        }
    }

    /// Takes an account up. What is answered resolves when its first pass has ended.
    pub async fn start(
        &mut self,
        assignment: AccountConfig,
        api: Arc<HttpApi>,
        opening: StartMode,
    ) -> Result<oneshot::Receiver<()>, HistoryError> {
        let name = assignment.account.name.clone();
        let witness = self.witness.clone();
        let driver = Reconciler::open(
            assignment,
            api,
            self.journal.clone(),
            witness,
            self.clock.clone(),
        )
        .await?;
        let driver = driver.sharing(Arc::clone(&self.shared.apps));
        let stop = CancellationToken::new();
        let (orders, inbox) = mpsc::channel(QUEUE);
        let (first, first_ended) = oneshot::channel();
        let runner = AccountWorker::new(driver, Arc::clone(&self.shared), stop.clone());
        let task = tokio::spawn(runner.run(opening, inbox, first));
        self.crews.insert(name, WorkerHandle { orders, stop, task });
        Ok(first_ended)
    }

    /// The way to an account's task.
    pub fn orders(&self, account: &str) -> Option<mpsc::Sender<WorkerRequest<HttpApi>>> {
        self.crews.get(account).map(|crew| crew.orders.clone())
    }

    /// The accounts that are worked on.
    pub fn names(&self) -> Vec<String> {
        self.crews.keys().cloned().collect()
    }

    /// Ends one account's task after the step in flight.
    pub async fn end(&mut self, account: &str) {
        if let Some(crew) = self.crews.remove(account) {
            crew.stop.cancel();
            finish(account, crew.task).await;
            self.shared.board.remove(account);
            self.shared.peers.leave(account);
        }
    }

    /// Ends all tasks after the step in flight; those that take longer than `grace` are dropped,
    /// and what they were doing is found out from the journal at the next start.
    pub async fn end_all(&mut self, grace: Duration) {
        let crews = std::mem::take(&mut self.crews);
        for crew in crews.values() {
            crew.stop.cancel();
        }
        let all = async {
            for (account, crew) in crews {
                finish(&account, crew.task).await;
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
    if let Err(error) = task.await {
        tracing::error!(name: "account-task-ended", account, %error, "Account task ended badly");
    }
}
