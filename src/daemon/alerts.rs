//! The alert desk: the one task that writes `@alerts`, and sends what its outbox holds.
//!
//! It is told what is wrong with an account whenever that may have changed, and compares levels:
//! telling it twice, late or not at all changes nothing but the time. It knows neither tokens nor
//! sinks. Sending has a task of its own, so that a slow mail server never delays a report. When the
//! journal cannot be written the desk keeps the conditions in memory and comes back to them; an
//! incident that cannot be recorded is not mailed either, and the log says so.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::mail::{MailError, Mailer, SmtpReceipt};
use rotator_core::config::AlertsPolicy;
use rotator_core::incidents::{
    self, AlertEvent, AlertState, Condition, Conditions, Flush, Incident, Mail, NextMail, Scope,
    Unreadable, Unsent,
};
use rotator_core::journal::checkpoint::{self, StreamSize};
use rotator_core::journal::{ALERTS, Entry, Journal, JournalError, Stream};

mod log;

/// Commands that may wait; more senders than that wait to be let in.
const QUEUE: usize = 256;

/// Timers stop while a machine sleeps: the wall clock is looked at no less often than this.
const LONGEST_NAP: Duration = Duration::from_secs(60);
const SHORTEST_NAP: Duration = Duration::from_millis(200);

/// Between two looks at a mail under way, or a journal that refuses.
const PATIENT_NAP: Duration = Duration::from_secs(5);

/// Reaches the desk. Clones reach the same one; when the last is gone the desk stops as if killed.
#[derive(Clone)]
pub struct AlertHandle {
    commands: mpsc::Sender<AlertCommand>,
}

/// What the desk knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertSnapshot {
    /// Open incidents, by account.
    pub incidents: Vec<Incident>,
    /// Mails that no server has taken yet.
    pub unsent: usize,
    /// Why the oldest of them is still here.
    pub mail_error: Option<String>,
}

enum AlertCommand {
    Report {
        account: String,
        conditions: Vec<Condition>,
        done: oneshot::Sender<()>,
    },
    Policy {
        policy: AlertsPolicy,
        managed: BTreeSet<String>,
        done: oneshot::Sender<()>,
    },
    Snapshot(oneshot::Sender<AlertSnapshot>),
    TestMail(oneshot::Sender<Result<SmtpReceipt, MailError>>),
    Shutdown {
        grace: Duration,
        done: oneshot::Sender<()>,
    },
}

impl AlertHandle {
    /// Says everything that is wrong with an account, or with [`incidents::DAEMON`]: an empty list says
    /// that it is well. Returns once what follows from it is journaled, or the journal has refused
    /// it.
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
        self.ask(|done| AlertCommand::Policy {
            policy,
            managed,
            done,
        })
        .await;
    }

    /// What the desk knows; nothing once it has stopped.
    pub async fn snapshot(&self) -> AlertSnapshot {
        self.ask(AlertCommand::Snapshot).await.unwrap_or_default()
    }

    /// Sends a test mail now, past the outbox.
    pub async fn test_mail(&self) -> Result<SmtpReceipt, MailError> {
        self.ask(AlertCommand::TestMail)
            .await
            .unwrap_or(Err(MailError::Stopping))
    }

    /// Writes what is owed, finishes the mail under way, tries every unsent mail once and stops,
    /// all within this time. What was not sent stays in the journal.
    pub async fn shutdown(&self, grace: Duration) {
        self.ask(|done| AlertCommand::Shutdown { grace, done })
            .await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> AlertCommand) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// The desk itself. Owns the state of the alerts.
pub struct AlertTask<J> {
    journal: J,
    policy: AlertsPolicy,
    managed: BTreeSet<String>,
    clock: Clock,
    state: AlertState,
    conditions: Conditions,
    /// What came of mails and is not in the journal yet. Nothing is sent meanwhile.
    unrecorded: Vec<AlertEvent>,
    sending: Option<Sending>,
    journal_refuses: bool,
    /// How much the journal holds of the alerts beside their checkpoint.
    length: StreamSize,
}

