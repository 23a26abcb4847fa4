//! An env-file of any bytes, edited: all but the value stays, and every reader reads the token.
//!
//! Holds the editor against systemd's parser as written down here, apart from the scanner under
//! test. Real shells and the real systemd are asked in `fuzz_properties/tests/env_file.rs`, for they are
//! too slow to fuzz with.

use std::ops::Range;

use crate::sinks::env_file::text::{self, Value};
use rotator_core::secret::Token;

/// What the seeds assign.
pub const KEY: &str = "KEY";

/// One that may stand bare, and one that a shell would expand if it did.
pub const TOKENS: [&str; 2] = ["aws80:t0ken-new", "a:~root:b"];

/// An edit of this text.
pub fn editing(text: &[u8]) {
    for new in TOKENS {
        edited(text, new);
    }
}

/// An edit that sets the key to this token; gives the edited text, unless it is refused.
pub fn edited(text: &[u8], new: &str) -> Option<Vec<u8>> {
    let token = Token::try_new(new).expect("it has the form");
    let got = match text::edit(text, KEY, &token) {
        Ok(got) => got,
        Err(error) => {
            super::is_one_short_line(&error.to_string());
            assert_eq!(
                text::read(text, KEY).err(),
                Some(error),
                "read, but not edited"
            );
            return None;
        }
    };
    keeps_all_but_the_values(text, &got, new);
    match text::read(&got, KEY) {
        Ok(Value::Token(read)) => assert_eq!(read.expose(), new),
        Ok(Value::Absent) => panic!("the key is absent after the edit"),
        Ok(Value::Odd(why)) => panic!("the key {why} after the edit"),
        Err(error) => panic!("after the edit, {error}"),
    }
    let again =
        text::edit(&got, KEY, &token).unwrap_or_else(|error| panic!("a second time, {error}"));
    assert_eq!(*again, *got, "a second time, it is another edit");
    systemd_reads_the_token(text, &got, new);
    Some(got.to_vec())
}

/// Walks along both texts: they differ in the key's values only, or in a new last line.
fn keeps_all_but_the_values(text: &[u8], got: &[u8], new: &str) {
    let mut rest = got;
    let mut kept_to = 0;
    for Assignment { range, .. } in systemd(text).into_iter().filter(is_ours) {
        rest = after(rest, &text[kept_to..range.start]);
        rest = after_value(rest, new);
        kept_to = range.end;
        // Of its line end, only the carriage return goes.
        if let Some(at) = carriage_return(text, range.end) {
            rest = after(rest, &text[kept_to..at]);
            kept_to = at + 1;
        }
    }
    if kept_to > 0 {
        assert_eq!(rest, &text[kept_to..], "behind the last value");
        return;
    }
    rest = after(rest, text);
    let line_end: &[u8] = b"\n";
    let ended = text.is_empty() || text.ends_with(b"\n");
    if !ended {
        rest = after(rest, line_end);
    }
    rest = after_value(after(rest, b"KEY="), new);
    assert_eq!(
        rest,
        if ended { line_end } else { b"" },
        "the end of the new line"
    );
}

/// Where it is, if only blanks and joined lines come before it.
fn carriage_return(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(byte) = text.get(at) {
        match byte {
            b' ' | b'\t' => at += 1,
            b'\\' if text.get(at + 1) == Some(&b'\n') => at += 2,
            b'\r' => return Some(at),
            _ => return None,
        }
    }
    None
}

#[track_caller]
fn after<'t>(text: &'t [u8], kept: &[u8]) -> &'t [u8] {
    text.strip_prefix(kept).unwrap_or_else(|| {
        panic!(
            "{:?} should stay in {:?}",
            String::from_utf8_lossy(kept),
            String::from_utf8_lossy(text)
        )
    })
}

fn after_value<'t>(text: &'t [u8], token: &str) -> &'t [u8] {
    let bare = [
        format!("\"{token}\""),
        format!("'{token}'"),
        token.to_owned(),
    ];
    let found = bare
        .iter()
        .find_map(|written| text.strip_prefix(written.as_bytes()));
    found.unwrap_or_else(|| {
        panic!(
            "no token where the value was: {:?}",
            String::from_utf8_lossy(text)
        )
    })
}

