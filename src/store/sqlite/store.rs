//! The journal's tables: the only file with SQL in it.
//!
//! Synchronous, and owned by one thread. `rows` holds what was written; `heads` the last `seq` of
//! each stream and the hash of that row, so that a changed or cut-off last row is found too;
//! `checkpoints` what replaces the oldest rows, with the hash that the next row follows and a hash
//! of its own. What it cannot find: a whole journal put back from an older copy, a stream of which
//! nothing is left, or one rewritten together with its hashes.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, ffi, params};

use super::chain::{Hash, NO_HASH, link, seal};
use super::{look_at_own, open_own};
use crate::failpoint;
use rotator_core::journal::{Checkpoint, Entry, JournalError, Row, Stream};

/// "RcxR": says to `file` and to us which program the database belongs to.
const APPLICATION_ID: i32 = 0x5263_7852;

/// The newest schema known. A change to the tables is a new number and a step in [`migrate`].
const SCHEMA: i64 = 2;

/// The tables of schema 1, to which [`CHECKPOINTS`] adds.
const TABLES: &str = "
    CREATE TABLE rows (
        stream    TEXT    NOT NULL,
        seq       INTEGER NOT NULL,
        at        TEXT    NOT NULL,
        kind      TEXT    NOT NULL,
        body      TEXT    NOT NULL,
        prev_hash BLOB    NOT NULL,
        PRIMARY KEY (stream, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE heads (
        stream TEXT    NOT NULL PRIMARY KEY,
        seq    INTEGER NOT NULL,
        hash   BLOB    NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// What schema 2 adds, in a database or, for a reader of an older one, in memory only.
const CHECKPOINTS: &str = "TABLE checkpoints (
        stream    TEXT    NOT NULL PRIMARY KEY,
        seq       INTEGER NOT NULL,
        since     TEXT    NOT NULL,
        until     TEXT    NOT NULL,
        body      TEXT    NOT NULL,
        last_hash BLOB    NOT NULL,
        hash      BLOB    NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// A failure of the journal, or of the database under it.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("journal: {0}")]
    Database(#[from] rusqlite::Error),
}

impl From<StoreError> for JournalError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Journal(error) => error,
            StoreError::Database(source) => Self::Database(Box::new(source)),
        }
    }
}

/// Entries that are written together or not at all.
pub(super) struct Append {
    pub stream: String,
    pub expected: u64,
    pub entries: Vec<Entry>,
}

/// A stream whose hashes are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifiedStream {
    /// Rows that were read.
    pub rows: u64,
    /// Earlier rows, which a checkpoint replaces.
    pub compacted: u64,
}

/// One thread owns the connection, so it needs no mutex of its own; and no symlink leads to a
/// database of ours. SQLite itself follows none to the files beside it.
const UNSHARED: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX.union(OpenFlags::SQLITE_OPEN_NOFOLLOW);

pub(super) struct Store {
    connection: Connection,
}

struct Head {
    seq: u64,
    hash: Hash,
}

/// What a stream consists of.
enum StreamItem {
    Checkpoint(Checkpoint),
    Row(Row),
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        // Created here and not by SQLite, which would let the umask choose the mode.
        open_own(path, OpenOptions::new().read(true).write(true).create(true))?;
        look_beside(path)?;
        let unreadable = |source: rusqlite::Error| JournalError::Unreadable {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | UNSHARED;
        let mut connection = Connection::open_with_flags(path, flags).map_err(unreadable)?;
        // Before anything is written: the file may be of another program or a newer version.
        let version = inspect(&connection, path)?;
        tune(&connection).map_err(unreadable)?;
        migrate(&mut connection, version)?;
        Ok(Self { connection })
    }

