//! The state of all accounts: in full for `status`, and in one line for systemd.

use super::Supervisor;
use crate::daemon::error::RequestError;
use crate::daemon::view::{self, AccountHealth, AccountView, DaemonView, StatusView};
use crate::reconcile::{self, HistoryError};
use crate::store::SqliteJournal;
use rotator_core::config::{AccountPolicy, Policy};
use rotator_core::incidents::{DAEMON, Incident};
use rotator_core::journal::{ALERTS, Journal};

/// What is failing when the daemon ends, one line for each account.
pub type Failing = Vec<String>;

impl Supervisor {
    /// The status of these accounts, or of all if none is named.
    pub async fn status(&self, accounts: &[String]) -> Result<StatusView, RequestError> {
        let policy = self.policy().await;
        let alerts = self.alerts.snapshot().await;
        let managed = policy.accounts.iter();
        let mut views: Vec<AccountView> = managed
            .filter(|account| is_asked_for(&account.name, accounts))
            .map(|account| self.account_view(account, &alerts.incidents))
            .collect();
        views
            .extend(unmanaged_accounts(&self.journal, &policy, accounts, &alerts.incidents).await?);
        // Checked last, because an account that only the journal knows may be asked for as well.
        let is_shown = |name: &String| views.iter().any(|view| view.name == *name);
        if let Some(name) = accounts.iter().find(|name| !is_shown(name)) {
            return Err(self.no_account(name).await);
        }
        Ok(StatusView {
            daemon: DaemonView {
                running: true,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started_at: Some(self.started_at),
                unsent_mails: alerts.unsent,
                mail_error: alerts.mail_error,
                mail_refused: alerts.refused,
            },
            accounts: views,
            incidents: incidents_of(&alerts.incidents, DAEMON),
        })
    }

    fn account_view(&self, account: &AccountPolicy, incidents: &[Incident]) -> AccountView {
        let snapshot = self.snapshot(&account.name);
        let incidents = incidents_of(incidents, &account.name);
        let mut view = view::account(account, &snapshot.state, &snapshot.sinks, incidents);
        // The state in the snapshot is from before the journal failed, so it may still look well.
        if let Some(error) = snapshot.journal_error {
            view.state = AccountHealth::Failing;
            view.last_error = Some(error);
        }
        view
    }

    /// The accounts that are failing, and why.
    pub async fn failing(&self) -> Failing {
        let Ok(status) = self.status(&[]).await else {
            return vec!["the journal cannot be read".to_owned()];
        };
        let accounts = status.accounts.into_iter();
        accounts
            // An account outside the policy is always parked, which is no failure.
            .filter(|account| account.managed && account.state != AccountHealth::Ok)
            .map(|account| {
                let incident = account.incidents.first();
                let summary = incident.map(|incident| incident.summary.clone());
                let why = account.last_error.or(summary);
                let why = why.unwrap_or_else(|| format!("is {}", account.state));
                format!("{}: {why}", account.name)
            })
            .collect()
    }

    /// The state of all accounts in one line, for `systemctl status`.
    pub async fn summary(&self) -> String {
        let Ok(status) = self.status(&[]).await else {
            return "The journal cannot be read".to_owned();
        };
        let accounts = status.accounts.iter();
        let managed: Vec<_> = accounts.filter(|account| account.managed).collect();
        let bad: Vec<&str> = managed
            .iter()
            .filter(|account| !matches!(account.state, AccountHealth::Ok | AccountHealth::Rotating))
            .map(|account| account.name.as_str())
            .collect();
        let next = managed
            .iter()
            .filter_map(|account| account.next_rotation_at)
            .min();
        let next = next.map_or(String::new(), |at| {
            format!(", next rotation {}", at.format("%F %T UTC"))
        });
        let accounts = match managed.len() {
            1 => "1 account".to_owned(),
            count => format!("{count} accounts"),
        };
        match bad.as_slice() {
            [] => format!("{accounts} well{next}"),
            [one] => format!("{accounts}, {one} needs attention{next}"),
            many => format!("{accounts}, {} need attention{next}", many.len()),
        }
    }
}

/// Whether a request that names these accounts is about this one. One that names none is about all.
pub fn is_asked_for(account: &String, accounts: &[String]) -> bool {
    accounts.is_empty() || accounts.contains(account)
}

/// Those of these accounts that are in the journal and not in the policy, or all such if none is
/// named. They may still have living tokens on the server.
pub async fn unmanaged_accounts(
    journal: &SqliteJournal,
    policy: &Policy,
    accounts: &[String],
    incidents: &[Incident],
) -> Result<Vec<AccountView>, HistoryError> {
    let mut views = Vec::new();
    for name in journal.streams().await? {
        // `@alerts` is a stream and not an account.
        let is_unmanaged = name != ALERTS && policy.account(&name).is_none();
        if is_unmanaged && is_asked_for(&name, accounts) {
            // An account without a task has no snapshot: its journal is read.
            let state = reconcile::load_state(journal, &name).await?;
            views.push(view::unmanaged(
                &name,
                &state,
                incidents_of(incidents, &name),
            ));
        }
    }
    Ok(views)
}

/// The incidents of one account.
pub fn incidents_of(incidents: &[Incident], account: &str) -> Vec<Incident> {
    incidents
        .iter()
        .filter(|incident| incident.key.account == account)
        .cloned()
        .collect()
}
