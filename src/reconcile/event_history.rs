//! An account's stream as events: reading it, folding it into a state, and replacing its oldest
//! part by a checkpoint when it is long.

use chrono::{DateTime, Utc};

use serde::Deserialize;

use rotator_core::account::AccountState;
use rotator_core::event::{ClockReading, Event};
use rotator_core::journal::checkpoint::{self, StreamSize};
use rotator_core::journal::{Checkpoint, Entry, Journal, JournalError, Row, Stream};

/// A journal row that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A row is not an event this version knows.
    #[error("journal stream `{stream}`, row {seq}: {source}")]
    Unknown {
        /// Name of the account.
        stream: String,
        /// Number of the row in the stream.
        seq: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// An account's audit trail, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventHistory {
    /// What came before, and is no longer there event by event.
    pub compacted: Option<Compacted>,
    /// Every event after the compacted ones, oldest first.
    pub events: Vec<Recorded>,
}

/// Events of which only the resulting state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Their number: those from 1 to this one.
    pub rows: u64,
    /// When the first of them happened.
    pub since: DateTime<Utc>,
    /// When the last of them happened.
    pub until: DateTime<Utc>,
}

/// One event with its place in the audit trail.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its place in the account's stream.
    pub seq: u64,
    /// When it was recorded, by the local clock.
    pub at: DateTime<Utc>,
    /// What was known of that clock then; rows of earlier versions have nothing of it.
    pub reading: Option<ClockReading>,
    /// The event as it was recorded.
    pub event: Event,
}

impl Recorded {
    /// Folds it in.
    pub fn apply_to(&self, state: &mut AccountState) {
        state.apply_row(self.seq, self.at, self.reading.as_ref(), &self.event);
    }
}

/// An account's audit trail.
pub async fn history(journal: &impl Journal, account: &str) -> Result<EventHistory, HistoryError> {
    let stream = journal.load(account).await?;
    let compacted = stream.checkpoint.as_ref().map(|checkpoint| Compacted {
        rows: checkpoint.seq,
        since: checkpoint.since,
        until: checkpoint.until,
    });
    let events = stream
        .rows
        .iter()
        .map(|row| read_row(account, row))
        .collect::<Result<_, _>>()?;
    Ok(EventHistory { compacted, events })
}

/// An account's state as the journal has it.
pub async fn load_state(
    journal: &impl Journal,
    account: &str,
) -> Result<AccountState, HistoryError> {
    Ok(load(journal, account).await?.0)
}

/// An account's state, and the size of its stream.
pub(super) async fn load(
    journal: &impl Journal,
    account: &str,
) -> Result<(AccountState, StreamSize), HistoryError> {
    let Stream { checkpoint, rows } = journal.load(account).await?;
    let state = fold(account, begin(account, checkpoint.as_ref())?, &rows)?;
    Ok((state, StreamSize::of(&rows)))
}

/// The state that the rows continue from.
fn begin(account: &str, checkpoint: Option<&Checkpoint>) -> Result<AccountState, HistoryError> {
    let Some(checkpoint) = checkpoint else {
        return Ok(AccountState::default());
    };
    let read = checkpoint::read(AccountState::FORM, &checkpoint.body);
    let (stream, seq) = (account.to_owned(), checkpoint.seq);
    Ok(read.map_err(|source| JournalError::Checkpoint {
        stream,
        seq,
        source,
    })?)
}

fn fold(
    account: &str,
    mut state: AccountState,
    rows: &[Row],
) -> Result<AccountState, HistoryError> {
    for row in rows {
        read_row(account, row)?.apply_to(&mut state);
    }
    Ok(state)
}

pub(crate) fn read_row(account: &str, row: &Row) -> Result<Recorded, HistoryError> {
    // Fails instead of skipping: a state that lacks an event could mint or delete wrongly.
    let unknown = |source| HistoryError::Unknown {
        stream: account.to_owned(),
        seq: row.seq,
        source,
    };
    let event = serde_json::from_str(&row.entry.body).map_err(unknown)?;
    let BesideEvent { clock } = serde_json::from_str(&row.entry.body).map_err(unknown)?;
    Ok(Recorded {
        seq: row.seq,
        at: row.entry.at,
        reading: clock,
        event,
    })
}

/// What a row's body has beside the fields of its event.
#[derive(Deserialize)]
struct BesideEvent {
    #[serde(default)]
    clock: Option<ClockReading>,
}

/// The journal entry of an event. No event has a field of the name that the reading has.
pub(crate) fn entry(at: DateTime<Utc>, reading: Option<&ClockReading>, event: &Event) -> Entry {
    let mut body = serde_json::to_value(event).expect("events are plain data");
    if let Some(reading) = reading {
        body["clock"] = serde_json::to_value(reading).expect("a reading is plain data");
    }
    let kind = body
        .get("kind")
        .and_then(|kind| kind.as_str())
        .unwrap_or_default()
        .to_owned();
    Entry {
        at,
        kind,
        body: body.to_string(),
    }
}

/// Replaces the oldest part of an account's stream by a checkpoint, if the stream is long. Returns
/// the size of what is left.
pub(super) async fn compact(
    journal: &impl Journal,
    account: &str,
) -> Result<StreamSize, HistoryError> {
    let Stream { checkpoint, rows } = journal.load(account).await?;
    let (old, kept) = rows.split_at(checkpoint::cut(&rows));
    if let Some(last) = old.last().filter(|_| StreamSize::of(&rows).is_long()) {
        // Folded from the old rows: the state in memory already includes the rows that are kept.
        let state = fold(account, begin(account, checkpoint.as_ref())?, old)?;
        let body = checkpoint::write(AccountState::FORM, &state);
        journal.compact(account, last.seq, body).await?;
        tracing::info!(name: "history-compacted", account, rows = old.len(), upto = last.seq, "Oldest history compacted");
        return Ok(StreamSize::of(kept));
    }
    Ok(StreamSize::of(&rows))
}

#[cfg(test)]
mod tests;
