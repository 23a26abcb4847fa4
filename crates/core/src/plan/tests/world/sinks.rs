//! The sinks of a made-up world: what is true of each, what a look shows of it, what becomes of a
//! delivery, and those who read it.

use super::World;
use crate::config::{SinkKind, SinkPolicy};
use crate::event::Outcome;
use crate::plan::evidence::{ConsumerAck, SinkContent};
use crate::secret::Fingerprint;

/// How a sink refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// What a consumer says that it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Says {
    Uses(Fingerprint),
    /// Nothing that makes sense.
    Odd,
}

/// What is true of one sink, by its target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub holds: Option<Fingerprint>,
    pub refuses: Option<Refusal>,
    pub unreadable: bool,
    /// How often anything was changed there. That is all a sink tells that does not show its token.
    pub version: u64,
    /// Those who read it cannot be told anything.
    pub deaf: bool,
    /// We changed it since its consumer was last told.
    pub untold: bool,
    /// What its consumer says.
    pub says: Option<Says>,
}

impl Place {
    /// Something is put there, by whomever.
    pub fn put(&mut self, token: Option<Fingerprint>) {
        self.holds = token;
        self.version += 1;
    }
}

/// What a look at a sink shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    Token,
    /// Whether it was changed since, and RingCX must be asked for that.
    Version,
    Nothing,
}

pub(super) fn shows(sink: &SinkPolicy) -> Shows {
    match sink.kind {
        SinkKind::File(_) | SinkKind::EnvFile(_) | SinkKind::Template(_) => Shows::Token,
        SinkKind::AuthConfig(_) => Shows::Version,
        SinkKind::Webhook(_) | SinkKind::Command(_) => Shows::Nothing,
    }
}

/// What became of one delivery, as far as the sink's answer tells.
pub(super) struct Given {
    /// `None`: it was taken.
    pub failed: Option<Outcome>,
    pub parked: bool,
}

impl World {
    /// What is true of a sink of the policy.
    pub fn place(&mut self, sink: &str) -> &mut Place {
        let sink = self
            .policy
            .sinks
            .iter()
            .find(|configured| configured.name == sink)
            .expect("the policy has this sink");
        self.out.places.entry(sink.kind.target()).or_default()
    }

    /// The same, if anything ever befell it.
    pub fn place_of(&self, sink: &SinkPolicy) -> Option<&Place> {
        self.out.places.get(&sink.kind.target())
    }

    /// The sink of this name, and, where it is a key of a file, the other keys of that file.
    pub fn places_beside(&mut self, name: &str) -> Vec<&mut Place> {
        let sink = self
            .policy
            .sinks
            .iter()
            .find(|configured| configured.name == name)
            .expect("the policy has this sink");
        let target = sink.kind.target();
        let file = match &sink.kind {
            SinkKind::EnvFile(file) => Some(format!("{} ", file.path.display())),
            SinkKind::File(_)
            | SinkKind::Webhook(_)
            | SinkKind::Command(_)
            | SinkKind::AuthConfig(_)
            | SinkKind::Template(_) => None,
        };
        self.out.places.entry(target.clone()).or_default();
        let beside = |at: &str| {
            file.as_ref()
                .is_some_and(|file| at.starts_with(file.as_str()))
        };
        let all = self
            .out
            .places
            .iter_mut()
            .filter(|(at, _)| **at == target || beside(at));
        all.map(|(_, place)| place).collect()
    }

    /// What the sink of this name holds.
    pub fn held_by(&self, sink: &str) -> Option<Fingerprint> {
        let sink = self
            .policy
            .sinks
            .iter()
            .find(|configured| configured.name == sink)?;
        self.place_of(sink)?.holds
    }

    /// A sink gets back our oldest token that works. Whoever does that wakes the daemon: a look
    /// that was had already tells nothing of it.
    pub fn restore(&mut self, sink: &str) {
        if let Some(oldest) = self.oldest_alive() {
            self.place(sink).put(Some(oldest));
            self.wake();
        }
    }

    /// Our oldest token that works.
    pub fn oldest_alive(&self) -> Option<Fingerprint> {
        let alive = self.alive();
        self.state
            .own()
            .map(|generation| generation.fingerprint)
            .find(|token| alive.contains(token))
    }

    pub(super) fn is_readable(sink: &SinkPolicy) -> bool {
        shows(sink) != Shows::Nothing
    }

    /// Whether nothing was changed there since the delivery that the journal has.
    pub(super) fn is_as_delivered(&self, sink: &SinkPolicy) -> bool {
        let taken = self
            .state
            .sinks
            .get(&sink.name)
            .and_then(|record| record.taken.as_ref());
        let version = taken.and_then(|(_, taken)| taken.version.as_ref());
        let now = self.place_of(sink).map(|place| place.version.to_string());
        version.is_some() && version == now.as_ref()
    }

