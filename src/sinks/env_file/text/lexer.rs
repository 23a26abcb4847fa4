//! Finds where a key's values are in an env-file, for a shell and for systemd at once.
//!
//! The two read the same file by different rules. A shell knows quotes anywhere, comments after a
//! value, several commands in a line; systemd knows quotes only where a value begins, and takes the
//! rest of the line for the value. This scanner walks along both at the same time. As long as they
//! agree on where each line ends and which lines assign the key, it goes on; where they part, it
//! refuses, with the line and what to change.
//!
//! What it does not understand, and so refuses where it could matter: here-documents, expansions
//! over several lines or with quotes in them. What it cannot see: assignments made by commands that
//! the file runs, or by files that it sources.

use std::ops::Range;

use super::{LARGEST, TextError};

const LONE_CR: &str =
    "a carriage return without a line feed: readers differ on whether it ends the line";
const FOLLOWED: &str = "something follows the value, a comment to a shell and part of the value to systemd: \
                        keep nothing but one plain value on this line";
const INSIDE: &str =
    "the key is set or added to in the middle of a line: give it a line of its own, as KEY=value";
const OPEN_QUOTE: &str = "a quote is opened and not closed";
const STRAY_QUOTE: &str = "a quote opened in the middle of a value does not close in its line: readers differ on \
                           where the value ends; quote the whole value";
const EARLY_QUOTE: &str =
    "quotes or backslashes before the `=`: readers differ on what is assigned";
const OPEN_EXPANSION: &str = "a `$(`, `${` or backtick that does not close in its line, or has quotes in it: only a shell \
                              can tell where it ends";
const HERE_DOCUMENT: &str = "`<<` begins a here-document to a shell: quote the value";
const LAST_BACKSLASH: &str = "a backslash at the end of the file";
const BACKSLASH_CR: &str = "a backslash before a line end with carriage return: readers differ on whether the line goes on";
const BACKSLASH_BLANK: &str = "a blank before the backslash that ends the line: part of the value to systemd, not to a \
                               shell; take both out";
const BACKSLASH_COMMAND: &str =
    "a line without `=` goes on after a backslash: readers differ on whether it does";
const BACKSLASH_COMMENT: &str =
    "a comment ends with a backslash: older systemd takes the next line for comment, too";

/// Where the values of `key` are, in order: from right after the `=` to the end of the last word.
pub(super) fn values(text: &[u8], key: &str) -> Result<Vec<Range<usize>>, TextError> {
    if text.len() > LARGEST {
        return Err(TextError::TooLarge);
    }
    let mut scanner = Scanner {
        text,
        key: key.as_bytes(),
        at: 0,
    };
    if let Some(at) = text.iter().position(|byte| *byte == 0) {
        return Err(TextError::Nul {
            line: scanner.line(at),
        });
    }
    if let Some(at) =
        (0..text.len()).find(|at| text[*at] == b'\r' && text.get(at + 1) != Some(&b'\n'))
    {
        return Err(scanner.unclear(at, LONE_CR));
    }
    let mut found = Vec::new();
    while scanner.at < text.len() {
        found.extend(scanner.statement()?);
    }
    Ok(found)
}

struct Scanner<'a> {
    text: &'a [u8],
    key: &'a [u8],
    at: usize,
}

/// What systemd makes of a quote here. To a shell each of them opens one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum QuotePosition {
    /// No value yet, or right after a closing quote: it opens one.
    Start,
    /// Amid other text: it is a character like any other.
    Amid,
}

/// The smallest things that both readers tell apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// Of the line or of the text.
    End,
    Blank,
    /// A backslash and a line end, which count as nothing.
    Joint,
    Quoted,
    /// Ends a word of a shell.
    Operator,
    Plain,
}

impl<'a> Scanner<'a> {
    /// One line, with all lines that continue it. Gives the value if it assigns the key.
    fn statement(&mut self) -> Result<Option<Range<usize>>, TextError> {
        self.skip_blanks();
        let value = match self.peek() {
            None | Some(b'\n' | b'\r') => None,
            Some(b'#' | b';') => {
                self.comment()?;
                None
            }
            Some(_) => match self.value_start() {
                Some(start) => Some(self.our_value(start)?),
                None => {
                    self.other()?;
                    None
                }
            },
        };
        // Past the line end, which no piece includes.
        self.at = (self.at..self.text.len())
            .find(|at| self.text[*at] == b'\n')
            .map_or(self.text.len(), |at| at + 1);
        Ok(value)
    }

