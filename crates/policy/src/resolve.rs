//! The second step: from what is written to what is meant. Fills in defaults and makes paths
//! absolute.
//!
//! Every table is taken apart exhaustively, so that the compiler points here when an option is
//! added. An account or a sink that lacks something it needs is left out: an error about that has
//! been recorded by `parse`, or will be by `check`.

use std::path::Path;

use rotator_core::config::{
    AlertsPolicy, DaemonPolicy, EmailPolicy, LogPolicy, NetworkPolicy, Policy, ProxyChoice,
    ProxyLogin, RingcxPolicy,
};
use url::Url;

use crate::base_dir::BaseDir;
use crate::defaults;
use crate::issues::Issues;
use crate::parse::{
    AlertsSpec, DaemonSpec, DefaultsSpec, EmailSpec, LogSpec, NetworkSpec, PolicySpec, RingcxSpec,
};
use crate::source::At;

mod account;
mod tuning;

pub(crate) use tuning::{Setting, Tuning};

/// The policy, and what `check` needs to know beside it.
pub(crate) struct Resolved {
    /// Usable only if no error was recorded.
    pub policy: Policy,
    /// Schedule, retention and retry of each account, in the order of the [`PolicySpec`].
    pub tunings: Vec<Tuning>,
}

impl Resolved {
    /// Whether every account and every sink that is written is in the policy.
    pub fn is_complete(&self, spec: &PolicySpec) -> bool {
        let written = spec.accounts.iter().map(|account| account.sinks.len());
        let resolved = self.policy.accounts.iter();
        resolved.map(|account| account.sinks.len()).eq(written)
    }
}

/// Builds the policy whose main file is at `path`.
pub(crate) fn policy(path: &Path, spec: &PolicySpec, issues: &mut Issues) -> Resolved {
    let PolicySpec {
        // Only messages need it.
        file: _,
        daemon,
        log,
        ringcx,
        network,
        defaults,
        accounts,
        alerts,
    } = spec;
    let DefaultsSpec {
        tuning,
        passwords_dir,
    } = defaults;
    let base = BaseDir::of(path);
    let network = network_policy(network, base);
    let defaults = Tuning::built_in().with(tuning);
    let tunings: Vec<Tuning> = accounts
        .iter()
        .map(|account| defaults.clone().with(&account.tuning))
        .collect();
    let mut resolved = Vec::with_capacity(accounts.len());
    for (account, tuning) in accounts.iter().zip(&tunings) {
        let passwords_dir = passwords_dir.as_ref();
        resolved.extend(account::account(
            account,
            tuning,
            passwords_dir,
            (base, &network),
            issues,
        ));
    }
    // Needs all accounts: a sink of one may hold the token of any other.
    account::link_peers(&mut resolved);
    let policy = Policy {
        path: path.to_owned(),
        daemon: daemon_policy(daemon, base),
        log: log_policy(log),
        ringcx: ringcx_policy(ringcx, base, network),
        accounts: resolved,
        alerts: alerts_policy(alerts, base),
    };
    Resolved { policy, tunings }
}

fn daemon_policy(spec: &DaemonSpec, base: BaseDir<'_>) -> DaemonPolicy {
    let DaemonSpec {
        state_dir,
        control_socket,
        accounts_dir,
        max_concurrent_accounts,
        shutdown_grace,
    } = spec;
    let most = At::or(max_concurrent_accounts, defaults::MAX_CONCURRENT_ACCOUNTS);
    DaemonPolicy {
        state_dir: At::or(state_dir, defaults::STATE_DIR.into()),
        control_socket: At::or(control_socket, defaults::CONTROL_SOCKET.into()),
        accounts_dir: accounts_dir.as_ref().map(|at| base.join(&at.value)),
        max_concurrent_accounts: most as usize,
        shutdown_grace: At::or(shutdown_grace, defaults::SHUTDOWN_GRACE),
    }
}

fn log_policy(spec: &LogSpec) -> LogPolicy {
    let LogSpec { level, format } = spec;
    LogPolicy {
        level: At::or(level, defaults::LOG_LEVEL.to_owned()),
        format: At::or(format, defaults::LOG_FORMAT),
    }
}

fn network_policy(spec: &NetworkSpec, base: BaseDir<'_>) -> NetworkPolicy {
    let NetworkSpec {
        proxy,
        username,
        password,
        no_proxy,
    } = spec;
    NetworkPolicy {
        proxy: At::or(proxy, ProxyChoice::Environment),
        login: username
            .as_ref()
            .zip(password.as_ref())
            .map(|(username, password)| ProxyLogin {
                username: base.secret(&username.value),
                password: base.secret(&password.value),
            }),
        no_proxy: At::or(no_proxy, Vec::new()),
    }
}

fn ringcx_policy(spec: &RingcxSpec, base: BaseDir<'_>, network: NetworkPolicy) -> RingcxPolicy {
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
    let ringex_logins = At::or(ringex_logins_per_minute, defaults::RINGEX_LOGINS_PER_MINUTE);
    RingcxPolicy {
        base_url: At::or(base_url, built_in(defaults::BASE_URL)),
        ringex_url: At::or(ringex_url, built_in(defaults::RINGEX_URL)),
        ca_file: ca_file.as_ref().map(|at| base.join(&at.value)),
        connect_timeout: At::or(connect_timeout, defaults::CONNECT_TIMEOUT),
        request_timeout: At::or(request_timeout, defaults::REQUEST_TIMEOUT),
        login_encoding: At::or(login_encoding, defaults::LOGIN_ENCODING),
        logins_per_minute: At::or(logins_per_minute, defaults::LOGINS_PER_MINUTE),
        ringex_logins_per_minute: ringex_logins,
        requests_per_minute: At::or(requests_per_minute, defaults::REQUESTS_PER_MINUTE),
        network,
    }
}

fn built_in(address: &str) -> Url {
    Url::parse(address).expect("the built-in address is one")
}

fn alerts_policy(spec: &AlertsSpec, base: BaseDir<'_>) -> AlertsPolicy {
    let AlertsSpec {
        repeat_after,
        resolved,
        overdue_after,
        email,
    } = spec;
    AlertsPolicy {
        repeat_after: At::or(repeat_after, defaults::REPEAT_AFTER),
        resolved: At::or(resolved, defaults::RESOLVED),
        overdue_after: At::or(overdue_after, defaults::OVERDUE_AFTER),
        email: email.as_ref().and_then(|email| email_policy(email, base)),
    }
}

fn email_policy(spec: &EmailSpec, base: BaseDir<'_>) -> Option<EmailPolicy> {
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
        helo,
    } = spec;
    let tls = At::or(tls, defaults::TLS);
    let port = At::or(port, defaults::smtp_port(tls).into());
    Some(EmailPolicy {
        // A required key that is absent has its error since it was read.
        from: from.as_ref()?.value.clone(),
        to: to.as_ref()?.value.clone(),
        host: host.as_ref()?.value.0.clone(),
        port: u16::try_from(port).expect("the reader keeps it within 16 bits"),
        tls,
        username: username.as_ref().map(|at| at.value.clone()),
        password: password.as_ref().map(|at| base.secret(&at.value)),
        ca_file: ca_file.as_ref().map(|at| base.join(&at.value)),
        timeout: At::or(timeout, defaults::MAIL_TIMEOUT),
        helo: helo.as_ref().map(|at| at.value.clone()),
    })
}
