//! Which old token may be deleted. Every reason why not is a guard with a test of its own name.
//!
//! A [`Retirable`] can only be had from [`Planner::check_guards`], which asks all of them; the
//! delete step takes one by value.

use chrono::{DateTime, Utc};

use super::evidence::{Evidence, FileScan, ListedBy, SinkContent};
use super::reasons::{Because, RetireReason, WaitingFor};
use super::{Action, Blocked, LARGEST_SKEW_SECONDS, Look, Next, Planner, Step};
use crate::account::{AccountState, ForeignToken, Generation, LastDelivery, SinkRecord, Stage};
use crate::config::{AccountPolicy, SinkPolicy};
use crate::event::{BackoffKey, GenerationNo, Outcome};
use crate::secret::Fingerprint;
use crate::time::after;

/// A token that every guard let pass, just now.
#[derive(Debug, PartialEq, Eq)]
pub struct Retirable {
    // Private, so that no other file can make one past the guards.
    fingerprint: Fingerprint,
    generation: Option<GenerationNo>,
    because: RetireReason,
}

impl Retirable {
    /// The token to delete.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Its generation, where it is ours.
    pub fn generation(&self) -> Option<GenerationNo> {
        self.generation
    }

    /// Why it may be deleted.
    pub fn because(&self) -> &RetireReason {
        &self.because
    }
}

/// On whose word a token is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The policy's: its age and overlap count, and only ours may go.
    Policy,
    /// An operator's, who named it: its age does not count, and it may be foreign.
    Operator,
}

/// A token that may be deleted, if all guards agree.
#[derive(Clone, Copy)]
enum RetireCandidate<'a> {
    Ours(&'a Generation),
    /// What is known of it, where it is under the policy.
    Foreign(Fingerprint, Option<&'a ForeignToken>),
}

impl RetireCandidate<'_> {
    fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Ours(generation) => generation.fingerprint,
            Self::Foreign(fingerprint, _) => *fingerprint,
        }
    }

    /// Whether anyone can have been given it. Of a foreign token that is not known.
    fn may_be_published(&self) -> bool {
        match self {
            Self::Ours(generation) => generation.may_be_published(),
            Self::Foreign(..) => true,
        }
    }
}

