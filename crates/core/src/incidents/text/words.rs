//! Lines, paragraphs and times as text.

use chrono::{DateTime, TimeDelta, Utc};

/// No line of a mail is longer.
const COLUMNS: usize = 76;

/// The text on one line, at most `longest` characters: without control characters, line ends or
/// marks that turn the direction of writing.
pub fn one_line(text: &str, longest: usize) -> String {
    // Zero-width characters and direction marks could make a line look like another one.
    let odd = |c: char| {
        c.is_control()
            || matches!(
                c,
                '\u{200b}'..='\u{200f}'
                    | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{2069}'
                    | '\u{feff}'
            )
    };
    let plain: String = text.chars().map(|c| if odd(c) { ' ' } else { c }).collect();
    let line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(longest) {
        // One character less than allowed, as the ellipsis takes its place.
        Some(_) => line
            .chars()
            .take(longest.saturating_sub(1))
            .chain(['…'])
            .collect(),
        None => line,
    }
}

/// Adds the text wrapped at 76 columns, every line after this indent; a text that begins with `- `
/// hangs by two more. What stands between backticks is a command to be copied and stays on one
/// line, as long as it fits on one at all.
pub fn paragraph(out: &mut String, indent: &str, text: &str) {
    // The lines of a list item are indented to where its text begins.
    let hang = if text.starts_with("- ") { "  " } else { "" };
    let (mut line, mut started) = (indent.to_owned(), false);
    let room = COLUMNS - indent.len() - hang.len();
    for word in pieces(text).iter().flat_map(|word| cut(word, room)) {
        let length = line.chars().count() + usize::from(started) + word.chars().count();
        if started && length > COLUMNS {
            out.push_str(&line);
            out.push('\n');
            line = format!("{indent}{hang}");
            started = false;
        }
        if started {
            line.push(' ');
        }
        line.push_str(&word);
        started = true;
    }
    // An empty text would leave the blanks of its indent.
    out.push_str(line.trim_end());
    out.push('\n');
}

/// The words of a text; a stretch between backticks is one.
fn pieces(text: &str) -> Vec<String> {
    let (mut pieces, mut piece, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        // A backtick opens and closes: blanks between two of them do not split.
        quoted ^= c == '`';
        if c.is_whitespace() && !quoted {
            pieces.extend((!piece.is_empty()).then(|| std::mem::take(&mut piece)));
        } else {
            piece.push(c);
        }
    }
    pieces.extend((!piece.is_empty()).then_some(piece));
    pieces
}

/// A word that is longer than a line, in parts: at its spaces if it has any, else where it must.
fn cut(word: &str, room: usize) -> Vec<String> {
    if word.chars().count() <= room {
        return vec![word.to_owned()];
    }
    let chop = |part: &str| {
        // By characters, because a part of one is not text.
        let chars: Vec<char> = part.chars().collect();
        chars
            .chunks(room)
            .map(|chunk| chunk.iter().collect())
            .collect::<Vec<String>>()
    };
    word.split_whitespace().flat_map(chop).collect()
}

/// `3 minutes ago`
pub fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if now - at < TimeDelta::seconds(1) {
        "just now".to_owned()
    } else {
        format!("{} ago", span(now - at))
    }
}

/// `in 3 minutes`
pub fn until(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if at - now < TimeDelta::seconds(1) {
        "at once".to_owned()
    } else {
        format!("in {}", span(at - now))
    }
}

/// `3 minutes`: the largest unit that fits, rounded down.
pub fn span(delta: TimeDelta) -> String {
    // Negative after the clock was set back.
    let seconds = delta.num_seconds().max(0);
    let (n, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        // Hours up to two days: "36 hours" says more than "1 day".
        3_600..172_800 => (seconds / 3_600, "hour"),
        172_800.. => (seconds / 86_400, "day"),
        // Cannot be after `max(0)`; the ranges must cover every number.
        ..0 => (0, "second"),
    };
    if n == 1 {
        format!("1 {unit}")
    } else {
        format!("{n} {unit}s")
    }
}
