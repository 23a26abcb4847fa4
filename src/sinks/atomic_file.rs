//! Replaces a file whole or not at all.
//!
//! A reader sees the old bytes or the new ones, never fewer and never under a wider mode; whatever
//! fails, the old bytes stay and the temporary file goes. A symlink, a mount point or anything else
//! that is not a plain file is refused, not followed.
//!
//! Mode, owner, access control list and extended attributes of the file that was there are kept, or
//! the replacement is refused. A first file gets what its directory gives to new files: the SELinux
//! label of the policy, the directory's default ACL if it has one. All steps go through one handle
//! of the directory ([`Place`]).
//!
//! What this does not know: what the bytes mean. What it does not keep: further hard links of the
//! file that was there.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::SinkError;
use crate::failpoint;
use access::FileAttrs;
use place::Temp;
use rotator_core::config::FileAccess;

mod access;
mod claim;
mod extended;
mod lock;
mod place;
mod preflight;
mod read;
mod target;
#[cfg(test)]
mod tests;

pub use access::drift;
pub use claim::Claim;
pub use lock::DirectoryLock;
pub use place::Place;
pub use preflight::{preflight, preflight_at};
pub use read::{FileContent, FileRead, read, read_at};

/// Stands between the target's name and the random part in the name of a temporary file.
const TEMP_INFIX: &[u8] = b".ringcx-rotator.";
const RANDOM_LENGTH: usize = 12;
/// How many bytes of the target's name a temporary name has: with the rest it stays under 255
/// bytes.
const NAME_LENGTH: usize = 200;

/// What must be at the target just before it is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A regular file or nothing.
    Any,
    /// No file: the edit began without one.
    Absent,
    /// The very file that was read, unchanged.
    Unchanged(Stamp),
}

/// Tells one state of a file from another: a write, a chmod or a rename over it changes this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    dev: u64,
    ino: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Puts these bytes at `path`, durably. Mode, owner and group are the policy's; where it is silent,
/// those of the file that was there; where there was none, 0600 and our own. Blocks.
///
/// On an error the old bytes are there, but for one case: the rename was done and the directory
/// could not be synced. Reading back tells.
pub fn replace(
    path: &Path,
    bytes: &[u8],
    access: &FileAccess,
    expect: Expect,
) -> Result<(), SinkError> {
    replace_at(&Place::open(path)?, bytes, access, expect)
}

/// The same, in a directory that is held open.
pub fn replace_at(
    place: &Place<'_>,
    bytes: &[u8],
    access: &FileAccess,
    expect: Expect,
) -> Result<(), SinkError> {
    let (path, directory) = (place.path, directory_of(place.path));
    // A target that is refused is found before anything is created.
    let existing = target::replaceable(place, access)?;
    let look = FileAttrs::resolve(access, place, existing.as_ref())?;

    // Dropping `temp` removes the file: that covers every early return below.
    let temp = failpoint::around("create", || Temp::create(place))
        .map_err(|source| io_error(directory, "create a file in it", source))?;
    failpoint::around("write", || temp.file().write_all(bytes))
        .map_err(|source| io_error(path, "write", source))?;
    failpoint::around("set-access", || look.apply(temp.file(), path))?;
    // Synced before the rename: a power cut must not leave an empty file under the name.
    failpoint::around("sync", || temp.file().sync_all())
        .map_err(|source| io_error(path, "sync", source))?;

    // Rename replaces a symlink and does not follow it, so the race that remains does no harm.
    expect.check(path, target::replaceable(place, access)?.as_ref())?;
    place.is_in_place()?;
    failpoint::around("rename", || temp.persist())
        .map_err(|source| io_error(path, "rename", source))?;
    // Without this, a power cut could bring the old file back after the delivery was journaled.
    failpoint::around("sync-directory", || place.sync())
        .map_err(|source| io_error(directory, "sync the directory after the rename", source))
}

impl Expect {
    fn check(self, path: &Path, now: Option<&Metadata>) -> Result<(), SinkError> {
        let as_expected = match self {
            Self::Any => true,
            Self::Absent => now.is_none(),
            Self::Unchanged(stamp) => now.is_some_and(|now| Stamp::of(now) == stamp),
        };
        if as_expected {
            return Ok(());
        }
        Err(changed(path))
    }
}

fn changed(path: &Path) -> SinkError {
    SinkError::Unfit {
        path: path.to_owned(),
        why: "was changed by another while it was edited; nothing was written".to_owned(),
    }
}

/// Removes temporary files of ours that a crash left beside `path`: regular files of exactly our
/// naming that belong to us or to the target's owner. Whatever cannot be removed stays. Blocks.
pub fn clean_up(path: &Path, access: &FileAccess) {
    // Best effort: the preflight reports a directory that cannot be opened.
    if let Ok(place) = Place::open(path) {
        clean_up_at(&place, access);
    }
}

/// The same, in a directory that is held open.
pub fn clean_up_at(place: &Place<'_>, access: &FileAccess) {
    let owners: Vec<u32> = [
        Some(uzers::get_effective_uid()),
        // A crash between giving the file away and renaming it leaves one that is no longer ours.
        access::policy_owner(access),
        place
            .look(place.name)
            .ok()
            .flatten()
            .map(|metadata| metadata.uid()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let prefix = temp_prefix(place.path);
    let Ok(entries) = rustix::fs::Dir::read_from(place.directory()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if !is_temp_name(name, &prefix) {
            continue;
        }
        let Ok(Some(metadata)) = place.look(name) else {
            continue;
        };
        if metadata.is_file()
            && owners.contains(&metadata.uid())
            && failpoint::around("remove", || place.unlink(name)).is_ok()
        {
            let path = directory_of(place.path).join(name);
            tracing::info!(name: "left-over-removed", path = %path.display(), "Removed a temporary file left by a crash");
        }
    }
}

fn temp_prefix(path: &Path) -> OsString {
    let name = path.file_name().unwrap_or_default().as_bytes();
    // A dot in front: programs that read each file of a directory pass over hidden ones.
    let mut prefix = b".".to_vec();
    prefix.extend_from_slice(&name[..name.len().min(NAME_LENGTH)]);
    prefix.extend_from_slice(TEMP_INFIX);
    OsString::from_vec(prefix)
}

fn is_temp_name(name: &OsStr, prefix: &OsStr) -> bool {
    name.as_bytes()
        .strip_prefix(prefix.as_bytes())
        // The form that `tempfile` gives: files of other programs must not be removed.
        .is_some_and(|random| {
            random.len() == RANDOM_LENGTH && random.iter().all(u8::is_ascii_alphanumeric)
        })
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        // A bare file name has the parent "", which the system does not take for a directory.
        Some(_) | None => Path::new("."),
    }
}

fn io_error(path: &Path, doing: &'static str, source: io::Error) -> SinkError {
    SinkError::Io {
        path: path.to_owned(),
        doing,
        source,
    }
}
