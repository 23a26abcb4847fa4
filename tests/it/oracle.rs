//! What must be so at every moment, whatever crashed: asked of the stand-in's own record, of what
//! the sinks' readers find, and of the journal.
//!
//! Used by the crash matrix and by the random kills. Knows the daemon's journal only by its events,
//! and never asks the daemon itself.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringcx_rotator::clock::monotonic;
use ringcx_rotator::reconcile;
use ringcx_rotator::store::SqliteJournal;
use rotator_core::account::AccountState;
use rotator_core::event::{Event, GenerationNo};
use rotator_core::incidents::{AlertEvent, AlertState};
use rotator_core::journal::{ALERTS, Journal};
use rotator_core::secret::Fingerprint;
use rotator_simulator::mailbox::Mailbox;
use rotator_simulator::receiver::Receiver;
use rotator_simulator::{AuthKind, Call, DeletedBy, MintedBy, Record};

/// In the name of every temporary file of ours.
pub const TEMP_INFIX: &str = ".ringcx-rotator.";

/// The first line of every env-file here: another's, and never to be lost.
pub const KEPT: &str = "# kept\n";

/// Which token belongs where.
#[derive(Clone)]
pub enum Place {
    /// A file that holds this user's token.
    File { path: PathBuf, user: String },
    /// An env-file that begins with [`KEPT`], with a key for each user.
    Env {
        path: PathBuf,
        keys: BTreeMap<String, String>,
    },
    /// A webhook's receiver, for this user.
    Hook {
        receiver: Arc<Receiver>,
        user: String,
    },
    /// A rendered file, with a token on each line for these users.
    Rendered { path: PathBuf, users: Vec<String> },
    /// An auth config of RingCX, once a token was put there.
    Config { id: String, user: String },
}

/// Reads every sink as its readers would, and keeps what it found wrong.
pub struct Readers {
    record: Record,
    places: Vec<Place>,
    /// What was once there must be there from then on: a path, or a path and a key.
    filled: BTreeSet<String>,
    /// What others put into a sink, until the daemon has put it right.
    planted: BTreeMap<PathBuf, Option<String>>,
    pub reads: usize,
    pub wrong: Vec<String>,
}

impl Readers {
    pub fn new(record: Record, places: Vec<Place>) -> Self {
        let (filled, planted) = (BTreeSet::new(), BTreeMap::new());
        Self {
            record,
            places,
            filled,
            planted,
            reads: 0,
            wrong: Vec::new(),
        }
    }

    /// Puts this into a sink by another's hand; `None` takes the file away.
    pub fn plant(&mut self, path: &Path, text: Option<&str>) {
        self.planted
            .insert(path.to_owned(), text.map(str::to_owned));
        match text {
            Some(text) => crate::env::write(path, text.as_bytes()),
            None => std::fs::remove_file(path).unwrap(),
        }
    }

    /// One look at everything.
    pub fn look(&mut self) {
        for place in self.places.clone() {
            self.reads += 1;
            let before = monotonic();
            let found = match &place {
                Place::File { path, user } => self.look_at_file(path, user, before),
                Place::Env { path, keys } => self.look_at_env(path, keys, before),
                Place::Hook { receiver, user } => receiver
                    .may_hold()
                    .iter()
                    .try_for_each(|token| self.judge(token, user, before)),
                Place::Rendered { path, users } => self.look_at_rendered(path, users, before),
                Place::Config { id, user } => match self.record.config(id) {
                    Some(config) if config.changes > 0 => self.judge(&config.key, user, before),
                    Some(_) | None => Ok(()),
                },
            };
            if let Err(what) = found {
                self.wrong.push(what);
            }
        }
    }

    fn read(&mut self, path: &Path) -> Result<Option<String>, String> {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = match std::fs::read(path) {
            Ok(bytes) => {
                Some(String::from_utf8(bytes).map_err(|_| format!("{name} holds no text"))?)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(format!("{name} cannot be read: {error}")),
        };
        if self.planted.get(path) == Some(&text) {
            return Ok(None);
        }
        self.planted.remove(path);
        match &text {
            Some(_) => drop(self.filled.insert(name)),
            None if self.filled.contains(&name) => return Err(format!("{name} is gone")),
            None => {}
        }
        let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.mode());
        if mode & 0o077 != 0 {
            return Err(format!("{} is open to others: {mode:o}", path.display()));
        }
        Ok(text)
    }

