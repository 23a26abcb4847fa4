//! What the sinks and their consumers show: bindings, drift, acknowledgements, adopted tokens.
//!
//! For example, a sink that the policy has and the journal has not is bound first.

use std::collections::BTreeSet;

use crate::account::LastDelivery;
use crate::event::{BackoffKey, Event};
use crate::plan::Planner;
use crate::plan::evidence::{ConsumerAck, FileScan, SinkContent};
use crate::plan::reasons::PlanNotice;
use crate::secret::Fingerprint;

impl Planner<'_> {
    pub(super) fn bind_sinks(&mut self) {
        let mut events = Vec::new();
        for name in self
            .state
            .sinks
            .keys()
            .filter(|name| !self.policy.sinks.iter().any(|sink| sink.name == **name))
        {
            events.push(Event::SinkReleased { sink: name.clone() });
        }
        for sink in &self.policy.sinks {
            let bound = self.state.sinks.get(&sink.name);
            let same = |sink_type: &str, target: &str| {
                sink_type == sink.kind.type_name() && target == sink.kind.target()
            };
            // Another target under the same name is another sink: neither proof nor back-off
            // carries over.
            if !bound.is_some_and(|record| same(&record.sink_type, &record.target)) {
                if bound.is_some() {
                    events.push(Event::SinkReleased {
                        sink: sink.name.clone(),
                    });
                }
                events.push(Event::SinkBound {
                    sink: sink.name.clone(),
                    sink_type: sink.kind.type_name().to_owned(),
                    target: sink.kind.target(),
                });
            }
        }
        self.record(events);
    }

    /// A sink that was proved no longer holds what it should.
    pub(super) fn note_drift(&mut self) {
        let mut events = Vec::new();
        for (name, record) in &self.state.sinks {
            let Some((proved, _)) = record.proved else {
                continue;
            };
            // With a newer delivery begun, either may be there: that is no drift but unfinished
            // work.
            let settled =
                record.intended == Some(proved) && record.last_delivery != LastDelivery::Open;
            // Retired long ago and forgotten: there is nothing left to compare with.
            let Some(generation) = self.state.generations.get(&proved) else {
                continue;
            };
            let found = match self.evidence.held(name) {
                Some(SinkContent::Token(found)) if *found == generation.fingerprint => continue,
                Some(SinkContent::Token(found)) => format!("another token ({})", found.short()),
                Some(SinkContent::Absent) => "nothing".to_owned(),
                Some(SinkContent::Other(what)) => what.clone(),
                // What was not seen has not drifted.
                Some(SinkContent::Unreadable(_) | SinkContent::Opaque) | None => continue,
            };
            // Once for each drift, until the next proof. Of a token that is dead nothing was lost.
            if settled && record.drifted.is_none() && generation.is_alive() {
                events.push(Event::Drifted {
                    sink: name.clone(),
                    generation: proved,
                    found,
                });
            }
        }
        self.record(events);
    }

    /// A consumer says that it uses another generation than it did: a newer one, or, set back, an
    /// older one.
    pub(super) fn note_acknowledgements(&mut self) {
        let mut events = Vec::new();
        for sink in self
            .policy
            .sinks
            .iter()
            .filter(|sink| sink.acknowledge.is_some())
        {
            let Some(record) = self.state.sinks.get(&sink.name) else {
                continue;
            };
            // A consumer that says nothing now keeps its last acknowledgement: it may be
            // restarting.
            let Some(ack) = self.evidence.claims.get(&sink.name) else {
                continue;
            };
            let name = sink.name.clone();
            let known = match ack {
                ConsumerAck::Uses(fingerprint) => self.state.by_fingerprint(fingerprint),
                ConsumerAck::UsesGeneration(number) => self.state.generations.get(number),
                ConsumerAck::Odd(what) => {
                    let what = what.clone();
                    let notice = PlanNotice::OddAcknowledgement { sink: name, what };
                    self.decision.notices.push(notice);
                    continue;
                }
            };
            let Some(generation) = known.map(|generation| generation.number) else {
                let notice = PlanNotice::AcknowledgesUnknown { sink: name };
                self.decision.notices.push(notice);
                continue;
            };
            // Also when it is older: a consumer that was set back must keep its token alive.
            if record.acknowledged.map(|(number, _)| number) != Some(generation) {
                events.push(Event::Acknowledged {
                    sink: name,
                    generation,
                });
            }
        }
        self.record(events);
    }

    /// An adopted token is no longer where it was seen, or is seen in one place more.
    pub(super) fn note_adopted(&mut self) {
        // Sinks and files are seen in one look; before it, each place may still hold the token.
        if self.evidence.sinks.is_none() {
            return;
        }
        let mut events = Vec::new();
        for (fingerprint, token) in &self.state.foreign {
            let Some(adoption) = &token.adoption else {
                continue;
            };
            let mut held_by = BTreeSet::new();
            let mut note = |place: &String, holds: Option<bool>| {
                // What cannot be looked at may hold what it held.
                if holds.unwrap_or_else(|| adoption.held_by.contains(place)) {
                    held_by.insert(place.clone());
                }
            };
            for sink in &self.policy.sinks {
                note(
                    &sink.name,
                    holds(self.evidence.held(&sink.name), fingerprint),
                );
            }
            for path in &adoption.files {
                note(
                    path,
                    match self.evidence.files.get(path) {
                        Some(FileScan::Holds(found)) => Some(found.contains(fingerprint)),
                        Some(FileScan::Unknown(_)) | None => None,
                    },
                );
            }
            if held_by != adoption.held_by {
                events.push(Event::AdoptedHeld {
                    fingerprint: *fingerprint,
                    held_by,
                });
            }
        }
        self.record(events);
    }

    /// The back-off of a notification ends when the policy no longer asks for it or it is not owed.
    pub(super) fn clear_needless_keys(&mut self) {
        let is_wanted = |name: &String| {
            let has_notify = self
                .policy
                .sinks
                .iter()
                .any(|sink| sink.name == *name && sink.notify.is_some());
            has_notify
                && self
                    .state
                    .sinks
                    .get(name)
                    .is_some_and(|record| record.notify_owed.is_some())
        };
        let needless = self.state.lanes.keys().filter(|lane| match lane {
            BackoffKey::Notify(name) => !is_wanted(name),
            // These end with a success, with their sink, or by a rule of their own in the plan.
            BackoffKey::Login
            | BackoffKey::Server
            | BackoffKey::Rotation
            | BackoffKey::Retirement
            | BackoffKey::Pass
            | BackoffKey::Sink(_) => false,
        });
        self.record(
            needless
                .map(|lane| Event::LaneCleared { lane: lane.clone() })
                .collect(),
        );
    }

    /// What an operator should know of former logins and sinks.
    pub(super) fn report_leftovers(&mut self) {
        // Only notices: the login in use cannot delete tokens of another user.
        for generation in self.state.of_former_logins() {
            let line = self.state.lines.get(generation.line);
            self.decision
                .notices
                .push(PlanNotice::AliveUnderFormerLogin {
                    generation: generation.number,
                    fingerprint: generation.fingerprint,
                    username: line.map(|line| line.username.clone()),
                });
        }
        for (name, held) in &self.evidence.released {
            let SinkContent::Token(fingerprint) = held else {
                continue;
            };
            let (Some(generation), Some(record)) = (
                self.state.by_fingerprint(fingerprint),
                self.state.released_sinks.get(name),
            ) else {
                continue;
            };
            self.decision.notices.push(PlanNotice::ReleasedSinkHolds {
                target: record.target.clone(),
                generation: generation.number,
            });
        }
    }
}

/// Whether a sink was seen to hold this token; `None` where that is not known.
fn holds(held: Option<&SinkContent>, fingerprint: &Fingerprint) -> Option<bool> {
    match held {
        Some(SinkContent::Token(found)) => Some(found == fingerprint),
        Some(SinkContent::Absent) => Some(false),
        Some(SinkContent::Other(_) | SinkContent::Unreadable(_) | SinkContent::Opaque) | None => {
            None
        }
    }
}
