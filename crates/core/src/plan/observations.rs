//! What only has to be written down: it follows from what was seen, and nothing is done for it.

use std::collections::BTreeSet;

use super::evidence::{ConsumerAck, FileScan, SinkContent, TokenList};
use super::retire::adopted;
use super::{Look, Planner};
use crate::account::{Generation, LastDelivery, Stage};
use crate::config::LoginPolicy;
use crate::event::{BackoffKey, Event, IncidentKind, MintSource, ReleaseCause, RetiredBy};
use crate::plan::backoff::{FailureReport, failed};
use crate::secret::Fingerprint;
use crate::time::delta;

/// Local and server clock may differ by this much before ages are no longer trusted.
pub const LARGEST_SKEW_SECONDS: i64 = 5 * 60;

impl Planner<'_> {
    pub(super) fn record_observations(&mut self) {
        // Whom a JWT names the plan cannot know: the driver writes that down.
        if let LoginPolicy::Admin(login) = &self.policy.login
            && self.state.login_differs(self.policy)
        {
            self.record(vec![Event::LineStarted {
                username: login.username.clone(),
                platform_id: login.platform_id.clone(),
            }]);
        }
        self.bind_sinks();
        self.note_changed_secret();
        if self.seen.sinks.is_none() {
            self.look(Look::Sinks);
        }
        self.note_drift();
        self.note_claims();
        self.note_adopted();
        self.leave_needless_lanes();
        if let Some(list) = self.fresh_list() {
            self.note_clock(list);
            self.note_own(list);
            self.note_late_delete();
            self.note_unknown(list);
        }
        self.await_lost_mints();
        self.note_lost_tokens();
        self.report_leftovers();
    }

    fn bind_sinks(&mut self) {
        let mut events = Vec::new();
        for name in self
            .state
            .sinks
            .keys()
            .filter(|name| !self.policy.sinks.iter().any(|it| it.name == **name))
        {
            events.push(Event::SinkReleased { sink: name.clone() });
        }
        for sink in &self.policy.sinks {
            let bound = self.state.sinks.get(&sink.name);
            let same = |sink_type: &str, target: &str| {
                sink_type == sink.kind.type_name() && target == sink.kind.target()
            };
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

    /// A rejected login waits for a long time, but not with another password.
    fn note_changed_secret(&mut self) {
        let rejected = self
            .state
            .lanes
            .get(&BackoffKey::Login)
            .and_then(|failure| failure.rejected);
        if let (Some(rejected), Some(now)) = (rejected, self.seen.secret_tag)
            && rejected != now
        {
            self.record(vec![Event::HoldLifted {
                lane: BackoffKey::Login,
                by: ReleaseCause::SecretChanged,
            }]);
        }
    }

    /// A sink that was proved no longer holds what it should.
    fn note_drift(&mut self) {
        let mut events = Vec::new();
        for (name, record) in &self.state.sinks {
            let Some((proved, _)) = record.proved else {
                continue;
            };
            // With a newer delivery begun, either may be there: that is no drift but unfinished
            // work.
            let settled =
                record.intended == Some(proved) && record.last_delivery != LastDelivery::Open;
            let Some(generation) = self.state.generations.get(&proved) else {
                continue;
            };
            let found = match self.seen.held(name) {
                Some(SinkContent::Token(found)) if *found == generation.fingerprint => continue,
                Some(SinkContent::Token(found)) => format!("another token ({})", found.short()),
                Some(SinkContent::Absent) => "nothing".to_owned(),
                Some(SinkContent::Other(what)) => what.clone(),
                Some(SinkContent::Unreadable(_) | SinkContent::Opaque) | None => continue,
            };
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
    fn note_claims(&mut self) {
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
            let Some(claim) = self.seen.claims.get(&sink.name) else {
                continue;
            };
            let unknown = "acknowledges a token that is none of this account's";
            let known = match claim {
                ConsumerAck::Uses(fingerprint) => {
                    self.state.by_fingerprint(fingerprint).ok_or(unknown)
                }
                ConsumerAck::UsesGeneration(number) => {
                    self.state.generations.get(number).ok_or(unknown)
                }
                ConsumerAck::Odd(what) => Err(what.as_str()),
            };
            match known.map(|generation| generation.number) {
                Ok(generation)
                    if record.acknowledged.map(|(number, _)| number) != Some(generation) =>
                {
                    events.push(Event::Acknowledged {
                        sink: sink.name.clone(),
                        generation,
                    });
                }
                Ok(_) => {}
                Err(what) => {
                    self.decision
                        .notices
                        .push(format!("The consumer of sink {} {what}", sink.name));
                }
            }
        }
        self.record(events);
    }

    /// An adopted token is no longer where it was seen, or is seen in one place more.
    fn note_adopted(&mut self) {
        if self.seen.sinks.is_none() {
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
                note(&sink.name, holds(self.seen.held(&sink.name), fingerprint));
            }
            for path in &adoption.files {
                note(
                    path,
                    match self.seen.files.get(path) {
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

    /// Trouble with telling somebody whom nobody wants told any more.
    fn leave_needless_lanes(&mut self) {
        let is_wanted = |name: &String| {
            let told = self
                .policy
                .sinks
                .iter()
                .any(|sink| sink.name == *name && sink.notify.is_some());
            told && self
                .state
                .sinks
                .get(name)
                .is_some_and(|record| record.notify_owed.is_some())
        };
        let needless = self.state.lanes.keys().filter(|lane| match lane {
            BackoffKey::Notify(name) => !is_wanted(name),
            BackoffKey::Login
            | BackoffKey::Server
            | BackoffKey::Rotation
            | BackoffKey::Retirement
            | BackoffKey::Sink(_) => false,
        });
        self.record(
            needless
                .map(|lane| Event::LaneCleared { lane: lane.clone() })
                .collect(),
        );
    }

    fn note_clock(&mut self, list: &TokenList) {
        let Some(skew) = list.skew.map(|skew| skew.num_seconds()) else {
            return;
        };
        match (skew.abs() > LARGEST_SKEW_SECONDS, self.state.clock) {
            (true, None) => self.record(vec![Event::ClockDisagreed { skew_seconds: skew }]),
            (false, Some(_)) => self.record(vec![Event::ClockAgreed]),
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Old tokens of ours that are gone, and gone ones that are back.
    fn note_own(&mut self, list: &TokenList) {
        let mut events = Vec::new();
        for generation in self.state.generations.values() {
            let listed = list.tokens.contains(&generation.fingerprint);
            let in_use = generation.line == self.state.line();
            match generation.stage() {
                Stage::Previous if in_use && !listed && self.is_surely_gone(generation) => {
                    let by = if generation.delete_sent {
                        RetiredBy::Us
                    } else {
                        RetiredBy::Another
                    };
                    events.push(Event::Retired {
                        fingerprint: generation.fingerprint,
                        generation: Some(generation.number),
                        by,
                    });
                }
                Stage::Retired | Stage::Lost if listed => {
                    events.push(Event::Reappeared {
                        generation: generation.number,
                    });
                }
                // Of a former login, but on this login's list: it is this login's again.
                Stage::Previous if !in_use && listed => {
                    events.push(Event::Reappeared {
                        generation: generation.number,
                    });
                }
                Stage::Pending
                | Stage::Current
                | Stage::Previous
                | Stage::Retired
                | Stage::Lost => {}
            }
        }
        for (fingerprint, _) in self
            .state
            .foreign
            .iter()
            .filter(|(_, token)| token.delete_sent)
        {
            if !list.tokens.contains(fingerprint) {
                events.push(Event::Retired {
                    fingerprint: *fingerprint,
                    generation: None,
                    by: RetiredBy::Us,
                });
            }
        }
        self.record(events);
    }

    /// A delete that failed so far as we could see, and whose token is gone all the same.
    fn note_late_delete(&mut self) {
        let ours = self.state.previous().any(|it| it.delete_sent);
        let adopted = adopted(self.policy, self.state).any(|(_, it)| it.delete_sent);
        if self.state.trouble(&BackoffKey::Retirement).is_some() && !ours && !adopted {
            self.record(vec![Event::LaneCleared {
                lane: BackoffKey::Retirement,
            }]);
        }
    }

    /// A token that no list ever showed may only be slow to appear.
    fn is_surely_gone(&self, generation: &Generation) -> bool {
        generation.was_listed()
            || self.now - generation.minted_at >= delta(self.policy.verify_within.saturating_mul(2))
    }

    /// Tokens that are not ours as far as we know.
    fn note_unknown(&mut self, list: &TokenList) {
        let state = self.state;
        // As long as a mint is open, one of them may be its token: that is settled first.
        if state.open_mint.is_some() {
            return;
        }
        let ours = |fingerprint: &Fingerprint| state.by_fingerprint(fingerprint).is_some();
        let new: BTreeSet<Fingerprint> = list
            .tokens
            .iter()
            .filter(|fingerprint| !ours(fingerprint) && !state.foreign.contains_key(fingerprint))
            .copied()
            .collect();
        let gone: BTreeSet<Fingerprint> = state
            .foreign
            .keys()
            .filter(|fingerprint| !list.tokens.contains(fingerprint))
            .copied()
            .collect();
        let mut events = Vec::new();
        match (state.lost_mints.first(), new.len()) {
            (_, 0) => {}
            (Some(lost), 1) if self.recovers_lost_mints() => {
                let fingerprint = new.first().copied().expect("there is one");
                let how = MintSource::Late;
                events.push(Event::Minted {
                    generation: lost.generation,
                    fingerprint,
                    how,
                });
                if lost.generation.0 < state.last_generation {
                    let reason = "it arrived late, another was minted meanwhile".to_owned();
                    events.push(Event::Abandoned {
                        generation: lost.generation,
                        reason,
                    });
                }
            }
            (Some(lost), _) => {
                events.push(Event::ForeignSeen {
                    fingerprints: new.clone(),
                });
                events.push(Event::MintAmbiguous {
                    generation: lost.generation,
                    candidates: new,
                });
            }
            (None, _) => events.push(Event::ForeignSeen { fingerprints: new }),
        }
        if !gone.is_empty() {
            events.push(Event::ForeignGone { fingerprints: gone });
        }
        // The list that is had after the time is up is the last chance of a lost mint.
        if events.is_empty() {
            let closed = state
                .lost_mints
                .iter()
                .filter(|lost| list.at >= lost.open_until);
            events.extend(closed.map(|lost| Event::LostMintClosed {
                generation: lost.generation,
            }));
        }
        self.record(events);
    }

    /// A lost mint is looked for once more when its time is up.
    fn await_lost_mints(&mut self) {
        for lost in &self.state.lost_mints {
            let what = format!(
                "a late arrival of the lost mint of generation {}",
                lost.generation
            );
            if lost.open_until > self.now {
                self.wait(what, Some(lost.open_until));
            } else if let Some(until) = self.login_held() {
                self.wait(what, Some(until));
            } else if self.state.open_mint.is_none() {
                // While another mint is open, the look that settles that one comes first.
                self.look(Look::ListByLogin);
            }
        }
    }

    fn note_lost_tokens(&mut self) {
        let mut events = Vec::new();
        for generation in [self.state.current(), self.state.pending()]
            .into_iter()
            .flatten()
        {
            // A pending one that was never seen to work is judged by verifying it.
            if generation.verified_at.is_none() {
                continue;
            }
            let doubt = self.seen.doubt(&generation.fingerprint);
            if doubt.is_gone() {
                events.push(Event::TokenLost {
                    generation: generation.number,
                    evidence: doubt.evidence(),
                });
            } else if self.server_held().is_none()
                && (doubt.is_contradictory()
                    || (doubt.wants_second_look() && self.login_held().is_some()))
            {
                let error = "RingCX refuses the token in use, or lists it only at times";
                let trouble =
                    FailureReport::new(BackoffKey::Server, IncidentKind::VerifyFailed, error);
                events.push(failed(self.state, &self.policy.retry, trouble, self.now));
            }
        }
        self.record(events);
    }

    /// What an operator should know of former logins and sinks.
    fn report_leftovers(&mut self) {
        for generation in self.state.of_former_logins() {
            let line = self.state.lines.get(generation.line);
            let who = line.map_or("a former login", |line| line.username.as_str());
            self.decision.notices.push(format!(
                "Generation {} ({}) was minted by {who} and is still alive there: delete it as that user",
                generation.number,
                generation.fingerprint.short(),
            ));
        }
        for (name, held) in &self.seen.released {
            let SinkContent::Token(fingerprint) = held else {
                continue;
            };
            let (Some(generation), Some(record)) = (
                self.state.by_fingerprint(fingerprint),
                self.state.released_sinks.get(name),
            ) else {
                continue;
            };
            self.decision.notices.push(format!(
                "{} was taken out of the policy but still holds generation {}: it will not be kept fresh",
                record.target, generation.number,
            ));
        }
    }
}

/// Whether a sink was seen to hold this token; `None`: it cannot be told.
fn holds(held: Option<&SinkContent>, fingerprint: &Fingerprint) -> Option<bool> {
    match held {
        Some(SinkContent::Token(found)) => Some(found == fingerprint),
        Some(SinkContent::Absent) => Some(false),
        Some(SinkContent::Other(_) | SinkContent::Unreadable(_) | SinkContent::Opaque) | None => {
            None
        }
    }
}
