//! One task an account: a pass when it is due or somebody asks, and rest in between.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::board::{Board, DeskWitness};
use super::systemd::Systemd;
use super::waker::Waker;
use crate::clock::monotonic;
use crate::driver::{
    AccountDriver, Adopt, AdoptError, Assignment, ConfigsOfAccount, ListError, ListedToken, PassEnd, Peers,
    RevokeError, RingexApps,
};
use crate::event::GenerationNo;
use crate::journal::{Journal, JournalError};
use crate::plan::Decision;
use crate::ringcx::TokenApi;
use crate::secret::Fingerprint;

/// How long the first try of a rotation that was asked for waits for other accounts.
const LONGEST_WAIT_FOR_PEERS: Duration = Duration::from_secs(30);

/// Asks an account's task for something.
pub enum Order<A> {
    /// Rotate now; answers what came of the first try.
    Rotate(oneshot::Sender<Rotation>),
    /// Take a new policy.
    Reload(Box<Assignment>, Arc<A>),
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
pub enum Rotation {
    /// This generation is current.
    Promoted(GenerationNo),
    /// Not yet, for this reason; the daemon goes on trying.
    Failing(String),
}

/// What an account's task begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A pass.
    Pass,
    /// Nothing, until it is asked for something: a command that works without a daemon does one thing.
    Wait,
}

/// What all account tasks share.
pub struct Shared {
    /// How many may work at once.
    pub permits: Semaphore,
    /// Rings when one is due.
    pub waker: Waker,
    /// What is known of all of them.
    pub board: Arc<Board>,
    /// What they tell each other.
    pub peers: Peers,
    /// Who watches over progress.
    pub systemd: Systemd,
    /// The limits of RingEX apps.
    pub apps: Arc<RingexApps>,
}

/// One account's task.
pub struct Runner<A, J> {
    driver: AccountDriver<A, J, DeskWitness>,
    shared: Arc<Shared>,
    bell: Arc<Notify>,
    /// Rings when another account has something to tell.
    peers: Arc<Notify>,
    stop: CancellationToken,
}

impl<A: TokenApi, J: Journal> Runner<A, J> {
    /// Ready to run.
    pub fn new(
        mut driver: AccountDriver<A, J, DeskWitness>,
        shared: Arc<Shared>,
        stop: CancellationToken,
    ) -> Self {
        let peers = driver.join(shared.peers.clone());
        Self { driver, shared, bell: Arc::default(), peers, stop }
    }

    /// Works until told to stop. `first` is told when the first pass has ended, well or badly.
    pub async fn run(
        mut self,
        opening: Opening,
        mut orders: mpsc::Receiver<Order<A>>,
        first: oneshot::Sender<()>,
    ) {
        self.driver.clean_up().await;
        let mut first = Some(first);
        let mut due = opening == Opening::Pass;
        while !self.stop.is_cancelled() {
            if due {
                let wake_at = self.pass().await;
                self.shared.waker.set(self.driver.name(), wake_at, &self.bell);
                if let Some(first) = first.take() {
                    let _nobody_waits = first.send(());
                }
            }
            due = tokio::select! {
                () = self.stop.cancelled() => break,
                () = self.bell.notified() => true,
                () = self.peers.notified() => true,
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
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
        self.shared.board.working(&name, super::board::Activity::Working);
        let report = self.driver.pass(&self.stop).await;
        self.shared.board.working(&name, super::board::Activity::Resting);
        self.shared.systemd.resting(&name);
        self.shared.board.next_pass(&name, report.wake_at);
        match report.end {
            PassEnd::AtRest | PassEnd::Stopped => {}
            PassEnd::Circling => {
                tracing::error!(name: "pass-too-long", account = name, "Pass ended after too many steps, trying again later");
            }
            PassEnd::Journal(error) => {
                // Once, and not at each of the tries to come: with many accounts those are very many.
                if self.shared.board.journal_error(&name, Some(error.to_string())).is_none() {
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
    async fn obey(&mut self, order: Order<A>) -> bool {
        match order {
            Order::PassNow => true,
            Order::Plan(reply) => {
                let _gone = reply.send(self.driver.decide());
                false
            }
            Order::Rotate(reply) => {
                let outcome = self.rotate().await;
                let _gone = reply.send(outcome);
                false
            }
            Order::Reload(assignment, api) => {
                if let Err(error) = self.driver.reload(*assignment, api).await {
                    self.complain(&error);
                }
                true
            }
            Order::Tokens(reply) => {
                let tokens = self.driver.list_tokens(&self.stop).await;
                self.shared.systemd.resting(self.driver.name());
                let _gone = reply.send(tokens);
                false
            }
            Order::AuthConfigs(reply) => {
                let listed = self.driver.list_auth_configs(&self.stop).await;
                self.shared.systemd.resting(self.driver.name());
                let _gone = reply.send(listed);
                false
            }
            Order::Adopt(wishes, reply) => {
                let outcome = self.driver.adopt(wishes, &self.stop).await;
                self.shared.systemd.resting(self.driver.name());
                let _gone = reply.send(outcome);
                true
            }
            Order::Revoke(prefix, reply) => {
                let outcome = self.driver.revoke(&prefix, &self.stop).await;
                self.shared.systemd.resting(self.driver.name());
                let _gone = reply.send(outcome);
                true
            }
        }
    }

    async fn rotate(&mut self) -> Rotation {
        if let Err(error) = self.driver.ask_rotation().await {
            self.complain(&error);
            return Rotation::Failing(error.to_string());
        }
        let mut wake_at = self.pass().await;
        // A sink that names other accounts may have to wait for one of them to have its token at hand.
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
        self.shared.waker.set(self.driver.name(), wake_at, &self.bell);
        let state = self.driver.state();
        match (state.asked_at, state.current()) {
            (None, Some(current)) => Rotation::Promoted(current.number),
            (Some(_), _) | (None, None) => {
                Rotation::Failing(super::view::why_not_done(state, &self.driver.decide()))
            }
        }
    }

    fn complain(&self, error: &JournalError) {
        tracing::error!(name: "journal-refused", account = self.driver.name(), %error, "Journal cannot be written");
    }
}
