//! What is known of every account right now, for requests that come while the accounts work.
//!
//! An account's task may be in a call to RingCX for a minute. `status` must not wait for that, so
//! each task leaves a copy of its state here whenever that changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::alerts::AlertHandle;
use super::systemd::Systemd;
use crate::reconcile::Observer;
use rotator_core::account::AccountState;
use rotator_core::incidents::Condition;
use rotator_core::plan::evidence::{Evidence, SinkContent};
use rotator_core::time::after;

/// A pass begins within moments of its time, unless other accounts take all the room.
const LATE: Duration = Duration::from_secs(45);

/// Whether an account is being worked on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// It waits for its next pass.
    #[default]
    Resting,
    /// A pass is under way.
    Working,
}

/// What is known of one account.
#[derive(Clone, Default)]
pub struct AccountSnapshot {
    /// Its state, as the journal has it.
    pub state: Arc<AccountState>,
    /// What its sinks were last seen to hold.
    pub sinks: BTreeMap<String, SinkContent>,
    /// Whether it is being worked on.
    pub activity: Activity,
    /// When the next pass is due.
    pub next_pass_at: Option<DateTime<Utc>>,
    /// Why its journal cannot be read or written, for example a full disk.
    pub journal_error: Option<String>,
    /// What was last reported to be wrong with it; none before the first report.
    pub reported: Option<Vec<Condition>>,
}

/// The snapshots of all accounts, by name.
#[derive(Default)]
pub struct StatusCache(Mutex<BTreeMap<String, AccountSnapshot>>);

impl AccountSnapshot {
    /// Whether it should have been worked on by now and was not.
    pub fn is_late(&self, now: DateTime<Utc>) -> bool {
        self.activity == Activity::Resting
            && self.next_pass_at.is_some_and(|at| after(at, LATE) < now)
    }
}

impl StatusCache {
    /// A copy of an account's snapshot; none before its first pass.
    pub fn snapshot(&self, account: &str) -> Option<AccountSnapshot> {
        self.lock().get(account).cloned()
    }

    /// Forgets an account that is no longer in the policy.
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

    /// Sets why its journal cannot be used, and returns what was set before.
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

    /// Whether this differs from what was reported last.
    fn is_news(&self, account: &str, conditions: &[Condition]) -> bool {
        let snapshots = self.lock();
        let known = snapshots.get(account).and_then(|it| it.reported.as_deref());
        known != Some(conditions)
    }

    fn reported(&self, account: &str, conditions: Vec<Condition>) {
        self.lock().entry(account.to_owned()).or_default().reported = Some(conditions);
    }

    /// Keeps a copy of the state, and of what was seen.
    pub(super) fn update(&self, account: &str, state: &AccountState, evidence: &Evidence) {
        let mut snapshots = self.lock();
        let snapshot = snapshots.entry(account.to_owned()).or_default();
        // Copied only when an event was added: this is called after every step.
        if snapshot.state.seq != state.seq {
            snapshot.state = Arc::new(state.clone());
        }
        // Until the sinks are looked at, what was last seen of them stays.
        if let Some(sinks) = evidence.sinks() {
            snapshot.sinks.clone_from(sinks);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, AccountSnapshot>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// Passes what an account does on to the status cache, the alerts and the watchdog.
#[derive(Clone)]
pub struct AlertObserver {
    /// Where its snapshot is kept.
    pub status: Arc<StatusCache>,
    /// The task that makes incidents of conditions.
    pub alerts: AlertHandle,
    /// Counts progress for systemd's watchdog.
    pub systemd: Systemd,
}

impl Observer for AlertObserver {
    async fn conditions(&self, account: &str, conditions: Vec<Condition>) {
        if self.status.is_news(account, &conditions) {
            self.alerts.report(account, conditions.clone()).await;
            // Only now: if the task is dropped during the call, they are reported again.
            self.status.reported(account, conditions);
        }
    }

    fn changed(&self, account: &str, state: &AccountState, evidence: &Evidence) {
        self.status.update(account, state, evidence);
    }

    fn progress(&self, account: &str) {
        self.systemd.progress(account);
    }
}
