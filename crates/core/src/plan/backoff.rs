//! When something that failed is tried again.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::account::AccountState;
use crate::config::Retry;
use crate::event::{BackoffKey, Event, IncidentKind};
use crate::secret::SecretTag;
use crate::spread::{beyond, draw, within};
use crate::time::{LONGEST_QUIET, after};

/// So many failures in a row draw a share of the wait each.
const MOST_DRAWS: u32 = 8;

/// What failed, as the driver or the plan saw it.
pub struct FailureReport {
    /// What is to be held back.
    pub lane: BackoffKey,
    /// The incident it makes.
    pub incident: IncidentKind,
    /// The error as text, without secrets.
    pub error: String,
    /// How long the server asked not to be called, from its `Retry-After` header.
    pub retry_after: Option<Duration>,
    /// For a refused login: the tag of the secret that was refused.
    pub rejected: Option<SecretTag>,
    /// The refusal may not be about the secret, so one more login is sent soon.
    pub second_look: bool,
}

impl FailureReport {
    /// A failure for which the server named no time to wait.
    pub fn new(lane: BackoffKey, incident: IncidentKind, error: impl Into<String>) -> Self {
        Self {
            lane,
            incident,
            error: error.into(),
            retry_after: None,
            rejected: None,
            second_look: false,
        }
    }
}

/// The event that records a failure, with the time of the next try: `initial`, doubling to `max`,
/// never before the time that the server asked for; after a rejected login, `rejected-login`, and
/// `initial` before its second look. Of each wait the account draws its own share, from half of it
/// on, so that accounts that fail together do not come back together; what must not be shorter is
/// made up to an eighth longer.
/// For example, with `initial = "30s"` the third failure in a row waits for one to two minutes.
pub fn failed(
    account: &str,
    state: &AccountState,
    retry: &Retry,
    trouble: FailureReport,
    now: DateTime<Utc>,
) -> Event {
    let FailureReport {
        lane,
        incident,
        error,
        retry_after,
        rejected,
        second_look,
    } = trouble;
    let failures = state
        .lanes
        .get(&lane)
        .map_or(0, |earlier| earlier.count)
        .saturating_add(1);
    // RingCX locks accounts after rejected logins, at a number that it does not document.
    // Beyond that many every wait is the longest: each account keeps the share that it has then.
    let nth = failures.min(MOST_DRAWS).to_string();
    let draw = draw(&[account, &lane.to_string(), &nth]);
    let wait = match (rejected, second_look) {
        (Some(_), false) => beyond(retry.rejected_login, draw),
        (_, true) => within(retry.initial, draw),
        (None, false) => within(doubling(retry, failures), draw),
    };
    // Even beyond `max`: a request during the server's pause may begin it anew.
    let wait = wait.max(retry_after.map_or(Duration::ZERO, |asked| pause(asked, draw)));
    Event::AttemptFailed {
        lane,
        incident,
        error,
        failures,
        next_attempt_at: after(now, wait),
        rejected,
    }
}

/// How long a pause is kept that was asked for.
fn pause(asked: Duration, draw: f64) -> Duration {
    if asked > LONGEST_QUIET {
        within(LONGEST_QUIET, draw)
    } else {
        beyond(asked, draw).min(LONGEST_QUIET)
    }
}

/// The event that rests every call of the account to RingCX, or `None` where it rests already for
/// as long. `asked` is the answer's `Retry-After`. Without one the pause is `retry.initial`, and
/// twice as long as the last where that did not help. Each account makes it a little longer.
pub fn quiet(
    account: &str,
    state: &AccountState,
    retry: &Retry,
    asked: Option<Duration>,
    now: DateTime<Utc>,
) -> Option<Event> {
    let wait = asked.unwrap_or_else(|| {
        let last = state.server_quiet.and_then(|quiet| {
            let length = (quiet.until - quiet.since).to_std().ok()?;
            (after(quiet.until, length) > now && quiet.until <= now).then_some(length)
        });
        last.map_or(retry.initial, |last| last.saturating_mul(2))
    });
    let draw = draw(&[account, "quiet", &state.seq.to_string()]);
    let until = after(now, pause(wait, draw));
    (until > now && state.quiet_until(now).is_none_or(|quiet| quiet < until))
        .then_some(Event::ServerQuiet { until })
}

