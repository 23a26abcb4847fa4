//! Rate limits: a number of requests in any minute, and a penalty for more.
//!
//! Knows no time of its own and no HTTP.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// One user's requests of one kind in the last minute.
#[derive(Default)]
pub(super) struct RateLimiter {
    admitted: VecDeque<DateTime<Utc>>,
    penalty_until: Option<DateTime<Utc>>,
}

/// The request exceeds the limit, and has started the penalty afresh.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl RateLimiter {
    /// Counts a request. One that is refused, and one during a penalty, starts the penalty afresh.
    pub(super) fn admit(
        &mut self,
        now: DateTime<Utc>,
        limit: u32,
        penalty: Duration,
    ) -> Result<(), TooMany> {
        // A sliding window: with fixed minutes twice the limit could pass at the turn of a minute.
        let minute_ago = now - TimeDelta::seconds(60);
        while self.admitted.front().is_some_and(|at| *at <= minute_ago) {
            self.admitted.pop_front();
        }
        let punished = self.penalty_until.is_some_and(|until| now < until);
        if punished || self.admitted.len() >= limit as usize {
            // A refused request is not counted as admitted, but each one prolongs the penalty: this
            // is the strictest behaviour that RingCX may have.
            self.penalty_until = Some(rotator_core::time::after(now, penalty));
            return Err(TooMany);
        }
        self.admitted.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PENALTY: Duration = Duration::from_secs(60);

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    #[test]
    fn a_minute_is_any_minute() {
        let mut meter = RateLimiter::default();
        for second in [0, 30, 59] {
            assert_eq!(meter.admit(at(second), 3, Duration::ZERO), Ok(()));
        }
        assert_eq!(meter.admit(at(59), 3, Duration::ZERO), Err(TooMany));
        assert_eq!(meter.admit(at(60), 3, Duration::ZERO), Ok(()));
        assert_eq!(meter.admit(at(89), 3, Duration::ZERO), Err(TooMany));
    }

    #[test]
    fn a_request_during_a_penalty_restarts_it() {
        let mut meter = RateLimiter::default();
        assert_eq!(meter.admit(at(0), 1, PENALTY), Ok(()));
        assert_eq!(meter.admit(at(1), 1, PENALTY), Err(TooMany));
        assert_eq!(meter.admit(at(60), 1, PENALTY), Err(TooMany));
        assert_eq!(meter.admit(at(119), 1, PENALTY), Err(TooMany));
        assert_eq!(meter.admit(at(179), 1, PENALTY), Ok(()));
    }
}
