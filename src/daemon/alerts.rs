//! The alert task: the only one that writes `@alerts`, and sends what its outbox holds.
//!
//! It gets a report of what is wrong with an account whenever that may have changed, and compares
//! levels: a report that comes twice, late or not at all changes nothing but the time. It knows
//! neither tokens nor sinks. Sending has a task of its own, so that a slow mail server never delays
//! a report. When the journal cannot be written the task keeps the conditions in memory and comes
//! back to them; an incident that cannot be recorded is not mailed either, and the log says so.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::mail::{Except, MailError, Mailer, SmtpReceipt};
use rotator_core::config::AlertsPolicy;
use rotator_core::incidents::{
    self, AlertEvent, AlertState, Conditions, FailedTry, Flush, MailTry, NextMail, Scope, Unsent,
};
use rotator_core::journal::checkpoint::StreamSize;
use rotator_core::journal::{ALERTS, Entry, Journal, JournalError};

mod handle;
mod log;
mod stream;

use handle::AlertCommand;
pub use handle::{AlertHandle, AlertSnapshot};

/// Commands that may wait; more senders than that wait to be let in.
const QUEUE: usize = 256;

/// Timers stop while a machine sleeps: the wall clock is looked at no less often than this.
const LONGEST_NAP: Duration = Duration::from_secs(60);
const SHORTEST_NAP: Duration = Duration::from_millis(200);

/// Between two looks whether a rejected password is another one by now.
const PASSWORD_LOOK: TimeDelta = TimeDelta::seconds(60);

/// Between two looks at a mail under way, or a journal that refuses.
const PATIENT_NAP: Duration = Duration::from_secs(5);

/// The task itself. Owns the state of the alerts.
pub struct AlertTask<J> {
    journal: J,
    policy: AlertsPolicy,
    managed: BTreeSet<String>,
    clock: Clock,
    state: AlertState,
    conditions: Conditions,
    /// Outcomes of mails that are not in the journal yet. Nothing is sent meanwhile.
    unrecorded: Vec<AlertEvent>,
    sending: Option<Sending>,
    /// When a rejected password was last compared with what the policy names now.
    password_looked_at: Option<DateTime<Utc>>,
    journal_refuses: bool,
    /// How much the journal holds of the alerts beside their checkpoint.
    length: StreamSize,
}

/// Answers that wait until the journal has what the commands caused.
#[derive(Default)]
struct Replies {
    done: Vec<oneshot::Sender<()>>,
    snapshots: Vec<oneshot::Sender<AlertSnapshot>>,
    shutdown: Option<(Duration, oneshot::Sender<()>)>,
}

impl Replies {
    /// Sends all but the answer to a shutdown, which waits for the mails.
    fn send(self, snapshot: impl Fn() -> AlertSnapshot) -> Option<(Duration, oneshot::Sender<()>)> {
        // A caller may have been cancelled; that changes nothing here.
        for done in self.done {
            let _gone = done.send(());
        }
        for reply in self.snapshots {
            let _gone = reply.send(snapshot());
        }
        self.shutdown
    }
}

