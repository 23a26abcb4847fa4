//! What a valid policy says, defaults filled in.
//!
//! Plain data. Reading it from TOML, and every reason why a file is not a policy, is in the
//! `policy` crate; a [`Policy`] that came from there needs no second check.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::SecretSource;

mod consumer;
mod login;
mod network;
mod sinks;
mod time_zone;

pub use consumer::{Acknowledge, Notify, NotifyWhat, UnitAction};
pub use login::{AdminLogin, LoginPolicy, RingExLogin};
pub use network::{
    NetworkPolicy, NoProxy, ProxyAddress, ProxyAddressError, ProxyChoice, ProxyLogin, is_loopback,
};
pub use sinks::*; // so that a new kind of sink changes nothing here
pub use time_zone::TimeZone;

/// A whole, valid policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The main file, absolute.
    pub path: PathBuf,
    /// `[daemon]`: directories, socket and limits of the process.
    pub daemon: DaemonPolicy,
    /// `[log]`: what is logged, and in which form.
    pub log: LogPolicy,
    /// `[ringcx]`: addresses, timeouts and limits of the calls to RingCX and RingEX.
    pub ringcx: RingcxPolicy,
    /// Every `[[account]]`, in the order of the file, then those of `accounts-dir` by file name.
    pub accounts: Vec<AccountPolicy>,
    /// `[alerts]`: when incidents are mailed, and where to.
    pub alerts: AlertsPolicy,
}

/// `[daemon]`: directories, socket and limits of the process.
#[derive(Clone, Debug, PartialEq)]
pub struct DaemonPolicy {
    /// Holds the journal and the lock.
    pub state_dir: PathBuf,
    /// Where `status`, `rotate` and the others reach the daemon.
    pub control_socket: PathBuf,
    /// Where more accounts are read from.
    pub accounts_dir: Option<PathBuf>,
    /// How many accounts are worked on at once.
    pub max_concurrent_accounts: usize,
    /// How long a step in flight may take after SIGTERM.
    pub shutdown_grace: Duration,
}

/// `[log]`: what is logged, and in which form.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPolicy {
    /// A `tracing` filter, known to parse.
    pub level: String,
    /// The form of a log line: text, JSON, or an entry of systemd's journal.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `journald` under systemd, else `text`.
    Auto,
    /// One line of plain text for each entry, for people.
    Text,
    /// One JSON object a line.
    Json,
    /// Straight to the journal of systemd, with fields.
    Journald,
}

/// `[ringcx]`: addresses, timeouts and limits of the calls to RingCX and RingEX.
#[derive(Clone, Debug, PartialEq)]
pub struct RingcxPolicy {
    /// Scheme, host and port, and a path prefix if any; never a user, query or fragment.
    pub base_url: url::Url,
    /// Where RingEX answers, by the same rules.
    pub ringex_url: url::Url,
    /// An extra trust anchor, PEM.
    pub ca_file: Option<PathBuf>,
    /// For the TCP and TLS handshakes.
    pub connect_timeout: Duration,
    /// For a whole call, body included.
    pub request_timeout: Duration,
    /// How the login's fields are sent.
    pub login_encoding: LoginEncoding,
    /// Logins to RingCX that one account may make in a minute.
    pub logins_per_minute: u32,
    /// Logins to RingEX that one app may make in a minute, over all accounts that use it.
    pub ringex_logins_per_minute: u32,
    /// Calls to RingCX that one account may make in a minute.
    pub requests_per_minute: u32,
    /// The way to both of them.
    pub network: NetworkPolicy,
}

/// How the login's fields are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginEncoding {
    /// In the query string, as documented.
    Query,
    /// As a form body, as RingCX's own web app does.
    Form,
}

/// One `[[account]]`, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountPolicy {
    /// Name of the account, unique in the policy: `[a-z0-9][a-z0-9-]{0,62}`.
    pub name: String,
    /// How it logs in, and as whom.
    pub login: LoginPolicy,
    /// When its tokens are rotated.
    pub schedule: Schedule,
    /// What happens to old tokens.
    pub retention: Retention,
    /// How failures are tried again.
    pub retry: Retry,
    /// How often sinks and the token are looked at between rotations.
    pub check_every: Duration,
    /// How long a fresh token may take to work.
    pub verify_within: Duration,
    /// Whether verifying also calls `GET admin/accounts`.
    pub smoke_test: bool,
    /// Where its tokens are delivered to.
    pub sinks: Vec<SinkPolicy>,
    /// Required template sinks of other accounts that hold a token of this one too.
    pub peer_sinks: Vec<PeerSink>,
}

