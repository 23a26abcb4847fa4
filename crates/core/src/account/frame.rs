//! Keeping recorded times right when the local clock is set.
//!
//! All times of an [`AccountState`] are kept as the local clock reckons them now. Each row has a
//! reading of the clock; where it differs from the one before, the times recorded earlier are moved
//! along. For example, a promotion recorded at 10:00 by a clock that was then set two hours ahead
//! is kept as 12:00, so that its overlap is not cut short.
//!
//! While the machine runs, its steady clock tells a step exactly. Between two starts of it only the
//! server's `Date` does, and until that is known the earlier times are kept apart
//! ([`EarlierTimes`]): none of them can lie after the start. What remains uncertain counts as late
//! as it can have been, and nothing counts as later than now: no overlap is cut short, and a time
//! in the future is never believed.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::AccountState;
use crate::event::{ClockReading, Event, SkewBounds, StepSource};

mod times;

use times::{TimeUse, moved};

/// Two readings of the same clock may differ by as much.
const SMALLEST_STEP_MS: i64 = 250;

/// A server's `Date` tells no difference as small as that.
const SMALLEST_SKEW_MS: i64 = 2_000;

/// With the clocks no further apart, they agree.
const AGREED_MS: i64 = 5 * 60 * 1000;

/// What the times of a state are reckoned by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockFrame {
    /// The clock as it was last read, with all that is known of its skew.
    pub reading: Option<ClockReading>,
    /// The time of the last row.
    pub last: Option<DateTime<Utc>>,
    /// Times from before the machine was started, until the server tells how they compare.
    pub earlier: Option<EarlierTimes>,
    /// By how much the clock was set since the server last told the time, in milliseconds.
    pub stepped_ms: i64,
}

/// Recorded times that lie an unknown step of the clock back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierTimes {
    /// Those up to this one, and how far the clock that showed them was ahead of the server's.
    pub known: Option<(DateTime<Utc>, SkewBounds)>,
    /// Of later ones up to this one nothing is known but that they are no later.
    pub unknown_until: Option<DateTime<Utc>>,
}

/// The clock was set, or may have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStep {
    /// By how much, as far as is known.
    pub by: TimeDelta,
    /// What shows it.
    pub source: StepSource,
}

impl ClockStep {
    /// The event that brings it into the journal.
    pub fn event(&self) -> Event {
        Event::ClockStepped {
            by_ms: self.by.num_milliseconds(),
            source: self.source,
        }
    }
}

impl ClockFrame {
    /// Whether nothing is known of the clock, as in a journal of an earlier version.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    fn step(&self, at: DateTime<Utc>, now: &ClockReading) -> Option<ClockStep> {
        let step = |by_ms, source| {
            let by = TimeDelta::milliseconds(by_ms);
            Some(ClockStep { by, source })
        };
        let Some(known) = self.continues(at, now) else {
            let back = self
                .last
                .map_or(0, |last| (before(at) - last).num_milliseconds());
            return step(back.min(0), StepSource::Order);
        };
        let steady = now.base_ms.saturating_sub(known.base_ms);
        if is_step(steady) {
            return step(steady, StepSource::Steady);
        }
        let (Some(skew), earlier) = (now.skew.or(known.skew), self.earlier) else {
            return None;
        };
        if let Some(earlier) = earlier {
            let by = earlier.known.map_or(0, |(_, then)| between(then, skew));
            return step(by, StepSource::Server);
        }
        let by = server_step(known.skew?, self.stepped_ms, now.skew?);
        by.and_then(|by| step(by, StepSource::Server))
    }

    /// The reading before, if the same clock goes on.
    fn continues(&self, at: DateTime<Utc>, now: &ClockReading) -> Option<&ClockReading> {
        let known = self.reading.as_ref()?;
        let since_start =
            |at: DateTime<Utc>, base_ms: i64| at.timestamp_millis().saturating_sub(base_ms);
        let last = self
            .last
            .map_or(i64::MIN, |last| since_start(last, known.base_ms));
        // A steady clock that went back is none.
        let is_steady = since_start(at, now.base_ms).saturating_add(SMALLEST_SKEW_MS) >= last;
        (known.boot == now.boot && is_steady).then_some(known)
    }
}

