//! What is known of the local clock when an event is recorded, beside the time that it shows.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Event;

/// A reading of the local clock against two others: the one that counts since the machine started,
/// and the server's. A row of the journal has it as `clock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// Names this run of the machine: Linux's `boot_id`.
    pub boot: String,
    /// Local time less the time since the machine started, in milliseconds since 1970. It changes
    /// only when the local clock is set.
    pub base_ms: i64,
    /// How far the local clock is ahead of the server's, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew: Option<SkewBounds>,
}

/// Bounds of local minus server time, in milliseconds. The server's `Date` has whole seconds and
/// was written at some time between request and answer, so it says no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SkewBounds {
    /// It is no less than this.
    pub least_ms: i64,
    /// It is no more than this.
    pub most_ms: i64,
}

/// What shows that the local clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepSource {
    /// The clock that counts since the machine started, and that nothing sets.
    Steady,
    /// The server's `Date`, compared with what it was before.
    Server,
    /// The machine was started anew: times from before it cannot lie after it.
    Order,
}

impl fmt::Display for StepSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Steady => "steady",
            Self::Server => "server",
            Self::Order => "order",
        })
    }
}

impl Event {
    /// The local clock was set by so much after this was made up: times to come that it names stay
    /// as far off as they were.
    pub fn clock_stepped(&mut self, by: TimeDelta) {
        if let Self::AttemptFailed {
            next_attempt_at: until,
            ..
        }
        | Self::MintMissing {
            open_until: until, ..
        }
        | Self::RingexQuiet { until, .. } = self
        {
            *until = until.checked_add_signed(by).unwrap_or(*until);
        }
    }
}

impl SkewBounds {
    /// No difference at all.
    pub const NONE: Self = Self {
        least_ms: 0,
        most_ms: 0,
    };

    /// What an answer says whose `Date` is `server`: it was had at `received` by the local clock,
    /// and was asked for so long before.
    pub fn of_answer(server: DateTime<Utc>, received: DateTime<Utc>, took: TimeDelta) -> Self {
        let most_ms = (received - server).num_milliseconds();
        // A second more, because `Date` drops the fraction of its second.
        let since_asked = took.max(TimeDelta::zero()).num_milliseconds();
        Self {
            least_ms: most_ms.saturating_sub(since_asked).saturating_sub(1000),
            most_ms,
        }
    }

    /// After the local clock was set by so much.
    pub fn moved(self, by_ms: i64) -> Self {
        Self {
            least_ms: self.least_ms.saturating_add(by_ms),
            most_ms: self.most_ms.saturating_add(by_ms),
        }
    }

    /// From the least to the most that it can be.
    pub fn width_ms(self) -> i64 {
        self.most_ms.saturating_sub(self.least_ms)
    }

    /// Whether both can be true.
    pub fn agrees_with(self, other: Self) -> bool {
        self.least_ms <= other.most_ms && other.least_ms <= self.most_ms
    }

    /// What two answers say together. Two that cannot both be true leave all that either says: one
    /// of the servers behind a name may be wrong, and which is not known.
    pub fn with(self, other: Self) -> Self {
        if self.agrees_with(other) {
            Self {
                least_ms: self.least_ms.max(other.least_ms),
                most_ms: self.most_ms.min(other.most_ms),
            }
        } else {
            Self {
                least_ms: self.least_ms.min(other.least_ms),
                most_ms: self.most_ms.max(other.most_ms),
            }
        }
    }
}
