//! One file, one writer, under whatever names the policy knows it.
//!
//! That two sinks write one file is found when the policy is checked; a symlink or a mount that
//! changes later is found here, when a sink is about to write. Sinks that name the file alike may
//! share it: the policy has been checked for those. Only sinks of this process are known.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::place::Place;
use super::{SinkError, directory_of, io_error};

/// Device and inode of a directory, and a name in it.
type Id = (u64, u64, OsString);

/// Who writes what: the path as the policy has it.
static CLAIMED: Mutex<BTreeMap<Id, PathBuf>> = Mutex::new(BTreeMap::new());

/// A sink's right to its file. Ends when it is dropped.
pub struct Claim(PathBuf);

impl Claim {
    /// Claims nothing yet.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Claims what the path leads to now. An error if a sink with another path has it.
    pub fn hold(&self, place: &Place<'_>) -> Result<(), SinkError> {
        let found = place.directory().metadata().map_err(|source| {
            io_error(directory_of(place.path), "look at the directory", source)
        })?;
        let id = (found.dev(), found.ino(), place.name.to_owned());
        let mut claimed = claimed();
        if let Some(other) = claimed.get(&id).filter(|other| **other != self.0) {
            return Err(SinkError::Unfit {
                path: self.0.clone(),
                why: format!(
                    "leads to the same file as {}, which another sink writes: give each a file of \
                     its own",
                    other.display()
                ),
            });
        }
        // What the path led to before is free for others.
        claimed.retain(|_, path| *path != self.0);
        claimed.insert(id, self.0.clone());
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        claimed().retain(|_, path| *path != self.0);
    }
}

fn claimed() -> MutexGuard<'static, BTreeMap<Id, PathBuf>> {
    // Each change of the map is one insertion or removal.
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner)
}
