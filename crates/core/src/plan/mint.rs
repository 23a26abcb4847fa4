//! When a token is minted, and what became of a mint whose answer is missing.
//!
//! For example, the connection broke during a mint: a login's list then has exactly one token that
//! was not there before, and that one is recorded as minted.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::backoff::FailureReport;
use super::evidence::TokenList;
use super::reasons::{Because, DueReason, UnfitSink, WaitingFor};
use super::{Action, Look, Next, Planner, Step};
use crate::account::{AccountState, CLOCK_SLACK, OpenMint};
use crate::config::{AccountPolicy, LostMintPolicy};
use crate::event::{BackoffKey, Event, IncidentKind, MintSource};
use crate::schedule::next_run;
use crate::secret::Fingerprint;
use crate::time::after;

/// A rotation is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationDue {
    /// Since when it has been due.
    pub since: DateTime<Utc>,
    /// Why it is due.
    pub because: DueReason,
}

/// Whether a rotation is due, or since when the one under way has been.
pub fn due(
    policy: &AccountPolicy,
    state: &AccountState,
    now: DateTime<Utc>,
) -> Option<RotationDue> {
    // Before the first login is recorded, it is due from now on.
    let line_since = state.lines.last().map_or(now, |line| line.since);
    let Some(current) = state.current() else {
        return Some(match &state.token_lost {
            Some(loss) => RotationDue {
                since: loss.at,
                because: DueReason::Lost {
                    generation: loss.generation,
                    evidence: loss.evidence.clone(),
                },
            },
            None => RotationDue {
                since: line_since,
                because: DueReason::NoCurrentToken,
            },
        });
    };
    if let Some(asked_at) = state.asked_at {
        return Some(RotationDue {
            since: asked_at,
            because: DueReason::Operator,
        });
    }
    // The server's clock agrees with ours, and by ours that promotion is yet to come: it was made
    // while the clock was ahead, and the schedule would wait for that time.
    let ahead = current
        .promoted_at
        .is_some_and(|at| at.signed_duration_since(now) > CLOCK_SLACK);
    if ahead && state.clock.is_none() {
        return Some(RotationDue {
            since: now,
            because: DueReason::ClockSetBack,
        });
    }
    next_scheduled(policy, state)
        .filter(|at| *at <= now)
        .map(|since| RotationDue {
            since,
            because: DueReason::Schedule {
                current_since: current.minted_at,
            },
        })
}

/// When the schedule wants the next rotation, which may be past. `None`: as soon as possible, or
/// never.
pub fn next_scheduled(policy: &AccountPolicy, state: &AccountState) -> Option<DateTime<Utc>> {
    let anchor = state.current()?.promoted_at?;
    next_run(&policy.schedule, &policy.name, anchor)
}

