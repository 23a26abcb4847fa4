//! What is at a path, and whether it may be replaced.
//!
//! Knows nothing of contents. It looks at one moment; what is there may change right after.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};

use super::place::Place;
use super::{SinkError, directory_of, io_error};
use rotator_core::config::FileAccess;

const STICKY: u32 = 0o1000;
const WRITABLE_BY_ALL: u32 = 0o002;

/// The regular file of this name, or nothing. Anything else is an error that says what to do.
pub(super) fn regular(place: &Place<'_>) -> Result<Option<Metadata>, SinkError> {
    let found = place
        .look(place.name)
        .map_err(|source| io_error(place.path, "look at it", source))?;
    let Some(metadata) = found else {
        return Ok(None);
    };
    refuse(place.path, irregular(&metadata))?;
    Ok(Some(metadata))
}

/// As [`regular`], and nothing forbids renaming another file over it.
pub(super) fn replaceable(
    place: &Place<'_>,
    access: &FileAccess,
) -> Result<Option<Metadata>, SinkError> {
    refuse(directory_of(place.path), fixed(place.directory()))?;
    let Some(metadata) = regular(place)? else {
        return Ok(None);
    };
    refuse(
        place.path,
        pinned(place).or_else(|| foreign(place, &metadata, access)),
    )?;
    Ok(Some(metadata))
}

pub(super) fn refuse(path: &Path, refusal: Option<TargetRefusal>) -> Result<(), SinkError> {
    match refusal {
        Some((what, help)) => Err(SinkError::Target {
            path: path.to_owned(),
            what,
            help,
        }),
        None => Ok(()),
    }
}

/// What keeps names in the directory from being taken away: each try would leave a file there.
fn fixed(directory: &File) -> Option<TargetRefusal> {
    attributes(directory, OsStr::new(""), AtFlags::EMPTY_PATH)
        .intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND)
        .then_some((
            "marked immutable or append-only",
            "run `chattr -ia` on the directory, or name a file in another",
        ))
}

/// Where this cannot be asked there are none: the rename itself gives the answer.
fn attributes(directory: &File, name: &OsStr, flags: AtFlags) -> StatxAttributes {
    rustix::fs::statx(directory, name, flags, StatxFlags::empty())
        .map(|found| found.stx_attributes & found.stx_attributes_mask)
        .unwrap_or(StatxAttributes::empty())
}

pub(super) type TargetRefusal = (&'static str, &'static str);

pub(super) fn irregular(metadata: &Metadata) -> Option<TargetRefusal> {
    const FREE: &str = "remove it, or name another path";
    let kind = metadata.file_type();
    if kind.is_file() {
        None
    } else if kind.is_symlink() {
        Some(("a symbolic link", "name the file that it points to"))
    } else if kind.is_dir() {
        Some(("a directory", "name a file in it"))
    } else if kind.is_fifo() {
        Some(("a named pipe", FREE))
    } else if kind.is_socket() {
        Some(("a socket", FREE))
    } else {
        Some(("a device", FREE))
    }
}

/// What keeps even root from renaming over a file.
fn pinned(place: &Place<'_>) -> Option<TargetRefusal> {
    const MOUNTED: TargetRefusal = (
        "a mount point",
        "it cannot be replaced as a whole: mount its directory instead of the file",
    );
    let attributes = attributes(place.directory(), place.name, AtFlags::SYMLINK_NOFOLLOW);
    if attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
        return Some(("marked immutable or append-only", "run `chattr -ia` on it"));
    }
    // Kernels before 5.8 do not know the attribute. Comparing `st_dev` with the directory's would
    // miss bind mounts within a file system and accuse every file of an overlay.
    if attributes.contains(StatxAttributes::MOUNT_ROOT) || listed_as_mounted(place.path) {
        return Some(MOUNTED);
    }
    None
}

fn listed_as_mounted(path: &Path) -> bool {
    // The kernel lists paths without symlinks, so the directory is resolved first.
    let (Ok(mounts), Ok(directory)) = (
        fs::read("/proc/self/mountinfo"),
        fs::canonicalize(directory_of(path)),
    ) else {
        return false;
    };
    let Some(name) = path.file_name() else {
        return false;
    };
    lists(&mounts, &directory.join(name))
}

/// Whether this text, in the form of `/proc/self/mountinfo`, has a mount at exactly this path.
pub(super) fn lists(mounts: &[u8], path: &Path) -> bool {
    let escaped: Vec<u8> = path
        .as_os_str()
        .as_bytes()
        .iter()
        .flat_map(|byte| match byte {
            b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
            byte => vec![*byte],
        })
        .collect();
    // The fifth field is where the mount is; blanks in it are written as octal escapes.
    mounts
        .split(|byte| *byte == b'\n')
        .any(|line| line.split(|byte| *byte == b' ').nth(4) == Some(escaped.as_slice()))
}

/// Another user's file, where that user could have put it there or keeps us from replacing it.
fn foreign(place: &Place<'_>, metadata: &Metadata, access: &FileAccess) -> Option<TargetRefusal> {
    // To keep the owner would give the token to the user who was first to create the file.
    if access.owner.is_none() && !is_trusted(place, metadata) {
        return Some((
            "another user's file in a directory that all may write to",
            "set `owner` in the policy, or use a directory of its own",
        ));
    }
    let directory = place.directory().metadata().ok()?;
    let us = uzers::get_effective_uid();
    // There, only root and the owners of the file or the directory may rename over it.
    if directory.mode() & STICKY != 0 && ![0, metadata.uid(), directory.uid()].contains(&us) {
        return Some((
            "another user's file in a sticky directory",
            "only its owner may replace it there: use a directory of its own",
        ));
    }
    None
}

/// Whether nobody but root, us and the directory's owner can have put this file there.
pub(super) fn is_trusted(place: &Place<'_>, file: &Metadata) -> bool {
    let Ok(directory) = place.directory().metadata() else {
        return false;
    };
    directory.mode() & WRITABLE_BY_ALL == 0
        || [0, uzers::get_effective_uid(), directory.uid()].contains(&file.uid())
}
