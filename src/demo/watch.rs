//! What has happened so far, from where it is written down: the daemon's journal, read beside it.
//!
//! [`JournalWatch::look`] reads it again; the other methods answer from what was read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::stage::ACCOUNTS;
use crate::reconcile::{HistoryError, Recorded, history};
use crate::store::SqliteJournal;
use rotator_core::account::AccountState;
use rotator_core::event::GenerationNo;

/// Follows the journal of a daemon.
pub struct JournalWatch {
    state_dir: PathBuf,
    /// There once it may be opened.
    control_socket: PathBuf,
    journal: Option<SqliteJournal>,
    trails: BTreeMap<&'static str, Vec<Recorded>>,
}

impl JournalWatch {
    /// Nothing is known yet.
    pub fn new(state_dir: PathBuf, control_socket: PathBuf) -> Self {
        Self {
            state_dir,
            control_socket,
            journal: None,
            trails: BTreeMap::new(),
        }
    }

    /// Looks again, and answers what is new, each with the account's state just before it.
    pub async fn look(
        &mut self,
    ) -> Result<Vec<(&'static str, AccountState, Recorded)>, HistoryError> {
        if self.journal.is_none() {
            // The daemon opens its journal first and its socket then.
            if !self.control_socket.exists() {
                return Ok(Vec::new());
            }
            self.journal = Some(SqliteJournal::open_read_only(&self.state_dir)?);
        }
        let Some(journal) = &self.journal else {
            return Ok(Vec::new());
        };
        let mut news = Vec::new();
        for account in ACCOUNTS {
            // A demo is far too short to be compacted.
            let trail = history(journal, account).await?.events;
            let known = self.trails.get(account).map_or(0, Vec::len);
            // Folded again from the beginning: a demo has few events, so a kept state would save
            // nothing.
            let mut state = fold(&trail[..known.min(trail.len())]);
            for recorded in trail.iter().skip(known) {
                news.push((account, state.clone(), recorded.clone()));
                recorded.apply_to(&mut state);
            }
            // Only after the news are made, which need the old length.
            self.trails.insert(account, trail);
        }
        Ok(news)
    }

    /// An account's events so far.
    pub fn trail(&self, account: &str) -> &[Recorded] {
        self.trails.get(account).map_or(&[], Vec::as_slice)
    }

    /// What they amount to.
    pub fn state(&self, account: &str) -> AccountState {
        fold(self.trail(account))
    }

    /// The number of the token that is current; 0 before the first.
    pub fn current(&self, account: &str) -> GenerationNo {
        self.state(account)
            .current()
            .map_or(GenerationNo(0), |current| current.number)
    }
}

fn fold(trail: &[Recorded]) -> AccountState {
    let mut state = AccountState::default();
    trail
        .iter()
        .for_each(|recorded| recorded.apply_to(&mut state));
    state
}