    pub(super) fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        match open_own(path, OpenOptions::new().read(true)) {
            Ok(_) => look_beside(path)?,
            Err(error) if is_missing(&error, path) => return Self::empty(),
            Err(error) => return Err(error.into()),
        }
        let unreadable = |source: rusqlite::Error| JournalError::Unreadable {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | UNSHARED;
        let connection = Connection::open_with_flags(path, flags).map_err(unreadable)?;
        let version = inspect(&connection, path)?;
        if version == 0 {
            // Another instance has created the file and not yet its tables.
            return Self::empty();
        }
        // A reader must not migrate the file, so what is missing is added in memory only.
        if version < 2 {
            connection
                .execute_batch(&format!("CREATE TEMP {CHECKPOINTS}"))
                .map_err(unreadable)?;
        }
        connection
            .pragma_update(None, "cache_size", -256)
            .map_err(unreadable)?;
        Ok(Self { connection })
    }

    /// What a reader of a state directory without a journal sees.
    fn empty() -> Result<Self, StoreError> {
        let mut connection = Connection::open_in_memory()?;
        migrate(&mut connection, 0)?;
        // An append here would succeed and be lost; it has to fail.
        connection.pragma_update(None, "query_only", true)?;
        Ok(Self { connection })
    }

    /// Commits all of these together. One that expects another row than the last is refused alone;
    /// an error of the database refuses all of them, and nothing is kept.
    pub(super) fn append(&mut self, appends: Vec<Append>) -> Vec<Result<u64, JournalError>> {
        if appends.is_empty() {
            return Vec::new();
        }
        match self.try_append(&appends) {
            Ok(results) => results,
            Err(error) => appends
                .iter()
                .map(|_| Err(JournalError::Database(Box::new(again(&error)))))
                .collect(),
        }
    }

    fn try_append(
        &mut self,
        appends: &[Append],
    ) -> rusqlite::Result<Vec<Result<u64, JournalError>>> {
        // Dropped without a commit, the transaction is rolled back.
        let transaction = self.connection.transaction()?;
        let mut results = Vec::with_capacity(appends.len());
        for append in appends {
            // The check comes before the first insert, so a refused append leaves nothing to undo.
            results.push(insert(&transaction, append)?);
        }
        // Past this point a failing disk may keep what it could not confirm: SQLite reports the
        // error and forgets the rows, but a power cut before the next commit can bring them back.
        // They are then read as done, which the next start handles like an intent without an
        // outcome.
        failpoint::around("commit", || transaction.commit())?;
        Ok(results)
    }

    pub(super) fn load(&mut self, stream: &str) -> Result<Stream, StoreError> {
        let mut loaded = Stream::default();
        self.read(stream, |found, _| match found {
            StreamItem::Checkpoint(checkpoint) => loaded.checkpoint = Some(checkpoint),
            StreamItem::Row(row) => loaded.rows.push(row),
        })?;
        Ok(loaded)
    }

    pub(super) fn verify(&mut self, stream: &str) -> Result<VerifiedStream, StoreError> {
        let mut verified = VerifiedStream::default();
        self.read(stream, |found, _| match found {
            StreamItem::Checkpoint(checkpoint) => verified.compacted = checkpoint.seq,
            StreamItem::Row(_) => verified.rows += 1,
        })?;
        Ok(verified)
    }

    pub(super) fn streams(&mut self) -> Result<Vec<String>, StoreError> {
        // A stream without a head is damaged; it is listed, so that this is found.
        let mut select = self.connection.prepare(
            "SELECT stream FROM heads UNION SELECT stream FROM rows UNION SELECT stream FROM checkpoints
             ORDER BY stream",
        )?;
        let streams = select
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(streams)
    }

