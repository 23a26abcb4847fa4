//! What a path leads to, so that one file under two names is found.
//!
//! Two paths are the same place when their directories are the same directory, whether a symlink or
//! a mount leads there, and the name in it is the same. What is there may change after the look.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Identifies a place on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum PlaceId {
    /// Device and inode of the directory, and the name in it.
    Name(u64, u64, OsString),
    /// As far as it exists, without symlinks: the directory is still to be made.
    Path(PathBuf),
}

impl PlaceId {
    pub fn of(path: &Path) -> Self {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Self::Path(path.to_owned());
        };
        match std::fs::metadata(directory) {
            Ok(found) => Self::Name(found.dev(), found.ino(), name.to_owned()),
            Err(_) => Self::Path(resolved(path)),
        }
    }
}

/// The longest part that exists resolved, the rest as it is written.
fn resolved(path: &Path) -> PathBuf {
    let existing = path.ancestors().skip(1).find_map(|ancestor| {
        let real = std::fs::canonicalize(ancestor).ok()?;
        Some(real.join(path.strip_prefix(ancestor).ok()?))
    });
    existing.unwrap_or_else(|| path.to_owned())
}
