//! A made-up world: a server with its tokens, sinks with what they hold, two clocks, a journal. It
//! performs each step the way the driver does, ideally or with a [`Fault`], and asks the plan
//! again.
//!
//! After every move the invariants of `world/invariants.rs` are checked against what is true in
//! this world, which the plan cannot see; the first that does not hold is an error that names it.
//! What is not modelled: pacing, access tokens that end, and bytes. Which moves there are is in
//! `moves.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::scene::{in_words, start, user_of};
use crate::account::{AccountState, ClockStep};
use crate::config::AccountPolicy;
use crate::event::{BackoffKey, ClockReading, Event, ReleaseCause, SkewBounds, StepSource};
use crate::plan::evidence::{Evidence, PeerEvidence};
use crate::plan::{Next, plan};
use crate::secret::{Fingerprint, Secret, SecretTag};

mod adoption;
mod invariants;
mod key;
mod ledger;
mod perform;
mod sinks;
mod truth;

use adoption::Flow;
pub(crate) use invariants::{Broken, Invariant, broken};
pub(crate) use key::Key;
use ledger::Ledger;
pub(crate) use sinks::{Place, Refusal, Says};
use truth::Truth;

/// More moves than any honest pass needs.
const MOST_MOVES: usize = 60;

/// What goes wrong with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It never leaves this machine, and that is known.
    Before,
    /// It is not carried out, and that is not known.
    NoEffect,
    /// It is carried out, and that is not known.
    NoAnswer,
    /// A mint is carried out, but lists show it only so much later, and there is no answer.
    Late(Duration),
    /// The server says no, in so many words.
    Denied,
    /// The list lacks every token in use, as one from a node that lags.
    Part,
    /// The process dies once the intent is written, before the effect.
    CrashBefore,
    /// The process dies after the effect, before the outcome is written.
    CrashAfter,
}

/// Who made a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Maker {
    Us,
    Another,
    /// Another account of the policy, which logs in as the same user.
    Sibling,
}

/// What is true of the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    /// The living tokens of each user.
    pub users: BTreeMap<String, BTreeSet<Fingerprint>>,
    /// Tokens that exist, but not on lists before that time.
    pub late: Vec<(DateTime<Utc>, String, Fingerprint)>,
    /// Every token ever made.
    pub made: BTreeMap<Fingerprint, Maker>,
    /// Those that someone else deleted.
    pub revoked: BTreeSet<Fingerprint>,
    /// Lists show no token beyond these, as if their first page were all there is.
    pub page: Option<BTreeSet<Fingerprint>>,
    /// It answers nothing.
    pub down: bool,
    /// The password it takes.
    pub password: &'static str,
}

/// What is outside of the process, and the same for all accounts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outside {
    /// What the local clock says.
    pub now: DateTime<Utc>,
    /// Local minus server time.
    pub skew: TimeDelta,
    /// How often the machine was started anew.
    pub boots: u32,
    pub server: Server,
    /// The sinks, by their targets.
    pub places: BTreeMap<String, Place>,
    /// Something else that uses a token.
    pub flow: Flow,
}

/// Why a step ends early.
pub(super) enum Stop {
    Crashed,
    NotBefore(DateTime<Utc>),
    Broken(Broken),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// How far a move came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Came {
    /// Something was done.
    Did,
    /// Nothing is left to do until then.
    ToRest(DateTime<Utc>),
}

/// One row of the journal.
pub(crate) struct Row {
    at: DateTime<Utc>,
    reading: ClockReading,
    event: Event,
}

impl Row {
    fn apply_to(&self, state: &mut AccountState, seq: u64) {
        state.apply_row(seq, self.at, Some(&self.reading), &self.event);
    }
}

/// One account, and the world around it.
#[derive(Clone)]
pub(crate) struct World {
    pub out: Outside,
    pub policy: Rc<AccountPolicy>,
    pub state: AccountState,
    pub seen: Evidence,
    pub journal: Vec<Rc<Row>>,
    /// The password in the policy's source.
    pub password: &'static str,
    /// When the next pass is due; `None`: one is under way, or something has just woken it.
    pub rests_until: Option<DateTime<Utc>>,
    in_pass: bool,
    /// The tokens whose text is at hand.
    texts: BTreeSet<Fingerprint>,
    logged_in: bool,
    /// The server has told the time since the machine was started.
    told_time: bool,
    ledger: Ledger,
    truth: Truth,
    /// What was done, for whoever is to read it; `None`: nobody is.
    trail: Option<Vec<String>>,
}

