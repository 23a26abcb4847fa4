//! The order of a token's life, expressed in types.
//!
//! `Minted → Verified → Proved`: each can only be had from a state that shows it, so a step that
//! takes one by value cannot be performed too early. The fields are private to this file. For
//! example, to deliver takes a [`Verified`], so a token that was not tried reaches no sink.

use super::{AccountState, Generation, Stage};
use crate::config::SinkPolicy;
use crate::event::GenerationNo;
use crate::secret::Fingerprint;

/// A pending token that is not verified yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minted(GenerationNo, Fingerprint);

/// A token that was seen to work: it may be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified(GenerationNo, Fingerprint);

/// A verified token that every required sink was seen to hold: it may be promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proved(GenerationNo);

impl Minted {
    /// The pending token, as long as it is unverified.
    pub fn of(state: &AccountState) -> Option<Self> {
        state
            .pending()
            .filter(|pending| pending.verified_at.is_none())
            .map(|pending| Self(pending.number, pending.fingerprint))
    }

    /// The generation that this is a proof of.
    pub fn generation(&self) -> GenerationNo {
        self.0
    }

    /// Fingerprint of its token.
    pub fn fingerprint(&self) -> Fingerprint {
        self.1
    }
}

impl Verified {
    /// This generation, if it may be published: verified and pending, or current.
    pub fn of(generation: &Generation) -> Option<Self> {
        let publishable = match generation.stage() {
            Stage::Pending | Stage::Current => generation.verified_at.is_some(),
            Stage::Previous | Stage::Retired | Stage::Lost => false,
        };
        publishable.then_some(Self(generation.number, generation.fingerprint))
    }

    /// The generation that this is a proof of.
    pub fn generation(&self) -> GenerationNo {
        self.0
    }

    /// Fingerprint of its token.
    pub fn fingerprint(&self) -> Fingerprint {
        self.1
    }
}

impl Proved {
    /// The pending token, if it is verified and proved in every required sink of the policy.
    pub fn of(state: &AccountState, sinks: &[SinkPolicy]) -> Option<Self> {
        let verified = state.pending().and_then(Verified::of)?;
        let proved_in = |sink: &SinkPolicy| {
            state.sinks.get(&sink.name).is_some_and(|record| {
                // After a reload the policy may name another target, and the record is still the
                // old one's.
                record.target == sink.kind.target()
                    && record.drifted.is_none()
                    && record
                        .proved
                        .is_some_and(|(generation, _)| generation == verified.generation())
            })
        };
        // An optional sink that fails must not keep the others on an old token.
        sinks
            .iter()
            .filter(|sink| sink.required)
            .all(proved_in)
            .then_some(Self(verified.generation()))
    }

    /// The generation that this is a proof of.
    pub fn generation(&self) -> GenerationNo {
        self.0
    }
}