    /// Where the value begins if this line is `KEY=` or `export KEY=`. Blanks before the `=` count,
    /// for systemd reads over them.
    fn value_start(&self) -> Option<usize> {
        let rest = &self.text[self.at..];
        let name = match rest.strip_prefix(b"export") {
            Some(after) if after.first().is_some_and(is_blank) => without_blanks(after),
            Some(_) | None => rest,
        };
        let after = name.strip_prefix(self.key)?;
        let value = without_blanks(after).strip_prefix(b"=")?;
        Some(self.text.len() - value.len())
    }

    fn our_value(&mut self, start: usize) -> Result<Range<usize>, TextError> {
        self.at = start;
        self.skip_blanks();
        let mut after_blank = self.at > start;
        let mut begun = false;
        let mut end = start;
        let mut place = QuotePosition::Start;
        loop {
            let before = self.at;
            if after_blank && self.peek() == Some(b'#') {
                return Err(self.unclear(before, FOLLOWED));
            }
            match self.piece(place)? {
                Piece::End => return Ok(start..end),
                Piece::Blank => after_blank = true,
                Piece::Joint if after_blank => return Err(self.unclear(before, BACKSLASH_BLANK)),
                Piece::Joint => place = QuotePosition::Amid,
                Piece::Operator => return Err(self.unclear(before, FOLLOWED)),
                Piece::Quoted | Piece::Plain if begun && after_blank => {
                    return Err(self.unclear(before, FOLLOWED));
                }
                piece @ (Piece::Quoted | Piece::Plain) => {
                    (begun, after_blank, end) = (true, false, self.at);
                    if piece == Piece::Plain {
                        place = QuotePosition::Amid;
                    }
                }
            }
        }
    }

    /// A line that does not begin by assigning the key. It must not do so further on either.
    fn other(&mut self) -> Result<(), TextError> {
        let start = self.at;
        let mut before_equals = true;
        let mut word_start = true;
        let mut place = QuotePosition::Amid;
        loop {
            let before = self.at;
            if word_start {
                if self.peek() == Some(b'#') {
                    // A shell's comment, but systemd may find a value in it.
                    if before_equals && self.rest_of_line(before).contains(&b'=') {
                        return Err(self.unclear(before, EARLY_QUOTE));
                    }
                    return self.comment();
                }
                if self.sets_key_at(before) {
                    return Err(self.unclear(before, INSIDE));
                }
            }
            let piece = self.piece(place)?;
            match piece {
                Piece::End => return Ok(()),
                Piece::Blank => word_start = true,
                Piece::Joint if before_equals => {
                    return Err(self.unclear(before, BACKSLASH_COMMAND));
                }
                Piece::Joint => place = QuotePosition::Amid,
                Piece::Operator => {
                    word_start = true;
                    place = QuotePosition::Amid;
                }
                Piece::Quoted | Piece::Plain => {
                    word_start = false;
                    let first = self.text[before];
                    if before_equals
                        && b"\"'\\".contains(&first)
                        && self.rest_of_line(before).contains(&b'=')
                    {
                        return Err(self.unclear(before, EARLY_QUOTE));
                    }
                    // To systemd an `=` that begins a line is part of the name.
                    if before_equals && first == b'=' && before > start {
                        before_equals = false;
                        place = QuotePosition::Start;
                    } else if piece == Piece::Plain {
                        place = QuotePosition::Amid;
                    }
                }
            }
        }
    }

    /// Whether a shell would find the key set or added to in the word that begins here.
    fn sets_key_at(&self, at: usize) -> bool {
        let word = &self.text[at..];
        let word = word
            .strip_prefix(b"\"")
            .or(word.strip_prefix(b"'"))
            .unwrap_or(word);
        word.strip_prefix(self.key)
            .is_some_and(|rest| rest.starts_with(b"=") || rest.starts_with(b"+="))
    }

    fn comment(&mut self) -> Result<(), TextError> {
        let comment = self.rest_of_line(self.at);
        if comment.ends_with(b"\\") {
            return Err(self.unclear(self.at, BACKSLASH_COMMENT));
        }
        self.at += comment.len();
        Ok(())
    }