fn systemd_reads_the_token(text: &[u8], got: &[u8], new: &str) {
    let (ours, others): (Vec<Assignment>, Vec<Assignment>) =
        systemd(got).into_iter().partition(is_ours);
    assert!(!ours.is_empty(), "systemd finds no value");
    for Assignment { value, .. } in ours {
        assert_eq!(
            String::from_utf8_lossy(&value),
            new,
            "systemd reads another value"
        );
    }
    let before = systemd(text)
        .into_iter()
        .filter(|assignment| !is_ours(assignment));
    let told = |it: Assignment| (it.name, it.value);
    let (before, others): (Vec<_>, Vec<_>) = (
        before.map(told).collect(),
        others.into_iter().map(told).collect(),
    );
    assert_eq!(before, others, "what systemd reads of other variables");
}

/// What systemd finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// As written, without blanks behind it.
    pub name: Vec<u8>,
    /// Without quotes and escapes.
    pub value: Vec<u8>,
    /// From behind the `=` to the last byte that counts.
    pub range: Range<usize>,
}

/// Whether it assigns the key; with `export`, which systemd takes for a part of the name.
fn is_ours(it: &Assignment) -> bool {
    let exported = it
        .name
        .strip_prefix(b"export")
        .filter(|rest| rest.starts_with(b" ") || rest.starts_with(b"\t"));
    let name = exported.map_or(it.name.as_slice(), |rest| {
        let blanks = rest.iter().take_while(|byte| b" \t".contains(byte)).count();
        &rest[blanks..]
    });
    name == KEY.as_bytes()
}

#[derive(PartialEq)]
enum LexerState {
    PreKey,
    Key,
    PreValue,
    Value,
    ValueEscape,
    Single,
    Double,
    DoubleEscape,
    Comment,
}

/// Its parser's states, written down from its documentation and source (`src/basic/env-file.c`).
pub fn systemd(text: &[u8]) -> Vec<Assignment> {
    use LexerState::*;
    let (mut state, mut key, mut value, mut found) = (PreKey, vec![], vec![], vec![]);
    let mut trailing = 0; // Blanks at the end of the value so far
    let (mut start, mut end) = (0, 0);
    for (at, &byte) in text.iter().chain(b"\n").enumerate() {
        let (newline, blank) = (b"\r\n".contains(&byte), b" \t\r\n".contains(&byte));
        if newline && matches!(state, PreValue | Value) {
            value.truncate(value.len() - trailing);
            // Its white space, which has no form feed.
            while key.last().is_some_and(|byte| b" \t".contains(byte)) {
                key.pop();
            }
            let name = std::mem::take(&mut key);
            found.push(Assignment {
                name,
                value: std::mem::take(&mut value),
                range: start..end,
            });
            (state, trailing) = (PreKey, 0);
            continue;
        }
        let counts = match state {
            PreValue | Value | Single | Double => {
                !(blank && matches!(state, PreValue | Value)) && byte != b'\\'
            }
            ValueEscape => !newline,
            PreKey | Key | Comment | DoubleEscape => false,
        };
        state = match state {
            PreKey if b"#;".contains(&byte) => Comment,
            PreKey if blank => PreKey,
            PreKey => {
                key = vec![byte];
                Key
            }
            Key if newline => PreKey,
            Key if byte == b'=' => {
                (start, end) = (at + 1, at + 1);
                PreValue
            }
            Key => {
                key.push(byte);
                Key
            }
            PreValue if byte == b'\'' => Single,
            PreValue if byte == b'"' => Double,
            PreValue if blank => PreValue,
            PreValue | Value if byte == b'\\' => {
                trailing = 0;
                ValueEscape
            }
            PreValue | Value => {
                trailing = if blank { trailing + 1 } else { 0 };
                value.push(byte);
                Value
            }
            ValueEscape => {
                if !newline {
                    value.push(byte);
                }
                Value
            }
            Single if byte == b'\'' => PreValue,
            Double if byte == b'"' => PreValue,
            Double if byte == b'\\' => DoubleEscape,
            Single | Double => {
                value.push(byte);
                state
            }
            DoubleEscape => {
                if !b"\"\\`$\n\r".contains(&byte) {
                    value.push(b'\\');
                }
                if !newline {
                    value.push(byte);
                }
                Double
            }
            Comment if newline => PreKey,
            Comment => Comment,
        };
        if counts {
            end = at + 1;
        }
    }
    found
}
