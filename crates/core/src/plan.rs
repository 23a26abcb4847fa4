//! What is to be done next for one account, and why. Pure: no I/O, no clock.
//!
//! [`plan`] is asked again after every step, with what the step changed. Recovery after a crash is
//! the same call. The sections are tried in the order of [`plan`]'s body; the first that wants
//! something is what is done next, the rest only say what they would do or wait for.
//!
//! For example, when a rotation is due and the sinks were not checked yet, the answer is
//! `Do(Look(Preflight))`, with the steps mint, verify, deliver, prove and promote foreseen.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use crate::account::{AccountState, Minted, Proved, Verified};
use crate::config::AccountPolicy;
use crate::event::{BackoffKey, Event, GenerationNo};
use crate::secret::Fingerprint;
use crate::spread::{almost, draw};
use crate::time::after;

pub mod backoff;
mod consumers;
mod deliver;
mod doubts;
pub mod evidence;
mod mint;
mod observations;
pub mod reasons;
mod retire;

use backoff::{FailureReport, failed};
pub use consumers::{MissingAck, notifications_owed, unacknowledged};
use evidence::{Evidence, ListedBy, TokenList};
pub use mint::{RotationDue, due, next_scheduled};
pub use reasons::Blocked;
use reasons::{Because, PlanNotice, WaitingFor};
pub use retire::{Reason, Retirable, adopted_retires_after, check_for_operator, retires_after};

/// A list older than this is fetched again before anything rests on it.
const FRESH: TimeDelta = TimeDelta::seconds(60);

/// Local and server clock may differ by this much before ages are no longer trusted.
const LARGEST_SKEW_SECONDS: i64 = 5 * 60;
/// The same as a span.
pub const LARGEST_SKEW: TimeDelta = TimeDelta::seconds(LARGEST_SKEW_SECONDS);

/// What is to be done for an account.
#[derive(Debug, PartialEq)]
pub struct Decision {
    /// The one thing to do now.
    pub next: Next,
    /// All that is to be done as far as can be foreseen, in order.
    pub steps: Vec<PlannedStep>,
    /// What is waited for.
    pub waiting: Vec<Waiting>,
    /// What an operator should know though nothing is wrong.
    pub notices: Vec<PlanNotice>,
    /// Other accounts whose token a sink of this one waits for.
    pub awaits: BTreeSet<String>,
    /// When to plan again at the latest.
    pub wake_at: DateTime<Utc>,
}

/// The one thing to do now.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Append these events: they follow from what was seen.
    Record(Vec<Event>),
    /// Perform this step, then plan again.
    Do(Step),
    /// Do nothing until [`Decision::wake_at`].
    Rest,
}

/// One thing the driver can do.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Look at something; nothing is changed.
    Look(Look),
    /// Do nothing until then, which is no more than seconds away: two looks are to lie apart.
    Wait {
        /// When to plan again.
        until: DateTime<Utc>,
    },
    /// Mint a token; `baseline` is every token on the server.
    Mint {
        /// The generation it is to become.
        generation: GenerationNo,
        /// Every token on the server.
        baseline: BTreeSet<Fingerprint>,
    },
    /// See whether a fresh token works.
    Verify(Minted),
    /// Put a token into these sinks, side by side.
    Deliver {
        /// The token to put there.
        token: Verified,
        /// The sinks' names in the policy.
        sinks: Vec<String>,
    },
    /// See that these sinks hold the token, and use what they hold.
    Prove {
        /// The token to put there.
        token: Verified,
        /// The sinks' names in the policy.
        sinks: Vec<String>,
    },
    /// Notify the consumers of these sinks, which have the same `notify`: one call is for all.
    Notify {
        /// The sinks' names in the policy.
        sinks: Vec<String>,
    },
    /// Make the pending token the current one.
    Promote(Proved),
    /// Delete a token and see that it is gone.
    Delete(Retirable),
}

/// Something to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Read every sink that can be read.
    Sinks,
    /// Ask every sink whether it could take a token.
    Preflight,
    /// List with the current token, which thereby is seen to work.
    ListAsCurrent,
    /// List with this token of ours, which lists lack: that it is answered shows that it is alive.
    ListAs(Fingerprint),
    /// List once more, only to see whether what is absent stays so.
    ListAgain,
    /// List with a login.
    ListByLogin,
}

