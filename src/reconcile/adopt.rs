//! Putting foreign tokens under the policy, or taking them out again, on an operator's request.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use super::list::{ListError, ListedToken};
use super::observe::look_through;
use super::state::{Observer, Reconciler};
use crate::ringcx::TokenApi;
use rotator_core::account::Stage;
use rotator_core::event::{Event, GenerationNo};
use rotator_core::journal::{Journal, JournalError};
use rotator_core::plan::Next;
use rotator_core::plan::evidence::{FileScan, SinkContent};
use rotator_core::secret::Fingerprint;
use rotator_core::secret::find::Wanted;

/// What an operator wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adopt {
    /// Put this foreign token under the policy. It stays while one of these files holds it.
    Take {
        /// Fingerprint of the token.
        fingerprint: Fingerprint,
        /// Absolute paths of files that may hold the token, for example `/etc/crm/env`.
        files: BTreeSet<String>,
    },
    /// Leave this one alone again.
    Leave {
        /// Fingerprint of the token.
        fingerprint: Fingerprint,
    },
}

/// Why nothing was adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The server could not be asked for its list.
    #[error(transparent)]
    List(#[from] ListError),
    /// The server does not list it any more.
    #[error("nothing was adopted: {} is not on the server's list", fingerprint.short())]
    NotListed {
        /// Fingerprint of the token.
        fingerprint: Fingerprint,
    },
    /// It is one of ours, which age by the policy anyway.
    #[error("nothing was adopted: {} is generation {generation}, which is ours already", fingerprint.short())]
    Ours {
        /// Fingerprint of the token.
        fingerprint: Fingerprint,
        /// Number of the generation that it is.
        generation: GenerationNo,
    },
    /// It is the token of another account of the policy.
    #[error(
        "nothing was adopted: {} is a token of account {owner}, which has the same user",
        fingerprint.short()
    )]
    OfAccount {
        /// Fingerprint of the token.
        fingerprint: Fingerprint,
        /// The account whose token it is.
        owner: String,
    },
    /// It may be the token of a mint whose outcome is not known yet.
    #[error(
        "nothing was adopted: a mint is not settled, and {} may be its token: try again when `status` is ok",
        fingerprint.short()
    )]
    Unsettled {
        /// Fingerprint of the token.
        fingerprint: Fingerprint,
    },
    /// A file that is to be watched cannot be read by the daemon, or does not hold the token.
    #[error(
        "nothing was adopted: {why}: let ringcx-rotator read it, or leave that file out, and nothing watches over it"
    )]
    Unseen {
        /// Which file, and why.
        why: String,
    },
    /// The journal could not be written, so nothing was done.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Does everything that was asked for, or nothing.
    pub async fn adopt(
        &mut self,
        requests: Vec<Adopt>,
        stop: &CancellationToken,
    ) -> Result<(), AdoptError> {
        let listed = self.list_tokens(stop).await?;
        // Makes foreign tokens of this list known: `adoption` refuses one that the journal lacks.
        self.record_observations().await?;
        let mut events = Vec::new();
        for request in requests {
            match request {
                Adopt::Take { fingerprint, files } => {
                    events.push(self.adoption(fingerprint, files, &listed).await?);
                }
                Adopt::Leave { fingerprint } => {
                    let token = self.state.foreign.get(&fingerprint);
                    // To leave one that is not adopted is no error: the request may be a
                    // repetition.
                    if token.is_some_and(|token| token.adoption.is_some()) {
                        events.push(Event::Disowned { fingerprint });
                    }
                }
            }
        }
        // One append after all checks, so that a refused request leaves nothing half done.
        self.record(events).await?;
        // The files are looked through whenever the sinks are looked at.
        self.evidence.sinks_changed();
        // As after a pass: the texts of the list must not stay in memory.
        self.end_pass().await;
        Ok(())
    }

    /// The event that adopts this token, if every condition for it holds.
    async fn adoption(
        &self,
        fingerprint: Fingerprint,
        files: BTreeSet<String>,
        listed: &[ListedToken],
    ) -> Result<Event, AdoptError> {
        let Some(token) = listed.iter().find(|token| token.fingerprint == fingerprint) else {
            return Err(AdoptError::NotListed { fingerprint });
        };
        if let Some(ours) = self
            .state
            .by_fingerprint(&fingerprint)
            // A retired one that is listed again is treated as foreign, as in the guards of
            // retirement.
            .filter(|own| own.stage() != Stage::Retired)
        {
            return Err(AdoptError::Ours {
                fingerprint,
                generation: ours.number,
            });
        }
        if let Some(owner) = self.evidence.owner(&fingerprint).cloned() {
            return Err(AdoptError::OfAccount { fingerprint, owner });
        }
        // Listed, not ours and not foreign: a mint is open, and this may be its token.
        if !self.state.foreign.contains_key(&fingerprint) {
            return Err(AdoptError::Unsettled { fingerprint });
        }
        // What a file holds protects the token later. A file that cannot be read would protect
        // nothing, so it is refused now and not found out at the deletion.
        let wanted = Wanted::from_iter([(fingerprint, token.length)]);
        for path in &files {
            match look_through(path.clone(), wanted.clone()).await {
                FileScan::Holds(found) if found.contains(&fingerprint) => {}
                FileScan::Holds(_) => {
                    let why = format!("{} cannot be seen in {path}", fingerprint.short());
                    return Err(AdoptError::Unseen { why });
                }
                FileScan::Unknown(why) => return Err(AdoptError::Unseen { why }),
            }
        }
        let sinks = self.evidence.sinks().into_iter().flatten();
        let holding = sinks.filter(|(_, content)| **content == SinkContent::Token(fingerprint));
        let held_by = holding
            .map(|(sink, _)| sink.clone())
            .chain(files.iter().cloned())
            .collect();
        Ok(Event::Adopted {
            fingerprint,
            length: token.length,
            files,
            held_by,
        })
    }

    /// Records what follows from what was seen, and does nothing else.
    async fn record_observations(&mut self) -> Result<(), JournalError> {
        loop {
            // An observation can lead to the next one; only steps that act are left out.
            self.read_peers();
            match self.decide().next {
                Next::Record(events) if !self.claim_tokens(&events) => {}
                Next::Record(events) => self.record(events).await?,
                Next::Do(_) | Next::Rest => return Ok(()),
            }
        }
    }
}
