//! One task for each account: a pass when it is due or requested, and rest in between.
//!
//! A request that only needs the account's reconciler is a [`WorkerRequest::Call`]; this module
//! does not know which there are. The others change what the task itself does next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::status::{Activity, AlertObserver, StatusCache};
use super::systemd::Systemd;
use super::waker::Waker;
use crate::clock::monotonic;
use crate::reconcile::{
    AccountConfig, PassOutcome, PassReport, Reconciler, RingexRateLimiter, TokenExchange,
};
use crate::ringcx::http::HttpApi;
use crate::store::SqliteJournal;
use rotator_core::event::GenerationNo;
use rotator_core::journal::JournalError;

/// How long the first try of a requested rotation waits for other accounts.
const LONGEST_WAIT_FOR_PEERS: Duration = Duration::from_secs(30);

/// The reconciler of one account of the daemon.
pub type AccountReconciler = Reconciler<HttpApi, SqliteJournal, AlertObserver>;

/// Work that borrows an account's reconciler for as long as it takes.
pub type ReconcilerCall = Box<
    dyn for<'r> FnOnce(&'r mut AccountReconciler, &'r CancellationToken) -> BoxFuture<'r, ()>
        + Send,
>;

/// A request to an account's task.
pub enum WorkerRequest {
    /// Do this with the reconciler.
    Call(ReconcilerCall, AfterCall),
    /// Rotate now, and send the result of the first try. One that was asked for, at this time,
    /// before the last was over has that result.
    Rotate(oneshot::Sender<RotationResult>, Instant),
    /// Replace policy and client, then make a pass.
    Reload(Box<AccountConfig>, Arc<HttpApi>),
    /// Make a pass now.
    PassNow,
}

/// What an account's task does after a [`WorkerRequest::Call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCall {
    /// Nothing: the call changed nothing that the plan depends on.
    Rest,
    /// A pass, because the plan may be another one now.
    Pass,
}

/// Result of the first try of a rotation.
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
    /// A pass, as the daemon does.
    Pass,
    /// Wait for a request: a command that works without a daemon does one thing only.
    Wait,
}

/// What all account tasks share.
pub struct WorkerShared {
    /// Limits how many accounts work at once.
    pub permits: Semaphore,
    /// Wakes an account at the time of its next pass.
    pub waker: Waker,
    /// What is known of each account.
    pub status: Arc<StatusCache>,
    /// Hands new tokens to the accounts whose templates name them.
    pub peers: TokenExchange,
    /// Learns which accounts make progress, for the watchdog.
    pub systemd: Systemd,
    /// The login limits of RingEX apps, which accounts may share.
    pub ringex_limits: Arc<RingexRateLimiter>,
}

/// The task of one account, and all that it works with.
pub struct AccountWorker {
    reconciler: AccountReconciler,
    shared: Arc<WorkerShared>,
    wakeup: Arc<Notify>,
    /// Notified when another account has a new token for this one.
    peers: Arc<Notify>,
    stop: CancellationToken,
    /// When the last rotation that was asked for ended, and how.
    rotated: Option<(Instant, RotationResult)>,
}

impl AccountWorker {
    /// Joins the exchange of tokens. Nothing runs before [`AccountWorker::run`].
    pub fn new(
        mut reconciler: AccountReconciler,
        shared: Arc<WorkerShared>,
        stop: CancellationToken,
    ) -> Self {
        let peers = reconciler.join(shared.peers.clone());
        // Before the first pass: it may take long, and `status` is asked meanwhile.
        shared
            .status
            .update(reconciler.name(), reconciler.state(), reconciler.evidence());
        Self {
            reconciler,
            shared,
            wakeup: Arc::default(),
            peers,
            stop,
            rotated: None,
        }
    }

    /// Works until stopped. `first_pass` is sent when the first pass has ended, well or badly.
    pub async fn run(
        mut self,
        mode: StartMode,
        mut requests: mpsc::Receiver<WorkerRequest>,
        first_pass: oneshot::Sender<()>,
    ) {
        // Before any delivery, whose temporary file would look like one that a crash left.
        self.reconciler.clean_up().await;
        let mut first_pass = Some(first_pass);
        let mut is_due = mode == StartMode::Pass;
        // Checked each time: `select!` takes any branch that is ready, not always the stop.
        while !self.stop.is_cancelled() {
            if is_due {
                let (wake_at, is_done) = self.pass().await;
                self.wake_at(wake_at);
                // All that is due belongs to the first one, in however many pieces it is done.
                if let Some(first_pass) = first_pass.take_if(|_| is_done) {
                    // A reload starts accounts without waiting for them.
                    let _not_awaited = first_pass.send(());
                }
            }
            is_due = tokio::select! {
                () = self.stop.cancelled() => break,
                () = self.wakeup.notified() => true,
                () = self.peers.notified() => true,
                request = requests.recv() => match request {
                    Some(request) => self.handle(request).await == AfterCall::Pass,
                    None => break,
                },
            };
        }
        self.shared.waker.forget(self.reconciler.name());
    }

