//! What is printed: append-only lines of at most 80 columns, each with the time since the
//! beginning.
//!
//! Lines reach it from several sources that are looked at in turn, so it holds them for a moment
//! and prints them in the order in which things happened. Keeps all that was printed, to be
//! searched for secrets like any log.

use std::io::Write;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::console::{Palette, Tone};

/// The widest line, unless a single word is longer.
const WIDTH: usize = 80;
/// Columns of the time, and of the account after it.
const TIME: usize = 8;
const ACCOUNT: usize = 13;
/// How long a line is held, in case one from before it is still to come.
const HOLD: TimeDelta = TimeDelta::milliseconds(250);

/// One thing that happened.
pub struct TimelineEntry {
    pub at: DateTime<Utc>,
    /// The account, or the source such as `mail`; empty for what the demo itself does.
    pub who: String,
    pub tone: Tone,
    pub text: String,
}

/// Collects and prints the lines of the story.
pub struct Timeline {
    palette: Palette,
    clock: Clock,
    began: DateTime<Utc>,
    held: Vec<TimelineEntry>,
    out: Box<dyn Write + Send>,
    printed: String,
    unheard: bool,
}

impl Timeline {
    /// Prints to stdout; the times count from now.
    pub fn new(palette: Palette) -> Self {
        Self::onto(Box::new(std::io::stdout()), palette)
    }

    fn onto(out: Box<dyn Write + Send>, palette: Palette) -> Self {
        let clock = Clock::system();
        let began = clock.now();
        Self {
            palette,
            clock,
            began,
            held: Vec::new(),
            out,
            printed: String::new(),
            unheard: false,
        }
    }

