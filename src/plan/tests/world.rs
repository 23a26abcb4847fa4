//! A made-up world: a server with its tokens, sinks with what they hold, two clocks, a journal. It
//! performs each step the way the driver does, ideally or with a [`Fault`], and asks the plan again.
//!
//! After every move the invariants of `world/invariants.rs` are checked against what is true in this
//! world, which the plan cannot see. What is not modelled: pacing, access tokens that end, and bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::scene::{in_words, start, user_of};
use crate::account::AccountState;
use crate::event::{Event, Lane, Lifted};
use crate::plan::seen::Seen;
use crate::plan::{Next, plan};
use crate::policy::{AccountPolicy, SinkPolicy};
use crate::secret::{Fingerprint, Secret, SecretTag};

mod invariants;
mod perform;

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
    /// The process dies once the intent is written, before the effect.
    CrashBefore,
    /// The process dies after the effect, before the outcome is written.
    CrashAfter,
}

/// Who made a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    Us,
    Another,
}

/// How a sink refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It takes nothing, and says so.
    NotDone,
    /// It takes the token, and the answer is lost.
    NoAnswer,
    /// It takes nothing, and no answer comes.
    Silent,
    /// It is gone for good: 410.
    Gone,
    /// It says that it took the token, and did not.
    Lies,
}

/// What is true of one sink, by its target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub holds: Option<Fingerprint>,
    pub refuses: Option<Refusal>,
    pub unreadable: bool,
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
    /// It answers nothing.
    pub down: bool,
    /// The password it takes.
    pub password: &'static str,
}

/// Why a pass ends early.
pub(super) enum Stop {
    Crashed,
    NotBefore(DateTime<Utc>),
}

/// How far a move came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Came {
    /// Something was done, in words.
    Did(String),
    /// Nothing is left to do until then.
    ToRest(DateTime<Utc>),
}

/// The whole of it.
pub(crate) struct World {
    pub policy: AccountPolicy,
    pub state: AccountState,
    pub seen: Seen,
    /// What the local clock says.
    pub now: DateTime<Utc>,
    /// Local minus server time.
    pub skew: TimeDelta,
    pub server: Server,
    pub places: BTreeMap<String, Place>,
    pub journal: Vec<(DateTime<Utc>, Event)>,
    /// The password in the policy's source.
    pub password: &'static str,
    /// The tokens whose text is at hand.
    texts: BTreeSet<Fingerprint>,
    logged_in: bool,
    in_pass: bool,
    /// What was done, for the message of a failure.
    trail: Vec<String>,
}

impl World {
    pub fn new(policy: AccountPolicy) -> Self {
        Self {
            policy,
            state: AccountState::default(),
            seen: Seen::default(),
            now: start(),
            skew: TimeDelta::zero(),
            server: Server { password: "first", ..Server::default() },
            places: BTreeMap::new(),
            journal: Vec::new(),
            password: "first",
            texts: BTreeSet::new(),
            logged_in: false,
            in_pass: false,
            trail: Vec::new(),
        }
    }

    /// One record or one step. Whatever comes of it, the invariants hold.
    #[track_caller]
    pub fn step(&mut self, fault: Fault) -> Came {
        if !self.in_pass {
            self.begin_pass();
        }
        let decision = plan(&self.policy, &self.state, &self.seen, self.now);
        let words = in_words(&decision.next);
        self.trail.push(format!("{} {words} ({fault:?})", self.now.format("%d %H:%M:%S")));
        let came = match decision.next {
            Next::Rest => {
                self.in_pass = false;
                self.check_rest(&decision);
                self.texts.retain(|text| self.state.in_use().contains(text));
                Came::ToRest(decision.wake_at)
            }
            Next::Record(events) => {
                self.check_record(&events);
                self.record(events);
                Came::Did(words)
            }
            Next::Do(step) => {
                self.check_step(&step);
                match self.perform(step, fault) {
                    Ok(()) => Came::Did(words),
                    Err(Stop::Crashed) => {
                        self.crash();
                        Came::Did(format!("{words}, and died"))
                    }
                    Err(Stop::NotBefore(until)) => {
                        self.in_pass = false;
                        Came::ToRest(decision.wake_at.min(until))
                    }
                }
            }
        };
        self.check_state();
        came
    }

    fn begin_pass(&mut self) {
        self.in_pass = true;
        self.seen.begin_pass(self.now);
        let rejected = self.state.lanes.get(&Lane::Login).is_some_and(|held| held.rejected.is_some());
        self.seen.secret_tag = rejected.then(|| self.tag());
        self.note_texts();
    }

    /// Everything that is due now. Answers what was done, looks and records left out, and when to come again.
    #[track_caller]
    pub fn pass(&mut self) -> (Vec<String>, DateTime<Utc>) {
        self.in_pass = false;
        let mut done = Vec::new();
        for _ in 0..MOST_MOVES {
            match self.step(Fault::None) {
                Came::ToRest(until) => return (done, until),
                Came::Did(words) => done.push(words),
            }
        }
        panic!("going round in circles:\n{}", self.told());
    }

