//! The journal in an SQLite file under the state directory.
//!
//! One thread owns the database. Appends reach it over a bounded channel, and whatever waits when
//! it is free becomes one transaction: a thousand accounts at work cost one fsync, not a thousand.
//! SQL is in `store.rs`; this file knows the directory, the lock and the thread.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::fs::OFlags;
use tokio::sync::{mpsc, oneshot};

use rotator_core::journal::{Entry, Journal, JournalError, Stream};
pub use store::VerifiedStream;
use store::{Append, Store};

mod chain;
mod store;

/// Requests that may wait; more senders than that wait to be let in.
const QUEUE: usize = 256;

/// The journal of one state directory. Clones share it; when the last one goes, it is closed.
#[derive(Clone)]
pub struct SqliteJournal(Arc<WriterHandle>);

struct WriterHandle {
    requests: Option<mpsc::Sender<WriterRequest>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum WriterRequest {
    Append(Append, oneshot::Sender<Result<u64, JournalError>>),
    Question(WriterQuery),
}

/// What is answered after the appends that came with it.
enum WriterQuery {
    Load(String, oneshot::Sender<Result<Stream, JournalError>>),
    Compact {
        stream: String,
        upto: u64,
        body: String,
        reply: oneshot::Sender<Result<(), JournalError>>,
    },
    Streams(oneshot::Sender<Result<Vec<String>, JournalError>>),
    Verify(
        String,
        oneshot::Sender<Result<VerifiedStream, JournalError>>,
    ),
    Close(oneshot::Sender<Result<(), JournalError>>),
}

impl SqliteJournal {
    /// Opens the journal for writing and holds the state directory's lock until it is closed. The
    /// directory is created (0700) where only its last component is missing, the journal likewise
    /// (0600).
    pub fn open(state_dir: &Path) -> Result<Self, JournalError> {
        create_directory(state_dir)?;
        // Before the database: a second instance must not even migrate it.
        let lock = lock(state_dir)?;
        let store = Store::open(&journal_path(state_dir))?;
        Self::start(state_dir, store, Some(lock))
    }

    /// Opens the journal for reading, without the lock: beside a running daemon, or when none runs.
    /// An append is refused. A state directory without a journal reads as an empty one.
    pub fn open_read_only(state_dir: &Path) -> Result<Self, JournalError> {
        Self::start(
            state_dir,
            Store::open_read_only(&journal_path(state_dir))?,
            None,
        )
    }

