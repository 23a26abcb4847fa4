//! A made-up moment in an account's life: a policy, what happened so far, what was seen, the time.
//!
//! Everything is set by hand, so that a test can change one fact and nothing else. What follows
//! from what is in `world.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

pub(crate) use crate::testing::*;

use crate::account::AccountState;
use crate::config::{AccountPolicy, Acknowledge, Notify, NotifyWhat, SinkPolicy};
use crate::event::{BackoffKey, DeliveryReceipt, Event, GenerationNo, IncidentKind, MintSource};
use crate::plan::backoff::{FailureReport, failed};
use crate::plan::evidence::{ConsumerAck, Evidence, FileScan, ListedBy, SinkContent, TokenList};
use crate::plan::{Decision, Look, Next, Step, notifications_owed, plan};
use crate::secret::Fingerprint;

/// Its consumer is told by this program.
pub(crate) fn told(sink: SinkPolicy, program: &str) -> SinkPolicy {
    let what = NotifyWhat::Program(vec![program.to_owned()]);
    SinkPolicy {
        notify: Some(Notify {
            what,
            timeout: minutes(1),
        }),
        ..sink
    }
}

/// Its consumer says within two hours what it uses.
pub(crate) fn acknowledged(sink: SinkPolicy) -> SinkPolicy {
    let path = format!("/run/{}.acknowledged", sink.name).into();
    SinkPolicy {
        acknowledge: Some(Acknowledge {
            path,
            within: hours(2),
        }),
        ..sink
    }
}

pub(crate) fn optional(sink: SinkPolicy) -> SinkPolicy {
    SinkPolicy {
        required: false,
        ..sink
    }
}

/// The token of this generation.
pub(crate) fn token(generation: u64) -> Fingerprint {
    Fingerprint::of(format!("ours {generation}").as_bytes())
}

/// A token that someone else made.
pub(crate) fn foreign(number: u64) -> Fingerprint {
    Fingerprint::of(format!("foreign {number}").as_bytes())
}

/// An operator adopts this token, which was seen in these files and is looked for there from now
/// on.
pub fn adoption<const N: usize>(fingerprint: Fingerprint, files: [&str; N]) -> Event {
    let files: BTreeSet<String> = files.map(str::to_owned).into();
    Event::Adopted {
        fingerprint,
        length: 42,
        files: files.clone(),
        held_by: files,
    }
}

/// A made-up moment.
#[derive(Clone)]
pub(crate) struct Scene {
    pub policy: AccountPolicy,
    pub state: AccountState,
    pub seen: Evidence,
    pub now: DateTime<Utc>,
    /// Local minus server time, as told with every list.
    pub skew: Option<TimeDelta>,
}

impl Scene {
    /// An account that was seen for the first time, sinks bound, nothing else.
    pub fn new(sinks: impl IntoIterator<Item = SinkPolicy>) -> Self {
        let (state, seen) = (AccountState::default(), Evidence::default());
        let skew = Some(TimeDelta::zero());
        Self {
            policy: policy(sinks),
            state,
            seen,
            now: start(),
            skew,
        }
        .books_kept()
    }

    /// An account with generation 1, current since the start and in every sink; all was looked at
    /// just now.
    pub fn with_current(sinks: impl IntoIterator<Item = SinkPolicy>) -> Self {
        Self::new(sinks)
            .rotated(1)
            .all_hold(1)
            .listed_as_current([token(1)])
    }

    pub fn with(mut self, change: impl FnOnce(&mut AccountPolicy)) -> Self {
        change(&mut self.policy);
        self
    }

    pub fn later(mut self, by: Duration) -> Self {
        self.now += by;
        self
    }

    /// The texts of these tokens are at hand, so that calls can be made with them.
    pub fn at_hand(mut self, tokens: impl IntoIterator<Item = Fingerprint>) -> Self {
        self.seen.values = tokens.into_iter().collect();
        self
    }

    /// What the plan waits for within the pass has come.
    #[track_caller]
    pub fn waited(mut self) -> Self {
        let next = self.decision().next;
        let Next::Do(Step::Wait { until }) = next else {
            panic!("it does not wait: {}", in_words(&next));
        };
        self.now = until;
        self
    }

    /// A call with this token is refused.
    pub fn refused(mut self, token: Fingerprint) -> Self {
        self.seen.saw_refusal(token, self.now);
        self
    }

    /// This token itself lists.
    pub fn listed_as(
        self,
        token: Fingerprint,
        tokens: impl IntoIterator<Item = Fingerprint>,
    ) -> Self {
        self.listed(ListedBy::Token(token), tokens)
    }