impl Planner<'_> {
    /// Delete one of those whose time has come.
    pub(super) fn retire(&mut self) {
        let state = self.state;
        let ours = state.previous().map(RetireCandidate::Ours);
        let adopted = state
            .adopted(self.policy.retention.foreign)
            .map(|(fingerprint, token)| RetireCandidate::Foreign(*fingerprint, Some(token)));
        for candidate in ours.chain(adopted) {
            self.retire_one(candidate);
        }
    }

    fn retire_one(&mut self, candidate: RetireCandidate<'_>) {
        let fingerprint = candidate.fingerprint();
        // `check_guards` asks this too. Asked first here, it gives a time to wake at, and a token
        // that is only too young needs no look at the sinks.
        if let Err(blocked) = self.check_age(candidate) {
            let until = match blocked {
                Blocked::TooYoung { until } | Blocked::Overlap { until } => Some(until),
                // These end with something that happens, not at a time.
                Blocked::NoSuccessor
                | Blocked::InUse
                | Blocked::NotOurs
                | Blocked::OfAccount { .. }
                | Blocked::InAccount { .. }
                | Blocked::AccountUnseen { .. }
                | Blocked::NoCurrent
                | Blocked::Served { .. }
                | Blocked::SinkUnknown { .. }
                | Blocked::Untold { .. }
                | Blocked::Unacknowledged { .. }
                | Blocked::InFile { .. }
                | Blocked::FileUnknown { .. }
                | Blocked::SinksUnseen
                | Blocked::NoList
                | Blocked::ListDisagrees
                | Blocked::NotListed
                | Blocked::Clock { .. } => None,
            };
            return self.wait(
                WaitingFor::Deletion {
                    fingerprint,
                    blocked,
                },
                until,
            );
        }
        match self.check_guards(candidate, Reason::Policy) {
            Ok(retirable) => {
                self.foresee_deletion(fingerprint, retirable.because.clone());
                match self.held(&BackoffKey::Retirement) {
                    Some(until) => self.wait(WaitingFor::DeletionRetry(fingerprint), Some(until)),
                    None => self.offer(Next::Do(Step::Delete(retirable))),
                }
            }
            Err(Blocked::NoList) => {
                self.foresee_deletion(fingerprint, reason_to_retire(candidate));
                self.list_before_deletion(fingerprint);
            }
            Err(Blocked::SinksUnseen) => self.look(Look::Sinks),
            Err(blocked) => self.wait(
                WaitingFor::Deletion {
                    fingerprint,
                    blocked,
                },
                None,
            ),
        }
    }

    fn foresee_deletion(&mut self, fingerprint: Fingerprint, reason: RetireReason) {
        let because = Because::Retirement(reason);
        self.step(Action::Delete, Some(fingerprint.short()), because);
    }

    /// Every guard but the list lets this token go: fetch the list.
    fn list_before_deletion(&mut self, fingerprint: Fingerprint) {
        match self.held(&BackoffKey::Retirement) {
            Some(until) => self.wait(WaitingFor::DeletionRetry(fingerprint), Some(until)),
            // The doubt is settled first, with a login where need be: asking as the current token
            // again and again would never end.
            None if self.current_is_in_doubt() => {
                self.wait(WaitingFor::DeletionInDoubt(fingerprint), None);
            }
            None if self.state.current().is_some() => self.look(Look::ListAsCurrent),
            None => match self.login_held() {
                Some(until) => self.wait(WaitingFor::DeletionLogin(fingerprint), Some(until)),
                None => self.look(Look::ListByLogin),
            },
        }
    }

    /// The last list was had with the current token and lacks it: it is a part, or old.
    fn current_is_unlisted(&self) -> bool {
        let current = self.state.current().map(|current| current.fingerprint);
        current.is_some_and(|current| {
            self.fresh_list().is_some_and(|list| {
                list.by == ListedBy::Token(current) && !list.tokens.contains(&current)
            })
        })
    }

    fn current_is_in_doubt(&self) -> bool {
        self.state
            .current()
            .is_some_and(|current| self.is_in_doubt(current))
    }

    fn check_age(&self, candidate: RetireCandidate<'_>) -> Result<(), Blocked> {
        let (born, superseded) = match candidate {
            // Never published, so no consumer can be using it.
            RetireCandidate::Ours(generation) if !generation.may_be_published() => return Ok(()),
            RetireCandidate::Ours(generation) => (generation.minted_at, generation.superseded_at),
            RetireCandidate::Foreign(_, Some(token)) => (token.first_seen_at, replaced_at(token)),
            RetireCandidate::Foreign(_, None) => return Err(Blocked::NotOurs),
        };
        let old_enough = after(born, self.policy.retention.max_age);
        if old_enough > self.now {
            return Err(Blocked::TooYoung { until: old_enough });
        }
        let superseded = superseded.ok_or(Blocked::NoSuccessor)?;
        let overlapped = after(superseded, self.policy.retention.overlap);
        if overlapped > self.now {
            return Err(Blocked::Overlap { until: overlapped });
        }
        Ok(())
    }

    /// Every guard there is. The order is that of cost: what is known comes before what must be
    /// looked up.
    fn check_guards(
        &self,
        candidate: RetireCandidate<'_>,
        reason: Reason,
    ) -> Result<Retirable, Blocked> {
        let fingerprint = candidate.fingerprint();
        match reason {
            Reason::Policy => self.check_age(candidate)?,
            Reason::Operator => {}
        }
        // Not on an operator's word either: sinks hold these or are about to.
        let used = [self.state.current(), self.state.pending()];
        if used
            .into_iter()
            .flatten()
            .any(|used| used.fingerprint == fingerprint)
        {
            return Err(Blocked::InUse);
        }
        let list = match self.state.current() {
            Some(_) => self.list_as_current(),
            None if candidate.may_be_published() => return Err(Blocked::NoCurrent),
            // It was never published, so no consumer loses it. And an account that never had a
            // current token would otherwise keep what it tried in vain, up to the cap and forever.
            None => self.list_by_login(),
        };
        self.check_siblings(candidate)?;
        self.check_sinks(candidate)?;
        self.check_files(fingerprint, reason)?;
        // Only now: `NoList` makes the plan fetch a list, in vain while a sink serves the token.
        let list = list.ok_or_else(|| self.no_list())?;
        // The list is that of one user: a token that is not on it may be another user's.
        if !list.tokens.contains(&fingerprint) {
            return Err(Blocked::NotListed);
        }
        // Ages were taken from the local clock. What an operator names rests on no age.
        let skew_seconds = list.skew.map(|skew| skew.num_seconds());
        if reason == Reason::Policy
            && skew_seconds.is_none_or(|skew| skew.abs() > LARGEST_SKEW_SECONDS)
        {
            return Err(Blocked::Clock { skew_seconds });
        }
        let generation = match candidate {
            RetireCandidate::Ours(generation) => Some(generation.number),
            RetireCandidate::Foreign(..) => None,
        };
        let because = match reason {
            Reason::Policy => reason_to_retire(candidate),
            Reason::Operator => RetireReason::Operator,
        };
        Ok(Retirable {
            fingerprint,
            generation,
            because,
        })
    }

    /// Why there is no list: where it lacks the current token, another would say the same.
    fn no_list(&self) -> Blocked {
        if self.current_is_unlisted() {
            Blocked::ListDisagrees
        } else {
            Blocked::NoList
        }
    }

    /// No sink may serve it: what can be read is read, and of what cannot, the worst is assumed. A
    /// sink that is not required and cannot be read is best effort and blocks nothing.
    fn check_sinks(&self, candidate: RetireCandidate<'_>) -> Result<(), Blocked> {
        if self.evidence.sinks.is_none() {
            return Err(Blocked::SinksUnseen);
        }
        let fingerprint = candidate.fingerprint();
        let number = self
            .state
            .by_fingerprint(&fingerprint)
            .map(|generation| generation.number);
        for sink in &self.policy.sinks {
            if sink.required && candidate.may_be_published() {
                self.check_consumer(sink, number)?;
            }
            self.check_sink(sink, candidate, number)?;
        }
        if candidate.may_be_published() {
            self.check_peer_sinks(fingerprint)?;
        }
        Ok(())
    }

    /// What one sink was seen to hold; `number` is the candidate's generation, if it is ours.
    fn check_sink(
        &self,
        sink: &SinkPolicy,
        candidate: RetireCandidate<'_>,
        number: Option<GenerationNo>,
    ) -> Result<(), Blocked> {
        let served = || Blocked::Served {
            sink: sink.name.clone(),
        };
        let unknown = || Blocked::SinkUnknown {
            sink: sink.name.clone(),
        };
        match self.evidence.held(&sink.name) {
            Some(SinkContent::Token(held)) if *held == candidate.fingerprint() => Err(served()),
            Some(SinkContent::Token(_) | SinkContent::Absent) => Ok(()),
            // What does not parse as a token here, for its mode or an extra line end, may still
            // be read as one by the consumer.
            Some(SinkContent::Other(_) | SinkContent::Unreadable(_)) | None if sink.required => {
                Err(unknown())
            }
            Some(SinkContent::Opaque) if sink.required && candidate.may_be_published() => {
                let record = self.state.sinks.get(&sink.name).ok_or_else(unknown)?;
                // A delivery without a known outcome leaves the old token or the new one there.
                match record.last_delivery {
                    LastDelivery::Open | LastDelivery::Failed(Outcome::Unknown) => {
                        return Err(unknown());
                    }
                    LastDelivery::Never
                    | LastDelivery::Done
                    | LastDelivery::Failed(Outcome::NotDone) => {}
                }
                // The newest that is proved there, and anything sent since, may be in use.
                let (proved, _) = record.proved.ok_or_else(unknown)?;
                // A foreign token has no number, so neither holds: we never sent it there.
                if number == Some(proved) {
                    Err(served())
                } else if number > Some(proved) && number <= record.intended {
                    Err(unknown())
                } else {
                    Ok(())
                }
            }
            Some(SinkContent::Other(_) | SinkContent::Unreadable(_) | SinkContent::Opaque)
            | None => Ok(()),
        }
    }

    /// It may not be the token of another account, nor in the sinks of one that logs in as the same
    /// user: that account may not have replaced it yet.
    fn check_siblings(&self, candidate: RetireCandidate<'_>) -> Result<(), Blocked> {
        let fingerprint = candidate.fingerprint();
        if let Some(owner) = self.evidence.owner(&fingerprint) {
            return Err(Blocked::OfAccount {
                account: owner.clone(),
            });
        }
        for (account, held) in &self.evidence.peers.siblings {
            let account = account.clone();
            match (held, candidate) {
                (Some(held), _) if held.contains(&fingerprint) => {
                    return Err(Blocked::InAccount { account });
                }
                // Ours were never sent there; of a foreign token nobody knows where it is.
                (None, RetireCandidate::Foreign(..)) => {
                    return Err(Blocked::AccountUnseen { account });
                }
                (Some(_), _) | (None, RetireCandidate::Ours(_)) => {}
            }
        }
        Ok(())
    }

    /// No template of another account may hold it either.
    fn check_peer_sinks(&self, fingerprint: Fingerprint) -> Result<(), Blocked> {
        for elsewhere in &self.policy.peer_sinks {
            let sink = elsewhere.to_string();
            match self.evidence.peers.held_elsewhere.get(elsewhere) {
                Some(held) if held.contains(&fingerprint) => return Err(Blocked::Served { sink }),
                Some(_) => {}
                // That account has not reported yet: its template may hold anything.
                None => return Err(Blocked::SinkUnknown { sink }),
            }
        }
        Ok(())
    }

    /// Nor may a file hold it that an operator said to look through. Where that cannot be done any
    /// more, an operator may know better.
    fn check_files(&self, fingerprint: Fingerprint, reason: Reason) -> Result<(), Blocked> {
        let adoption = self
            .state
            .foreign
            .get(&fingerprint)
            .and_then(|token| token.adoption.as_ref());
        for path in adoption.iter().flat_map(|adoption| &adoption.files) {
            match (self.evidence.files.get(path), reason) {
                (Some(FileScan::Holds(found)), _) if found.contains(&fingerprint) => {
                    return Err(Blocked::InFile { path: path.clone() });
                }
                (Some(FileScan::Unknown(why)), Reason::Policy) => {
                    return Err(Blocked::FileUnknown { why: why.clone() });
                }
                (None, _) => return Err(Blocked::SinksUnseen),
                (Some(FileScan::Holds(_)), _) | (Some(FileScan::Unknown(_)), Reason::Operator) => {}
            }
        }
        Ok(())
    }

    /// A file that holds another token proves nothing of a program that read it long ago.
    fn check_consumer(
        &self,
        sink: &SinkPolicy,
        candidate: Option<GenerationNo>,
    ) -> Result<(), Blocked> {
        let record = self.state.sinks.get(&sink.name);
        // The consumer of a sink that was never proved is notified once it is.
        let was_notified =
            |record: &SinkRecord| record.notify_owed.is_none() && record.proved.is_some();
        if sink.notify.is_some() && !record.is_some_and(was_notified) {
            return Err(Blocked::Untold {
                sink: sink.name.clone(),
            });
        }
        let uses = record
            .and_then(|record| record.acknowledged)
            .map(|(number, _)| number);
        // `None` is less than any number: silence keeps every token of ours. A foreign token has no
        // number, and any acknowledgement shows that the consumer uses one of ours.
        if sink.acknowledge.is_some() && uses <= candidate {
            return Err(Blocked::Unacknowledged {
                sink: sink.name.clone(),
            });
        }
        Ok(())
    }
}

