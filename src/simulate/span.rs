//! A length of time as the stand-in's flags and admin route write it: `250ms`, `90s`, `5m`, `2h`.
//!
//! One number and one unit, which is all a fault or a setting needs. It knows nothing of the
//! policy's longer forms.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// The text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is no length of time: expected a number and one of ms, s, m, h, as in `250ms`")]
pub struct SpanError {
    /// The text found.
    pub got: String,
}

/// Reads `250ms`, `90s`, `5m` or `2h`.
pub fn parse(text: &str) -> Result<Duration, SpanError> {
    let refused = || SpanError {
        got: text.to_owned(),
    };
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(refused()),
    };
    // Ten digits keep every sum with a date far from overflowing.
    if number.is_empty() || number.len() > 10 {
        return Err(refused());
    }
    let number: u64 = number.parse().map_err(|_| refused())?;
    Ok(Duration::from_millis(number * milliseconds))
}

/// The shortest text that [`parse`] reads back as the same length.
pub fn text(span: Duration) -> String {
    let milliseconds = span.as_millis();
    if milliseconds == 0 {
        "0s".to_owned()
    } else if !milliseconds.is_multiple_of(1_000) {
        format!("{milliseconds}ms")
    } else if !milliseconds.is_multiple_of(60_000) {
        format!("{}s", milliseconds / 1_000)
    } else {
        format!("{}m", milliseconds / 60_000)
    }
}

/// For `#[serde(with = "span")]`.
pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*span))
}

/// For `#[serde(with = "span")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_survives_its_text() {
        for written in ["250ms", "1500ms", "90s", "5m", "120m", "0s"] {
            assert_eq!(text(parse(written).unwrap()), written);
        }
        assert_eq!(parse("2h"), parse("120m"));
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for written in ["", "5", "s", "-5s", "5 s", "5d", "99999999999ms", "1m30s"] {
            assert!(parse(written).is_err(), "{written:?}");
        }
    }
}
