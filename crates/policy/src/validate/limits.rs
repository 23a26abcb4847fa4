//! Schedule, retention and retry: the built-in defaults, `[defaults]` over them, an account over
//! both.
//!
//! Key by key, but for `cron` and `every`, which are one choice: who sets the one drops the other.

use std::time::Duration;

use super::secs;
use crate::source::{At, Span};
use crate::spec::{RetentionSpec, RetrySpec, ScheduleSpec, TuningSpec};
use crate::value::CRON;
use rotator_core::config::{Foreign, LostMintPolicy, Retention, Retry, Schedule, TimeZone, Timing};

/// A setting, and where it was written if it was.
#[derive(Clone, Debug)]
pub(super) struct Setting<T> {
    pub value: T,
    pub span: Option<Span>,
}

impl<T> Setting<T> {
    fn built_in(value: T) -> Self {
        Self { value, span: None }
    }

    fn with(self, written: Option<At<T>>) -> Self {
        match written {
            Some(At { value, span }) => Self {
                value,
                span: Some(span),
            },
            None => self,
        }
    }
}

/// What `[defaults]` and accounts set.
#[derive(Clone, Debug)]
pub(super) struct Tuning {
    pub timing: Setting<Timing>,
    pub timezone: Setting<TimeZone>,
    pub jitter: Setting<Duration>,
    pub max_age: Setting<Duration>,
    pub overlap: Setting<Duration>,
    pub max_live: Setting<u32>,
    pub foreign: Setting<Foreign>,
    pub lost_mint: Setting<LostMintPolicy>,
    pub initial: Setting<Duration>,
    pub max: Setting<Duration>,
    pub rejected_login: Setting<Duration>,
    pub check_every: Setting<Duration>,
    pub verify_within: Setting<Duration>,
    pub smoke_test: Setting<bool>,
}

impl Tuning {
    /// Where the policy is silent.
    pub fn built_in() -> Self {
        let weekly = (CRON.parse)("30 3 * * SUN").expect("the built-in cron line is one");
        Self {
            timing: Setting::built_in(Timing::Cron(weekly)),
            timezone: Setting::built_in(TimeZone::UTC),
            jitter: Setting::built_in(secs(10 * 60)),
            max_age: Setting::built_in(secs(14 * 86_400)),
            overlap: Setting::built_in(secs(86_400)),
            max_live: Setting::built_in(8),
            foreign: Setting::built_in(Foreign::Keep),
            lost_mint: Setting::built_in(LostMintPolicy::Recover),
            initial: Setting::built_in(secs(30)),
            max: Setting::built_in(secs(3600)),
            rejected_login: Setting::built_in(secs(6 * 3600)),
            check_every: Setting::built_in(secs(15 * 60)),
            verify_within: Setting::built_in(secs(2 * 60)),
            smoke_test: Setting::built_in(true),
        }
    }

    /// What was written over what was not.
    pub fn with(self, spec: TuningSpec) -> Self {
        let TuningSpec {
            schedule,
            retention,
            retry,
            check_every,
            verify_within,
            smoke_test,
        } = spec;
        let ScheduleSpec {
            cron,
            every,
            timezone,
            jitter,
        } = schedule;
        let RetentionSpec {
            max_age,
            overlap,
            max_live,
            foreign,
            lost_mint,
        } = retention;
        let RetrySpec {
            initial,
            max,
            rejected_login,
        } = retry;
        let cron = cron.map(|At { value, span }| At {
            value: Timing::Cron(value),
            span,
        });
        let every = every.map(|At { value, span }| At {
            value: Timing::Every(value),
            span,
        });
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
        Retry {
            initial: self.initial.value,
            max: self.max.value,
            rejected_login: self.rejected_login.value,
        }
    }
}
