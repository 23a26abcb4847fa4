//! Whether replacing a file can be expected to work, found out before a token is minted.
//!
//! A rehearsal rather than a list of guesses: an unnamed file is created in the directory, filled,
//! and given its owner, group and mode, by the code that also delivers. So read-only mounts,
//! systemd's sandbox, quotas, missing capabilities and full disks show at once. The file has no
//! name (where the file system can do that: most can), so no reader sees it and nothing is left
//! over.
//!
//! What it does not find: limits that strike only at a sync (some network file systems), and
//! whatever changes between now and the delivery.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::access::FileAttrs;
use super::{SinkError, directory_of, io_error, target};
use crate::failpoint;
use rotator_core::config::FileAccess;

/// Room that must be left beyond the size of the file that is there.
const HEADROOM: u64 = 64 * 1024;
/// No target of ours is larger; one that is will be refused when it is read.
const LARGEST_REHEARSED: u64 = 1024 * 1024;

/// Checks directory, owner, group, target and space, in the words of the policy. Blocks.
pub fn preflight(path: &Path, access: &FileAccess) -> Result<(), SinkError> {
    let directory = directory_of(path);
    // Follows a symlink as the delivery does: only the file itself must not be one.
    let found = fs::metadata(directory)
        .map_err(|source| io_error(directory, "look at the directory", source))?;
    if !found.is_dir() {
        return Err(SinkError::Target {
            path: directory.to_owned(),
            what: "not a directory",
            help: "name a file in a directory",
        });
    }
    let existing = target::replaceable(path, access)?;
    let look = FileAttrs::resolve(access, existing.as_ref())?;

    // Opening is what syncing the directory needs, and writing to it does not.
    fs::File::open(directory)
        .map_err(|source| io_error(directory, "open the directory", source))?;
    let mut rehearsed = failpoint::around("rehearse", || tempfile::tempfile_in(directory))
        .map_err(|source| io_error(directory, "create a file in it", source))?;
    let size = existing
        .map_or(0, |existing| existing.len())
        .min(LARGEST_REHEARSED)
        + HEADROOM;
    // The bytes are written, because quotas and full disks answer only to that.
    std::io::copy(
        &mut std::io::Read::take(std::io::repeat(0), size),
        &mut rehearsed,
    )
    .and_then(|_| rehearsed.flush())
    .map_err(|source| io_error(directory, "write as much as may be needed", source))?;
    look.apply(&rehearsed, path)
}