    fn look_at_file(&mut self, path: &Path, user: &str, before: Instant) -> Result<(), String> {
        self.read(path)?
            .map_or(Ok(()), |text| self.judge(&text, user, before))
    }

    fn look_at_rendered(
        &mut self,
        path: &Path,
        users: &[String],
        before: Instant,
    ) -> Result<(), String> {
        let Some(text) = self.read(path)? else {
            return Ok(());
        };
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() != users.len() || !text.ends_with('\n') {
            return Err(format!("a rendered file of {} lines", lines.len()));
        }
        lines
            .iter()
            .zip(users)
            .try_for_each(|(token, user)| self.judge(token, user, before))
    }

    fn look_at_env(
        &mut self,
        path: &Path,
        keys: &BTreeMap<String, String>,
        before: Instant,
    ) -> Result<(), String> {
        let Some(text) = self.read(path)? else {
            return Ok(());
        };
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let lines = text
            .strip_prefix(KEPT)
            .ok_or_else(|| format!("{name} lost its first line"))?;
        let mut missing: BTreeSet<&String> = keys.keys().collect();
        for line in lines.split_inclusive('\n') {
            let assignment = line
                .strip_suffix('\n')
                .and_then(|line| line.split_once('='));
            let (key, token) = assignment.ok_or_else(|| format!("{name} has a torn line"))?;
            let key = missing
                .take(&key.to_owned())
                .ok_or_else(|| format!("{name} has {key} once more"))?;
            self.filled.insert(format!("{name} {key}"));
            self.judge(token, &keys[key], before)?;
        }
        let lost = missing
            .into_iter()
            .find(|key| self.filled.contains(&format!("{name} {key}")));
        lost.map_or(Ok(()), |key| Err(format!("{name} lost {key}")))
    }

    /// Only a token that was deleted before it was read was ever wrong to be there.
    fn judge(&self, text: &str, user: &str, before: Instant) -> Result<(), String> {
        let token = self.record.token(Fingerprint::of(text.as_bytes()));
        match (token, self.record.dead_since(text)) {
            (None, _) => Err(format!(
                "{} bytes in a sink that are no token there ever was",
                text.len()
            )),
            (Some(token), _) if token.user != user => {
                Err(format!("the token of {} for {user}", token.user))
            }
            (Some(_), Some(dead)) if dead <= before => {
                Err("a sink holds a token deleted before".to_owned())
            }
            (Some(_), Some(_) | None) => Ok(()),
        }
    }
}

/// Readers that look all the time.
pub struct AllTheTime {
    readers: Arc<Mutex<Readers>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl AllTheTime {
    pub fn start(readers: Readers) -> Self {
        let (readers, stop) = (
            Arc::new(Mutex::new(readers)),
            Arc::new(AtomicBool::new(false)),
        );
        let (theirs, stopped) = (Arc::clone(&readers), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                theirs.lock().unwrap().look();
                std::thread::sleep(Duration::from_millis(4));
            }
        });
        Self {
            readers,
            stop,
            thread: Some(thread),
        }
    }

    /// Does something with them while they do not look.
    pub fn with<T>(&self, act: impl FnOnce(&mut Readers) -> T) -> T {
        act(&mut self.readers.lock().unwrap())
    }
}

impl Drop for AllTheTime {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it has to say it has written down.
            drop(thread.join());
        }
    }
}

/// An account, as the checks need to know it.
pub struct Account<'a> {
    pub name: &'a str,
    pub user: &'a str,
    /// Its webhook, with the name of the sink.
    pub hook: Option<(&'a str, &'a Receiver)>,
    /// The sinks without whose proof nothing is promoted.
    pub required: &'a [&'a str],
}

/// What the journal says of an account.
pub struct Story {
    pub events: Vec<Event>,
    pub state: AccountState,
}

