//! What is at a path, and whether it may be replaced.
//!
//! Knows nothing of contents. It looks at one moment; what is there may change right after.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};

use super::{SinkError, directory_of, io_error};
use rotator_core::config::FileAccess;

const STICKY: u32 = 0o1000;
const WRITABLE_BY_ALL: u32 = 0o002;

/// The regular file at `path`, or nothing. Anything else is an error that says what to do.
pub(super) fn regular(path: &Path) -> Result<Option<Metadata>, SinkError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error(path, "look at it", source)),
    };
    match irregular(&metadata) {
        Some((what, help)) => Err(SinkError::Target {
            path: path.to_owned(),
            what,
            help,
        }),
        None => Ok(Some(metadata)),
    }
}

/// As [`regular`], and nothing forbids renaming another file over it.
pub(super) fn replaceable(path: &Path, access: &FileAccess) -> Result<Option<Metadata>, SinkError> {
    let Some(metadata) = regular(path)? else {
        return Ok(None);
    };
    match pinned(path).or(foreign(path, &metadata, access)) {
        Some((what, help)) => Err(SinkError::Target {
            path: path.to_owned(),
            what,
            help,
        }),
        None => Ok(Some(metadata)),
    }
}

type TargetRefusal = (&'static str, &'static str);

fn irregular(metadata: &Metadata) -> Option<TargetRefusal> {
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
fn pinned(path: &Path) -> Option<TargetRefusal> {
    const MOUNTED: TargetRefusal = (
        "a mount point",
        "it cannot be replaced as a whole: mount its directory instead of the file",
    );
    // Where this cannot be asked, nothing is refused: the rename itself gives the answer.
    let attributes = rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        .map(|found| found.stx_attributes & found.stx_attributes_mask)
        .unwrap_or(StatxAttributes::empty());
    if attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
        return Some(("marked immutable or append-only", "run `chattr -ia` on it"));
    }
    // Kernels before 5.8 do not know the attribute. Comparing `st_dev` with the directory's would
    // miss bind mounts within a file system and accuse every file of an overlay.
    if attributes.contains(StatxAttributes::MOUNT_ROOT) || listed_as_mounted(path) {
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
fn foreign(path: &Path, metadata: &Metadata, access: &FileAccess) -> Option<TargetRefusal> {
    let directory = fs::metadata(directory_of(path)).ok()?;
    let us = uzers::get_effective_uid();
    let trusted = [0, us, directory.uid()].contains(&metadata.uid());
    // To keep the owner would give the token to the user who was first to create the file.
    if directory.mode() & WRITABLE_BY_ALL != 0 && access.owner.is_none() && !trusted {
        return Some((
            "another user's file in a directory that all may write to",
            "set `owner` in the policy, or use a directory of its own",
        ));
    }
    // There, only root and the owners of the file or the directory may rename over it.
    if directory.mode() & STICKY != 0 && ![0, metadata.uid(), directory.uid()].contains(&us) {
        return Some((
            "another user's file in a sticky directory",
            "only its owner may replace it there: use a directory of its own",
        ));
    }
    None
}