struct Sending {
    mail: u64,
    task: JoinHandle<Result<SmtpReceipt, MailError>>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<J: Journal + 'static> AlertTask<J> {
    /// Reads the alerts from the journal and starts the task. Errors are the journal's.
    pub async fn start(
        journal: J,
        policy: AlertsPolicy,
        managed: BTreeSet<String>,
        clock: Clock,
    ) -> Result<AlertHandle, JournalError> {
        let (state, length) = read(&journal).await?;
        log::resumed(&state);
        let alerts = Self {
            journal,
            policy,
            managed,
            clock,
            state,
            conditions: Conditions::new(),
            unrecorded: Vec::new(),
            sending: None,
            journal_refuses: false,
            length,
        };
        let (commands, inbox) = mpsc::channel(QUEUE);
        tokio::spawn(alerts.run(inbox));
        Ok(AlertHandle { commands })
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<AlertCommand>) {
        loop {
            let nap = self.nap();
            let mut next = tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => Some(command),
                    None => return,
                },
                outcome = finished(&mut self.sending) => {
                    self.note(outcome);
                    None
                }
                () = tokio::time::sleep(nap) => None,
            };
            // Everything that waits is looked at together: a thousand reports cost one append.
            let (mut told, mut asked, mut stop) = (Vec::new(), Vec::new(), None);
            while let Some(command) = next {
                match command {
                    AlertCommand::Report {
                        account,
                        conditions,
                        done,
                    } => {
                        self.conditions.insert(account, conditions);
                        told.push(done);
                    }
                    AlertCommand::Policy {
                        policy,
                        managed,
                        done,
                    } => {
                        self.adopt(policy, managed).await;
                        told.push(done);
                    }
                    AlertCommand::Snapshot(reply) => asked.push(reply),
                    AlertCommand::TestMail(reply) => self.test_mail(reply),
                    AlertCommand::Shutdown { grace, done } => stop = Some((grace, done)),
                }
                next = inbox.try_recv().ok();
            }
            let pace = if stop.is_some() {
                Flush::Now
            } else {
                Flush::Batch
            };
            self.settle(pace).await;
            // Whoever asked may have been cancelled; that changes nothing here.
            for done in told {
                let _gone = done.send(());
            }
            for reply in asked {
                let _gone = reply.send(self.snapshot());
            }
            if let Some((grace, done)) = stop {
                if tokio::time::timeout(grace, self.drain()).await.is_err() {
                    log::left_unsent(self.state.outbox.len());
                }
                let _gone = done.send(());
                return;
            }
            self.send_next();
            if self.length.is_long() && !self.journal_refuses && inbox.is_empty() {
                self.compact().await;
            }
        }
    }

    /// Replaces the oldest part of the stream by what it comes to. What fails is tried again.
    async fn compact(&mut self) {
        match compact(&self.journal).await {
            Ok(length) => self.length = length,
            Err(error) => log::not_compacted(&error),
        }
    }

    /// Brings the journal up to what is known: first what came of mails, then what the conditions
    /// ask.
    async fn settle(&mut self, pace: Flush) {
        let unrecorded = std::mem::take(&mut self.unrecorded);
        if !self.record(&unrecorded).await {
            self.unrecorded = unrecorded;
            return;
        }
        let now = self.clock.now();
        let events = incidents::assess(
            &self.policy,
            &self.state,
            &self.conditions,
            &self.managed,
            now,
            pace,
        );
        // Refused events are not kept: the conditions are, and will ask for the same again.
        self.record(&events).await;
    }

    /// Appends and folds; answers whether that worked.
    async fn record(&mut self, events: &[AlertEvent]) -> bool {
        if events.is_empty() {
            return true;
        }
        let at = self.clock.now();
        let entries: Vec<Entry> = events.iter().map(|event| event.to_entry(at)).collect();
        let mut length = self.length;
        entries.iter().for_each(|entry| length.add(entry));
        let before = self.state.last_seq;
        match self.journal.append(ALERTS, before, entries).await {
            Ok(_) => {
                self.length = length;
                for (seq, event) in (before + 1..).zip(events) {
                    log::event(event, &self.state);
                    self.state.apply(seq, at, event);
                }
                if std::mem::take(&mut self.journal_refuses) {
                    log::journal_works();
                }
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.journal_refuses, true) {
                    log::journal_refuses(&error);
                }
                if let JournalError::Conflict { .. } = error {
                    // Our picture is old, which nobody but a second writer can have done: take the
                    // new one.
                    if let Ok((state, length)) = read(&self.journal).await {
                        (self.state, self.length) = (state, length);
                    }
                }
                false
            }
        }
    }

    async fn adopt(&mut self, policy: AlertsPolicy, managed: BTreeSet<String>) {
        let mail_changed = policy.email != self.policy.email;
        self.policy = policy;
        self.conditions
            .retain(|account, _| account == incidents::DAEMON || managed.contains(account));
        self.managed = managed;
        if mail_changed
            && self
                .state
                .outbox
                .iter()
                .any(|unsent| unsent.failure.is_some())
        {
            self.unrecorded.push(AlertEvent::MailHoldsLifted);
        }
    }

    fn send_next(&mut self) {
        if self.sending.is_some() || !self.unrecorded.is_empty() {
            return;
        }
        let NextMail::Send(unsent) = self.state.next_mail(self.clock.now()) else {
            return;
        };
        let mail = unsent.mail.clone();
        self.send(mail);
    }

    fn send(&mut self, mail: Mail) {
        let Some(email) = &self.policy.email else {
            return;
        };
        let mailer = Mailer::new(email.clone());
        let id = mail.id;
        self.sending = Some(Sending {
            mail: id,
            task: tokio::spawn(async move { mailer.send(&mail).await }),
        });
    }

    /// Turns what came of a mail into an event, and answers whom a failure concerns.
    fn note(&mut self, outcome: Result<SmtpReceipt, Failed>) -> Option<Scope> {
        let mail = self.sending.take().map(|sending| sending.mail)?;
        match outcome {
            Ok(SmtpReceipt { refused }) => {
                self.unrecorded.push(AlertEvent::MailSent { mail, refused });
                None
            }
            Err(Failed { scope, error }) => {
                let unsent = self
                    .state
                    .outbox
                    .iter()
                    .find(|unsent| unsent.mail.id == mail)?;
                self.unrecorded.push(incidents::mail_failed(
                    unsent,
                    scope,
                    error,
                    self.clock.now(),
                ));
                Some(scope)
            }
        }
    }

    /// Tries everything unsent once, in order, until the server itself fails.
    async fn drain(&mut self) {
        let mut tried = BTreeSet::new();
        loop {
            if let Some(sending) = &self.sending {
                tried.insert(sending.mail);
                let outcome = finished(&mut self.sending).await;
                let failed = self.note(outcome);
                self.settle(Flush::Now).await;
                if failed == Some(Scope::Server) || !self.unrecorded.is_empty() {
                    return;
                }
            }
            let untried = |unsent: &&Unsent| !tried.contains(&unsent.mail.id);
            let Some(mail) = self
                .state
                .outbox
                .iter()
                .find(untried)
                .map(|unsent| unsent.mail.clone())
            else {
                return;
            };
            self.send(mail);
            if self.sending.is_none() {
                return;
            }
        }
    }

    fn test_mail(&self, reply: oneshot::Sender<Result<SmtpReceipt, MailError>>) {
        let Some(email) = self.policy.email.clone() else {
            let _gone = reply.send(Err(MailError::NotConfigured));
            return;
        };
        let mail = incidents::test_mail(&email, self.clock.now());
        tokio::spawn(async move { reply.send(Mailer::new(email).send(&mail).await) });
    }

    fn snapshot(&self) -> AlertSnapshot {
        let oldest = self
            .state
            .outbox
            .iter()
            .find_map(|unsent| unsent.failure.as_ref());
        AlertSnapshot {
            incidents: self.state.incidents(&self.conditions),
            unsent: self.state.outbox.len(),
            mail_error: oldest.map(|failure| failure.error.clone()),
        }
    }

    fn nap(&self) -> Duration {
        let now = self.clock.now();
        let due = incidents::next_due(&self.policy, &self.state, now);
        let nap = due.map_or(LONGEST_NAP, |due| (due - now).to_std().unwrap_or_default());
        let patient = self.sending.is_some() || self.journal_refuses;
        nap.clamp(
            if patient { PATIENT_NAP } else { SHORTEST_NAP },
            LONGEST_NAP,
        )
    }
}