    /// Replaces the rows up to `upto` by a checkpoint, in one transaction.
    pub(super) fn compact(
        &mut self,
        stream: &str,
        upto: u64,
        body: &str,
    ) -> Result<(), StoreError> {
        // One transaction: a crash must not leave rows deleted and no checkpoint for them.
        let transaction = self.connection.transaction()?;
        let (mut since, mut last) = (None, None);
        // The whole stream is checked first: rows that were changed by hand must be found, not
        // thrown away.
        walk(&transaction, stream, |found, hash| match found {
            StreamItem::Checkpoint(checkpoint) => since = Some(checkpoint.since),
            StreamItem::Row(row) => {
                since.get_or_insert(row.entry.at);
                if row.seq == upto {
                    last = Some((row.entry.at, *hash));
                }
            }
        })?;
        let (Some(since), Some((until, last_hash))) = (since, last) else {
            return Err(JournalError::NoSuchRow {
                stream: stream.to_owned(),
                seq: upto,
            }
            .into());
        };
        let (since, until) = (time_text(since), time_text(until));
        let hash = seal(&last_hash, stream, upto, &since, &until, body);
        transaction.execute(
            "INSERT INTO checkpoints (stream, seq, since, until, body, last_hash, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (stream) DO UPDATE SET seq = excluded.seq, since = excluded.since,
                 until = excluded.until, body = excluded.body, last_hash = excluded.last_hash,
                 hash = excluded.hash",
            params![stream, upto, since, until, body, &last_hash[..], &hash[..]],
        )?;
        transaction.execute(
            "DELETE FROM rows WHERE stream = ?1 AND seq <= ?2",
            params![stream, upto],
        )?;
        Ok(failpoint::around("commit", || transaction.commit())?)
    }

    /// Folds the write-ahead log into the file, which SQLite does when its last connection closes.
    pub(super) fn close(self) -> Result<(), StoreError> {
        self.connection
            .close()
            .map_err(|(_, error)| StoreError::Database(error))
    }

    fn read(&mut self, stream: &str, see: impl FnMut(StreamItem, &Hash)) -> Result<(), StoreError> {
        // One snapshot for rows and head: a daemon may be writing beside us.
        let snapshot = self.connection.transaction()?;
        walk(&snapshot, stream, see)
    }
}

/// Reads a stream in order and follows its chain of hashes. `see` gets each item with the hash that
/// the next row must follow.
fn walk(
    snapshot: &Transaction<'_>,
    stream: &str,
    mut see: impl FnMut(StreamItem, &Hash),
) -> Result<(), StoreError> {
    let mut last = Head {
        seq: 0,
        hash: NO_HASH,
    };
    if let Some((checkpoint, last_hash)) = checkpoint(snapshot, stream)? {
        last = Head {
            seq: checkpoint.seq,
            hash: last_hash,
        };
        see(StreamItem::Checkpoint(checkpoint), &last.hash);
    }
    let mut select = snapshot.prepare(
        "SELECT seq, at, kind, body, prev_hash FROM rows WHERE stream = ?1 ORDER BY seq",
    )?;
    let mut found = select.query([stream])?;
    while let Some(columns) = found.next()? {
        let (row, head) = read_row(columns, stream, &last)?;
        last = head;
        see(StreamItem::Row(row), &last.hash);
    }
    let head = head(snapshot, stream)?;
    // Rows alone cannot show that the last of them were cut off; the head can.
    let problem = match head.seq {
        seq if seq > last.seq => (last.seq + 1, "it is missing"),
        seq if seq < last.seq => (seq + 1, "it was never committed"),
        seq if head.hash != last.hash => (seq, "it was changed"),
        _ => return Ok(()),
    };
    Err(damaged(stream, problem.0, problem.1).into())
}

/// One row, if it follows from the one before, and the head that the next must follow.
fn read_row(
    columns: &rusqlite::Row<'_>,
    stream: &str,
    last: &Head,
) -> Result<(Row, Head), StoreError> {
    let seq = last.seq.saturating_add(1);
    if columns.get::<_, i64>(0)? != seq.cast_signed() {
        return Err(damaged(stream, seq, "it is missing").into());
    }
    let at: String = columns.get(1)?;
    let (kind, body): (String, String) = (columns.get(2)?, columns.get(3)?);
    // The link, checked before the row is used: a row that was put in or swapped shows here.
    if columns.get_ref(4)?.as_blob().ok() != Some(&last.hash[..]) {
        let what = "it does not follow from the row before: one of the two was changed";
        return Err(damaged(stream, seq, what).into());
    }
    let time = DateTime::parse_from_rfc3339(&at)
        .map_err(|_| damaged(stream, seq, "its time cannot be read"))?
        .with_timezone(&Utc);
    let hash = link(&last.hash, stream, seq, &at, &kind, &body);
    let entry = Entry {
        at: time,
        kind,
        body,
    };
    Ok((Row { seq, entry }, Head { seq, hash }))
}

