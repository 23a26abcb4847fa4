//! How it is settled whether a token that was missing or refused is gone: which look comes next,
//! and when. Two looks that agree lie [`LOOKS_APART`], and a call with the token itself counts more
//! than any list.
//!
//! For example, a list lacks the current token: the next look is a call with it. Where that is
//! answered, the token is alive and the list is wrong.

use chrono::{DateTime, TimeDelta, Utc};

use super::evidence::LOOKS_APART;
use super::reasons::WaitingFor;
use super::{Look, Next, Planner, Step};
use crate::account::Generation;
use crate::secret::Fingerprint;
use crate::time::{after, delta};

/// How long a token that worked without being listed stays known once no call can be made with it.
// Without its text only a list can show it, and lists are what was wrong.
const UNLISTED_KEPT: TimeDelta = TimeDelta::hours(24);

/// What settles a doubt.
enum Settling {
    Look(Look),
    /// The same look, once this time has come. It is near enough to wait for within the pass.
    Wait(DateTime<Utc>),
    /// The server may not know the token everywhere before then.
    Rest(DateTime<Utc>),
}

impl Planner<'_> {
    pub(super) fn is_at_hand(&self, token: &Fingerprint) -> bool {
        self.evidence.values.contains(token)
    }

    /// Until when nodes of the server may not know this token yet, if they may.
    fn fresh_until(&self, generation: &Generation) -> Option<DateTime<Utc>> {
        let until = after(generation.minted_at, self.policy.verify_within);
        // Minted in the future, by a clock that was set back since: then its age is not known.
        (generation.minted_at <= self.now && self.now < until).then_some(until)
    }

    /// The looks are apart, and the last one is from when the token was known everywhere.
    fn is_settled(&self, generation: &Generation) -> bool {
        let doubt = self.evidence.doubt(&generation.fingerprint);
        let fresh_then = doubt.looks.is_some_and(|(_, last)| {
            generation.minted_at <= last
                && last < after(generation.minted_at, self.policy.verify_within)
        });
        doubt.is_apart() && !fresh_then
    }

    /// Two looks agree that this token in use is gone.
    pub(super) fn is_gone(&self, generation: &Generation) -> bool {
        let token = &generation.fingerprint;
        let doubt = self.evidence.doubt(token);
        let listed = self
            .fresh_list()
            .is_some_and(|it| it.tokens.contains(token));
        doubt.agrees(self.is_at_hand(token)) && self.is_settled(generation) && !listed
    }

    /// Two calls with this token in use were answered with lists that lack it.
    pub(super) fn is_unlisted(&self, generation: &Generation) -> bool {
        let doubt = self.evidence.doubt(&generation.fingerprint);
        doubt.unlisted >= 2 && self.is_settled(generation) && generation.unlisted_since.is_none()
    }

    /// Whether something speaks against this token that is not settled yet.
    pub(super) fn is_in_doubt(&self, generation: &Generation) -> bool {
        self.settling(generation).is_some()
    }

    /// What settles the doubt about a token in use, if there is one.
    fn settling(&self, generation: &Generation) -> Option<Settling> {
        let token = generation.fingerprint;
        let doubt = self.evidence.doubt(&token);
        let known = doubt.unlisted > 0 && generation.unlisted_since.is_some();
        if !doubt.is_any() || known {
            return None;
        }
        let at_hand = self.is_at_hand(&token);
        let call = if !at_hand {
            Look::ListByLogin
        } else if self.state.current().map(|it| it.fingerprint) == Some(token) {
            Look::ListAsCurrent
        } else {
            Look::ListAs(token)
        };
        let first = doubt.looks.map_or(self.now, |(first, _)| first);
        let is_second = doubt.unlisted > 0 || doubt.agrees(at_hand);
        if is_second || (!at_hand && doubt.missing > 0) {
            return Some(match self.fresh_until(generation) {
                Some(until) => Settling::Rest(until),
                None => self
                    .apart_from(first)
                    .map_or(Settling::Look(call), Settling::Wait),
            });
        }
        // Two looks of the same kind prove less.
        let by_login =
            doubt.wants_login() && self.list_by_login().is_none() && self.login_held().is_none();
        Some(Settling::Look(if by_login {
            Look::ListByLogin
        } else {
            call
        }))
    }

    /// When a look lies apart from one at this time, if that is to come.
    fn apart_from(&self, first: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let again = first + LOOKS_APART;
        (first <= self.now && self.now < again).then_some(again)
    }

    /// Does what settles the doubt about a token in use.
    pub(super) fn settle(&mut self, generation: &Generation) {
        let what = WaitingFor::DoubtSettled(generation.number);
        match self.settling(generation) {
            None => {}
            Some(Settling::Rest(until)) => self.wait(what, Some(until)),
            Some(Settling::Wait(until)) => self.offer(Next::Do(Step::Wait { until })),
            Some(Settling::Look(look)) => match self.look_held(look) {
                None => self.look(look),
                Some(until) => self.wait(what, Some(until)),
            },
        }
    }

    fn look_held(&self, look: Look) -> Option<DateTime<Utc>> {
        match look {
            Look::ListByLogin => self.login_held(),
            Look::ListAs(_) | Look::ListAsCurrent | Look::ListAgain => self.server_held(),
            Look::Sinks | Look::Preflight => None,
        }
    }

    /// A token of ours that is not in use is gone: RingCX accepted its deletion and a list lacks
    /// it, or two looks agree.
    pub(super) fn has_ended(&self, generation: &Generation) -> bool {
        let token = &generation.fingerprint;
        let Some(absence) = self.evidence.absent.get(token) else {
            return false;
        };
        if self.evidence.deleted.contains(token) {
            return true;
        }
        // Where a call can be made with it, lists do not count.
        let is_second = absence.refused || !self.is_at_hand(token);
        absence.is_apart() && is_second && self.may_have_ended(generation)
    }

    /// Whether absence says anything of this token.
    fn may_have_ended(&self, generation: &Generation) -> bool {
        // One that no list ever showed may only be slow to appear. Twice `verify-within`: the time
        // for which the token of a lost mint is expected as well.
        let expected = delta(self.policy.verify_within.saturating_mul(2));
        let slow = !generation.was_listed() && self.now - generation.minted_at < expected;
        let unlisted = generation
            .unlisted_since
            .is_some_and(|since| self.now - since < UNLISTED_KEPT);
        !slow && (self.is_at_hand(&generation.fingerprint) || !unlisted)
    }

    /// A second look at what is absent: a call with the token where its text is at hand, else one
    /// more list in each pass.
    pub(super) fn settle_absences(&mut self) {
        if self.server_held().is_some() {
            return;
        }
        for generation in self.state.waits_for_its_end() {
            let token = generation.fingerprint;
            let Some(absence) = self.evidence.absent.get(&token) else {
                continue;
            };
            if absence.alive || !self.may_have_ended(generation) {
                continue;
            }
            if self.is_at_hand(&token) {
                self.look_apart(absence.first, Look::ListAs(token));
            } else if !absence.is_apart() {
                self.look_again(absence.first);
            }
        }
        // On a server whose tokens come and go, each list would lead to another.
        if !self.evidence.unrecorded.is_empty() {
            return;
        }
        for token in self.state.foreign.keys() {
            if let Some(absence) = self.evidence.absent.get(token)
                && !absence.is_apart()
            {
                self.look_again(absence.first);
            }
        }
    }

    fn look_again(&mut self, first: DateTime<Utc>) {
        // Once in a pass, as long as lists differ.
        let held = match self.state.current() {
            Some(_) => None,
            None => self.login_held(),
        };
        if !self.evidence.looked_again && held.is_none() {
            self.look_apart(first, Look::ListAgain);
        }
    }

    fn look_apart(&mut self, first: DateTime<Utc>, look: Look) {
        match self.apart_from(first) {
            Some(until) => self.offer(Next::Do(Step::Wait { until })),
            None => self.look(look),
        }
    }
}

#[cfg(test)]
mod tests;
