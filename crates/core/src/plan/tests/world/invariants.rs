//! The invariants, by name. They are checked against what is true, not against what the plan
//! believes.
//!
//! What a look saw is taken to hold until the pass is over: a file that gets an old token back in
//! the second between the look and the delete, or a clock that is set then, nobody can see.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};

use super::{Maker, World};
use crate::account::{AccountState, LastDelivery, Stage};
use crate::config::SinkPolicy;
use crate::event::{Event, GenerationNo, MintSource, RetiredBy};
use crate::plan::evidence::{ConsumerAck, ListedBy};
use crate::plan::{Decision, Next, Step, plan};
use crate::secret::Fingerprint;

/// What must be so, as `docs/design/invariants.md` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invariant {
    ServeLive,
    NeverZero,
    Order,
    OwnOnly,
    IntentFirst,
    OneOpenIntent,
    NoBlindMint,
    MintCap,
    IrreversibleLast,
    Monotone,
    Clock,
    FailStatic,
    TwoLooks,
    Retention,
    ToldOnce,
    ConsumersTold,
    Acknowledged,
    Rest,
    Liveness,
}

impl Invariant {
    const ALL: [Self; 19] = [
        Self::ServeLive,
        Self::NeverZero,
        Self::Order,
        Self::OwnOnly,
        Self::IntentFirst,
        Self::OneOpenIntent,
        Self::NoBlindMint,
        Self::MintCap,
        Self::IrreversibleLast,
        Self::Monotone,
        Self::Clock,
        Self::FailStatic,
        Self::TwoLooks,
        Self::Retention,
        Self::ToldOnce,
        Self::ConsumersTold,
        Self::Acknowledged,
        Self::Rest,
        Self::Liveness,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::ServeLive => "serve-live",
            Self::NeverZero => "never-zero",
            Self::Order => "order",
            Self::OwnOnly => "own-only",
            Self::IntentFirst => "intent-first",
            Self::OneOpenIntent => "one-open-intent",
            Self::NoBlindMint => "no-blind-mint",
            Self::MintCap => "mint-cap",
            Self::IrreversibleLast => "irreversible-last",
            Self::Monotone => "monotone",
            Self::Clock => "clock",
            Self::FailStatic => "fail-static",
            Self::TwoLooks => "two-looks",
            Self::Retention => "retention",
            Self::ToldOnce => "told-once",
            Self::ConsumersTold => "consumers-told",
            Self::Acknowledged => "acknowledged",
            Self::Rest => "rest",
            Self::Liveness => "liveness",
        }
    }
}

/// An invariant does not hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Broken {
    pub invariant: Invariant,
    pub why: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is broken: {}", self.invariant.name(), self.why)
    }
}

pub(crate) fn broken(invariant: Invariant, why: impl Into<String>) -> Broken {
    Broken {
        invariant,
        why: why.into(),
    }
}

pub(super) fn holds(invariant: Invariant, holds: bool, otherwise: &str) -> Result<(), Broken> {
    if holds {
        Ok(())
    } else {
        Err(broken(invariant, otherwise))
    }
}

/// What a sink of the policy held that worked.
pub(super) struct Serving {
    target: String,
    sink: String,
}

impl World {
    pub(super) fn check_step(&self, step: &Step) -> Result<(), Broken> {
        match step {
            Step::Look(_) | Step::Wait { .. } | Step::Prove { .. } | Step::Promote(_) => Ok(()),
            Step::Mint {
                generation,
                baseline,
            } => self.check_mint(*generation, baseline),
            Step::Verify(minted) => {
                let published = self.ledger.published.contains(&minted.generation());
                holds(
                    Invariant::Order,
                    !published,
                    "it was published before it is verified",
                )
            }
            Step::Deliver { token, sinks } => {
                let verified = self.ledger.verified.contains(&token.generation());
                holds(
                    Invariant::Order,
                    verified,
                    "it is published before it was verified",
                )?;
                sinks.iter().try_for_each(|sink| {
                    let newest = self.ledger.sinks.get(sink).and_then(|entry| entry.sent);
                    let newer = newest <= Some(token.generation());
                    holds(
                        Invariant::Monotone,
                        newer,
                        "a sink is given an older token than it was sent",
                    )
                })
            }
            Step::Notify { sinks } => sinks.iter().try_for_each(|sink| {
                let record = self.state.sinks.get(sink);
                let proved =
                    record.is_some_and(|it| it.notify_owed == it.proved.map(|entry| entry.0));
                holds(
                    Invariant::Order,
                    proved,
                    "a consumer is told of what is not proved",
                )
            }),
            Step::Delete(victim) => self.check_delete(victim.fingerprint(), victim.generation()),
        }
    }