impl Planner<'_> {
    /// A mint without an outcome is settled by looking, before anything else is minted.
    pub(super) fn resolve_open_mint(&mut self) {
        let Some(open) = &self.state.open_mint else {
            return;
        };
        let number = open.generation;
        self.step(Action::ResolveMint, None, Because::MintUnresolved(number));
        if let Some(until) = self.login_held() {
            return self.wait(WaitingFor::MintOutcome, Some(until));
        }
        if self.awaits_own_login(&WaitingFor::MintOutcome) {
            return;
        }
        // A list from before the intent is dropped when that is written. Where the clock was set
        // back since, times cannot tell; any list at hand is from after it.
        let listed = self
            .list_by_login()
            .filter(|list| list.at >= open.at || open.at > self.now);
        match listed {
            Some(list) => self.record(self.outcome_of(open, list)),
            None => self.look(Look::ListByLogin),
        }
    }

    /// What a login's list says of a mint without an outcome: tokens that were neither on the list
    /// before it nor known since may be its own.
    fn outcome_of(&self, open: &OpenMint, list: &TokenList) -> Vec<Event> {
        let state = self.state;
        let is_known = |fingerprint: &Fingerprint| {
            open.baseline.contains(fingerprint)
                || state.by_fingerprint(fingerprint).is_some()
                || state.foreign.contains_key(fingerprint)
                // Taken from another account of this user, it would be deleted under its sinks.
                || self.evidence.owner(fingerprint).is_some()
        };
        let new = list.tokens.iter().filter(|token| !is_known(token));
        let new: BTreeSet<Fingerprint> = new.copied().collect();
        let generation = open.generation;
        // A baseline that lacks a token that works was a part of the list: another's old token may
        // look new.
        let is_whole = self.lists_are_whole()
            && self
                .state
                .current()
                .is_none_or(|current| open.baseline.contains(&current.fingerprint));
        match (new.first(), new.len()) {
            (None, _) => {
                // RingCX may answer a mint late; the next one is not held up by that.
                let open_until = after(self.now, self.policy.verify_within.saturating_mul(2));
                vec![Event::MintMissing {
                    generation,
                    open_until,
                }]
            }
            // Exactly one is new since the baseline, so it is the token of this mint.
            (Some(fingerprint), 1) if self.recovers_lost_mints() && is_whole => {
                vec![Event::Minted {
                    generation,
                    fingerprint: *fingerprint,
                    how: MintSource::Recovered,
                }]
            }
            // Which of them is ours cannot be told: all stay foreign, and the mint counts against
            // `max-live` while one of them is there, up to the next promotion.
            (Some(_), _) => vec![
                Event::ForeignSeen {
                    fingerprints: new.clone(),
                },
                Event::MintAmbiguous {
                    generation,
                    candidates: new,
                },
            ],
        }
    }

    /// Nothing is known to be missing from the server's lists.
    pub(super) fn lists_are_whole(&self) -> bool {
        self.state.alive().all(|own| own.unlisted_since.is_none())
    }

    pub(super) fn recovers_lost_mints(&self) -> bool {
        match self.policy.retention.lost_mint {
            LostMintPolicy::Recover => true,
            LostMintPolicy::Keep => false,
        }
    }

    /// Mint when a rotation is due and nothing is under way.
    pub(super) fn rotate(&mut self) {
        // One at a time: a list could not tell the tokens of two open mints apart.
        if self.state.pending().is_some() || self.state.open_mint.is_some() {
            return;
        }
        let Some(due) = due(self.policy, self.state, self.now) else {
            return self.await_schedule();
        };
        let number = self.state.next_generation();
        let (live, max_live) = (self.state.live_count(), self.policy.retention.max_live);
        // Tokens never expire: rotations that fail after the mint would pile them up without end.
        if live >= max_live as usize {
            return self.wait(WaitingFor::MintCap { live, max_live }, None);
        }
        let because = Because::RotationDue(due.because.clone());
        // Before the waits below, so that `plan` shows these steps also while they are held back.
        self.step(Action::Mint, None, because);
        self.step(Action::Verify, None, Because::New(number));
        self.foresee_sinks(number);
        self.foresee_promotion(number);
        if let Some(until) = self.held(&BackoffKey::Rotation).max(self.login_held()) {
            return self.wait(WaitingFor::RotationRetry(due.because), Some(until));
        }
        if self.awaits_own_login(&WaitingFor::RotationRetry(due.because.clone())) {
            return;
        }
        // Asked before the mint: a token that no sink can take would be made for nothing.
        let Some(preflight) = &self.evidence.preflight else {
            return self.look(Look::Preflight);
        };
        let required = self.policy.sinks.iter().filter(|sink| sink.required);
        let unfit: Vec<UnfitSink> = required
            .filter_map(|sink| {
                Some(UnfitSink {
                    sink: sink.name.clone(),
                    why: preflight.get(&sink.name)?.clone(),
                })
            })
            .collect();
        if !unfit.is_empty() {
            return self.put_off(unfit);
        }
        match self.fresh_list() {
            // Every token from before the mint: what a later list has beyond these may be its
            // outcome.
            Some(list) => {
                let baseline = list.tokens.clone();
                self.offer(Next::Do(Step::Mint {
                    generation: number,
                    baseline,
                }));
            }
            // By login, as a mint needs one in any case.
            None => self.look(Look::ListByLogin),
        }
    }

    /// Nothing is minted, and no mint settled, with a login that may be another user's: its list
    /// lacks the current token. `true`: it may be, and what comes first is under way.
    fn awaits_own_login(&mut self, what: &WaitingFor) -> bool {
        let Some(current) = self.state.current().filter(|_| self.evidence.is_strange) else {
            return false;
        };
        // It does not work either, so the list may well be ours.
        let doubt = self.evidence.doubt(&current.fingerprint);
        if doubt.agrees(self.is_at_hand(&current.fingerprint)) {
            return false;
        }
        if let Some(until) = self.held(&BackoffKey::Rotation).max(self.login_held()) {
            self.wait(what.clone(), Some(until));
        } else if self.is_in_doubt(current) {
            // First of all whether the token works at all.
            self.settle(current);
        } else if self.list_as_current().is_some() {
            let error = format!(
                "the list of the login lacks generation {}, which works: the login may be that of \
                 another user",
                current.number
            );
            let report =
                FailureReport::new(BackoffKey::Rotation, IncidentKind::ListDisagrees, error);
            let event = self.failure(report);
            self.record(vec![event]);
        } else {
            self.look(Look::ListByLogin);
        }
        true
    }

    /// No rotation is due.
    fn await_schedule(&mut self) {
        // Another schedule moved it: what failed is not wanted now, and nothing else would say that
        // it is over.
        if self.state.trouble(&BackoffKey::Rotation).is_some() {
            self.record(vec![Event::LaneCleared {
                lane: BackoffKey::Rotation,
            }]);
        }
        if let Some(at) = next_scheduled(self.policy, self.state) {
            self.wait(WaitingFor::NextRotation, Some(at));
        }
    }

    /// Required sinks cannot take a token, so none is minted.
    fn put_off(&mut self, unfit: Vec<UnfitSink>) {
        let keys: Vec<BackoffKey> = unfit
            .iter()
            .map(|unfit| BackoffKey::Sink(unfit.sink.clone()))
            .collect();
        // Where each of them has an incident of its own, another of the rotation would only repeat
        // it: the rotation waits for the sinks.
        if keys.iter().all(|key| self.state.trouble(key).is_some()) {
            let holds = keys.iter().filter_map(|key| self.own_hold(key));
            let until = holds.max();
            return self.wait(WaitingFor::FailingSinks(unfit), until);
        }
        let report = FailureReport::new(
            BackoffKey::Rotation,
            IncidentKind::PreflightFailed,
            UnfitSink::list(&unfit),
        );
        let event = self.failure(report);
        self.record(vec![event]);
    }
}

#[cfg(test)]
mod tests;
