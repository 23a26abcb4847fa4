//! Finds a known secret in a text that echoes it, however each of its characters is written.
//!
//! A server that repeats the request may repeat it raw, percent-encoded, JSON-escaped, HTML-escaped
//! or in any mixture, so the secret is matched character by character, each in all of its
//! spellings.

use super::redact_runs;

/// A secret's beginning at the end of a text is the secret, cut: from this many characters on.
// Fewer would take out ordinary words that begin like the secret.
const TELLING: usize = 4;

/// Replaces each of the secrets, none of them empty, wherever it stands.
pub fn redact(text: &str, secrets: &[&str]) -> String {
    redact_runs(text, |rest| {
        secrets.iter().find_map(|secret| echo_len(rest, secret))
    })
}

/// How many bytes at the start of `text` spell the secret, or its beginning where the text ends.
fn echo_len(text: &str, secret: &str) -> Option<usize> {
    // `%25` may spell one character of the secret or three: every reading is followed.
    let mut ends = vec![0];
    let mut cut = false;
    for (matched, c) in secret.chars().enumerate() {
        cut |= matched >= TELLING && ends.iter().any(|end| is_cut(&text[*end..]));
        ends = ends
            .iter()
            .flat_map(|end| spellings(&text[*end..], c).map(move |len| end + len))
            .collect();
        // Readings that meet go on as one, or their number could double with each character.
        ends.dedup();
        if ends.is_empty() {
            return cut.then_some(text.len());
        }
    }
    // The longest reading: a shorter one would leave a piece of the secret behind.
    ends.into_iter().max()
}

/// Whether the text ends here, or in the midst of an escape or of a character.
fn is_cut(rest: &str) -> bool {
    rest.is_empty() || (rest.len() < 12 && rest.starts_with(['%', '\\', '&', '\u{fffd}']))
}

/// How many bytes at the start of `text` spell this character, in each way they can be read.
fn spellings(text: &str, c: char) -> impl Iterator<Item = usize> {
    let raw = text.starts_with(c).then_some(c.len_utf8());
    let escaped = match text.as_bytes().first() {
        Some(b'%') => percent_len(text, c, "%"),
        Some(b'+') if c == ' ' => Some(1),
        Some(b'\\') => json_len(text, c),
        Some(b'&') => html_len(text, c),
        Some(_) | None => None,
    };
    // A gateway that encodes the address it was sent encodes the percent signs of it once more.
    let twice = percent_len(text, c, "%25");
    raw.into_iter().chain(escaped).chain(twice)
}

fn percent_len(text: &str, c: char, percent: &str) -> Option<usize> {
    let mut buffer = [0; 4];
    let bytes = c.encode_utf8(&mut buffer).bytes();
    let encoded: String = bytes.map(|byte| format!("{percent}{byte:02x}")).collect();
    starts_with_any_case(text, &encoded).then_some(encoded.len())
}

fn json_len(text: &str, c: char) -> Option<usize> {
    let short = match c {
        '"' | '\\' | '/' => Some(c),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        _ => None,
    };
    if short.is_some_and(|short| text[1..].starts_with(short)) {
        return Some(2);
    }
    let mut buffer = [0; 2];
    let units = c.encode_utf16(&mut buffer).iter();
    let encoded: String = units.map(|unit| format!("\\u{unit:04x}")).collect();
    starts_with_any_case(text, &encoded).then_some(encoded.len())
}

fn html_len(text: &str, c: char) -> Option<usize> {
    let named = match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\'' => "&apos;",
        _ => "",
    };
    let code = u32::from(c);
    let spellings = [
        named.to_owned(),
        format!("&#{code};"),
        format!("&#x{code:x};"),
        format!("&#0{code};"),
    ];
    let spelled = |spelling: &&String| !spelling.is_empty() && starts_with_any_case(text, spelling);
    spellings.iter().find(spelled).map(String::len)
}

fn starts_with_any_case(text: &str, ascii: &str) -> bool {
    // On bytes: a `str` cannot be cut in the midst of a character.
    text.as_bytes()
        .get(..ascii.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(ascii.as_bytes()))
}
