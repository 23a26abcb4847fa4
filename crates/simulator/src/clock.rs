//! The simulator's own clock: the machine's, one that a test sets by hand, or one it is given.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the simulator what time it is. Cheap to clone; clones agree.
#[derive(Clone)]
pub struct SimClock(ClockSource);

#[derive(Clone)]
enum ClockSource {
    System,
    Manual(Arc<Mutex<DateTime<Utc>>>),
    // For tests that move the clock of the daemon and of the server together.
    Given(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>),
}

impl SimClock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self(ClockSource::System)
    }

    /// A clock that stands still until [`SimClock::advance`] moves it.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self(ClockSource::Manual(Arc::new(Mutex::new(start))))
    }

    /// A clock of the caller's, for example one that is shared with the program under test.
    pub fn from_fn(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(ClockSource::Given(Arc::new(now)))
    }

    /// The time now, in UTC.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "this is the one place of the simulator that asks the time"
            )]
            ClockSource::System => Utc::now(),
            ClockSource::Manual(at) => *at.lock().expect("no holder of the manual clock panics"),
            ClockSource::Given(now) => now(),
        }
    }

    /// Moves a manual clock; the others are not moved.
    pub fn advance(&self, by: TimeDelta) {
        // No panic for the other kinds: code that is shared by tests can call it in any case.
        if let ClockSource::Manual(at) = &self.0 {
            *at.lock().expect("no holder of the manual clock panics") += by;
        }
    }
}

/// A reading of the monotonic clock, for measuring how long something took.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place of the simulator that asks the time"
)]
pub fn monotonic() -> Instant {
    Instant::now()
}
