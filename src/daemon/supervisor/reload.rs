//! Putting a changed policy into force.

use std::sync::Arc;

use super::{Supervisor, account_config, names};
use crate::daemon::error::{DaemonError, ReloadError};
use crate::daemon::worker::{StartMode, WorkerRequest};
use crate::outbound;
use crate::process::blocking;
use crate::ringcx::http::HttpApi;
use rotator_core::config::Policy;
use rotator_core::event::IncidentKind;
use rotator_core::incidents::{Condition, DAEMON};

impl Supervisor {
    /// Reads the policy again and puts it into force. A policy with errors changes nothing and
    /// opens an incident.
    pub async fn reload(&self) -> Result<(), ReloadError> {
        let _one_at_a_time = self.reloading.lock().await;
        self.systemd().reloading();
        let outcome = self.try_reload().await;
        let conditions = match &outcome {
            Ok(()) => {
                tracing::info!(name: "policy-reloaded", "Policy reloaded");
                // An empty list resolves the incident of an earlier reload that failed.
                Vec::new()
            }
            Err(error) => {
                tracing::error!(
                    name: "policy-not-reloaded",
                    %error,
                    "Policy not reloaded, the old one stays in force"
                );
                vec![self.reload_failed(error)]
            }
        };
        self.alerts.report(DAEMON, conditions).await;
        // After a failure as well: without READY=1, systemd waits for the reload to end.
        self.systemd().ready(&self.summary().await);
        outcome
    }

    async fn try_reload(&self) -> Result<(), ReloadError> {
        let old = self.policy().await;
        let path = old.path.clone();
        // Away from the runtime's thread: a file of the policy may hang, and the accounts go on.
        let loaded = blocking(move || rotator_policy::load(&path))
            .await?
            .trusted()?;
        let new = Arc::new(loaded.policy);
        if new.daemon.state_dir != old.daemon.state_dir
            || new.daemon.control_socket != old.daemon.control_socket
        {
            tracing::warn!(
                name: "restart-needed",
                "state-dir and control-socket change only with a restart"
            );
        }
        // The client is built before anything is changed, because this can still fail. Also where
        // the policy is the same: the certificates that it names may have been renewed.
        let (ringcx, clock) = (new.ringcx.clone(), self.clock.clone());
        let api = blocking(move || {
            // On loopback without TLS, webhooks may still need it, and say so themselves.
            match outbound::read_again(ringcx.ca_file.as_deref()) {
                Err(error) if ringcx.base_url.scheme() == "https" => return Err(error.into()),
                Err(_) | Ok(()) => {}
            }
            HttpApi::try_new(&ringcx, clock)
        });
        *self.api.write().await = Arc::new(api.await.map_err(DaemonError::Http)?);
        // From here on nothing fails: a policy is in force as a whole or not at all.
        (self.reload_logging)(&new.log);
        self.systemd().allow_calls_of(new.longest_call());
        *self.policy.write().await = Arc::clone(&new);
        self.alerts
            .policy_changed(new.alerts.clone(), names(&new))
            .await;
        // Before the others start: an account that was renamed must not write to its sinks twice at
        // once.
        self.end_removed_accounts(&new).await;
        self.hand_out(&new).await;
        Ok(())
    }

    async fn end_removed_accounts(&self, policy: &Policy) {
        for name in self.account_names().await {
            if policy.account(&name).is_none() {
                self.workers.lock().await.end(&name).await;
                tracing::warn!(
                    name: "account-released",
                    account = name,
                    "Account taken out of the policy, nothing of it is deleted"
                );
            }
        }
    }

    /// Gives each account its part of the policy, and starts the new ones.
    async fn hand_out(&self, policy: &Policy) {
        for account in &policy.accounts {
            // A statement of its own: `start_account` below takes the same lock.
            let requests = self.workers.lock().await.requests(&account.name);
            match requests {
                Some(requests) => {
                    let api = Arc::clone(&*self.api.read().await);
                    let config = Box::new(account_config(policy, account));
                    // A task that has ended is ending with the process.
                    let _ended = requests.send(WorkerRequest::Reload(config, api)).await;
                }
                // A reload does not wait for the first pass of a new account.
                None => drop(self.start_account(policy, account, StartMode::Pass).await),
            }
        }
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
}
