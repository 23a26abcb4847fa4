//! Changes one value in the text of an env-file, and nothing else.
//!
//! Pure: bytes in, bytes out. Where the assignments are, [`scan`] finds out; this file decides what
//! is written there so that a shell and systemd both read exactly the token:
//!
//! - a value in one pair of quotes keeps its quotes, any other becomes the bare token;
//! - but `~`, which a shell expands at the start and after `:`, never stands bare;
//! - what is more than one plain word (`KEY=old # note`, `KEY=a; b`) is refused: to the shell it is
//!   a comment or a command, to systemd a part of the value, and no edit would suit both.

use std::ops::Range;

use secrecy::zeroize::Zeroizing;

use rotator_core::secret::Token;

mod lexer;
#[cfg(test)]
mod tests;

/// A larger file is not edited. In bytes.
pub const LARGEST: usize = 1024 * 1024;

/// Why a text is not edited. Lines are counted from 1; nothing of their content is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The file is larger than [`LARGEST`].
    #[error("is larger than 1 MiB, so it is no env-file")]
    TooLarge,
    /// The file has a NUL byte, so it is not a text.
    #[error("line {line} has a NUL byte, so it is no env-file")]
    Nul {
        /// Number of the line, from 1.
        line: usize,
    },
    /// A shell and systemd would read it differently, or one of them not at all.
    #[error("line {line}: {why}")]
    Unclear {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong, and what to do.
        why: &'static str,
    },
}

/// What a key is set to.
pub enum Value {
    /// It is not set.
    Absent,
    /// Every assignment sets it to this.
    Token(Token),
    /// Something else. The text follows the key's name, for example `is set to nothing`.
    Odd(&'static str),
}

/// Sets `key` to the token in each of its assignments, or in a new last line if there is none.
///
/// A line with the key ends with `\n` even where others end with `\r\n`: to a shell the carriage
/// return would be the last byte of the token, to systemd either ends the line. A new last line
/// ends with nothing where the file lacked a final line end.
pub fn edit(text: &[u8], key: &str, token: &Token) -> Result<Zeroizing<Vec<u8>>, TextError> {
    let values = lexer::values(text, key)?;
    // Room for all of it at once: a buffer that grows leaves copies of what it held.
    let room = text.len() + key.len() + (values.len() + 1) * (token.expose().len() + 8);
    let mut edited = Zeroizing::new(Vec::with_capacity(room));
    if values.is_empty() {
        append(&mut edited, text, key, token);
    } else {
        let mut kept_to = 0;
        for Range { start, end } in values {
            edited.extend_from_slice(&text[kept_to..start]);
            write_value(&mut edited, Quotes::around(&text[start..end]), token);
            kept_to = end;
            if let Some(at) = carriage_return(text, end) {
                edited.extend_from_slice(&text[end..at]);
                kept_to = at + 1;
            }
        }
        edited.extend_from_slice(&text[kept_to..]);
    }
    Ok(edited)
}

/// What `key` is set to.
pub fn read(text: &[u8], key: &str) -> Result<Value, TextError> {
    let mut agreed: Option<Token> = None;
    for range in lexer::values(text, key)? {
        if carriage_return(text, range.end).is_some() {
            return Ok(Value::Odd(
                "ends with a carriage return, which a shell takes for a part of it",
            ));
        }
        let token = match single(&text[range]) {
            Ok(token) => token,
            Err(why) => return Ok(Value::Odd(why)),
        };
        if agreed
            .as_ref()
            .is_some_and(|agreed| agreed.expose() != token.expose())
        {
            return Ok(Value::Odd("is set to different values"));
        }
        agreed = Some(token);
    }
    Ok(agreed.map_or(Value::Absent, Value::Token))
}

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Single,
    Double,
}

impl Quotes {
    /// Those that enclose the whole of this value.
    fn around(value: &[u8]) -> Self {
        match value {
            [b'\'', inner @ .., b'\''] if !inner.contains(&b'\'') => Self::Single,
            [b'"', inner @ .., b'"'] if !inner.iter().any(|byte| b"\"\\".contains(byte)) => {
                Self::Double
            }
            _ => Self::None,
        }
    }
}

fn single(value: &[u8]) -> Result<Token, &'static str> {
    let quotes = Quotes::around(value);
    let bare = match quotes {
        Quotes::None => value,
        Quotes::Single | Quotes::Double => &value[1..value.len() - 1],
    };
    if bare.is_empty() {
        return Err("is set to nothing");
    }
    let token = std::str::from_utf8(bare)
        .ok()
        .and_then(|text| Token::try_new(text).ok());
    match token {
        Some(token) if quotes == Quotes::None && token.expose().contains('~') => {
            Err("has a `~` without quotes, which a shell may expand")
        }
        Some(token) => Ok(token),
        None => Err("is set to something that is no token"),
    }
}

fn write_value(out: &mut Vec<u8>, quotes: Quotes, token: &Token) {
    let quote: &[u8] = match quotes {
        Quotes::Single => b"'",
        Quotes::Double => b"\"",
        // Only quotes keep a shell from expanding it.
        Quotes::None if token.expose().contains('~') => b"\"",
        Quotes::None => b"",
    };
    out.extend_from_slice(quote);
    out.extend_from_slice(token.expose().as_bytes());
    out.extend_from_slice(quote);
}

/// The carriage return of the line end that follows a value. Before it are only blanks, and
/// backslashes that join lines.
fn carriage_return(text: &[u8], end: usize) -> Option<usize> {
    let mut at = end;
    loop {
        match text.get(at..).unwrap_or_default() {
            [b' ' | b'\t', ..] => at += 1,
            [b'\\', b'\n', ..] => at += 2,
            [b'\r', ..] => return Some(at),
            _ => return None,
        }
    }
}

fn append(out: &mut Vec<u8>, text: &[u8], key: &str, token: &Token) {
    let ended = text.is_empty() || text.ends_with(b"\n");
    out.extend_from_slice(text);
    if !ended {
        out.push(b'\n');
    }
    out.extend_from_slice(key.as_bytes());
    out.push(b'=');
    write_value(out, Quotes::None, token);
    if ended {
        out.push(b'\n');
    }
}
