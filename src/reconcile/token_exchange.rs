//! What the accounts of one process tell each other: which token of each is to be used, and which
//! tokens of others their templates hold.
//!
//! Everything here is in memory. After a start nothing is known of what a template holds until its
//! owner has looked, and whoever would delete a token waits for that. What this does not know: when
//! a token is due, and what is done about anything; whom it concerns is woken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, watch};

use rotator_core::event::PeerToken;
use rotator_core::secret::Fingerprint;
use rotator_core::template::RenderedToken;

/// The board on which accounts tell each other.
#[derive(Clone, Default)]
pub struct TokenExchange(Arc<ExchangeShared>);

#[derive(Default)]
struct ExchangeShared {
    state: Mutex<ExchangeState>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct ExchangeState {
    accounts: BTreeMap<String, PeerAccount>,
    /// By account and sink. What is not here is unknown.
    held: BTreeMap<(String, String), BTreeMap<String, PeerToken>>,
}

#[derive(Default)]
struct PeerAccount {
    /// Somebody works on it.
    is_here: bool,
    /// The token that others are to use, and its text where that is at hand.
    token: Option<(PeerToken, Option<RenderedToken>)>,
    /// Somebody needs its token's text.
    is_wanted: bool,
    wakeup: Arc<Notify>,
    /// It was rung for and has not begun a pass since.
    is_woken: bool,
    is_passing: bool,
}

impl TokenExchange {
    /// An account is worked on from here on. Answers the bell that wakes it.
    pub fn join(&self, account: &str) -> Arc<Notify> {
        let mut state = self.lock();
        let joined = state.accounts.entry(account.to_owned()).or_default();
        joined.is_here = true;
        Arc::clone(&joined.wakeup)
    }

    /// An account is no longer worked on, and what it holds is unknown.
    pub fn leave(&self, account: &str) {
        let mut state = self.lock();
        state.accounts.remove(account);
        state.held.retain(|(owner, _), _| owner != account);
        drop(state);
        self.0.changed.send_replace(());
    }

    pub(super) fn begins_pass(&self, account: &str) {
        let mut state = self.lock();
        let passing = state.accounts.entry(account.to_owned()).or_default();
        (passing.is_woken, passing.is_passing) = (false, true);
    }

    pub(super) fn ends_pass(&self, account: &str) {
        self.lock()
            .accounts
            .entry(account.to_owned())
            .or_default()
            .is_passing = false;
        self.0.changed.send_replace(());
    }

    /// Resolves when no account has anything to do because of another.
    pub async fn at_rest(&self) {
        let mut changes = self.0.changed.subscribe();
        loop {
            let busy = |it: &PeerAccount| it.is_here && (it.is_woken || it.is_passing);
            if !self.lock().accounts.values().any(busy) {
                return;
            }
            // The sender lives as long as we do.
            let _changed = changes.changed().await;
        }
    }

    /// Tells which token of this account others are to use; `readers` are those who do.
    pub(super) fn publish<'a>(
        &self,
        account: &str,
        token: Option<(PeerToken, Option<RenderedToken>)>,
        readers: impl Iterator<Item = &'a str>,
    ) {
        let mut state = self.lock();
        let own = state.accounts.entry(account.to_owned()).or_default();
        let told = |token: &Option<(PeerToken, Option<RenderedToken>)>| {
            token.as_ref().map(|(token, text)| (*token, text.is_some()))
        };
        let is_news = told(&own.token) != told(&token);
        own.is_wanted &= token.as_ref().is_none_or(|(_, text)| text.is_none());
        own.token = token;
        if is_news {
            readers.for_each(|reader| state.ring(reader));
        }
    }

    /// The tokens that others are to use.
    pub(super) fn tokens(&self) -> BTreeMap<String, PeerToken> {
        let state = self.lock();
        let tokens = state.accounts.iter();
        tokens
            .filter_map(|(name, it)| Some((name.clone(), it.token.as_ref()?.0)))
            .collect()
    }

    /// The accounts whose token's text is at hand.
    pub(super) fn texts(&self) -> BTreeSet<String> {
        let state = self.lock();
        let at_hand = state
            .accounts
            .iter()
            .filter(|(_, it)| it.token.as_ref().is_some_and(|it| it.1.is_some()));
        at_hand.map(|(name, _)| name.clone()).collect()
    }

    /// Asks an account to have its token at hand.
    pub(super) fn want(&self, account: &str) {
        let mut state = self.lock();
        let wanted = state.accounts.entry(account.to_owned()).or_default();
        if !wanted.is_wanted && wanted.token.as_ref().is_none_or(|(_, text)| text.is_none()) {
            wanted.is_wanted = true;
            state.ring(account);
        }
    }

    /// Whether anyone waits for this account's token.
    pub(super) fn is_wanted(&self, account: &str) -> bool {
        self.lock()
            .accounts
            .get(account)
            .is_some_and(|it| it.is_wanted)
    }

    /// Takes the tokens that are about to be written into a template. From here on what it holds is
    /// unknown, until its owner has looked: so nobody takes a token for unused that is on its way
    /// there.
    pub(super) fn take_for(
        &self,
        owner: &str,
        sink: &str,
        accounts: &[String],
    ) -> BTreeMap<String, RenderedToken> {
        let mut state = self.lock();
        state.held.remove(&(owner.to_owned(), sink.to_owned()));
        let text = |name: &String| state.accounts.get(name)?.token.as_ref()?.1.clone();
        accounts
            .iter()
            .filter_map(|name| Some((name.clone(), text(name)?)))
            .collect()
    }

