//! Schedule, retention and retry of an account: the built-in defaults, `[defaults]` over them, the
//! account's own keys over both.
//!
//! One key overrides one key, except that `cron` and `every` are one choice: setting one drops the
//! other. For example, an account with `every = "12h"` has no cron line, whatever `[defaults]` has.

use std::time::Duration;

use rotator_core::config::{Foreign, LostMintPolicy, Retention, Retry, Schedule, TimeZone, Timing};

use crate::defaults;
use crate::parse::{RetentionSpec, RetrySpec, ScheduleSpec, TuningSpec};
use crate::source::{At, Span};
use crate::value::CRON;

/// A setting, and where it is written; a built-in default is written nowhere.
#[derive(Clone, Debug)]
pub(crate) struct Setting<T> {
    pub value: T,
    pub span: Option<Span>,
}

impl<T> Setting<T> {
    fn built_in(value: T) -> Self {
        Self { value, span: None }
    }

    fn with(self, written: &Option<At<T>>) -> Self
    where
        T: Clone,
    {
        match written {
            Some(At { value, span }) => Self {
                value: value.clone(),
                span: Some(*span),
            },
            None => self,
        }
    }
}

/// The settings of one account, or of `[defaults]`.
#[derive(Clone, Debug)]
pub(crate) struct Tuning {
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
    pub fn built_in() -> Self {
        let cron = (CRON.parse)(defaults::CRON).expect("the built-in cron line is one");
        Self {
            timing: Setting::built_in(Timing::Cron(cron)),
            timezone: Setting::built_in(TimeZone::UTC),
            jitter: Setting::built_in(defaults::JITTER),
            max_age: Setting::built_in(defaults::MAX_AGE),
            overlap: Setting::built_in(defaults::OVERLAP),
            max_live: Setting::built_in(defaults::MAX_LIVE),
            foreign: Setting::built_in(defaults::FOREIGN),
            lost_mint: Setting::built_in(defaults::LOST_MINT),
            initial: Setting::built_in(defaults::RETRY_INITIAL),
            max: Setting::built_in(defaults::RETRY_MAX),
            rejected_login: Setting::built_in(defaults::REJECTED_LOGIN),
            check_every: Setting::built_in(defaults::CHECK_EVERY),
            verify_within: Setting::built_in(defaults::VERIFY_WITHIN),
            smoke_test: Setting::built_in(defaults::SMOKE_TEST),
        }
    }

    /// These settings, overridden by what is written.
    pub fn with(self, spec: &TuningSpec) -> Self {
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
        let cron = cron.as_ref().map(|cron| At {
            value: Timing::Cron(cron.value.clone()),
            span: cron.span,
        });
        // Where both are written, which is an error, either will do.
        let every = every.as_ref().map(|every| At {
            value: Timing::Every(every.value),
            span: every.span,
        });
        Self {
            // One setting for both keys, so that either replaces the other one of a wider scope.
            timing: self.timing.with(&cron.or(every)),
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
