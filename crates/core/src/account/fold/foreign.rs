//! Tokens that the daemon did not mint.

use chrono::{DateTime, Utc};

use crate::account::{AccountState, Adoption, ForeignToken};
use crate::event::Event;
use crate::secret::Fingerprint;

impl AccountState {
    /// Tokens that the daemon did not mint.
    pub(super) fn apply_foreign(&mut self, at: DateTime<Utc>, event: &Event) {
        match event {
            Event::ForeignSeen { fingerprints } => {
                for fingerprint in fingerprints {
                    // Never replaced: its age counts from when it was first seen.
                    self.foreign.entry(*fingerprint).or_insert(ForeignToken {
                        first_seen_at: at,
                        superseded_at: None,
                        delete_sent: false,
                        adoption: None,
                    });
                }
            }
            Event::ForeignGone { fingerprints } | Event::ForeignClaimed { fingerprints, .. } => {
                self.foreign
                    .retain(|fingerprint, _| !fingerprints.contains(fingerprint));
            }
            Event::Adopted {
                fingerprint,
                length,
                files,
                held_by,
            } => {
                self.update_foreign(fingerprint, |token| {
                    token.adoption = Some(Adoption {
                        at,
                        length: *length,
                        files: files.clone(),
                        held_by: held_by.clone(),
                        left_at: None,
                    });
                });
            }
            Event::AdoptedHeld {
                fingerprint,
                held_by,
            } => self.update_foreign(fingerprint, |token| {
                if let Some(adoption) = &mut token.adoption {
                    // It left a place whose reader may still use it: its overlap counts from now.
                    if !adoption.held_by.is_subset(held_by) {
                        adoption.left_at = Some(at);
                    }
                    adoption.held_by = held_by.clone();
                }
            }),
            Event::Disowned { fingerprint } => {
                self.update_foreign(fingerprint, |token| token.adoption = None);
            }
            crate::account_events!()
            | crate::backoff_events!()
            | crate::mint_events!()
            | crate::token_events!()
            | crate::sink_events!()
            | crate::consumer_events!() => {}
        }
    }

    pub(super) fn update_foreign(
        &mut self,
        fingerprint: &Fingerprint,
        change: impl FnOnce(&mut ForeignToken),
    ) {
        if let Some(token) = self.foreign.get_mut(fingerprint) {
            change(token);
        }
    }
}