/// One line of what is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    /// The kind of step, as `plan --json` names it.
    pub action: Action,
    /// What it is done to: a sink's name, or the beginning of a token's fingerprint.
    pub target: Option<String>,
    /// Why it is done.
    pub because: Because,
}

/// The actions of `plan --json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A new token is made.
    Mint,
    /// It is found out what became of a mint.
    ResolveMint,
    /// A new token is tried.
    Verify,
    /// A token is put into a sink.
    Deliver,
    /// A sink is seen to hold it.
    Prove,
    /// The consumer of a sink is notified.
    Notify,
    /// It becomes the current one.
    Promote,
    /// An old one is deleted.
    Delete,
}

/// One line of what is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The event or time that is waited for.
    pub what: WaitingFor,
    /// Until when; `None`: until something happens.
    pub until: Option<DateTime<Utc>>,
}

/// Decides what is to be done next.
pub fn plan(
    policy: &AccountPolicy,
    state: &AccountState,
    evidence: &Evidence,
    now: DateTime<Utc>,
) -> Decision {
    // The first offer wins, so this order is the priority. What was seen is recorded before
    // anything is decided on it; an open mint is settled before another is made; deletion comes
    // after all that may still need the old token.
    let mut planner = Planner::new(policy, state, evidence, now);
    planner.record_observations();
    planner.resolve_open_mint();
    planner.finish_pending();
    planner.repair_sinks();
    planner.notify_consumers();
    planner.await_acknowledgements();
    planner.rotate();
    planner.retire();
    planner.check();
    planner.settle_absences();
    planner.decision
}

/// The work of one call: what is given, and the decision as it grows.
struct Planner<'a> {
    policy: &'a AccountPolicy,
    state: &'a AccountState,
    evidence: &'a Evidence,
    now: DateTime<Utc>,
    decision: Decision,
}

impl<'a> Planner<'a> {
    fn new(
        policy: &'a AccountPolicy,
        state: &'a AccountState,
        evidence: &'a Evidence,
        now: DateTime<Utc>,
    ) -> Self {
        let decision = Decision {
            next: Next::Rest,
            steps: Vec::new(),
            waiting: Vec::new(),
            notices: Vec::new(),
            awaits: BTreeSet::new(),
            // Also an account with nothing to do is looked at again by then.
            wake_at: after(now, policy.check_every),
        };
        Self {
            policy,
            state,
            evidence,
            now,
            decision,
        }
    }

    /// Does this next, unless an earlier section wants something.
    fn offer(&mut self, next: Next) {
        if self.decision.next == Next::Rest {
            self.decision.next = next;
        }
    }

    fn look(&mut self, look: Look) {
        self.offer(Next::Do(Step::Look(look)));
    }

    fn record(&mut self, events: Vec<Event>) {
        if !events.is_empty() {
            self.offer(Next::Record(events));
        }
    }

    fn step(&mut self, action: Action, target: Option<String>, because: Because) {
        self.decision.steps.push(PlannedStep {
            action,
            target,
            because,
        });
    }

    fn wait(&mut self, what: WaitingFor, until: Option<DateTime<Utc>>) {
        if let Some(until) = until {
            self.wake(until);
        }
        self.decision.waiting.push(Waiting { what, until });
    }

    /// Plan again at this time at the latest.
    fn wake(&mut self, at: DateTime<Utc>) {
        self.decision.wake_at = self.decision.wake_at.min(at);
    }

    /// The event that records a failure and when to try again.
    fn failure(&self, report: FailureReport) -> Event {
        failed(
            &self.policy.name,
            self.state,
            &self.policy.retry,
            report,
            self.now,
        )
    }

    /// Until when nothing may be asked of the server, if so.
    fn server_held(&self) -> Option<DateTime<Utc>> {
        self.own_hold(&BackoffKey::Server)
    }