    /// Just before it is handed on: what RingCX was just seen to refuse or to lack, and is gone, is
    /// not.
    pub(super) fn check_handed_on(&self, token: &Fingerprint) -> Result<(), Broken> {
        let doubted = self.seen.doubt(token).is_any();
        let fit = !doubted || self.out.server.is_alive(token);
        holds(
            Invariant::FailStatic,
            fit,
            "a token is handed on that RingCX was just seen to refuse",
        )
    }

    fn check_mint(
        &self,
        number: GenerationNo,
        baseline: &BTreeSet<Fingerprint>,
    ) -> Result<(), Broken> {
        let open = self.ledger.open_mint.is_some() || self.state.pending().is_some();
        holds(
            Invariant::OneOpenIntent,
            !open,
            "a mint is begun before the last one is settled",
        )?;
        let counted = number.0 == self.state.last_generation + 1;
        holds(
            Invariant::OneOpenIntent,
            counted,
            "two mints are one generation",
        )?;
        let based = self
            .seen
            .list
            .as_ref()
            .is_some_and(|list| list.tokens == *baseline);
        holds(
            Invariant::NoBlindMint,
            based,
            "the baseline is no list that was just had",
        )?;
        let known = |token: &&Fingerprint| self.state.by_fingerprint(token).is_some();
        let own_alive = self.alive().iter().filter(known).count();
        let room = own_alive < self.policy.retention.max_live as usize;
        holds(
            Invariant::MintCap,
            room,
            "max-live of ours are alive and another is minted",
        )
    }

    fn check_delete(
        &self,
        victim: Fingerprint,
        number: Option<GenerationNo>,
    ) -> Result<(), Broken> {
        let generation = number.and_then(|number| self.state.generations.get(&number));
        let Some(current) = self.state.current() else {
            let published = number.is_none_or(|number| self.ledger.published.contains(&number));
            return holds(
                Invariant::NeverZero,
                !published,
                "the last token that sinks were given is deleted",
            );
        };
        // Revoked since the list was had: the delete is sent with this token, so the server refuses
        // it.
        if !self.alive().contains(&current.fingerprint) {
            return Ok(());
        }
        holds(
            Invariant::NeverZero,
            current.fingerprint != victim,
            "the current token is deleted",
        )?;
        let pending = self.state.pending().map(|pending| pending.fingerprint);
        holds(
            Invariant::NeverZero,
            pending != Some(victim),
            "the pending token is deleted",
        )?;
        for sink in self.policy.sinks.iter().filter(|sink| self.counts(sink)) {
            let serves = self.held_by(&sink.name) == Some(victim);
            let otherwise = format!("what sink {} holds is deleted", sink.name);
            holds(Invariant::ServeLive, !serves, &otherwise)?;
        }
        if number.is_none_or(|number| self.ledger.published.contains(&number)) {
            self.policy
                .sinks
                .iter()
                .try_for_each(|sink| self.check_consumer(sink, number))?;
        }
        holds(
            Invariant::OwnOnly,
            self.maker(&victim) != Maker::Sibling,
            "a token of another account of the same user is deleted",
        )?;
        match generation {
            Some(generation) => {
                // The one unknown token after a lost mint is taken for ours: that is the policy's
                // word.
                let guessed = generation.learnt != MintSource::Answered;
                let own = guessed || self.maker(&victim) == Maker::Us;
                holds(
                    Invariant::OwnOnly,
                    own,
                    "a foreign token is deleted as ours",
                )?;
                self.check_age(generation.number)?;
            }
            None => {
                self.check_adopted(victim)?;
                let known = self.state.foreign.get(&victim);
                let since =
                    known.and_then(|foreign| Some((foreign.first_seen_at, foreign.superseded_at?)));
                let old_enough = since.is_some_and(|(first_seen, superseded)| {
                    self.is_past(first_seen, self.policy.retention.max_age)
                        && self.is_past(superseded, self.policy.retention.overlap)
                });
                holds(
                    Invariant::Retention,
                    old_enough,
                    "an adopted token is deleted before its time",
                )?;
                self.check_true_age(&victim)?;
            }
        }
        let list = self.seen.list.as_ref();
        let listed = list.is_some_and(|list| {
            list.by == ListedBy::Token(current.fingerprint) && list.tokens.contains(&victim)
        });
        holds(
            Invariant::OwnOnly,
            listed,
            "it is on no list just had with the current token",
        )?;
        // A clock that is set by less than a minute within the pass is not noticed.
        let agree = self.out.skew.num_seconds().abs() <= 360;
        holds(
            Invariant::Clock,
            agree,
            "a token is deleted while the clocks are apart",
        )
    }

