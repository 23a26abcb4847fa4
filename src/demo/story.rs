//! The story under way: the daemon, its readers, and a line for all that happens to them, read from
//! the journal, the stand-in's record and the mailbox. What is made to happen is in
//! `story/acts.rs`; whether it went as it should is checked afterwards, in `demo/checks.rs`.

use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use super::narration;
use super::process::{Daemon, operate};
use super::reader::{Reader, Tally};
use super::stage::{Actor, CONFIG_PLACE, DemoStage, WEBHOOK};
use super::timeline::{Timeline, TimelineEntry, grouped};
use super::watch::JournalWatch;
use crate::clock::monotonic;
use crate::console::Tone;
use crate::reconcile::HistoryError;
use rotator_core::account::AccountState;
use rotator_core::event::GenerationNo;
use rotator_simulator::FlowRecord;

mod acts;

/// Interval at which journal, record and mailbox are read.
const TICK: Duration = Duration::from_millis(60);
/// Without an event for this long, nothing is under way.
const QUIET: TimeDelta = TimeDelta::milliseconds(700);
/// How long the daemon may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// Why the story cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// Its log tells why.
    #[error("the daemon ended by itself ({status}) while the demo waited for {awaited}")]
    DaemonEnded {
        status: ExitStatus,
        /// What the demo waited for.
        awaited: String,
    },
    /// A command could not be run, or failed.
    #[error("`ringcx-rotator {command}` failed: {why}")]
    Command {
        /// The command and its arguments.
        command: String,
        /// Its stderr, or why it could not be run.
        why: String,
    },
    /// A file could not be taken away.
    #[error("{path}: {source}", path = path.display())]
    File {
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] HistoryError),
    /// Stdout is closed, as by `demo | head`, so nothing that follows would be read.
    #[error("nobody reads this")]
    Unheard,
}

/// What the story itself measured, for the checks.
pub struct Ending {
    /// How the daemon ended; `None` if it had to be killed.
    pub status: Option<ExitStatus>,
    /// How long it took from SIGTERM on.
    pub took: Duration,
    /// What the readers saw, in the order of the accounts.
    pub tallies: Vec<Tally>,
}

/// The story under way. Dropping it kills the daemon.
pub struct Story<'a> {
    stage: &'a DemoStage,
    timeline: &'a mut Timeline,
    watch: JournalWatch,
    readers: Vec<Reader>,
    daemon: Daemon,
    stopped_at: Option<Instant>,
    mails_told: usize,
    waiting_for: Arc<Mutex<String>>,
}

impl<'a> Story<'a> {
    /// Starts the daemon and the readers.
    pub fn begin(
        stage: &'a DemoStage,
        timeline: &'a mut Timeline,
        waiting_for: Arc<Mutex<String>>,
    ) -> std::io::Result<Self> {
        // From the main thread, as `Daemon::start` requires.
        let daemon = Daemon::start(stage)?;
        let read = |actor: &Actor| Reader::start(actor.file.clone(), stage.ringcx.record());
        Ok(Self {
            stage,
            timeline,
            watch: JournalWatch::new(stage.state_dir(), stage.control_socket()),
            readers: stage.actors.iter().map(read).collect(),
            daemon,
            stopped_at: None,
            mails_told: 0,
            waiting_for,
        })
    }

    /// Ends the daemon, if it still runs, and the readers, and says what they saw.
    pub async fn end(mut self) -> Ending {
        let began = self.terminate();
        let mut status = self.daemon.ended();
        // After that the daemon is killed when this is dropped, and the check of its end fails.
        while status.is_none() && began.elapsed() < GRACE {
            tokio::time::sleep(Duration::from_millis(20)).await;
            status = self.daemon.ended();
        }
        let took = began.elapsed();
        // What was delivered last is to be read as well.
        tokio::time::sleep(Duration::from_millis(30)).await;
        // Everything the daemon wrote is there now.
        if self.look().await.is_ok() {
            self.timeline.flush();
        }
        Ending {
            status,
            took,
            tallies: self.readers.iter().map(Reader::tally).collect(),
        }
    }

    fn terminate(&mut self) -> Instant {
        self.daemon.terminate();
        // The first time counts: the story may have sent SIGTERM before.
        *self.stopped_at.get_or_insert_with(monotonic)
    }

    fn act(&mut self, title: &str) {
        self.timeline.heading(title);
    }

    fn note(&mut self, text: &str) {
        self.timeline.tell_now("", Tone::Strong, text);
    }