impl World {
    pub fn new(policy: AccountPolicy) -> Self {
        let server = Server {
            password: "first",
            ..Server::default()
        };
        Self {
            out: Outside {
                now: start(),
                server,
                ..Outside::default()
            },
            policy: Rc::new(policy),
            state: AccountState::default(),
            seen: Evidence::default(),
            journal: Vec::new(),
            password: "first",
            rests_until: None,
            in_pass: false,
            texts: BTreeSet::new(),
            logged_in: false,
            told_time: false,
            ledger: Ledger::default(),
            truth: Truth::default(),
            trail: None,
        }
    }

    /// Writes down what is done from here on, for [`World::told`].
    pub fn telling(mut self) -> Self {
        self.trail = Some(Vec::new());
        self
    }

    /// One record or one step. Whatever comes of it, the invariants hold.
    pub fn step(&mut self, fault: Fault) -> Result<Came, Broken> {
        if !self.in_pass {
            self.begin_pass();
        }
        if let Some(step) = self.clock_step() {
            self.tell(|| "record the clock's step".to_owned());
            self.record(vec![step.event()])?;
            self.check_state()?;
            return Ok(Came::Did);
        }
        self.read_siblings();
        let decision = plan(&self.policy, &self.state, &self.seen, self.out.now);
        self.tell(|| match fault {
            Fault::None => in_words(&decision.next),
            _ => format!("{} ({fault:?})", in_words(&decision.next)),
        });
        let before = self.serving();
        let came = match decision.next {
            Next::Rest => {
                self.check_rest(&decision)?;
                let alive = self.state.alive().map(|own| own.fingerprint);
                let alive: BTreeSet<Fingerprint> = alive.collect();
                self.texts.retain(|text| alive.contains(text));
                self.rest(decision.wake_at)
            }
            Next::Record(events) => {
                self.check_record(&events)?;
                self.record(events)?;
                Came::Did
            }
            Next::Do(step) => {
                self.check_step(&step)?;
                match self.perform(step, fault) {
                    Ok(()) => Came::Did,
                    Err(Stop::Crashed) => {
                        self.crash()?;
                        Came::Did
                    }
                    Err(Stop::NotBefore(until)) => self.rest(decision.wake_at.min(until)),
                    Err(Stop::Broken(broken)) => return Err(broken),
                }
            }
        };
        self.check_sinks(&before)?;
        self.check_state()?;
        Ok(came)
    }

    /// What the pass that is under way will do next.
    pub fn next(&self) -> Option<Next> {
        let next = || match self.clock_step() {
            Some(step) => Next::Record(vec![step.event()]),
            None => plan(&self.policy, &self.state, &self.seen, self.out.now).next,
        };
        self.in_pass.then(next)
    }

    fn begin_pass(&mut self) {
        self.in_pass = true;
        self.rests_until = None;
        self.seen.begin_pass();
        self.seen.begin_work(self.out.now);
        let rejected = self
            .state
            .lanes
            .get(&BackoffKey::Login)
            .is_some_and(|held| held.rejected.is_some());
        self.seen.secret_tag = rejected.then(|| self.tag());
        self.note_texts();
    }

    fn rest(&mut self, until: DateTime<Utc>) -> Came {
        self.in_pass = false;
        self.seen.end_work(self.out.now);
        self.rests_until = Some(until);
        Came::ToRest(until)
    }

    /// The next pass begins anew, whatever the last one was about.
    pub fn wake(&mut self) {
        self.in_pass = false;
        self.rests_until = None;
    }

    /// Everything that is due now. Answers when to come again.
    pub fn pass(&mut self) -> Result<DateTime<Utc>, Broken> {
        self.wake();
        for _ in 0..MOST_MOVES {
            if let Came::ToRest(until) = self.step(Fault::None)? {
                return Ok(until);
            }
        }
        Err(broken(Invariant::Rest, "a pass goes round in circles"))
    }

    /// Passes, each at the time the one before asked for, until so much time is over.
    pub fn live(&mut self, time: Duration) -> Result<(), Broken> {
        let end = self.out.now + time;
        loop {
            let wake_at = self.pass()?;
            if wake_at > end {
                self.out.now = self.out.now.max(end);
                return Ok(());
            }
            self.out.now = wake_at;
        }
    }

