//! Which old token may be deleted. Every reason why not is a guard with a test of its own name.
//!
//! A [`Retirable`] can only be had from [`Planner::check_guards`], which asks all of them; the
//! delete step takes one by value.

use std::fmt;

use chrono::{DateTime, Utc};

use super::evidence::{Doubt, Evidence, FileScan, SinkContent};
use super::observations::LARGEST_SKEW_SECONDS;
use super::{Action, Look, Next, Planner, Step};
use crate::account::{AccountState, ForeignToken, Generation, LastDelivery, SinkRecord, Stage};
use crate::config::{AccountPolicy, Foreign, SinkPolicy};
use crate::event::{BackoffKey, GenerationNo, Outcome};
use crate::secret::Fingerprint;
use crate::time::after;

/// A token that every guard let pass, just now.
#[derive(Debug, PartialEq, Eq)]
pub struct Retirable {
    fingerprint: Fingerprint,
    generation: Option<GenerationNo>,
    because: String,
}

impl Retirable {
    /// Which token.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Its generation, where it is ours.
    pub fn generation(&self) -> Option<GenerationNo> {
        self.generation
    }

    /// Why it may go.
    pub fn because(&self) -> &str {
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

/// Why a token may not be deleted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// It is younger than `max-age`.
    TooYoung {
        /// When it is not any more.
        until: DateTime<Utc>,
    },
    /// Its successor was not promoted yet.
    NoSuccessor,
    /// Less than `overlap` has passed since its successor was promoted.
    Overlap {
        /// When it has.
        until: DateTime<Utc>,
    },
    /// It is the current or the pending one.
    InUse,
    /// It is not ours, and the policy keeps those.
    NotOurs,
    /// There is no current token: this may be the last one that works.
    NoCurrent,
    /// A sink serves it.
    Served {
        /// Which.
        sink: String,
    },
    /// It is not known what a required sink holds.
    SinkUnknown {
        /// Which.
        sink: String,
    },
    /// Those who read a required sink were not told of its token yet, so they may use an older one.
    Untold {
        /// Which.
        sink: String,
    },
    /// The consumer of a required sink has not said that it uses a newer one.
    Unacknowledged {
        /// Which.
        sink: String,
    },
    /// A file that is looked through for it holds it.
    InFile {
        /// Which.
        path: String,
    },
    /// A file that is looked through for it could not be looked at.
    FileUnknown {
        /// Which, and why.
        why: String,
    },
    /// The sinks were not looked at in this pass.
    SinksUnseen,
    /// No fresh list was had with the current token.
    NoList,
    /// It is not on that list, so it is not known whose it is.
    NotListed,
    /// The local clock and the server's are too far apart, or the server did not tell its time.
    Clock {
        /// Local minus server.
        skew_seconds: Option<i64>,
    },
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooYoung { .. } => f.write_str("it reaches max-age"),
            Self::NoSuccessor => f.write_str("its successor is not promoted yet"),
            Self::Overlap { .. } => f.write_str("its overlap ends"),
            Self::InUse => f.write_str("it is the current or the pending token"),
            Self::NotOurs => f.write_str("it is foreign, and the policy keeps foreign tokens"),
            Self::NoCurrent => {
                f.write_str("there is no current token, this may be the last one that works")
            }
            Self::Served { sink } => write!(f, "sink {sink} still serves it"),
            Self::SinkUnknown { sink } => write!(f, "it is not known what sink {sink} holds"),
            Self::Untold { sink } => {
                write!(f, "the consumer of sink {sink} was not told of a newer one")
            }
            Self::Unacknowledged { sink } => {
                write!(
                    f,
                    "the consumer of sink {sink} has not said that it uses a newer one"
                )
            }
            Self::InFile { path } => write!(f, "it is still in {path}"),
            Self::FileUnknown { why } => write!(f, "it may still be in a file: {why}"),
            Self::SinksUnseen => f.write_str("the sinks have not been looked at"),
            Self::NoList => f.write_str("the current token has not just been seen to work"),
            Self::NotListed => f.write_str("it is not on the server's list"),
            Self::Clock {
                skew_seconds: Some(skew),
            } => {
                write!(
                    f,
                    "the local clock is {skew} s off the server's, so ages cannot be trusted"
                )
            }
            Self::Clock { skew_seconds: None } => f.write_str(
                "the server did not tell its time, so the local clock cannot be trusted",
            ),
        }
    }
}

