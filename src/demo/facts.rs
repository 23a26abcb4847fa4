//! What the checks are made on, gathered at the end: RingCX's own record, what the webhooks' far
//! ends received, the mailbox, the files, the journal.
//!
//! Plain data, so that a test can make every check fail.

use std::process::ExitStatus;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::leaks::{self, LeakReport};
use super::reader::Tally;
use super::stage::{
    ACCOUNTS, Actor, CONFIG, CONFIG_PLACE, DemoLogin, DemoStage, ENV_FILE, FILE, KEY, WEBHOOK,
    env_text,
};
use super::story::Ending;
use crate::reconcile::{HistoryError, Recorded, history};
use crate::store::SqliteJournal;
use rotator_core::account::AccountState;
use rotator_core::event::{Event, GenerationNo};
use rotator_core::journal::{ALERTS, Journal, JournalError};
use rotator_core::secret::Fingerprint;
use rotator_policy::PolicyErrors;
use rotator_simulator::receiver::ReceivedDelivery;
use rotator_simulator::{CallRecord, DeletedBy, FlowRecord, MintedBy};

/// Everything the checks look at.
#[derive(Clone)]
pub struct DemoFacts {
    /// In the order of [`ACCOUNTS`].
    pub accounts: Vec<AccountFacts>,
    /// The subjects of all mails, in order.
    pub mails: Vec<String>,
    /// How often a secret was found where none should be.
    pub leaks: LeakReport,
    /// Rows of the journal, if each is as it was written.
    pub journal: Result<u64, String>,
    /// How the daemon ended; `None` if it had to be killed.
    pub status: Option<ExitStatus>,
    /// How long that took.
    pub stopping: Duration,
    /// Whether its control socket is gone.
    pub socket_gone: bool,
    /// What the policy says of old tokens.
    pub overlap: TimeDelta,
}

/// What concerns one account.
#[derive(Clone)]
pub struct AccountFacts {
    /// Its name in the policy.
    pub name: &'static str,
    /// Its events, oldest first.
    pub trail: Vec<Recorded>,
    /// Every token the server ever had for its user.
    pub tokens: Vec<TokenFact>,
    /// Every call its user made.
    pub calls: Vec<CallRecord>,
    /// What its webhook was sent.
    pub deliveries: Vec<ReceivedDelivery>,
    /// What its IVR flow read.
    pub tally: Tally,
    /// How it logs in.
    pub way: DemoLogin,
    /// The names of its sinks.
    pub sinks: &'static [&'static str],
    /// What each of them holds at the end.
    pub held: Vec<Option<Fingerprint>>,
    /// What became of the flow that takes its credential from one of them.
    pub flow: Option<FlowRecord>,
    /// Whether its env-file is its owner's but for the token.
    pub env_file_kept: bool,
}

/// One token of the server's.
#[derive(Clone, Debug)]
pub struct TokenFact {
    /// What stands for it.
    pub fingerprint: Fingerprint,
    /// The daemon, or another program.
    pub minted_by: MintedBy,
    /// When and by whom it was deleted.
    pub deleted: Option<(DateTime<Utc>, Option<DeletedBy>)>,
}

/// Why there are no facts.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal could not be understood.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The policy could not be read again.
    #[error(transparent)]
    Policy(#[from] PolicyErrors),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] std::io::Error),
}

impl AccountFacts {
    /// What its journal amounts to.
    pub fn state(&self) -> AccountState {
        let mut state = AccountState::default();
        self.trail
            .iter()
            .for_each(|recorded| recorded.apply_to(&mut state));
        state
    }

    /// The generations that became current, in that order.
    pub fn promoted(&self) -> Vec<GenerationNo> {
        let promoted = self.trail.iter().filter_map(|recorded| {
            let Event::Promoted { generation } = recorded.event else {
                return None;
            };
            Some(generation)
        });
        promoted.collect()
    }

    /// The token of this generation.
    pub fn fingerprint(&self, number: GenerationNo) -> Option<Fingerprint> {
        let state = self.state();
        let generation = state.generations.get(&number);
        generation.map(|generation| generation.fingerprint)
    }

    /// The tokens that the daemon made.
    pub fn own(&self) -> impl Iterator<Item = &TokenFact> {
        self.tokens
            .iter()
            .filter(|token| token.minted_by == MintedBy::Api)
    }

    /// The tokens that other programs made.
    pub fn foreign(&self) -> impl Iterator<Item = &TokenFact> {
        self.tokens
            .iter()
            .filter(|token| token.minted_by == MintedBy::Foreign)
    }
}