    /// Everything in memory is lost; the journal is read again.
    pub fn crash(&mut self) -> Result<(), Broken> {
        self.tell(|| "(all that is left is the journal)".to_owned());
        self.wake();
        self.seen = Evidence::default();
        self.texts.clear();
        self.logged_in = false;
        // The rows keep what the server told in this run of the machine, the process does not.
        self.told_time = false;
        let read = self.fold();
        self.check_fold(&read)?;
        self.state = read;
        Ok(())
    }

    /// The machine is started anew, and its clock may have been set meanwhile.
    pub fn reboot(&mut self) -> Result<(), Broken> {
        self.out.boots += 1;
        self.truth.is_unsure |= self.state.frame.earlier.is_some();
        self.crash()
    }

    /// The policy is read again, changed.
    pub fn reload(&mut self, change: impl FnOnce(&mut AccountPolicy)) -> Result<(), Broken> {
        change(Rc::make_mut(&mut self.policy));
        self.wake();
        if self.state.login_differs(&self.policy) {
            self.texts.clear();
            self.logged_in = false;
        }
        self.lift_holds(ReleaseCause::Reload)
    }

    /// An operator asks for a rotation.
    pub fn ask(&mut self) -> Result<(), Broken> {
        self.record(vec![Event::RotationAsked])?;
        self.lift_holds(ReleaseCause::Operator)
    }

    fn lift_holds(&mut self, by: ReleaseCause) -> Result<(), Broken> {
        let held = self
            .state
            .lanes
            .iter()
            .filter(|(_, failure)| failure.next_attempt_at > self.out.now);
        let mut lanes: BTreeSet<BackoffKey> = held.map(|(lane, _)| lane.clone()).collect();
        let parked = self.state.sinks.iter().filter(|(_, record)| record.parked);
        lanes.extend(parked.map(|(name, _)| BackoffKey::Sink(name.clone())));
        self.record(
            lanes
                .into_iter()
                .map(|lane| Event::HoldLifted { lane, by })
                .collect(),
        )
    }

    /// Someone else makes a token for the account's user.
    pub fn mint_foreign(&mut self) -> Fingerprint {
        let token = self.out.server.make(Maker::Another);
        self.out
            .server
            .users
            .entry(user_of(&self.policy).to_owned())
            .or_default()
            .insert(token);
        token
    }

    /// Another account that logs in as the same user makes a token.
    pub fn mint_sibling(&mut self) {
        let token = self.out.server.make(Maker::Sibling);
        let user = user_of(&self.policy).to_owned();
        self.out.server.users.entry(user).or_default().insert(token);
    }

    /// What accounts of one process know of each other.
    fn read_siblings(&mut self) {
        let made = self.out.server.made.iter();
        let theirs = made.filter(|(_, maker)| **maker == Maker::Sibling);
        let owners = theirs.map(|(token, _)| (*token, "sibling".to_owned()));
        let peers = PeerEvidence {
            owners: owners.collect(),
            ..self.seen.peers.clone()
        };
        self.seen.saw_peers(peers);
    }

    /// From here on lists show no token that is made later.
    pub fn show_one_page(&mut self) {
        let users = self.out.server.users.values().flatten();
        self.out.server.page = Some(users.copied().collect());
    }

    /// Time passes until the next pass is due.
    pub fn sleep(&mut self) {
        if let Some(until) = self.rests_until {
            self.out.now = self.out.now.max(until);
            self.wake();
        }
    }

    /// Someone else deletes this token.
    pub fn revoke(&mut self, token: Fingerprint) {
        self.out.server.remove(&token);
        self.out.server.revoked.insert(token);
    }

    /// The local clock is set; the server's goes on. Who rests is woken where it is set back: what
    /// was waited for was reckoned from a time that is not any more.
    pub fn set_clock(&mut self, by: TimeDelta) {
        self.out.now += by;
        self.out.skew += by;
        if by < TimeDelta::zero() && self.rests_until.is_some() {
            self.wake();
        }
    }

    /// The living tokens of the user in use, those that lists do not show yet included.
    pub fn alive(&self) -> BTreeSet<Fingerprint> {
        let user = user_of(&self.policy);
        let late = self
            .out
            .server
            .late
            .iter()
            .filter(|(_, it, _)| it == user)
            .map(|(_, _, token)| *token);
        self.out
            .server
            .users
            .get(user)
            .into_iter()
            .flatten()
            .copied()
            .chain(late)
            .collect()
    }

