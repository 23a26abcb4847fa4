//! The tables of the main file: one type for each, every option as it was written, with its place.
//!
//! `None` is an option that is absent or faulty; a faulty one has been recorded as an issue.
//! Defaults are filled in by `resolve`; relations between tables are left to `check`.

use std::path::PathBuf;
use std::time::Duration;

use rotator_core::config::{LogFormat, LoginEncoding, NoProxy, ProxyChoice, SmtpTls};
use rotator_core::secret::SecretSource;
use url::{Host, Url};

use super::account::AccountSpec;
use super::tuning::TuningSpec;
use crate::source::{At, FileId};
use crate::table::Table;
use crate::value;

/// The main file, and the accounts of `accounts-dir`.
pub(crate) struct PolicySpec {
    /// Id of the main file, for issues about the policy as a whole.
    pub file: FileId,
    pub daemon: DaemonSpec,
    pub log: LogSpec,
    pub ringcx: RingcxSpec,
    pub network: NetworkSpec,
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
            file: table.span().file,
            daemon: table.table("daemon", "[daemon]", DaemonSpec::read),
            log: table.table("log", "[log]", LogSpec::read),
            ringcx: table.table("ringcx", "[ringcx]", RingcxSpec::read),
            network: table.table("network", "[network]", NetworkSpec::read),
            defaults: table.table("defaults", "[defaults]", DefaultsSpec::read),
            accounts: table.tables("account", "[[account]]", AccountSpec::read),
            alerts: table.table("alerts", "[alerts]", AlertsSpec::read),
        }
    }
}

/// `[daemon]`, as it is written.
#[derive(Default)]
pub(crate) struct DaemonSpec {
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

/// `[log]`, as it is written.
#[derive(Default)]
pub(crate) struct LogSpec {
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

/// `[ringcx]`, as it is written.
#[derive(Default)]
pub(crate) struct RingcxSpec {
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

/// `[network]`, as it is written.
#[derive(Default)]
pub(crate) struct NetworkSpec {
    pub proxy: Option<At<ProxyChoice>>,
    pub username: Option<At<SecretSource>>,
    pub password: Option<At<SecretSource>>,
    pub no_proxy: Option<At<Vec<NoProxy>>>,
}

impl NetworkSpec {
    fn read(table: &mut Table<'_>) -> Self {
        let spec = Self {
            proxy: table.value("proxy", &value::PROXY),
            username: table.secret("proxy-username"),
            password: table.secret("proxy-password"),
            no_proxy: table.list("no-proxy", &value::NO_PROXY),
        };
        both_or_neither(table, "proxy-username", "proxy-password", "the proxy");
        spec
    }

    /// The secrets that it names.
    pub fn secrets(&self) -> impl Iterator<Item = &At<SecretSource>> {
        self.username.iter().chain(&self.password)
    }
}

/// Asked of the table and not of the values: a faulty one has been written, too.
fn both_or_neither(table: &mut Table<'_>, one: &str, other: &str, whose: &str) {
    for (one, other) in [(one, other), (other, one)] {
        if table.has(one) && !table.has(other) {
            let span = table.span();
            table
                .issues()
                .error(span, format!("`{one}` without `{other}`"))
                .help(format!("give both, or neither if {whose} needs no login"));
        }
    }
}

/// `[defaults]`, as it is written.
#[derive(Default)]
pub(crate) struct DefaultsSpec {
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

/// `[alerts]`, as it is written.
#[derive(Default)]
pub(crate) struct AlertsSpec {
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

/// `[alerts.email]`, as it is written.
pub(crate) struct EmailSpec {
    pub from: Option<At<String>>,
    pub to: Option<At<Vec<String>>>,
    /// As it is connected to, and parsed.
    pub host: Option<At<(String, Host)>>,
    pub port: Option<At<u32>>,
    pub tls: Option<At<SmtpTls>>,
    pub username: Option<At<String>>,
    pub password: Option<At<SecretSource>>,
    pub ca_file: Option<At<PathBuf>>,
    pub timeout: Option<At<Duration>>,
    pub helo: Option<At<String>>,
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
            helo: table.value("helo", &value::HELO),
        };
        both_or_neither(table, "username", "password", "the server");
        spec
    }
}
