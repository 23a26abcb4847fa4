//! From a minted token to a current one, and sinks that lost theirs.
//!
//! For example, an env-file whose token was removed by hand gets the current one again, without a
//! mint.

use chrono::{DateTime, Utc};

use super::evidence::SinkContent;
use super::reasons::{Because, DeliveryReason, WaitingFor};
use super::{Action, Next, Planner, Step, notifications_owed};
use crate::account::{Generation, LastDelivery, Minted, Proved, SinkRecord, Verified};
use crate::config::SinkPolicy;
use crate::event::{BackoffKey, Event, GenerationNo};

/// What a sink needs to hold a token for sure.
enum Need {
    /// The sink was seen to hold the token, and that token to work.
    Nothing,
    /// It holds it, but that was not proved.
    Proof,
    /// It does not hold it, for this reason.
    Delivery(DeliveryReason),
}

/// The sinks that something can be done for now, and what has to be recorded before.
#[derive(Default)]
struct SinkWork {
    deliver: Vec<String>,
    prove: Vec<String>,
    owed: Vec<Event>,
}

impl Planner<'_> {
    /// Verify, deliver, prove and promote the pending token.
    pub(super) fn finish_pending(&mut self) {
        let Some(pending) = self.state.pending() else {
            return;
        };
        let number = pending.number;
        if let Some(minted) = Minted::of(self.state) {
            let target = minted.fingerprint().short();
            self.step(Action::Verify, Some(target), Because::NotVerified(number));
            match self.held(&BackoffKey::Rotation) {
                Some(until) => self.wait(WaitingFor::VerifyRetry(number), Some(until)),
                // Verified before any delivery: a token that does not work must not replace one
                // that does.
                None => self.offer(Next::Do(Step::Verify(minted))),
            }
            self.foresee_sinks(number);
            self.foresee_promotion(number);
            return;
        }
        self.fill_sinks(pending);
        self.foresee_promotion(number);
        // An optional sink that can be filled now comes before; one in back-off has offered
        // nothing, so it does not hold up the promotion.
        if let Some(proved) = Proved::of(self.state, &self.policy.sinks) {
            self.offer(Next::Do(Step::Promote(proved)));
        }
    }

    /// Give the current token to sinks that do not hold it: new ones, ones that failed, ones that
    /// lost it.
    pub(super) fn repair_sinks(&mut self) {
        // While another is on its way, the sinks are for that one.
        if self.state.pending().is_none()
            && let Some(current) = self.state.current()
        {
            self.fill_sinks(current);
        }
    }

    fn fill_sinks(&mut self, generation: &Generation) {
        let Some(token) = Verified::of(generation) else {
            return;
        };
        if self.settles_doubt(generation, &token) {
            return;
        }
        let mut work = SinkWork::default();
        for sink in &self.policy.sinks {
            self.plan_sink(sink, &token, &mut work);
        }
        if let Some(until) = self.server_held() {
            self.keep_what_needs_no_server(&token, until, &mut work);
        }
        let SinkWork {
            deliver,
            prove,
            owed,
        } = work;
        // Before the proof is recorded: after a crash in between, the notification is still owed.
        self.record(owed);
        // All deliveries before the first proof, so that slow sinks are written side by side.
        if !deliver.is_empty() {
            self.offer(Next::Do(Step::Deliver {
                token,
                sinks: deliver,
            }));
        } else if !prove.is_empty() {
            self.offer(Next::Do(Step::Prove {
                token,
                sinks: prove,
            }));
        }
    }

    /// What one sink needs: its steps, and its place in `work` unless it is waited for.
    fn plan_sink(&mut self, sink: &SinkPolicy, token: &Verified, work: &mut SinkWork) {
        let number = token.generation();
        let name = || sink.name.clone();
        // Not bound yet: that event has been offered before this section.
        let Some(record) = self.state.sinks.get(&sink.name) else {
            return;
        };
        // Never back to an older one: the newer may be in use.
        if record.intended > Some(number) {
            return self.wait(WaitingFor::NewerToken { sink: name() }, None);
        }
        let need = self.need(sink, record, token);
        // A proof renders no template, so it needs no token of another account.
        if matches!(need, Need::Delivery(_)) && self.awaits_peers(sink, record) {
            return;
        }
        let delivers = match need {
            Need::Nothing => return,
            Need::Proof => {
                self.step(Action::Prove, Some(name()), Because::SeenToHold(number));
                false
            }
            Need::Delivery(reason) => {
                self.step(Action::Deliver, Some(name()), Because::Delivery(reason));
                self.step(Action::Prove, Some(name()), Because::WillHold(number));
                true
            }
        };
        // Parked before back-off: no time ends it, as the receiver answered that it is gone.
        if record.parked {
            self.wait(WaitingFor::Parked { sink: name() }, None);
        } else if let Some(until) = self.own_hold(&BackoffKey::Sink(name())) {
            self.wait(WaitingFor::SinkRetry { sink: name() }, Some(until));
        } else if delivers {
            work.deliver.push(name());
        } else {
            // Put there by another, so its consumer was not notified; or the record of it is gone,
            // and what was owed then is gone with it.
            if record.proved.is_none() {
                let sinks = std::slice::from_ref(&sink.name);
                let owed = notifications_owed(self.policy, self.state, sinks, number);
                work.owed.extend(owed);
            }
            work.prove.push(name());
        }
    }

    /// While RingCX asks for a pause, only what needs no call to it is left in `work`.
    fn keep_what_needs_no_server(
        &mut self,
        token: &Verified,
        until: DateTime<Utc>,
        work: &mut SinkWork,
    ) {
        let all = work.deliver.len() + work.prove.len();
        // Proving means a call with what was read. Only the receipt of a sink that cannot be read
        // is a proof without one.
        work.prove
            .retain(|sink| self.evidence.held(sink) == Some(&SinkContent::Opaque));
        if self.evidence.values.contains(&token.fingerprint()) {
            // A config in RingCX is written by a call to RingCX, token at hand or not.
            let is_in_ringcx = |sink: &SinkPolicy| sink.kind.is_in_ringcx();
            let sinks = &self.policy.sinks;
            work.deliver.retain(|name| {
                let sink = sinks.iter().find(|sink| sink.name == *name);
                !sink.is_some_and(is_in_ringcx)
            });
        } else {
            // The token's text is had from RingCX.
            work.deliver.clear();
        }
        if work.deliver.len() + work.prove.len() < all {
            self.wait(WaitingFor::Ringcx, Some(until));
        }
    }

    /// A token that is in doubt is not handed on: the doubt is settled first, by asking as the
    /// other. Whether there is one.
    fn settles_doubt(&mut self, generation: &Generation, token: &Verified) -> bool {
        let doubt = self.evidence.doubt(&token.fingerprint());
        // A token that a login lists, or that has just answered a call, is alive, also where
        // something else spoke against it.
        if !doubt.is_any() || doubt.contradicted > 0 || doubt.unlisted > 0 {
            return false;
        }
        self.settle(generation);
        true
    }

    fn need(&self, sink: &SinkPolicy, record: &SinkRecord, token: &Verified) -> Need {
        let number = token.generation();
        let proved = record
            .proved
            .is_some_and(|(generation, _)| generation == number);
        // Proving finds out what is there after a delivery, and backs off where that is something
        // else. Delivering again at once would never end.
        let just_taken = record.awaits_proof && record.intended == Some(number);
        match self.evidence.held(&sink.name) {
            Some(
                SinkContent::Token(_)
                | SinkContent::Absent
                | SinkContent::Other(_)
                | SinkContent::Unreadable(_),
            ) if just_taken => Need::Proof,
            Some(SinkContent::Token(found)) if *found == token.fingerprint() => {
                // A delivery without a known outcome may have come there: what is there is proved
                // afresh. So is what was in trouble meanwhile: that ends the trouble.
                let in_trouble = self
                    .state
                    .trouble(&BackoffKey::Sink(sink.name.clone()))
                    .is_some();
                let settled = record.drifted.is_none()
                    && record.last_delivery == LastDelivery::Done
                    && !in_trouble;
                // The token of this account is right, but a template also has tokens of other
                // accounts, and one of those may have been replaced.
                match self.newer_peer(sink, record) {
                    Some(peer) => Need::Delivery(DeliveryReason::NewerPeer {
                        peer: peer.to_owned(),
                    }),
                    None if proved && settled => Need::Nothing,
                    None => Need::Proof,
                }
            }
            Some(SinkContent::Token(found)) => {
                Need::Delivery(match self.state.by_fingerprint(found) {
                    Some(old) => DeliveryReason::HoldsGeneration(old.number),
                    None => DeliveryReason::HoldsForeign(*found),
                })
            }
            Some(SinkContent::Absent) => Need::Delivery(DeliveryReason::HoldsNothing),
            Some(SinkContent::Other(what)) => {
                Need::Delivery(DeliveryReason::HoldsOther(what.clone()))
            }
            Some(SinkContent::Unreadable(why)) => {
                Need::Delivery(DeliveryReason::Unreadable(why.clone()))
            }
            // Without a look, the receipt is what there is.
            Some(SinkContent::Opaque) | None => match record.last_delivery {
                _ if proved && record.intended == Some(number) => Need::Nothing,
                LastDelivery::Done if record.intended == Some(number) => Need::Proof,
                LastDelivery::Open => Need::Delivery(DeliveryReason::OutcomeUnknown),
                LastDelivery::Never => Need::Delivery(DeliveryReason::NeverDelivered),
                LastDelivery::Failed(_) => Need::Delivery(DeliveryReason::LastFailed),
                LastDelivery::Done => Need::Delivery(DeliveryReason::ReceiptIsOlder),
            },
        }
    }

    /// Another account that this sink names and whose token is another than the one it holds.
    fn newer_peer<'s>(&self, sink: &'s SinkPolicy, record: &SinkRecord) -> Option<&'s str> {
        let held = record.taken.as_ref().map(|(_, taken)| &taken.peers);
        let differs = |peer: &&String| {
            let now = self
                .evidence
                .peers
                .tokens
                .get(*peer)
                .map(|token| token.fingerprint);
            // An account that has no token now has nothing newer to write.
            now.is_some()
                && now
                    != held
                        .and_then(|held| held.get(*peer))
                        .map(|token| token.fingerprint)
        };
        sink.kind.peers().iter().find(differs).map(String::as_str)
    }

    /// Whether a token of another account is missing, without which this sink cannot be written:
    /// there is none, its text is not at hand, or it is older than the one that is there.
    fn awaits_peers(&mut self, sink: &SinkPolicy, record: &SinkRecord) -> bool {
        let held = record.taken.as_ref().map(|(_, taken)| &taken.peers);
        let mut waits = false;
        for peer in sink.kind.peers() {
            let now = self
                .evidence
                .peers
                .tokens
                .get(peer)
                .map(|token| token.generation);
            let before = held
                .and_then(|held| held.get(peer))
                .map(|token| token.generation);
            // As with our own token, a sink never goes back to an older one of another account.
            if !self.evidence.peers.at_hand.contains(peer) || now < before {
                let what = WaitingFor::PeerToken {
                    peer: peer.clone(),
                    sink: sink.name.clone(),
                };
                self.wait(what, None);
                self.decision.awaits.insert(peer.clone());
                // No early return: all missing accounts are named.
                waits = true;
            }
        }
        waits
    }

    /// What follows a token that is not minted or verified yet.
    pub(super) fn foresee_sinks(&mut self, number: GenerationNo) {
        // In the order of the steps: all deliveries come before the first proof.
        for action in [Action::Deliver, Action::Prove] {
            for sink in &self.policy.sinks {
                self.step(action, Some(sink.name.clone()), Because::New(number));
            }
        }
    }

    pub(super) fn foresee_promotion(&mut self, number: GenerationNo) {
        let required = self
            .policy
            .sinks
            .iter()
            .filter(|sink| sink.required)
            .count();
        let because = Because::OnceProved {
            generation: number,
            required,
        };
        self.step(Action::Promote, None, because);
    }
}

#[cfg(test)]
mod tests;
