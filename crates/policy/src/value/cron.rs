//! Cron lines: five fields, or six with seconds first.
//!
//! `croner` takes more than is promised here (years, nicknames, names of months in the hour's
//! field, empty list entries that match nothing); that is refused first, so that a line means to
//! the daemon what it means to an operator. Time zones do not matter here: a line that comes due in
//! one does so in all.

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use rotator_core::config::CronExpr;
use rotator_core::span::quoted;

use super::{ValueError, ValueKind, kind};

/// A cron line that comes due.
pub(crate) const CRON: ValueKind<CronExpr> = kind("a cron line such as \"30 3 * * SUN\"", parse);

const HELP: &str = "write minute, hour, day of month, month, day of week: \"30 3 * * SUN\"; \
    a sixth field, seconds, may come first";

/// Nicknames of other cron programs, and the lines that they are short for. They are refused with
/// that line as help.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * SUN"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// In days: 400 years, after which the Gregorian calendar repeats itself, weekdays included.
const CALENDAR_CYCLE: usize = 146_097;

fn parse(text: &str) -> Result<CronExpr, ValueError> {
    let refuse = |message: String| ValueError::new(message).help(HELP.to_owned());
    if let Some((_, line)) = NICKNAMES
        .iter()
        .find(|(name, _)| text.trim().eq_ignore_ascii_case(name))
    {
        return Err(
            ValueError::new("a cron line has 5 or 6 fields").help(format!("write \"{line}\""))
        );
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    // Seconds may be left out; with them, every field has the same number.
    let first = match fields.len() {
        5 => 1,
        6 => 0,
        got => {
            return Err(refuse(format!(
                "a cron line has 5 or 6 fields, this has {got}"
            )));
        }
    };
    // Before `croner`, which takes more than is promised; see the head of this file.
    for (number, field) in (first..).zip(&fields) {
        check_field(number, field).map_err(refuse)?;
    }
    let mut fields: Vec<String> = fields.into_iter().map(str::to_owned).collect();
    if let Some(weekday) = fields.last_mut() {
        *weekday = sunday_is_zero(weekday);
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build();
    let cron = parser
        .parse(&fields.join(" "))
        .map_err(|error| refuse(plain(&error.to_string())))?;
    if !comes_due(&cron) {
        return Err(ValueError::new("this never comes due").help(
            "no day of the calendar fits day of month and month \
             (and, with a + before it, day of week)"
                .to_owned(),
        ));
    }
    Ok(CronExpr {
        text: text.to_owned(),
        cron,
    })
}

/// Sunday is 0 and 7, but `croner` knows `0L` and `0#2` alone: it refuses `7L`, and of `5,7L` it
/// loses the Sunday.
fn sunday_is_zero(weekday: &str) -> String {
    let (plus, list) = match weekday.strip_prefix('+') {
        Some(list) => ("+", list),
        None => ("", weekday),
    };
    let entries = list.split(',').map(|entry| match entry.strip_prefix('7') {
        Some(rest) if rest.starts_with(['L', 'l', '#']) => format!("0{rest}"),
        Some(_) | None => entry.to_owned(),
    });
    format!("{plus}{}", entries.collect::<Vec<_>>().join(","))
}

/// Refuses a field with a character that has no meaning in it. Fields are numbered from 0, the
/// seconds.
fn check_field(number: usize, field: &str) -> Result<(), String> {
    let (what, names, letters): (&str, &[&str], &str) = match number {
        0 => ("second", &[], ""),
        1 => ("minute", &[], ""),
        2 => ("hour", &[], ""),
        3 => ("day of month", &[], "LW?"),
        4 => ("month", &MONTHS, ""),
        _ => ("day of week", &WEEKDAYS, "L#?+"),
    };
    if field.split(',').any(str::is_empty) {
        return Err(format!("the {what} has an empty entry in its list"));
    }
    let upper = field.to_ascii_uppercase();
    // A name counts as a digit, so that only letters outside of names are refused.
    let left = names
        .iter()
        .fold(upper, |left, name| left.replace(name, "0"));
    let belongs = |c: char| c.is_ascii_digit() || "*/,-".contains(c) || letters.contains(c);
    match left.chars().all(belongs) {
        true => Ok(()),
        false => Err(format!("the {what} cannot be {}", quoted(field))),
    }
}

/// An error of `croner` as one of ours: `Component error: Step cannot be zero.` becomes `not a cron
/// line: step cannot be zero`.
fn plain(error: &str) -> String {
    let said = error
        .split_once(": ")
        .map_or(error, |(_, said)| said)
        .trim_end_matches('.');
    format!(
        "not a cron line: {}{}",
        said[..1].to_lowercase(),
        &said[1..]
    )
}

/// Whether the line fits any time at all. `croner` accepts `0 0 30 2 *`, the 30th of February.
fn comes_due(cron: &Cron) -> bool {
    let pattern = &cron.pattern;
    let time = (0..24).any(|hour| pattern.hour_match(hour).unwrap_or(false))
        && (0..60).any(|minute| pattern.minute_match(minute).unwrap_or(false))
        && (0..60).any(|second| pattern.second_match(second).unwrap_or(false));
    // Any day would do, as a whole cycle is looked through.
    let first = NaiveDate::from_ymd_opt(2024, 1, 1).expect("a date of the calendar");
    time && first.iter_days().take(CALENDAR_CYCLE).any(|day| {
        pattern.month_match(day.month()).unwrap_or(false)
            && pattern
                .day_match(day.year(), day.month(), day.day())
                .unwrap_or(false)
    })
}

/// The shortest of the next few times between occurrences, in UTC from a fixed day. An estimate: it
/// is used for warnings only.
pub(crate) fn shortest_gap(expr: &CronExpr) -> Option<Duration> {
    let mut at = DateTime::<Utc>::from_timestamp(1_704_067_200, 0).expect("2024-01-01 is a time");
    let mut gaps = Vec::new();
    for turn in 0..5 {
        let next = expr.cron.find_next_occurrence(&at, false).ok()?;
        // The first occurrence only starts the count: what is before it is not a whole gap.
        if turn > 0 {
            gaps.push((next - at).to_std().ok()?);
        }
        at = next;
    }
    gaps.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn next(text: &str) -> String {
        let expr = parse(text).unwrap();
        let from = "2026-11-22T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
        expr.cron
            .find_next_occurrence(&from, false)
            .unwrap()
            .to_rfc3339()
    }

    #[test]
    fn names_numbers_and_seconds_are_read() {
        for (text, due) in [
            ("30 3 * * SUN", "2026-11-22T03:30:00+00:00"),
            ("30 3 * * 0", "2026-11-22T03:30:00+00:00"),
            ("30 3 * * 7", "2026-11-22T03:30:00+00:00"),
            ("30 3 * * sun", "2026-11-22T03:30:00+00:00"),
            ("0 0 1 JAN *", "2027-01-01T00:00:00+00:00"),
            ("15 30 3 * * MON-FRI", "2026-11-23T03:30:15+00:00"),
            ("0 0 29 2 *", "2028-02-29T00:00:00+00:00"),
            ("*/20 * * * *", "2026-11-22T00:20:00+00:00"),
            ("0 12 * * FRI-SUN", "2026-11-22T12:00:00+00:00"),
        ] {
            assert_eq!(next(text), due, "{text}");
        }
    }

    #[test]
    fn seven_is_sunday_wherever_zero_is() {
        // From Sunday, 22 November 2026.
        for (text, zero) in [
            ("0 1 * * 7L", "0 1 * * 0L"),
            ("0 1 * * 5,7L", "0 1 * * 5,0L"),
            ("0 1 * * 7L,5", "0 1 * * 0L,5"),
            ("0 1 * * 7l", "0 1 * * SUNL"),
            ("0 1 * * 7#1", "0 1 * * 0#1"),
            ("0 1 * * 1,7#2", "0 1 * * 1,SUN#2"),
            ("0 1 1-7 * +7#1", "0 1 1-7 * +0#1"),
        ] {
            let dates = |text: &str| {
                let expr = parse(text).unwrap();
                let mut at = "2026-11-22T12:00:00Z".parse::<DateTime<Utc>>().unwrap();
                let mut dates = Vec::new();
                for _ in 0..8 {
                    at = expr.cron.find_next_occurrence(&at, false).unwrap();
                    dates.push(at);
                }
                dates
            };
            assert_eq!(dates(text), dates(zero), "{text}");
        }
        assert_eq!(next("0 1 * * 7L"), "2026-11-29T01:00:00+00:00");
        let sundays = parse("0 1 * * 5,7L").unwrap();
        let saturday = "2026-11-28T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
        let due = sundays.cron.find_next_occurrence(&saturday, false).unwrap();
        assert_eq!(due.to_rfc3339(), "2026-11-29T01:00:00+00:00");
    }

    #[test]
    fn what_is_no_cron_line_says_why() {
        for (text, why) in [
            ("", "a cron line has 5 or 6 fields, this has 0"),
            ("* * * *", "a cron line has 5 or 6 fields, this has 4"),
            (
                "0 0 0 1 1 * 2026",
                "a cron line has 5 or 6 fields, this has 7",
            ),
            ("@weekly", "a cron line has 5 or 6 fields"),
            ("60 * * * *", "not a cron line: number out of bounds"),
            ("0 24 * * *", "not a cron line: number out of bounds"),
            ("0 0 * * 8", "not a cron line: number out of bounds"),
            ("*/0 * * * *", "not a cron line: step cannot be zero"),
            ("0 JAN * * *", "the hour cannot be `JAN`"),
            ("0 , * * *", "the hour has an empty entry in its list"),
            ("0 0 30 2 *", "this never comes due"),
            ("0 0 31 APR,JUN,SEP,NOV *", "this never comes due"),
        ] {
            assert_eq!(
                parse(text).map(|_| ()).map_err(|refusal| refusal.message),
                Err(why.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_weekly_line_is_a_week_apart() {
        let gap = |text| shortest_gap(&parse(text).unwrap()).unwrap();
        assert_eq!(gap("30 3 * * SUN"), Duration::from_secs(7 * 86_400));
        assert_eq!(gap("0 3,4 * * *"), Duration::from_secs(3600));
        assert_eq!(gap("0 0 29 2 *"), Duration::from_secs(1461 * 86_400));
    }

    /// Cron lines, nearly cron lines, and any text.
    const LINES: &str = concat!(
        "[0-9*,/#LW?+@A-Z-]{1,4}( [0-9*,/#LWSUNJA?+-]{1,4}){4,5}",
        "|\\PC{0,30}"
    );

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in LINES) {
            if let Ok(expr) = parse(&text) {
                prop_assert!(comes_due(&expr.cron));
            }
        }
    }
}
