//! What the policy's files look like: one type a table, every option as it was written, with its
//! place.
//!
//! `None` is an option that was not written, or not well; the second has been recorded as a fault.
//! Defaults, and what options mean together, are `policy/validate.rs`.

use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::source::{At, Span};
use super::table::Table;
use super::value;
use rotator_core::config::{
    CronExpr, Foreign, LogFormat, LoginEncoding, LostMintPolicy, SmtpTls, TimeZone,
};
use rotator_core::secret::SecretSource;

mod consumer;
mod login;
mod sink;
pub(super) use consumer::{AcknowledgeSpec, ConsumerSpec, NotifySpec};
pub(super) use login::{LoginSpec, OwnSecret};
pub(super) use sink::{
    AccessSpec, AuthConfigSpec, CommandSpec, EnvFileSpec, FileSpec, SinkKindSpec, SinkSpec,
    TemplateSpec, WebhookSpec,
};

/// The main file.
pub(super) struct PolicySpec {
    pub daemon: DaemonSpec,
    pub log: LogSpec,
    pub ringcx: RingcxSpec,
    pub defaults: DefaultsSpec,
    pub accounts: Vec<AccountSpec>,
    pub alerts: AlertsSpec,
}

impl PolicySpec {
    pub fn read(table: &mut Table<'_>) -> Self {
        table.elsewhere(
            &["sink"],
            "sinks belong to an account: write [[account.sink]] below its [[account]]",
        );
        table.elsewhere(
            &["email"],
            "mail belongs to the alerts: write [alerts.email]",
        );
        Self {
            daemon: table.table("daemon", "[daemon]", DaemonSpec::read),
            log: table.table("log", "[log]", LogSpec::read),
            ringcx: table.table("ringcx", "[ringcx]", RingcxSpec::read),
            defaults: table.table("defaults", "[defaults]", DefaultsSpec::read),
            accounts: table.tables("account", "[[account]]", AccountSpec::read),
            alerts: table.table("alerts", "[alerts]", AlertsSpec::read),
        }
    }
}

/// A file of `accounts-dir`.
pub(super) fn read_accounts(table: &mut Table<'_>) -> Vec<AccountSpec> {
    let help = "files of accounts-dir hold only [[account]] tables: write this in the main file";
    table.elsewhere(&["daemon", "log", "ringcx", "defaults", "alerts"], help);
    table.tables("account", "[[account]]", AccountSpec::read)
}

/// `[daemon]`
#[derive(Default)]
pub(super) struct DaemonSpec {
    pub state_dir: Option<At<PathBuf>>,
    pub control_socket: Option<At<PathBuf>>,
    pub accounts_dir: Option<At<PathBuf>>,
    pub max_concurrent_accounts: Option<At<u32>>,
    pub shutdown_grace: Option<At<Duration>>,
}

impl DaemonSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            state_dir: table.value("state-dir", &value::ABSOLUTE_PATH),
            control_socket: table.value("control-socket", &value::SOCKET_PATH),
            accounts_dir: table.value("accounts-dir", &value::PATH),
            max_concurrent_accounts: table.number("max-concurrent-accounts", 1..=10_000),
            shutdown_grace: table.value("shutdown-grace", &value::TIME_SPAN),
        }
    }
}

/// `[log]`
#[derive(Default)]
pub(super) struct LogSpec {
    pub level: Option<At<String>>,
    pub format: Option<At<LogFormat>>,
}

impl LogSpec {
    fn read(table: &mut Table<'_>) -> Self {
        let formats = [
            ("auto", LogFormat::Auto),
            ("text", LogFormat::Text),
            ("json", LogFormat::Json),
            ("journald", LogFormat::Journald),
        ];
        Self {
            level: table.value("level", &value::LOG_FILTER),
            format: table.choice("format", &formats),
        }
    }
}

/// `[ringcx]`
#[derive(Default)]
pub(super) struct RingcxSpec {
    pub base_url: Option<At<Url>>,
    pub ringex_url: Option<At<Url>>,
    pub ca_file: Option<At<PathBuf>>,
    pub connect_timeout: Option<At<Duration>>,
    pub request_timeout: Option<At<Duration>>,
    pub login_encoding: Option<At<LoginEncoding>>,
    pub logins_per_minute: Option<At<u32>>,
    pub ringex_logins_per_minute: Option<At<u32>>,
    pub requests_per_minute: Option<At<u32>>,
}

