//! A mint, from its intent to its outcome.

use chrono::{DateTime, Utc};

use crate::account::{AccountState, AmbiguousMint, Generation, LostMint, OpenMint};
use crate::event::{Event, GenerationNo, MintSource};
use crate::secret::Fingerprint;

impl AccountState {
    /// A mint, from its intent to its outcome.
    pub(super) fn apply_mint(&mut self, at: DateTime<Utc>, event: &Event) {
        match event {
            Event::MintIntended {
                generation,
                baseline,
            } => {
                // From the intent on: a number is not used again, also where the mint fails.
                self.last_generation = self.last_generation.max(generation.0);
                self.open_mint = Some(OpenMint {
                    generation: *generation,
                    at,
                    baseline: baseline.clone(),
                });
            }
            Event::Minted {
                generation,
                fingerprint,
                how,
            } => self.mint(*generation, *fingerprint, *how, at),
            Event::MintFailed { generation, .. } => self.close_mint(*generation),
            // The intent stays open: this only says why in the audit trail.
            Event::MintUnknown { .. } => {}
            Event::MintMissing {
                generation,
                open_until,
            } => {
                self.close_mint(*generation);
                self.lost_mints.push(LostMint {
                    generation: *generation,
                    open_until: *open_until,
                    since: Some(at),
                });
            }
            Event::MintAmbiguous {
                generation,
                candidates,
            } => {
                self.close_mint(*generation);
                self.lost_mints
                    .retain(|mint| mint.generation != *generation);
                self.ambiguous_mints.push(AmbiguousMint {
                    generation: *generation,
                    at,
                    candidates: candidates.clone(),
                });
            }
            Event::LostMintClosed { generation } => {
                self.lost_mints
                    .retain(|mint| mint.generation != *generation);
            }
            crate::account_events!()
            | crate::backoff_events!()
            | crate::foreign_events!()
            | crate::token_events!()
            | crate::sink_events!()
            | crate::consumer_events!() => {}
        }
    }

    fn mint(
        &mut self,
        number: GenerationNo,
        fingerprint: Fingerprint,
        learnt: MintSource,
        at: DateTime<Utc>,
    ) {
        self.close_mint(number);
        self.lost_mints.retain(|mint| mint.generation != number);
        // It may have been taken for foreign before its mint was known.
        self.foreign.remove(&fingerprint);
        self.last_generation = self.last_generation.max(number.0);
        // An older token that was never published never will be: sinks do not go back behind the
        // newest.
        let line = self.line();
        for earlier in self
            .generations
            .values_mut()
            .filter(|earlier| earlier.line == line && earlier.number < number)
        {
            if earlier.promoted_at.is_none() {
                earlier
                    .set_aside
                    .get_or_insert_with(|| format!("generation {number} took its place"));
            }
        }
        self.generations.insert(
            number,
            Generation {
                number,
                fingerprint,
                line,
                minted_at: at,
                learnt,
                verified_at: None,
                promoted_at: None,
                superseded_at: None,
                set_aside: None,
                delete_sent: false,
                retired: None,
                lost_at: None,
                unlisted_since: None,
            },
        );
    }

    fn close_mint(&mut self, number: GenerationNo) {
        // Only its own: a late outcome must not close the intent of a newer mint.
        self.open_mint.take_if(|mint| mint.generation == number);
    }
}