impl AccountState {
    /// What this reading, had at `at`, shows that the last row did not. As long as there is
    /// something, it must be recorded before anything is decided.
    pub fn clock_step(&self, at: DateTime<Utc>, reading: &ClockReading) -> Option<ClockStep> {
        // The first row has no times before it.
        (self.seq > 0).then(|| self.frame.step(at, reading))?
    }

    /// Folds one row in: what its reading of the clock shows, and its event.
    pub fn apply_row(
        &mut self,
        seq: u64,
        at: DateTime<Utc>,
        reading: Option<&ClockReading>,
        event: &Event,
    ) {
        if let Some(reading) = reading {
            self.read_clock(at, reading);
        }
        self.apply(seq, at, event);
    }

    fn read_clock(&mut self, at: DateTime<Utc>, now: &ClockReading) {
        let known = match self.frame.continues(at, now) {
            Some(known) => {
                let mut known = known.clone();
                self.follow_steady(&mut known, now);
                self.follow_server(at, &mut known, now);
                known
            }
            None => {
                self.begin_frame(at);
                now.clone()
            }
        };
        if let Some(skew) = known.skew {
            self.settle_earlier(at, skew);
        }
        self.frame.reading = Some(known);
        self.frame.last = Some(at);
    }

    /// The clock was set while the machine ran.
    fn follow_steady(&mut self, known: &mut ClockReading, now: &ClockReading) {
        let by_ms = now.base_ms.saturating_sub(known.base_ms);
        // Smaller differences are kept, so that many of them together count as well.
        if !is_step(by_ms) {
            return;
        }
        self.move_times(by_ms);
        self.frame.stepped_ms = self.frame.stepped_ms.saturating_add(by_ms);
        known.base_ms = now.base_ms;
        known.skew = known.skew.map(|skew| skew.moved(by_ms));
    }

    /// What an answer of the server tells of the time since the last one: see [`server_step`].
    fn follow_server(&mut self, at: DateTime<Utc>, known: &mut ClockReading, now: &ClockReading) {
        let Some(skew) = now.skew else { return };
        let Some(before) = known.skew else {
            known.skew = Some(skew);
            return;
        };
        let stepped_ms = std::mem::take(&mut self.frame.stepped_ms);
        let mut known_skew = before.with(skew);
        if let Some(by_ms) = server_step(before, stepped_ms, skew) {
            self.move_times(by_ms);
            self.believe_no_future(at);
            if by_ms < 0 {
                known_skew = skew;
            }
        }
        known.skew = Some(known_skew);
    }

    /// Another clock from here on: the machine was started anew, or the journal has no readings so
    /// far.
    fn begin_frame(&mut self, at: DateTime<Utc>) {
        let until = before(at);
        self.frame.stepped_ms = 0;
        let known = self.frame.reading.take();
        if known.is_none() && self.seq == 0 {
            return;
        }
        // Whatever was recorded is past: by so much at least the clock went back.
        let back_ms = (until - self.latest().unwrap_or(until))
            .num_milliseconds()
            .min(0);
        self.move_times(back_ms);
        let then = match &known {
            Some(known) => known.skew,
            // Versions that kept no readings took the clock to be right.
            None => Some(SkewBounds::NONE),
        };
        self.frame.earlier = Some(match (self.frame.earlier, then) {
            (Some(earlier), _) => EarlierTimes {
                unknown_until: Some(until),
                ..earlier
            },
            (None, Some(then)) => EarlierTimes {
                known: Some((until, then.moved(back_ms))),
                unknown_until: None,
            },
            (None, None) => EarlierTimes {
                known: None,
                unknown_until: Some(until),
            },
        });
    }

