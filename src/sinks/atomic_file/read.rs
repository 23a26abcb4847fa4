//! Reads a small file that somebody else may have tampered with.
//!
//! A symlink is not followed, a pipe is not waited for, a huge file is not swallowed. Does not know
//! what the bytes mean.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use secrecy::zeroize::Zeroizing;

use super::place::Place;
use super::{SinkError, Stamp, io_error, target};

/// What is at a path.
pub enum FileRead {
    /// No file of this name.
    Absent,
    /// More bytes than were allowed for.
    TooLarge,
    /// A regular file, read to its end.
    File(FileContent),
}

/// A regular file and what is in it.
pub struct FileContent {
    /// All of it; wiped when dropped, for a token may be in it.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Of the very file that was read.
    pub metadata: Metadata,
}

impl FileContent {
    /// Tells this state of the file from any later one.
    pub fn stamp(&self) -> Stamp {
        Stamp::of(&self.metadata)
    }
}

/// Reads at most `limit` bytes; a longer file is [`FileRead::TooLarge`]. Blocks, but on the disk
/// only.
pub fn read(path: &Path, limit: u64) -> Result<FileRead, SinkError> {
    // Not through a handle of the directory, which we need not be allowed to list.
    let looked = fs::symlink_metadata(path);
    // Refuses a symlink, does not wait for a pipe, does not take over a terminal.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let open = || {
        OpenOptions::new()
            .read(true)
            .custom_flags(flags as i32)
            .open(path)
    };
    match looked {
        // Looked at before it is opened, for opening a device can do something. The flags cover
        // the race.
        Ok(found) => {
            target::refuse(path, target::irregular(&found))?;
            read_opened(path, open(), limit)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(FileRead::Absent),
        Err(source) => Err(io_error(path, "look at it", source)),
    }
}

/// The same, in a directory that is held open.
pub fn read_at(place: &Place<'_>, limit: u64) -> Result<FileRead, SinkError> {
    if target::regular(place)?.is_none() {
        return Ok(FileRead::Absent);
    }
    read_opened(place.path, place.open_file(), limit)
}

fn read_opened(path: &Path, opened: io::Result<File>, limit: u64) -> Result<FileRead, SinkError> {
    let file = match opened {
        Ok(file) => file,
        // Removed between the look and the opening.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(FileRead::Absent),
        Err(source) => return Err(io_error(path, "open", source)),
    };
    let failed = |source| io_error(path, "read", source);
    let metadata = file.metadata().map_err(failed)?;
    // The open file is checked: by now the path may name another one.
    if !metadata.is_file() {
        return Err(io_error(path, "read", ErrorKind::InvalidInput.into()));
    }
    if metadata.len() > limit {
        return Ok(FileRead::TooLarge);
    }
    // Room for all of it at once: a buffer that grows leaves copies of what it held.
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    // One byte more than allowed shows a file that has grown since its size was read.
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        Ok(FileRead::TooLarge)
    } else {
        Ok(FileRead::File(FileContent { bytes, metadata }))
    }
}