fn reason_to_retire(candidate: RetireCandidate<'_>) -> RetireReason {
    match candidate {
        RetireCandidate::Ours(generation) if !generation.may_be_published() => {
            RetireReason::NeverPublished {
                generation: generation.number,
                set_aside: generation.set_aside.clone(),
            }
        }
        RetireCandidate::Ours(generation) => RetireReason::Expired(generation.number),
        RetireCandidate::Foreign(..) => RetireReason::AdoptedExpired,
    }
}

/// Whether an operator may delete this token now. All guards are asked but age and clock.
pub fn check_for_operator(
    policy: &AccountPolicy,
    state: &AccountState,
    evidence: &Evidence,
    fingerprint: Fingerprint,
    now: DateTime<Utc>,
) -> Result<Retirable, Blocked> {
    let candidate = match state.by_fingerprint(&fingerprint) {
        Some(generation) if generation.stage() != Stage::Retired => {
            RetireCandidate::Ours(generation)
        }
        // Gone by the journal, so nothing is known of its use now: the stricter guards apply.
        Some(_) | None => RetireCandidate::Foreign(fingerprint, None),
    };
    Planner::new(policy, state, evidence, now).check_guards(candidate, Reason::Operator)
}

/// Since when nothing needs this foreign token any more, as far as is known: from then on its
/// overlap counts. One that an operator adopted may have been in use until it left the last place
/// that it was seen in.
fn replaced_at(token: &ForeignToken) -> Option<DateTime<Utc>> {
    let adoption = token.adoption.as_ref();
    let later = [
        adoption.map(|adoption| adoption.at),
        adoption.and_then(|adoption| adoption.left_at),
    ];
    later
        .into_iter()
        .flatten()
        .chain(token.superseded_at)
        .max()
        // Without a promotion since it was seen, no token of ours can have replaced it.
        .filter(|_| token.superseded_at.is_some())
}

/// When the guards that time alone opens let this foreign token go.
pub fn adopted_retires_after(
    policy: &AccountPolicy,
    token: &ForeignToken,
) -> Option<DateTime<Utc>> {
    let old_enough = after(token.first_seen_at, policy.retention.max_age);
    Some(old_enough.max(after(replaced_at(token)?, policy.retention.overlap)))
}

/// When the guards that time alone opens let this generation go: max-age and overlap.
pub fn retires_after(policy: &AccountPolicy, generation: &Generation) -> Option<DateTime<Utc>> {
    if !generation.may_be_published() {
        // At once: no sink was given it, so no consumer can use it.
        return Some(generation.minted_at);
    }
    let superseded = generation.superseded_at?;
    let old_enough = after(generation.minted_at, policy.retention.max_age);
    Some(old_enough.max(after(superseded, policy.retention.overlap)))
}

#[cfg(test)]
mod tests;
