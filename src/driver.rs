//! Performs one step at a time for one account and turns what came of it into events.
//!
//! The only module that knows the plan, the API, the sinks and the journal. It alone waits and gives up;
//! what is tried again, and when, is in the events it appends. It does not know what woke it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::account::AccountState;
use crate::alert::Condition;
use crate::clock::Clock;
use crate::event::{Event, Lane, Lifted};
use crate::journal::{Entry, Journal, JournalError, Row};
use crate::plan::seen::Seen;
use crate::plan::{Decision, plan};
use crate::policy::{AccountPolicy, AlertsPolicy, RingcxPolicy};
use crate::ringcx::TokenApi;
use crate::secret::Token;
use crate::sink::AnySink;

mod log;
mod login;
mod look;
mod pass;
mod revoke;
mod server;
mod session;
mod step;

pub use look::look_at;
pub use pass::{PassEnd, PassReport};
pub use revoke::RevokeError;
pub use session::Access;
use session::Session;

/// What the policy says of one account, and what it shares with the others.
#[derive(Clone)]
pub struct Assignment {
    /// The account.
    pub account: AccountPolicy,
    /// Limits and time-outs of the API.
    pub ringcx: RingcxPolicy,
    /// When being late is an incident.
    pub alerts: AlertsPolicy,
}

/// Who is told what goes on, while it goes on.
pub trait Witness: Send + Sync {
    /// What is wrong with the account right now, when that changed. Returns once it is written down.
    fn conditions(&self, account: &str, conditions: Vec<Condition>) -> impl Future<Output = ()> + Send;

    /// The account's state and what was seen last.
    fn changed(&self, account: &str, state: &AccountState, seen: &Seen);

    /// Something was done or answered: the account is not stuck.
    fn progress(&self, account: &str);
}

/// Works on one account. There is one of these for each, and only one.
pub struct AccountDriver<A, J, W> {
    assignment: Assignment,
    sinks: BTreeMap<String, AnySink>,
    api: Arc<A>,
    journal: J,
    witness: W,
    clock: Clock,
    state: AccountState,
    seen: Seen,
    session: Session,
    /// The texts behind the last list, kept for as long as the pass.
    listing: Vec<Token>,
    told: Option<Vec<Condition>>,
    /// An append failed, so the journal may hold more than the state, or less.
    in_doubt: bool,
}

/// A journal row that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A row is not an event this version knows.
    #[error("journal stream `{stream}`, row {seq}: {source}")]
    Unknown {
        /// The account.
        stream: String,
        /// The row.
        seq: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// One event with its place in the audit trail.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its place in the account's stream.
    pub seq: u64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What happened.
    pub event: Event,
}

/// An account's audit trail, oldest first.
pub async fn history(journal: &impl Journal, account: &str) -> Result<Vec<Recorded>, HistoryError> {
    let rows = journal.load(account).await?;
    rows.iter().map(|row| read_row(account, row)).collect()
}

/// An account's state as the journal has it.
pub async fn load_state(journal: &impl Journal, account: &str) -> Result<AccountState, HistoryError> {
    let history = history(journal, account).await?;
    Ok(AccountState::fold(history.iter().map(|it| (it.seq, it.at, &it.event))))
}

fn read_row(account: &str, row: &Row) -> Result<Recorded, HistoryError> {
    let event = serde_json::from_str(&row.entry.body).map_err(|source| HistoryError::Unknown {
        stream: account.to_owned(),
        seq: row.seq,
        source,
    })?;
    Ok(Recorded { seq: row.seq, at: row.entry.at, event })
}

fn entry(at: DateTime<Utc>, event: &Event) -> Entry {
    let body = serde_json::to_value(event).expect("events are plain data");
    let kind = body.get("kind").and_then(|kind| kind.as_str()).unwrap_or_default().to_owned();
    Entry { at, kind, body: body.to_string() }
}