impl RingcxSpec {
    fn read(table: &mut Table<'_>) -> Self {
        let encodings = [
            ("query", LoginEncoding::Query),
            ("form", LoginEncoding::Form),
        ];
        Self {
            base_url: table.value("base-url", &value::BASE_URL),
            ringex_url: table.value("ringex-url", &value::RINGEX_URL),
            ca_file: table.value("ca-file", &value::PATH),
            connect_timeout: table.value("connect-timeout", &value::TIME_SPAN),
            request_timeout: table.value("request-timeout", &value::TIME_SPAN),
            login_encoding: table.choice("login-encoding", &encodings),
            logins_per_minute: table.number("logins-per-minute", 1..=100_000),
            ringex_logins_per_minute: table.number("ringex-logins-per-minute", 1..=100_000),
            requests_per_minute: table.number("requests-per-minute", 1..=100_000),
        }
    }
}

/// `[defaults]`
#[derive(Default)]
pub(super) struct DefaultsSpec {
    pub tuning: TuningSpec,
    pub passwords_dir: Option<At<PathBuf>>,
}

impl DefaultsSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            tuning: TuningSpec::read(table),
            passwords_dir: table.value("passwords-dir", &value::PATH),
        }
    }
}

/// What `[defaults]` and an `[[account]]` both have.
#[derive(Default)]
pub(super) struct TuningSpec {
    pub schedule: ScheduleSpec,
    pub retention: RetentionSpec,
    pub retry: RetrySpec,
    pub check_every: Option<At<Duration>>,
    pub verify_within: Option<At<Duration>>,
    pub smoke_test: Option<At<bool>>,
}

impl TuningSpec {
    fn read(table: &mut Table<'_>) -> Self {
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
pub(super) struct ScheduleSpec {
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
pub(super) struct RetentionSpec {
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
pub(super) struct RetrySpec {
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

/// `[[account]]`
pub(super) struct AccountSpec {
    pub span: Span,
    pub name: Option<At<String>>,
    pub login: Option<LoginSpec>,
    pub tuning: TuningSpec,
    pub sinks: Vec<SinkSpec>,
}

impl AccountSpec {
    fn read(table: &mut Table<'_>) -> Self {
        table.elsewhere(
            &["passwords-dir"],
            "it is for all accounts: write it in [defaults]",
        );
        Self {
            span: table.span(),
            name: table.required("name", &value::NAME),
            login: LoginSpec::read(table),
            tuning: TuningSpec::read(table),
            sinks: table.tables("sink", "[[account.sink]]", SinkSpec::read),
        }
    }
}

/// `[alerts]`
#[derive(Default)]
pub(super) struct AlertsSpec {
    pub repeat_after: Option<At<Duration>>,
    pub resolved: Option<At<bool>>,
    pub overdue_after: Option<At<Duration>>,
    pub email: Option<EmailSpec>,
}

impl AlertsSpec {
    fn read(table: &mut Table<'_>) -> Self {
        table.elsewhere(
            &["from", "to", "host", "port", "tls"],
            "it belongs to [alerts.email]",
        );
        Self {
            repeat_after: table.value("repeat-after", &value::TIME_SPAN),
            resolved: table.flag("resolved"),
            overdue_after: table.value("overdue-after", &value::TIME_SPAN),
            email: table.optional_table("email", "[alerts.email]", EmailSpec::read),
        }
    }
}

/// `[alerts.email]`
pub(super) struct EmailSpec {
    pub from: Option<At<String>>,
    pub to: Option<At<Vec<String>>>,
    pub host: Option<At<(String, Host)>>,
    pub port: Option<At<u32>>,
    pub tls: Option<At<SmtpTls>>,
    pub username: Option<At<String>>,
    pub password: Option<At<SecretSource>>,
    pub ca_file: Option<At<PathBuf>>,
    pub timeout: Option<At<Duration>>,
}

impl EmailSpec {
    fn read(table: &mut Table<'_>) -> Self {
        let protections = [
            ("starttls", SmtpTls::StartTls),
            ("implicit", SmtpTls::Implicit),
            ("none", SmtpTls::None),
        ];
        let spec = Self {
            from: table.required("from", &value::MAILBOX),
            to: table.required_list("to", &value::MAILBOX),
            host: table.required("host", &value::HOST),
            port: table.number("port", 1..=65_535),
            tls: table.choice("tls", &protections),
            username: table.value("username", &value::LINE),
            password: table.secret("password"),
            ca_file: table.value("ca-file", &value::PATH),
            timeout: table.value("timeout", &value::TIME_SPAN),
        };
        for (one, other) in [("username", "password"), ("password", "username")] {
            if table.has(one) && !table.has(other) {
                let span = table.span();
                table
                    .issues()
                    .error(span, format!("`{one}` without `{other}`"))
                    .help("give both, or none if the server wants no login".to_owned());
            }
        }
        spec
    }
}
