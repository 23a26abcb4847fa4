//! Whether replacing a file can be expected to work, found out before a token is minted.
//!
//! A rehearsal rather than a list of guesses: a temporary file is created in the directory, filled,
//! given its owner, group, mode and attributes by the code that also delivers, looked at, renamed
//! and removed. So read-only mounts, systemd's sandbox, quotas, missing capabilities, full disks,
//! mounts that ignore modes and directories that keep every name show at once. Its name is that of
//! a temporary file, so no reader takes it for the token, and a crash leaves one that goes later.
//!
//! What it does not find: limits that strike only at a sync (some network file systems), and
//! whatever changes between now and the delivery.

use std::io::{Read, Write};
use std::path::Path;

use super::access::FileAttrs;
use super::place::{Place, Temp};
use super::{SinkError, directory_of, io_error, target};
use crate::failpoint;
use rotator_core::config::FileAccess;

/// Room that must be left beyond the size of the file that is there.
const HEADROOM: u64 = 64 * 1024;
/// No target of ours is larger; one that is will be refused when it is read.
const LARGEST_REHEARSED: u64 = 1024 * 1024;

/// Checks directory, owner, group, target and space, in the words of the policy. Blocks.
pub fn preflight(path: &Path, access: &FileAccess) -> Result<(), SinkError> {
    preflight_at(&Place::open(path)?, access)
}

/// The same, in a directory that is held open.
pub fn preflight_at(place: &Place<'_>, access: &FileAccess) -> Result<(), SinkError> {
    let (path, directory) = (place.path, directory_of(place.path));
    let existing = target::replaceable(place, access)?;
    let look = FileAttrs::resolve(access, place, existing.as_ref())?;

    let mut rehearsed = failpoint::around("rehearse", || Temp::create(place))
        .map_err(|source| io_error(directory, "create a file in it", source))?;
    let size = existing
        .map_or(0, |existing| existing.len())
        .min(LARGEST_REHEARSED)
        + HEADROOM;
    // The bytes are written, because quotas and full disks answer only to that.
    let mut file = rehearsed.file();
    std::io::copy(&mut std::io::repeat(0).take(size), &mut file)
        .and_then(|_| file.flush())
        .map_err(|source| io_error(directory, "write as much as may be needed", source))?;
    look.apply(rehearsed.file(), path)?;
    // A directory that lets files be created and not renamed or removed would keep a file with a
    // token of each try.
    rehearsed
        .rename_aside()
        .map_err(|source| io_error(directory, "rename a file in it", source))?;
    rehearsed
        .remove()
        .map_err(|source| io_error(directory, "remove a file from it", source))
}