impl<A: TokenApi, J: Journal, W: Witness> AccountDriver<A, J, W> {
    /// Takes up the account where its journal stands. Nothing is done yet.
    pub async fn open(
        assignment: Assignment,
        api: Arc<A>,
        journal: J,
        witness: W,
        clock: Clock,
    ) -> Result<Self, HistoryError> {
        let state = load_state(&journal, &assignment.account.name).await?;
        let sinks = build_sinks(&assignment.account);
        let session = Session::new(&assignment.ringcx);
        Ok(Self {
            assignment,
            sinks,
            api,
            journal,
            witness,
            clock,
            state,
            seen: Seen::default(),
            session,
            listing: Vec::new(),
            told: None,
            in_doubt: false,
        })
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
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// What would be done now, going by the journal and the last pass.
    pub fn decide(&self) -> Decision {
        plan(&self.assignment.account, &self.state, &self.seen, self.clock.now())
    }

    /// Writes down that an operator asked for a rotation, and lifts what holds it back.
    pub async fn ask_rotation(&mut self) -> Result<(), JournalError> {
        self.record(vec![Event::RotationAsked]).await?;
        self.lift_holds(Lifted::Operator).await
    }

    /// Takes a new policy. What was held back for long is tried again.
    pub async fn reload(&mut self, assignment: Assignment, api: Arc<A>) -> Result<(), JournalError> {
        self.sinks = build_sinks(&assignment.account);
        self.session.limit_to(&assignment.ringcx);
        if self.state.login_differs(&assignment.account) {
            self.session.forget();
        }
        self.assignment = assignment;
        self.api = api;
        self.lift_holds(Lifted::Reload).await
    }

    /// Left-over temporary files of ours are removed.
    pub async fn clean_up(&self) {
        use crate::sink::Sink;
        for sink in self.sinks.values() {
            sink.clean_up().await;
        }
    }

    async fn lift_holds(&mut self, by: Lifted) -> Result<(), JournalError> {
        let now = self.clock.now();
        let held = self.state.lanes.iter().filter(|(_, failure)| failure.next_attempt_at > now);
        let mut lanes: Vec<Lane> = held.map(|(lane, _)| lane.clone()).collect();
        for (name, record) in &self.state.sinks {
            let lane = Lane::Sink(name.clone());
            if record.parked && !lanes.contains(&lane) {
                lanes.push(lane);
            }
        }
        self.record(lanes.into_iter().map(|lane| Event::HoldLifted { lane, by }).collect()).await
    }

    /// Appends events, folds them in, logs them and tells the witness. Only after this returns have they
    /// happened.
    async fn record(&mut self, events: Vec<Event>) -> Result<(), JournalError> {
        if events.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let entries = events.iter().map(|event| entry(now, event)).collect();
        self.in_doubt = true;
        let last = self.journal.append(self.name(), self.state.seq, entries).await?;
        self.in_doubt = false;
        let first = last + 1 - events.len() as u64;
        for (seq, event) in (first..).zip(&events) {
            self.state.apply(seq, now, event);
            log::event(&self.assignment.account.name, &self.state, event);
        }
        self.witness.changed(self.name(), &self.state, &self.seen);
        self.tell_conditions().await;
        Ok(())
    }

    /// After an append that failed, what the journal really holds is read again before anything is done.
    async fn settle_doubt(&mut self) -> Result<(), HistoryError> {
        if self.in_doubt {
            self.state = load_state(&self.journal, self.name()).await?;
            self.in_doubt = false;
        }
        Ok(())
    }

    async fn tell_conditions(&mut self) {
        let now = self.clock.now();
        let conditions =
            crate::alert::conditions(&self.assignment.account, &self.assignment.alerts, &self.state, now);
        if self.told.as_ref() != Some(&conditions) {
            self.witness.conditions(&self.assignment.account.name, conditions.clone()).await;
            self.told = Some(conditions);
        }
    }

    fn progress(&self) {
        self.witness.progress(self.name());
    }
}

fn build_sinks(account: &AccountPolicy) -> BTreeMap<String, AnySink> {
    account.sinks.iter().map(|sink| (sink.name.clone(), AnySink::new(sink))).collect()
}
