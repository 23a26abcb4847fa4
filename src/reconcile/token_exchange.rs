//! What the accounts of one process exchange: the token of each that is to be used, which tokens
//! of others their templates hold, and which token is whose.
//!
//! Everything here is in memory. After a start it is unknown what a template holds until its owner
//! has looked, and no token that it may hold is deleted before that. For example, when `crm` gets a
//! new token, `ivr`, whose template names `crm`, is woken and delivers; then `crm` is woken,
//! because its old token may now be deleted. What this does not know: when a token is due, and what
//! an account does once it is woken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, watch};

use self::known::KnownTokens;
use super::event_history::load_state;
use rotator_core::account::{AccountState, Stage};
use rotator_core::config::{AccountPolicy, LoginPolicy, Policy};
use rotator_core::event::PeerToken;
use rotator_core::journal::{ALERTS, Journal};
use rotator_core::plan::evidence::SinkContent;
use rotator_core::secret::Fingerprint;
use rotator_core::template::RenderedToken;

mod known;

/// A RingCX user, as the login names it: the name in lower case, and the platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RingcxUser(String, String);

impl RingcxUser {
    /// As whom this account logs in. `None`: only the JWT says that, and it was not read yet.
    pub fn of(policy: &AccountPolicy, state: &AccountState) -> Option<Self> {
        match &policy.login {
            LoginPolicy::Admin(login) => Some(Self::new(&login.username, &login.platform_id)),
            LoginPolicy::RingEx(_) => {
                let epoch = state.lines.last()?;
                Some(Self::new(&epoch.username, &epoch.platform_id))
            }
        }
    }

    fn new(username: &str, platform_id: &str) -> Self {
        Self(username.to_lowercase(), platform_id.to_lowercase())
    }
}

/// A turn at changing the tokens of one user. RingCX wants such changes one after the other.
pub type UserTurn = Arc<tokio::sync::Mutex<()>>;

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
    known: KnownTokens,
    users: BTreeMap<RingcxUser, UserAccounts>,
}

/// What the accounts of one user have in common.
#[derive(Default)]
struct UserAccounts {
    names: BTreeSet<String>,
    turn: UserTurn,
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
    user: Option<RingcxUser>,
    /// The tokens that its sinks were seen to hold; `None`: they have not been looked at.
    in_sinks: Option<BTreeSet<Fingerprint>>,
}

impl PeerAccount {
    fn text(&self) -> Option<&RenderedToken> {
        self.token.as_ref()?.1.as_ref()
    }
}

impl TokenExchange {
    /// Knows from the start whose the tokens are of all accounts that may log in as the same user
    /// as another, and of those that are no longer in the policy: a list may show these tokens
    /// before the account itself is worked on. An account whose history cannot be read counts as
    /// one whose sinks have not been looked at.
    pub async fn of_journal(journal: &impl Journal, policy: &Policy) -> Self {
        let exchange = Self::default();
        let unread = AccountState::default();
        for account in &policy.accounts {
            exchange
                .lock()
                .log_in(&account.name, RingcxUser::of(account, &unread));
        }
        let streams = journal.streams().await.unwrap_or_default();
        for stream in streams.into_iter().filter(|stream| stream != ALERTS) {
            let account = policy.account(&stream);
            let user = account.and_then(|account| RingcxUser::of(account, &unread));
            // One that is alone with its user need not be read twice at each start.
            if user.is_some_and(|user| !exchange.lock().is_shared(&user)) {
                continue;
            }
            if let Ok(state) = load_state(journal, &stream).await {
                let mut shared = exchange.lock();
                shared.known.set(&stream, living(&state));
                if let Some(account) = account {
                    shared.log_in(&stream, RingcxUser::of(account, &state));
                }
            }
        }
        exchange
    }

    /// Publishes whose tokens this account's are.
    pub(super) fn publish_own(&self, policy: &AccountPolicy, state: &AccountState) {
        let mut shared = self.lock();
        shared.known.set(&policy.name, living(state));
        shared.log_in(&policy.name, RingcxUser::of(policy, state));
    }

