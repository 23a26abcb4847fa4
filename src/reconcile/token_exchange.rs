//! What the accounts of one process exchange: the token of each that is to be used, and which
//! tokens of others their templates hold.
//!
//! Everything here is in memory. After a start it is unknown what a template holds until its owner
//! has looked, and no token that it may hold is deleted before that. For example, when `crm` gets a
//! new token, `ivr`, whose template names `crm`, is woken and delivers; then `crm` is woken,
//! because its old token may now be deleted. What this does not know: when a token is due, and what
//! an account does once it is woken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, watch};

use rotator_core::event::PeerToken;
use rotator_core::secret::Fingerprint;
use rotator_core::template::RenderedToken;

/// Where accounts publish what concerns others. Clones share it.
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
    /// It is worked on: its wake-ups are awaited.
    is_here: bool,
    /// The token that others are to use, and its text where that is at hand.
    token: Option<(PeerToken, Option<RenderedToken>)>,
    /// Another account needs its token's text.
    is_wanted: bool,
    wakeup: Arc<Notify>,
    /// It was woken and has not begun a pass since.
    is_woken: bool,
    is_passing: bool,
}

impl PeerAccount {
    fn text(&self) -> Option<&RenderedToken> {
        self.token.as_ref()?.1.as_ref()
    }
}

impl TokenExchange {
    /// An account is worked on from here on. Returns what wakes it.
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
        // Unlocked first: those that this wakes take the same lock.
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
        // Before the look: a change between the look and the wait would be missed otherwise.
        let mut changes = self.0.changed.subscribe();
        loop {
            let busy = |peer: &PeerAccount| peer.is_here && (peer.is_woken || peer.is_passing);
            if !self.lock().accounts.values().any(busy) {
                return;
            }
            // The sender lives as long as we do.
            let _changed = changes.changed().await;
        }
    }

    /// Publishes which token of this account others are to use. `readers` are the accounts that use
    /// it; they are woken if it is another one, or if its text is at hand now.
    pub(super) fn publish<'a>(
        &self,
        account: &str,
        token: Option<(PeerToken, Option<RenderedToken>)>,
        readers: impl Iterator<Item = &'a str>,
    ) {
        let mut state = self.lock();
        let own = state.accounts.entry(account.to_owned()).or_default();
        let published = |token: &Option<(PeerToken, Option<RenderedToken>)>| {
            token.as_ref().map(|(token, text)| (*token, text.is_some()))
        };
        // That the text is at hand now is news too: without it readers could not deliver.
        let is_news = published(&own.token) != published(&token);
        // The request stays open until the text is there.
        own.is_wanted &= token.as_ref().is_none_or(|(_, text)| text.is_none());
        own.token = token;
        if is_news {
            readers.for_each(|reader| state.wake(reader));
        }
    }

    /// The tokens that others are to use.
    pub(super) fn tokens(&self) -> BTreeMap<String, PeerToken> {
        let state = self.lock();
        let tokens = state.accounts.iter();
        tokens
            .filter_map(|(name, peer)| Some((name.clone(), peer.token.as_ref()?.0)))
            .collect()
    }

    /// The accounts whose token's text is at hand.
    pub(super) fn texts(&self) -> BTreeSet<String> {
        let state = self.lock();
        let at_hand = state
            .accounts
            .iter()
            .filter(|(_, peer)| peer.text().is_some());
        at_hand.map(|(name, _)| name.clone()).collect()
    }

    /// Asks an account to have its token at hand.
    pub(super) fn want(&self, account: &str) {
        let mut state = self.lock();
        let wanted = state.accounts.entry(account.to_owned()).or_default();
        // Once for each request: two accounts could otherwise wake each other without end.
        if !wanted.is_wanted && wanted.text().is_none() {
            wanted.is_wanted = true;
            state.wake(account);
        }
    }

    /// Whether another account waits for this account's token.
    pub(super) fn is_wanted(&self, account: &str) -> bool {
        self.lock()
            .accounts
            .get(account)
            .is_some_and(|peer| peer.is_wanted)
    }

    /// Takes the tokens that are about to be written into a template. From here on it is unknown
    /// what the template holds, until its owner has looked: a token on its way there must not count
    /// as unused.
    pub(super) fn take_for(
        &self,
        owner: &str,
        sink: &str,
        accounts: &[String],
    ) -> BTreeMap<String, RenderedToken> {
        let mut state = self.lock();
        state.held.remove(&(owner.to_owned(), sink.to_owned()));
        let text = |name: &String| state.accounts.get(name)?.text().cloned();
        accounts
            .iter()
            .filter_map(|name| Some((name.clone(), text(name)?)))
            .collect()
    }

    /// Publishes what the templates of an account were just seen to hold; `None` where that is
    /// unknown. Accounts whose tokens came or went are woken.
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
                concerned.iter().for_each(|account| state.wake(account));
            }
        }
    }

    /// Which tokens of this account a template of another account holds. `None`: unknown.
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
    fn wake(&mut self, account: &str) {
        if let Some(peer) = self.accounts.get_mut(account).filter(|peer| peer.is_here) {
            peer.is_woken = true;
            // Leaves a permit if the account is busy, so that the wake-up is not lost.
            peer.wakeup.notify_one();
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
