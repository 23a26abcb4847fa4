//! The acts. Each makes one thing happen and waits until it is over, by the journal, the stand-in's
//! record, the webhook's far end or the mailbox; meanwhile everything that happens is told.
//!
//! Judges nothing: what was right and what was not is found out afterwards, in `demo/checks.rs`.

use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use super::child::{Daemon, operate};
use super::reader::{Reader, Tally};
use super::stage::{ACCOUNTS, Actor, ENV_FILE, Stage, WEBHOOK};
use super::timeline::{Line, Timeline, grouped};
use super::watch::Watch;
use super::words;
use crate::account::AccountState;
use crate::cli::Tone;
use crate::clock::monotonic;
use crate::driver::HistoryError;
use crate::event::{Event, GenerationNo, Learnt};
use crate::secret::Fingerprint;
use crate::simulate::receiver::Manner;
use crate::simulate::{Call, Fault, Times};

/// Between two looks at everything.
const TICK: Duration = Duration::from_millis(60);
/// After so long without an event nothing is under way.
const QUIET: TimeDelta = TimeDelta::milliseconds(700);
/// How long the daemon may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// Why the story cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Look at its log.
    #[error("the daemon ended by itself ({status}) while the demo waited for {awaited}")]
    DaemonEnded {
        /// How.
        status: ExitStatus,
        /// For what.
        awaited: String,
    },
    /// A command could not be run, or failed.
    #[error("`ringcx-rotator {command}` failed: {why}")]
    Command {
        /// Which.
        command: String,
        /// What it said.
        why: String,
    },
    /// A file could not be taken away.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] HistoryError),
    /// Nobody reads what is told.
    #[error("nobody reads this")]
    Unheard,
}

/// What only the story knows of how it went.
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
    stage: &'a Stage,
    timeline: &'a mut Timeline,
    watch: Watch,
    readers: Vec<Reader>,
    daemon: Daemon,
    stopped_at: Option<Instant>,
    mails_told: usize,
    waiting_for: Arc<Mutex<String>>,
}

impl<'a> Story<'a> {
    /// Starts the daemon and the readers.
    pub fn begin(
        stage: &'a Stage,
        timeline: &'a mut Timeline,
        waiting_for: Arc<Mutex<String>>,
    ) -> std::io::Result<Self> {
        let daemon = Daemon::start(stage)?;
        let read = |actor: &Actor| Reader::start(actor.file.clone(), stage.ringcx.record());
        Ok(Self {
            stage,
            timeline,
            watch: Watch::new(stage.state_dir(), stage.control_socket()),
            readers: stage.actors.iter().map(read).collect(),
            daemon,
            stopped_at: None,
            mails_told: 0,
            waiting_for,
        })
    }

    /// From the first token to SIGTERM.
    pub async fn play(&mut self) -> Result<(), Trouble> {
        self.first_tokens().await?;
        self.rotations_by_schedule().await?;
        self.a_lost_answer().await?;
        self.a_failing_webhook().await?;
        self.a_deleted_file().await?;
        self.by_hand().await?;
        self.stop().await
    }

    /// Ends the daemon, if it still runs, and the readers, and says what they saw.
    pub async fn end(mut self) -> Ending {
        let began = self.terminate();
        let mut status = self.daemon.ended();
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
        Ending { status, took, tallies: self.readers.iter().map(Reader::tally).collect() }
    }

    async fn first_tokens(&mut self) -> Result<(), Trouble> {
        self.act("1. Two accounts get their first tokens");
        self.until("the first token of both accounts", |story| {
            ACCOUNTS.iter().all(|account| story.watch.current(account) >= GenerationNo(1))
        })
        .await?;
        self.note("an IVR flow reads each token file from now on, some 200 times a second");
        Ok(())
    }

    async fn rotations_by_schedule(&mut self) -> Result<(), Trouble> {
        self.act("2. Rotation every 5 s; what was replaced is deleted 2 s later");
        self.until("a second token, and the first to be deleted, in both accounts", |story| {
            ACCOUNTS.iter().all(|account| {
                let state = story.watch.state(account);
                let first_is_gone = story.is_gone(&state, GenerationNo(1));
                first_is_gone && state.current().is_some_and(|current| current.number >= GenerationNo(2))
            })
        })
        .await?;
        self.count_reads();
        Ok(())
    }