struct Sending {
    mail: u64,
    task: JoinHandle<Result<SmtpReceipt, MailError>>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        // Dropping the handle would only detach the task: a mail could go out whose outcome is
        // lost.
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
        let (state, length) = stream::read(&journal).await?;
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
            password_looked_at: None,
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
                    // The last handle is gone: no report can come any more.
                    None => return,
                },
                outcome = finished(&mut self.sending) => {
                    self.note(outcome);
                    None
                }
                // Time alone can make a mail due, for example one that is tried again.
                () = tokio::time::sleep(nap) => None,
            };
            // Everything that waits is looked at together: a thousand reports cost one append.
            let mut replies = Replies::default();
            while let Some(command) = next {
                self.handle(command, &mut replies).await;
                next = inbox.try_recv().ok();
            }
            let pace = match replies.shutdown {
                Some(_) => Flush::Now,
                None => Flush::Batch,
            };
            // The journal before the answers: an answer means that the report is recorded.
            self.settle(pace).await;
            let Some((grace, done)) = replies.send(|| self.snapshot()) else {
                self.send_next();
                // In a quiet moment: reports come first, and a journal that refuses them refuses
                // this too.
                if self.length.is_long() && !self.journal_refuses && inbox.is_empty() {
                    self.compact().await;
                }
                continue;
            };
            // What this cuts off stays in the outbox for the next start.
            if tokio::time::timeout(grace, self.drain()).await.is_err() {
                log::left_unsent(self.state.outbox.len());
            }
            let _gone = done.send(());
            return;
        }
    }

    async fn handle(&mut self, command: AlertCommand, replies: &mut Replies) {
        match command {
            AlertCommand::Report {
                account,
                conditions,
                done,
            } => {
                self.conditions.insert(account, conditions);
                replies.done.push(done);
            }
            AlertCommand::Policy {
                policy,
                managed,
                done,
            } => {
                self.adopt(*policy, managed).await;
                replies.done.push(done);
            }
            AlertCommand::Snapshot(reply) => replies.snapshots.push(reply),
            AlertCommand::TestMail(reply) => self.test_mail(reply),
            AlertCommand::MailWorks(done) => {
                self.lift_holds();
                replies.done.push(done);
            }
            AlertCommand::Shutdown { grace, done } => replies.shutdown = Some((grace, done)),
        }
    }

    /// Replaces the oldest part of the stream by what it comes to. What fails is tried again.
    async fn compact(&mut self) {
        match stream::compact(&self.journal).await {
            Ok(length) => self.length = length,
            Err(error) => log::not_compacted(&error),
        }
    }

    /// Brings the journal up to what is known: first the outcomes of mails, then what follows from
    /// the conditions.
    async fn settle(&mut self, pace: Flush) {
        // Outcomes first: until a sent mail is recorded, the outbox has it and it could go out
        // twice.
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

    /// Appends and folds; answers whether the journal took the events.
    async fn record(&mut self, events: &[AlertEvent]) -> bool {
        // An append of nothing would still cost a transaction.
        if events.is_empty() {
            return true;
        }
        let at = self.clock.now();
        let entries: Vec<Entry> = events.iter().map(|event| event.to_entry(at)).collect();
        // Counted on a copy, because a refused append adds nothing.
        let mut length = self.length;
        entries.iter().for_each(|entry| length.add(entry));
        let before = self.state.last_seq;
        match self.journal.append(ALERTS, before, entries).await {
            Ok(_) => {
                self.length = length;
                for (seq, event) in (before + 1..).zip(events) {
                    // Logged before it is applied: that takes a sent mail, with its subject, out of
                    // the outbox.
                    log::event(event, &self.state);
                    self.state.apply(seq, at, event);
                }
                // One line for each change, not one for each try.
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
                    // Only a second writer can have made our state old: take the new one.
                    if let Ok((state, length)) = stream::read(&self.journal).await {
                        (self.state, self.length) = (state, length);
                    }
                }
                false
            }
        }
    }

    async fn adopt(&mut self, policy: AlertsPolicy, managed: BTreeSet<String>) {
        self.policy = policy;
        // A removed account reports no more: its last conditions would stay for ever.
        self.conditions
            .retain(|account, _| account == incidents::DAEMON || managed.contains(account));
        self.managed = managed;
        // The operator may have mended what stood in the way, which need not be in the policy.
        self.lift_holds();
    }

    fn lift_holds(&mut self) {
        let mut failed = self.state.outbox.iter().map(|unsent| &unsent.failure);
        if failed.any(Option::is_some) || !self.state.refused.is_empty() {
            self.unrecorded.push(AlertEvent::MailHoldsLifted);
        }
    }

    fn send_next(&mut self) {
        // One mail at a time keeps them in order. While an outcome is not in the journal, the
        // outbox still has a mail that may have been sent.
        if self.sending.is_some() || !self.unrecorded.is_empty() {
            return;
        }
        let now = self.clock.now();
        let due = match self.state.next_mail(now) {
            NextMail::Send(unsent) => Some(unsent),
            // Another password is tried at once; the mailer compares it with the rejected one.
            NextMail::Wait(_) if self.state.rejected_login(now).is_some() => {
                let looked = self.password_looked_at.replace(now);
                let is_due = looked.is_none_or(|at| (now - at).abs() >= PASSWORD_LOOK);
                if !is_due {
                    self.password_looked_at = looked;
                }
                self.state.outbox.front().filter(|_| is_due)
            }
            NextMail::Wait(_) | NextMail::None => None,
        };
        if let Some(unsent) = due.cloned() {
            self.send(unsent);
        }
    }

    fn send(&mut self, unsent: Unsent) {
        // A reload may have removed `[alerts.email]` after the mail was queued.
        let Some(email) = &self.policy.email else {
            return;
        };
        let mailer = Mailer::new(email.clone());
        let rejected = self.state.rejected_login(self.clock.now());
        let except = Except {
            settled: unsent.settled.into_iter().collect(),
            password: rejected.map(|(tag, _)| tag),
        };
        let mail = unsent.mail;
        let id = mail.id;
        self.sending = Some(Sending {
            mail: id,
            task: tokio::spawn(async move { mailer.send_except(&mail, &except).await }),
        });
    }

    /// Turns the outcome of a mail into an event, and answers what a failure holds up.
    fn note(&mut self, outcome: SendOutcome) -> Option<Scope> {
        let mail = self.sending.take().map(|sending| sending.mail)?;
        let tried = match outcome {
            SendOutcome::Tried(tried) => tried,
            // Nothing was tried, so nothing is journaled.
            SendOutcome::SamePassword => return Some(Scope::Server),
        };
        let unsent = self
            .state
            .outbox
            .iter()
            .find(|unsent| unsent.mail.id == mail)?;
        let scope = tried.failed.as_ref().map(|failed| failed.scope);
        let event = incidents::mail_tried(unsent, tried, self.clock.now());
        self.unrecorded.push(event);
        scope
    }

    /// Tries everything unsent once, in order, until the server itself fails.
    async fn drain(&mut self) {
        // Each mail once: one that failed stays in the outbox and would be found again at once.
        let mut tried = BTreeSet::new();
        loop {
            if let Some(sending) = &self.sending {
                tried.insert(sending.mail);
                let outcome = finished(&mut self.sending).await;
                let failed = self.note(outcome);
                self.settle(Flush::Now).await;
                // The server takes no mail, or the journal no outcome: the next try would fail or
                // send twice.
                if failed == Some(Scope::Server) || !self.unrecorded.is_empty() {
                    return;
                }
            }
            let untried = |unsent: &&Unsent| !tried.contains(&unsent.mail.id);
            let Some(mail) = self.state.outbox.iter().find(untried).cloned() else {
                return;
            };
            self.send(mail);
            // Without `[alerts.email]` nothing was sent, and this loop would not end.
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
        // Past the outbox: the operator waits for what the server answers to this very mail.
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
            refused: self.state.refused.clone(),
        }
    }

    fn nap(&self) -> Duration {
        let now = self.clock.now();
        let due = incidents::next_due(&self.policy, &self.state, now);
        let nap = due.map_or(LONGEST_NAP, |due| (due - now).to_std().unwrap_or_default());
        // What is due stays due while a mail is under way or the journal refuses: with the short
        // nap the task would spin.
        let patient = self.sending.is_some() || self.journal_refuses;
        nap.clamp(
            if patient { PATIENT_NAP } else { SHORTEST_NAP },
            LONGEST_NAP,
        )
    }
}

