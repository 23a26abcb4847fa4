//! The only place that asks what time it is.
//!
//! Everything else takes the time as an argument, so that schedules, ages and back-off can be
//! tested with any time. What this file does not know: whether the local clock is right. That is
//! judged against the server's `Date` header, in the guards of retirement.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use rotator_core::time::delta;

/// The wall clock, or a hand-set one for tests.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    // Shared, so that moving one clone moves the clock of everything under test.
    Manual(Arc<Mutex<DateTime<Utc>>>),
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self(Source::Manual(Arc::new(Mutex::new(start))))
    }

    /// The time now, in UTC.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "this is the one place that asks the time"
            )]
            Source::System => Utc::now(),
            Source::Manual(at) => *at.lock().expect("no holder of the manual clock panics"),
        }
    }

    /// Waits this long by this clock; a manual clock is moved on instead.
    pub async fn sleep(&self, wait: Duration) {
        match &self.0 {
            Source::System => tokio::time::sleep(wait).await,
            // Tests go through hours of waits at once.
            Source::Manual(_) => self.advance(delta(wait)),
        }
    }

    /// Moves a manual clock; a system clock is not moved.
    pub fn advance(&self, by: TimeDelta) {
        if let Source::Manual(at) = &self.0 {
            *at.lock().expect("no holder of the manual clock panics") += by;
        }
    }
}

/// A reading of the monotonic clock, for measuring how long something took.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that asks the time"
)]
pub fn monotonic() -> Instant {
    Instant::now()
}
