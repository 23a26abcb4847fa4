//! The only place that asks what time it is.
//!
//! Everything else takes the time as an argument, so that schedules, ages and back-off can be
//! tested with any time. What this file does not know: whether the local clock is right. That is
//! judged against the server's `Date` header, in the guards of retirement.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use rotator_core::event::ClockReading;
use rotator_core::time::delta;

mod machine;

/// The wall clock, or a hand-set one for tests.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    // Shared, so that moving one clone moves the clock of everything under test.
    Manual(Arc<Mutex<ManualClock>>),
}

#[derive(Clone, Copy)]
struct ManualClock {
    now: DateTime<Utc>,
    /// By how much it was set so far.
    set_by: TimeDelta,
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn manual(start: DateTime<Utc>) -> Self {
        let clock = ManualClock {
            now: start,
            set_by: TimeDelta::zero(),
        };
        Self(Source::Manual(Arc::new(Mutex::new(clock))))
    }

    /// The time now, in UTC.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Source::System => machine::now(),
            Source::Manual(clock) => manual(clock, |clock| clock.now),
        }
    }

    /// The time now, and the reading that shows whether the clock was set since an earlier one.
    /// Nothing is known of the server's clock here.
    pub fn read(&self) -> (DateTime<Utc>, ClockReading) {
        match &self.0 {
            Source::System => machine::read(),
            Source::Manual(clock) => manual(clock, |clock| {
                let reading = ClockReading {
                    boot: "manual".to_owned(),
                    base_ms: clock.set_by.num_milliseconds(),
                    skew: None,
                };
                (clock.now, reading)
            }),
        }
    }

    /// The time since some moment, by the clock that nothing sets.
    pub fn steady(&self) -> TimeDelta {
        let (now, reading) = self.read();
        TimeDelta::milliseconds(now.timestamp_millis().saturating_sub(reading.base_ms))
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
        if let Source::Manual(clock) = &self.0 {
            manual(clock, |clock| clock.now += by);
        }
    }

    /// Sets a manual clock ahead or back, while no time passes; a system clock is not set.
    pub fn set(&self, by: TimeDelta) {
        if let Source::Manual(clock) = &self.0 {
            manual(clock, |clock| {
                clock.now += by;
                clock.set_by += by;
            });
        }
    }
}

fn manual<T>(clock: &Mutex<ManualClock>, act: impl FnOnce(&mut ManualClock) -> T) -> T {
    act(&mut clock.lock().expect("no holder of the manual clock panics"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that asks the time"
)]
fn wall() -> DateTime<Utc> {
    Utc::now()
}

/// A reading of the monotonic clock, for measuring how long something took.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that asks the time"
)]
pub fn monotonic() -> Instant {
    Instant::now()
}