    fn wake_at(&self, at: DateTime<Utc>) {
        let name = self.reconciler.name();
        self.shared.waker.set(name, at, &self.wakeup);
    }

    /// One pass, under the common limit. Returns when the next is due, and whether this one has done
    /// all there was to do.
    async fn pass(&mut self) -> (DateTime<Utc>, bool) {
        // The semaphore is never closed, so this is never an error.
        let _permit = self.shared.permits.acquire().await;
        let name = self.reconciler.name().to_owned();
        self.shared.status.working(&name, Activity::Working);
        let report = self.reconciler.pass(&self.stop).await;
        self.shared.status.working(&name, Activity::Resting);
        // An account at rest makes no progress, and must not count as stuck.
        self.shared.systemd.resting(&name);
        self.shared.status.next_pass(&name, report.wake_at);
        self.log_end(&name, &report);
        let is_done = !matches!(report.end, PassOutcome::Unfinished);
        (report.wake_at, is_done)
    }

    fn log_end(&self, name: &str, report: &PassReport) {
        match &report.end {
            PassOutcome::AtRest | PassOutcome::Unfinished | PassOutcome::Stopped => {}
            PassOutcome::Circling => {
                tracing::error!(
                    name: "pass-too-long",
                    account = name,
                    "Pass ended after too many steps, trying again later"
                );
            }
            PassOutcome::Journal(error) => {
                let known = self
                    .shared
                    .status
                    .journal_error(name, Some(error.to_string()));
                // Logged once and not at each of the tries to come: with many accounts those are
                // very many.
                if known.is_none() {
                    tracing::error!(
                        name: "journal-refused",
                        account = name,
                        %error,
                        "Journal cannot be used, nothing is done until it can"
                    );
                }
                return;
            }
        }
        if self.shared.status.journal_error(name, None).is_some() {
            tracing::info!(name: "journal-works", account = name, "Journal can be used again");
        }
    }

    async fn handle(&mut self, request: WorkerRequest) -> AfterCall {
        match request {
            WorkerRequest::Call(call, after) => {
                call(&mut self.reconciler, &self.stop).await;
                // What the call asked of RingCX counted as progress; it is over.
                self.shared.systemd.resting(self.reconciler.name());
                after
            }
            WorkerRequest::Rotate(reply, asked) => {
                let result = match self.result_for(asked) {
                    Some(result) => result,
                    None => {
                        let result = self.rotate().await;
                        self.rotated = Some((monotonic(), result.clone()));
                        result
                    }
                };
                let _gone = reply.send(result);
                // `rotate` has made its pass, and set the time of the next.
                AfterCall::Rest
            }
            WorkerRequest::Reload(config, api) => {
                // The new policy is in force in any case: only the end of what it holds back is
                // journaled.
                if let Err(error) = self.reconciler.reload(*config, api).await {
                    self.log_refused(&error);
                }
                AfterCall::Pass
            }
            WorkerRequest::PassNow => AfterCall::Pass,
        }
    }

    /// The result of the rotation that was under way when this one was asked for: ten people who
    /// ask at once want one new token, and each further one would count against `max-live`.
    fn result_for(&self, asked: Instant) -> Option<RotationResult> {
        let promoted = self.reconciler.last_promotion();
        let promoted = promoted.map(|(at, number)| (at, RotationResult::Promoted(number)));
        // The last one first: it says how things stand now.
        let mut ended: Vec<_> = promoted.into_iter().chain(self.rotated.clone()).collect();
        ended.sort_by_key(|(at, _)| *at);
        let (at, result) = ended.pop()?;
        (asked <= at).then_some(result)
    }

    async fn rotate(&mut self) -> RotationResult {
        // Journaled before the pass: a crash in between must not lose the request.
        if let Err(error) = self.reconciler.ask_rotation().await {
            self.log_refused(&error);
            return RotationResult::Failing(error.to_string());
        }
        let (mut wake_at, _) = self.pass().await;
        // A sink whose template names other accounts may have to wait until one of them has its
        // token at hand.
        let since = monotonic();
        while self.reconciler.state().asked_at.is_some()
            && !self.reconciler.awaits().is_empty()
            && since.elapsed() < LONGEST_WAIT_FOR_PEERS
        {
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = self.peers.notified() => (wake_at, _) = self.pass().await,
                () = tokio::time::sleep(LONGEST_WAIT_FOR_PEERS) => break,
            }
        }
        self.wake_at(wake_at);
        let state = self.reconciler.state();
        // A promotion clears `asked_at`, so it says whether this rotation is done.
        match (state.asked_at, state.current()) {
            (None, Some(current)) => RotationResult::Promoted(current.number),
            (Some(_), _) | (None, None) => {
                let decision = self.reconciler.decide();
                RotationResult::Failing(super::view::why_not_done(state, &decision))
            }
        }
    }

    fn log_refused(&self, error: &JournalError) {
        tracing::error!(
            name: "journal-refused",
            account = self.reconciler.name(),
            %error,
            "Journal cannot be written"
        );
    }
}