    /// Those who read a required sink may use what is deleted, as long as they know and say nothing
    /// else.
    fn check_consumer(
        &self,
        sink: &SinkPolicy,
        victim: Option<GenerationNo>,
    ) -> Result<(), Broken> {
        let told = sink.notify.is_none() || self.place_of(sink).is_some_and(|place| !place.untold);
        let said = self
            .ledger
            .sinks
            .get(&sink.name)
            .and_then(|entry| entry.said);
        let heard = sink.acknowledge.is_none() || said > victim;
        let otherwise = "a token is deleted and a consumer was not told of a newer one";
        holds(Invariant::ConsumersTold, told || !sink.required, otherwise)?;
        let otherwise = "a token is deleted and a consumer has not said that it uses a newer one";
        holds(Invariant::Acknowledged, heard || !sink.required, otherwise)
    }

    /// What was ever given to anyone has its age and its overlap.
    fn check_age(&self, number: GenerationNo) -> Result<(), Broken> {
        let Some(generation) = self.state.generations.get(&number) else {
            return Ok(());
        };
        let superseded =
            self.ledger.promoted > Some(number) || !self.ledger.published.contains(&number);
        let ready = generation.stage() == Stage::Previous && superseded;
        holds(
            Invariant::Order,
            ready,
            "it is deleted before another was promoted",
        )?;
        if !self.ledger.published.contains(&number) {
            return Ok(());
        }
        let old_enough = self.is_past(generation.minted_at, self.policy.retention.max_age);
        holds(
            Invariant::Retention,
            old_enough,
            "it is deleted before max-age",
        )?;
        let overlap = self.policy.retention.overlap;
        let overlapped = generation
            .superseded_at
            .is_some_and(|since| self.is_past(since, overlap));
        holds(
            Invariant::Retention,
            overlapped,
            "it is deleted before its overlap is over",
        )?;
        self.check_true_age(&generation.fingerprint)
    }

    fn is_past(&self, since: DateTime<Utc>, least: std::time::Duration) -> bool {
        (self.out.now - since)
            .to_std()
            .is_ok_and(|age| age >= least)
    }

    /// Whether a sink is promised anything: an optional one that cannot be read is best effort.
    fn counts(&self, sink: &SinkPolicy) -> bool {
        sink.required || self.can_see(sink)
    }

    pub(super) fn check_record(&self, events: &[Event]) -> Result<(), Broken> {
        let mut after = self.state.clone();
        for event in events {
            after.apply(self.state.seq, self.out.now, event);
        }
        holds(
            Invariant::Rest,
            after != self.state,
            "a record changes nothing, and is made for ever",
        )
    }

    /// Lists are known to lack it, and no sink shows its text.
    fn is_out_of_reach(&self, number: GenerationNo) -> bool {
        let generation = self.state.generations.get(&number);
        generation
            .is_some_and(|it| it.unlisted_since.is_some() && !self.texts.contains(&it.fingerprint))
    }