    async fn a_lost_answer(&mut self) -> Result<(), Trouble> {
        self.act("3. The answer to a mint gets lost: RingCX made a token, nobody heard");
        let sales = &self.stage.actors[0];
        self.stage.ringcx.inject_for(&sales.user, Call::Mint, Fault::LostAnswer, Times::Once);
        self.note(&format!("the next mint for {} will be cut off before its answer", sales.name));
        self.until("the lost token to be found and put to use", |story| {
            let recovered = story.watch.trail(sales.name).iter().find_map(|it| {
                let Event::Minted { generation, how: Learnt::Recovered, .. } = it.event else { return None };
                Some(generation)
            });
            recovered.is_some_and(|generation| story.watch.current(sales.name) >= generation)
        })
        .await?;
        self.count_reads();
        Ok(())
    }

    async fn a_failing_webhook(&mut self) -> Result<(), Trouble> {
        self.act("4. A webhook fails");
        let support = &self.stage.actors[1];
        support.receiver.answer(Manner::Status(500));
        self.note(&format!("from now on, {}'s webhook answers 500", support.name));
        self.until("the mail about the failing webhook", |story| {
            story.pending(support.name).is_some() && story.mails_of(support.name, "(FIRING)") > 0
        })
        .await?;
        self.show_mail("sink crm failed (FIRING)");
        let pending = self.pending(support.name).unwrap_or(GenerationNo(0));
        self.note(&self.what_is_held(support, pending));

        support.receiver.answer(Manner::Receipt);
        self.note("the webhook is well again");
        self.until("the token that waited to be delivered, and the mail that it is over", |story| {
            story.watch.current(support.name) >= pending && story.mails_of(support.name, "(RESOLVED)") > 0
        })
        .await?;
        self.count_reads();
        Ok(())
    }

    async fn a_deleted_file(&mut self) -> Result<(), Trouble> {
        self.act("5. Somebody deletes a file");
        let sales = &self.stage.actors[0];
        let path = &sales.env_file;
        std::fs::remove_file(path).map_err(|source| Trouble::File { path: path.clone(), source })?;
        self.note(&format!("rm …/{}/dialer.env", sales.name));
        self.until("the deleted file to be written again", |story| {
            let trail = story.watch.trail(sales.name);
            let drift = trail.iter().position(|it| matches!(it.event, Event::Drifted { .. }));
            let proved = |event: &Event| matches!(event, Event::Proved { sink, .. } if sink == ENV_FILE);
            drift.is_some_and(|drift| trail[drift..].iter().any(|it| proved(&it.event)))
        })
        .await
    }

    async fn by_hand(&mut self) -> Result<(), Trouble> {
        self.act("6. An operator rotates by hand");
        self.settled().await?;
        self.operate(&["rotate", "--all"]).await?;
        self.operate(&["status"]).await?;
        let old: Vec<(&str, GenerationNo)> = ACCOUNTS
            .iter()
            .map(|account| (*account, GenerationNo(self.watch.current(account).0 - 1)))
            .collect();
        self.until("the tokens before these to be deleted", |story| {
            old.iter().all(|(account, number)| {
                (1..=number.0).all(|it| story.is_gone(&story.watch.state(account), GenerationNo(it)))
            })
        })
        .await?;
        self.count_reads();
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), Trouble> {
        self.act("7. The daemon is told to end");
        self.settled().await?;
        self.note("SIGTERM");
        self.terminate();
        // Its end is what ends the wait.
        self.until("the daemon to end", |_| false).await
    }

    /// Nothing is under way, and nothing has just been.
    async fn settled(&mut self) -> Result<(), Trouble> {
        self.until("a moment without work under way", |story| {
            ACCOUNTS.iter().all(|account| {
                let state = story.watch.state(account);
                let last = story.watch.trail(account).last().map(|it| it.at);
                let quiet = last.is_some_and(|at| story.timeline.now() - at > QUIET);
                quiet && state.pending().is_none() && state.open_mint.is_none() && state.open_delete.is_none()
            })
        })
        .await
    }

