//! One task an account: a pass when it is due or somebody asks, and rest in between.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::status::{AlertObserver, StatusCache};
use super::systemd::Systemd;
use super::waker::Waker;
use crate::clock::monotonic;
use crate::reconcile::{
    AccountConfig, Adopt, AdoptError, ConfigsOfAccount, ListError, ListedToken, PassOutcome,
    Reconciler, RevokeError, RingexRateLimiter, TokenExchange,
};
use crate::ringcx::TokenApi;
use rotator_core::event::GenerationNo;
use rotator_core::journal::{Journal, JournalError};
use rotator_core::plan::Decision;
use rotator_core::secret::Fingerprint;

/// How long the first try of a rotation that was asked for waits for other accounts.
const LONGEST_WAIT_FOR_PEERS: Duration = Duration::from_secs(30);

/// Asks an account's task for something.
pub enum WorkerRequest<A> {
    /// Rotate now; answers what came of the first try.
    Rotate(oneshot::Sender<RotationResult>),
    /// Take a new policy.
    Reload(Box<AccountConfig>, Arc<A>),
    /// What would be done now?
    Plan(oneshot::Sender<Decision>),
    /// What is on the server?
    Tokens(oneshot::Sender<Result<Vec<ListedToken>, ListError>>),
    /// Which auth configs can be seen?
    AuthConfigs(oneshot::Sender<Result<Vec<ConfigsOfAccount>, ListError>>),
    /// Put foreign tokens under the policy, or leave them alone again.
    Adopt(Vec<Adopt>, oneshot::Sender<Result<(), AdoptError>>),
    /// Delete one token.
    Revoke(String, oneshot::Sender<Result<Fingerprint, RevokeError>>),
    /// A pass now.
    PassNow,
}

/// What came of the first try of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationResult {
    /// This generation is current.
    Promoted(GenerationNo),
    /// Not yet, for this reason; the daemon goes on trying.
    Failing(String),
}

/// What an account's task begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartMode {
    /// A pass.
    Pass,
    /// Nothing, until it is asked for something: a command that works without a daemon does one
    /// thing.
    Wait,
}

/// What all account tasks share.
pub struct WorkerShared {
    /// How many may work at once.
    pub permits: Semaphore,
    /// Rings when one is due.
    pub waker: Waker,
    /// What is known of all of them.
    pub board: Arc<StatusCache>,
    /// What they tell each other.
    pub peers: TokenExchange,
    /// Who watches over progress.
    pub systemd: Systemd,
    /// The limits of RingEX apps.
    pub apps: Arc<RingexRateLimiter>,
}

/// One account's task.
pub struct AccountWorker<A, J> {
    driver: Reconciler<A, J, AlertObserver>,
    shared: Arc<WorkerShared>,
    wakeup: Arc<Notify>,
    /// Rings when another account has something to tell.
    peers: Arc<Notify>,
    stop: CancellationToken,
}

impl<A: TokenApi, J: Journal> AccountWorker<A, J> {
    /// Ready to run.
    pub fn new(
        mut driver: Reconciler<A, J, AlertObserver>,
        shared: Arc<WorkerShared>,
        stop: CancellationToken,
    ) -> Self {
        let peers = driver.join(shared.peers.clone());
        Self {
            driver,
            shared,
            wakeup: Arc::default(),
            peers,
            stop,
        }
    }

    /// Works until told to stop. `first` is told when the first pass has ended, well or badly.
    pub async fn run(
        mut self,
        opening: StartMode,
        mut orders: mpsc::Receiver<WorkerRequest<A>>,
        first: oneshot::Sender<()>,
    ) {
        self.driver.clean_up().await;
        let mut first = Some(first);
        let mut due = opening == StartMode::Pass;
        while !self.stop.is_cancelled() {
            if due {
                let wake_at = self.pass().await;
                self.shared
                    .waker
                    .set(self.driver.name(), wake_at, &self.wakeup);
                if let Some(first) = first.take() {
                    let _nobody_waits = first.send(());
                }
            }
            due = tokio::select! {
                () = self.stop.cancelled() => break,
                () = self.wakeup.notified() => true,
                () = self.peers.notified() => true,
                order = orders.recv() => match order {
                    Some(order) => self.handle(order).await,
                    None => break,
                },
            };
        }
        self.shared.waker.forget(self.driver.name());
    }