    /// So much later, in a new pass, in which everything was looked at and is as it was.
    pub fn next_pass(mut self, by: Duration) -> Self {
        let (sinks, list) = (self.seen.sinks.clone(), self.seen.list.clone());
        self.now += by;
        self.seen.begin_pass();
        self.seen.sinks = sinks;
        match list {
            Some(TokenList {
                by: ListedBy::Login,
                tokens,
                ..
            }) => self.listed_by_login(tokens),
            Some(TokenList {
                by: ListedBy::Token(_),
                tokens,
                ..
            }) => self.listed_as_current(tokens),
            None => self,
        }
    }

    /// The process ends and another begins: only the journal is left.
    pub fn restarted(mut self) -> Self {
        self.seen = Evidence::default();
        self
    }

    pub fn happened(mut self, event: Event) -> Self {
        self.state.apply(self.state.seq + 1, self.now, &event);
        self
    }

    /// Writes down what the plan says follows.
    pub fn books_kept(mut self) -> Self {
        for _ in 0..20 {
            let Next::Record(events) = self.decision().next else {
                return self;
            };
            for event in events {
                self = self.happened(event);
            }
        }
        panic!("bookkeeping comes to no end");
    }

    pub fn minted(self, number: u64) -> Self {
        let generation = GenerationNo(number);
        self.happened(Event::MintIntended {
            generation,
            baseline: BTreeSet::new(),
        })
        .happened(Event::Minted {
            generation,
            fingerprint: token(number),
            how: MintSource::Answered,
        })
    }

    pub fn verified(self, number: u64) -> Self {
        self.minted(number).happened(Event::Verified {
            generation: GenerationNo(number),
        })
    }

    /// A delivery is begun, and with it what is owed to the sink's consumer.
    pub fn intended(self, sink: &str, number: u64) -> Self {
        let (sink, generation) = (sink.to_owned(), GenerationNo(number));
        let owed = notifications_owed(
            &self.policy,
            &self.state,
            std::slice::from_ref(&sink),
            generation,
        );
        let begun = self.happened(Event::DeliveryIntended { sink, generation });
        owed.into_iter().fold(begun, Self::happened)
    }

    pub fn delivered(self, sink: &str, number: u64) -> Self {
        let (generation, taken) = (GenerationNo(number), DeliveryReceipt::default());
        let taken = Event::Delivered {
            sink: sink.to_owned(),
            generation,
            taken,
        };
        self.intended(sink, number).happened(taken)
    }

    /// The consumer of this sink was told.
    pub fn notified(self, sink: &str, number: u64) -> Self {
        let (sink, generation) = (sink.to_owned(), GenerationNo(number));
        self.happened(Event::Notified {
            sink,
            generation,
            note: None,
        })
    }

    /// The consumer of this sink says this, and that is written down.
    pub fn claims(mut self, sink: &str, claim: ConsumerAck) -> Self {
        self.seen.claims.insert(sink.to_owned(), claim);
        self.books_kept()
    }

    /// A file is looked through, and these are in it.
    pub fn searched(mut self, path: &str, found: FileScan) -> Self {
        self.seen.files.insert(path.to_owned(), found);
        self
    }

    pub fn proved(self, sink: &str, number: u64) -> Self {
        let proved = Event::Proved {
            sink: sink.to_owned(),
            generation: GenerationNo(number),
        };
        self.delivered(sink, number).happened(proved)
    }

    pub fn promoted(self, number: u64) -> Self {
        self.happened(Event::Promoted {
            generation: GenerationNo(number),
        })
    }

    /// From mint to promotion.
    pub fn rotated(mut self, number: u64) -> Self {
        let sinks: Vec<String> = self
            .policy
            .sinks
            .iter()
            .map(|sink| sink.name.clone())
            .collect();
        self = self.verified(number);
        for sink in sinks {
            self = self.proved(&sink, number);
        }
        self.promoted(number)
    }

    pub fn failed(self, lane: BackoffKey, incident: IncidentKind) -> Self {
        let trouble = FailureReport::new(lane, incident, "it did not work");
        let event = failed(
            &self.policy.name,
            &self.state,
            &self.policy.retry,
            trouble,
            self.now,
        );
        self.happened(event)
    }

    /// When what failed is tried again; within the bounds of a first failure.
    pub fn next_try(&self, lane: BackoffKey) -> DateTime<Utc> {
        let failure = &self.state.lanes[&lane];
        let wait = (failure.next_attempt_at - failure.last).to_std().unwrap();
        let initial = self.policy.retry.initial;
        assert!((initial / 2..=initial).contains(&wait), "{wait:?}");
        failure.next_attempt_at
    }

