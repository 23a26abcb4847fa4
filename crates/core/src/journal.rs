//! The journal: keeps events in order, and knows nothing of what they mean.
//!
//! Rows stand in named streams, one for each account and `@alerts` for incidents and mail. A row's
//! `seq` counts from 1 in its stream, and an append names the `seq` it expects: of two writers one
//! loses before it can act. Each row carries the SHA-256 of the one before it, so a row changed by
//! hand is found.
//!
//! The oldest rows of a long stream give way to one [`Checkpoint`], which keeps what they come to
//! and the hash that the first row behind it follows. What it holds is opaque here: the
//! caller says what to write.

use std::future::Future;
use std::path::PathBuf;

use chrono::{DateTime, Utc};

pub mod checkpoint;

use checkpoint::FormError;

/// The stream of incidents and mail. No account can have this name.
pub const ALERTS: &str = "@alerts";

/// What is to be written: a kind and a JSON body, both opaque here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it happened, by the local clock.
    pub at: DateTime<Utc>,
    /// Name of the event, for example `mint-intended`.
    pub kind: String,
    /// The event's fields as a JSON object, without secrets.
    pub body: String,
}

/// An entry as it stands in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its place in the stream, from 1.
    pub seq: u64,
    /// The entry as it was appended.
    pub entry: Entry,
}

/// What stands in for the oldest rows of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// It stands for the rows from 1 to this one.
    pub seq: u64,
    /// When the first of them happened.
    pub since: DateTime<Utc>,
    /// When the last of them happened.
    pub until: DateTime<Utc>,
    /// What they come to, as JSON.
    pub body: String,
}

/// A whole stream, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// What stands in for the rows that are no longer there.
    pub checkpoint: Option<Checkpoint>,
    /// The rows behind it.
    pub rows: Vec<Row>,
}

impl Stream {
    /// The `seq` of its last row, 0 where there never was one.
    pub fn last(&self) -> u64 {
        let before = self
            .checkpoint
            .as_ref()
            .map_or(0, |checkpoint| checkpoint.seq);
        self.rows.last().map_or(before, |row| row.seq)
    }
}

/// What the database under a journal said; its type is the store's.
pub type StorageError = Box<dyn std::error::Error + Send + Sync>;

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process holds the state directory: stop it, or ask it (exit code 75).
    #[error("another ringcx-rotator holds {path}", path = state_dir.display())]
    Locked {
        /// The `state-dir` of the policy.
        state_dir: PathBuf,
    },
    /// Another writer appended first: load again and decide anew.
    #[error("journal stream `{stream}`: expected to append after row {expected}, but it has {got}")]
    Conflict {
        /// Name of the stream: an account, or [`ALERTS`].
        stream: String,
        /// The last `seq` the caller knew.
        expected: u64,
        /// The last `seq` there is.
        got: u64,
    },
    /// Written by a newer version: stop; upgrade, or restore the state directory.
    #[error(
        "the journal has schema version {got}, this ringcx-rotator knows up to {known}: was it downgraded?"
    )]
    Newer {
        /// The schema version that the database has.
        got: i64,
        /// The newest version known.
        known: i64,
    },
    /// What stands in for the oldest rows of a stream cannot be read: stop; upgrade, or restore the
    /// state directory.
    #[error("journal stream `{stream}`: the checkpoint of rows 1 to {seq} {source}")]
    Checkpoint {
        /// Name of the stream: an account, or [`ALERTS`].
        stream: String,
        /// The last row it stands for.
        seq: u64,
        /// What is wrong with it.
        source: FormError,
    },
    /// The row to compact up to does not exist: load again.
    #[error("journal stream `{stream}` has no row {seq} to compact up to")]
    NoSuchRow {
        /// Name of the stream: an account, or [`ALERTS`].
        stream: String,
        /// The row that was asked for.
        seq: u64,
    },
    /// The state directory cannot be used.
    #[error("{path}: {source}", path = path.display())]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a database, or a damaged one: stop; restore the state directory. It was left
    /// as it is.
    #[error("{path} cannot be read as a journal: {source}", path = path.display())]
    Unreadable {
        /// Path of the database.
        path: PathBuf,
        /// What the database said.
        source: StorageError,
    },
    /// The file is another program's database: stop; point `state-dir` elsewhere. It was left as it
    /// is.
    #[error("{path} is another program's database (application id {got:#010x})", path = path.display())]
    Foreign {
        /// Path of the database.
        path: PathBuf,
        /// Its application id; 0 where it has none.
        got: i32,
    },
    /// A row is not what was written: stop; restore the state directory, or move it away and see
    /// "a lost journal" in the manual.
    #[error("journal stream `{stream}`, row {seq}: {what}")]
    Damaged {
        /// Name of the stream: an account, or [`ALERTS`].
        stream: String,
        /// Number of the row in its stream.
        seq: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The database said no: disk full, file damaged. Nothing was written.
    #[error("journal: {0}")]
    Database(#[source] StorageError),
    /// The writer has stopped; the process is ending.
    #[error("the journal is closed")]
    Closed,
}

/// Keeps rows. The whole of what a journal must do, so that one in another store can take its
/// place.
pub trait Journal: Send + Sync {
    /// A whole stream, in order.
    // Not `async fn`: callers on several threads need futures that are known to be `Send`.
    fn load(&self, stream: &str) -> impl Future<Output = Result<Stream, JournalError>> + Send;

    /// Appends these entries after row `expected` of the stream, all or none, and returns once they
    /// would survive a power cut. Answers the new last `seq`.
    fn append(
        &self,
        stream: &str,
        expected: u64,
        entries: Vec<Entry>,
    ) -> impl Future<Output = Result<u64, JournalError>> + Send;

    /// Replaces the rows up to `upto`, and any checkpoint before them, by one that says this. All
    /// of it or nothing happens; a stream that is not as it was written is refused, so that no
    /// trace is swept away.
    fn compact(
        &self,
        stream: &str,
        upto: u64,
        body: String,
    ) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// The names of all streams that hold a row.
    fn streams(&self) -> impl Future<Output = Result<Vec<String>, JournalError>> + Send;
}