    /// Tells what the templates of an account were just seen to hold; `None` where that is unknown.
    pub(super) fn saw(
        &self,
        owner: &str,
        held: Vec<(String, Option<BTreeMap<String, PeerToken>>)>,
    ) {
        let mut state = self.lock();
        for (sink, holds) in held {
            let place = (owner.to_owned(), sink);
            let before = match &holds {
                Some(holds) => state.held.insert(place, holds.clone()),
                None => state.held.remove(&place),
            };
            if before != holds {
                let concerned: BTreeSet<String> = before
                    .iter()
                    .chain(&holds)
                    .flat_map(BTreeMap::keys)
                    .cloned()
                    .collect();
                concerned.iter().for_each(|account| state.ring(account));
            }
        }
    }

    /// What a template of another account holds of this one's tokens. `None`: it is unknown.
    pub(super) fn held_by(
        &self,
        owner: &str,
        sink: &str,
        account: &str,
    ) -> Option<BTreeSet<Fingerprint>> {
        let state = self.lock();
        let holds = state.held.get(&(owner.to_owned(), sink.to_owned()))?;
        Some(
            holds
                .get(account)
                .map(|token| token.fingerprint)
                .into_iter()
                .collect(),
        )
    }

    fn lock(&self) -> MutexGuard<'_, ExchangeState> {
        self.0.state.lock().expect("no holder of this lock panics")
    }
}

impl ExchangeState {
    fn ring(&mut self, account: &str) {
        if let Some(it) = self.accounts.get_mut(account).filter(|it| it.is_here) {
            it.is_woken = true;
            it.wakeup.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use rotator_core::event::GenerationNo;
    use rotator_core::secret::Token;

    fn token(generation: u64) -> PeerToken {
        let fingerprint = Fingerprint::of(format!("aws80:token-{generation}").as_bytes());
        PeerToken {
            generation: GenerationNo(generation),
            fingerprint,
        }
    }

    fn shown(generation: u64) -> RenderedToken {
        let token = Token::try_new(&format!("aws80:token-{generation}")).unwrap();
        RenderedToken {
            token,
            generation: GenerationNo(generation),
            minted_at: DateTime::UNIX_EPOCH,
        }
    }

    fn is_woken(peers: &TokenExchange, account: &str) -> bool {
        peers.lock().accounts[account].is_woken
    }

    #[test]
    fn readers_are_woken_by_news_and_by_nothing_else() {
        let peers = TokenExchange::default();
        peers.join("ivr");
        let readers = ["ivr", "nobody"];
        peers.publish("crm", Some((token(1), None)), readers.into_iter());
        assert!(is_woken(&peers, "ivr"));
        peers.begins_pass("ivr");
        peers.publish("crm", Some((token(1), None)), readers.into_iter());
        assert!(!is_woken(&peers, "ivr"));
        peers.publish("crm", Some((token(1), Some(shown(1)))), readers.into_iter());
        assert!(is_woken(&peers, "ivr"), "its text is at hand now");
        peers.begins_pass("ivr");
        peers.publish("crm", Some((token(2), Some(shown(2)))), readers.into_iter());
        assert!(is_woken(&peers, "ivr"));
    }

    #[test]
    fn what_is_about_to_be_written_is_unknown_until_it_was_looked_at() {
        let peers = TokenExchange::default();
        peers.join("crm");
        peers.publish("crm", Some((token(1), Some(shown(1)))), std::iter::empty());
        assert_eq!(
            peers.held_by("ivr", "file", "crm"),
            None,
            "nobody has looked yet"
        );
        peers.saw(
            "ivr",
            vec![(
                "file".to_owned(),
                Some([("crm".to_owned(), token(1))].into()),
            )],
        );
        assert_eq!(
            peers.held_by("ivr", "file", "crm"),
            Some([token(1).fingerprint].into())
        );
        let taken = peers.take_for("ivr", "file", &["crm".to_owned(), "sales".to_owned()]);
        assert_eq!(taken.keys().collect::<Vec<_>>(), ["crm"]);
        assert_eq!(peers.held_by("ivr", "file", "crm"), None);
        peers.begins_pass("crm");
        peers.saw("ivr", vec![("file".to_owned(), Some(BTreeMap::new()))]);
        assert_eq!(peers.held_by("ivr", "file", "crm"), Some(BTreeSet::new()));
        peers.leave("ivr");
        assert_eq!(peers.held_by("ivr", "file", "crm"), None);
    }

    #[test]
    fn one_that_is_wanted_is_woken_once_and_until_its_text_is_there() {
        let peers = TokenExchange::default();
        peers.join("crm");
        peers.publish("crm", Some((token(1), None)), std::iter::empty());
        peers.want("crm");
        assert!(is_woken(&peers, "crm") && peers.is_wanted("crm"));
        peers.begins_pass("crm");
        peers.want("crm");
        assert!(!is_woken(&peers, "crm"));
        peers.publish("crm", Some((token(1), Some(shown(1)))), std::iter::empty());
        assert!(!peers.is_wanted("crm") && peers.texts().contains("crm"));
        peers.want("crm");
        assert!(!is_woken(&peers, "crm"));
    }

    #[tokio::test]
    async fn all_are_at_rest_when_nobody_was_rung_for_and_nobody_works() {
        let peers = TokenExchange::default();
        peers.at_rest().await;
        peers.join("ivr");
        peers.begins_pass("ivr");
        let rest = peers.at_rest();
        tokio::pin!(rest);
        assert!(futures_util::poll!(&mut rest).is_pending());
        peers.ends_pass("ivr");
        rest.await;
    }
}
