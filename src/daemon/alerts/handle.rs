//! The handle by which the daemon reaches the alert task.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::mail::{MailError, SmtpReceipt};
use rotator_core::config::AlertsPolicy;
use rotator_core::incidents::{Condition, Incident};

/// Reaches the alert task. Clones reach the same one; when the last is gone the task stops as if
/// killed.
#[derive(Clone)]
pub struct AlertHandle {
    pub(super) commands: mpsc::Sender<AlertCommand>,
}

/// What the alert task knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertSnapshot {
    /// Open incidents, by account.
    pub incidents: Vec<Incident>,
    /// Mails that no server has taken yet.
    pub unsent: usize,
    /// Why the oldest of them is still here.
    pub mail_error: Option<String>,
    /// Recipients of the last mail that the server refused for good, with what it said.
    pub refused: Vec<String>,
}

/// What the task is asked to do. Each has a channel for the answer.
pub(super) enum AlertCommand {
    Report {
        account: String,
        conditions: Vec<Condition>,
        done: oneshot::Sender<()>,
    },
    Policy {
        policy: Box<AlertsPolicy>,
        managed: BTreeSet<String>,
        done: oneshot::Sender<()>,
    },
    Snapshot(oneshot::Sender<AlertSnapshot>),
    TestMail(oneshot::Sender<Result<SmtpReceipt, MailError>>),
    /// A mail went through that was not in the outbox.
    MailWorks(oneshot::Sender<()>),
    Shutdown {
        grace: Duration,
        done: oneshot::Sender<()>,
    },
}

impl AlertHandle {
    /// Reports everything that is wrong with an account, or with
    /// [`DAEMON`](rotator_core::incidents::DAEMON); an empty list says that it is well. Returns
    /// once what follows from it is journaled, or the journal has refused it.
    pub async fn report(&self, account: &str, conditions: Vec<Condition>) {
        let account = account.to_owned();
        self.ask(|done| AlertCommand::Report {
            account,
            conditions,
            done,
        })
        .await;
    }

    /// Says which policy and which accounts are in force from now on.
    pub async fn policy_changed(&self, policy: AlertsPolicy, managed: BTreeSet<String>) {
        let policy = Box::new(policy);
        self.ask(|done| AlertCommand::Policy {
            policy,
            managed,
            done,
        })
        .await;
    }

    /// What the task knows; nothing once it has stopped.
    pub async fn snapshot(&self) -> AlertSnapshot {
        self.ask(AlertCommand::Snapshot).await.unwrap_or_default()
    }

    /// Sends a test mail now, past the outbox. If it is taken, unsent mails are tried at once.
    pub async fn test_mail(&self) -> Result<SmtpReceipt, MailError> {
        let answer = self.ask(AlertCommand::TestMail).await;
        let sent = answer.unwrap_or(Err(MailError::Stopping))?;
        // What waits in the outbox need not wait any longer.
        if !sent.taken.is_empty() {
            self.ask(AlertCommand::MailWorks).await;
        }
        Ok(sent)
    }

    /// Writes what is owed, finishes the mail under way, tries every unsent mail once and stops,
    /// all within this time. What was not sent stays in the journal.
    pub async fn shutdown(&self, grace: Duration) {
        self.ask(|done| AlertCommand::Shutdown { grace, done })
            .await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> AlertCommand) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        // A task that has ended answers nothing: the process is stopping.
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}
