//! When a stream is too long, where it is cut, and the form of what stands in for its oldest part.
//!
//! Knows lengths and forms, not what is in them: the writer of a stream says what its rows come
//! to. For example, of 2,001 short rows the oldest 1,001 give way to a checkpoint.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Entry, Row};

/// A stream with more rows than this behind its checkpoint is compacted.
pub const MOST_ROWS: usize = 2_000;

/// So is one whose rows hold more bytes than this: a single row may list ten thousand fingerprints.
pub const MOST_BYTES: usize = 4 * 1024 * 1024;

/// What stays as it was written: the newest rows, up to half of either.
// Half, so that compaction comes once in a thousand rows and not with each one.
const KEPT_ROWS: usize = MOST_ROWS / 2;
const KEPT_BYTES: usize = MOST_BYTES / 2;

/// How much a stream holds behind its checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamSize {
    /// Number of its rows.
    pub rows: usize,
    /// Bytes of their kinds and bodies.
    pub bytes: usize,
}

impl StreamSize {
    /// The length of these rows.
    pub fn of(rows: &[Row]) -> Self {
        let mut length = Self::default();
        rows.iter().for_each(|row| length.add(&row.entry));
        length
    }

    /// Counts one more row with this entry.
    pub fn add(&mut self, entry: &Entry) {
        self.rows += 1;
        self.bytes += weight(entry);
    }

    /// Whether it is time to compact.
    pub fn is_long(&self) -> bool {
        self.rows > MOST_ROWS || self.bytes > MOST_BYTES
    }
}

/// How many of these rows, the oldest, a checkpoint is to stand for; none, where the stream is
/// short.
pub fn cut(rows: &[Row]) -> usize {
    let mut kept = StreamSize::default();
    let stays = |row: &&Row| {
        kept.add(&row.entry);
        kept.rows <= KEPT_ROWS && kept.bytes <= KEPT_BYTES
    };
    rows.len() - rows.iter().rev().take_while(stays).count()
}

fn weight(entry: &Entry) -> usize {
    entry.kind.len() + entry.body.len()
}

/// The checkpoint's body is none that this version can read.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// Written by a newer version: stop; upgrade, or restore the state directory.
    #[error("is of form {got}, this ringcx-rotator knows up to {known}: was it downgraded?")]
    Newer {
        /// The form that the checkpoint is written in.
        got: u32,
        /// The newest form known.
        known: u32,
    },
    /// It does not hold a state.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct Written<'a, T> {
    form: u32,
    state: &'a T,
}

#[derive(Deserialize)]
struct Form {
    form: u32,
}

#[derive(Deserialize)]
struct Read<T> {
    state: T,
}

/// A state as a checkpoint keeps it. Another form is another number.
pub fn write<T: Serialize>(form: u32, state: &T) -> String {
    serde_json::to_string(&Written { form, state }).expect("a state is plain data")
}

/// The state that a checkpoint keeps; forms up to `known` can be read.
pub fn read<T: DeserializeOwned>(known: u32, body: &str) -> Result<T, FormError> {
    // The number alone first: the state of a newer form may have any shape.
    let Form { form } = serde_json::from_str(body)?;
    if form > known {
        return Err(FormError::Newer { got: form, known });
    }
    Ok(serde_json::from_str::<Read<T>>(body)?.state)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn rows(count: usize, bytes: usize) -> Vec<Row> {
        let entry = Entry {
            at: DateTime::UNIX_EPOCH,
            kind: String::new(),
            body: "x".repeat(bytes),
        };
        (1..=count as u64)
            .map(|seq| Row {
                seq,
                entry: entry.clone(),
            })
            .collect()
    }

    #[test]
    fn half_of_a_long_stream_is_kept() {
        assert!(!StreamSize::of(&rows(MOST_ROWS, 1)).is_long());
        assert!(StreamSize::of(&rows(MOST_ROWS + 1, 1)).is_long());
        assert_eq!(cut(&rows(MOST_ROWS + 1, 1)), MOST_ROWS + 1 - KEPT_ROWS);
        assert_eq!(cut(&rows(3, 1)), 0);
    }

    #[test]
    fn a_few_huge_rows_are_a_long_stream_too() {
        let huge = rows(5, MOST_BYTES / 4);
        assert!(!StreamSize::of(&huge[..4]).is_long());
        assert!(StreamSize::of(&huge).is_long());
        assert_eq!(cut(&huge), 3);
        // One that is larger than all that may be kept goes as well.
        assert_eq!(cut(&rows(1, MOST_BYTES + 1)), 1);
    }

    #[test]
    fn a_newer_form_is_refused_and_says_so() {
        assert_eq!(
            read::<Vec<u8>>(2, &write(2, &vec![1_u8, 2])).unwrap(),
            [1, 2]
        );
        let error = read::<Vec<u8>>(2, r#"{"form":3,"state":{"another":"shape"}}"#).unwrap_err();
        assert!(matches!(error, FormError::Newer { got: 3, known: 2 }));
        assert!(error.to_string().contains("was it downgraded?"), "{error}");
        for body in [
            "",
            "[]",
            "{}",
            r#"{"form":1}"#,
            r#"{"form":-1,"state":[]}"#,
            r#"{"form":1,"state":"x"}"#,
        ] {
            assert!(
                matches!(read::<Vec<u8>>(2, body), Err(FormError::Unreadable(_))),
                "{body}"
            );
        }
    }
}
