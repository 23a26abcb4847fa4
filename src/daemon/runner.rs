//! One task an account: a pass when it is due or somebody asks, and rest in between.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::board::{Board, DeskWitness};
use super::systemd::Systemd;
use super::waker::Waker;
use crate::driver::{AccountDriver, Assignment, PassEnd, RevokeError};
use crate::event::GenerationNo;
use crate::journal::{Journal, JournalError};
use crate::plan::Decision;
use crate::ringcx::TokenApi;
use crate::secret::Fingerprint;

/// Asks an account's task for something.
pub enum Order<A> {
    /// Rotate now; answers what came of the first try.
    Rotate(oneshot::Sender<Rotation>),
    /// Take a new policy.
    Reload(Box<Assignment>, Arc<A>),
    /// What would be done now?
    Plan(oneshot::Sender<Decision>),
    /// What is on the server?
    Tokens(oneshot::Sender<Result<Vec<(Fingerprint, String)>, RevokeError>>),
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
    /// Who watches over progress.
    pub systemd: Systemd,
}

/// One account's task.
pub struct Runner<A, J> {
    driver: AccountDriver<A, J, DeskWitness>,
    shared: Arc<Shared>,
    bell: Arc<Notify>,
    stop: CancellationToken,
}

impl<A: TokenApi, J: Journal> Runner<A, J> {
    /// Ready to run.
    pub fn new(
        driver: AccountDriver<A, J, DeskWitness>,
        shared: Arc<Shared>,
        stop: CancellationToken,
    ) -> Self {
        Self { driver, shared, bell: Arc::default(), stop }
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
                tracing::error!(name: "journal-refused", account = name, %error, "Journal cannot be written, nothing is done until it can");
                self.shared.board.journal_error(&name, Some(error.to_string()));
                return report.wake_at;
            }
        }
        self.shared.board.journal_error(&name, None);
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
        let wake_at = self.pass().await;
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