    /// The server tells how the times from before the start compare with those since.
    fn settle_earlier(&mut self, at: DateTime<Utc>, skew: SkewBounds) {
        let Some(earlier) = self.frame.earlier.take() else {
            return;
        };
        self.for_each_time(&mut |time, stamp| match earlier.known {
            Some((until, then)) if time <= until => moved(time, between(then, skew)),
            // As late as it can have been.
            _ => match earlier.unknown_until.filter(|until| time <= *until) {
                Some(until) if stamp == TimeUse::Retention => until,
                Some(_) | None => time,
            },
        });
        self.believe_no_future(at);
    }

    fn move_times(&mut self, by_ms: i64) {
        self.for_each_time(&mut |time, _| moved(time, by_ms));
        let frame = &mut self.frame;
        frame.last = frame.last.map(|last| moved(last, by_ms));
        if let Some(earlier) = &mut frame.earlier {
            let until = &mut earlier.unknown_until;
            *until = until.map(|until| moved(until, by_ms));
            earlier.known = earlier
                .known
                .map(|(until, then)| (moved(until, by_ms), then.moved(by_ms)));
        }
    }

    fn believe_no_future(&mut self, at: DateTime<Utc>) {
        self.for_each_time(&mut |time, _| time.min(at));
    }

    /// The latest time at which something is recorded to have happened.
    fn latest(&mut self) -> Option<DateTime<Utc>> {
        let mut latest = self.frame.last;
        self.for_each_time(&mut |time, _| {
            latest = latest.max(Some(time));
            time
        });
        latest
    }
}

/// The last moment before.
fn before(at: DateTime<Utc>) -> DateTime<Utc> {
    moved(at, -1)
}

impl SkewBounds {
    /// Whether both can be true of clocks that are set by a little now and then.
    fn is_about(self, other: Self) -> bool {
        let wider = Self {
            least_ms: self.least_ms.saturating_sub(SMALLEST_SKEW_MS),
            most_ms: self.most_ms.saturating_add(SMALLEST_SKEW_MS),
        };
        wider.agrees_with(other)
    }
}

fn is_step(by_ms: i64) -> bool {
    by_ms.saturating_abs() >= SMALLEST_STEP_MS
}

/// By how much the local clock was set between two skews, at the most.
fn between(then: SkewBounds, now: SkewBounds) -> i64 {
    let is_exact = then.width_ms().max(now.width_ms()) <= SMALLEST_SKEW_MS;
    // As before as far as anyone can tell: times would creep with each start of the machine.
    if is_exact && then.agrees_with(now) {
        return 0;
    }
    now.most_ms.saturating_sub(then.least_ms)
}

/// By how much times are to be moved for what the server tells, once the clocks agree. `then` is
/// what its last answer comes to by the steady clock, which saw the local one set by `stepped_ms`
/// since.
///
/// The clocks did not agree before, though the steady one saw no step: the server's was set, or the
/// steady one is set along with the local one. Which of them is not known, so no more time counts
/// as past than by either.
///
/// The other way round, where the server's clock went on by as much as the local one was set, that
/// much time has passed: the machine was frozen, and its steady clock with it.
fn server_step(then: SkewBounds, stepped_ms: i64, now: SkewBounds) -> Option<i64> {
    let agree = now.least_ms >= -AGREED_MS && now.most_ms <= AGREED_MS;
    let frozen = then.moved(stepped_ms.saturating_neg());
    if agree && stepped_ms > AGREED_MS && !then.agrees_with(now) && frozen.is_about(now) {
        return Some(SMALLEST_SKEW_MS - stepped_ms);
    }
    let ahead = now.least_ms.saturating_sub(then.most_ms);
    // From the most it was, as a server that is wrong at times leaves wide bounds.
    let least = then
        .least_ms
        .max(then.most_ms.saturating_sub(SMALLEST_SKEW_MS));
    (agree && ahead > SMALLEST_SKEW_MS).then(|| now.most_ms.saturating_sub(least))
}

#[cfg(test)]
mod tests;
