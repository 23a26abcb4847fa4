//! The invariants, by name. They are checked against what is true, not against what the plan believes.

use std::collections::BTreeSet;

use super::{Maker, World};
use crate::account::Stage;
use crate::event::{Event, GenerationNo, Learnt};
use crate::plan::seen::ListedBy;
use crate::plan::{Decision, Next, Step, plan};
use crate::policy::{AlertsPolicy, Foreign};
use crate::secret::Fingerprint;

impl World {
    #[track_caller]
    fn holds(&self, invariant: &str, holds: bool) {
        assert!(holds, "{invariant} is broken by the last of these moves:\n{}", self.told());
    }

    pub(super) fn check_step(&self, step: &Step) {
        match step {
            Step::Look(_) => {}
            Step::Mint { generation, baseline } => self.check_mint(*generation, baseline),
            Step::Verify(minted) => {
                let unpublished = self.intended(minted.generation()).next().is_none();
                self.holds("order: verified before published", unpublished);
            }
            Step::Deliver { token, sinks } => {
                self.holds("order: verified before published", self.was_verified(token.generation()));
                for sink in sinks {
                    self.check_monotone(sink, token.generation());
                }
            }
            Step::Prove { .. } => {}
            Step::Notify { sinks } => {
                for sink in sinks {
                    let record = self.state.sinks.get(sink);
                    let proved = record.is_some_and(|it| it.notify_owed == it.proved.map(|it| it.0));
                    self.holds("order: proved before told", proved);
                }
            }
            Step::Promote(proved) => self.check_promotion(proved.generation()),
            Step::Delete(victim) => self.check_delete(victim.fingerprint(), victim.generation()),
        }
    }

    fn check_mint(&self, generation: GenerationNo, baseline: &BTreeSet<Fingerprint>) {
        self.holds("one-open-intent", self.state.open_mint.is_none() && self.state.pending().is_none());
        let mut open = None;
        for (_, event) in &self.journal {
            if let Event::MintIntended { generation, .. } = event {
                self.holds("one-open-intent", open.is_none());
                open = Some(*generation);
            } else if settles_a_mint(event) {
                open = None;
            }
        }
        self.holds("no-blind-mint", open.is_none());
        let list = self.seen.list.as_ref();
        self.holds("no-blind-mint: with a baseline", list.is_some_and(|list| list.tokens == *baseline));
        let known = |token: &&Fingerprint| self.state.by_fingerprint(token).is_some();
        let own_alive = self.alive().iter().filter(known).count();
        self.holds("mint-cap", own_alive < self.policy.retention.max_live as usize);
        self.holds("generations are counted up", generation.0 == self.state.last_generation + 1);
    }

    fn was_verified(&self, number: GenerationNo) -> bool {
        let verified = Event::Verified { generation: number };
        self.journal.iter().any(|(_, event)| *event == verified)
    }

    /// The sinks that were ever sent this generation.
    fn intended(&self, number: GenerationNo) -> impl Iterator<Item = &String> {
        self.journal
            .iter()
            .filter_map(move |(_, event)| sent(event))
            .filter_map(move |(sink, generation)| (generation == number).then_some(sink))
    }

    fn check_monotone(&self, name: &str, number: GenerationNo) {
        let bound = self
            .journal
            .iter()
            .rposition(|(_, event)| matches!(event, Event::SinkBound { sink, .. } if sink == name));
        let since = &self.journal[bound.expect("only bound sinks are delivered to")..];
        let sent = since.iter().filter_map(|(_, event)| sent(event));
        let newest = sent.filter(|(sink, _)| *sink == name).map(|(_, generation)| generation);
        self.holds("monotone", newest.max() <= Some(number));
    }

    fn check_promotion(&self, number: GenerationNo) {
        self.holds("order: verified before promoted", self.was_verified(number));
        for sink in self.policy.sinks.iter().filter(|sink| sink.required) {
            let proved = Event::Proved { sink: sink.name.clone(), generation: number };
            let at = self.journal.iter().rposition(|(_, event)| *event == proved);
            self.holds("order: proved before promoted", at.is_some());
        }
    }

