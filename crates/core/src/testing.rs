//! Fixtures and generators for the tests of this crate and of others.

#![expect(clippy::unwrap_used, reason = "fixtures for tests")]

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::config::{
    AccountPolicy, AdminLogin, CronExpr, FileAccess, FileSink, Foreign, LoginPolicy,
    LostMintPolicy, Receipt, Retention, Retry, Schedule, SinkKind, SinkPolicy, TimeZone, Timing,
    WebhookSink, WebhookUrl,
};
use crate::secret::SecretSource;

pub mod events;

/// When every made-up history begins.
pub fn start() -> DateTime<Utc> {
    "2026-03-02T00:00:00Z".parse().unwrap()
}

/// This many minutes.
pub fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// This many hours.
pub fn hours(count: u64) -> Duration {
    minutes(60 * count)
}

/// This many days.
pub fn days(count: u64) -> Duration {
    hours(24 * count)
}

/// The login of this user.
pub fn login(username: &str) -> LoginPolicy {
    LoginPolicy::Admin(AdminLogin {
        username: username.to_owned(),
        password: SecretSource::Env("UNUSED".to_owned()),
        platform_id: "aws80".to_owned(),
    })
}

/// The user that a policy logs in as.
pub fn user_of(policy: &AccountPolicy) -> &str {
    let LoginPolicy::Admin(AdminLogin { username, .. }) = &policy.login else {
        panic!("the stories of the plan know only logins with a password")
    };
    username
}

/// A policy with the defaults of the manual, but a schedule that is easy to reckon with.
pub fn policy(sinks: impl IntoIterator<Item = SinkPolicy>) -> AccountPolicy {
    AccountPolicy {
        name: "sales-ivr".to_owned(),
        login: login("ivr-bot@example.com"),
        schedule: every(days(7)),
        retention: Retention {
            max_age: days(14),
            overlap: hours(24),
            max_live: 8,
            foreign: Foreign::Keep,
            lost_mint: LostMintPolicy::Recover,
        },
        retry: Retry {
            initial: Duration::from_secs(30),
            max: minutes(60),
            rejected_login: hours(6),
        },
        check_every: minutes(15),
        verify_within: minutes(2),
        smoke_test: true,
        sinks: sinks.into_iter().collect(),
        peer_sinks: Vec::new(),
    }
}

/// A rotation every so often, without jitter.
pub fn every(interval: Duration) -> Schedule {
    Schedule {
        timing: Timing::Every(interval),
        timezone: TimeZone::UTC,
        jitter: Duration::ZERO,
    }
}

/// A cron line in a time zone.
#[track_caller]
pub fn cron(line: &str, timezone: &str) -> Schedule {
    let parser = croner::parser::CronParser::builder()
        .seconds(croner::parser::Seconds::Optional)
        .build();
    let expr = CronExpr {
        text: line.to_owned(),
        cron: parser.parse(line).unwrap(),
    };
    let timezone = TimeZone::named(timezone).unwrap();
    Schedule {
        timing: Timing::Cron(expr),
        timezone,
        jitter: Duration::ZERO,
    }
}

/// A required file sink of this name.
pub fn file(name: &str) -> SinkPolicy {
    let path = format!("/run/{name}").into();
    let kind = SinkKind::File(FileSink {
        path,
        access: FileAccess::default(),
        trailing_newline: false,
    });
    SinkPolicy {
        name: name.to_owned(),
        required: true,
        kind,
        notify: None,
        acknowledge: None,
    }
}

/// A required webhook of this name.
pub fn webhook(name: &str) -> SinkPolicy {
    let kind = SinkKind::Webhook(WebhookSink {
        url: WebhookUrl::new(format!("https://{name}.example.com/hook").parse().unwrap()),
        secret: SecretSource::Env("UNUSED".to_owned()),
        headers: Vec::new(),
        timeout: Duration::from_secs(10),
        receipt: Receipt::Status,
        network: Box::default(),
    });
    SinkPolicy {
        name: name.to_owned(),
        required: true,
        kind,
        notify: None,
        acknowledge: None,
    }
}
