//! One editor at a time in a directory.
//!
//! Among the threads of this process a list of directories in use decides. Among processes, a lock
//! on the directory does as far as it goes: some network file systems have none, and anybody who
//! may read the directory can hold it for ever. So it is waited for a short time and then done
//! without. What no lock holds off, such as a person's editor, is noticed before the rename; see
//! [`Expect::Unchanged`](super::Expect::Unchanged).

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::place::Place;
use super::{SinkError, directory_of, io_error};
use crate::clock;

// An edit takes milliseconds: a thread that holds on for ten seconds hangs.
const PATIENCE: Duration = Duration::from_secs(10);
// Another process of ours lets go as soon; whoever does not is none of ours.
const PATIENCE_WITH_PROCESSES: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// Device and inode of the directories that a thread of ours edits in.
static IN_USE: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());
static LET_GO: Condvar = Condvar::new();

/// Holds the lock until it is dropped; a process that dies lets go too. The lock is on the
/// directory, because the file itself is replaced by each edit.
pub struct DirectoryLock {
    /// Holds off other processes, where that was to be had.
    held: Option<File>,
    id: (u64, u64),
}

impl DirectoryLock {
    /// Waits for other threads of ours for ten seconds at most, for other processes for two, and
    /// goes on without them. Blocks.
    pub fn acquire(place: &Place<'_>) -> Result<Self, SinkError> {
        let mut lock = Self::among_threads(place)?;
        let begun = clock::monotonic();
        loop {
            match lock.hold_off_processes(place) {
                Flock::Held | Flock::Missing => return Ok(lock),
                // Polled, because a lock that blocks has no time limit.
                Flock::Busy if begun.elapsed() < PATIENCE_WITH_PROCESSES => {
                    std::thread::sleep(PAUSE);
                }
                Flock::Busy => {
                    let directory = directory_of(place.path).display();
                    tracing::warn!(
                        name: "directory-locked",
                        %directory,
                        "Another process keeps the directory locked: edited without the lock"
                    );
                    return Ok(lock);
                }
            }
        }
    }

    /// Whether other processes are held off, too: only then is a temporary file that is there a
    /// left-over.
    pub fn is_exclusive(&self) -> bool {
        self.held.is_some()
    }

    fn among_threads(place: &Place<'_>) -> Result<Self, SinkError> {
        let failed = |source| io_error(directory_of(place.path), "lock the directory", source);
        let found = place.directory().metadata().map_err(failed)?;
        let id = (found.dev(), found.ino());
        let (mut in_use, waited) = LET_GO
            .wait_timeout_while(directories(), PATIENCE, |in_use| in_use.contains(&id))
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && in_use.contains(&id) {
            let source = io::Error::new(ErrorKind::TimedOut, "another edit in it hangs");
            return Err(failed(source));
        }
        in_use.insert(id);
        Ok(Self { held: None, id })
    }

    fn hold_off_processes(&mut self, place: &Place<'_>) -> Flock {
        // A handle of its own: the lock must end with this value, not with the place's handle.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(place.directory(), ".", flags, Mode::empty());
        let Ok(file) = opened.map(File::from) else {
            return Flock::Missing;
        };
        let got = flock(&file);
        if got == Flock::Held {
            self.held = Some(file);
        }
        got
    }
}

/// What came of asking for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flock {
    Held,
    Busy,
    /// The file system has none for directories: NFS wants a handle for writing (EBADF).
    Missing,
}

pub(super) fn flock(directory: &File) -> Flock {
    match directory.try_lock() {
        Ok(()) => Flock::Held,
        Err(TryLockError::WouldBlock) => Flock::Busy,
        Err(TryLockError::Error(_)) => Flock::Missing,
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Processes first: the next thread would otherwise wait for our own handle.
        self.held = None;
        directories().remove(&self.id);
        LET_GO.notify_all();
    }
}

fn directories() -> MutexGuard<'static, BTreeSet<(u64, u64)>> {
    // A set of ids is whole even if a holder panicked.
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}
