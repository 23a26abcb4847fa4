//! One account and its sinks.

use std::path::PathBuf;

use rotator_core::config::{
    AccountPolicy, AdminLogin, LoginPolicy, NetworkPolicy, PeerSink, RingExLogin,
};

use super::tuning::Tuning;
use crate::base_dir::BaseDir;
use crate::issues::Issues;
use crate::parse::{AccountSpec, LoginSpec};
use crate::sinks::SinkPlace;
use crate::source::At;

/// The account, with the sinks that are complete; none where it has no name or no login.
pub(super) fn account(
    spec: &AccountSpec,
    tuning: &Tuning,
    passwords_dir: Option<&At<PathBuf>>,
    (base, network): (BaseDir<'_>, &NetworkPolicy),
    issues: &mut Issues,
) -> Option<AccountPolicy> {
    let AccountSpec {
        span: _,
        name,
        login,
        // `tuning` is what is meant: what this account has over what `[defaults]` has.
        tuning: _,
        sinks,
    } = spec;
    let account = name.as_ref().map(|name| name.value.as_str());
    let place = SinkPlace {
        base,
        account,
        network,
    };
    // Before what is absent ends it: a template may have more to report.
    let sinks: Vec<_> = sinks
        .iter()
        .filter_map(|sink| sink.resolve(&place, issues))
        .collect();
    Some(AccountPolicy {
        name: account?.to_owned(),
        login: login_policy(login.as_ref()?, account, passwords_dir, base)?,
        schedule: tuning.schedule(),
        retention: tuning.retention(),
        retry: tuning.retry(),
        check_every: tuning.check_every.value,
        verify_within: tuning.verify_within.value,
        smoke_test: tuning.smoke_test.value,
        sinks,
        // Known only once there are all accounts; see `link_peers`.
        peer_sinks: Vec::new(),
    })
}

fn login_policy(
    spec: &LoginSpec,
    account: Option<&str>,
    passwords_dir: Option<&At<PathBuf>>,
    base: BaseDir<'_>,
) -> Option<LoginPolicy> {
    match spec {
        LoginSpec::Admin {
            username,
            password,
            platform_id,
        } => {
            let password = password.source(account, passwords_dir)?;
            Some(LoginPolicy::Admin(AdminLogin {
                username: username.as_ref()?.value.clone(),
                password: base.secret(&password.value),
                platform_id: platform_id.as_ref()?.value.clone(),
            }))
        }
        LoginSpec::RingEx {
            client_id,
            client_secret,
            jwt,
        } => Some(LoginPolicy::RingEx(RingExLogin {
            client_id: client_id.as_ref()?.value.clone(),
            client_secret: base.secret(&client_secret.as_ref()?.value),
            jwt: base.secret(&jwt.as_ref()?.value),
        })),
    }
}

/// Adds to each account the required sinks of other accounts that hold a token of it: its old
/// token must not be deleted before those have the new one.
pub(super) fn link_peers(accounts: &mut [AccountPolicy]) {
    // Collected before any account is changed: a sink may name accounts before and after its own.
    let mut holders: Vec<(String, PeerSink)> = Vec::new();
    for account in accounts.iter() {
        // An optional sink holds up no deletion, in its own account or another one.
        for sink in account.sinks.iter().filter(|sink| sink.required) {
            let holder = PeerSink {
                account: account.name.clone(),
                sink: sink.name.clone(),
            };
            let peers = sink.kind.peers().iter();
            holders.extend(peers.map(|peer| (peer.clone(), holder.clone())));
        }
    }
    for account in accounts {
        let own = holders.iter().filter(|(peer, _)| *peer == account.name);
        account.peer_sinks = own.map(|(_, holder)| holder.clone()).collect();
    }
}