    /// Whether a look shows what it holds, one that is asked within RingCX if `inside`.
    pub(super) fn can_see(&self, sink: &SinkPolicy) -> bool {
        let unreadable = self.place_of(sink).is_some_and(|place| place.unreadable);
        match shows(sink) {
            Shows::Token => !unreadable,
            Shows::Version => !unreadable && !self.out.server.down && self.is_as_delivered(sink),
            Shows::Nothing => false,
        }
    }

    /// What a look shows; `inside`: somebody is there whom RingCX answers.
    pub(super) fn read_back(&mut self, sink: &SinkPolicy, inside: Inside) -> SinkContent {
        let (unreadable, holds) = {
            let place = self.place(&sink.name);
            (place.unreadable, place.holds)
        };
        match (shows(sink), holds) {
            (Shows::Nothing, _) => SinkContent::Opaque,
            (Shows::Token | Shows::Version, _) if unreadable => {
                SinkContent::Unreadable("permission denied".to_owned())
            }
            (Shows::Token, Some(token)) => SinkContent::Token(token),
            (Shows::Token, None) => SinkContent::Absent,
            (Shows::Version, _) if inside == Inside::Nobody || self.out.server.down => {
                SinkContent::Unreadable("RingCX was not asked".to_owned())
            }
            (Shows::Version, _) if self.is_as_delivered(sink) => {
                let taken = self
                    .state
                    .sinks
                    .get(&sink.name)
                    .and_then(|record| record.taken.as_ref());
                let generation = taken.and_then(|(number, _)| self.state.generations.get(number));
                generation.map_or_else(
                    || SinkContent::Other("what was delivered long ago".to_owned()),
                    |generation| SinkContent::Token(generation.fingerprint),
                )
            }
            (Shows::Version, _) => SinkContent::Other("it was changed since".to_owned()),
        }
    }

    /// One delivery: what it does, and what is answered.
    pub(super) fn give(
        &mut self,
        name: &str,
        token: Fingerprint,
        refusal: Option<Refusal>,
    ) -> Given {
        let Some(sink) = self
            .policy
            .sinks
            .iter()
            .find(|configured| configured.name == name)
            .cloned()
        else {
            return Given {
                failed: Some(Outcome::NotDone),
                parked: false,
            };
        };
        let shows = shows(&sink);
        // It is asked as this token.
        let shut = shows == Shows::Version && self.ask_inside(token) == Inside::Nobody;
        let refusal = if shut {
            Some(Refusal::NotDone)
        } else {
            refusal
        };
        let place = self.place(name);
        match refusal {
            None | Some(Refusal::NoAnswer) => {
                place.put(Some(token));
                place.untold |= sink.notify.is_some();
            }
            Some(Refusal::NotDone | Refusal::Silent | Refusal::Gone | Refusal::Lies) => {}
        }
        let failed = match (refusal, shows) {
            // Only a file can be caught lying later; an auth config is looked at, and a receipt is
            // all there is.
            (None, _) | (Some(Refusal::Lies), Shows::Token) => None,
            (Some(Refusal::Lies), Shows::Version) => Some(Outcome::Unknown),
            (Some(Refusal::NotDone | Refusal::Gone), _) | (Some(Refusal::Lies), Shows::Nothing) => {
                Some(Outcome::NotDone)
            }
            // A file's error says that nothing was done, though it may have been: it is read back.
            (Some(Refusal::NoAnswer | Refusal::Silent), Shows::Token) => Some(Outcome::NotDone),
            (Some(Refusal::NoAnswer | Refusal::Silent), Shows::Version | Shows::Nothing) => {
                Some(Outcome::Unknown)
            }
        };
        Given {
            failed,
            parked: refusal == Some(Refusal::Gone) && shows == Shows::Nothing,
        }
    }

    /// What the consumers of sinks say.
    pub(super) fn hear_consumers(&mut self) {
        let heard = self
            .policy
            .sinks
            .iter()
            .filter(|sink| sink.acknowledge.is_some())
            .filter_map(|sink| {
                let claim = match self.place_of(sink)?.says? {
                    Says::Uses(token) => ConsumerAck::Uses(token),
                    Says::Odd => ConsumerAck::Odd("says nothing that makes sense".to_owned()),
                };
                Some((sink.name.clone(), claim))
            });
        self.seen.claims = heard.collect();
    }
}

/// As whom RingCX is asked what a sink inside it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    Somebody,
    Nobody,
}
