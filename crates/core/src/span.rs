//! Durations as an operator writes them: `"500ms"`, `"36h"`, `"1d 12h"`.
//!
//! Whole numbers with a unit each, the units ms, s, m, h, d (24 h) and w (7 d), each at most once,
//! with or without blanks between the parts. Knows no calendar: a day is always 24 hours.

use std::time::Duration;

/// Units and their milliseconds, the largest first.
const UNITS: [(&str, u64); 6] = [
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// What people write for a unit, and which it is.
const OTHER_NAMES: [(&str, &[&str]); 6] = [
    ("w", &["wk", "week", "weeks"]),
    ("d", &["day", "days"]),
    ("h", &["hr", "hrs", "hour", "hours"]),
    ("m", &["min", "mins", "minute", "minutes"]),
    ("s", &["sec", "secs", "second", "seconds"]),
    (
        "ms",
        &["msec", "milli", "millis", "millisecond", "milliseconds"],
    ),
];

/// The longest, in milliseconds: a hundred years. Times stay within what a calendar can reckon.
const LONGEST: u64 = 36_525 * 86_400_000;

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DurationError {
    /// What is wrong with it.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl DurationError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }

    fn help(mut self, help: String) -> Self {
        self.help = Some(help);
        self
    }
}

/// Writes a duration as [`parse_duration`] reads it; what is less than a millisecond is left out.
pub fn format_duration(duration: Duration) -> String {
    // A duration beyond `u64` milliseconds cannot be written in a policy at all.
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    // Weeks are for reading only: "14d" is what people say.
    for (unit, millis) in UNITS.into_iter().skip(1) {
        if rest >= millis {
            parts.push(format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// Reads `"1d 12h"` and the like, up to a hundred years.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(DurationError::new("empty")
            .help("write a duration such as \"30s\" or \"1d 12h\"".to_owned()));
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, unit, after) = part(rest)?;
        let (name, millis) = known_unit(number, unit)?;
        // A unit written twice is a slip more often than a sum.
        if seen.contains(&name) {
            return Err(
                DurationError::new(format!("the unit `{name}` stands twice"))
                    .help("write each unit once, such as \"1d 12h\"".to_owned()),
            );
        }
        seen.push(name);
        // Checked, because the number may have any number of digits.
        let sum = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(millis));
        let sum = sum
            .and_then(|part| total.checked_add(part))
            .filter(|sum| *sum <= LONGEST);
        total = sum.ok_or_else(|| DurationError::new("longer than a hundred years"))?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// The next number and its unit, and what comes after.
fn part(text: &str) -> Result<(&str, &str, &str), DurationError> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        // There is a first byte: the caller stops where the text ends.
        return Err(match text.as_bytes()[0] {
            b'-' => DurationError::new("a duration is never negative"),
            _ => DurationError::new("not a duration")
                .help("write a number and its unit, such as \"30s\" or \"1d 12h\"".to_owned()),
        });
    }
    // With a message of its own, because "1.5h" is what other programs take.
    if rest.starts_with(['.', ',']) {
        return Err(DurationError::new("not a whole number")
            .help("write \"1h 30m\" instead of \"1.5h\"".to_owned()));
    }
    // All letters, not only ASCII ones, so that a message quotes the whole unit.
    let letters = rest
        .find(|c: char| !c.is_alphabetic())
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    Ok((number, unit, after))
}

fn known_unit(number: &str, unit: &str) -> Result<(&'static str, u64), DurationError> {
    if let Some(known) = UNITS.into_iter().find(|(name, _)| *name == unit) {
        return Ok(known);
    }
    if unit.is_empty() {
        let help = "put the unit right after the number: ms, s, m, h, d or w".to_owned();
        return Err(DurationError::new("a number without its unit").help(help));
    }
    let lower = unit.to_lowercase();
    let meant = UNITS
        .iter()
        .map(|(name, _)| *name)
        .find(|name| *name == lower)
        .or_else(|| {
            let named = |(_, names): &&(&str, &[&str])| names.contains(&lower.as_str());
            OTHER_NAMES.iter().find(named).map(|(name, _)| *name)
        });
    let help = match meant {
        // A `u64` has at most 20 digits: a longer number is wrong with any unit.
        Some(name) if number.len() <= 20 => format!("did you mean `{number}{name}`?"),
        Some(_) | None => "the units are ms, s, m, h, d and w".to_owned(),
    };
    Err(DurationError::new(format!("unknown unit {}", quoted(unit))).help(help))
}

/// Text of an operator as it may stand in a message: short, and without control characters.
pub fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(48).flat_map(char::escape_debug).collect();
    if text.chars().nth(48).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// For `#[serde(with = "span")]`.
pub fn serialize<S: serde::Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*span))
}

/// For `#[serde(with = "span")]`.
pub fn deserialize<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_written() {
        for (text, seconds) in [
            ("90s", 90.0),
            ("500ms", 0.5),
            ("36h", 129_600.0),
            ("14d", 1_209_600.0),
            ("1d 12h", 129_600.0),
            ("1d12h", 129_600.0),
            (" 2w ", 1_209_600.0),
            ("0s", 0.0),
            ("5m", 300.0),
            ("36525d", 3_155_760_000.0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs_f64(seconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration_says_why() {
        for (text, why) in [
            ("", "empty"),
            ("30", "a number without its unit"),
            ("30 s", "a number without its unit"),
            ("-5s", "a duration is never negative"),
            ("1.5h", "not a whole number"),
            ("soon", "not a duration"),
            ("5min", "unknown unit `min`"),
            ("5S", "unknown unit `S`"),
            ("1h 2h", "the unit `h` stands twice"),
            ("36526d", "longer than a hundred years"),
            ("99999999999999999999w", "longer than a hundred years"),
            ("18446744073709551615ms 1s", "longer than a hundred years"),
            ("1h,", "not a duration"),
            ("١s", "not a duration"),
        ] {
            let got = parse_duration(text).map_err(|error| error.to_string());
            assert_eq!(got, Err(why.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_unit_of_another_name_is_recognised() {
        let help = |text: &str| parse_duration(text).unwrap_err().help;
        assert_eq!(help("5min").as_deref(), Some("did you mean `5m`?"));
        assert_eq!(help("2 weeks"), help("7"));
        assert_eq!(help("2Weeks").as_deref(), Some("did you mean `2w`?"));
        assert_eq!(help("5MS").as_deref(), Some("did you mean `5ms`?"));
    }

    proptest! {
        #[test]
        fn a_written_duration_is_read_back(millis in 0..=LONGEST) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,40}|[0-9smhdw .-]{0,40}") {
            if let Ok(duration) = parse_duration(&text) {
                prop_assert!(duration <= Duration::from_millis(LONGEST));
            }
        }
    }

    #[test]
    fn a_quoted_text_is_short_and_harmless() {
        assert_eq!(quoted("a\u{1b}[31mb"), "`a\\u{1b}[31mb`");
        assert!(quoted(&"x".repeat(1000)).len() < 60);
    }
}
