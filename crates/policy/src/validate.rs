//! From what was written to what is meant: defaults, and what options mean together.
//!
//! Every table of the file is taken apart exhaustively, so that a new option cannot be forgotten
//! here. What is said of single values was said when they were read; the faults recorded here are
//! relations. A required option that is absent has been recorded too, and its table is left out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::issues::Issues;
use super::source::{At, Span};
use super::spec::{
    AccountSpec, AlertsSpec, DaemonSpec, DefaultsSpec, EmailSpec, LogSpec, OwnSecret, PolicySpec,
    RingcxSpec,
};
use super::table::sources;
use super::{did_you_mean, value};
use rotator_core::config::{
    AccountPolicy, AlertsPolicy, CronExpr, DaemonPolicy, EmailPolicy, LogFormat, LogPolicy,
    LoginEncoding, Policy, RingcxPolicy, SmtpTls,
};
use rotator_core::secret::SecretSource;

mod account;
mod consumer;
mod limits;
mod lints;
mod secret_files;
mod template;
mod unique;

/// Builds the policy. It is worth something only if no error was recorded.
pub(super) fn policy(
    path: &Path,
    main: PolicySpec,
    more: Vec<AccountSpec>,
    issues: &mut Issues,
) -> Policy {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let PolicySpec {
        daemon,
        log,
        ringcx,
        defaults,
        accounts,
        alerts,
    } = main;
    let DefaultsSpec {
        tuning,
        passwords_dir,
    } = defaults;
    let passwords_dir = passwords_dir.map(|at| At {
        value: directory.join(at.value),
        span: at.span,
    });
    let mut context = Context {
        directory,
        passwords_dir,
        issues,
        gaps: HashMap::new(),
    };
    unique::check(path, accounts.iter().chain(&more), &mut context);
    template::check_names(
        &accounts.iter().chain(&more).collect::<Vec<_>>(),
        &mut context,
    );
    let defaults = limits::Tuning::built_in().with(tuning);
    let mut accounts: Vec<AccountPolicy> = accounts
        .into_iter()
        .chain(more)
        .filter_map(|account| account::account(account, &defaults, &mut context))
        .collect();
    template::serve_elsewhere(&mut accounts);
    Policy {
        path: path.to_owned(),
        daemon: context.daemon(daemon),
        log: context.log(log),
        ringcx: context.ringcx(ringcx),
        accounts,
        alerts: context.alerts(alerts),
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What was written, or the default.
fn or<T>(written: Option<At<T>>, default: T) -> T {
    written.map_or(default, |at| at.value)
}

/// What every table is read with.
struct Context<'c> {
    /// Where relative paths start.
    directory: &'c Path,
    /// Where the secret of an account is that names none.
    passwords_dir: Option<At<PathBuf>>,
    issues: &'c mut Issues,
    /// The time between rotations, by cron line: reckoned once for all who inherit it.
    gaps: HashMap<String, Option<Duration>>,
}

impl Context<'_> {
    fn daemon(&self, spec: DaemonSpec) -> DaemonPolicy {
        let DaemonSpec {
            state_dir,
            control_socket,
            accounts_dir,
            max_concurrent_accounts,
            shutdown_grace,
        } = spec;
        DaemonPolicy {
            state_dir: or(state_dir, "/var/lib/ringcx-rotator".into()),
            control_socket: or(control_socket, super::load::DEFAULT_CONTROL_SOCKET.into()),
            accounts_dir: accounts_dir.map(|at| self.directory.join(at.value)),
            max_concurrent_accounts: or(max_concurrent_accounts, 32) as usize,
            shutdown_grace: or(shutdown_grace, secs(30)),
        }
    }

    fn log(&mut self, spec: LogSpec) -> LogPolicy {
        let LogSpec { level, format } = spec;
        if let Some(At { value: text, span }) = &level {
            let levels = ["error", "warn", "info", "debug", "trace", "off"];
            let lower = text.to_ascii_lowercase();
            // `inof` is a filter too: it lets through what a module of that name says, and nothing
            // else.
            let bare =
                lower.bytes().all(|b| b.is_ascii_alphabetic()) && !levels.contains(&lower.as_str());
            if let Some(help) = did_you_mean::did_you_mean(&lower, levels).filter(|_| bare) {
                let message = "this is no level: it is taken for the name of a module";
                self.issues.warning(*span, message).help(help);
            }
        }
        LogPolicy {
            level: or(level, "info".to_owned()),
            format: or(format, LogFormat::Auto),
        }
    }

    fn ringcx(&mut self, spec: RingcxSpec) -> RingcxPolicy {
        let RingcxSpec {
            base_url,
            ringex_url,
            ca_file,
            connect_timeout,
            request_timeout,
            login_encoding,
            logins_per_minute,
            ringex_logins_per_minute,
            requests_per_minute,
        } = spec;
        let place = connect_timeout
            .as_ref()
            .or(request_timeout.as_ref())
            .map(|at| at.span);
        let policy = RingcxPolicy {
            base_url: or(base_url, built_in("https://ringcx.ringcentral.com")),
            ringex_url: or(ringex_url, built_in("https://platform.ringcentral.com")),
            ca_file: ca_file.map(|at| self.directory.join(at.value)),
            connect_timeout: or(connect_timeout, secs(10)),
            request_timeout: or(request_timeout, secs(30)),
            login_encoding: or(login_encoding, LoginEncoding::Query),
            logins_per_minute: or(logins_per_minute, 5),
            ringex_logins_per_minute: or(ringex_logins_per_minute, 5),
            requests_per_minute: or(requests_per_minute, 120),
        };
        if let Some(place) = place.filter(|_| policy.connect_timeout > policy.request_timeout) {
            let message =
                "`connect-timeout` is longer than `request-timeout`, which ends the call before it";
            self.issues.warning(place, message);
        }
        policy
    }

    fn alerts(&mut self, spec: AlertsSpec) -> AlertsPolicy {
        let AlertsSpec {
            repeat_after,
            resolved,
            overdue_after,
            email,
        } = spec;
        AlertsPolicy {
            repeat_after: or(repeat_after, secs(86_400)),
            resolved: or(resolved, true),
            overdue_after: or(overdue_after, secs(86_400)),
            email: email.and_then(|email| self.email(email)),
        }
    }

    fn email(&mut self, spec: EmailSpec) -> Option<EmailPolicy> {
        let EmailSpec {
            from,
            to,
            host,
            port,
            tls,
            username,
            password,
            ca_file,
            timeout,
        } = spec;
        let protection = tls.as_ref().map_or(SmtpTls::StartTls, |at| at.value);
        if let (SmtpTls::None, Some(tls), Some(host)) = (protection, &tls, &host)
            && !value::is_loopback(&host.value.1)
        {
            self.issues
                .error(
                    tls.span,
                    "`tls = \"none\"` is only for a server on loopback",
                )
                .help("use \"starttls\" or \"implicit\"".to_owned());
        }
        if let Some(At {
            value: number,
            span,
        }) = port
        {
            let help = match (number, protection) {
                (465, SmtpTls::StartTls) => Some("port 465 expects `tls = \"implicit\"`"),
                (25 | 587, SmtpTls::Implicit) => Some("this port expects `tls = \"starttls\"`"),
                (_, SmtpTls::StartTls | SmtpTls::Implicit | SmtpTls::None) => None,
            };
            if let Some(help) = help {
                self.issues
                    .warning(span, "port and `tls` do not go together")
                    .help(help.to_owned());
            }
        }
        let default_port = match protection {
            SmtpTls::StartTls => 587,
            SmtpTls::Implicit => 465,
            SmtpTls::None => 25,
        };
        let port =
            u16::try_from(or(port, default_port)).expect("the reader keeps it within 16 bits");
        Some(EmailPolicy {
            from: from?.value,
            to: to?.value,
            host: host?.value.0,
            port,
            tls: protection,
            username: username.map(|at| at.value),
            password: password.map(|at| self.secret(at)),
            ca_file: ca_file.map(|at| self.directory.join(at.value)),
            timeout: or(timeout, secs(20)),
        })
    }

    fn gap(&mut self, cron: &CronExpr) -> Option<Duration> {
        let reckoned = self.gaps.get(&cron.text).copied();
        reckoned.unwrap_or_else(|| {
            *self
                .gaps
                .entry(cron.text.clone())
                .or_insert(value::shortest_gap(cron))
        })
    }

    /// The secret of an account that may have left it to `passwords-dir`, where its file is `file`;
    /// without either it is missing.
    fn own_secret(
        &mut self,
        secret: OwnSecret,
        key: &str,
        file: Option<String>,
        account: Span,
    ) -> Option<SecretSource> {
        match secret {
            OwnSecret::Source(at) => Some(self.secret(at)),
            OwnSecret::Faulty => None,
            OwnSecret::Absent => {
                let Some(At {
                    value: directory,
                    span,
                }) = &self.passwords_dir
                else {
                    let message = format!("`{key}` is missing in [[account]]");
                    self.issues.error(account, message).help(sources(key));
                    return None;
                };
                // Without a name that has been recorded.
                let source = SecretSource::File(directory.join(file?));
                Some(self.secret(At {
                    value: source,
                    span: *span,
                }))
            }
        }
    }

    /// Resolves the path of a secret, and warns if others can read it.
    fn secret(&mut self, at: At<SecretSource>) -> SecretSource {
        let source = match at.value {
            SecretSource::File(path) => SecretSource::File(self.directory.join(path)),
            SecretSource::Credential(name) => SecretSource::Credential(name),
            SecretSource::Env(name) => SecretSource::Env(name),
            SecretSource::Command(command) => SecretSource::Command(command),
        };
        if let Some(warning) = secret_files::warning(&source) {
            self.issues.warning(at.span, warning.to_string());
        }
        source
    }
}

fn built_in(address: &str) -> Url {
    Url::parse(address).expect("the built-in address is one")
}