struct Failed {
    scope: Scope,
    error: String,
}

/// What came of the mail under way; never, where none is.
async fn finished(sending: &mut Option<Sending>) -> Result<SmtpReceipt, Failed> {
    let Some(sending) = sending else {
        return std::future::pending().await;
    };
    match (&mut sending.task).await {
        Ok(sent) => sent.map_err(|error| Failed {
            scope: error.scope(),
            error: error.to_string(),
        }),
        Err(error) => Err(Failed {
            scope: Scope::Server,
            error: format!("sending was cut short: {error}"),
        }),
    }
}

async fn read(journal: &impl Journal) -> Result<(AlertState, StreamSize), JournalError> {
    let stream = journal.load(ALERTS).await?;
    let state = AlertState::from_stream(&stream).map_err(unreadable)?;
    Ok((state, StreamSize::of(&stream.rows)))
}

async fn compact(journal: &impl Journal) -> Result<StreamSize, JournalError> {
    let Stream {
        checkpoint,
        mut rows,
    } = journal.load(ALERTS).await?;
    let kept = rows.split_off(checkpoint::cut(&rows));
    if let Some(last) = rows.last().map(|row| row.seq) {
        let old = Stream { checkpoint, rows };
        let state = AlertState::from_stream(&old).map_err(unreadable)?;
        journal
            .compact(ALERTS, last, checkpoint::write(AlertState::FORM, &state))
            .await?;
        log::compacted(old.rows.len(), last);
    }
    Ok(StreamSize::of(&kept))
}

fn unreadable(error: Unreadable) -> JournalError {
    let stream = ALERTS.to_owned();
    match error {
        Unreadable::Row { seq, .. } => JournalError::Damaged {
            stream,
            seq,
            what: "it is no alert event that this version knows",
        },
        Unreadable::Checkpoint { seq, source } => JournalError::Checkpoint {
            stream,
            seq,
            source,
        },
    }
}

#[cfg(test)]
mod tests;
