//! Requests to the account tasks.

use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Supervisor;
use crate::daemon::error::RequestError;
use crate::daemon::worker::{
    AccountReconciler, AfterCall, ReconcilerCall, RotationResult, WorkerRequest,
};

impl Supervisor {
    /// Runs `work` in the task of this account, between two passes, and returns its result.
    ///
    /// `work` is given the account's reconciler and a token that is cancelled when the task has to
    /// end. For example, the request `plan` is
    ///
    /// ```text
    /// supervisor.call(account, AfterCall::Rest, |reconciler, _stop| {
    ///     ready(reconciler.decide()).boxed()
    /// })
    /// ```
    pub async fn call<T, W>(
        &self,
        account: &str,
        after: AfterCall,
        work: W,
    ) -> Result<T, RequestError>
    where
        T: Send + 'static,
        W: for<'r> FnOnce(&'r mut AccountReconciler, &'r CancellationToken) -> BoxFuture<'r, T>
            + Send
            + 'static,
    {
        let (reply, answer) = oneshot::channel();
        // A client that went away does not wait for the result any more.
        let call: ReconcilerCall = Box::new(move |reconciler, stop| {
            let work = work(reconciler, stop);
            work.map(|result| drop(reply.send(result))).boxed()
        });
        self.send(account, WorkerRequest::Call(call, after)).await?;
        answer
            .await
            .map_err(|_| RequestError::Ended(account.to_owned()))
    }

    /// Rotates these accounts side by side, as was asked for at this time. Returns for each the
    /// result of the first try, or that of the rotation that was under way at that time.
    pub async fn rotate(
        &self,
        accounts: &[String],
        asked: Instant,
    ) -> Result<Vec<(String, RotationResult)>, RequestError> {
        let mut waiting = Vec::new();
        // All are asked before the first answer is awaited: the accounts rotate side by side.
        for name in accounts {
            let (reply, answer) = oneshot::channel();
            self.send(name, WorkerRequest::Rotate(reply, asked)).await?;
            waiting.push((name, answer));
        }
        let mut results = Vec::new();
        for (name, answer) in waiting {
            let result = answer
                .await
                .map_err(|_| RequestError::Ended(name.clone()))?;
            results.push((name.clone(), result));
        }
        Ok(results)
    }

    /// Starts a pass over every account now.
    pub async fn pass_now(&self) {
        for name in self.account_names().await {
            if let Some(requests) = self.workers.lock().await.requests(&name) {
                // A full queue is answered with passes anyway.
                let _full = requests.try_send(WorkerRequest::PassNow);
            }
        }
    }

    /// These accounts, or all of the policy if none is named.
    pub async fn select(&self, accounts: &[String]) -> Result<Vec<String>, RequestError> {
        let policy = self.policy().await;
        match accounts.iter().find(|name| policy.account(name).is_none()) {
            Some(unknown) => Err(self.no_account(unknown).await),
            None if accounts.is_empty() => Ok(policy
                .accounts
                .iter()
                .map(|account| account.name.clone())
                .collect()),
            None => Ok(accounts.to_vec()),
        }
    }

    pub(super) async fn no_account(&self, name: &str) -> RequestError {
        let policy = self.policy().await;
        let known = policy.accounts.iter().map(|account| account.name.clone());
        RequestError::NoAccount {
            name: name.to_owned(),
            known: known.collect(),
        }
    }

    async fn send(&self, account: &str, request: WorkerRequest) -> Result<(), RequestError> {
        // A statement of its own: the lock must not be held while a full queue is waited for.
        let requests = self.workers.lock().await.requests(account);
        let Some(requests) = requests else {
            return Err(self.no_account(account).await);
        };
        requests
            .send(request)
            .await
            .map_err(|_| RequestError::Ended(account.to_owned()))
    }
}