    /// Reads one piece and moves past it, but not past an end.
    fn piece(&mut self, place: QuotePosition) -> Result<Piece, TextError> {
        let Some(byte) = self.peek() else {
            return Ok(Piece::End);
        };
        let next = self.text.get(self.at + 1).copied();
        let (piece, length) = match (byte, next) {
            // A carriage return is part of a line end here: `values` has refused any other.
            (b'\n' | b'\r', _) => (Piece::End, 0),
            (b' ' | b'\t', _) => (Piece::Blank, 1),
            (b'\\', None) => return Err(self.unclear(self.at, LAST_BACKSLASH)),
            (b'\\', Some(b'\r')) => return Err(self.unclear(self.at, BACKSLASH_CR)),
            (b'\\', Some(b'\n')) if self.at + 2 == self.text.len() => {
                return Err(self.unclear(self.at, LAST_BACKSLASH));
            }
            (b'\\', Some(b'\n')) => (Piece::Joint, 2),
            (b'\\', Some(_)) => (Piece::Plain, 2),
            (b'\'' | b'"', _) => (Piece::Quoted, self.quoted(byte, place)?),
            (b'$', Some(b'(')) => (Piece::Plain, self.expansion(2, b')')?),
            (b'$', Some(b'{')) => (Piece::Plain, self.expansion(2, b'}')?),
            (b'`', _) => (Piece::Plain, self.expansion(1, b'`')?),
            (b'<', Some(b'<')) => return Err(self.unclear(self.at, HERE_DOCUMENT)),
            (b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')', _) => (Piece::Operator, 1),
            (_, _) => (Piece::Plain, 1),
        };
        self.at += length;
        Ok(piece)
    }

    /// The length of what is in quotes from here, both of them included.
    fn quoted(&self, quote: u8, place: QuotePosition) -> Result<usize, TextError> {
        let mut inside = Scanner {
            at: self.at + 1,
            ..*self
        };
        loop {
            let next = self.text.get(inside.at + 1).copied();
            match (inside.peek(), next) {
                (None, _) => return Err(self.unclear(self.at, OPEN_QUOTE)),
                (Some(byte), _) if byte == quote => return Ok(inside.at + 1 - self.at),
                // To a shell the quote goes on over line ends, to systemd one in the middle of a
                // value does not.
                (Some(b'\n'), _) if place == QuotePosition::Amid => {
                    return Err(self.unclear(self.at, STRAY_QUOTE));
                }
                (Some(b'\\'), Some(b'\n')) if quote == b'"' && place == QuotePosition::Amid => {
                    return Err(self.unclear(self.at, STRAY_QUOTE));
                }
                (Some(b'\\'), _) if quote == b'"' => inside.at += 2,
                // A shell expands inside double quotes as well.
                (Some(b'$'), Some(b'(')) if quote == b'"' => {
                    inside.at += inside.expansion(2, b')')?
                }
                (Some(b'$'), Some(b'{')) if quote == b'"' => {
                    inside.at += inside.expansion(2, b'}')?
                }
                (Some(b'`'), _) if quote == b'"' => inside.at += inside.expansion(1, b'`')?,
                (Some(_), _) => inside.at += 1,
            }
        }
    }

    /// The length of an expansion from here, if it is one that cannot hide the end of a line.
    fn expansion(&self, opening: usize, close: u8) -> Result<usize, TextError> {
        let inner = &self.rest_of_line(self.at)[opening..];
        let length = inner.iter().position(|byte| *byte == close);
        match length {
            Some(length) if !inner[..length].iter().any(|byte| b"\"'\\".contains(byte)) => {
                Ok(opening + length + 1)
            }
            Some(_) | None => Err(self.unclear(self.at, OPEN_EXPANSION)),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - without_blanks(&self.text[self.at..]).len();
    }

    /// Without its line end.
    fn rest_of_line(&self, at: usize) -> &'a [u8] {
        let rest = &self.text[at..];
        let length = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
        let line = &rest[..length];
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text[..at]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
    }

    fn unclear(&self, at: usize, why: &'static str) -> TextError {
        TextError::Unclear {
            line: self.line(at),
            why,
        }
    }
}

fn without_blanks(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|byte| is_blank(byte)).count()..]
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