fn damaged(stream: &str, seq: u64, what: &'static str) -> JournalError {
    JournalError::Damaged {
        stream: stream.to_owned(),
        seq,
        what,
    }
}

/// What replaces a stream's oldest rows, and the hash of the last of them.
fn checkpoint(
    snapshot: &Transaction<'_>,
    stream: &str,
) -> Result<Option<(Checkpoint, Hash)>, StoreError> {
    type Columns = (u64, String, String, String, Hash, Hash);
    let columns: rusqlite::Result<Option<Columns>> = snapshot
        .prepare_cached(
            "SELECT seq, since, until, body, last_hash, hash FROM checkpoints WHERE stream = ?1",
        )?
        .query_row([stream], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
            ))
        })
        .optional();
    let changed = |seq| damaged(stream, seq, "the checkpoint that ends with it was changed");
    let columns = match columns {
        // A column that no longer holds a number or a hash.
        Err(
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..),
        ) => {
            return Err(changed(0).into());
        }
        columns => columns?,
    };
    let Some((seq, since, until, body, last_hash, hash)) = columns else {
        return Ok(None);
    };
    if hash != seal(&last_hash, stream, seq, &since, &until, &body) {
        return Err(changed(seq).into());
    }
    let time = |text: &str| DateTime::parse_from_rfc3339(text).map_err(|_| changed(seq));
    let (since, until) = (
        time(&since)?.with_timezone(&Utc),
        time(&until)?.with_timezone(&Utc),
    );
    Ok(Some((
        Checkpoint {
            seq,
            since,
            until,
            body,
        },
        last_hash,
    )))
}

/// Checks a file before anything is written to it. Returns its schema version, 0 for an empty file.
fn inspect(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let unreadable = |source| match source {
        // Busy and the like say nothing about the file.
        rusqlite::Error::SqliteFailure(ffi::Error { code, .. }, _)
            if !matches!(code, ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) =>
        {
            JournalError::Database(Box::new(source))
        }
        other => JournalError::Unreadable {
            path: path.to_owned(),
            source: Box::new(other),
        },
    };
    let number = |pragma| {
        connection
            .pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
            .map_err(unreadable)
    };
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(unreadable)?;
    let (application, version) = (number("application_id")?, number("user_version")?);
    if tables == 0 && application == 0 && version == 0 {
        return Ok(0);
    }
    if application != i64::from(APPLICATION_ID) {
        let got = i32::try_from(application).unwrap_or_default();
        return Err(JournalError::Foreign {
            path: path.to_owned(),
            got,
        }
        .into());
    }
    if version > SCHEMA {
        return Err(JournalError::Newer {
            got: version,
            known: SCHEMA,
        }
        .into());
    }
    // Finds a file that was cut off or overwritten. Every stream is read at start anyway.
    let verdict: String = connection
        .pragma_query_value(None, "quick_check", |row| row.get(0))
        .map_err(unreadable)?;
    if verdict != "ok" {
        let corrupt = ffi::Error::new(ffi::SQLITE_CORRUPT);
        return Err(unreadable(rusqlite::Error::SqliteFailure(corrupt, Some(verdict))).into());
    }
    Ok(version)
}

/// Durable to the last commit, and small: the whole daemon idles in a few megabytes.
fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // With a write-ahead log, only FULL syncs at each commit: an intent must outlast a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Negative means KiB.
    connection.pragma_update(None, "cache_size", -256)?;
    // In pages: half a megabyte, which also bounds what a start has to read again.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 128, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", 1 << 20, |_| Ok(()))?;
    connection.pragma_update(None, "cell_size_check", true)
}