    fn start(state_dir: &Path, store: Store, lock: Option<File>) -> Result<Self, JournalError> {
        let (requests, inbox) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                serve(store, inbox);
                // Only now may another instance come: the database is closed.
                drop(lock);
            })
            .map_err(|source| JournalError::Directory {
                path: state_dir.to_owned(),
                source,
            })?;
        Ok(Self(Arc::new(WriterHandle {
            requests: Some(requests),
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Follows the stream's chain of hashes from its first row, or its checkpoint, to its last row.
    pub async fn verify(&self, stream: &str) -> Result<VerifiedStream, JournalError> {
        self.ask(|reply| WriterRequest::Question(WriterQuery::Verify(stream.to_owned(), reply)))
            .await
    }

    /// Finishes what waits, folds the write-ahead log into the journal and gives up the lock. Every
    /// clone is closed with it.
    pub async fn close(&self) -> Result<(), JournalError> {
        let closed = self
            .ask(|reply| WriterRequest::Question(WriterQuery::Close(reply)))
            .await;
        // The thread ends right after its answer; the lock is gone once it has.
        self.0.join();
        closed
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, JournalError>>) -> WriterRequest,
    ) -> Result<T, JournalError> {
        let requests = self.0.requests.as_ref().ok_or(JournalError::Closed)?;
        let (reply, answer) = oneshot::channel();
        requests
            .send(request(reply))
            .await
            .map_err(|_| JournalError::Closed)?;
        answer.await.unwrap_or(Err(JournalError::Closed))
    }
}

impl Journal for SqliteJournal {
    async fn load(&self, stream: &str) -> Result<Stream, JournalError> {
        self.ask(|reply| WriterRequest::Question(WriterQuery::Load(stream.to_owned(), reply)))
            .await
    }

    async fn append(
        &self,
        stream: &str,
        expected: u64,
        entries: Vec<Entry>,
    ) -> Result<u64, JournalError> {
        let append = Append {
            stream: stream.to_owned(),
            expected,
            entries,
        };
        self.ask(|reply| WriterRequest::Append(append, reply)).await
    }

    async fn compact(&self, stream: &str, upto: u64, body: String) -> Result<(), JournalError> {
        let stream = stream.to_owned();
        self.ask(|reply| {
            WriterRequest::Question(WriterQuery::Compact {
                stream,
                upto,
                body,
                reply,
            })
        })
        .await
    }

    async fn streams(&self) -> Result<Vec<String>, JournalError> {
        self.ask(|reply| WriterRequest::Question(WriterQuery::Streams(reply)))
            .await
    }
}

impl WriterHandle {
    fn join(&self) {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // An error would be a panic of the thread, which has nothing left to tell us.
            drop(thread.join());
        }
    }
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        // The thread ends when the last sender is gone: joining it before that would wait for ever.
        self.requests = None;
        self.join();
    }
}

/// The thread: takes everything that waits, commits its appends together, then answers its
/// questions.
fn serve(mut store: Store, mut inbox: mpsc::Receiver<WriterRequest>) {
    let mut closing = None;
    while closing.is_none() {
        let Some(first) = inbox.blocking_recv() else {
            break;
        };
        // Bounded, so that senders without a pause cannot put the commit off.
        let waiting = std::iter::once(first)
            .chain(std::iter::from_fn(|| inbox.try_recv().ok()))
            .take(QUEUE);
        let (mut appends, mut replies, mut questions) = (Vec::new(), Vec::new(), Vec::new());
        for request in waiting {
            match request {
                WriterRequest::Append(append, reply) => {
                    appends.push(append);
                    replies.push(reply);
                }
                WriterRequest::Question(question) => questions.push(question),
            }
        }
        for (reply, result) in replies.into_iter().zip(store.append(appends)) {
            // The caller may have been cancelled; the rows are committed anyway.
            let _gone = reply.send(result);
        }
        // After the appends: a load must see what was sent before it.
        for question in questions {
            match question {
                WriterQuery::Load(stream, reply) => {
                    drop(reply.send(store.load(&stream).map_err(Into::into)))
                }
                WriterQuery::Compact {
                    stream,
                    upto,
                    body,
                    reply,
                } => {
                    let _gone = reply.send(store.compact(&stream, upto, &body).map_err(Into::into));
                }
                WriterQuery::Streams(reply) => {
                    drop(reply.send(store.streams().map_err(Into::into)))
                }
                WriterQuery::Verify(stream, reply) => {
                    drop(reply.send(store.verify(&stream).map_err(Into::into)))
                }
                WriterQuery::Close(reply) => closing = Some(reply),
            }
        }
    }
    // What comes now loses its reply channel, which its sender reads as `Closed`.
    inbox.close();
    while let Ok(refused) = inbox.try_recv() {
        drop(refused);
    }
    let closed = store.close().map_err(Into::into);
    if let Some(reply) = closing {
        let _gone = reply.send(closed);
    }
}

/// Without symlinks, as far as the directory exists: SQLite is told to follow none.
fn journal_path(state_dir: &Path) -> PathBuf {
    let real = std::fs::canonicalize(state_dir);
    real.unwrap_or_else(|_| state_dir.to_owned())
        .join("journal.sqlite")
}

fn create_directory(state_dir: &Path) -> Result<(), JournalError> {
    match DirBuilder::new().mode(0o700).create(state_dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(JournalError::Directory {
            path: state_dir.to_owned(),
            source,
        }),
    }
}

/// Takes `state_dir/lock`, which then holds our process id for the operator. The file stays when we
/// go: taking it away would let two instances each hold a lock of that name.
///
/// Whoever may write the directory may have put another file there, or a link to one: such a file
/// is neither followed nor written to, and no file is ever cut.
fn lock(state_dir: &Path) -> Result<File, JournalError> {
    let path = state_dir.join("lock");
    let failed = |source| JournalError::Directory {
        path: path.clone(),
        source,
    };
    let file = open_own(
        &path,
        OpenOptions::new().read(true).write(true).create(true),
    )?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(JournalError::Locked {
                state_dir: state_dir.to_owned(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    // Padded to the longest id there is, so that nothing of another one is left behind it.
    let line = format!("{:<10}\n", std::process::id());
    file.write_all_at(line.as_bytes(), 0).map_err(failed)?;
    Ok(file)
}

/// Opens one of our own files in the state directory; where it is created, for us alone. Refuses a
/// symlink, a pipe, a device, and a file that has another name too.
fn open_own(path: &Path, options: &mut OpenOptions) -> Result<File, JournalError> {
    let failed = |source| JournalError::Directory {
        path: path.to_owned(),
        source,
    };
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = options
        .mode(0o600)
        .custom_flags(flags.bits() as i32)
        .open(path);
    let file = opened.map_err(|error| {
        // The system's own words for a symlink that is not followed are hard to understand.
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => {
                is_ours(&found).map_or_else(failed, |()| failed(error))
            }
            Ok(_) | Err(_) => failed(error),
        }
    })?;
    is_ours(&file.metadata().map_err(failed)?).map_err(failed)?;
    Ok(file)
}

/// Looks at a file that SQLite opens itself: it follows no symlink, but would write to whatever
/// else is there.
fn look_at_own(path: &Path) -> Result<(), JournalError> {
    let looked = match std::fs::symlink_metadata(path) {
        Ok(found) => is_ours(&found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    looked.map_err(|source| JournalError::Directory {
        path: path.to_owned(),
        source,
    })
}

fn is_ours(found: &Metadata) -> io::Result<()> {
    let why = if found.is_symlink() {
        "is a symbolic link, and none of ours: remove it"
    } else if !found.is_file() {
        "is not a regular file, and none of ours: remove it"
    } else if found.nlink() > 1 {
        "has another name somewhere (a hard link), so it may belong to another program: move it away"
    } else {
        return Ok(());
    };
    Err(io::Error::other(why))
}

#[cfg(test)]
mod tests;
