//! Which token belongs to which account.
//!
//! The list of a RingCX user shows the tokens of all accounts that log in as that user. Each of
//! them would take the others' for foreign, so it is looked up here whose they are. A token has one
//! owner: who claims it first has it.

use std::collections::{BTreeMap, BTreeSet};

use rotator_core::secret::Fingerprint;

/// The living tokens of all accounts that the journal knows.
#[derive(Default)]
pub(super) struct KnownTokens {
    owners: BTreeMap<Fingerprint, String>,
    by_account: BTreeMap<String, BTreeSet<Fingerprint>>,
}

impl KnownTokens {
    /// These are the account's tokens now. One that another account has stays that one's.
    pub(super) fn set(&mut self, account: &str, tokens: BTreeSet<Fingerprint>) {
        if self.by_account.get(account) == Some(&tokens) {
            return;
        }
        for token in &tokens {
            self.owners
                .entry(*token)
                .or_insert_with(|| account.to_owned());
        }
        let before = self.by_account.insert(account.to_owned(), tokens.clone());
        for gone in before.unwrap_or_default().difference(&tokens) {
            if self.owners.get(gone).is_some_and(|owner| owner == account) {
                self.owners.remove(gone);
            }
        }
    }

    /// Makes this the account's token. `false`: another account has it.
    pub(super) fn claim(&mut self, account: &str, token: Fingerprint) -> bool {
        let owner = self.owners.entry(token);
        let is_own = owner.or_insert_with(|| account.to_owned()) == account;
        if is_own {
            // So that it is free again if it is never recorded.
            let known = self.by_account.entry(account.to_owned()).or_default();
            known.insert(token);
        }
        is_own
    }

    /// The account that has this token.
    pub(super) fn owner(&self, token: &Fingerprint) -> Option<&String> {
        self.owners.get(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_owner_until_that_one_gives_it_up() {
        let token = |text: &str| Fingerprint::of(text.as_bytes());
        let mut known = KnownTokens::default();
        known.set("crm", [token("a")].into());
        assert!(known.claim("crm", token("a")) && !known.claim("ivr", token("a")));
        assert!(known.claim("ivr", token("b")) && !known.claim("crm", token("b")));
        // What was claimed and never recorded is free again.
        known.set("ivr", [token("a")].into());
        assert_eq!(known.owner(&token("b")), None);
        assert_eq!(known.owner(&token("a")).map(String::as_str), Some("crm"));
        known.set("crm", BTreeSet::new());
        assert!(known.claim("ivr", token("a")));
    }
}