/// What is to be judged.
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
        let mut victims: Vec<RetireCandidate<'_>> =
            self.state.previous().map(RetireCandidate::Ours).collect();
        victims.extend(
            adopted(self.policy, self.state)
                .map(|(it, token)| RetireCandidate::Foreign(*it, Some(token))),
        );
        for candidate in victims {
            let name = candidate.fingerprint().short();
            if let Err(blocked) = self.check_age(candidate) {
                let (Blocked::TooYoung { until } | Blocked::Overlap { until }) = blocked else {
                    self.wait(format!("deleting {name}: {blocked}"), None);
                    continue;
                };
                self.wait(format!("deleting {name}: {blocked}"), Some(until));
                continue;
            }
            match self.check_guards(candidate, Reason::Policy) {
                Ok(retirable) => {
                    self.step(
                        Action::Delete,
                        Some(name.clone()),
                        retirable.because.clone(),
                    );
                    match self.held(&BackoffKey::Retirement) {
                        Some(until) => {
                            self.wait(format!("the next try to delete {name}"), Some(until))
                        }
                        None => self.offer(Next::Do(Step::Delete(retirable))),
                    }
                }
                // All that is missing is a look.
                Err(Blocked::NoList) => {
                    self.step(Action::Delete, Some(name.clone()), because(candidate));
                    match self.held(&BackoffKey::Retirement) {
                        Some(until) => {
                            self.wait(format!("the next try to delete {name}"), Some(until))
                        }
                        // What speaks against it is settled first, with a login where need be:
                        // asking as the current token again and again would go round in circles.
                        None if self.current_is_in_doubt() => self.wait(
                            format!("deleting {name}: the current token is in doubt"),
                            None,
                        ),
                        None if self.state.current().is_some() => self.look(Look::ListAsCurrent),
                        None => match self.login_held() {
                            Some(until) => {
                                self.wait(format!("a login, to delete {name}"), Some(until))
                            }
                            None => self.look(Look::ListByLogin),
                        },
                    }
                }
                Err(Blocked::SinksUnseen) => self.look(Look::Sinks),
                Err(blocked) => self.wait(format!("deleting {name}: {blocked}"), None),
            }
        }
    }

    fn current_is_in_doubt(&self) -> bool {
        self.state
            .current()
            .is_some_and(|it| self.seen.doubt(&it.fingerprint) != Doubt::default())
    }

    fn check_age(&self, candidate: RetireCandidate<'_>) -> Result<(), Blocked> {
        let (born, superseded) = match candidate {
            // Never published: nobody can be using it.
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
            // Nobody was ever given it, so nobody is left with nothing; and an account that never
            // had a current token would else keep what it tried in vain, up to the cap and for
            // ever.
            None => self.list_by_login(),
        };
        self.check_sinks(candidate)?;
        self.check_files(fingerprint, reason)?;
        let list = list.ok_or(Blocked::NoList)?;
        if !list.tokens.contains(&fingerprint) {
            return Err(Blocked::NotListed);
        }
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
            Reason::Policy => because(candidate),
            Reason::Operator => "an operator asked for it".to_owned(),
        };
        Ok(Retirable {
            fingerprint,
            generation,
            because,
        })
    }

    /// No sink may serve it: what can be read is read, and of what cannot, the worst is assumed. A
    /// sink that is not required and cannot be read is best effort and blocks nothing.
    fn check_sinks(&self, candidate: RetireCandidate<'_>) -> Result<(), Blocked> {
        if self.seen.sinks.is_none() {
            return Err(Blocked::SinksUnseen);
        }
        let fingerprint = candidate.fingerprint();
        let number = self
            .state
            .by_fingerprint(&fingerprint)
            .map(|generation| generation.number);
        for sink in &self.policy.sinks {
            let name = || sink.name.clone();
            if sink.required && candidate.may_be_published() {
                self.check_consumer(sink, number)?;
            }
            match self.seen.held(&sink.name) {
                Some(SinkContent::Token(held)) if *held == fingerprint => {
                    return Err(Blocked::Served { sink: name() });
                }
                Some(SinkContent::Token(_) | SinkContent::Absent) => {}
                // What is no token to us, for its mode or a line end too many, may still be read as
                // one.
                Some(SinkContent::Other(_) | SinkContent::Unreadable(_)) | None
                    if sink.required =>
                {
                    return Err(Blocked::SinkUnknown { sink: name() });
                }
                Some(SinkContent::Opaque) if sink.required && candidate.may_be_published() => {
                    let Some(record) = self.state.sinks.get(&sink.name) else {
                        return Err(Blocked::SinkUnknown { sink: name() });
                    };
                    match record.last_delivery {
                        LastDelivery::Open | LastDelivery::Failed(Outcome::Unknown) => {
                            return Err(Blocked::SinkUnknown { sink: name() });
                        }
                        LastDelivery::Never
                        | LastDelivery::Done
                        | LastDelivery::Failed(Outcome::NotDone) => {}
                    }
                    // The newest that is proved there, and anything sent since, may be in use.
                    let Some((proved, _)) = record.proved else {
                        return Err(Blocked::SinkUnknown { sink: name() });
                    };
                    if number == Some(proved) {
                        return Err(Blocked::Served { sink: name() });
                    }
                    if number > Some(proved) && number <= record.intended {
                        return Err(Blocked::SinkUnknown { sink: name() });
                    }
                }
                Some(SinkContent::Other(_) | SinkContent::Unreadable(_) | SinkContent::Opaque)
                | None => {}
            }
        }
        if !candidate.may_be_published() {
            return Ok(());
        }
        for elsewhere in &self.policy.peer_sinks {
            let sink = elsewhere.to_string();
            match self.seen.peers.held_elsewhere.get(elsewhere) {
                Some(held) if held.contains(&fingerprint) => return Err(Blocked::Served { sink }),
                Some(_) => {}
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
            match (self.seen.files.get(path), reason) {
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
        // One that was never proved is told once it is.
        let is_told = |record: &SinkRecord| record.notify_owed.is_none() && record.proved.is_some();
        if sink.notify.is_some() && !record.is_some_and(is_told) {
            return Err(Blocked::Untold {
                sink: sink.name.clone(),
            });
        }
        let uses = record
            .and_then(|record| record.acknowledged)
            .map(|(number, _)| number);
        if sink.acknowledge.is_some() && uses <= candidate {
            return Err(Blocked::Unacknowledged {
                sink: sink.name.clone(),
            });
        }
        Ok(())
    }
}

fn because(candidate: RetireCandidate<'_>) -> String {
    match candidate {
        RetireCandidate::Ours(generation) if !generation.may_be_published() => format!(
            "generation {} was never published: {}",
            generation.number,
            generation
                .set_aside
                .as_deref()
                .unwrap_or("another took its place"),
        ),
        RetireCandidate::Ours(generation) => {
            format!(
                "generation {} is older than max-age and its overlap is over",
                generation.number
            )
        }
        RetireCandidate::Foreign(..) => {
            "it is adopted, older than max-age, and its overlap is over".to_owned()
        }
    }
}

/// Whether an operator may delete this token now. Ours are judged by all guards but age and clock.
pub fn check_for_operator(
    policy: &AccountPolicy,
    state: &AccountState,
    seen: &Evidence,
    fingerprint: Fingerprint,
    now: DateTime<Utc>,
) -> Result<Retirable, Blocked> {
    let candidate = match state.by_fingerprint(&fingerprint) {
        Some(generation) if generation.stage() != Stage::Retired => {
            RetireCandidate::Ours(generation)
        }
        Some(_) | None => RetireCandidate::Foreign(fingerprint, None),
    };
    Planner::new(policy, state, seen, now).check_guards(candidate, Reason::Operator)
}

/// The foreign tokens that are under the policy: by its own word or by an operator's.
pub fn adopted<'a>(
    policy: &AccountPolicy,
    state: &'a AccountState,
) -> impl Iterator<Item = (&'a Fingerprint, &'a ForeignToken)> {
    let all = policy.retention.foreign == Foreign::Adopt;
    state
        .foreign
        .iter()
        .filter(move |(_, token)| all || token.adoption.is_some())
}

/// Since when nothing needs this foreign token any more, as far as is known: from then on its
/// overlap counts. One that an operator adopted may have been in use until it left the last place
/// that it was seen in.
fn replaced_at(token: &ForeignToken) -> Option<DateTime<Utc>> {
    let adoption = token.adoption.as_ref();
    let later = [adoption.map(|it| it.at), adoption.and_then(|it| it.left_at)];
    later
        .into_iter()
        .flatten()
        .chain(token.superseded_at)
        .max()
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
        return Some(generation.minted_at);
    }
    let superseded = generation.superseded_at?;
    let old_enough = after(generation.minted_at, policy.retention.max_age);
    Some(old_enough.max(after(superseded, policy.retention.overlap)))
}

#[cfg(test)]
mod tests;
