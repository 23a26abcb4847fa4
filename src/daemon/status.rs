//! What is known of every account right now, for those who ask while the accounts work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, Utc};

use super::alerts::AlertHandle;
use super::systemd::Systemd;
use crate::reconcile::Observer;
use rotator_core::account::AccountState;
use rotator_core::incidents::Condition;
use rotator_core::plan::evidence::{Evidence, SinkContent};

/// Whether an account is being worked on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// It waits for its time.
    #[default]
    Resting,
    /// A pass is under way.
    Working,
}

/// One account's card.
#[derive(Clone, Default)]
pub struct AccountSnapshot {
    /// As the journal has it.
    pub state: Arc<AccountState>,
    /// What its sinks were last seen to hold.
    pub sinks: BTreeMap<String, SinkContent>,
    /// Whether it is being worked on.
    pub activity: Activity,
    /// When the next pass is due.
    pub next_pass_at: Option<DateTime<Utc>>,
    /// Why its journal cannot be read or written.
    pub journal_error: Option<String>,
}

/// All cards.
#[derive(Default)]
pub struct StatusCache(Mutex<BTreeMap<String, AccountSnapshot>>);

impl StatusCache {
    /// A copy of an account's card.
    pub fn card(&self, account: &str) -> Option<AccountSnapshot> {
        self.lock().get(account).cloned()
    }

    /// Takes down an account's card.
    pub fn remove(&self, account: &str) {
        self.lock().remove(account);
    }

    pub(super) fn working(&self, account: &str, activity: Activity) {
        self.lock().entry(account.to_owned()).or_default().activity = activity;
    }

    pub(super) fn next_pass(&self, account: &str, at: DateTime<Utc>) {
        self.lock()
            .entry(account.to_owned())
            .or_default()
            .next_pass_at = Some(at);
    }

    /// Answers what was so before.
    pub(super) fn journal_error(&self, account: &str, error: Option<String>) -> Option<String> {
        std::mem::replace(
            &mut self
                .lock()
                .entry(account.to_owned())
                .or_default()
                .journal_error,
            error,
        )
    }

    fn update(&self, account: &str, state: &AccountState, seen: &Evidence) {
        let mut cards = self.lock();
        let card = cards.entry(account.to_owned()).or_default();
        if card.state.seq != state.seq {
            card.state = Arc::new(state.clone());
        }
        if let Some(sinks) = seen.sinks() {
            card.sinks.clone_from(sinks);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, AccountSnapshot>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// Tells the board, the alert desk and the watchdog what an account does.
#[derive(Clone)]
pub struct AlertObserver {
    /// The cards.
    pub board: Arc<StatusCache>,
    /// The incidents.
    pub alerts: AlertHandle,
    /// The watchdog.
    pub systemd: Systemd,
}

impl Observer for AlertObserver {
    async fn conditions(&self, account: &str, conditions: Vec<Condition>) {
        self.alerts.report(account, conditions).await;
    }

    fn changed(&self, account: &str, state: &AccountState, seen: &Evidence) {
        self.board.update(account, state, seen);
    }

    fn progress(&self, account: &str) {
        self.systemd.progress(account);
    }
}