    pub fn holds(mut self, sink: &str, held: SinkContent) -> Self {
        self.seen
            .sinks
            .get_or_insert_with(BTreeMap::new)
            .insert(sink.to_owned(), held);
        self
    }

    /// Every sink that can be read holds this generation.
    pub fn all_hold(mut self, number: u64) -> Self {
        let sinks = self.policy.sinks.iter().map(|sink| {
            let held = if sink.kind.can_be_read() {
                SinkContent::Token(token(number))
            } else {
                SinkContent::Opaque
            };
            (sink.name.clone(), held)
        });
        self.seen.sinks = Some(sinks.collect());
        self
    }

    fn listed(mut self, by: ListedBy, tokens: impl IntoIterator<Item = Fingerprint>) -> Self {
        let list = TokenList {
            at: self.now,
            tokens: tokens.into_iter().collect(),
            by,
            skew: self.skew,
        };
        self.seen.saw_list(list, &self.state);
        self
    }

    pub fn listed_as_current(self, tokens: impl IntoIterator<Item = Fingerprint>) -> Self {
        let current = self
            .state
            .current()
            .expect("a current token lists")
            .fingerprint;
        self.listed(ListedBy::Token(current), tokens)
    }

    pub fn listed_by_login(self, tokens: impl IntoIterator<Item = Fingerprint>) -> Self {
        self.listed(ListedBy::Login, tokens)
    }

    pub fn fit(mut self) -> Self {
        self.seen.preflight = Some(BTreeMap::new());
        self
    }

    pub fn unfit(mut self, sink: &str) -> Self {
        let why = (sink.to_owned(), "the disk is full".to_owned());
        self.seen.preflight = Some(BTreeMap::from([why]));
        self
    }

    pub fn decision(&self) -> Decision {
        plan(&self.policy, &self.state, &self.seen, self.now)
    }

    /// This is done next: `mint 2`, `deliver 2 to app, crm`, `record drifted`, `rest` …
    #[track_caller]
    pub fn does(self, expected: &str) -> Self {
        let decision = self.decision();
        assert_eq!(in_words(&decision.next), expected, "{decision:#?}");
        self
    }

    /// One line of what is waited for has this in it.
    #[track_caller]
    pub fn waits_for(self, expected: &str) -> Self {
        let decision = self.decision();
        let found = decision
            .waiting
            .iter()
            .any(|waiting| waiting.what.to_string().contains(expected));
        assert!(found, "no wait for `{expected}` in {decision:#?}");
        self
    }

    /// Nothing is done, and it is looked again at that time and no sooner.
    #[track_caller]
    pub fn rests_until(self, expected: DateTime<Utc>) -> Self {
        let decision = self.decision();
        assert_eq!(
            (&decision.next, decision.wake_at),
            (&Next::Rest, expected),
            "{decision:#?}"
        );
        self
    }
}

/// What is done next, in words.
pub(crate) fn in_words(next: &Next) -> String {
    match next {
        Next::Rest => "rest".to_owned(),
        Next::Record(events) => format!("record {}", kinds(events)),
        Next::Do(step) => match step {
            Step::Look(Look::Sinks) => "look at sinks".to_owned(),
            Step::Look(Look::Preflight) => "look whether sinks are fit".to_owned(),
            Step::Look(Look::ListAsCurrent) => "list as current".to_owned(),
            Step::Look(Look::ListByLogin) => "list by login".to_owned(),
            Step::Look(Look::ListAs(token)) => format!("list as {}", token.short()),
            Step::Look(Look::ListAgain) => "list again".to_owned(),
            Step::Wait { .. } => "wait".to_owned(),
            Step::Mint { generation, .. } => format!("mint {generation}"),
            Step::Verify(minted) => format!("verify {}", minted.generation()),
            Step::Deliver { token, sinks } => {
                format!("deliver {} to {}", token.generation(), sinks.join(", "))
            }
            Step::Prove { token, sinks } => {
                format!("prove {} in {}", token.generation(), sinks.join(", "))
            }
            Step::Notify { sinks } => format!("notify {}", sinks.join(", ")),
            Step::Promote(proved) => format!("promote {}", proved.generation()),
            Step::Delete(victim) => match victim.generation() {
                Some(generation) => format!("delete {generation}"),
                None => format!("delete foreign {}", victim.fingerprint().short()),
            },
        },
    }
}

/// The kinds of these events.
pub(crate) fn kinds(events: &[Event]) -> String {
    let kind = |event: &Event| {
        serde_json::to_value(event).unwrap()["kind"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    events.iter().map(kind).collect::<Vec<_>>().join(", ")
}
