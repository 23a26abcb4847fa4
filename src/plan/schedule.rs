//! When a rotation comes due.
//!
//! A cron line is read in its time zone and follows daylight saving: a time that the clocks skip comes
//! once, right after the gap; a time that comes twice comes once. Jitter is drawn from the account's
//! name and the occurrence, so that every process, before and after a restart, finds the same time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use crate::clock::{after, delta};
use crate::policy::{Schedule, Timing};

/// At most this share of the time between two runs is spread: an hourly schedule with a jitter meant
/// for a weekly one still runs hourly.
const WIDEST_SHARE: i32 = 10;

/// The first run after `anchor`, jitter included. `None`: never again.
pub fn next_run(schedule: &Schedule, account: &str, anchor: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match &schedule.timing {
        Timing::Every(every) => {
            let nominal = after(anchor, *every);
            let spread = schedule.jitter.min(*every / WIDEST_SHARE.unsigned_abs());
            Some(after(nominal, offset(account, nominal, spread)))
        }
        Timing::Cron(_) => {
            let nominal = next_nominal(schedule, anchor)?;
            let gap = next_nominal(schedule, nominal).map_or(TimeDelta::MAX, |following| following - nominal);
            let spread = delta(schedule.jitter).min(gap / WIDEST_SHARE).to_std().unwrap_or_default();
            Some(after(nominal, offset(account, nominal, spread)))
        }
    }
}

fn next_nominal(schedule: &Schedule, anchor: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let Timing::Cron(expr) = &schedule.timing else { return None };
    let local = anchor.with_timezone(&schedule.timezone);
    expr.cron.find_next_occurrence(&local, false).ok().map(|at| at.with_timezone(&Utc))
}

/// A fixed share of `spread` for this account and this occurrence.
fn offset(account: &str, nominal: DateTime<Utc>, spread: Duration) -> Duration {
    let mut hash = Sha256::new();
    hash.update(account.as_bytes());
    hash.update(nominal.timestamp().to_be_bytes());
    let digest = hash.finalize();
    let draw = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let share = f64::from(draw) / (f64::from(u32::MAX) + 1.0);
    Duration::from_millis((spread.as_millis() as f64 * share) as u64)
}
