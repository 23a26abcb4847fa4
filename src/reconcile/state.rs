//! What the reconciler of one account holds, and how it is opened and reconfigured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use super::event_history::{self, HistoryError};
use super::ringex_limits::RingexRateLimiter;
use super::server_clock::ServerClock;
use super::session::LoginSession;
use super::token_exchange::TokenExchange;
use crate::clock::{Clock, monotonic};
use crate::ringcx::TokenApi;
use crate::sinks::{AnySink, Sink};
use rotator_core::account::AccountState;
use rotator_core::config::{AccountPolicy, AlertsPolicy, RingcxPolicy};
use rotator_core::event::{GenerationNo, ReleaseCause};
use rotator_core::incidents::Condition;
use rotator_core::journal::checkpoint::StreamSize;
use rotator_core::journal::{Journal, JournalError};
use rotator_core::plan::evidence::Evidence;
use rotator_core::plan::{Decision, plan};
use rotator_core::secret::Token;

/// Works on one account. There is exactly one for each account of the process.
pub struct Reconciler<A, J, W> {
    pub(super) config: AccountConfig,
    pub(super) clock: Clock,
    /// What the journal says: every recorded event folded together.
    pub(super) state: AccountState,
    pub(super) journal: AccountJournal<J>,
    /// What this pass saw; the plan's other input beside the state.
    pub(super) evidence: Evidence,
    pub(super) server: ServerAccess<A>,
    /// By name, as in the policy.
    pub(super) sinks: BTreeMap<String, AnySink>,
    pub(super) peers: TokenExchange,
    pub(super) observer: W,
    /// When this process last promoted a token, and which.
    pub(super) promoted: Option<(Instant, GenerationNo)>,
}

/// The journal as this account writes it.
pub(super) struct AccountJournal<J> {
    pub(super) store: J,
    /// An append failed, so the journal may hold more than the state, or less.
    pub(super) in_doubt: bool,
    /// How many passes in a row ended because the journal could not be used.
    pub(super) refusals: u32,
    /// How much the journal holds of this account beside its checkpoint.
    pub(super) size: StreamSize,
}

/// RingCX as this account uses it.
pub(super) struct ServerAccess<A> {
    pub(super) api: Arc<A>,
    pub(super) session: LoginSession,
    /// Shared with the accounts that log in through the same RingEX app.
    pub(super) ringex_limits: Arc<RingexRateLimiter>,
    /// When the last call was sent.
    pub(super) call_began: Instant,
    /// What its answers say of its clock.
    pub(super) clock: ServerClock,
    /// The tokens of the last list, kept for as long as the pass: a delete needs the text.
    pub(super) listing: Vec<Token>,
    /// How many elements of the list are no token, as told last.
    pub(super) odd: usize,
}

/// What the policy says of one account, and what it shares with the others.
#[derive(Clone)]
pub struct AccountConfig {
    /// `[[account]]` of the policy: login, sinks, retention and retries.
    pub account: AccountPolicy,
    /// `[ringcx]`: addresses, limits and time-outs of the API.
    pub ringcx: RingcxPolicy,
    /// `[alerts]`: from when on being late is an incident.
    pub alerts: AlertsPolicy,
}

/// Receives what goes on in an account while it goes on.
pub trait Observer: Send + Sync {
    /// What is wrong with the account right now, changed or not. Returns once it is recorded.
    fn conditions(
        &self,
        account: &str,
        conditions: Vec<Condition>,
    ) -> impl Future<Output = ()> + Send;

    /// The account's state or what was seen has changed.
    fn changed(&self, account: &str, state: &AccountState, evidence: &Evidence);

    /// Something was done or answered: the account is not stuck.
    fn progress(&self, account: &str);
}

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Loads the account's state from its journal. Nothing is done yet.
    pub async fn open(
        config: AccountConfig,
        api: Arc<A>,
        journal: J,
        observer: W,
        clock: Clock,
    ) -> Result<Self, HistoryError> {
        let (state, size) = event_history::load(&journal, &config.account.name).await?;
        let ringex_limits = Arc::new(RingexRateLimiter::default());
        // For a reconciler on its own; `sharing` replaces the limiter where there are others.
        ringex_limits.remember(&state.ringex);
        Ok(Self {
            sinks: build_sinks(&config.account),
            server: ServerAccess {
                api,
                session: LoginSession::new(&config.ringcx),
                ringex_limits,
                call_began: monotonic(),
                clock: ServerClock::default(),
                listing: Vec::new(),
                odd: 0,
            },
            config,
            clock,
            state,
            journal: AccountJournal {
                store: journal,
                in_doubt: false,
                refusals: 0,
                size,
            },
            evidence: Evidence::default(),
            peers: TokenExchange::default(),
            observer,
            promoted: None,
        })
    }

    /// Shares the limits of RingEX apps with other accounts. They must know already what the
    /// journal says of this account's use of them.
    pub fn sharing(mut self, ringex_limits: Arc<RingexRateLimiter>) -> Self {
        self.server.ringex_limits = ringex_limits;
        self
    }

    /// Exchanges tokens with other accounts from now on. Returns what is notified when this account
    /// has work because of another.
    pub fn join(&mut self, peers: TokenExchange) -> Arc<Notify> {
        let wakeup = peers.join(self.name());
        self.peers = peers;
        self.publish_to_peers();
        wakeup
    }

    /// Other accounts whose token this one waits for, as the last pass left it.
    pub fn awaits(&self) -> BTreeSet<String> {
        self.decide().awaits
    }

    /// The account's `name`, as in the policy; also the name of its journal stream.
    pub fn name(&self) -> &str {
        &self.config.account.name
    }

    /// What the journal says.
    pub fn state(&self) -> &AccountState {
        &self.state
    }

    /// When this process last promoted a token, by the monotonic clock, and which.
    pub fn last_promotion(&self) -> Option<(Instant, GenerationNo)> {
        self.promoted
    }

    /// What the last pass saw.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// What would be done now, going by the journal and the last pass.
    pub fn decide(&self) -> Decision {
        self.decide_at(self.clock.now())
    }

    pub(super) fn decide_at(&self, now: DateTime<Utc>) -> Decision {
        plan(&self.config.account, &self.state, &self.evidence, now)
    }

    /// Takes a new policy. Everything that is held back is tried again.
    pub async fn reload(&mut self, config: AccountConfig, api: Arc<A>) -> Result<(), JournalError> {
        self.sinks = build_sinks(&config.account);
        self.server.session.limit_to(&config.ringcx);
        // A login made with other secrets or at another host must not be used under the new policy.
        let differs = self.state.login_differs(&config.account)
            || config.account.login != self.config.account.login
            || config.ringcx.ringex_url != self.config.ringcx.ringex_url;
        if differs {
            self.server.session.forget();
        }
        self.config = config;
        self.server.api = api;
        self.publish_to_peers();
        // The new policy may have corrected what failed, so nothing keeps waiting.
        self.lift_holds(ReleaseCause::Reload).await
    }

    /// Removes left-over temporary files of ours.
    pub async fn clean_up(&self) {
        for sink in self.sinks.values() {
            sink.clean_up().await;
        }
    }

    /// Reports that the account is not stuck.
    pub(super) fn progress(&self) {
        self.observer.progress(self.name());
    }
}

fn build_sinks(account: &AccountPolicy) -> BTreeMap<String, AnySink> {
    account
        .sinks
        .iter()
        .map(|sink| (sink.name.clone(), AnySink::new(sink)))
        .collect()
}
