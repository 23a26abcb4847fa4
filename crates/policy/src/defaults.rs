//! The values of options that a policy leaves out.
//!
//! `config/ringcx-rotator.toml` documents each of them for operators; a test compares the two. The
//! defaults of a sink kind are in its own file below `sinks/`.

use std::time::Duration;

use rotator_core::config::{Foreign, LogFormat, LoginEncoding, LostMintPolicy, SmtpTls};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

// [daemon]
// The unit makes both directories: `StateDirectory=` and `RuntimeDirectory=`.
pub const STATE_DIR: &str = "/var/lib/ringcx-rotator";
pub const CONTROL_SOCKET: &str = "/run/ringcx-rotator/control.sock";
pub const MAX_CONCURRENT_ACCOUNTS: u32 = 32;
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);

// [log]
pub const LOG_LEVEL: &str = "info";
pub const LOG_FORMAT: LogFormat = LogFormat::Auto;

// [ringcx]
pub const BASE_URL: &str = "https://ringcx.ringcentral.com";
pub const RINGEX_URL: &str = "https://platform.ringcentral.com";
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
// As RingCX documents it.
pub const LOGIN_ENCODING: LoginEncoding = LoginEncoding::Query;
pub const LOGINS_PER_MINUTE: u32 = 5;
pub const RINGEX_LOGINS_PER_MINUTE: u32 = 5;
pub const REQUESTS_PER_MINUTE: u32 = 120;

// [defaults] and [[account]]
pub const CRON: &str = "30 3 * * SUN";
// Accounts that share a cron line do not all rotate at the same moment.
pub const JITTER: Duration = Duration::from_secs(10 * 60);
pub const MAX_AGE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
// Programs that read a sink only now and then have the time to see the new token.
pub const OVERLAP: Duration = DAY;
// Far more than the other defaults need (see `check/limits.rs`), and still an end to mints that go
// wrong.
pub const MAX_LIVE: u32 = 8;
// Tokens of others are deleted only where an operator says so.
pub const FOREIGN: Foreign = Foreign::Keep;
pub const LOST_MINT: LostMintPolicy = LostMintPolicy::Recover;
pub const RETRY_INITIAL: Duration = Duration::from_secs(30);
pub const RETRY_MAX: Duration = HOUR;
// Long, because repeated rejected logins can lock the user at RingCX.
pub const REJECTED_LOGIN: Duration = Duration::from_secs(6 * 60 * 60);
pub const CHECK_EVERY: Duration = Duration::from_secs(15 * 60);
pub const VERIFY_WITHIN: Duration = Duration::from_secs(2 * 60);
pub const SMOKE_TEST: bool = true;

// [[account.sink]]
pub const REQUIRED: bool = true;
pub const NOTIFY_TIMEOUT: Duration = MINUTE;
pub const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(2 * 60 * 60);

// [alerts]
pub const REPEAT_AFTER: Duration = DAY;
pub const RESOLVED: bool = true;
pub const OVERDUE_AFTER: Duration = DAY;

// [alerts.email]
pub const TLS: SmtpTls = SmtpTls::StartTls;
pub const MAIL_TIMEOUT: Duration = Duration::from_secs(20);

// The source of a secret
pub const SECRET_COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// The registered port of SMTP in this way: submission, submissions, smtp.
pub const fn smtp_port(tls: SmtpTls) -> u16 {
    match tls {
        SmtpTls::StartTls => 587,
        SmtpTls::Implicit => 465,
        SmtpTls::None => 25,
    }
}
