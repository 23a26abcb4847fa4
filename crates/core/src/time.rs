//! Arithmetic with times and durations that cannot overflow.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// The longest pause that a server gets by asking: an operator who is away for longer than this
/// would find an account that nobody has looked at.
pub const LONGEST_QUIET: Duration = Duration::from_secs(60 * 60);

/// A policy's duration as a signed one; longer ones than that can hold become the longest there is.
pub fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// `at + duration`, or the end of time where that overflows.
pub fn after(at: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    // `+` would panic here, and a policy may ask for any duration.
    at.checked_add_signed(delta(duration))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