    pub fn palette(&self) -> Palette {
        self.palette
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Whether stdout is closed, as by `demo | head`.
    pub fn is_unheard(&self) -> bool {
        self.unheard
    }

    /// All that was printed, without colours.
    pub fn printed(&self) -> &str {
        &self.printed
    }

    /// Takes in something that happened; it is printed in its place.
    pub fn tell(&mut self, line: TimelineEntry) {
        self.held.push(line);
    }

    /// The same, happening now.
    pub fn tell_now(&mut self, who: &str, tone: Tone, text: &str) {
        let at = self.clock.now();
        self.tell(TimelineEntry {
            at,
            who: who.to_owned(),
            tone,
            text: text.to_owned(),
        });
    }

    /// Prints what has been held long enough.
    pub fn settle(&mut self) {
        self.print_until(self.clock.now() - HOLD);
    }

    /// Prints everything that is held.
    pub fn flush(&mut self) {
        self.print_until(DateTime::<Utc>::MAX_UTC);
    }

    /// A heading, with room before it.
    pub fn heading(&mut self, text: &str) {
        self.flush();
        self.blank();
        self.paragraph(Tone::Strong, "", text);
    }

    /// An empty line, unless the last one was empty.
    pub fn blank(&mut self) {
        self.put("", "");
    }

    /// A paragraph between the lines.
    pub fn say(&mut self, text: &str) {
        self.flush();
        for line in wrap(text, WIDTH) {
            self.put(&line, &line);
        }
    }

    /// One sentence in this tone, such as the result.
    pub fn verdict(&mut self, tone: Tone, text: &str) {
        self.paragraph(tone, "", text);
    }

    /// Text that is not ours to wrap, such as a policy or what a command printed. Each line is
    /// indented, and may hold colours already.
    pub fn quote(&mut self, text: &str) {
        self.flush();
        for line in text.lines() {
            let plain = without_colors(line);
            let (plain, shown) = if line.is_empty() {
                (plain, String::new())
            } else {
                (format!("  {plain}"), format!("  {line}"))
            };
            // Counted without colours, which take no columns.
            if plain.chars().count() <= WIDTH {
                self.put(&plain, &shown);
            } else {
                // A line that has to be broken loses its colours: a break could cut a sequence in
                // two.
                for part in wrap(plain.trim_start(), WIDTH - 4) {
                    let part = format!("    {part}");
                    self.put(&part, &part);
                }
            }
        }
    }

    /// One thing that was checked, and what was found.
    pub fn check(&mut self, passed: bool, what: &str, found: &str) {
        self.flush();
        // Words where there are no colours: such output goes into files and logs.
        let (mark, tone) = match (passed, self.palette) {
            (true, Palette::Colored) => ("✓  ", Tone::Good),
            (false, Palette::Colored) => ("✗  ", Tone::Bad),
            (true, Palette::Plain) => ("ok      ", Tone::Good),
            (false, Palette::Plain) => ("FAILED  ", Tone::Bad),
        };
        let shown = format!(
            "{}{}",
            self.palette.paint(tone, mark),
            self.palette.paint(Tone::Strong, what)
        );
        self.put(&format!("{mark}{what}"), &shown);
        let tone = if passed { Tone::Dim } else { Tone::Bad };
        self.paragraph(tone, &" ".repeat(mark.chars().count()), found);
    }

    fn print_until(&mut self, until: DateTime<Utc>) {
        // A stable sort: lines of one instant keep the order in which they were read.
        self.held.sort_by_key(|line| line.at);
        let ripe = self.held.partition_point(|line| line.at <= until);
        let ripe: Vec<TimelineEntry> = self.held.drain(..ripe).collect();
        for TimelineEntry {
            at,
            who,
            tone,
            text,
        } in ripe
        {
            let seconds = (at - self.began).num_milliseconds() as f64 / 1000.0;
            let account = if who.is_empty() { 0 } else { ACCOUNT };
            // Padded before it is coloured, because escape sequences would count as columns.
            let mut head = format!("{:<TIME$}{who:<account$}", format!("{seconds:>5.1}s"));
            for part in wrap(&text, WIDTH - TIME - account) {
                let shown = format!(
                    "{}{}",
                    self.palette.paint(Tone::Dim, &head),
                    self.palette.paint(tone, &part)
                );
                self.put(&format!("{head}{part}"), &shown);
                head = " ".repeat(TIME + account);
            }
        }
    }

    fn paragraph(&mut self, tone: Tone, indent: &str, text: &str) {
        self.flush();
        for part in wrap(text, WIDTH - indent.len()) {
            let shown = format!("{indent}{}", self.palette.paint(tone, &part));
            self.put(&format!("{indent}{part}"), &shown);
        }
    }

    fn put(&mut self, plain: &str, shown: &str) {
        // Callers ask for an empty line on both sides, and two in a row would look like an error.
        if plain.is_empty() && (self.printed.is_empty() || self.printed.ends_with("\n\n")) {
            return;
        }
        // Kept even if stdout is closed: the search for secrets looks at all of it.
        self.printed.push_str(plain);
        self.printed.push('\n');
        let written = writeln!(self.out, "{}", shown.trim_end()).and_then(|()| self.out.flush());
        // Remembered and not returned: the story ends at its next look, where the daemon is
        // stopped.
        self.unheard |= written.is_err();
    }
}

/// The number with commas: `14,335`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Breaks a text at spaces; a word that is too long by itself stays whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines
            .last_mut()
            .expect("it begins with one and never loses any");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// The text without the sequences of [`Palette::paint`].
fn without_colors(text: &str) -> String {
    let mut plain = String::new();
    for (number, part) in text.split("\x1b[").enumerate() {
        plain.push_str(if number == 0 {
            part
        } else {
            part.split_once('m').map_or("", |(_, rest)| rest)
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_breaks_at_spaces_and_nowhere_else() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(
            wrap("ünïcödé is one column each", 12),
            ["ünïcödé is", "one column", "each"]
        );
        assert_eq!(wrap("unbreakable it", 5), ["unbreakable", "it"]);
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(
            [7, 999, 1_000, 1_234_567].map(grouped),
            ["7", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn colors_take_no_columns() {
        let painted = format!("a {} b", Palette::Colored.paint(Tone::Good, "green"));
        assert_eq!(without_colors(&painted), "a green b");
    }

    #[test]
    fn lines_come_in_the_order_in_which_things_happened() {
        let mut timeline = Timeline::onto(Box::new(std::io::sink()), Palette::Plain);
        let began = timeline.began;
        for (seconds, text) in [(9, "last"), (2, "first"), (5, "middle")] {
            let at = began + TimeDelta::seconds(seconds);
            timeline.tell(TimelineEntry {
                at,
                who: "sales-ivr".to_owned(),
                tone: Tone::Good,
                text: text.to_owned(),
            });
        }
        timeline.settle();
        assert_eq!(
            timeline.printed(),
            "",
            "what may still be overtaken is held"
        );
        timeline.flush();
        let heads: Vec<&str> = timeline.printed().lines().map(|line| &line[..6]).collect();
        assert_eq!(heads, ["  2.0s", "  5.0s", "  9.0s"]);
    }
}