    /// One pass, under the common limit. Answers when the next is due.
    async fn pass(&mut self) -> DateTime<Utc> {
        // The semaphore is never closed; without a permit the pass would only be less patient.
        let _permit = self.shared.permits.acquire().await;
        let name = self.driver.name().to_owned();
        self.shared
            .board
            .working(&name, super::status::Activity::Working);
        let report = self.driver.pass(&self.stop).await;
        self.shared
            .board
            .working(&name, super::status::Activity::Resting);
        self.shared.systemd.resting(&name);
        self.shared.board.next_pass(&name, report.wake_at);
        match report.end {
            PassOutcome::AtRest | PassOutcome::Stopped => {}
            PassOutcome::Circling => {
                tracing::error!(name: "pass-too-long", account = name, "Pass ended after too many steps, trying again later");
            }
            PassOutcome::Journal(error) => {
                // Once, and not at each of the tries to come: with many accounts those are very
                // many.
                if self
                    .shared
                    .board
                    .journal_error(&name, Some(error.to_string()))
                    .is_none()
                {
                    tracing::error!(name: "journal-refused", account = name, %error, "Journal cannot be used, nothing is done until it can");
                }
                return report.wake_at;
            }
        }
        if self.shared.board.journal_error(&name, None).is_some() {
            tracing::info!(name: "journal-works", account = name, "Journal can be used again");
        }
        report.wake_at
    }

    /// Does what is asked. Whether a pass is due afterwards.
    async fn handle(&mut self, order: WorkerRequest<A>) -> bool {
        match order {
            WorkerRequest::PassNow => true,
            WorkerRequest::Plan(reply) => {
                let _gone = reply.send(self.driver.decide());
                false
            }
            WorkerRequest::Rotate(reply) => {
                let outcome = self.rotate().await;
                let _gone = reply.send(outcome);
                false
            }
            WorkerRequest::Reload(assignment, api) => {
                if let Err(error) = self.driver.reload(*assignment, api).await {
                    self.complain(&error);
                }
                true
            }
            WorkerRequest::Tokens(reply) => {
                let tokens = self.driver.list_tokens(&self.stop).await;
                self.shared.systemd.resting(self.driver.name());
                let _gone = reply.send(tokens);
                false
            }
            WorkerRequest::AuthConfigs(reply) => {
                let listed = self.driver.list_auth_configs(&self.stop).await;
                self.shared.systemd.resting(self.driver.name());
                let _gone = reply.send(listed);
                false
            }
            WorkerRequest::Adopt(wishes, reply) => {
                let outcome = self.driver.adopt(wishes, &self.stop).await;
                self.shared.systemd.resting(self.driver.name());
                let _gone = reply.send(outcome);
                true
            }
            WorkerRequest::Revoke(prefix, reply) => {
                let outcome = self.driver.revoke(&prefix, &self.stop).await;
                self.shared.systemd.resting(self.driver.name());
                let _gone = reply.send(outcome);
                true
            }
        }
    }

    async fn rotate(&mut self) -> RotationResult {
        if let Err(error) = self.driver.ask_rotation().await {
            self.complain(&error);
            return RotationResult::Failing(error.to_string());
        }
        let mut wake_at = self.pass().await;
        // A sink that names other accounts may have to wait for one of them to have its token at
        // hand.
        let since = monotonic();
        while self.driver.state().asked_at.is_some()
            && !self.driver.awaits().is_empty()
            && since.elapsed() < LONGEST_WAIT_FOR_PEERS
        {
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = self.peers.notified() => wake_at = self.pass().await,
                () = tokio::time::sleep(LONGEST_WAIT_FOR_PEERS) => break,
            }
        }
        self.shared
            .waker
            .set(self.driver.name(), wake_at, &self.wakeup);
        let state = self.driver.state();
        match (state.asked_at, state.current()) {
            (None, Some(current)) => RotationResult::Promoted(current.number),
            (Some(_), _) | (None, None) => {
                RotationResult::Failing(super::view::why_not_done(state, &self.driver.decide()))
            }
        }
    }

    fn complain(&self, error: &JournalError) {
        tracing::error!(name: "journal-refused", account = self.driver.name(), %error, "Journal cannot be written");
    }
}
