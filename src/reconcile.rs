//! Performs one step at a time for one account and turns what came of it into events.
//!
//! The only module that knows the plan, the API, the sinks and the journal. It alone waits and
//! gives up; what is tried again, and when, is in the events it appends. It does not know what woke
//! it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::ringcx::TokenApi;
use crate::sinks::AnySink;
use rotator_core::account::AccountState;
use rotator_core::config::{AccountPolicy, AlertsPolicy, RingcxPolicy};
use rotator_core::event::{BackoffKey, Event, PeerToken, ReleaseCause};
use rotator_core::incidents::Condition;
use rotator_core::journal::checkpoint::StreamSize;
use rotator_core::journal::{Entry, Journal, JournalError};
use rotator_core::plan::evidence::{Evidence, PeerEvidence, SinkContent};
use rotator_core::plan::{Decision, plan};
use rotator_core::secret::Token;
use rotator_core::template::RenderedToken;

mod act;
mod adopt;
mod configs;
pub(crate) mod event_history;
mod list;
mod log;
mod login;
mod notify;
mod observe;
mod pass;
mod revoke;
mod ringex_limits;
mod server;
mod session;
mod token_exchange;

pub use adopt::{Adopt, AdoptError};
pub use configs::{ConfigsOfAccount, ListedConfig};
use event_history::entry;
pub use event_history::{Compacted, EventHistory, HistoryError, Recorded, history, load_state};
pub use list::{ListError, ListedToken};
pub use login::{RefusedBy, explain};
pub use observe::look_at;
pub use pass::{PassOutcome, PassReport};
pub use revoke::RevokeError;
pub use ringex_limits::RingexRateLimiter;
pub use session::Access;
use session::LoginSession;
pub use token_exchange::TokenExchange;

/// What the policy says of one account, and what it shares with the others.
#[derive(Clone)]
pub struct AccountConfig {
    /// The account.
    pub account: AccountPolicy,
    /// Limits and time-outs of the API.
    pub ringcx: RingcxPolicy,
    /// When being late is an incident.
    pub alerts: AlertsPolicy,
}

/// Who is told what goes on, while it goes on.
pub trait Observer: Send + Sync {
    /// What is wrong with the account right now, when that changed. Returns once it is written
    /// down.
    fn conditions(
        &self,
        account: &str,
        conditions: Vec<Condition>,
    ) -> impl Future<Output = ()> + Send;

    /// The account's state and what was seen last.
    fn changed(&self, account: &str, state: &AccountState, seen: &Evidence);

    /// Something was done or answered: the account is not stuck.
    fn progress(&self, account: &str);
}