    /// What is written down is so.
    pub(super) fn check_event(&self, event: &Event) -> Result<(), Broken> {
        let token = |number: &GenerationNo| {
            self.state
                .generations
                .get(number)
                .map(|generation| generation.fingerprint)
        };
        let works = |number| token(number).is_some_and(|token| self.out.server.is_alive(&token));
        match event {
            Event::Minted { fingerprint, .. } if self.maker(fingerprint) == Maker::Sibling => {
                holds(
                    Invariant::OwnOnly,
                    false,
                    "the token of another account of the same user is taken for ours",
                )
            }
            Event::MintIntended { .. } => holds(
                Invariant::OneOpenIntent,
                self.ledger.open_mint.is_none(),
                "two mints are open",
            ),
            Event::Minted {
                generation,
                how: MintSource::Recovered,
                ..
            }
            | Event::MintMissing { generation, .. }
            | Event::MintAmbiguous { generation, .. }
                if self.ledger.open_mint == Some(*generation) =>
            {
                let looked = self.ledger.looked_since_mint;
                holds(
                    Invariant::NoBlindMint,
                    looked,
                    "a mint is given up or recovered without a look",
                )
            }
            Event::Verified { generation } => holds(
                Invariant::Order,
                works(generation),
                "what is called verified does not work",
            ),
            Event::Proved { sink, generation } => {
                let readable =
                    self.policy.sinks.iter().any(|configured| {
                        configured.name == *sink && Self::is_readable(configured)
                    });
                let there = !readable || self.held_by(sink) == token(generation);
                holds(
                    Invariant::Order,
                    there,
                    "a file is called proved that holds something else",
                )
            }
            Event::Notified { sink, .. } => {
                let bound = self
                    .policy
                    .sinks
                    .iter()
                    .find(|configured| configured.name == *sink);
                let told = bound
                    .and_then(|configured| self.place_of(configured))
                    .is_some_and(|place| !place.untold);
                holds(
                    Invariant::ConsumersTold,
                    told,
                    "a consumer is called told that was not",
                )
            }
            Event::Acknowledged { sink, generation } => {
                let heard = self.seen.claims.get(sink).cloned();
                let said = heard.is_some() && heard == token(generation).map(ConsumerAck::Uses);
                holds(
                    Invariant::Acknowledged,
                    said,
                    "a consumer said something else",
                )
            }
            Event::Promoted { generation } => {
                let verified = self.ledger.verified.contains(generation);
                holds(
                    Invariant::Order,
                    verified,
                    "it is promoted before it is verified",
                )?;
                let proved = |sink: &String| {
                    self.ledger
                        .sinks
                        .get(sink)
                        .is_some_and(|entry| entry.proved.contains(generation))
                };
                let mut required = self.policy.sinks.iter().filter(|sink| sink.required);
                let everywhere = required.all(|sink| proved(&sink.name));
                holds(
                    Invariant::Order,
                    everywhere,
                    "it is promoted before each required sink is proved",
                )
            }
            Event::Retired {
                fingerprint, by, ..
            } => {
                let user = self
                    .out
                    .server
                    .users
                    .get(super::super::scene::user_of(&self.policy));
                let listed = user.is_some_and(|tokens| tokens.contains(fingerprint));
                holds(
                    Invariant::IrreversibleLast,
                    !listed,
                    "it is called retired and is on the list",
                )?;
                let announced =
                    *by == RetiredBy::Another || self.ledger.deletes.contains(fingerprint);
                holds(
                    Invariant::IntentFirst,
                    announced,
                    "we deleted it and never said so before",
                )
            }
            Event::ListDisagreed { generation } => holds(
                Invariant::TwoLooks,
                works(generation),
                "the list is said to lack a token that does not work",
            ),
            // Of one that lists lack, and with which no call can be made, lists are all there is.
            Event::TokenLost { generation, .. } => holds(
                Invariant::TwoLooks,
                !works(generation) || self.is_out_of_reach(*generation),
                "a token that works is called lost",
            ),
            _ => Ok(()),
        }
    }

    /// The sinks that hold a token that works.
    pub(super) fn serving(&self) -> Vec<Serving> {
        let sinks = self.policy.sinks.iter().filter(|sink| self.counts(sink));
        let serving = sinks.filter(|sink| {
            self.held_by(&sink.name)
                .is_some_and(|token| self.out.server.is_alive(&token))
        });
        serving
            .map(|sink| Serving {
                target: sink.kind.target(),
                sink: sink.name.clone(),
            })
            .collect()
    }

    /// After each of our own moves: who had a token that works has one.
    pub(super) fn check_sinks(&self, before: &[Serving]) -> Result<(), Broken> {
        for Serving { target, sink } in before {
            let Some(token) = self.out.places.get(target).and_then(|place| place.holds) else {
                return Err(broken(
                    Invariant::FailStatic,
                    format!("sink {sink} is left with nothing"),
                ));
            };
            let server = &self.out.server;
            let works = server.is_alive(&token) || server.revoked.contains(&token);
            let otherwise = format!("sink {sink} is left with a token that does not work");
            holds(Invariant::NeverZero, works, &otherwise)?;
        }
        Ok(())
    }

    /// What is read from the journal after a restart is what was known before.
    pub(super) fn check_fold(&self, read: &AccountState) -> Result<(), Broken> {
        holds(
            Invariant::IntentFirst,
            *read == self.state,
            "the journal says something else",
        )
    }