/// Reads the journal as another process would; what is wrong with its chain is an error.
pub async fn stories(state_dir: &Path, accounts: &[Account<'_>]) -> Result<Vec<Story>, String> {
    let journal = SqliteJournal::open_read_only(state_dir).map_err(|error| error.to_string())?;
    let mut stories = Vec::new();
    for account in accounts {
        journal
            .verify(account.name)
            .await
            .map_err(|error| error.to_string())?;
        let history = reconcile::history(&journal, account.name)
            .await
            .map_err(|error| error.to_string())?;
        let state = reconcile::load_state(&journal, account.name)
            .await
            .map_err(|error| error.to_string())?;
        stories.push(Story {
            events: history.events.into_iter().map(|it| it.event).collect(),
            state,
        });
    }
    Ok(stories)
}

/// What the journal says of alerts, and the Message-IDs of the mails that it says were taken.
pub async fn alerts(state_dir: &Path) -> Result<(AlertState, BTreeSet<String>), String> {
    let journal = SqliteJournal::open_read_only(state_dir).map_err(|error| error.to_string())?;
    journal
        .verify(ALERTS)
        .await
        .map_err(|error| error.to_string())?;
    let stream = journal
        .load(ALERTS)
        .await
        .map_err(|error| error.to_string())?;
    let (mut ids, mut sent) = (BTreeMap::new(), BTreeSet::new());
    for row in &stream.rows {
        match AlertEvent::from_row(row).map_err(|error| error.to_string())? {
            AlertEvent::MailQueued { mail, .. } => drop(ids.insert(mail.id, mail.message_id)),
            AlertEvent::MailSent { mail, .. } => sent.extend(ids.remove(&mail)),
            AlertEvent::IncidentOpened { .. }
            | AlertEvent::IncidentResolved { .. }
            | AlertEvent::MailFailed { .. }
            | AlertEvent::MailDropped { .. }
            | AlertEvent::MailHoldsLifted => {}
        }
    }
    Ok((
        AlertState::from_stream(&stream).map_err(|error| error.to_string())?,
        sent,
    ))
}

/// How often a death hid from the daemon that a mail had been taken, by Message-ID: no more often
/// may the same mail come again.
#[derive(Default)]
pub struct MailStore {
    hidden: BTreeMap<String, usize>,
}

impl MailStore {
    /// Looks at the moment of a death. What is written down as taken must have come.
    pub fn at_death(
        &mut self,
        alerts: &AlertState,
        sent: &BTreeSet<String>,
        mailbox: &Mailbox,
    ) -> Vec<String> {
        let came = mails(mailbox);
        let unsent = alerts
            .outbox
            .iter()
            .map(|unsent| unsent.mail.message_id.clone());
        for id in unsent.filter(|id| came.contains_key(id)) {
            *self.hidden.entry(id).or_default() += 1;
        }
        let lost = sent.iter().filter(|id| !came.contains_key(*id));
        lost.map(|_| "told-once: a mail is written down as sent and never came".to_owned())
            .collect()
    }

    /// How many mails came again, if none did without a reason.
    pub fn at_rest(&self, mailbox: &Mailbox) -> Result<usize, String> {
        let mut again = 0;
        for (id, times) in mails(mailbox) {
            if times > 1 + self.hidden.get(&id).copied().unwrap_or_default() {
                return Err(format!("told-once: a mail came {times} times"));
            }
            again += times - 1;
        }
        Ok(again)
    }
}

/// A receiver tells repetitions by the id: each token has one, and no two have the same.
pub fn ids(receiver: &Receiver) -> Vec<String> {
    let deliveries = receiver.deliveries();
    let pairs: BTreeSet<_> = deliveries
        .iter()
        .map(|it| (it.token(), it.id().map(str::to_owned)))
        .collect();
    let tokens: BTreeSet<_> = pairs.iter().map(|(token, _)| token).collect();
    let ids: BTreeSet<_> = pairs.iter().map(|(_, id)| id).collect();
    if pairs.len() == tokens.len() && pairs.len() == ids.len() {
        return Vec::new();
    }
    vec![format!(
        "{} tokens came under {} ids",
        tokens.len(),
        ids.len()
    )]
}

/// What must be so between the journal and the world at any moment, dead or alive: nothing that
/// cannot be repeated without its intent, nothing written down that did not happen, nothing before
/// its turn.
pub fn at_any_moment(account: &Account<'_>, story: &Story, record: &Record) -> Vec<String> {
    let mut wrong = Vec::new();
    let calls = record.calls();
    let ours = || {
        calls
            .iter()
            .filter(|it| it.user.as_deref() == Some(account.user))
    };
    let count =
        |wanted: &dyn Fn(&Event) -> bool| story.events.iter().filter(|it| wanted(it)).count();

    let mints = ours().filter(|it| it.call == Call::Mint).count();
    if mints > count(&|it| matches!(it, Event::MintIntended { .. })) {
        wrong.push("intent-first: a mint without an intent".to_owned());
    }
    for call in ours().filter(|it| it.call == Call::Delete) {
        let announced = |it: &Event| matches!(it, Event::DeleteIntended { fingerprint, .. } if Some(*fingerprint) == call.subject);
        if !story.events.iter().any(announced) {
            wrong.push("intent-first: a delete without an intent".to_owned());
        }
    }
    if let Some((name, receiver)) = account.hook
        && receiver.deliveries().len()
            > count(&|it| matches!(it, Event::DeliveryIntended { sink, .. } if sink == name))
    {
        wrong.push("intent-first: a webhook without an intent".to_owned());
    }
    wrong.extend(order(account, story, record));
    for token in record
        .tokens()
        .iter()
        .filter(|it| it.user == account.user && it.deleted_by == Some(DeletedBy::Api))
    {
        match story.state.by_fingerprint(&token.fingerprint) {
            None if token.minted_by == MintedBy::Foreign => {
                wrong.push("own-only: a foreign token was deleted".to_owned())
            }
            None => wrong
                .push("own-only: a token was deleted that the journal does not know".to_owned()),
            Some(_) if story.state.in_use().contains(&token.fingerprint) => {
                wrong.push("never-zero: a token in use was deleted".to_owned());
            }
            Some(_) => {}
        }
    }
    wrong
}

/// Goes through the events in order, and asks of each what it needs to be true.
fn order(account: &Account<'_>, story: &Story, record: &Record) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut fingerprints: BTreeMap<GenerationNo, Fingerprint> = BTreeMap::new();
    let (mut verified, mut proved) = (BTreeSet::new(), BTreeSet::new());
    let calls = record.calls();
    let deliveries = account
        .hook
        .map(|(name, receiver)| (name, receiver.deliveries()));
    for event in &story.events {
        let mut need = |what: &str, is_so: bool| {
            if !is_so {
                wrong.push(format!("order: {what}, by {event:?}"));
            }
        };
        match event {
            Event::Minted {
                generation,
                fingerprint,
                ..
            } => {
                fingerprints.insert(*generation, *fingerprint);
                need(
                    "minted is a token there is",
                    record.token(*fingerprint).is_some(),
                );
            }
            Event::Verified { generation } => {
                verified.insert(*generation);
                let worked = |call: Call| {
                    calls.iter().any(|it| {
                        it.call == call
                            && it.auth == AuthKind::Token
                            && it.with == fingerprints.get(generation).copied()
                            && it.status == Some(200)
                    })
                };
                need(
                    "verified has worked",
                    worked(Call::List) && worked(Call::Accounts),
                );
            }
            Event::DeliveryIntended { generation, .. } => {
                need("published after verified", verified.contains(generation));
            }
            Event::Delivered {
                sink, generation, ..
            } => {
                if let Some((_, deliveries)) = deliveries.as_ref().filter(|(name, _)| name == sink)
                {
                    let of = |it: &rotator_simulator::receiver::ReceivedDelivery| {
                        it.token().map(|token| Fingerprint::of(token.as_bytes()))
                    };
                    let came = deliveries
                        .iter()
                        .any(|it| of(it) == fingerprints.get(generation).copied());
                    need("delivered has arrived", came);
                }
            }
            Event::Proved { sink, generation } => drop(proved.insert((sink.clone(), *generation))),
            Event::Promoted { generation } => {
                let proved = |sink: &&str| proved.contains(&((*sink).to_owned(), *generation));
                need(
                    "promoted after it was proved everywhere",
                    account.required.iter().all(proved),
                );
            }
            Event::Retired { fingerprint, .. } => {
                let gone = record
                    .token(*fingerprint)
                    .is_some_and(|it| it.deleted_at.is_some());
                need("irreversible-last: retired is gone", gone);
            }
            _ => {}
        }
    }
    wrong
}

/// What files must hold because the journal says that it was delivered there. Only while the daemon
/// is dead.
pub fn as_written_down(
    story: &Story,
    record: &Record,
    held: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (sink, text) in held {
        let Some(done) = last_delivered(story, sink) else {
            continue;
        };
        let holds = story
            .state
            .by_fingerprint(&Fingerprint::of(text.as_bytes()))
            .map(|it| it.number);
        // One that was sent and not yet written down as delivered may be there already; or it was
        // minted so lately that the journal does not know it, which would be wrong.
        if holds.is_none_or(|holds| holds < done) && record.alive_since(text).is_some() {
            wrong.push(format!(
                "monotone: {sink} holds {holds:?}, the journal says {done}"
            ));
        }
    }
    wrong
}

fn last_delivered(story: &Story, sink: &str) -> Option<GenerationNo> {
    let of = |event: &Event| match event {
        Event::Delivered {
            sink: of,
            generation,
            ..
        } if of == sink => Some(*generation),
        _ => None,
    };
    story.events.iter().filter_map(of).max()
}

/// What keeps an account from being at rest with nothing but what its policy wants. A previous
/// token that waits for its time does not.
pub fn unwell(state: &AccountState) -> Vec<String> {
    let mut unwell: Vec<String> = state
        .lanes
        .iter()
        .map(|(lane, it)| format!("{lane}: {}", it.error))
        .collect();
    let current = state.current().map(|current| current.number);
    for (wrong, what) in [
        (current.is_none(), "no current token"),
        (state.pending().is_some(), "a pending token"),
        (state.open_mint.is_some(), "an open mint"),
        (!state.lost_mints.is_empty(), "a lost mint"),
        (!state.ambiguous_mints.is_empty(), "an ambiguous mint"),
        (state.asked_at.is_some(), "a rotation asked for"),
        (
            state
                .sinks
                .values()
                .any(|it| it.proved.map(|(it, _)| it) != current),
            "a sink that is behind",
        ),
        (
            state.sinks.values().any(|it| it.drifted.is_some()),
            "a sink that drifted",
        ),
    ] {
        if wrong {
            unwell.push(what.to_owned());
        }
    }
    unwell
}

/// Own tokens on the server that the journal does not have as alive, and so would never go.
pub fn leaked(account: &Account<'_>, story: &Story, record: &Record) -> Vec<String> {
    let known: BTreeSet<Fingerprint> = story
        .state
        .own()
        .filter(|it| it.is_alive())
        .map(|it| it.fingerprint)
        .collect();
    let ours: BTreeSet<Fingerprint> = record
        .alive(account.user)
        .into_iter()
        .filter(|it| it.minted_by == MintedBy::Api)
        .map(|it| it.fingerprint)
        .collect();
    if known == ours {
        Vec::new()
    } else {
        vec![format!(
            "{} of ours alive, {} known",
            ours.len(),
            known.len()
        )]
    }
}

/// Temporary files of ours in this directory.
pub fn left_over(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory)
        .unwrap()
        .map(|it| it.unwrap().file_name());
    names
        .map(|it| it.to_string_lossy().into_owned())
        .filter(|it| it.contains(TEMP_INFIX))
        .collect()
}

/// The Message-IDs of the mails that came, and how often each did.
fn mails(mailbox: &Mailbox) -> BTreeMap<String, usize> {
    let mut mails = BTreeMap::new();
    for mail in mailbox.mails() {
        *mails.entry(mail.header("Message-ID").unwrap()).or_default() += 1;
    }
    mails
}
