//! What a list of the server's tokens shows: the clock, tokens that are gone or back, tokens that
//! are unknown, and lost ones.
//!
//! For example, an old token for which a delete was sent and which the list lacks is retired.

use std::collections::BTreeSet;

use crate::account::{Generation, Stage};
use crate::event::{BackoffKey, Event, IncidentKind, MintSource, RetiredBy};
use crate::plan::backoff::{FailureReport, failed};
use crate::plan::evidence::TokenList;
use crate::plan::reasons::WaitingFor;
use crate::plan::{LARGEST_SKEW_SECONDS, Look, Planner};
use crate::secret::Fingerprint;
use crate::time::delta;

impl Planner<'_> {
    pub(super) fn note_clock(&mut self, list: &TokenList) {
        // An answer without a `Date` header says nothing: what was recorded before stands.
        let Some(skew) = list.skew.map(|skew| skew.num_seconds()) else {
            return;
        };
        match (skew.abs() > LARGEST_SKEW_SECONDS, self.state.clock) {
            (true, None) => self.record(vec![Event::ClockDisagreed { skew_seconds: skew }]),
            (false, Some(_)) => self.record(vec![Event::ClockAgreed]),
            // Only a change is an event: the skew differs a little at each list.
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Old tokens of ours that are gone, and gone ones that are back.
    pub(super) fn note_own(&mut self, list: &TokenList) {
        let mut events = Vec::new();
        for generation in self.state.generations.values() {
            let listed = list.tokens.contains(&generation.fingerprint);
            let in_use = generation.line == self.state.line();
            match generation.stage() {
                Stage::Previous if in_use && !listed && self.is_surely_gone(generation) => {
                    // A delete whose answer was lost may have worked, so it counts as the cause.
                    let by = if generation.delete_sent {
                        RetiredBy::Us
                    } else {
                        RetiredBy::Another
                    };
                    events.push(Event::Retired {
                        fingerprint: generation.fingerprint,
                        generation: Some(generation.number),
                        by,
                    });
                }
                // It is alive, whatever was recorded: ignored, it would never be deleted.
                Stage::Retired | Stage::Lost if listed => {
                    events.push(Event::Reappeared {
                        generation: generation.number,
                    });
                }
                // Of a former login, but on this login's list: it is this login's again.
                Stage::Previous if !in_use && listed => {
                    events.push(Event::Reappeared {
                        generation: generation.number,
                    });
                }
                // For a token in use one list is not enough evidence: see `note_lost_tokens`.
                Stage::Pending
                | Stage::Current
                | Stage::Previous
                | Stage::Retired
                | Stage::Lost => {}
            }
        }
        // Before `note_unknown`, which would record them as gone without our doing.
        for (fingerprint, _) in self
            .state
            .foreign
            .iter()
            .filter(|(_, token)| token.delete_sent)
        {
            if !list.tokens.contains(fingerprint) {
                events.push(Event::Retired {
                    fingerprint: *fingerprint,
                    generation: None,
                    by: RetiredBy::Us,
                });
            }
        }
        self.record(events);
    }

    /// A delete seemed to fail, but its token is gone: the back-off of deletions ends.
    pub(super) fn note_late_delete(&mut self) {
        let ours = self.state.previous().any(|token| token.delete_sent);
        let mut adopted = self.state.adopted(self.policy.retention.foreign);
        let adopted = adopted.any(|(_, token)| token.delete_sent);
        if self.state.trouble(&BackoffKey::Retirement).is_some() && !ours && !adopted {
            self.record(vec![Event::LaneCleared {
                lane: BackoffKey::Retirement,
            }]);
        }
    }

    /// A token that no list ever showed may only be slow to appear.
    fn is_surely_gone(&self, generation: &Generation) -> bool {
        // Twice `verify-within`: the time for which the token of a lost mint is expected as well.
        generation.was_listed()
            || self.now - generation.minted_at >= delta(self.policy.verify_within.saturating_mul(2))
    }

    /// Tokens that are not ours as far as we know.
    pub(super) fn note_unknown(&mut self, list: &TokenList) {
        let state = self.state;
        // As long as a mint is open, one of them may be its token: that is settled first.
        if state.open_mint.is_some() {
            return;
        }
        let ours = |fingerprint: &Fingerprint| state.by_fingerprint(fingerprint).is_some();
        let new: BTreeSet<Fingerprint> = list
            .tokens
            .iter()
            .filter(|fingerprint| !ours(fingerprint) && !state.foreign.contains_key(fingerprint))
            .copied()
            .collect();
        let gone: BTreeSet<Fingerprint> = state
            .foreign
            .keys()
            .filter(|fingerprint| !list.tokens.contains(fingerprint))
            .copied()
            .collect();
        let mut events = self.origin_of(new);
        if !gone.is_empty() {
            events.push(Event::ForeignGone { fingerprints: gone });
        }
        // The list that is had after the time is up is the last chance of a lost mint.
        if events.is_empty() {
            let closed = state
                .lost_mints
                .iter()
                .filter(|lost| list.at >= lost.open_until);
            events.extend(closed.map(|lost| Event::LostMintClosed {
                generation: lost.generation,
            }));
        }
        self.record(events);
    }

    /// What tokens that appeared on a list are: the late answer of a lost mint, or foreign.
    fn origin_of(&self, new: BTreeSet<Fingerprint>) -> Vec<Event> {
        let Some(first) = new.first().copied() else {
            return Vec::new();
        };
        // Which of several lost mints it belongs to cannot be known. The first takes it, the others
        // stay open for what may still arrive.
        let Some(lost) = self.state.lost_mints.first() else {
            return vec![Event::ForeignSeen { fingerprints: new }];
        };
        let generation = lost.generation;
        // One of several taken at random could be another program's: published here, it would be
        // deleted in time. They all stay foreign.
        if new.len() > 1 || !self.recovers_lost_mints() {
            let candidates = new.clone();
            return vec![
                Event::ForeignSeen { fingerprints: new },
                Event::MintAmbiguous {
                    generation,
                    candidates,
                },
            ];
        }
        let mut events = vec![Event::Minted {
            generation,
            fingerprint: first,
            how: MintSource::Late,
        }];
        // Another was minted meanwhile: this one will not be published, and is deleted.
        if generation.0 < self.state.last_generation {
            events.push(Event::Abandoned {
                generation,
                reason: "it arrived late, another was minted meanwhile".to_owned(),
            });
        }
        events
    }

    /// A lost mint is looked for once more when its time is up.
    pub(super) fn await_lost_mints(&mut self) {
        for lost in &self.state.lost_mints {
            let what = WaitingFor::LateArrival(lost.generation);
            if lost.open_until > self.now {
                self.wait(what, Some(lost.open_until));
            } else if let Some(until) = self.login_held() {
                self.wait(what, Some(until));
            } else if self.state.open_mint.is_none() {
                // While another mint is open, the look that settles that one comes first.
                self.look(Look::ListByLogin);
            }
        }
    }

    pub(super) fn note_lost_tokens(&mut self) {
        let mut events = Vec::new();
        for generation in [self.state.current(), self.state.pending()]
            .into_iter()
            .flatten()
        {
            // Whether a pending one ever worked is for the verify step to find out.
            if generation.verified_at.is_none() {
                continue;
            }
            let doubt = self.evidence.doubt(&generation.fingerprint);
            // Two looks that agree: a token taken for lost is replaced at once, at the cost of a
            // mint.
            if doubt.is_gone() {
                events.push(Event::TokenLost {
                    generation: generation.number,
                    evidence: doubt.evidence(),
                });
            // Once for each hold: while it lasts, the same doubt would record one more failure in
            // each call. Without a login nothing can settle the doubt, so it waits like a
            // contradiction.
            } else if self.server_held().is_none()
                && (doubt.is_contradictory()
                    || (doubt.wants_second_look() && self.login_held().is_some()))
            {
                let error = "RingCX refuses the token in use, or lists it only at times";
                let trouble =
                    FailureReport::new(BackoffKey::Server, IncidentKind::VerifyFailed, error);
                events.push(failed(
                    &self.policy.name,
                    self.state,
                    &self.policy.retry,
                    trouble,
                    self.now,
                ));
            }
        }
        self.record(events);
    }
}
