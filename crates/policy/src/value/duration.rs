//! Durations in the policy: which are allowed where. What they look like is in
//! [`rotator_core::span`].

use std::time::Duration;

use rotator_core::span::{DurationError, parse_duration};

use super::{ValueError, ValueKind};

/// A duration, zero too.
pub(crate) const DURATION: ValueKind<Duration> = ValueKind {
    expected: EXPECTED,
    parse: duration,
    integer: Some(without_unit),
};

/// A duration longer than zero.
pub(crate) const TIME_SPAN: ValueKind<Duration> = ValueKind {
    expected: EXPECTED,
    parse: time_span,
    integer: Some(without_unit),
};

/// The time between two rotations. At least a second, because the scheduler counts in seconds.
pub(crate) const INTERVAL: ValueKind<Duration> = ValueKind {
    expected: EXPECTED,
    parse: interval,
    integer: Some(without_unit),
};

const EXPECTED: &str = "a duration such as \"30s\"";

impl From<DurationError> for ValueError {
    fn from(DurationError { message, help }: DurationError) -> Self {
        Self { message, help }
    }
}

fn duration(text: &str) -> Result<Duration, ValueError> {
    Ok(parse_duration(text)?)
}

fn interval(text: &str) -> Result<Duration, ValueError> {
    let interval = time_span(text)?;
    if interval < Duration::from_secs(1) {
        return Err(ValueError::new("must be a second or longer"));
    }
    Ok(interval)
}

fn time_span(text: &str) -> Result<Duration, ValueError> {
    match duration(text)? {
        Duration::ZERO => Err(ValueError::new("must be longer than zero")),
        longer => Ok(longer),
    }
}

fn without_unit(digits: &str) -> Result<Duration, ValueError> {
    let help = match digits.len() {
        // A longer number is hardly one of seconds.
        1..=9 => format!("write it as `\"{digits}s\"` if seconds are meant"),
        _ => "the units are ms, s, m, h, d and w".to_owned(),
    };
    Err(ValueError::new("a duration is a string with a unit, this is an integer").help(help))
}
