//! A pass: plan, do one thing, plan again, until there is nothing to do now.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{HistoryError, Observer, Reconciler};
use crate::ringcx::TokenApi;
use rotator_core::event::BackoffKey;
use rotator_core::journal::{Journal, JournalError};
use rotator_core::plan::{Next, plan};
use rotator_core::secret::SecretTag;

/// No honest pass has more steps; one that does is going round in circles.
const MOST_STEPS: usize = 500;

/// Between two tries at a journal that refuses, unless the policy's first wait is longer.
const LONGEST_REFUSAL: Duration = Duration::from_secs(5 * 60);

/// How a pass ended.
#[derive(Debug)]
pub struct PassReport {
    /// When the next one is due.
    pub wake_at: DateTime<Utc>,
    /// Why it ended.
    pub end: PassOutcome,
}

/// Why a pass ended.
#[derive(Debug)]
pub enum PassOutcome {
    /// Nothing is left to do now.
    AtRest,
    /// It was told to stop.
    Stopped,
    /// It was going round in circles; it is tried again later.
    Circling,
    /// The journal could not be written or read, so nothing more was done.
    Journal(HistoryError),
}

/// Why a step ended without an outcome to record.
pub(super) enum Interrupt {
    /// The journal could not be written.
    Journal(JournalError),
    /// The process is to stop.
    Stopped,
    /// Not before then, and for no fault: a limit of ours.
    NotBefore(DateTime<Utc>),
}

impl From<JournalError> for Interrupt {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Does all that is due now. Safe to call at any time and any number of times.
    pub async fn pass(&mut self, stop: &CancellationToken) -> PassReport {
        if let Err(error) = self.settle_doubt().await {
            return self.refused(error);
        }
        self.peers.begins_pass(self.name());
        self.seen.begin_pass(self.clock.now());
        if let Err(halt) = self.note_first_user().await {
            return self.halted(halt, self.clock.now());
        }
        self.seen.secret_tag = self.tag_held_secret().await;
        self.note_texts();
        let report = self.work(stop).await;
        self.end_pass().await;
        self.peers.ends_pass(self.name());
        match report.end {
            PassOutcome::AtRest | PassOutcome::Stopped | PassOutcome::Circling => self.refusals = 0,
            PassOutcome::Journal(error) => return self.refused(error),
        }
        report
    }

    /// The next try at a journal that refuses. The wait is counted in memory, where else; and it is
    /// not long, as a disk that has room again must not wait for an hour.
    fn refused(&mut self, error: HistoryError) -> PassReport {
        let retry = &self.assignment.account.retry;
        let wait = retry.initial.saturating_mul(1 << self.refusals.min(16));
        let wait = wait.min(retry.max).min(LONGEST_REFUSAL).max(retry.initial);
        self.refusals = self.refusals.saturating_add(1);
        PassReport {
            wake_at: rotator_core::time::after(self.clock.now(), wait),
            end: PassOutcome::Journal(error),
        }
    }

    pub(super) async fn work(&mut self, stop: &CancellationToken) -> PassReport {
        for _ in 0..MOST_STEPS {
            self.progress();
            self.read_peers();
            let now = self.clock.now();
            let decision = plan(&self.assignment.account, &self.state, &self.seen, now);
            let wake_at = decision.wake_at;
            let done = match decision.next {
                Next::Rest => {
                    decision
                        .awaits
                        .iter()
                        .for_each(|account| self.peers.want(account));
                    return PassReport {
                        wake_at,
                        end: PassOutcome::AtRest,
                    };
                }
                // What was seen is written down even when stopping; nothing new is begun.
                Next::Record(events) => self.record(events).await.map_err(Interrupt::Journal),
                Next::Do(_) if stop.is_cancelled() => Err(Interrupt::Stopped),
                Next::Do(step) => self.perform(step, stop).await,
            };
            match done {
                Ok(()) => {}
                Err(halt) => return self.halted(halt, wake_at),
            }
        }
        let wake_at =
            rotator_core::time::after(self.clock.now(), self.assignment.account.retry.max);
        PassReport {
            wake_at,
            end: PassOutcome::Circling,
        }
    }

    fn halted(&self, halt: Interrupt, wake_at: DateTime<Utc>) -> PassReport {
        match halt {
            Interrupt::Stopped => PassReport {
                wake_at,
                end: PassOutcome::Stopped,
            },
            Interrupt::NotBefore(until) => PassReport {
                wake_at: wake_at.min(until),
                end: PassOutcome::AtRest,
            },
            Interrupt::Journal(error) => {
                let wake_at = rotator_core::time::after(
                    self.clock.now(),
                    self.assignment.account.retry.initial,
                );
                PassReport {
                    wake_at,
                    end: PassOutcome::Journal(error.into()),
                }
            }
        }
    }

    /// Keeps no more in memory than the next pass can use, and says how things stand.
    pub(super) async fn end_pass(&mut self) {
        self.listing = Vec::new();
        let wanted = self.state.in_use();
        self.session.keep_only(&wanted);
        self.tell_conditions().await;
        self.compact_if_long().await;
        self.witness.changed(self.name(), &self.state, &self.seen);
        self.progress();
    }

    /// The tag of the login's secrets, while a rejected login is held back: another one lifts the
    /// hold.
    async fn tag_held_secret(&self) -> Option<SecretTag> {
        let held = self.state.lanes.get(&BackoffKey::Login)?;
        held.rejected?;
        self.tag_secrets().await
    }

    pub(super) fn note_texts(&mut self) {
        self.seen.values = self.session.texts().collect();
        self.publish_to_peers();
    }
}