    /// Makes a token that was just made, or found, this account's. `false`: it is another's.
    pub(super) fn claim(&self, account: &str, token: Fingerprint) -> bool {
        self.lock().known.claim(account, token)
    }

    /// Which of these tokens belong to other accounts than this one, and to which.
    pub(super) fn owners<'a>(
        &self,
        account: &str,
        tokens: impl Iterator<Item = &'a Fingerprint>,
    ) -> BTreeMap<Fingerprint, String> {
        let shared = self.lock();
        let owned = tokens.filter_map(|token| Some((*token, shared.known.owner(token)?)));
        owned
            .filter(|(_, owner)| *owner != account)
            .map(|(token, owner)| (token, owner.clone()))
            .collect()
    }

    /// The other accounts that log in as the same user, and the tokens in their sinks.
    pub(super) fn siblings(
        &self,
        account: &str,
    ) -> BTreeMap<String, Option<BTreeSet<Fingerprint>>> {
        let shared = self.lock();
        let Some(user) = shared
            .accounts
            .get(account)
            .and_then(|own| own.user.as_ref())
        else {
            return BTreeMap::new();
        };
        let names = shared.users.get(user).map(|user| &user.names);
        let others = names.into_iter().flatten().filter(|name| *name != account);
        let in_sinks = |name: &String| shared.accounts.get(name)?.in_sinks.clone();
        others.map(|name| (name.clone(), in_sinks(name))).collect()
    }

    /// Publishes which tokens an account's sinks were just seen to hold. The accounts of the same
    /// user are woken by news: they may delete a foreign token that was waited for.
    pub(super) fn saw_in_sinks(&self, account: &str, tokens: BTreeSet<Fingerprint>) {
        let siblings = self.siblings(account);
        let mut shared = self.lock();
        let before = shared.peer(account).in_sinks.replace(tokens.clone());
        if before != Some(tokens) {
            siblings.keys().for_each(|sibling| shared.wake(sibling));
        }
    }

    /// The turn that the accounts of this account's user take at changing their tokens.
    pub(super) fn turn(&self, account: &str) -> UserTurn {
        let mut shared = self.lock();
        match shared.peer(account).user.clone() {
            Some(user) => Arc::clone(&shared.users.entry(user).or_default().turn),
            None => UserTurn::default(),
        }
    }

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
        if let Some(left) = state.accounts.remove(account) {
            state.log_out(account, left.user);
        }
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

/// Tokens of ours that may be alive, as the server's list may show them.
fn living(state: &AccountState) -> BTreeSet<Fingerprint> {
    let generations = state.generations.values();
    generations
        .filter(|generation| generation.stage() != Stage::Retired)
        .map(|generation| generation.fingerprint)
        .collect()
}

/// The tokens that these sinks were seen to hold.
pub(super) fn tokens_in(sinks: &BTreeMap<String, SinkContent>) -> BTreeSet<Fingerprint> {
    let tokens = sinks.values().filter_map(|content| match content {
        SinkContent::Token(fingerprint) => Some(*fingerprint),
        SinkContent::Absent
        | SinkContent::Other(_)
        | SinkContent::Unreadable(_)
        | SinkContent::Opaque => None,
    });
    tokens.collect()
}

impl ExchangeState {
    fn peer(&mut self, account: &str) -> &mut PeerAccount {
        self.accounts.entry(account.to_owned()).or_default()
    }

    /// This account logs in as that user from here on.
    fn log_in(&mut self, account: &str, user: Option<RingcxUser>) {
        let before = std::mem::replace(&mut self.peer(account).user, user.clone());
        if before == user {
            return;
        }
        self.log_out(account, before);
        if let Some(user) = user {
            let accounts = self.users.entry(user).or_default();
            accounts.names.insert(account.to_owned());
        }
    }

    fn log_out(&mut self, account: &str, user: Option<RingcxUser>) {
        if let Some(accounts) = user.and_then(|user| self.users.get_mut(&user)) {
            accounts.names.remove(account);
        }
    }

    fn is_shared(&self, user: &RingcxUser) -> bool {
        self.users
            .get(user)
            .is_some_and(|accounts| accounts.names.len() > 1)
    }

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