/// Brings an older schema up to [`SCHEMA`], in one transaction.
fn migrate(connection: &mut Connection, from: i64) -> Result<(), StoreError> {
    if from == SCHEMA {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    if from == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    if from < 2 {
        transaction.execute_batch(&format!("CREATE {CHECKPOINTS}"))?;
    }
    // With the tables in one transaction: a crash leaves the old schema or the new one.
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    Ok(failpoint::around("commit", || transaction.commit())?)
}

fn insert(
    transaction: &Transaction<'_>,
    append: &Append,
) -> rusqlite::Result<Result<u64, JournalError>> {
    let Append {
        stream,
        expected,
        entries,
    } = append;
    let Head { mut seq, mut hash } = head(transaction, stream)?;
    if seq != *expected {
        let (stream, expected) = (stream.clone(), *expected);
        return Ok(Err(JournalError::Conflict {
            stream,
            expected,
            got: seq,
        }));
    }
    // Nothing to write: a head without a row would list a stream that has none.
    if entries.is_empty() {
        return Ok(Ok(seq));
    }
    let mut row = transaction.prepare_cached(
        "INSERT INTO rows (stream, seq, at, kind, body, prev_hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for Entry { at, kind, body } in entries {
        seq += 1;
        let at = time_text(*at);
        row.execute(params![stream, seq, at, kind, body, &hash[..]])?;
        hash = link(&hash, stream, seq, &at, kind, body);
    }
    transaction
        .prepare_cached(
            "INSERT INTO heads (stream, seq, hash) VALUES (?1, ?2, ?3)
             ON CONFLICT (stream) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
        )?
        .execute(params![stream, seq, &hash[..]])?;
    Ok(Ok(seq))
}

fn time_text(at: DateTime<Utc>) -> String {
    // Always nine digits: the text is hashed, so one time must have one spelling.
    at.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

fn head(connection: &Connection, stream: &str) -> rusqlite::Result<Head> {
    let head = connection
        .prepare_cached("SELECT seq, hash FROM heads WHERE stream = ?1")?
        .query_row([stream], |row| {
            Ok(Head {
                seq: row.get(0)?,
                hash: row.get(1)?,
            })
        })
        .optional()?;
    Ok(head.unwrap_or(Head {
        seq: 0,
        hash: NO_HASH,
    }))
}

/// A copy of the error: every append of a failed transaction gets it.
fn again(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, text) => {
            rusqlite::Error::SqliteFailure(*code, text.clone())
        }
        other => rusqlite::Error::SqliteFailure(
            ffi::Error::new(ffi::SQLITE_ERROR),
            Some(other.to_string()),
        ),
    }
}

/// Looks at the files that SQLite keeps beside the database.
fn look_beside(path: &Path) -> Result<(), JournalError> {
    ["-wal", "-shm", "-journal"].iter().try_for_each(|ending| {
        let mut beside = path.as_os_str().to_owned();
        beside.push(ending);
        look_at_own(Path::new(&beside))
    })
}

/// Whether the journal is missing but its directory is not. A missing directory is a mistake in the
/// policy.
fn is_missing(error: &JournalError, path: &Path) -> bool {
    let missing = matches!(error, JournalError::Directory { source, .. } if source.kind() == io::ErrorKind::NotFound);
    missing && path.parent().is_some_and(Path::is_dir)
}

#[cfg(test)]
impl Store {
    /// Leaves room for this number of pages, like a disk that is nearly full.
    pub(super) fn leave_pages(&self, spare: i64) {
        let used: i64 = self
            .connection
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        self.connection
            .pragma_update_and_check(None, "max_page_count", used + spare, |_| Ok(()))
            .unwrap();
    }

    /// The size of the database, in pages.
    pub(super) fn pages(&self) -> i64 {
        self.connection
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap()
    }
}
