//! A token after its mint, up to its deletion.

use chrono::{DateTime, Utc};

use crate::account::{AccountState, Generation, RETIRED_KEPT, Stage, TokenLoss};
use crate::event::{Event, GenerationNo};
use crate::secret::Fingerprint;

impl AccountState {
    /// A token after its mint, up to its deletion.
    pub(super) fn apply_token(&mut self, at: DateTime<Utc>, event: &Event) {
        match event {
            Event::Verified { generation } => self.verify(*generation, at),
            Event::Abandoned { generation, reason } => {
                self.update(*generation, |generation| {
                    generation.set_aside = Some(reason.clone())
                });
            }
            Event::Promoted { generation } => self.promote(*generation, at),
            Event::DeleteIntended {
                fingerprint,
                generation,
                ..
            } => self.intend_delete(*fingerprint, *generation),
            Event::Retired {
                fingerprint,
                generation,
                by,
            } => {
                if self.open_delete == Some(*fingerprint) {
                    self.open_delete = None;
                }
                self.foreign.remove(fingerprint);
                if let Some(generation) = generation {
                    self.update(*generation, |generation| {
                        generation.retired = Some((at, *by))
                    });
                }
                self.forget_long_gone();
            }
            Event::TokenLost {
                generation,
                evidence,
            } => {
                self.update(*generation, |generation| generation.lost_at = Some(at));
                self.forget_long_gone();
                self.token_lost = Some(TokenLoss {
                    generation: *generation,
                    at,
                    evidence: evidence.clone(),
                });
            }
            Event::Reappeared { generation } => self.bring_back(*generation),
            Event::ListDisagreed { generation } => self.update(*generation, |generation| {
                generation.unlisted_since.get_or_insert(at);
            }),
            Event::ListAgreed { generation } => {
                self.update(*generation, |generation| generation.unlisted_since = None);
            }
            crate::account_events!()
            | crate::backoff_events!()
            | crate::foreign_events!()
            | crate::mint_events!()
            | crate::sink_events!()
            | crate::consumer_events!() => {}
        }
    }

    fn intend_delete(&mut self, fingerprint: Fingerprint, generation: Option<GenerationNo>) {
        self.open_delete = Some(fingerprint);
        match generation {
            Some(generation) => self.update(generation, |generation| generation.delete_sent = true),
            None => self.update_foreign(&fingerprint, |token| token.delete_sent = true),
        }
    }

    fn verify(&mut self, number: GenerationNo, at: DateTime<Utc>) {
        self.update(number, |generation| generation.verified_at = Some(at));
    }

    fn promote(&mut self, number: GenerationNo, at: DateTime<Utc>) {
        let line = self.line();
        let earlier = self
            .generations
            .values_mut()
            .filter(|generation| generation.line == line && generation.number != number);
        // One that was never published has no overlap to wait for.
        for generation in earlier
            .filter(|generation| generation.promoted_at.is_some() || generation.set_aside.is_some())
        {
            generation.superseded_at.get_or_insert(at);
        }
        // Whatever used a foreign token can use this one from now on.
        for token in self.foreign.values_mut() {
            token.superseded_at.get_or_insert(at);
        }
        self.update(number, |generation| generation.promoted_at = Some(at));
        // A promotion answers the operator's request, whatever the rotation was due to.
        self.asked_at = None;
        self.token_lost = None;
        self.ambiguous_mints.retain(|mint| mint.at > at);
    }

    fn bring_back(&mut self, number: GenerationNo) {
        let line = self.line();
        let published = self
            .generations
            .values()
            .filter(|generation| generation.may_be_published());
        let newest = published.map(|generation| generation.number).max();
        self.update(number, |generation| {
            generation.retired = None;
            generation.lost_at = None;
            generation.unlisted_since = None;
            // The list of the login in use shows it, so it belongs to that login, whichever minted
            // it. One that was current when the login changed, and was not replaced by a newer one,
            // is current again.
            if generation.line != line && Some(number) == newest && generation.promoted_at.is_some()
            {
                generation.set_aside = None;
            }
            generation.line = line;
        });
        let is_current = self
            .current()
            .is_some_and(|current| current.number == number);
        if is_current
            && self
                .token_lost
                .as_ref()
                .is_some_and(|loss| loss.generation == number)
        {
            self.token_lost = None;
        }
    }

    pub(super) fn update(&mut self, number: GenerationNo, change: impl FnOnce(&mut Generation)) {
        if let Some(generation) = self.generations.get_mut(&number) {
            change(generation);
        }
    }

    fn forget_long_gone(&mut self) {
        let gone = |generation: &Generation| match generation.stage() {
            Stage::Retired | Stage::Lost => true,
            Stage::Pending | Stage::Current | Stage::Previous => false,
        };
        let dead: Vec<GenerationNo> = self
            .generations
            .values()
            .filter(|generation| gone(generation))
            .map(|generation| generation.number)
            .collect();
        // In order of their numbers, so the oldest are forgotten.
        for number in dead.iter().take(dead.len().saturating_sub(RETIRED_KEPT)) {
            self.generations.remove(number);
        }
    }
}
