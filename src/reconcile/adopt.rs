//! Putting foreign tokens under the policy on an operator's word, and looking through the files for
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::list::ListError;
use super::{Observer, Reconciler};
use crate::ringcx::TokenApi;
use crate::sinks::blocking;
use crate::sinks::search::search;
use rotator_core::account::Stage;
use rotator_core::event::{Event, GenerationNo};
use rotator_core::journal::{Journal, JournalError};
use rotator_core::plan::evidence::{FileScan, SinkContent};
use rotator_core::plan::{Next, plan};
use rotator_core::secret::Fingerprint;
use rotator_core::secret::find::Wanted;

/// What an operator wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adopt {
    /// Put this foreign token under the policy. It stays while one of these files holds it.
    Take {
        /// Which.
        fingerprint: Fingerprint,
        /// Absolute.
        files: BTreeSet<String>,
    },
    /// Leave this one alone again.
    Leave {
        /// Which.
        fingerprint: Fingerprint,
    },
}

/// Why nothing was adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The server's list could not be had.
    #[error(transparent)]
    List(#[from] ListError),
    /// It is not there any more.
    #[error("nothing was adopted: {} is not on the server's list", fingerprint.short())]
    NotListed {
        /// Which.
        fingerprint: Fingerprint,
    },
    /// It is one of ours, which age by the policy anyway.
    #[error("nothing was adopted: {} is generation {generation}, which is ours already", fingerprint.short())]
    Ours {
        /// Which.
        fingerprint: Fingerprint,
        /// Its number.
        generation: GenerationNo,
    },
    /// It may be the token of a mint whose outcome is not known yet.
    #[error(
        "nothing was adopted: a mint is not settled, and {} may be its token: try again when `status` is ok",
        fingerprint.short()
    )]
    Unsettled {
        /// Which.
        fingerprint: Fingerprint,
    },
    /// A file is to be watched that the one who watches cannot look through, or in which it is not
    /// seen.
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
    /// Does all of it or nothing.
    pub async fn adopt(
        &mut self,
        wishes: Vec<Adopt>,
        stop: &CancellationToken,
    ) -> Result<(), AdoptError> {
        let listed = self.list_tokens(stop).await?;
        self.record_observations().await?;
        let mut events = Vec::new();
        for wish in wishes {
            let (fingerprint, files) = match wish {
                Adopt::Take { fingerprint, files } => (fingerprint, files),
                Adopt::Leave { fingerprint } => {
                    let token = self.state.foreign.get(&fingerprint);
                    if token.is_some_and(|token| token.adoption.is_some()) {
                        events.push(Event::Disowned { fingerprint });
                    }
                    continue;
                }
            };
            let Some(token) = listed.iter().find(|it| it.fingerprint == fingerprint) else {
                return Err(AdoptError::NotListed { fingerprint });
            };
            if let Some(ours) = self
                .state
                .by_fingerprint(&fingerprint)
                .filter(|it| it.stage() != Stage::Retired)
            {
                return Err(AdoptError::Ours {
                    fingerprint,
                    generation: ours.number,
                });
            }
            if !self.state.foreign.contains_key(&fingerprint) {
                return Err(AdoptError::Unsettled { fingerprint });
            }
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
            let sinks = self.seen.sinks.iter().flatten();
            let holding = sinks.filter(|(_, held)| **held == SinkContent::Token(fingerprint));
            let held_by = holding
                .map(|(sink, _)| sink.clone())
                .chain(files.iter().cloned())
                .collect();
            events.push(Event::Adopted {
                fingerprint,
                length: token.length,
                files,
                held_by,
            });
        }
        self.record(events).await?;
        // The files are looked through whenever the sinks are looked at.
        self.seen.sinks_changed();
        self.end_pass().await;
        Ok(())
    }

    /// Writes down what was seen, and does nothing else.
    async fn record_observations(&mut self) -> Result<(), JournalError> {
        loop {
            self.read_peers();
            let decision = plan(
                &self.assignment.account,
                &self.state,
                &self.seen,
                self.clock.now(),
            );
            match decision.next {
                Next::Record(events) => self.record(events).await?,
                Next::Do(_) | Next::Rest => return Ok(()),
            }
        }
    }

    /// Looks through all files for the adopted tokens that are looked for there.
    pub(super) async fn search_files(&self) -> BTreeMap<String, FileScan> {
        let mut wanted: BTreeMap<&String, Vec<(Fingerprint, usize)>> = BTreeMap::new();
        for (fingerprint, token) in &self.state.foreign {
            let Some(adoption) = &token.adoption else {
                continue;
            };
            for path in &adoption.files {
                wanted
                    .entry(path)
                    .or_default()
                    .push((*fingerprint, adoption.length));
            }
        }
        let mut files = BTreeMap::new();
        for (path, tokens) in wanted {
            files.insert(
                path.clone(),
                look_through(path.clone(), tokens.into_iter().collect()).await,
            );
        }
        files
    }
}

async fn look_through(path: String, wanted: Wanted) -> FileScan {
    match blocking(move || search(&PathBuf::from(path), &wanted)).await {
        Ok(found) => FileScan::Holds(found),
        Err(error) => FileScan::Unknown(error.to_string()),
    }
}
