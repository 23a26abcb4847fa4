//! Schedule, retention and retry: the built-in defaults, `[defaults]` over them, an account over both.
//!
//! Key by key, but for `cron` and `every`, which are one choice: who sets the one drops the other.

use std::time::Duration;

use super::secs;
use crate::policy::source::{At, Span};
use crate::policy::spec::{RetentionSpec, RetrySpec, ScheduleSpec, TuningSpec};
use crate::policy::value::CRON;
use crate::policy::{Foreign, LostMint, Retention, Retry, Schedule, TimeZone, Timing};

/// A setting, and where it was written if it was.
#[derive(Clone, Debug)]
pub(super) struct Set<T> {
    pub value: T,
    pub span: Option<Span>,
}

impl<T> Set<T> {
    fn built_in(value: T) -> Self {
        Self { value, span: None }
    }

    fn with(self, written: Option<At<T>>) -> Self {
        match written {
            Some(At { value, span }) => Self { value, span: Some(span) },
            None => self,
        }
    }
}

/// What `[defaults]` and accounts set.
#[derive(Clone, Debug)]
pub(super) struct Tuning {
    pub timing: Set<Timing>,
    pub timezone: Set<TimeZone>,
    pub jitter: Set<Duration>,
    pub max_age: Set<Duration>,
    pub overlap: Set<Duration>,
    pub max_live: Set<u32>,
    pub foreign: Set<Foreign>,
    pub lost_mint: Set<LostMint>,
    pub initial: Set<Duration>,
    pub max: Set<Duration>,
    pub rejected_login: Set<Duration>,
    pub check_every: Set<Duration>,
    pub verify_within: Set<Duration>,
    pub smoke_test: Set<bool>,
}

impl Tuning {
    /// Where the policy is silent.
    pub fn built_in() -> Self {
        let weekly = (CRON.parse)("30 3 * * SUN").expect("the built-in cron line is one");
        Self {
            timing: Set::built_in(Timing::Cron(weekly)),
            timezone: Set::built_in(TimeZone::UTC),
            jitter: Set::built_in(secs(10 * 60)),
            max_age: Set::built_in(secs(14 * 86_400)),
            overlap: Set::built_in(secs(86_400)),
            max_live: Set::built_in(8),
            foreign: Set::built_in(Foreign::Keep),
            lost_mint: Set::built_in(LostMint::Recover),
            initial: Set::built_in(secs(30)),
            max: Set::built_in(secs(3600)),
            rejected_login: Set::built_in(secs(6 * 3600)),
            check_every: Set::built_in(secs(15 * 60)),
            verify_within: Set::built_in(secs(2 * 60)),
            smoke_test: Set::built_in(true),
        }
    }

    /// What was written over what was not.
    pub fn with(self, spec: TuningSpec) -> Self {
        let TuningSpec { schedule, retention, retry, check_every, verify_within, smoke_test } = spec;
        let ScheduleSpec { cron, every, timezone, jitter } = schedule;
        let RetentionSpec { max_age, overlap, max_live, foreign, lost_mint } = retention;
        let RetrySpec { initial, max, rejected_login } = retry;
        let cron = cron.map(|At { value, span }| At { value: Timing::Cron(value), span });
        let every = every.map(|At { value, span }| At { value: Timing::Every(value), span });
        Self {
            timing: self.timing.with(cron.or(every)),
            timezone: self.timezone.with(timezone),
            jitter: self.jitter.with(jitter),
            max_age: self.max_age.with(max_age),
            overlap: self.overlap.with(overlap),
            max_live: self.max_live.with(max_live),
            foreign: self.foreign.with(foreign),
            lost_mint: self.lost_mint.with(lost_mint),
            initial: self.initial.with(initial),
            max: self.max.with(max),
            rejected_login: self.rejected_login.with(rejected_login),
            check_every: self.check_every.with(check_every),
            verify_within: self.verify_within.with(verify_within),
            smoke_test: self.smoke_test.with(smoke_test),
        }
    }

    pub fn schedule(&self) -> Schedule {
        Schedule {
            timing: self.timing.value.clone(),
            timezone: self.timezone.value.clone(),
            jitter: self.jitter.value,
        }
    }

    pub fn retention(&self) -> Retention {
        Retention {
            max_age: self.max_age.value,
            overlap: self.overlap.value,
            max_live: self.max_live.value,
            foreign: self.foreign.value,
            lost_mint: self.lost_mint.value,
        }
    }

    pub fn retry(&self) -> Retry {
        Retry { initial: self.initial.value, max: self.max.value, rejected_login: self.rejected_login.value }
    }
}
