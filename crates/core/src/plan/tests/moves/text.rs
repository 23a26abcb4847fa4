//! A move as one line, and back.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Change, Flow, Move, SINKS, Said};
use crate::config::Foreign;
use crate::plan::tests::world::{Fault, Refusal};
use crate::span::{format_duration, parse_duration};

const REFUSALS: [(&str, Refusal); 5] = [
    ("not-done", Refusal::NotDone),
    ("no-answer", Refusal::NoAnswer),
    ("silent", Refusal::Silent),
    ("gone", Refusal::Gone),
    ("lies", Refusal::Lies),
];

const SAID: [(&str, Said); 4] = [
    ("held", Said::Held),
    ("oldest", Said::Oldest),
    ("odd", Said::Odd),
    ("nothing", Said::Nothing),
];

const FLOWS: [(&str, Flow); 4] = [
    ("pasted", Flow::Pasted),
    ("mended", Flow::Mended),
    ("hidden", Flow::Hidden),
    ("shown", Flow::Shown),
];

const FAULTS: [(&str, Fault); 7] = [
    ("before", Fault::Before),
    ("no-effect", Fault::NoEffect),
    ("no-answer", Fault::NoAnswer),
    ("denied", Fault::Denied),
    ("part", Fault::Part),
    ("crash-before", Fault::CrashBefore),
    ("crash-after", Fault::CrashAfter),
];

/// Written without blanks, so that it stays one word.
pub(in crate::plan::tests) fn span(duration: Duration) -> String {
    format_duration(duration).replace(' ', "")
}

pub(in crate::plan::tests) fn to_span(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| format!("`{text}`: {error}"))
}

fn word_of<T: PartialEq>(words: &[(&'static str, T)], wanted: &T) -> &'static str {
    words
        .iter()
        .find(|(_, it)| it == wanted)
        .map_or("?", |(word, _)| word)
}

fn by_word<T: Copy>(words: &[(&str, T)], wanted: &str) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == wanted);
    found.map(|(_, it)| *it).ok_or_else(|| {
        format!(
            "`{wanted}` is none of {:?}",
            words.iter().map(|entry| entry.0).collect::<Vec<_>>()
        )
    })
}

fn sink(name: &str) -> Result<&'static str, String> {
    SINKS
        .into_iter()
        .find(|known| *known == name)
        .ok_or_else(|| format!("`{name}` is none of {SINKS:?}"))
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(Fault::None) => write!(f, "step"),
            Self::Step(Fault::Late(by)) => write!(f, "step late {}", span(*by)),
            Self::Step(fault) => write!(f, "step {}", word_of(&FAULTS, fault)),
            Self::Pass => write!(f, "pass"),
            Self::Live(time) => write!(f, "live {}", span(*time)),
            Self::Next => write!(f, "next"),
            Self::Wait(time) => write!(f, "wait {}", span(*time)),
            Self::Crash => write!(f, "crash"),
            Self::Reboot => write!(f, "reboot"),
            Self::Refuse(sink, refusal) => {
                write!(f, "refuse {sink} {}", word_of(&REFUSALS, refusal))
            }
            Self::Accept(sink) => write!(f, "accept {sink}"),
            Self::Hide(sink) => write!(f, "hide {sink}"),
            Self::Show(sink) => write!(f, "show {sink}"),
            Self::Lose(sink) => write!(f, "lose {sink}"),
            Self::Overwrite(sink) => write!(f, "overwrite {sink}"),
            Self::Restore(sink) => write!(f, "restore {sink}"),
            Self::Touch(sink) => write!(f, "touch {sink}"),
            Self::Deafen(sink) => write!(f, "deafen {sink}"),
            Self::Hear(sink) => write!(f, "hear {sink}"),
            Self::Acknowledge(sink, said) => {
                write!(f, "acknowledge {sink} {}", word_of(&SAID, said))
            }
            Self::MintForeign => write!(f, "mint-foreign"),
            Self::MintSibling => write!(f, "mint-sibling"),
            Self::Flow(flow) => write!(f, "flow {}", word_of(&FLOWS, flow)),
            Self::Adopt => write!(f, "adopt"),
            Self::Disown => write!(f, "disown"),
            Self::RevokeOldest => write!(f, "revoke oldest"),
            Self::RevokeNewest => write!(f, "revoke newest"),
            Self::ClockAhead(by) => write!(f, "clock ahead {}", span(*by)),
            Self::ClockBack(by) => write!(f, "clock back {}", span(*by)),
            Self::ServerDown => write!(f, "server down"),
            Self::ServerUp => write!(f, "server up"),
            Self::OnePage => write!(f, "list one-page"),
            Self::WholeList => write!(f, "list whole"),
            Self::ChangePassword => write!(f, "password changed"),
            Self::TellPassword => write!(f, "password told"),
            Self::Ask => write!(f, "ask"),
            Self::Reload(change) => match change {
                Change::Nothing => write!(f, "reload nothing"),
                Change::Toggle(sink) => write!(f, "reload toggle {sink}"),
                Change::Demand(sink) => write!(f, "reload demand {sink}"),
                Change::Move(sink) => write!(f, "reload move {sink}"),
                Change::User => write!(f, "reload user"),
                Change::MaxAge(time) => write!(f, "reload max-age {}", span(*time)),
                Change::Overlap(time) => write!(f, "reload overlap {}", span(*time)),
                Change::MaxLive(count) => write!(f, "reload max-live {count}"),
                Change::Foreign(Foreign::Keep) => write!(f, "reload foreign keep"),
                Change::Foreign(Foreign::Adopt) => write!(f, "reload foreign adopt"),
            },
        }
    }
}