/// How sending ended.
enum SendOutcome {
    Tried(MailTry),
    /// Nothing was sent: the password is still the rejected one.
    SamePassword,
}

/// The outcome of the mail under way; waits for ever where there is none.
async fn finished(sending: &mut Option<Sending>) -> SendOutcome {
    let Some(sending) = sending else {
        return std::future::pending().await;
    };
    let failed = |scope, error, rejected| {
        SendOutcome::Tried(MailTry {
            taken: Vec::new(),
            refused: Vec::new(),
            failed: Some(FailedTry {
                scope,
                error,
                rejected,
            }),
        })
    };
    match (&mut sending.task).await {
        Ok(Ok(receipt)) => SendOutcome::Tried(tried(receipt)),
        Ok(Err(MailError::SamePassword)) => SendOutcome::SamePassword,
        Ok(Err(error)) => {
            let rejected = match &error {
                MailError::LoginRejected { tag, .. } => Some(*tag),
                _ => None,
            };
            failed(error.scope(), error.to_string(), rejected)
        }
        // A panic or an abort of the task says nothing about the mail itself.
        Err(error) => {
            let error = format!("sending was cut short: {error}");
            failed(Scope::Server, error, None)
        }
    }
}

fn tried(receipt: SmtpReceipt) -> MailTry {
    let deferred: Vec<String> = receipt.deferred.iter().map(ToString::to_string).collect();
    let refused = receipt.refused.into_iter();
    MailTry {
        taken: receipt.taken,
        refused: refused.map(|it| (it.to, it.why)).collect(),
        failed: (!deferred.is_empty()).then(|| FailedTry {
            // The server works: it is about these recipients, or this text.
            scope: Scope::Mail,
            error: deferred.join("; "),
            rejected: None,
        }),
    }
}

#[cfg(test)]
mod tests;