    pub fn maker(&self, token: &Fingerprint) -> Maker {
        self.out
            .server
            .made
            .get(token)
            .copied()
            .unwrap_or(Maker::Another)
    }

    fn record(&mut self, events: Vec<Event>) -> Result<(), Broken> {
        // A driver that is about to write finds the clock set since it looked.
        let step = self.clock_step().filter(|_| !events.is_empty());
        if let Some(step) = step.filter(|step| step.source == StepSource::Steady) {
            self.seen.clock_stepped(step.by);
        }
        let has_step = |event: &Event| matches!(event, Event::ClockStepped { .. });
        let step = step.filter(|_| !events.iter().any(has_step));
        let reading = self.reading();
        for event in step.map(|step| step.event()).into_iter().chain(events) {
            self.check_event(&event)?;
            self.ledger.enter(&event);
            self.enter_truth(&event);
            let row = Row {
                at: self.out.now,
                reading: reading.clone(),
                event,
            };
            row.apply_to(&mut self.state, self.journal.len() as u64 + 1);
            self.journal.push(Rc::new(row));
        }
        Ok(())
    }

    fn enter_truth(&mut self, event: &Event) {
        let true_now = self.out.now - self.out.skew;
        self.truth.enter(event, true_now);
        if let Event::Promoted { generation } = event
            && let Some(promoted) = self.state.generations.get(generation)
        {
            self.truth.promoted(promoted.fingerprint, true_now);
        }
    }

    fn clock_step(&self) -> Option<ClockStep> {
        self.state.clock_step(self.out.now, &self.reading())
    }

    fn reading(&self) -> ClockReading {
        let skew_ms = self.out.skew.num_milliseconds();
        ClockReading {
            boot: self.out.boots.to_string(),
            // As if each machine had been started in 1970: true time is its steady clock.
            base_ms: skew_ms,
            skew: self.told_time.then(|| SkewBounds::NONE.moved(skew_ms)),
        }
    }

    /// The journal, read as after a restart.
    fn fold(&self) -> AccountState {
        let mut state = AccountState::default();
        for (seq, row) in (1..).zip(&self.journal) {
            row.apply_to(&mut state, seq);
        }
        state
    }

    /// The journal is the whole truth.
    pub fn check_journal(&self) -> Result<(), Broken> {
        self.check_fold(&self.fold())
    }

    fn tag(&self) -> SecretTag {
        SecretTag::of("", &Secret::new(self.password))
    }

    fn note_texts(&mut self) {
        self.seen.values = self.texts.clone();
    }

    /// Notes what is done, if anyone is to read it.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        let now = self.out.now;
        if let Some(trail) = &mut self.trail {
            trail.push(format!("{}  {}", now.format("%F %T"), what()));
        }
    }

    /// What happened so far.
    pub fn told(&self) -> String {
        self.trail
            .as_ref()
            .map(|trail| trail.join("\n"))
            .unwrap_or_default()
    }

    /// The steps done so far, in words, looks and records left out.
    pub fn deeds(&self) -> Vec<&str> {
        let words = self
            .trail
            .iter()
            .flatten()
            .filter_map(|line| line.get(21..));
        words
            .filter(|did| {
                let (verb, _) = did.split_once(' ').unwrap_or((did, ""));
                ["mint", "verify", "deliver", "prove", "promote", "delete"].contains(&verb)
            })
            .collect()
    }
}

impl Server {
    /// Another token exists, of a name of its own.
    fn make(&mut self, maker: Maker) -> Fingerprint {
        let count = self.count(maker) + 1;
        let token = Fingerprint::of(format!("{maker:?} {count}").as_bytes());
        self.made.insert(token, maker);
        token
    }

    /// How many tokens they ever made.
    pub fn count(&self, maker: Maker) -> usize {
        self.made.values().filter(|by| **by == maker).count()
    }

    fn remove(&mut self, token: &Fingerprint) {
        self.users.values_mut().for_each(|tokens| {
            tokens.remove(token);
        });
        self.late.retain(|(_, _, it)| it != token);
    }

    /// Whether it works, for whichever user.
    fn is_alive(&self, token: &Fingerprint) -> bool {
        self.users.values().any(|tokens| tokens.contains(token))
            || self.late.iter().any(|(_, _, it)| it == token)
    }
}
