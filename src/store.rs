//! Where the journal is kept.

mod sqlite;

pub use sqlite::{SqliteJournal, VerifiedStream};
