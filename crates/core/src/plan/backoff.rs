//! When something that failed is tried again.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::account::AccountState;
use crate::config::Retry;
use crate::event::{BackoffKey, Event, IncidentKind};
use crate::secret::SecretTag;
use crate::time::after;

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
/// `initial` before its second look.
/// For example, with `initial = "30s"` the third failure in a row waits for two minutes.
pub fn failed(
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
    let wait = match (rejected, second_look) {
        (Some(_), false) => retry.rejected_login,
        (_, true) => retry.initial,
        (None, false) => doubling(retry, failures),
    };
    // Even beyond `max`: a request during the server's pause may begin it anew.
    let wait = wait.max(retry_after.unwrap_or_default());
    Event::AttemptFailed {
        lane,
        incident,
        error,
        failures,
        next_attempt_at: after(now, wait),
        rejected,
    }
}

/// The longest pause that a server gets by asking: an operator who is away for longer than this
/// would find an account that nobody has looked at.
pub const LONGEST_QUIET: Duration = Duration::from_secs(60 * 60);

/// The event that rests every call of the account to RingCX, or `None` where it rests already for
/// as long. `asked` is the answer's `Retry-After`. Without one the pause is `retry.initial`, and
/// twice as long as the last where that did not help.
pub fn quiet(
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
    let until = after(now, wait.min(LONGEST_QUIET));
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
                let event = failed(&state, &policy.retry, trouble, now);
                count += 1;
                state.apply(count, now, &event);
                now = state.held_until(&BackoffKey::Login, now).expect("a hold");
            }
            count
        };
        assert_eq!(tries(None), 30);
        let tag = SecretTag::of("salt", &crate::secret::Secret::new("swordfish"));
        assert_eq!(tries(Some(tag)), 4);
    }
}
