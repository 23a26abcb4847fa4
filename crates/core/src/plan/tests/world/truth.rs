//! When what counts for retention really happened, by a clock that nothing sets: what the times of
//! the state, which are reckoned by the local clock, are compared with.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Broken, Invariant, World};
use crate::event::Event;
use crate::plan::Blocked;
use crate::plan::reasons::WaitingFor;
use crate::plan::tests::world::invariants::holds;
use crate::plan::{Decision, Waiting};
use crate::secret::Fingerprint;

/// The true times of each token.
#[derive(Clone, Debug, Default)]
pub(super) struct Truth {
    /// When a token was minted, or first seen; and when the next of ours was promoted.
    pub tokens: BTreeMap<Fingerprint, (DateTime<Utc>, Option<DateTime<Utc>>)>,
    /// The machine was started twice and the server told no time between: what happened there has
    /// no certain time, and counts from later.
    pub is_unsure: bool,
}

impl Truth {
    pub fn enter(&mut self, event: &Event, now: DateTime<Utc>) {
        match event {
            Event::Minted { fingerprint, .. } => _ = self.tokens.insert(*fingerprint, (now, None)),
            Event::ForeignSeen { fingerprints } => {
                for fingerprint in fingerprints {
                    self.tokens.entry(*fingerprint).or_insert((now, None));
                }
            }
            Event::ForeignGone { fingerprints } => {
                self.tokens
                    .retain(|fingerprint, _| !fingerprints.contains(fingerprint));
            }
            _ => {}
        }
    }

    /// This one is current from now on.
    pub fn promoted(&mut self, token: Fingerprint, now: DateTime<Utc>) {
        for (_, (_, superseded)) in self.tokens.iter_mut().filter(|entry| *entry.0 != token) {
            superseded.get_or_insert(now);
        }
    }
}

impl World {
    /// When max-age and overlap are really over, on the local clock.
    pub(super) fn truly_over(&self, token: &Fingerprint) -> Option<DateTime<Utc>> {
        let (since, superseded) = *self.truth.tokens.get(token)?;
        let retention = &self.policy.retention;
        let over = (since + retention.max_age).max(superseded? + retention.overlap);
        Some(over + self.out.skew)
    }

    /// Nothing is deleted before its time has really passed.
    pub(super) fn check_true_age(&self, victim: &Fingerprint) -> Result<(), Broken> {
        let over = self.truly_over(victim);
        holds(
            Invariant::Retention,
            over.is_none_or(|over| over <= self.out.now),
            "it is deleted before max-age and overlap have really passed",
        )
    }

    /// Nothing waits longer than that, once the server has told the time.
    pub(super) fn check_true_waits(&self, decision: &Decision) -> Result<(), Broken> {
        let is_settled = self.told_time && self.state.frame.earlier.is_none();
        if !is_settled || self.truth.is_unsure {
            return Ok(());
        }
        let waits_for_age = |waiting: &&Waiting| match &waiting.what {
            WaitingFor::Deletion {
                fingerprint,
                blocked: Blocked::TooYoung { .. } | Blocked::Overlap { .. },
                // The overlap of one that an operator adopted also counts from when it left a place.
            } if !self.ledger.adopted.contains_key(fingerprint) => self
                .truly_over(fingerprint)
                // A second that bounds of the skew may be apart.
                .is_some_and(|over| over + TimeDelta::seconds(3) < self.out.now),
            _ => false,
        };
        holds(
            Invariant::Retention,
            !decision
                .waiting
                .iter()
                .any(|waiting| waits_for_age(&waiting)),
            "a token outlives its time, for a clock that was wrong",
        )
    }
}
