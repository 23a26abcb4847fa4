//! One editor at a time in a directory, among threads and processes that ask here.
//!
//! An editor that does not ask, such as a person's, is not held off by this; see
//! [`Expect::Unchanged`](super::Expect::Unchanged).

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use super::{SinkError, directory_of, io_error};
use crate::clock;

// An edit takes milliseconds: a holder of ten seconds hangs.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Holds the lock until it is dropped; a process that dies lets go too. The lock is on the
/// directory, because the file itself is replaced by each edit.
pub struct DirectoryLock {
    _held: File,
}

impl DirectoryLock {
    /// Waits ten seconds at most: any process that may read the directory can hold it. Blocks.
    pub fn acquire(path: &Path) -> Result<Self, SinkError> {
        let directory = directory_of(path);
        let begun = clock::monotonic();
        loop {
            match Self::try_acquire(path)? {
                Some(lock) => return Ok(lock),
                // Polled, because a lock that blocks has no time limit.
                None if begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
                None => {
                    let source = io::Error::new(ErrorKind::TimedOut, "another process holds it");
                    return Err(io_error(directory, "lock the directory", source));
                }
            }
        }
    }

    /// The lock, or nothing while another holds it.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, SinkError> {
        let directory = directory_of(path);
        let failed = |source| io_error(directory, "lock the directory", source);
        // A lock belongs to the open file: with a handle for each, threads hold each other off,
        // too.
        let file = File::open(directory).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _held: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}
