//! What is read back from where it was kept, had it become any bytes: the journal's rows and a
//! token's file.

use chrono::DateTime;

use crate::reconcile;
use crate::sinks::file;
use rotator_core::account::AccountState;
use rotator_core::config::{FileAccess, FileSink};
use rotator_core::incidents::AlertEvent;
use rotator_core::journal::{Entry, Row};

/// Each line a row's body; of `@alerts` too, with the word before it for a kind.
pub fn journal(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut history = Vec::new();
    for (line, seq) in text.lines().zip(1..) {
        if let Ok(recorded) = reconcile::event_history::read_row("ivr", &row(seq, "", line)) {
            let reading = recorded.reading.as_ref();
            let written = reconcile::event_history::entry(recorded.at, reading, &recorded.event);
            let again = reconcile::event_history::read_row("ivr", &row(seq, "", &written.body))
                .expect("what is written can be read");
            assert_eq!(again, recorded);
            history.push(recorded);
        }
        let (kind, body) = line.split_once(' ').unwrap_or(("", line));
        let read = AlertEvent::from_row(&row(seq, kind, body));
        if let Ok(event) = read {
            let entry = event.to_entry(DateTime::UNIX_EPOCH);
            let again =
                AlertEvent::from_row(&Row { seq, entry }).expect("what is written can be read");
            assert_eq!(again, event);
        }
    }
    let mut state = AccountState::default();
    history.iter().for_each(|row| row.apply_to(&mut state));
    assert!(
        state.current().is_none_or(|current| current.is_alive()),
        "a dead token is current"
    );
    assert!(
        state.pending().is_none_or(|pending| pending.is_alive()),
        "a dead token is pending"
    );
}

fn row(seq: u64, kind: &str, body: &str) -> Row {
    Row {
        seq,
        entry: Entry {
            at: DateTime::UNIX_EPOCH,
            kind: kind.to_owned(),
            body: body.to_owned(),
        },
    }
}

/// The content of a file sink.
pub fn token_file(bytes: &[u8]) {
    for trailing_newline in [false, true] {
        let policy = FileSink {
            path: "/token".into(),
            trailing_newline,
            access: FileAccess::default(),
        };
        match file::content(bytes, &policy) {
            Ok(token) => {
                super::has_the_form(&token);
                let end: &[u8] = if trailing_newline { b"\n" } else { b"" };
                assert_eq!(
                    [token.expose().as_bytes(), end].concat(),
                    bytes,
                    "it holds something else, too"
                );
            }
            Err(why) => {
                super::is_one_short_line(&why);
                let words: String = why.chars().filter(|c| !c.is_ascii_digit()).collect();
                assert!(SENTENCES.contains(&words.as_str()), "{why:?}");
            }
        }
    }
}

/// What a file may be said to be, digits taken out.
const SENTENCES: [&str; 6] = [
    "is empty",
    "is no token: not valid UTF-",
    "is no token: a token has  to  characters, this has ",
    "is no token: a token has only letters, digits and . _ ~ : -, this has another character at position ",
    "ends with a line end that the policy does not ask for",
    "lacks the line end that the policy asks for",
];
