//! The other accounts whose tokens a sink holds: each exists, and is not the sink's own.

use std::collections::BTreeSet;

use crate::did_you_mean::did_you_mean;
use crate::issues::Issues;
use crate::parse::AccountSpec;
use crate::source::At;

pub(super) fn check(accounts: &[AccountSpec], issues: &mut Issues) {
    let known: BTreeSet<&str> = accounts.iter().filter_map(AccountSpec::own_name).collect();
    for account in accounts {
        let kinds = account.sinks.iter().filter_map(|sink| sink.kind.as_ref());
        for peers in kinds.filter_map(|kind| kind.peers()) {
            check_list(peers, account.own_name(), &known, issues);
        }
    }
}

fn check_list(
    peers: &At<Vec<String>>,
    own: Option<&str>,
    known: &BTreeSet<&str>,
    issues: &mut Issues,
) {
    let At { value: names, span } = peers;
    let mut seen = BTreeSet::new();
    for name in names {
        if Some(name.as_str()) == own {
            let message = format!("`{name}` is the account of this sink itself");
            issues
                .error(*span, message)
                .help("its own token is `token`, without `accounts`".to_owned());
        } else if !known.contains(name.as_str()) {
            issues
                .error(*span, format!("there is no account `{name}`"))
                .help(did_you_mean(name, known.iter().copied()));
        } else if !seen.insert(name) {
            issues.error(*span, format!("`accounts` has `{name}` twice"));
        }
    }
}
