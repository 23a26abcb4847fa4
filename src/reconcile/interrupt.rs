//! Why a step ends without an outcome to record.

use chrono::{DateTime, Utc};

use rotator_core::journal::JournalError;

/// Why a step ended without an outcome to record.
pub(super) enum Interrupt {
    /// The journal could not be written.
    Journal(JournalError),
    /// The process is to stop.
    Stopped,
    /// A limit of ours allows no attempt before this time. Nothing has failed.
    NotBefore(DateTime<Utc>),
}

impl From<JournalError> for Interrupt {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}