/// Whether the webhook's far end answered this delivery with a success.
pub fn was_taken(delivery: &ReceivedDelivery) -> bool {
    let success = |status| (200..300).contains(&status);
    delivery.status.is_some_and(success)
}

/// The token in this delivery.
pub fn carried(delivery: &ReceivedDelivery) -> Option<Fingerprint> {
    let token = delivery.token();
    token.map(|token| Fingerprint::of(token.as_bytes()))
}

/// Gathers everything. `printed` is all that the demo itself has printed.
pub async fn gather(
    stage: &DemoStage,
    ending: Ending,
    printed: &str,
) -> Result<DemoFacts, FactsError> {
    // Opened anew: the daemon has ended, so this is the journal as it is on disk.
    let journal = SqliteJournal::open_read_only(&stage.state_dir())?;
    let mut accounts = Vec::new();
    // Both are in the order of the accounts.
    for (actor, tally) in stage.actors.iter().zip(ending.tallies) {
        accounts.push(account(
            stage,
            actor,
            history(&journal, actor.name).await?.events,
            tally,
        ));
    }
    let mut rows = Vec::new();
    let mut verified = Ok(0);
    // With the stream of the alerts, whose mails could hold a secret as well.
    for stream in ACCOUNTS.iter().copied().chain([ALERTS]) {
        rows.extend(
            journal
                .load(stream)
                .await?
                .rows
                .into_iter()
                .map(|row| row.entry.body),
        );
        let counted = journal
            .verify(stream)
            .await
            .map_err(|error| error.to_string());
        // The first error stays, and the streams after it are still read for the search.
        verified = verified.and_then(|sum| counted.map(|verified| sum + verified.rows));
    }
    // Loaded and not assumed: the checks go by what the daemon had in force.
    let policy = rotator_policy::load(&stage.config())?.policy;
    let overlap = policy
        .accounts
        .iter()
        .map(|account| account.retention.overlap)
        .max()
        .unwrap_or_default();
    Ok(DemoFacts {
        accounts,
        mails: stage
            .mailbox
            .mails()
            .iter()
            .map(|mail| mail.subject())
            .collect(),
        leaks: leaks::search(stage, &rows, printed)?,
        journal: verified,
        status: ending.status,
        stopping: ending.took,
        socket_gone: !stage.control_socket().exists(),
        overlap: rotator_core::time::delta(overlap),
    })
}

fn account(stage: &DemoStage, actor: &Actor, trail: Vec<Recorded>, tally: Tally) -> AccountFacts {
    let record = stage.ringcx.record();
    let tokens = record
        .tokens()
        .into_iter()
        .filter(|token| token.user == actor.user);
    let calls = record
        .calls()
        .into_iter()
        .filter(|call| call.user.as_deref() == Some(&actor.user));
    // A file that cannot be read holds no token, and a check says so.
    let env = std::fs::read_to_string(&actor.env_file).unwrap_or_default();
    let in_env = env
        .lines()
        .find_map(|line| line.strip_prefix(KEY)?.strip_prefix('='));
    let in_file = std::fs::read_to_string(&actor.file).ok();
    let of = |text: &str| Fingerprint::of(text.as_bytes());
    let config = record
        .config(CONFIG_PLACE[1])
        .and_then(|config| config.fingerprint);
    let held = actor.sinks.iter().map(|sink| match *sink {
        // Whole, with no line end cut off: readers take the file as it is.
        FILE => in_file.as_deref().map(of),
        ENV_FILE => in_env.map(of),
        WEBHOOK => actor.receiver.held_token().as_deref().map(of),
        CONFIG => config,
        _ => None,
    });
    AccountFacts {
        name: actor.name,
        way: actor.way,
        sinks: actor.sinks,
        held: held.collect(),
        flow: record
            .flow(CONFIG_PLACE[1])
            .filter(|_| actor.sinks.contains(&CONFIG)),
        trail,
        tokens: tokens
            .map(|token| TokenFact {
                fingerprint: token.fingerprint,
                minted_by: token.minted_by,
                deleted: token.deleted_at.map(|at| (at, token.deleted_by)),
            })
            .collect(),
        calls: calls.collect(),
        deliveries: actor.receiver.deliveries(),
        tally,
        // Compared as a whole: comments, quotes and the last line end have to be as they were.
        env_file_kept: in_env.is_some_and(|token| env == env_text(token)),
    }
}