    fn check_delete(&self, victim: Fingerprint, number: Option<GenerationNo>) {
        let Some(current) = self.state.current() else {
            let of_ours = number.and_then(|number| self.state.generations.get(&number));
            let published = of_ours.is_none_or(|it| it.may_be_published());
            return self
                .holds("never-zero: without a current token only what nobody was given goes", !published);
        };
        // Revoked since the list was had: the delete is sent with this token, so the server refuses it.
        if !self.alive().contains(&current.fingerprint) {
            return;
        }
        self.holds("never the current one", current.fingerprint != victim);
        let pending = self.state.pending().map(|pending| pending.fingerprint);
        self.holds("never the pending one", pending != Some(victim));
        for sink in &self.policy.sinks {
            let place = self.places.get(&sink.kind.target()).cloned().unwrap_or_default();
            let serves = place.holds == Some(victim);
            let counts = sink.required || (Self::is_readable(sink) && !place.unreadable);
            self.holds("serve-live", !(serves && counts));
        }
        match number.and_then(|number| self.state.generations.get(&number)) {
            Some(generation) => {
                // The one unknown token after a lost mint is taken for ours: that is the policy's word.
                let guessed = generation.learnt != Learnt::Answered;
                self.holds("own-only", guessed || self.maker(&victim) == Maker::Us);
                self.holds("order: promoted before retired", generation.stage() == Stage::Previous);
                if self.intended(generation.number).next().is_some() {
                    let age = self.now - generation.minted_at;
                    let old_enough = age.to_std().is_ok_and(|age| age >= self.policy.retention.max_age);
                    self.holds("retention: max-age", old_enough);
                    let since = generation.superseded_at.map(|at| self.now - at);
                    let overlapped = since.and_then(|since| since.to_std().ok());
                    let is_over = overlapped.is_some_and(|it| it >= self.policy.retention.overlap);
                    self.holds("retention: overlap", is_over);
                }
            }
            None => self.holds("own-only", self.policy.retention.foreign == Foreign::Adopt),
        }
        let list = self.seen.list.as_ref();
        let listed = list.is_some_and(|list| {
            list.by == ListedBy::Token(current.fingerprint) && list.tokens.contains(&victim)
        });
        self.holds("own-only: on a list just had with the current token", listed);
        self.holds("clock", self.skew.num_seconds().abs() <= 300);
    }

    pub(super) fn check_record(&self, events: &[Event]) {
        let before = self.state.clone();
        let mut after = before.clone();
        for event in events {
            after.apply(before.seq + 1, self.now, event);
        }
        self.holds("a record changes something", AccountSeq(&before) != AccountSeq(&after));
    }

    /// After every move.
    pub(super) fn check_state(&self) {
        let alerts = AlertsPolicy {
            repeat_after: super::super::scene::hours(24),
            resolved: true,
            overdue_after: super::super::scene::hours(24),
            email: None,
        };
        let conditions = crate::alert::conditions(&self.policy, &alerts, &self.state, self.now);
        for sink in self.state.sinks.iter().filter(|(_, record)| record.parked).map(|(name, _)| name) {
            let told = conditions.iter().any(|condition| condition.sink.as_ref() == Some(sink));
            self.holds("a parked sink is an incident", told);
        }
        let decision = plan(&self.policy, &self.state, &self.seen, self.now);
        let again = plan(&self.policy, &self.state, &self.seen, self.now);
        self.holds("the same question has the same answer", decision == again);
    }

    pub(super) fn check_rest(&self, decision: &Decision) {
        assert_eq!(decision.next, Next::Rest);
        self.holds("rest is rest", decision.wake_at > self.now);
        self.holds("the journal is the whole truth", self.fold() == self.state);
        let unfinished = self.state.current().is_none() || self.state.pending().is_some();
        self.holds("what is not done is waited for", !unfinished || !decision.waiting.is_empty());
    }
}

/// Whether this tells what became of a mint, or that it is nothing to us any more.
fn settles_a_mint(event: &Event) -> bool {
    matches!(
        event,
        Event::Minted { .. }
            | Event::MintFailed { .. }
            | Event::MintMissing { .. }
            | Event::MintAmbiguous { .. }
            | Event::LineStarted { .. }
    )
}

/// What is on its way where, from here on.
fn sent(event: &Event) -> Option<(&String, GenerationNo)> {
    if let Event::DeliveryIntended { sink, generation } = event { Some((sink, *generation)) } else { None }
}

/// A state but for its place in the journal.
struct AccountSeq<'a>(&'a crate::account::AccountState);

impl PartialEq for AccountSeq<'_> {
    fn eq(&self, other: &Self) -> bool {
        let mut mine = self.0.clone();
        mine.seq = other.0.seq;
        mine == *other.0
    }
}