    fn count_reads(&mut self) {
        let tallies: Vec<Tally> = self.readers.iter().map(Reader::tally).collect();
        let all: u64 = tallies.iter().map(|tally| tally.good + tally.bad).sum();
        let bad: u64 = tallies.iter().map(|tally| tally.bad).sum();
        let tone = if bad == 0 { Tone::Good } else { Tone::Bad };
        self.timeline.tell_now(
            "IVR flows",
            tone,
            &format!(
                "{} reads of the token files so far, {bad} bad",
                grouped(all)
            ),
        );
        if let Some(FlowRecord { calls, failed, .. }) =
            self.stage.ringcx.record().flow(CONFIG_PLACE[1])
        {
            let tone = if failed == 0 { Tone::Good } else { Tone::Bad };
            let text = format!(
                "{} calls with the key inside RingCX so far, {failed} refused",
                grouped(calls)
            );
            self.timeline.tell_now("IVR flows", tone, &text);
        }
    }

    /// Runs a command and shows what it printed.
    async fn operate(&mut self, arguments: &[&str]) -> Result<(), StoryError> {
        let command = arguments.join(" ");
        self.wait_for(&format!("`ringcx-rotator {command}`"));
        let failed = |why| StoryError::Command {
            command: command.clone(),
            why,
        };
        let output = operate(self.stage, self.timeline.palette(), arguments).await;
        // What happened meanwhile is told first, so that the output stands in its place.
        let output = output.map_err(|error| failed(error.to_string()))?;
        self.look().await?;
        self.timeline.flush();
        self.timeline.blank();
        self.timeline.quote(&format!("$ ringcx-rotator {command}"));
        self.timeline
            .quote(&String::from_utf8_lossy(&output.stdout));
        self.timeline.blank();
        if output.status.success() {
            return Ok(());
        }
        Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }

    /// Tells what happens until it is as asked for.
    async fn until(
        &mut self,
        what: &str,
        as_asked: impl Fn(&Self) -> bool,
    ) -> Result<(), StoryError> {
        self.wait_for(what);
        loop {
            self.look().await?;
            self.timeline.settle();
            // With a closed stdout the rest of the minute would be played for no reader.
            if self.timeline.is_unheard() {
                return Err(StoryError::Unheard);
            }
            if as_asked(self) {
                return Ok(());
            }
            match (self.daemon.ended(), self.stopped_at) {
                (None, _) => {}
                // It was asked to end, so its end is what was waited for.
                (Some(_), Some(_)) => return Ok(()),
                (Some(status), None) => {
                    return Err(StoryError::DaemonEnded {
                        status,
                        awaited: what.to_owned(),
                    });
                }
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn wait_for(&self, what: &str) {
        if let Ok(mut waiting_for) = self.waiting_for.lock() {
            // Shared with the caller, which names it when the time is over and the story is gone.
            what.clone_into(&mut waiting_for);
        }
    }

    /// Hands everything new to the timeline.
    async fn look(&mut self) -> Result<(), StoryError> {
        let ringcx = self.stage.ringcx.record();
        for (account, before, recorded) in self.watch.look().await? {
            if let Some((tone, text)) = narration::sentence(&before, &recorded, &ringcx) {
                self.timeline.tell(TimelineEntry {
                    at: recorded.at,
                    who: account.to_owned(),
                    tone,
                    text,
                });
            }
        }
        let mails = self.stage.mailbox.mails();
        for mail in mails.iter().skip(self.mails_told) {
            let subject = mail.subject();
            let tone = if subject.ends_with("(RESOLVED)") {
                Tone::Good
            } else {
                Tone::Bad
            };
            let text = format!("“{}”", subject.trim_start_matches("[ringcx-rotator] "));
            self.timeline.tell_now("mail", tone, &text);
        }
        self.mails_told = mails.len();
        Ok(())
    }

    /// Shows the last mail of this subject as it was sent.
    fn show_mail(&mut self, subject: &str) {
        let mails = self.stage.mailbox.mails();
        if let Some(mail) = mails.iter().rfind(|mail| mail.subject().ends_with(subject)) {
            self.timeline.flush();
            self.timeline.blank();
            self.timeline
                .quote(&format!("Subject: {}\n\n{}", mail.subject(), mail.text()));
            self.timeline.blank();
        }
    }

    fn pending(&self, account: &str) -> Option<GenerationNo> {
        self.watch
            .state(account)
            .pending()
            .map(|pending| pending.number)
    }

    /// Whether the server itself has this token no more.
    fn is_gone(&self, state: &AccountState, number: GenerationNo) -> bool {
        let generation = state.generations.get(&number);
        let token = generation
            .and_then(|generation| self.stage.ringcx.record().token(generation.fingerprint));
        token.is_some_and(|token| token.deleted_at.is_some())
    }

    /// Mails about this account's webhook that end so.
    fn mails_of(&self, account: &str, ending: &str) -> usize {
        let about = format!("{account}: sink {WEBHOOK} failed");
        let mails = self.stage.mailbox.mails();
        let subjects = mails.iter().map(|mail| mail.subject());
        subjects
            .filter(|subject| subject.contains(&about) && subject.ends_with(ending))
            .count()
    }
}
