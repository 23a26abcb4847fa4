//! A pass: plan, do one thing, plan again, until there is nothing to do now.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::event_history::HistoryError;
use super::interrupt::Interrupt;
use super::state::{Observer, Reconciler};
use crate::ringcx::TokenApi;
use rotator_core::event::{BackoffKey, Event, IncidentKind};
use rotator_core::journal::{Journal, JournalError};
use rotator_core::plan::{Next, Step};
use rotator_core::secret::SecretTag;
use rotator_core::time::after;

/// A pass that takes more steps is going round in circles: the longest rotation has far fewer.
const MOST_STEPS: usize = 500;

/// After so many deletions a pass ends and the next begins: sinks are looked at between them.
const MOST_DELETIONS: usize = 10;

/// The longest wait between two attempts at a journal that cannot be used, unless the policy's
/// first wait is longer.
const LONGEST_REFUSAL: Duration = Duration::from_secs(5 * 60);

/// How a pass ended.
#[derive(Debug)]
pub struct PassReport {
    /// When the next one is due.
    pub wake_at: DateTime<Utc>,
    /// Why the pass ended, e.g. because nothing is left to do now.
    pub end: PassOutcome,
}

/// Why a pass ended.
#[derive(Debug)]
pub enum PassOutcome {
    /// Nothing is left to do now.
    AtRest,
    /// More is to be done, and the next pass, which is due now, goes on with it.
    Unfinished,
    /// The process is to stop.
    Stopped,
    /// It was going round in circles; the next pass tries again.
    Circling,
    /// The journal could not be written or read, so nothing more was done.
    Journal(HistoryError),
}

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Does everything that is due now. Safe to call at any time and any number of times.
    pub async fn pass(&mut self, stop: &CancellationToken) -> PassReport {
        // First of all: a decision on a state that differs from the journal could mint twice.
        if let Err(error) = self.resolve_doubt().await {
            return self.refused(error);
        }
        // Before anything is compared with the time.
        if let Err(error) = self.keep_time().await {
            return self.refused(error.into());
        }
        // From here on a wake-up is about news that this pass may miss, and leads to another pass.
        self.peers.begins_pass(self.name());
        self.evidence.begin_pass();
        if let Err(interrupt) = self.note_first_user().await {
            return self.interrupted(interrupt, self.clock.now());
        }
        let tag = self.tag_held_secret().await;
        self.evidence.saw_secret(tag);
        self.note_texts();
        let mut report = self.work(stop).await;
        if let Err(error) = self.note_end(&mut report).await {
            report.end = PassOutcome::Journal(error.into());
        }
        self.end_pass().await;
        self.peers.ends_pass(self.name());
        match report.end {
            PassOutcome::AtRest
            | PassOutcome::Unfinished
            | PassOutcome::Stopped
            | PassOutcome::Circling => self.journal.refusals = 0,
            PassOutcome::Journal(error) => return self.refused(error),
        }
        report
    }

    /// The next attempt at a journal that cannot be used. The wait is counted in memory, as the
    /// journal cannot keep it; and it is short, so that work goes on soon after a full disk has
    /// room again.
    fn refused(&mut self, error: HistoryError) -> PassReport {
        let retry = &self.config.account.retry;
        let wait = retry
            .initial
            // Bounded so that the shift cannot overflow.
            .saturating_mul(1 << self.journal.refusals.min(16));
        let wait = wait.min(retry.max).min(LONGEST_REFUSAL).max(retry.initial);
        self.journal.refusals = self.journal.refusals.saturating_add(1);
        PassReport {
            wake_at: rotator_core::time::after(self.clock.now(), wait),
            end: PassOutcome::Journal(error),
        }
    }

    pub(super) async fn work(&mut self, stop: &CancellationToken) -> PassReport {
        let began = self.clock.now();
        self.evidence.begin_work(began);
        let mut deletions = 0;
        for _ in 0..MOST_STEPS {
            self.progress();
            // Before each decision: the other accounts publish while this one works.
            self.read_peers();
            let decision = match self.keep_time().await {
                Ok((now, _)) => self.decide_at(now),
                Err(error) => return self.interrupted(error.into(), self.clock.now()),
            };
            let wake_at = decision.wake_at;
            if let Next::Do(Step::Delete(_)) = decision.next {
                let checks_due = after(began, self.config.account.check_every);
                if deletions == MOST_DELETIONS || (deletions > 0 && self.clock.now() >= checks_due)
                {
                    return PassReport {
                        wake_at: self.clock.now(),
                        end: PassOutcome::Unfinished,
                    };
                }
                deletions += 1;
            }
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
                // Another account was quicker: the next decision knows whose the token is.
                Next::Record(events) if !self.claim_tokens(&events) => Ok(()),
                Next::Record(events) => self.record(events).await.map_err(Interrupt::Journal),
                Next::Do(_) if stop.is_cancelled() => Err(Interrupt::Stopped),
                Next::Do(step) => self.perform(step, stop).await,
            };
            match done {
                Ok(()) => {}
                Err(interrupt) => return self.interrupted(interrupt, wake_at),
            }
        }
        PassReport {
            wake_at: after(self.clock.now(), self.config.account.retry.max),
            end: PassOutcome::Circling,
        }
    }

    /// Records that a pass went round in circles, or that it no longer does. A fault of the plan
    /// must not keep the server and the disk busy, nor must a bad moment of the server keep this
    /// program from its work for long.
    async fn note_end(&mut self, report: &mut PassReport) -> Result<(), JournalError> {
        let event = match report.end {
            PassOutcome::Circling => {
                let error = format!("a pass did not end within {MOST_STEPS} steps");
                Some(self.failure(BackoffKey::Pass, IncidentKind::Stuck, error, None))
            }
            PassOutcome::AtRest | PassOutcome::Unfinished => self.cleared(BackoffKey::Pass),
            PassOutcome::Stopped | PassOutcome::Journal(_) => None,
        };
        if let Some(Event::AttemptFailed {
            next_attempt_at, ..
        }) = event
        {
            report.wake_at = next_attempt_at;
        }
        self.record(event.into_iter().collect()).await
    }

    fn interrupted(&self, interrupt: Interrupt, wake_at: DateTime<Utc>) -> PassReport {
        match interrupt {
            Interrupt::Stopped => PassReport {
                wake_at,
                end: PassOutcome::Stopped,
            },
            // A limit of ours is not a failure: the account rests until the limit allows more.
            Interrupt::NotBefore(until) => PassReport {
                wake_at: wake_at.min(until),
                end: PassOutcome::AtRest,
            },
            Interrupt::Journal(error) => {
                let wake_at =
                    rotator_core::time::after(self.clock.now(), self.config.account.retry.initial);
                PassReport {
                    wake_at,
                    end: PassOutcome::Journal(error.into()),
                }
            }
        }
    }

    /// Drops the texts that the next pass cannot use, and reports how things stand.
    pub(super) async fn end_pass(&mut self) {
        self.evidence.end_work(self.clock.now());
        self.server.listing = Vec::new();
        let wanted: Vec<_> = self.state.alive().map(|own| own.fingerprint).collect();
        self.server.session.keep_only(&wanted);
        self.report_conditions().await;
        self.compact_if_long().await;
        self.observer
            .changed(self.name(), &self.state, &self.evidence);
        self.progress();
    }

    /// The tag of the login's secrets, while a rejected login is held back. When the tag is no
    /// longer that of the rejected secrets, the plan lifts the hold.
    async fn tag_held_secret(&self) -> Option<SecretTag> {
        let held = self.state.lanes.get(&BackoffKey::Login)?;
        held.rejected?;
        self.tag_secrets().await
    }
}

#[cfg(test)]
mod tests;