    /// After every move.
    pub(super) fn check_state(&self) -> Result<(), Broken> {
        let open = self.state.open_mint.as_ref().map(|open| open.generation);
        holds(
            Invariant::IntentFirst,
            open == self.ledger.open_mint,
            "an open mint is forgotten",
        )?;
        for (sink, entry) in &self.ledger.sinks {
            let record = self.state.sinks.get(sink);
            let known = record.is_some_and(|record| {
                record.intended >= entry.sent
                    && (record.last_delivery == LastDelivery::Open || !entry.open)
            });
            holds(
                Invariant::IntentFirst,
                known,
                "a delivery without an outcome is forgotten",
            )?;
            let owed = record.and_then(|record| record.notify_owed);
            holds(
                Invariant::ConsumersTold,
                owed == entry.owed,
                "what a consumer is owed is forgotten",
            )?;
        }
        self.check_owed()?;
        let own = self
            .state
            .generations
            .values()
            .filter(|generation| generation.is_alive());
        let mut sent =
            own.filter(|generation| self.ledger.deletes.contains(&generation.fingerprint));
        holds(
            Invariant::IntentFirst,
            sent.all(|generation| generation.delete_sent),
            "a delete that was sent is forgotten",
        )?;
        let mut gone = self
            .state
            .generations
            .values()
            .filter(|generation| generation.retired.is_some());
        let shown = gone.all(|generation| self.ledger.retired.contains(&generation.fingerprint));
        holds(
            Invariant::IrreversibleLast,
            shown,
            "it counts as retired before a list showed that it is gone",
        )?;
        let mut parked = self
            .state
            .sinks
            .iter()
            .filter(|(_, record)| record.parked)
            .map(|(name, _)| name);
        parked.try_for_each(|sink| {
            let told = self
                .incidents()
                .iter()
                .any(|condition| condition.sink.as_ref() == Some(sink));
            holds(
                Invariant::ToldOnce,
                told,
                "a sink is parked and nobody is told",
            )
        })
    }

    /// Whoever reads a sink that we changed is to be told of it, once it is proved.
    fn check_owed(&self) -> Result<(), Broken> {
        let told = self
            .policy
            .sinks
            .iter()
            .filter(|sink| sink.notify.is_some());
        let mut untold = told.filter(|sink| self.place_of(sink).is_some_and(|place| place.untold));
        let owed = untold.all(|sink| {
            // Under another name, or put back, it is told of once it is proved.
            let record = self
                .state
                .sinks
                .get(&sink.name)
                .filter(|configured| configured.target == sink.kind.target());
            record.is_none_or(|record| record.notify_owed.is_some() || record.proved.is_none())
        });
        holds(
            Invariant::ConsumersTold,
            owed,
            "a sink was changed, and its consumer is owed nothing",
        )
    }

    /// What is wrong, as an operator is told of it.
    pub fn incidents(&self) -> Vec<crate::incidents::Condition> {
        let alerts = crate::config::AlertsPolicy {
            repeat_after: super::super::scene::hours(24),
            resolved: true,
            overdue_after: super::super::scene::hours(24),
            email: None,
        };
        crate::incidents::conditions(&self.policy, &alerts, &self.state, self.out.now)
    }

    pub(super) fn check_rest(&self, decision: &Decision) -> Result<(), Broken> {
        self.check_true_waits(decision)?;
        holds(
            Invariant::Rest,
            decision.wake_at > self.out.now,
            "it rests until a time that is past",
        )?;
        let again = plan(&self.policy, &self.state, &self.seen, self.out.now);
        holds(
            Invariant::Rest,
            again.next == Next::Rest,
            "the same question has another answer",
        )?;
        let unfinished = self.state.current().is_none() || self.state.pending().is_some();
        let waits = !unfinished || !decision.waiting.is_empty();
        holds(
            Invariant::Rest,
            waits,
            "something is unfinished and nothing is waited for",
        )
    }
}

/// A section of the page for each, which names the code that keeps it and its tests.
#[test]
fn every_invariant_has_its_section_in_the_page() {
    let page = include_str!("../../../../../../docs/design/invariants.md");
    let named: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    for invariant in Invariant::ALL {
        assert!(
            named.contains(&invariant.name()),
            "{} has no section",
            invariant.name()
        );
    }
}
