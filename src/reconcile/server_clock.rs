//! How the local clock compares with the server's, by the `Date` of its last answer.

use chrono::{DateTime, TimeDelta, Utc};

use rotator_core::event::{ClockReading, SkewBounds};

/// The last answer that had a `Date`.
#[derive(Clone, Debug, Default)]
pub struct ServerClock(Option<(ClockReading, SkewBounds)>);

impl ServerClock {
    /// Takes in an answer, had at this time by this reading, so long after it was asked for.
    pub fn answered(
        &mut self,
        server_time: Option<DateTime<Utc>>,
        (now, reading): (DateTime<Utc>, ClockReading),
        took: TimeDelta,
    ) {
        // An answer without `Date` says nothing: what was known before stands.
        if let Some(server_time) = server_time {
            self.0 = Some((reading, SkewBounds::of_answer(server_time, now, took)));
        }
    }

    /// How far the local clock is ahead as it goes now. If it was set since the answer, nothing is
    /// known before the next one.
    pub fn skew(&self, now: &ClockReading) -> Option<SkewBounds> {
        let (then, skew) = self.0.as_ref()?;
        // Two readings of the same clock differ by a little.
        (then.base_ms.abs_diff(now.base_ms) < 250).then_some(*skew)
    }
}
