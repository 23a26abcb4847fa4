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
    /// How many times in a row the penalty was met.
    met: u32,
}

/// What a request too many costs.
#[derive(Clone, Copy)]
pub(super) struct Penalty {
    pub(super) length: Duration,
    /// Whether a request during a penalty makes it twice as long.
    pub(super) doubles: bool,
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
        penalty: Penalty,
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
            self.met = if punished {
                self.met.saturating_add(1)
            } else {
                0
            };
            let factor = match penalty.doubles {
                true => 1_u32.checked_shl(self.met).unwrap_or(u32::MAX),
                false => 1,
            };
            let length = penalty.length.saturating_mul(factor);
            self.penalty_until = Some(rotator_core::time::after(now, length));
            return Err(TooMany);
        }
        self.admitted.push_back(now);
        Ok(())
    }
}

impl RateLimiter {
    /// How much of the penalty is left.
    pub(super) fn punished_for(&self, now: DateTime<Utc>) -> Duration {
        self.penalty_until
            .and_then(|until| (until - now).to_std().ok())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PENALTY: Penalty = Penalty {
        length: Duration::from_secs(60),
        doubles: false,
    };
    const NONE: Penalty = Penalty {
        length: Duration::ZERO,
        doubles: false,
    };

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    #[test]
    fn a_minute_is_any_minute() {
        let mut meter = RateLimiter::default();
        for second in [0, 30, 59] {
            assert_eq!(meter.admit(at(second), 3, NONE), Ok(()));
        }
        assert_eq!(meter.admit(at(59), 3, NONE), Err(TooMany));
        assert_eq!(meter.admit(at(60), 3, NONE), Ok(()));
        assert_eq!(meter.admit(at(89), 3, NONE), Err(TooMany));
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

    #[test]
    fn a_penalty_that_doubles_gets_longer_with_each_request_in_it() {
        let doubling = Penalty {
            doubles: true,
            ..PENALTY
        };
        let mut meter = RateLimiter::default();
        assert_eq!(meter.admit(at(0), 1, doubling), Ok(()));
        for (second, left) in [(1, 60), (2, 120), (3, 240)] {
            assert_eq!(meter.admit(at(second), 1, doubling), Err(TooMany));
            assert_eq!(meter.punished_for(at(second)).as_secs(), left);
        }
        assert_eq!(meter.admit(at(243), 1, doubling), Ok(()));
    }
}