fn doubling(retry: &Retry, failures: u32) -> Duration {
    // `checked_shl` refuses 32 and more; `max` has limited the wait long before that.
    let factor = 1_u32
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u32::MAX);
    retry
        .initial
        .saturating_mul(factor)
        // With `initial` above `max`, every wait is `initial`.
        .min(retry.max.max(retry.initial))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_longest_and_never_overflow() {
        let retry = Retry {
            initial: Duration::from_secs(30),
            max: Duration::from_secs(3600),
            rejected_login: Duration::from_secs(21_600),
        };
        let waits: Vec<u64> = (1..=9)
            .map(|failures| doubling(&retry, failures).as_secs())
            .collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(doubling(&retry, u32::MAX).as_secs(), 3600);
    }

    fn report() -> FailureReport {
        FailureReport::new(BackoffKey::Server, IncidentKind::LoginFailed, "no")
    }

    fn waits(report: impl Fn() -> FailureReport) -> Vec<Duration> {
        let policy = crate::plan::tests::scene::policy([]);
        let (state, now) = (AccountState::default(), crate::plan::tests::scene::start());
        let wait = |number| match failed(
            &format!("account-{number}"),
            &state,
            &policy.retry,
            report(),
            now,
        ) {
            Event::AttemptFailed {
                next_attempt_at, ..
            } => (next_attempt_at - now).to_std().unwrap(),
            other => panic!("{other:?}"),
        };
        (0..1_000).map(wait).collect()
    }

    #[track_caller]
    fn most_in_a_second(waits: &[Duration]) -> usize {
        let mut seconds = std::collections::BTreeMap::new();
        for wait in waits {
            *seconds.entry(wait.as_secs()).or_insert(0) += 1;
        }
        seconds.into_values().max().unwrap()
    }

    #[test]
    fn a_thousand_accounts_that_fail_together_do_not_come_back_together() {
        let plain = waits(report);
        assert!(
            most_in_a_second(&plain) <= 120,
            "{}",
            most_in_a_second(&plain)
        );
        // Where the server says when to come back, nobody comes earlier.
        let asked = |seconds| {
            move || FailureReport {
                retry_after: Some(Duration::from_secs(seconds)),
                ..report()
            }
        };
        let minute = waits(asked(600));
        assert!(
            minute
                .iter()
                .all(|wait| (600..676).contains(&wait.as_secs()))
        );
        assert!(most_in_a_second(&minute) <= 40);
        let day = waits(asked(86_400));
        assert!(day.iter().all(|wait| *wait <= LONGEST_QUIET));
        assert!(most_in_a_second(&day) <= 10);
    }

    #[test]
    fn a_pause_is_an_hour_at_most_and_twice_as_long_where_it_did_not_help() {
        let policy = crate::plan::tests::scene::policy([]);
        let (mut state, mut now) = (AccountState::default(), crate::plan::tests::scene::start());
        let day = Some(Duration::from_secs(86_400));
        let Some(Event::ServerQuiet { until }) = quiet("ivr", &state, &policy.retry, day, now)
        else {
            panic!("no pause");
        };
        assert!(until > now && until <= after(now, LONGEST_QUIET));
        let mut last = Duration::ZERO;
        for seq in 1..12 {
            let event = quiet("ivr", &state, &policy.retry, None, now).expect("a pause");
            state.apply(seq, now, &event);
            let until = state.quiet_until(now).unwrap();
            let wait = (until - now).to_std().unwrap();
            assert!(
                wait >= (last * 2).min(LONGEST_QUIET / 2),
                "{wait:?} after {last:?}"
            );
            assert!(wait <= LONGEST_QUIET);
            // No call came within it, and nothing is recorded twice.
            assert_eq!(
                quiet("ivr", &state, &policy.retry, Some(wait / 2), now),
                None
            );
            (last, now) = (wait, until);
        }
    }

    /// The bound on everything that a failure brings with it: calls, rows, lines in the log.
    #[test]
    fn what_fails_all_day_is_tried_thirty_times() {
        let policy = crate::plan::tests::scene::policy([]);
        let tries = |rejected: Option<SecretTag>| {
            let (mut state, mut now) =
                (AccountState::default(), crate::plan::tests::scene::start());
            let end = now + chrono::TimeDelta::days(1);
            let mut count = 0;
            while now < end {
                let mut trouble =
                    FailureReport::new(BackoffKey::Login, IncidentKind::LoginFailed, "no");
                trouble.rejected = rejected;
                let event = failed("ivr", &state, &policy.retry, trouble, now);
                count += 1;
                state.apply(count, now, &event);
                now = state.held_until(&BackoffKey::Login, now).expect("a hold");
            }
            count
        };
        // Thirty times with every wait at its longest, sixty at its shortest.
        let count = tries(None);
        assert!((30..=60).contains(&count), "{count}");
        let tag = SecretTag::of("salt", &crate::secret::Secret::new("swordfish"));
        assert!((3..=4).contains(&tries(Some(tag))));
    }
}
