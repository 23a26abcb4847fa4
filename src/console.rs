//! What commands return and print: exit codes, colours, errors and times.

use std::fmt::Display;
use std::future::Future;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use clap::ValueEnum;
use output::complain;
use rotator_policy::{Color, Loaded, PolicyErrors};

pub mod output;

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How a command prints what it found: `--json` asks for [`Format::Json`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people: tables and sentences, which may change between versions.
    Text,
    /// For programs: the views of `daemon/view.rs`, whose fields are a promise.
    Json,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command did what it was asked to.
    Done,
    /// Something is failing; the error is on stderr.
    Failing,
    /// The arguments are wrong.
    Usage,
    /// Another instance holds the state directory.
    Locked,
    /// The policy has errors.
    Policy,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failing => 1,
            Exit::Usage => 2,
            // EX_TEMPFAIL and EX_CONFIG of sysexits.h, so that a unit can name them in its
            // settings.
            Exit::Locked => 75,
            Exit::Policy => 78,
        })
    }
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Palette {
    /// With colours, as escape sequences of ANSI terminals.
    Colored,
    /// Without any escape sequence.
    Plain,
}

/// The meaning of a piece of text, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Something works, or has been done.
    Good,
    /// Something is under way, or worth a look.
    Busy,
    /// Something is wrong and needs attention.
    Bad,
    /// Less important, such as a time or a table's head.
    Dim,
    /// A heading, or a name that the eye should find.
    Strong,
}

impl Palette {
    /// The text in the colour of this tone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "31",
            Tone::Dim => "2",
            Tone::Strong => "1",
        };
        match self {
            Self::Colored => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

/// Standard output and standard error of a command.
pub struct Screen {
    out: Palette,
    err: Palette,
}

impl Screen {
    pub fn new(choice: ColorChoice) -> Self {
        let wanted = |is_terminal: bool| match choice {
            ColorChoice::Always => Palette::Colored,
            ColorChoice::Never => Palette::Plain,
            ColorChoice::Auto => {
                // An empty NO_COLOR counts as not set, as <https://no-color.org> has it.
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
                    || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                if is_terminal && !refused {
                    Palette::Colored
                } else {
                    Palette::Plain
                }
            }
        };
        Self {
            // Each for itself: one of the two may be redirected.
            out: wanted(std::io::stdout().is_terminal()),
            err: wanted(std::io::stderr().is_terminal()),
        }
    }

    /// Whether text on stdout is coloured.
    pub fn palette(&self) -> Palette {
        self.out
    }

    /// Prints to stdout. What cannot be written is told when the command ends, see [`finished`];
    /// a reader that has closed the pipe (`status | head`) is no error.
    pub fn print(&self, text: &str) {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        output::stdout(format!("{text}{end}").as_bytes());
    }

    /// Prints a view as JSON.
    pub fn json(&self, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value).expect("views are plain data");
        self.print(&text);
    }

    /// Prints an error to stderr.
    pub fn error(&self, error: impl Display) {
        complain(format!("{} {error}", self.err.paint(Tone::Bad, "error:")));
    }

    /// Prints a note to stderr.
    pub fn note(&self, note: impl Display) {
        complain(format!("{} {note}", self.err.paint(Tone::Busy, "note:")));
    }

    /// Prints the errors of a policy to stderr.
    pub fn policy_errors(&self, errors: &PolicyErrors) {
        complain(errors.render(self.color(), None).trim_end());
    }

    /// Prints the warnings of a policy that loads to stderr.
    pub fn policy_warnings(&self, loaded: &Loaded) {
        if !loaded.warnings.is_empty() {
            let warnings = rotator_policy::render(&loaded.warnings, self.color(), None);
            complain(warnings.trim_end());
        }
    }

    fn color(&self) -> Color {
        match self.err {
            Palette::Colored => Color::Always,
            Palette::Plain => Color::Never,
        }
    }
}

/// The exit code of a command that has ended so. Where its results could not be printed it has not
/// done what it was asked to; an exit code that says more stands.
pub fn finished(exit: Exit) -> Exit {
    let exit = match output::stdout_failed() {
        Some(why) => {
            complain(format!("error: {why}"));
            if exit == Exit::Done {
                Exit::Failing
            } else {
                exit
            }
        }
        None => exit,
    };
    output::flush_stderr(LAST_LINES);
    exit
}

/// How long the end of the process waits for a stderr that is not read.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Runs a future to completion on a runtime of its own.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    // One thread: a command waits for one thing after the other.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs only what every process has");
    runtime.block_on(work)
}

/// A time for people, in UTC to the second: `2026-11-22 03:30:00 UTC`.
pub fn stamp(at: DateTime<Utc>) -> String {
    at.format("%F %T UTC").to_string()
}

/// `in 6d 3h`, `2h 5m ago`, `now`
pub fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let gap = at - now;
    let length = length(gap.abs());
    // Seconds are the smallest unit that is shown.
    if gap.abs() < TimeDelta::seconds(1) {
        "now".to_owned()
    } else if gap > TimeDelta::zero() {
        format!("in {length}")
    } else {
        format!("{length} ago")
    }
}

/// `6d 3h`: the two largest units that are not zero.
fn length(gap: TimeDelta) -> String {
    let seconds = gap.num_seconds();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let Some(first) = units.iter().position(|(size, _)| seconds >= *size) else {
        return "0s".to_owned();
    };
    let (size, name) = units[first];
    let mut words = format!("{}{name}", seconds / size);
    if let Some((next_size, next_name)) = units.get(first + 1) {
        let rest = seconds % size / next_size;
        if rest > 0 {
            words.push_str(&format!(" {rest}{next_name}"));
        }
    }
    words
}

/// A table without the blanks at the ends of its lines, which scripts would have to cut off.
pub fn trim_lines(table: &str) -> String {
    table
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_at_a_glance() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for (seconds, words) in [
            (0, "now"),
            (59, "in 59s"),
            (-125, "2m 5s ago"),
            (7_200, "in 2h"),
            (-93_600, "1d 2h ago"),
            (14 * 86_400, "in 14d"),
        ] {
            assert_eq!(relative(now + TimeDelta::seconds(seconds), now), words);
        }
    }
}