impl FromStr for Move {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["step"] => Self::Step(Fault::None),
            ["step", "late", by] => Self::Step(Fault::Late(to_span(by)?)),
            ["step", fault] => Self::Step(by_word(&FAULTS, fault)?),
            ["pass"] => Self::Pass,
            ["live", time] => Self::Live(to_span(time)?),
            ["next"] => Self::Next,
            ["wait", time] => Self::Wait(to_span(time)?),
            ["crash"] => Self::Crash,
            ["reboot"] => Self::Reboot,
            ["refuse", name, refusal] => Self::Refuse(sink(name)?, by_word(&REFUSALS, refusal)?),
            ["accept", name] => Self::Accept(sink(name)?),
            ["hide", name] => Self::Hide(sink(name)?),
            ["show", name] => Self::Show(sink(name)?),
            ["lose", name] => Self::Lose(sink(name)?),
            ["overwrite", name] => Self::Overwrite(sink(name)?),
            ["restore", name] => Self::Restore(sink(name)?),
            ["touch", name] => Self::Touch(sink(name)?),
            ["deafen", name] => Self::Deafen(sink(name)?),
            ["hear", name] => Self::Hear(sink(name)?),
            ["acknowledge", name, said] => Self::Acknowledge(sink(name)?, by_word(&SAID, said)?),
            ["mint-foreign"] => Self::MintForeign,
            ["mint-sibling"] => Self::MintSibling,
            ["flow", flow] => Self::Flow(by_word(&FLOWS, flow)?),
            ["adopt"] => Self::Adopt,
            ["disown"] => Self::Disown,
            ["revoke", "oldest"] => Self::RevokeOldest,
            ["revoke", "newest"] => Self::RevokeNewest,
            ["clock", "ahead", by] => Self::ClockAhead(to_span(by)?),
            ["clock", "back", by] => Self::ClockBack(to_span(by)?),
            ["server", "down"] => Self::ServerDown,
            ["server", "up"] => Self::ServerUp,
            ["list", "one-page"] => Self::OnePage,
            ["list", "whole"] => Self::WholeList,
            ["password", "changed"] => Self::ChangePassword,
            ["password", "told"] => Self::TellPassword,
            ["ask"] => Self::Ask,
            ["reload", change @ ..] => Self::Reload(match change {
                ["nothing"] => Change::Nothing,
                ["toggle", name] => Change::Toggle(sink(name)?),
                ["demand", name] => Change::Demand(sink(name)?),
                ["move", name] => Change::Move(sink(name)?),
                ["user"] => Change::User,
                ["max-age", time] => Change::MaxAge(to_span(time)?),
                ["overlap", time] => Change::Overlap(to_span(time)?),
                ["max-live", count] => Change::MaxLive(
                    count
                        .parse()
                        .map_err(|_| format!("`{count}` is no number"))?,
                ),
                ["foreign", "keep"] => Change::Foreign(Foreign::Keep),
                ["foreign", "adopt"] => Change::Foreign(Foreign::Adopt),
                _ => {
                    return Err(format!(
                        "`{line}` is no change of the policy: see moves/text.rs"
                    ));
                }
            }),
            _ => return Err(format!("`{line}` is no move: see moves/text.rs")),
        })
    }
}
