//! The last gate before a foreign text enters an error, a log line or a mail.
//!
//! What a server, a library or a command says is cut to one short line, and everything that is or
//! looks like a secret is blotted out: the secrets of the very call in whatever encoding they are
//! echoed, and by their look tokens, JWTs and the queries of URLs. What this file does not know:
//! secrets of other calls that do not look like one, and encodings such as base64 of a known one
//! unless they are handed to it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::zeroize::Zeroizing;

mod encodings;

/// Stands where something was taken out.
pub const BLOT: &str = "[redacted]";

/// A [`line`] is cut to this many characters.
pub const MAX_SAID: usize = 200;

/// A foreign text in one line of at most 200 characters, blotted.
pub fn line(text: &str, secrets: &[&str]) -> String {
    let longest_first = {
        let mut secrets: Vec<&str> = secrets
            .iter()
            .copied()
            // An empty one would match at every place without ever moving on.
            .filter(|secret| !secret.is_empty())
            .collect();
        // One that is part of another, taken out first, would leave the rest of the longer one.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    };
    // Once as it came, for a secret with white space in it, and once more after control characters
    // are gone, for one that was broken up by them.
    let blotted = encodings::redact(text, &longest_first);
    let blotted = encodings::redact(&plain(&blotted, usize::MAX), &longest_first);
    let words: Vec<String> = blotted.split(' ').map(redact_by_shape).collect();
    // Cut last: half of a secret would not be found any more.
    cut(&words.join(" "), MAX_SAID)
}

/// How a program may print a secret that it was given or has read, besides as it is: in base64 of
/// either kind, and in hex.
pub fn encoded(secret: &str) -> [Zeroizing<String>; 4] {
    [
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ]
    .map(Zeroizing::new)
}

/// Without control and invisible formatting characters, white space collapsed, cut to `max`
/// characters.
pub fn plain(text: &str, max: usize) -> String {
    let visible: String = text
        .chars()
        // First, as a line end is a control character too: dropped, it would join two words.
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !is_formatting(*c))
        .collect();
    let words: Vec<&str> = visible.split(' ').filter(|word| !word.is_empty()).collect();
    cut(&words.join(" "), max)
}

/// Characters that turn, hide or join what stands around them on a terminal.
fn is_formatting(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => text
            .chars()
            .take(max.saturating_sub(1))
            .chain(['…'])
            .collect(),
    }
}

/// Blots what looks like a secret in one word.
fn redact_by_shape(word: &str) -> String {
    let word = match word.split_once('?') {
        // A question mark in plain text has no `=` behind it.
        Some((before, query)) if query.contains('=') => format!("{before}?{BLOT}"),
        Some(_) | None => word.to_owned(),
    };
    redact_runs(&redact_runs(&word, jwt_len), token_len)
}

/// Replaces every run whose length `len_at` tells for the rest of the text that begins there.
fn redact_runs(text: &str, len_at: impl Fn(&str) -> Option<usize>) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = match len_at(rest) {
            Some(len) => {
                clean.push_str(BLOT);
                len
            }
            None => {
                clean.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[len..];
    }
    clean
}

/// `eyJ…`: how base64url writes the `{"` that every JWT begins with.
fn jwt_len(rest: &str) -> Option<usize> {
    let len = rest
        .bytes()
        .take_while(|b| b.is_ascii_alphanumeric() || b"-_.=".contains(b))
        .count();
    (rest.starts_with("eyJ") && len >= 12).then_some(len)
}

/// `aws80:c2353445-bc74-af1a-2850-1d55a371c0a9`, the colon possibly percent-encoded.
fn token_len(rest: &str) -> Option<usize> {
    let head = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let after = &rest[head..];
    let colon = [":", "%3A", "%3a"]
        .into_iter()
        .find(|colon| after.starts_with(colon))?
        .len();
    let tail = after[colon..]
        .bytes()
        .take_while(|b| b.is_ascii_hexdigit() || *b == b'-')
        .count();
    let dashes = after[colon..colon + tail]
        .bytes()
        .filter(|b| *b == b'-')
        .count();
    // Long and with dashes, as a UUID is: a port or a time of day is left alone.
    (head > 0 && tail >= 20 && dashes >= 2).then_some(head + colon + tail)
}
