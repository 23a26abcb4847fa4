//! When a rotation comes due.
//!
//! A cron line is read in its time zone and follows daylight saving: a time that the clocks skip
//! comes once, right after the gap (several of one line fall together there); a time that comes
//! twice comes once, the first time. So `*/15 * * * *` pauses for the hour that comes twice. Jitter
//! is drawn from the account's name and the occurrence, so that every process, before and after a
//! restart, finds the same time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use sha2::{Digest, Sha256};

use crate::config::{Schedule, Timing};
use crate::time::{after, delta};

/// At most this share of the time between two runs is spread: an hourly schedule with a jitter
/// meant for a weekly one still runs hourly.
const WIDEST_SHARE: i32 = 10;

/// The first run after `anchor`, jitter included. `None`: never again.
pub fn next_run(
    schedule: &Schedule,
    account: &str,
    anchor: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    match &schedule.timing {
        Timing::Every(every) => {
            let nominal = after(anchor, *every);
            let spread = schedule.jitter.min(*every / WIDEST_SHARE.unsigned_abs());
            Some(after(nominal, offset(account, nominal, spread)))
        }
        Timing::Cron(_) => {
            let nominal = next_nominal(schedule, anchor)?;
            let gap = next_nominal(schedule, nominal)
                // The last run there is has no next one to keep away from.
                .map_or(TimeDelta::MAX, |following| following - nominal);
            let spread = delta(schedule.jitter)
                .min(gap / WIDEST_SHARE)
                .to_std()
                .unwrap_or_default();
            Some(after(nominal, offset(account, nominal, spread)))
        }
    }
}

/// The first time after `anchor` at which the line comes due. The line itself is read on a wall
/// clock that knows no daylight saving; each of its times is then found on the real one. `croner`'s
/// own reading lets some lines run twice and skips others, and near the end of summer time finds
/// times that are past.
fn next_nominal(schedule: &Schedule, anchor: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let Timing::Cron(expr) = &schedule.timing else {
        return None;
    };
    let mut wall = schedule.timezone.wall(anchor)?.with_nanosecond(0)?;
    loop {
        wall = expr
            .cron
            // As if it were UTC, which has no daylight saving: `croner` then sees a plain wall
            // clock.
            .find_next_occurrence(&wall.and_utc(), false)
            .ok()?
            .naive_utc();
        let at = schedule.timezone.first(wall)?;
        // In an hour that comes twice, what came the first time is past the second time.
        if at > anchor {
            return Some(at);
        }
    }
}

/// A fixed share of `spread` for this account and this occurrence.
fn offset(account: &str, nominal: DateTime<Utc>, spread: Duration) -> Duration {
    let mut hash = Sha256::new();
    hash.update(account.as_bytes());
    // With the occurrence, so that an account is not the last one each time.
    hash.update(nominal.timestamp().to_be_bytes());
    let digest = hash.finalize();
    let draw = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    // Below 1 always: a run never comes after the end of its spread.
    let share = f64::from(draw) / (f64::from(u32::MAX) + 1.0);
    Duration::from_millis((spread.as_millis() as f64 * share) as u64)
}

#[cfg(test)]
mod tests;
