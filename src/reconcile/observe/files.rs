//! Looking through files for tokens that an operator put under the policy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::reconcile::state::{Observer, Reconciler};
use crate::ringcx::TokenApi;
use crate::sinks::on_disk;
use crate::sinks::search::search;
use rotator_core::journal::Journal;
use rotator_core::plan::evidence::FileScan;
use rotator_core::secret::Fingerprint;
use rotator_core::secret::find::Wanted;

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Looks through every file that an adoption names, for the tokens that it names it for.
    pub(super) async fn search_files(&self) -> BTreeMap<String, FileScan> {
        // Grouped by file, so that each file is read once for all its tokens.
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
            let found = look_through(path.clone(), tokens.into_iter().collect()).await;
            files.insert(path.clone(), found);
        }
        files
    }
}

/// Which of the wanted tokens this file holds.
pub(in crate::reconcile) async fn look_through(path: String, wanted: Wanted) -> FileScan {
    let from = PathBuf::from(path);
    let looked = on_disk(&from.clone(), move || Ok(search(&from, &wanted))).await;
    // Not the same as empty: an unreadable file may still hold a token in use.
    match looked {
        Ok(Ok(found)) => FileScan::Holds(found),
        Ok(Err(error)) => FileScan::Unknown(error.to_string()),
        Err(error) => FileScan::Unknown(error.to_string()),
    }
}
