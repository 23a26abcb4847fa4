//! The keys that `[defaults]` and an `[[account]]` have in common.

use std::time::Duration;

use rotator_core::config::{CronExpr, Foreign, LostMintPolicy, TimeZone};

use crate::source::At;
use crate::table::Table;
use crate::value;

/// As they were written in `[defaults]` or in one account.
#[derive(Default)]
pub(crate) struct TuningSpec {
    pub schedule: ScheduleSpec,
    pub retention: RetentionSpec,
    pub retry: RetrySpec,
    pub check_every: Option<At<Duration>>,
    pub verify_within: Option<At<Duration>>,
    pub smoke_test: Option<At<bool>>,
}

impl TuningSpec {
    pub fn read(table: &mut Table<'_>) -> Self {
        table.elsewhere(
            &["cron", "every", "timezone", "jitter"],
            "it belongs to the schedule: `schedule = { cron = \"30 3 * * SUN\" }`",
        );
        table.elsewhere(
            &["max-age", "overlap", "max-live", "foreign", "lost-mint"],
            "it belongs to the retention: `retention = { max-age = \"14d\" }`",
        );
        table.elsewhere(
            &["initial", "max", "rejected-login"],
            "it belongs to the retry: `retry = { initial = \"30s\" }`",
        );
        Self {
            schedule: table.table("schedule", "schedule", ScheduleSpec::read),
            retention: table.table("retention", "retention", RetentionSpec::read),
            retry: table.table("retry", "retry", RetrySpec::read),
            check_every: table.value("check-every", &value::TIME_SPAN),
            verify_within: table.value("verify-within", &value::TIME_SPAN),
            smoke_test: table.flag("smoke-test"),
        }
    }
}

/// `schedule = { … }`
#[derive(Default)]
pub(crate) struct ScheduleSpec {
    pub cron: Option<At<CronExpr>>,
    pub every: Option<At<Duration>>,
    pub timezone: Option<At<TimeZone>>,
    pub jitter: Option<At<Duration>>,
}

impl ScheduleSpec {
    fn read(table: &mut Table<'_>) -> Self {
        let spec = Self {
            cron: table.value("cron", &value::CRON),
            every: table.value("every", &value::INTERVAL),
            timezone: table.value("timezone", &value::TIMEZONE),
            jitter: table.value("jitter", &value::DURATION),
        };
        if table.has("cron") && table.has("every") {
            let span = spec.every.as_ref().map_or(table.span(), |every| every.span);
            table
                .issues()
                .error(span, "`cron` and `every` exclude each other")
                .help("keep the one that is meant".to_owned());
        }
        spec
    }
}

/// `retention = { … }`
#[derive(Default)]
pub(crate) struct RetentionSpec {
    pub max_age: Option<At<Duration>>,
    pub overlap: Option<At<Duration>>,
    pub max_live: Option<At<u32>>,
    pub foreign: Option<At<Foreign>>,
    pub lost_mint: Option<At<LostMintPolicy>>,
}

impl RetentionSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            max_age: table.value("max-age", &value::DURATION),
            overlap: table.value("overlap", &value::DURATION),
            // A rotation needs two: the old token serves until the new one is proved.
            max_live: table.number("max-live", 2..=1000),
            foreign: table.choice(
                "foreign",
                &[("keep", Foreign::Keep), ("adopt", Foreign::Adopt)],
            ),
            lost_mint: table.choice(
                "lost-mint",
                &[
                    ("recover", LostMintPolicy::Recover),
                    ("keep", LostMintPolicy::Keep),
                ],
            ),
        }
    }
}

/// `retry = { … }`
#[derive(Default)]
pub(crate) struct RetrySpec {
    pub initial: Option<At<Duration>>,
    pub max: Option<At<Duration>>,
    pub rejected_login: Option<At<Duration>>,
}

impl RetrySpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            initial: table.value("initial", &value::TIME_SPAN),
            max: table.value("max", &value::TIME_SPAN),
            rejected_login: table.value("rejected-login", &value::TIME_SPAN),
        }
    }
}