    /// Until when no login may be sent, if so.
    fn login_held(&self) -> Option<DateTime<Utc>> {
        self.held(&BackoffKey::Login)
    }

    /// Until when this key or the server is held back, if so.
    fn held(&self, key: &BackoffKey) -> Option<DateTime<Utc>> {
        // `None` is less than any time, so `max` is the later hold, or the only one.
        self.own_hold(key).max(self.server_held())
    }

    /// Until when this key is held back by its own failure. A hold counts from the end of the work
    /// that it interrupts: calls that take longer than the wait would otherwise follow each other
    /// without a pause, and the work would never end.
    fn own_hold(&self, key: &BackoffKey) -> Option<DateTime<Utc>> {
        let from_the_end = || {
            let work = self.evidence.work?;
            let failure = self.state.lanes.get(key)?;
            let wait = failure.next_attempt_at - failure.last;
            let end = work.ended.unwrap_or(self.now);
            // The wait is not positive where the hold was lifted, and a failure that is yet to come
            // is from before the clock was set back.
            let within = work.began <= failure.last && failure.last <= end;
            if !within || wait <= TimeDelta::zero() {
                return None;
            }
            end.checked_add_signed(wait)
                .filter(|until| *until > self.now)
        };
        self.state.held_until(key, self.now).max(from_the_end())
    }

    /// The last list, if things may rest on it.
    fn fresh_list(&self) -> Option<&'a TokenList> {
        self.evidence
            .list
            .as_ref()
            // A list from the future was had before the clock was set back: its age is not known.
            .filter(|list| self.now - list.at <= FRESH && list.at <= self.now + FRESH)
    }

    /// The last list, if it was had with the current token.
    fn list_as_current(&self) -> Option<&'a TokenList> {
        let current = self.state.current()?.fingerprint;
        // A list that lacks the token it was had with comes from a node that lags, or the token was
        // revoked since: neither shows that the token works.
        self.fresh_list()
            .filter(|list| list.by == ListedBy::Token(current) && list.tokens.contains(&current))
    }

    /// The last list, if it was had with a login.
    fn list_by_login(&self) -> Option<&'a TokenList> {
        self.fresh_list().filter(|list| list.by == ListedBy::Login)
    }

    /// A login whose list lacks the current token, as long as that was not called lost.
    fn is_strange_now(&self, list: &TokenList) -> bool {
        self.state.current().is_some() && self.evidence.is_strange_list(list)
    }

    /// Between rotations the server's list is looked at every `check-every`.
    fn check(&mut self) {
        let Some(current) = self.state.current() else {
            return;
        };
        let every = almost(self.policy.check_every, draw(&[&self.policy.name, "check"]));
        let next_check = self.evidence.last_listed_at.map(|at| after(at, every));
        // One further off than a whole turn is from before the clock was set back.
        let is_due = next_check
            .is_none_or(|at| at <= self.now || at > after(self.now, self.policy.check_every));
        // A look would be a call during the server's pause, and may make that longer.
        if let Some(until) = self.server_held() {
            self.wake(until);
            return;
        }
        // A rotation that is being tried again asks the server often enough.
        let busy = self.state.trouble(&BackoffKey::Rotation).is_some();
        // Another account needs the token's text, which a login's list has.
        if self.evidence.peers.is_wanted
            && !self.evidence.values.contains(&current.fingerprint)
            && self.login_held().is_none()
            && self.list_by_login().is_none()
        {
            self.look(Look::ListByLogin);
        }
        if self.is_in_doubt(current) {
            self.settle(current);
        } else if is_due && !busy {
            self.look(Look::ListAsCurrent);
        }
        if let Some(at) = next_check.filter(|at| *at > self.now) {
            self.wake(at);
        }
        self.try_login_again();
    }

    /// A login that failed is tried again when its time has come, even where what it was for needs
    /// none any more: its incident says so, and only a login can tell that it is over.
    fn try_login_again(&mut self) {
        if self.state.trouble(&BackoffKey::Login).is_none() {
            return;
        }
        match self.login_held() {
            Some(until) => self.wake(until),
            None if self.list_by_login().is_none() => self.look(Look::ListByLogin),
            None => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