    fn terminate(&mut self) -> Instant {
        self.daemon.terminate();
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
            &format!("{} reads of the token files so far, {bad} bad", grouped(all)),
        );
    }

    /// Runs a command and shows what it printed.
    async fn operate(&mut self, arguments: &[&str]) -> Result<(), Trouble> {
        let command = arguments.join(" ");
        self.wait_for(&format!("`ringcx-rotator {command}`"));
        let failed = |why| Trouble::Command { command: command.clone(), why };
        let output = operate(self.stage, self.timeline.palette(), arguments).await;
        let output = output.map_err(|error| failed(error.to_string()))?;
        self.look().await?;
        self.timeline.flush();
        self.timeline.blank();
        self.timeline.quote(&format!("$ ringcx-rotator {command}"));
        self.timeline.quote(&String::from_utf8_lossy(&output.stdout));
        self.timeline.blank();
        if output.status.success() {
            return Ok(());
        }
        Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }

    /// Tells what happens until it is as asked for.
    async fn until(&mut self, what: &str, as_asked: impl Fn(&Self) -> bool) -> Result<(), Trouble> {
        self.wait_for(what);
        loop {
            self.look().await?;
            self.timeline.settle();
            if self.timeline.is_unheard() {
                return Err(Trouble::Unheard);
            }
            if as_asked(self) {
                return Ok(());
            }
            match (self.daemon.ended(), self.stopped_at) {
                (None, _) => {}
                (Some(_), Some(_)) => return Ok(()),
                (Some(status), None) => {
                    return Err(Trouble::DaemonEnded { status, awaited: what.to_owned() });
                }
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn wait_for(&self, what: &str) {
        if let Ok(mut waiting_for) = self.waiting_for.lock() {
            what.clone_into(&mut waiting_for);
        }
    }

    /// Hands everything new to the timeline.
    async fn look(&mut self) -> Result<(), Trouble> {
        let ringcx = self.stage.ringcx.record();
        for (account, before, recorded) in self.watch.look().await? {
            if let Some((tone, text)) = words::sentence(&before, &recorded, &ringcx) {
                self.timeline.tell(Line { at: recorded.at, who: account.to_owned(), tone, text });
            }
        }
        let mails = self.stage.mailbox.mails();
        for mail in mails.iter().skip(self.mails_told) {
            let subject = mail.subject();
            let tone = if subject.ends_with("(RESOLVED)") { Tone::Good } else { Tone::Bad };
            let text = format!("“{}”", subject.trim_start_matches("[ringcx-rotator] "));
            self.timeline.tell_now("mail", tone, &text);
        }
        self.mails_told = mails.len();
        Ok(())
    }

    /// What the webhook's far end has while a newer token waits.
    fn what_is_held(&self, actor: &Actor, pending: GenerationNo) -> String {
        let Some(token) = actor.receiver.held_token() else { return "the webhook has no token".to_owned() };
        let state = self.watch.state(actor.name);
        let held = state.by_fingerprint(&Fingerprint::of(token.as_bytes()));
        let held =
            held.map_or_else(|| "a token of others".to_owned(), |it| format!("generation {}", it.number));
        let works = if self.stage.ringcx.record().is_alive(&token) { "still works" } else { "is dead" };
        format!("generation {pending} waits; the webhook has {held}, which {works}")
    }

    /// Shows the last mail of this subject as it was sent.
    fn show_mail(&mut self, subject: &str) {
        let mails = self.stage.mailbox.mails();
        if let Some(mail) = mails.iter().rfind(|mail| mail.subject().ends_with(subject)) {
            self.timeline.flush();
            self.timeline.blank();
            self.timeline.quote(&format!("Subject: {}\n\n{}", mail.subject(), mail.text()));
            self.timeline.blank();
        }
    }

    fn pending(&self, account: &str) -> Option<GenerationNo> {
        self.watch.state(account).pending().map(|pending| pending.number)
    }

    /// Whether the server itself has this token no more.
    fn is_gone(&self, state: &AccountState, number: GenerationNo) -> bool {
        let generation = state.generations.get(&number);
        let token = generation.and_then(|it| self.stage.ringcx.record().token(it.fingerprint));
        token.is_some_and(|token| token.deleted_at.is_some())
    }

    /// Mails about this account's webhook that end so.
    fn mails_of(&self, account: &str, ending: &str) -> usize {
        let about = format!("{account}: sink {WEBHOOK} failed");
        let mails = self.stage.mailbox.mails();
        let subjects = mails.iter().map(|mail| mail.subject());
        subjects.filter(|subject| subject.contains(&about) && subject.ends_with(ending)).count()
    }
}
