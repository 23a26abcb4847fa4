//! Reading the files that a policy names, whatever is at their paths.
//!
//! A pipe is not waited for, a huge file is not swallowed, and a file system that does not answer,
//! such as that of a dead server, costs a limited time: the work is done in a thread of its own,
//! which is left behind when its time is up. As long as it hangs, nothing else is begun on the same
//! path, so that threads do not pile up and no late write meets a newer one. Does not know what the
//! bytes mean.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::OFlags;

/// How long a file may take to be read.
pub const READ_LIMIT: Duration = Duration::from_secs(10);

/// Between two attempts to open a file that another holds a lease on.
const PAUSE: Duration = Duration::from_millis(20);

/// What hangs, by path: how many threads were left behind.
static HANGING: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

/// Why a file was not read. The texts follow its path.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is something else than a file with bytes in it.
    #[error("is {0}, not a regular file")]
    NotRegular(&'static str),
    /// It is larger than its reader allows.
    #[error("is larger than {0} bytes")]
    TooLarge(u64),
    /// Its time is up.
    #[error(transparent)]
    Overdue(#[from] Overdue),
}

/// A file system did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("did not answer within {} s: is its file system there?", .0.as_secs())]
pub struct Overdue(pub Duration);

impl FileError {
    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == ErrorKind::NotFound)
    }
}

/// Reads a regular file of at most this many bytes; a symlink is followed. Blocks for
/// [`READ_LIMIT`] at most.
pub fn read(path: &Path, largest: u64) -> Result<Vec<u8>, FileError> {
    let from = path.to_owned();
    within(path, READ_LIMIT, move || read_now(&from, largest))?
}

/// Does work that may hang on this path in a thread of its own, and waits for it no longer than
/// `limit`. While earlier work on the path hangs, it is not begun.
pub fn within<T: Send + 'static>(
    path: &Path,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Overdue> {
    if hanging().contains_key(path) {
        return Err(Overdue(limit));
    }
    let (sender, result) = mpsc::sync_channel(1);
    let left_behind = Arc::new(AtomicBool::new(false));
    let (flag, key) = (Arc::clone(&left_behind), path.to_owned());
    let thread = std::thread::Builder::new().name("file".to_owned());
    let thread = thread.spawn(move || {
        let done = work();
        // Under the lock, so that the waiter either gets the result or sees the thread hang.
        let mut hanging = hanging();
        let _not_awaited = sender.send(done);
        if flag.load(Ordering::Relaxed) {
            forget(&mut hanging, &key);
        }
    });
    let Ok(thread) = thread else {
        // Without a thread the work could hang the caller; the next attempt may get one.
        return Err(Overdue(limit));
    };
    match result.recv_timeout(limit) {
        Ok(done) => Ok(done),
        Err(RecvTimeoutError::Timeout) => {
            let mut hanging = hanging();
            if let Ok(done) = result.try_recv() {
                return Ok(done);
            }
            left_behind.store(true, Ordering::Relaxed);
            *hanging.entry(path.to_owned()).or_default() += 1;
            Err(Overdue(limit))
        }
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            // A panic of the work is a panic of the caller.
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => Err(Overdue(limit)),
        },
    }
}

fn forget(hanging: &mut BTreeMap<PathBuf, usize>, path: &Path) {
    if let Some(count) = hanging.get_mut(path) {
        *count -= 1;
        if *count == 0 {
            hanging.remove(path);
        }
    }
}

fn hanging() -> MutexGuard<'static, BTreeMap<PathBuf, usize>> {
    // The counts are whole even if a holder panicked.
    HANGING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_now(path: &Path, largest: u64) -> Result<Vec<u8>, FileError> {
    // Looked at before it is opened, for opening a device can do something.
    regular(&fs::metadata(path)?)?;
    let file = open(path)?;
    // The open file is checked: by now the path may name another one.
    let found = file.metadata()?;
    regular(&found)?;
    if found.len() > largest {
        return Err(FileError::TooLarge(largest));
    }
    // Room for all of it at once: a buffer that grows leaves copies of what it held.
    let mut bytes = Vec::with_capacity(found.len() as usize + 1);
    // One byte more than allowed shows a file that has grown since its size was read.
    file.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(FileError::TooLarge(largest));
    }
    Ok(bytes)
}

fn open(path: &Path) -> io::Result<File> {
    // Does not wait for a pipe, does not take over a terminal.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    loop {
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags as i32)
            .open(path);
        match opened {
            // Another program holds a lease, which it has been asked to give up.
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            opened => return opened,
        }
    }
}

fn regular(found: &Metadata) -> Result<(), FileError> {
    let kind = found.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(FileError::NotRegular(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_of_the_right_size_is_read() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let says = |path: &Path, words: &str| {
            let error = read(path, 8).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        says(&pipe, "a named pipe");
        says(home.path(), "a directory");
        says(Path::new("/dev/zero"), "a device");
        // Says that it is empty, and is not.
        says(Path::new("/proc/self/mountinfo"), "larger than 8 bytes");
        assert!(
            read(&home.path().join("absent"), 8)
                .unwrap_err()
                .is_missing()
        );
        let link = home.path().join("link");
        std::os::unix::fs::symlink("/proc/self/comm", &link).unwrap();
        assert!(read(&link, 64).is_ok());
    }

    #[test]
    fn what_hangs_is_given_up_and_not_begun_again_before_it_has_ended() {
        let path = Path::new("/files-test/hangs");
        let short = Duration::from_millis(1);
        let (end, ended) = mpsc::channel::<()>();
        let hung = within(path, short, move || ended.recv().is_ok());
        assert_eq!(hung, Err(Overdue(short)));
        let begun = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&begun);
        let refused = within(path, READ_LIMIT, move || {
            seen.store(true, Ordering::Relaxed)
        });
        assert!(refused.is_err() && !begun.load(Ordering::Relaxed));
        // Another path is not held up by it.
        assert_eq!(
            within(Path::new("/files-test/else"), READ_LIMIT, || 7),
            Ok(7)
        );
        drop(end);
        let again = (0..1000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(5));
            within(path, READ_LIMIT, || 8).ok()
        });
        assert_eq!(again, Some(8));
    }
}
