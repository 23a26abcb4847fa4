//! Names that can be given only once: those of accounts, over all files, and those of the sinks of
//! one account.

use std::collections::HashMap;

use crate::issues::Issues;
use crate::parse::AccountSpec;
use crate::source::{At, Span};

pub(super) fn check(accounts: &[AccountSpec], issues: &mut Issues) {
    let names = accounts.iter().filter_map(|account| account.name.as_ref());
    check_names(names, "account", issues);
    for account in accounts {
        let names = account.sinks.iter().filter_map(|sink| sink.name.as_ref());
        check_names(names, "sink of this account", issues);
    }
}

fn check_names<'s>(names: impl Iterator<Item = &'s At<String>>, what: &str, issues: &mut Issues) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for At { value: name, span } in names {
        // The first one stays in the map, so that all later ones point at the same place.
        match seen.get(name.as_str()) {
            Some(first) => {
                issues
                    .error(*span, format!("another {what} is called `{name}`"))
                    .other("the first is at", *first);
            }
            None => {
                seen.insert(name, *span);
            }
        }
    }
}