/// When to rotate: a cron line or an interval, and the spread around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// A cron line or an interval.
    pub timing: Timing,
    /// In which the cron line is read.
    pub timezone: TimeZone,
    /// The widest spread of a run, drawn from account and occurrence.
    pub jitter: Duration,
}

/// A cron line or an interval.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one an account, and it lives in its policy"
)]
pub enum Timing {
    /// `cron = "…"`: at every occurrence of this line.
    Cron(CronExpr),
    /// `every = "…"`: that long after the last rotation began.
    Every(Duration),
}

/// A cron line known to parse, and to come due at some time.
#[derive(Clone)]
pub struct CronExpr {
    /// As written in the policy.
    pub text: String,
    /// The same line as parsed: what occurrences are found with.
    pub cron: croner::Cron,
}

impl fmt::Debug for CronExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text alone: it determines the parsed form, which is long to print.
        write!(f, "CronExpr({:?})", self.text)
    }
}

impl PartialEq for CronExpr {
    fn eq(&self, other: &Self) -> bool {
        // The text determines the parsed form, so a reload need not compare more.
        self.text == other.text
    }
}

/// What happens to old tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Retention {
    /// The age at which a token may go.
    pub max_age: Duration,
    /// How long a token stays after its successor was promoted.
    pub overlap: Duration,
    /// With so many of ours alive nothing is minted.
    pub max_live: u32,
    /// What to do with tokens that are not ours.
    pub foreign: Foreign,
    /// What to do with the one new token on the list after a mint whose answer was lost.
    pub lost_mint: LostMintPolicy,
}

/// What to do with tokens that are not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Counted, shown, never touched.
    Keep,
    /// They age from when they were first seen, and retire under the same rule.
    Adopt,
}

/// What to do with the one new token on the list after a mint whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostMintPolicy {
    /// It becomes the generation that was intended.
    Recover,
    /// It is left alone as foreign, with an incident.
    Keep,
}

/// How failures are tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// The wait after the first failure in a row.
    pub initial: Duration,
    /// The longest wait: waits grow with every failure up to this.
    pub max: Duration,
    /// The wait after a login answered 401 or 403.
    pub rejected_login: Duration,
}

/// `[alerts]`: when incidents are mailed, and where to.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertsPolicy {
    /// An incident still open is mailed again after this.
    pub repeat_after: Duration,
    /// Whether the end of an incident is mailed.
    pub resolved: bool,
    /// A rotation or retirement due for longer is an incident of its own.
    pub overdue_after: Duration,
    /// Where mail goes; without it incidents are only logged and shown.
    pub email: Option<EmailPolicy>,
}

/// `[alerts.email]`: the mail server, and who writes to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct EmailPolicy {
    /// The sender's mailbox, such as `On Call <name@example.com>`.
    pub from: String,
    /// The recipients' mailboxes, at least one.
    pub to: Vec<String>,
    /// The SMTP server, by name or address (IPv6 without brackets).
    pub host: String,
    /// Its port; where the policy is silent 587, 465 or 25, as `tls` has it.
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// AUTH, if the server wants it; there with `password` or not at all.
    pub username: Option<String>,
    /// Where the password of `username` is read from.
    pub password: Option<SecretSource>,
    /// An extra trust anchor, PEM.
    pub ca_file: Option<PathBuf>,
    /// For connecting and for the TLS handshake; each later step has the time that SMTP gives it.
    pub timeout: Duration,
    /// The name or address literal to introduce this machine by; without it the machine's fully
    /// qualified name, else its address.
    pub helo: Option<String>,
}

/// How an SMTP connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// Plain, then STARTTLS, which must be offered.
    StartTls,
    /// TLS from the first byte.
    Implicit,
    /// None, only for loopback.
    None,
}

impl Policy {
    /// The account of this name.
    pub fn account(&self, name: &str) -> Option<&AccountPolicy> {
        self.accounts.iter().find(|account| account.name == name)
    }

    /// The longest that a single call, to RingCX, to a webhook or of another program, may take.
    pub fn longest_call(&self) -> Duration {
        let network = &self.ringcx.network;
        let ringcx = (self.ringcx.request_timeout).saturating_add(network.longest_read());
        // A pass that only waits for such a call must not be taken for one that hangs.
        let sinks = self.accounts.iter().flat_map(|account| &account.sinks);
        let calls = sinks.flat_map(|sink| {
            [
                sink.kind.longest_call(),
                sink.notify.as_ref().map(|notify| notify.timeout),
            ]
        });
        let logins = self
            .accounts
            .iter()
            .map(|account| account.login.longest_read());
        calls.flatten().chain(logins).fold(ringcx, Duration::max)
    }
}