    /// Passes, each at the time the one before asked for, until so much time is over. Answers what was
    /// done, without looks and records.
    #[track_caller]
    pub fn live(&mut self, time: Duration) -> Vec<String> {
        let end = self.now + time;
        let mut all = Vec::new();
        loop {
            let (done, wake_at) = self.pass();
            let deeds = ["mint", "verify", "deliver", "prove", "promote", "delete"];
            all.extend(done.into_iter().filter(|did| deeds.iter().any(|deed| did.starts_with(deed))));
            if wake_at > end {
                self.now = self.now.max(end);
                return all;
            }
            assert!(wake_at > self.now, "no rest at {}:\n{}", self.now, self.told());
            self.now = wake_at;
        }
    }

    /// Everything in memory is lost; the journal is read again.
    pub fn crash(&mut self) {
        self.trail.push("crash".to_owned());
        self.in_pass = false;
        self.seen = Seen::default();
        self.texts.clear();
        self.logged_in = false;
        self.state = self.fold();
    }

    /// The policy is read again, changed.
    pub fn reload(&mut self, change: impl FnOnce(&mut AccountPolicy)) {
        change(&mut self.policy);
        self.trail.push(format!("reload: {:?}", self.policy));
        self.in_pass = false;
        if self.state.login_differs(&self.policy) {
            self.texts.clear();
            self.logged_in = false;
        }
        self.lift_holds(Lifted::Reload);
    }

    /// An operator asks for a rotation.
    pub fn ask(&mut self) {
        self.trail.push("asked".to_owned());
        self.record(vec![Event::RotationAsked]);
        self.lift_holds(Lifted::Operator);
    }

    fn lift_holds(&mut self, by: Lifted) {
        let held = self.state.lanes.iter().filter(|(_, failure)| failure.next_attempt_at > self.now);
        let mut lanes: BTreeSet<Lane> = held.map(|(lane, _)| lane.clone()).collect();
        let parked = self.state.sinks.iter().filter(|(_, record)| record.parked);
        lanes.extend(parked.map(|(name, _)| Lane::Sink(name.clone())));
        self.record(lanes.into_iter().map(|lane| Event::HoldLifted { lane, by }).collect());
    }

    /// Someone else makes a token for the account's user.
    pub fn mint_foreign(&mut self) -> Fingerprint {
        let token = Fingerprint::of(format!("foreign {}", self.server.made.len()).as_bytes());
        self.trail.push(format!("foreign mint {}", token.short()));
        self.server.made.insert(token, Maker::Another);
        self.server.users.entry(user_of(&self.policy).to_owned()).or_default().insert(token);
        token
    }

    /// Someone else deletes this token.
    pub fn revoke(&mut self, token: Fingerprint) {
        self.trail.push(format!("foreign revoke {}", token.short()));
        self.server.users.values_mut().for_each(|tokens| {
            tokens.remove(&token);
        });
        self.server.late.retain(|(_, _, it)| *it != token);
    }

    /// Time passes on both clocks.
    pub fn wait(&mut self, time: Duration) {
        self.trail.push(format!("wait {time:?}"));
        self.now += time;
    }

    /// The local clock is set; the server's goes on.
    pub fn set_clock(&mut self, by: TimeDelta) {
        self.trail.push(format!("clock {by}"));
        self.now += by;
        self.skew += by;
    }

    /// What is true of a sink of the policy.
    pub fn place(&mut self, sink: &str) -> &mut Place {
        let sink = self.policy.sinks.iter().find(|it| it.name == sink).expect("the policy has this sink");
        self.places.entry(sink.kind.target()).or_default()
    }

    /// What the sink of this name holds.
    pub fn held_by(&mut self, sink: &str) -> Option<Fingerprint> {
        self.place(sink).holds
    }

    /// The living tokens of the user in use, those that lists do not show yet included.
    pub fn alive(&self) -> BTreeSet<Fingerprint> {
        let user = user_of(&self.policy);
        let late = self.server.late.iter().filter(|(_, it, _)| it == user).map(|(_, _, token)| *token);
        self.server.users.get(user).into_iter().flatten().copied().chain(late).collect()
    }

    pub fn maker(&self, token: &Fingerprint) -> Maker {
        self.server.made.get(token).copied().unwrap_or(Maker::Another)
    }

    fn record(&mut self, events: Vec<Event>) {
        for event in events {
            self.state.apply(self.journal.len() as u64 + 1, self.now, &event);
            self.journal.push((self.now, event));
        }
    }

    /// The journal, read as after a restart.
    fn fold(&self) -> AccountState {
        AccountState::fold((1..).zip(&self.journal).map(|(seq, (at, event))| (seq, *at, event)))
    }

    fn tag(&self) -> SecretTag {
        SecretTag::of("", &Secret::new(self.password))
    }

    fn note_texts(&mut self) {
        self.seen.values = self.texts.clone();
    }

    fn is_readable(sink: &SinkPolicy) -> bool {
        sink.kind.can_be_read()
    }

    /// What happened so far.
    pub fn told(&self) -> String {
        self.trail[self.trail.len().saturating_sub(100)..].join("\n")
    }
}
