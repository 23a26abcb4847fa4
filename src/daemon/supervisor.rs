//! Everything the running process has, for whoever asks it for something: signals, the control
//! socket, commands that work without a daemon.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Mutex, RwLock, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::alerts::{AlertHandle, AlertTask};
use super::status::{AlertObserver, StatusCache};
use super::systemd::Systemd;
use super::view::{
    self, AccountHealth, AccountPlanView, AuthConfigsView, DaemonView, ForeignView, PlanView,
    StatusView, TokensView,
};
use super::waker::Waker;
use super::worker::{RotationResult, StartMode, WorkerRequest, WorkerShared};
use super::workers::Workers;
use super::{DaemonError, Failing, ReloadLogging};
use crate::clock::Clock;
use crate::reconcile::{
    self, AccountConfig, Adopt, AdoptError, EventHistory, HistoryError, ListError, ListedToken,
    RevokeError, RingexRateLimiter, TokenExchange,
};
use crate::ringcx::http::HttpApi;
use crate::store::SqliteJournal;
use rotator_core::config::{AccountPolicy, Policy};
use rotator_core::event::IncidentKind;
use rotator_core::incidents::{Condition, DAEMON, Incident};
use rotator_core::journal::{ALERTS, Journal};
use rotator_core::secret::Fingerprint;
use rotator_policy::PolicyErrors;

/// Everything the running process has.
pub struct Supervisor {
    policy: RwLock<Arc<Policy>>,
    api: RwLock<Arc<HttpApi>>,
    fleet: Mutex<Workers>,
    shared: Arc<WorkerShared>,
    alerts: AlertHandle,
    journal: SqliteJournal,
    clock: Clock,
    reload_logging: ReloadLogging,
    stop: CancellationToken,
    started_at: DateTime<Utc>,
}

