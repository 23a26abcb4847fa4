//! A flow that has a token of others pasted into it, where no sink writes, and an operator who puts
//! such tokens under the policy.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::invariants::holds;
use super::{Broken, Invariant, Maker, World};
use crate::config::Foreign;
use crate::event::Event;
use crate::plan::evidence::FileScan;
use crate::secret::Fingerprint;

/// Where an operator has us look for it.
const PATH: &str = "/srv/flow";

/// What is true of the flow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flow {
    pub holds: Option<Fingerprint>,
    pub unreadable: bool,
    /// When it last had each of the others that it had, by the server's clock.
    pub had: BTreeMap<Fingerprint, DateTime<Utc>>,
}

impl World {
    /// Someone pastes a token of others into the flow, one that we know of if there is any. As with
    /// a sink, whoever does that wakes the daemon.
    pub fn paste(&mut self) {
        let of_another = |token: &&Fingerprint| self.maker(token) == Maker::Another;
        let pasted = self
            .alive()
            .iter()
            .filter(of_another)
            .max_by_key(|foreign| self.state.foreign.contains_key(*foreign))
            .copied();
        if pasted.is_some() {
            self.put_into_flow(pasted);
        }
    }

    /// From here on the flow takes its token from where we put it.
    pub fn mend_flow(&mut self) {
        self.put_into_flow(None);
    }

    fn put_into_flow(&mut self, token: Option<Fingerprint>) {
        let server_time = self.out.now - self.out.skew;
        if let Some(before) = self.out.flow.holds.take() {
            self.out.flow.had.insert(before, server_time);
        }
        self.out.flow.holds = token;
        self.wake();
    }

    /// An operator takes every token of others that lists show under the policy, as the driver does
    /// it.
    pub fn adopt(&mut self) -> Result<(), Broken> {
        let alive = self.alive();
        let flow = Some(&self.out.flow)
            .filter(|flow| !flow.unreadable)
            .and_then(|flow| flow.holds);
        let mut taken = Vec::new();
        for token in self
            .state
            .foreign
            .keys()
            .filter(|token| alive.contains(token))
        {
            let sinks = self.policy.sinks.iter().filter(|sink| self.can_see(sink));
            let holding = sinks.filter(|sink| self.held_by(&sink.name) == Some(*token));
            let mut held_by: BTreeSet<String> = holding.map(|sink| sink.name.clone()).collect();
            let files = BTreeSet::from_iter((flow == Some(*token)).then(|| PATH.to_owned()));
            held_by.extend(files.iter().cloned());
            taken.push(Event::Adopted {
                fingerprint: *token,
                length: 40,
                files,
                held_by,
            });
        }
        self.record(taken)?;
        self.seen.sinks_changed();
        self.wake();
        Ok(())
    }

    /// An operator leaves them alone again.
    pub fn disown(&mut self) -> Result<(), Broken> {
        let adopted = self
            .state
            .foreign
            .iter()
            .filter(|(_, token)| token.adoption.is_some());
        let left = adopted
            .map(|(token, _)| Event::Disowned {
                fingerprint: *token,
            })
            .collect();
        self.record(left)?;
        self.wake();
        Ok(())
    }

    /// Looks through the flow for what it is to be looked through for.
    pub(super) fn look_at_flow(&mut self) {
        let named = |token: &&Fingerprint| {
            let adoption = self
                .state
                .foreign
                .get(token)
                .and_then(|foreign| foreign.adoption.as_ref());
            adoption.is_some_and(|adoption| adoption.files.contains(PATH))
        };
        let wanted: BTreeSet<Fingerprint> =
            self.state.foreign.keys().filter(named).copied().collect();
        let flow = &self.out.flow;
        let found = match flow.unreadable {
            true => FileScan::Unknown("permission denied".to_owned()),
            false => FileScan::Holds(
                wanted
                    .iter()
                    .filter(|token| flow.holds == Some(**token))
                    .copied()
                    .collect(),
            ),
        };
        let looked = (!wanted.is_empty()).then(|| (PATH.to_owned(), found));
        self.seen.files = looked.into_iter().collect();
    }

    /// A token of others is deleted only if it is under the policy, and while the flow that was
    /// named has another, and has had for as long as the overlap is.
    pub(super) fn check_adopted(&self, victim: Fingerprint) -> Result<(), Broken> {
        let word = self.ledger.adopted.get(&victim);
        let adopted = word.is_some() || self.policy.retention.foreign == Foreign::Adopt;
        holds(
            Invariant::OwnOnly,
            adopted,
            "a foreign token is deleted though the policy keeps them",
        )?;
        if word != Some(&true) {
            return Ok(());
        }
        let held = self.out.flow.holds == Some(victim);
        holds(
            Invariant::ServeLive,
            !held,
            "what a flow holds is deleted, and it was named",
        )?;
        // The local clock may be off by less than is noticed, and the other way when the flow was
        // looked at.
        let server_time = self.out.now - self.out.skew + chrono::TimeDelta::minutes(12);
        let overlapped = self.out.flow.had.get(&victim).is_none_or(|since| {
            (server_time - *since)
                .to_std()
                .is_ok_and(|time| time >= self.policy.retention.overlap)
        });
        let otherwise = "an adopted token is deleted before a flow's overlap is over";
        holds(Invariant::Retention, overlapped, otherwise)
    }
}
