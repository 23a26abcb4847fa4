//! What a list of the server's tokens shows: the clock, tokens that are gone or back, tokens that
//! are unknown, and lost ones.
//!
//! For example, an old token for which a delete was sent and which the list lacks is retired.

use std::collections::{BTreeMap, BTreeSet};

use crate::account::{Generation, Stage};
use crate::event::{BackoffKey, Event, IncidentKind, MintSource, RetiredBy};
use crate::plan::backoff::FailureReport;
use crate::plan::evidence::TokenList;
use crate::plan::reasons::WaitingFor;
use crate::plan::{LARGEST_SKEW_SECONDS, Look, Planner};
use crate::secret::Fingerprint;

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

    /// Tokens of ours that are back, and those that the list shows again.
    pub(super) fn note_own(&mut self, list: &TokenList) {
        let mut events = Vec::new();
        for generation in self.state.generations.values() {
            if !list.tokens.contains(&generation.fingerprint) {
                continue;
            }
            let number = generation.number;
            let former = generation.line != self.state.line();
            match generation.stage() {
                // It is alive, whatever was recorded: ignored, it would never be deleted.
                Stage::Retired | Stage::Lost => {
                    events.push(Event::Reappeared { generation: number });
                }
                // Of a former login, but on this login's list: it is this login's again.
                Stage::Previous if former => {
                    events.push(Event::Reappeared { generation: number });
                }
                Stage::Pending | Stage::Current | Stage::Previous => {
                    if generation.unlisted_since.is_some() {
                        events.push(Event::ListAgreed { generation: number });
                    }
                }
            }
        }
        self.record(events);
    }

    /// Tokens that are not in use and are gone, ours and adopted ones; and ours that lists lack
    /// although they work.
    pub(super) fn note_ends(&mut self) {
        let mut events = Vec::new();
        for generation in self.state.waits_for_its_end() {
            let (number, token) = (generation.number, generation.fingerprint);
            let absence = self.evidence.absent.get(&token);
            if !self.has_ended(generation) {
                let is_alive = absence.is_some_and(|absence| absence.alive);
                if is_alive && generation.unlisted_since.is_none() {
                    events.push(Event::ListDisagreed { generation: number });
                }
                continue;
            }
            events.push(match generation.stage() {
                Stage::Lost => Event::ListAgreed { generation: number },
                Stage::Pending | Stage::Current | Stage::Previous | Stage::Retired => {
                    Event::Retired {
                        fingerprint: token,
                        generation: Some(number),
                        // A delete whose answer was lost may have worked, so it counts as the
                        // cause.
                        by: if generation.delete_sent {
                            RetiredBy::Us
                        } else {
                            RetiredBy::Another
                        },
                    }
                }
            });
        }
        let mut gone = BTreeSet::new();
        for (fingerprint, token) in &self.state.foreign {
            let Some(absence) = self.evidence.absent.get(fingerprint) else {
                continue;
            };
            if !absence.is_apart() && !self.evidence.deleted.contains(fingerprint) {
                continue;
            }
            if token.delete_sent {
                events.push(Event::Retired {
                    fingerprint: *fingerprint,
                    generation: None,
                    by: RetiredBy::Us,
                });
            } else {
                gone.insert(*fingerprint);
            }
        }
        if !gone.is_empty() {
            events.push(Event::ForeignGone { fingerprints: gone });
        }
        self.record(events);
    }

    /// The answer to a mint was no token of this server, such as a part of one, and the one that
    /// was made is on the list: the mint was lost, and is recovered.
    pub(super) fn note_false_answer(&mut self, list: &TokenList) {
        let Some(answered) = self.false_answer(list) else {
            return;
        };
        let state = self.state;
        let since = |token: &&Fingerprint| {
            state.foreign.get(*token).is_some_and(|foreign| {
                foreign.first_seen_at > answered.minted_at
                    && foreign.adoption.is_none()
                    && !foreign.delete_sent
            })
        };
        let unknown = |token: &&Fingerprint| {
            state.by_fingerprint(token).is_none() && !state.foreign.contains_key(*token)
        };
        let mut new = list.tokens.iter().filter(|it| unknown(it) || since(it));
        // One of several cannot be told to be ours: see `origin_of`.
        if let (Some(fingerprint), None) = (new.next(), new.next())
            && self.recovers_lost_mints()
            && self.lists_are_whole()
        {
            self.record(vec![Event::Minted {
                generation: answered.number,
                fingerprint: *fingerprint,
                how: MintSource::Recovered,
            }]);
        }
    }

    /// The newest token of ours, if it was answered to a mint, never worked, and is not on the
    /// list.
    fn false_answer(&self, list: &TokenList) -> Option<&Generation> {
        if self.state.open_mint.is_some() {
            return None;
        }
        self.state.own().next_back().filter(|newest| {
            newest.number.0 == self.state.last_generation
                && newest.stage() == Stage::Previous
                && newest.verified_at.is_none()
                && newest.learnt == MintSource::Answered
                && !newest.delete_sent
                && !list.tokens.contains(&newest.fingerprint)
        })
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

    /// Tokens that are not ours as far as we know.
    pub(super) fn note_unknown(&mut self, list: &TokenList) {
        let state = self.state;
        // As long as a mint is open, one of them may be its token: that is settled first.
        if state.open_mint.is_some() {
            return;
        }
        let unknown = |fingerprint: &&Fingerprint| {
            state.by_fingerprint(fingerprint).is_none()
                && !state.foreign.contains_key(*fingerprint)
                && self.evidence.owner(fingerprint).is_none()
        };
        // Also what only an earlier list of this pass showed: the last one may be a part.
        let seen = list.tokens.iter().chain(&self.evidence.unrecorded);
        let new: BTreeSet<Fingerprint> = seen.filter(unknown).copied().collect();
        let mut events = self.origin_of(list, new);
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

    /// Tokens that were taken for foreign and belong to another account: a list may show its fresh
    /// token before that account has recorded it.
    pub(super) fn note_claimed(&mut self) {
        let mut claimed: BTreeMap<&String, BTreeSet<Fingerprint>> = BTreeMap::new();
        for fingerprint in self.state.foreign.keys() {
            if let Some(owner) = self.evidence.owner(fingerprint) {
                claimed.entry(owner).or_default().insert(*fingerprint);
            }
        }
        let event = |(owner, fingerprints): (&String, _)| Event::ForeignClaimed {
            fingerprints,
            owner: owner.clone(),
        };
        self.record(claimed.into_iter().map(event).collect());
    }

    /// What tokens that appeared on a list are: the late answer of a lost mint, or foreign.
    fn origin_of(&self, list: &TokenList, new: BTreeSet<Fingerprint>) -> Vec<Event> {
        let Some(first) = new.first().copied() else {
            return Vec::new();
        };
        // Which of several lost mints it belongs to cannot be known. The first takes it, the others
        // stay open for what may still arrive.
        let lost = self.state.lost_mints.first().map(|lost| lost.generation);
        let answered = self.false_answer(list).map(|answered| answered.number);
        let Some(generation) = lost.or(answered) else {
            return vec![Event::ForeignSeen { fingerprints: new }];
        };
        // One of several taken at random could be another program's: published here, it would be
        // deleted in time. They all stay foreign.
        if new.len() > 1 || !self.recovers_lost_mints() || !self.lists_are_whole() || lost.is_none()
        {
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
            } else if self.evidence.is_strange {
                // A list that may be another user's tells nothing; the next check has one by token.
                self.wait(what, None);
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
            if self.is_gone(generation) {
                events.push(Event::TokenLost {
                    generation: generation.number,
                    evidence: doubt.evidence(),
                });
            } else if self.is_unlisted(generation) {
                events.push(Event::ListDisagreed {
                    generation: generation.number,
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
                events.push(self.failure(trouble));
            }
        }
        self.record(events);
    }
}