/// Why something that was asked for cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The policy has no such account.
    #[error("no account `{name}` in the policy{}", hint(known))]
    NoAccount {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The account's task has ended.
    #[error("account `{0}` is not being worked on: the daemon is stopping")]
    Ended(String),
    /// The token was not deleted.
    #[error(transparent)]
    Revoke(#[from] RevokeError),
    /// Tokens or auth configs could not be listed.
    #[error(transparent)]
    List(#[from] ListError),
    /// Nothing was adopted.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// The journal could not be read.
    #[error(transparent)]
    History(#[from] HistoryError),
}

fn hint(known: &[String]) -> String {
    match known {
        [] => String::new(),
        known => format!(": there is {}", known.join(", ")),
    }
}

/// Why a policy was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It is wrong.
    #[error(transparent)]
    Policy(#[from] PolicyErrors),
    /// It cannot be put to work.
    #[error(transparent)]
    Start(#[from] DaemonError),
}

impl Supervisor {
    /// Takes the state directory and reads the journal. No account is worked on yet.
    pub async fn open(
        policy: Policy,
        clock: Clock,
        reload_logging: ReloadLogging,
    ) -> Result<Self, DaemonError> {
        let journal = SqliteJournal::open(&policy.daemon.state_dir)?;
        let api = Arc::new(HttpApi::try_new(&policy.ringcx, clock.clone())?);
        let stop = CancellationToken::new();
        let waker = Waker::start(clock.clone(), stop.clone()).await?;
        let alerts = AlertTask::start(
            journal.clone(),
            policy.alerts.clone(),
            names(&policy),
            clock.clone(),
        )
        .await?;
        let systemd = Systemd::default();
        systemd.allow_calls_of(policy.longest_call());
        let board = Arc::new(StatusCache::default());
        let shared = Arc::new(WorkerShared {
            permits: Semaphore::new(policy.daemon.max_concurrent_accounts),
            waker,
            board: Arc::clone(&board),
            peers: TokenExchange::default(),
            systemd: systemd.clone(),
            apps: Arc::new(RingexRateLimiter::of_journal(&journal, &policy).await),
        });
        let witness = AlertObserver {
            board,
            alerts: alerts.clone(),
            systemd,
        };
        let fleet = Workers::new(Arc::clone(&shared), journal.clone(), witness, clock.clone());
        alerts.report(DAEMON, Vec::new()).await;
        Ok(Self {
            policy: RwLock::new(Arc::new(policy)),
            api: RwLock::new(api),
            fleet: Mutex::new(fleet),
            shared,
            alerts,
            journal,
            started_at: clock.now(),
            clock,
            reload_logging,
            stop,
        })
    }

    /// Takes up every account of the policy. What is answered resolves when all first passes have
    /// ended.
    pub async fn start_accounts(&self) -> impl Future<Output = ()> + use<> {
        let policy = self.policy().await;
        let mut firsts = Vec::new();
        for account in &policy.accounts {
            firsts.extend(self.start_account(&policy, account, StartMode::Pass).await);
        }
        async move {
            for first in firsts {
                // A task that ended early is as done as one that answered.
                let _ended = first.await;
            }
        }
    }

    /// Takes up one account; one whose history cannot be read is left alone, and an error says so.
    pub async fn start_account(
        &self,
        policy: &Policy,
        account: &AccountPolicy,
        opening: StartMode,
    ) -> Option<oneshot::Receiver<()>> {
        let api = Arc::clone(&*self.api.read().await);
        let started = self
            .fleet
            .lock()
            .await
            .start(assignment(policy, account), api, opening)
            .await;
        match started {
            Ok(first) => Some(first),
            Err(error) => {
                tracing::error!(name: "account-not-started", account = account.name, %error, "Account is not worked on");
                self.shared
                    .board
                    .journal_error(&account.name, Some(error.to_string()));
                None
            }
        }
    }

    /// Resolves when no account has anything to do because of another.
    pub async fn peers_at_rest(&self) {
        self.shared.peers.at_rest().await;
    }

    /// The policy in force.
    pub async fn policy(&self) -> Arc<Policy> {
        Arc::clone(&*self.policy.read().await)
    }

    /// What systemd is told.
    pub fn systemd(&self) -> &Systemd {
        &self.shared.systemd
    }

    /// The accounts that are worked on.
    pub async fn account_names(&self) -> Vec<String> {
        self.fleet.lock().await.names()
    }

    /// Reads the policy again and puts it to work. A wrong one changes nothing, and is an incident.
    pub async fn reload(&self) -> Result<(), ReloadError> {
        self.systemd().reloading();
        let outcome = self.try_reload().await;
        let conditions = match &outcome {
            Ok(()) => {
                tracing::info!(name: "policy-reloaded", "Policy reloaded");
                Vec::new()
            }
            Err(error) => {
                tracing::error!(name: "policy-not-reloaded", %error, "Policy not reloaded, the old one stays in force");
                vec![self.reload_failed(error)]
            }
        };
        self.alerts.report(DAEMON, conditions).await;
        self.systemd().ready(&self.summary().await);
        outcome
    }

    async fn try_reload(&self) -> Result<(), ReloadError> {
        let old = self.policy().await;
        let new = Arc::new(rotator_policy::load(&old.path)?.policy);
        if new.daemon.state_dir != old.daemon.state_dir
            || new.daemon.control_socket != old.daemon.control_socket
        {
            tracing::warn!(name: "restart-needed", "state-dir and control-socket change only with a restart");
        }
        if new.ringcx != old.ringcx {
            let api =
                HttpApi::try_new(&new.ringcx, self.clock.clone()).map_err(DaemonError::Http)?;
            *self.api.write().await = Arc::new(api);
        }
        (self.reload_logging)(&new.log);
        self.systemd().allow_calls_of(new.longest_call());
        *self.policy.write().await = Arc::clone(&new);
        self.alerts
            .policy_changed(new.alerts.clone(), names(&new))
            .await;
        for gone in self
            .account_names()
            .await
            .iter()
            .filter(|name| new.account(name).is_none())
        {
            self.fleet.lock().await.end(gone).await;
            tracing::warn!(name: "account-released", account = gone, "Account taken out of the policy, nothing of it is deleted");
        }
        for account in &new.accounts {
            let orders = self.fleet.lock().await.orders(&account.name);
            match orders {
                Some(orders) => {
                    let api = Arc::clone(&*self.api.read().await);
                    let order = WorkerRequest::Reload(Box::new(assignment(&new, account)), api);
                    // A task that has ended is ending with the process.
                    let _ended = orders.send(order).await;
                }
                None => drop(self.start_account(&new, account, StartMode::Pass).await),
            }
        }
        Ok(())
    }

    fn reload_failed(&self, error: &ReloadError) -> Condition {
        Condition {
            account: DAEMON.to_owned(),
            kind: IncidentKind::ReloadFailed,
            sink: None,
            since: self.clock.now(),
            count: 1,
            cause: error.to_string(),
            next_attempt_at: None,
            still_works: "everything: the policy that was in force stays in force".to_owned(),
        }
    }

    /// A pass over every account now.
    pub async fn pass_now(&self) {
        for name in self.account_names().await {
            if let Some(orders) = self.fleet.lock().await.orders(&name) {
                // A full queue has a pass in it already.
                let _full = orders.try_send(WorkerRequest::PassNow);
            }
        }
    }

    /// Rotates these accounts side by side; answers each one's outcome of the first try.
    pub async fn rotate(
        &self,
        accounts: &[String],
    ) -> Result<Vec<(String, RotationResult)>, SupervisorError> {
        let mut waiting = Vec::new();
        for name in accounts {
            waiting.push((name, self.order(name, WorkerRequest::Rotate).await?));
        }
        let mut outcomes = Vec::new();
        for (name, reply) in waiting {
            let outcome = reply
                .await
                .map_err(|_| SupervisorError::Ended(name.clone()))?;
            outcomes.push((name.clone(), outcome));
        }
        Ok(outcomes)
    }

    /// What would be done now.
    pub async fn plan(&self, accounts: &[String]) -> Result<PlanView, SupervisorError> {
        let mut plans: Vec<AccountPlanView> = Vec::new();
        for name in self.chosen(accounts).await? {
            let reply = self.order(&name, WorkerRequest::Plan).await?;
            let decision = reply
                .await
                .map_err(|_| SupervisorError::Ended(name.clone()))?;
            plans.push(view::plan(&name, &decision));
        }
        Ok(PlanView { accounts: plans })
    }

    /// The server's list joined with the journal.
    pub async fn tokens(&self, account: &str) -> Result<TokensView, SupervisorError> {
        let listed = self.listed(account).await?;
        let card = self.shared.board.card(account).unwrap_or_default();
        Ok(view::tokens(account, &card.state, &card.sinks, &listed))
    }

    /// The server's tokens that are not ours.
    pub async fn foreign(&self, account: &str) -> Result<ForeignView, SupervisorError> {
        let listed = self.listed(account).await?;
        let policy = self.policy().await;
        let own = policy
            .account(account)
            .ok_or_else(|| SupervisorError::Ended(account.to_owned()))?;
        let card = self.shared.board.card(account).unwrap_or_default();
        Ok(view::foreign(own, &card.state, &card.sinks, &listed))
    }

    async fn listed(&self, account: &str) -> Result<Vec<ListedToken>, SupervisorError> {
        let reply = self.order(account, WorkerRequest::Tokens).await?;
        Ok(reply
            .await
            .map_err(|_| SupervisorError::Ended(account.to_owned()))??)
    }

    /// Puts foreign tokens under the policy, or leaves them alone again.
    pub async fn adopt(&self, account: &str, wishes: Vec<Adopt>) -> Result<(), SupervisorError> {
        let reply = self
            .order(account, |reply| WorkerRequest::Adopt(wishes, reply))
            .await?;
        Ok(reply
            .await
            .map_err(|_| SupervisorError::Ended(account.to_owned()))??)
    }

    /// The auth configs that an account's login can see.
    pub async fn auth_configs(&self, account: &str) -> Result<AuthConfigsView, SupervisorError> {
        let reply = self.order(account, WorkerRequest::AuthConfigs).await?;
        let listed = reply
            .await
            .map_err(|_| SupervisorError::Ended(account.to_owned()))??;
        let policy = self.policy().await;
        let own = policy
            .account(account)
            .ok_or_else(|| SupervisorError::Ended(account.to_owned()))?;
        Ok(view::auth_configs(own, listed))
    }

    /// Deletes one token.
    pub async fn revoke(
        &self,
        account: &str,
        prefix: &str,
    ) -> Result<Fingerprint, SupervisorError> {
        let prefix = prefix.to_owned();
        let reply = self
            .order(account, |reply| WorkerRequest::Revoke(prefix, reply))
            .await?;
        Ok(reply
            .await
            .map_err(|_| SupervisorError::Ended(account.to_owned()))??)
    }

    /// Sends a test mail.
    pub fn alerts(&self) -> &AlertHandle {
        &self.alerts
    }

    /// The audit trail of these accounts, or of all that the journal knows.
    pub async fn history(
        &self,
        accounts: &[String],
    ) -> Result<Vec<(String, EventHistory)>, SupervisorError> {
        Ok(read_history(&self.journal, accounts).await?)
    }

    /// How things stand.
    pub async fn status(&self, accounts: &[String]) -> Result<StatusView, SupervisorError> {
        let policy = self.policy().await;
        let alerts = self.alerts.snapshot().await;
        let mut views = Vec::new();
        for account in policy
            .accounts
            .iter()
            .filter(|it| accounts.is_empty() || accounts.contains(&it.name))
        {
            let card = self.shared.board.card(&account.name).unwrap_or_default();
            let incidents = of(&alerts.incidents, &account.name);
            let mut view = view::account(account, &card.state, &card.sinks, incidents);
            if let Some(error) = card.journal_error {
                view.state = AccountHealth::Failing;
                view.last_error = Some(error);
            }
            views.push(view);
        }
        for name in self.unmanaged(&policy).await? {
            if accounts.is_empty() || accounts.contains(&name) {
                let state = reconcile::load_state(&self.journal, &name).await?;
                views.push(view::unmanaged(&name, &state, of(&alerts.incidents, &name)));
            }
        }
        if let Some(name) = accounts
            .iter()
            .find(|name| !views.iter().any(|view| view.name == **name))
        {
            return Err(self.no_account(name).await);
        }
        Ok(StatusView {
            daemon: DaemonView {
                running: true,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started_at: Some(self.started_at),
                unsent_mails: alerts.unsent,
                mail_error: alerts.mail_error,
            },
            accounts: views,
            incidents: of(&alerts.incidents, DAEMON),
        })
    }

    /// What is failing, one line an account.
    pub async fn failing(&self) -> Failing {
        let Ok(status) = self.status(&[]).await else {
            return vec!["the journal cannot be read".to_owned()];
        };
        let failing = status
            .accounts
            .into_iter()
            .filter(|it| it.managed && it.state != AccountHealth::Ok);
        failing
            .map(|it| {
                let why = it.last_error.or(it
                    .incidents
                    .first()
                    .map(|incident| incident.summary.clone()));
                format!(
                    "{}: {}",
                    it.name,
                    why.unwrap_or_else(|| format!("is {}", it.state))
                )
            })
            .collect()
    }

    /// How things stand, in one line.
    pub async fn summary(&self) -> String {
        let Ok(status) = self.status(&[]).await else {
            return "The journal cannot be read".to_owned();
        };
        let managed: Vec<_> = status.accounts.iter().filter(|it| it.managed).collect();
        let bad: Vec<&str> = managed
            .iter()
            .filter(|it| !matches!(it.state, AccountHealth::Ok | AccountHealth::Rotating))
            .map(|it| it.name.as_str())
            .collect();
        let next = managed.iter().filter_map(|it| it.next_rotation_at).min();
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

    /// Ends everything within this time.
    pub async fn close(&self, grace: Duration) {
        self.fleet.lock().await.end_all(grace).await;
        self.alerts
            .shutdown(grace.min(Duration::from_secs(10)))
            .await;
        self.stop.cancel();
        if let Err(error) = self.journal.close().await {
            tracing::error!(name: "journal-not-closed", %error, "Journal did not close cleanly");
        }
    }

    async fn order<T>(
        &self,
        account: &str,
        order: impl FnOnce(oneshot::Sender<T>) -> WorkerRequest<HttpApi>,
    ) -> Result<oneshot::Receiver<T>, SupervisorError> {
        let orders = self.fleet.lock().await.orders(account);
        let Some(orders) = orders else {
            return Err(self.no_account(account).await);
        };
        let (reply, answer) = oneshot::channel();
        orders
            .send(order(reply))
            .await
            .map_err(|_| SupervisorError::Ended(account.to_owned()))?;
        Ok(answer)
    }

    async fn chosen(&self, accounts: &[String]) -> Result<Vec<String>, SupervisorError> {
        let policy = self.policy().await;
        match accounts.iter().find(|name| policy.account(name).is_none()) {
            Some(unknown) => Err(self.no_account(unknown).await),
            None if accounts.is_empty() => {
                Ok(policy.accounts.iter().map(|it| it.name.clone()).collect())
            }
            None => Ok(accounts.to_vec()),
        }
    }

    async fn no_account(&self, name: &str) -> SupervisorError {
        let known = self
            .policy()
            .await
            .accounts
            .iter()
            .map(|it| it.name.clone())
            .collect();
        SupervisorError::NoAccount {
            name: name.to_owned(),
            known,
        }
    }

    async fn unmanaged(&self, policy: &Policy) -> Result<Vec<String>, HistoryError> {
        Ok(unmanaged(&self.journal, policy).await?)
    }
}

/// The accounts that only the journal knows.
pub async fn unmanaged(
    journal: &SqliteJournal,
    policy: &Policy,
) -> Result<Vec<String>, rotator_core::journal::JournalError> {
    let streams = journal.streams().await?;
    Ok(streams
        .into_iter()
        .filter(|it| it != ALERTS && policy.account(it).is_none())
        .collect())
}

/// The audit trail of these accounts, or of all that the journal knows.
pub async fn read_history(
    journal: &SqliteJournal,
    accounts: &[String],
) -> Result<Vec<(String, EventHistory)>, HistoryError> {
    let streams = journal.streams().await?;
    let wanted = |name: &String| name != ALERTS && (accounts.is_empty() || accounts.contains(name));
    let mut trails = Vec::new();
    for name in streams.into_iter().filter(wanted) {
        let trail = reconcile::history(journal, &name).await?;
        trails.push((name, trail));
    }
    Ok(trails)
}

fn names(policy: &Policy) -> BTreeSet<String> {
    policy
        .accounts
        .iter()
        .map(|account| account.name.clone())
        .collect()
}

fn assignment(policy: &Policy, account: &AccountPolicy) -> AccountConfig {
    AccountConfig {
        account: account.clone(),
        ringcx: policy.ringcx.clone(),
        alerts: policy.alerts.clone(),
    }
}

/// The incidents of one account.
pub fn of(incidents: &[Incident], account: &str) -> Vec<Incident> {
    incidents
        .iter()
        .filter(|incident| incident.key.account == account)
        .cloned()
        .collect()
}