/// Works on one account. There is one of these for each, and only one.
pub struct Reconciler<A, J, W> {
    assignment: AccountConfig,
    sinks: BTreeMap<String, AnySink>,
    api: Arc<A>,
    journal: J,
    witness: W,
    clock: Clock,
    state: AccountState,
    seen: Evidence,
    session: LoginSession,
    apps: Arc<RingexRateLimiter>,
    /// The texts behind the last list, kept for as long as the pass.
    listing: Vec<Token>,
    told: Option<Vec<Condition>>,
    peers: TokenExchange,
    /// An append failed, so the journal may hold more than the state, or less.
    in_doubt: bool,
    /// How many passes in a row the journal has ended.
    refusals: u32,
    /// How much the journal holds of this account beside its checkpoint.
    length: StreamSize,
}

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Takes up the account where its journal stands. Nothing is done yet.
    pub async fn open(
        assignment: AccountConfig,
        api: Arc<A>,
        journal: J,
        witness: W,
        clock: Clock,
    ) -> Result<Self, HistoryError> {
        let (state, length) = event_history::load(&journal, &assignment.account.name).await?;
        let sinks = build_sinks(&assignment.account);
        let session = LoginSession::new(&assignment.ringcx);
        let apps = Arc::new(RingexRateLimiter::default());
        apps.remember(&state.ringex);
        Ok(Self {
            assignment,
            sinks,
            api,
            journal,
            witness,
            clock,
            state,
            seen: Evidence::default(),
            session,
            apps,
            listing: Vec::new(),
            told: None,
            peers: TokenExchange::default(),
            in_doubt: false,
            refusals: 0,
            length,
        })
    }

    /// Shares the limits of RingEX apps with other accounts; what the journal says of this one's
    /// use of them is known there.
    pub fn sharing(mut self, apps: Arc<RingexRateLimiter>) -> Self {
        self.apps = apps;
        self
    }

    /// Tells and hears on this board what accounts have to tell each other. Answers the bell that
    /// wakes the account when it is concerned.
    pub fn join(&mut self, peers: TokenExchange) -> Arc<Notify> {
        let wakeup = peers.join(self.name());
        self.peers = peers;
        self.publish_to_peers();
        wakeup
    }

    /// Other accounts whose token this one waits for, as the last pass left it.
    pub fn awaits(&self) -> std::collections::BTreeSet<String> {
        self.decide().awaits
    }

    /// The account's name.
    pub fn name(&self) -> &str {
        &self.assignment.account.name
    }

    /// What the journal says.
    pub fn state(&self) -> &AccountState {
        &self.state
    }

    /// What the last pass saw.
    pub fn seen(&self) -> &Evidence {
        &self.seen
    }

    /// What would be done now, going by the journal and the last pass.
    pub fn decide(&self) -> Decision {
        plan(
            &self.assignment.account,
            &self.state,
            &self.seen,
            self.clock.now(),
        )
    }

    /// Writes down that an operator asked for a rotation, and lifts what holds it back.
    pub async fn ask_rotation(&mut self) -> Result<(), JournalError> {
        self.record(vec![Event::RotationAsked]).await?;
        self.lift_holds(ReleaseCause::Operator).await
    }

    /// Takes a new policy. What was held back for long is tried again.
    pub async fn reload(
        &mut self,
        assignment: AccountConfig,
        api: Arc<A>,
    ) -> Result<(), JournalError> {
        self.sinks = build_sinks(&assignment.account);
        self.session.limit_to(&assignment.ringcx);
        let differs = self.state.login_differs(&assignment.account)
            || assignment.account.login != self.assignment.account.login
            || assignment.ringcx.ringex_url != self.assignment.ringcx.ringex_url;
        if differs {
            self.session.forget();
        }
        self.assignment = assignment;
        self.api = api;
        self.publish_to_peers();
        self.lift_holds(ReleaseCause::Reload).await
    }

    /// Left-over temporary files of ours are removed.
    pub async fn clean_up(&self) {
        use crate::sinks::Sink;
        for sink in self.sinks.values() {
            sink.clean_up().await;
        }
    }

    async fn lift_holds(&mut self, by: ReleaseCause) -> Result<(), JournalError> {
        let now = self.clock.now();
        let held = self
            .state
            .lanes
            .iter()
            .filter(|(_, failure)| failure.next_attempt_at > now);
        let mut lanes: Vec<BackoffKey> = held.map(|(lane, _)| lane.clone()).collect();
        for (name, record) in &self.state.sinks {
            let lane = BackoffKey::Sink(name.clone());
            if record.parked && !lanes.contains(&lane) {
                lanes.push(lane);
            }
        }
        self.record(
            lanes
                .into_iter()
                .map(|lane| Event::HoldLifted { lane, by })
                .collect(),
        )
        .await
    }

    /// Appends events, folds them in, logs them and tells the witness. Only after this returns have
    /// they happened.
    async fn record(&mut self, events: Vec<Event>) -> Result<(), JournalError> {
        if events.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let entries: Vec<Entry> = events.iter().map(|event| entry(now, event)).collect();
        let mut length = self.length;
        entries.iter().for_each(|entry| length.add(entry));
        self.in_doubt = true;
        let last = self
            .journal
            .append(self.name(), self.state.seq, entries)
            .await?;
        self.in_doubt = false;
        self.length = length;
        let first = last + 1 - events.len() as u64;
        for (seq, event) in (first..).zip(&events) {
            self.state.apply(seq, now, event);
            log::event(&self.assignment.account.name, &self.state, event);
        }
        self.publish_to_peers();
        self.witness.changed(self.name(), &self.state, &self.seen);
        self.tell_conditions().await;
        Ok(())
    }

    /// After an append that failed, what the journal really holds is read again before anything is
    /// done.
    async fn settle_doubt(&mut self) -> Result<(), HistoryError> {
        if self.in_doubt {
            (self.state, self.length) = event_history::load(&self.journal, self.name()).await?;
            self.in_doubt = false;
        }
        Ok(())
    }

    async fn tell_conditions(&mut self) {
        let now = self.clock.now();
        let conditions = rotator_core::incidents::conditions(
            &self.assignment.account,
            &self.assignment.alerts,
            &self.state,
            now,
        );
        if self.told.as_ref() != Some(&conditions) {
            self.witness
                .conditions(&self.assignment.account.name, conditions.clone())
                .await;
            self.told = Some(conditions);
        }
    }

    /// The token that templates of other accounts are to use: the current one; as long as there is
    /// none, the verified one on its way, so that two accounts that name each other can begin.
    fn publish_to_peers(&self) {
        if self.assignment.account.peer_sinks.is_empty() {
            return;
        }
        let on_its_way = self
            .state
            .pending()
            .filter(|pending| pending.verified_at.is_some());
        let told = self.state.current().or(on_its_way).map(|it| {
            let token = PeerToken {
                generation: it.number,
                fingerprint: it.fingerprint,
            };
            let text = self
                .session
                .text(&it.fingerprint)
                .map(|text| RenderedToken {
                    token: text.clone(),
                    generation: it.number,
                    minted_at: it.minted_at,
                });
            (token, text)
        });
        let readers = self
            .assignment
            .account
            .peer_sinks
            .iter()
            .map(|it| it.account.as_str());
        self.peers.publish(self.name(), told, readers);
    }

    /// Takes down what others have told by now.
    fn read_peers(&mut self) {
        let account = &self.assignment.account;
        let held_elsewhere = account.peer_sinks.iter().filter_map(|it| {
            let held = self.peers.held_by(&it.account, &it.sink, &account.name)?;
            Some((it.clone(), held))
        });
        self.seen.peers = PeerEvidence {
            tokens: self.peers.tokens(),
            at_hand: self.peers.texts(),
            held_elsewhere: held_elsewhere.collect(),
            is_wanted: self.peers.is_wanted(&account.name),
        };
    }

    /// Tells what the templates of this account were just seen to hold of others' tokens.
    fn tell_held(&self) {
        let sinks = self
            .assignment
            .account
            .sinks
            .iter()
            .filter(|sink| !sink.kind.peers().is_empty());
        let held = sinks.map(|sink| {
            let taken = self
                .state
                .sinks
                .get(&sink.name)
                .and_then(|record| record.taken.as_ref());
            let holds = match (self.seen.held(&sink.name), taken) {
                (Some(SinkContent::Absent), _) => Some(BTreeMap::new()),
                (Some(SinkContent::Token(_)), Some((_, taken))) => Some(taken.peers.clone()),
                (
                    Some(
                        SinkContent::Token(_)
                        | SinkContent::Other(_)
                        | SinkContent::Unreadable(_)
                        | SinkContent::Opaque,
                    )
                    | None,
                    _,
                ) => None,
            };
            (sink.name.clone(), holds)
        });
        self.peers.saw(self.name(), held.collect());
    }

    fn progress(&self) {
        self.witness.progress(self.name());
    }
}

fn build_sinks(account: &AccountPolicy) -> BTreeMap<String, AnySink> {
    account
        .sinks
        .iter()
        .map(|sink| (sink.name.clone(), AnySink::new(sink)))
        .collect()
}
