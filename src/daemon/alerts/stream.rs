//! The stream `@alerts` in the journal.

use rotator_core::incidents::{AlertState, Unreadable};
use rotator_core::journal::checkpoint::{self, StreamSize};
use rotator_core::journal::{ALERTS, Journal, JournalError, Stream};

use super::log;

/// The state after everything that the journal has of the alerts.
pub(super) async fn read(journal: &impl Journal) -> Result<(AlertState, StreamSize), JournalError> {
    let stream = journal.load(ALERTS).await?;
    let state = AlertState::from_stream(&stream).map_err(unreadable)?;
    Ok((state, StreamSize::of(&stream.rows)))
}

/// Replaces the oldest part of the stream by a checkpoint. Answers how long the rest is.
pub(super) async fn compact(journal: &impl Journal) -> Result<StreamSize, JournalError> {
    // From the journal, because the task keeps only the state and not the rows.
    let Stream {
        checkpoint,
        mut rows,
    } = journal.load(ALERTS).await?;
    let kept = rows.split_off(checkpoint::cut(&rows));
    // A short stream has no rows to replace.
    if let Some(last) = rows.last().map(|row| row.seq) {
        let old = Stream { checkpoint, rows };
        // Of the old rows only: those that are kept are applied on top of it at the next start.
        let state = AlertState::from_stream(&old).map_err(unreadable)?;
        journal
            .compact(ALERTS, last, checkpoint::write(AlertState::FORM, &state))
            .await?;
        log::compacted(old.rows.len(), last);
    }
    Ok(StreamSize::of(&kept))
}

fn unreadable(error: Unreadable) -> JournalError {
    let stream = ALERTS.to_owned();
    match error {
        Unreadable::Row { seq, .. } => JournalError::Damaged {
            stream,
            seq,
            what: "this version does not know such an alert event",
        },
        Unreadable::Checkpoint { seq, source } => JournalError::Checkpoint {
            stream,
            seq,
            source,
        },
    }
}
