//! When a token is minted, and what became of a mint whose answer is missing.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::backoff::{FailureReport, failed};
use super::{Action, Look, Next, Planner, Step};
use crate::account::{AccountState, CLOCK_SLACK};
use crate::config::{AccountPolicy, LostMintPolicy};
use crate::event::{BackoffKey, Event, IncidentKind, MintSource};
use crate::schedule::next_run;
use crate::secret::Fingerprint;
use crate::time::after;

/// A rotation is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationDue {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why.
    pub because: String,
}

/// Whether a rotation is due, or since when the one under way has been.
pub fn due(
    policy: &AccountPolicy,
    state: &AccountState,
    now: DateTime<Utc>,
) -> Option<RotationDue> {
    let line_since = state.lines.last().map_or(now, |line| line.since);
    let Some(current) = state.current() else {
        return Some(match &state.token_lost {
            Some(loss) => RotationDue {
                since: loss.at,
                because: format!("generation {} is lost: {}", loss.generation, loss.evidence),
            },
            None => RotationDue {
                since: line_since,
                because: "there is no current token".to_owned(),
            },
        });
    };
    if let Some(asked_at) = state.asked_at {
        return Some(RotationDue {
            since: asked_at,
            because: "an operator asked for it".to_owned(),
        });
    }
    // The server's clock agrees with ours, and by ours that promotion is yet to come: it was made
    // while the clock was ahead, and the schedule would wait for that time.
    let ahead = current
        .promoted_at
        .is_some_and(|at| at.signed_duration_since(now) > CLOCK_SLACK);
    if ahead && state.clock.is_none() {
        let because = "the clock was set back since the last rotation".to_owned();
        return Some(RotationDue {
            since: now,
            because,
        });
    }
    next_scheduled(policy, state)
        .filter(|at| *at <= now)
        .map(|since| RotationDue {
            since,
            because: format!(
                "the schedule says so (current since {})",
                current.minted_at.format("%F %T UTC")
            ),
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
        self.step(
            Action::ResolveMint,
            None,
            format!("what became of the mint of generation {number} is unknown"),
        );
        if let Some(until) = self.login_held() {
            return self.wait("RingCX, to see what became of the mint", Some(until));
        }
        // A list from before the intent is dropped when that is written. Where the clock was set
        // back since, times cannot tell; any list at hand is from after it.
        let listed = self
            .list_by_login()
            .filter(|list| list.at >= open.at || open.at > self.now);
        let Some(list) = listed else {
            return self.look(Look::ListByLogin);
        };
        let state = self.state;
        let known = |fingerprint: &Fingerprint| {
            open.baseline.contains(fingerprint)
                || state.by_fingerprint(fingerprint).is_some()
                || state.foreign.contains_key(fingerprint)
        };
        let new: BTreeSet<Fingerprint> = list
            .tokens
            .iter()
            .filter(|it| !known(it))
            .copied()
            .collect();
        let event = match new.len() {
            0 => {
                let open_until = after(self.now, self.policy.verify_within.saturating_mul(2));
                vec![Event::MintMissing {
                    generation: number,
                    open_until,
                }]
            }
            1 if self.recovers_lost_mints() => {
                let fingerprint = new.first().copied().expect("there is one");
                vec![Event::Minted {
                    generation: number,
                    fingerprint,
                    how: MintSource::Recovered,
                }]
            }
            _ => vec![
                Event::ForeignSeen {
                    fingerprints: new.clone(),
                },
                Event::MintAmbiguous {
                    generation: number,
                    candidates: new,
                },
            ],
        };
        self.record(event);
    }

    pub(super) fn recovers_lost_mints(&self) -> bool {
        match self.policy.retention.lost_mint {
            LostMintPolicy::Recover => true,
            LostMintPolicy::Keep => false,
        }
    }

    /// Mint when a rotation is due and nothing is under way.
    pub(super) fn rotate(&mut self) {
        if self.state.pending().is_some() || self.state.open_mint.is_some() {
            return;
        }
        let Some(due) = due(self.policy, self.state, self.now) else {
            // Another schedule moved it: what failed is not wanted now, and nothing else would say
            // that it is over.
            if self.state.trouble(&BackoffKey::Rotation).is_some() {
                self.record(vec![Event::LaneCleared {
                    lane: BackoffKey::Rotation,
                }]);
            }
            if let Some(at) = next_scheduled(self.policy, self.state) {
                self.wait("the next rotation", Some(at));
            }
            return;
        };
        let number = self.state.next_generation();
        let live = self.state.live_count();
        if live >= self.policy.retention.max_live as usize {
            let what =
                format!("{live} of our tokens are alive and max-live is {live}: nothing is minted");
            self.wait(what, None);
            return;
        }
        self.step(Action::Mint, None, due.because.clone());
        self.step(Action::Verify, None, format!("generation {number} is new"));
        self.foresee_sinks(number);
        self.foresee_promotion(number);
        if let Some(until) = self.held(&BackoffKey::Rotation).max(self.login_held()) {
            return self.wait(
                format!("the next try of the rotation ({})", due.because),
                Some(until),
            );
        }
        let Some(unfit) = &self.seen.preflight else {
            return self.look(Look::Preflight);
        };
        let required = self.policy.sinks.iter().filter(|sink| sink.required);
        let faults: Vec<String> = required
            .filter_map(|sink| {
                unfit
                    .get(&sink.name)
                    .map(|why| format!("sink {}: {why}", sink.name))
            })
            .collect();
        if !faults.is_empty() {
            // What is told of already is not told of twice: the rotation waits for the sink.
            let unfit = self
                .policy
                .sinks
                .iter()
                .filter(|sink| sink.required && unfit.contains_key(&sink.name));
            let lanes: Vec<BackoffKey> = unfit
                .map(|sink| BackoffKey::Sink(sink.name.clone()))
                .collect();
            if lanes.iter().all(|lane| self.state.trouble(lane).is_some()) {
                let until = lanes
                    .iter()
                    .filter_map(|lane| self.state.held_until(lane, self.now))
                    .max();
                return self.wait(format!("sinks that fail ({})", faults.join("; ")), until);
            }
            let trouble = FailureReport::new(
                BackoffKey::Rotation,
                IncidentKind::PreflightFailed,
                faults.join("; "),
            );
            return self.record(vec![failed(
                self.state,
                &self.policy.retry,
                trouble,
                self.now,
            )]);
        }
        match self.fresh_list() {
            Some(list) => {
                let baseline = list.tokens.clone();
                self.offer(Next::Do(Step::Mint {
                    generation: number,
                    baseline,
                }));
            }
            None => self.look(Look::ListByLogin),
        }
    }
}

#[cfg(test)]
mod tests;
