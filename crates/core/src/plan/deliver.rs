//! From a minted token to a current one, and sinks that lost theirs.

use super::evidence::{Doubt, SinkContent};
use super::{Action, Look, Next, Planner, Step, notifications_owed};
use crate::account::{Generation, LastDelivery, Minted, Proved, SinkRecord, Verified};
use crate::config::SinkPolicy;
use crate::event::BackoffKey;

/// What a sink needs to hold a token for sure.
enum Need {
    /// It is proved.
    Nothing,
    /// It holds it, but that was not proved.
    Proof,
    /// It does not hold it, for this reason.
    Delivery(String),
}

impl Planner<'_> {
    /// Verify, deliver, prove and promote the pending token.
    pub(super) fn finish_pending(&mut self) {
        let Some(pending) = self.state.pending() else {
            return;
        };
        let number = pending.number;
        if let Some(minted) = Minted::of(self.state) {
            let because = format!("generation {number} was minted and not tried yet");
            self.step(Action::Verify, Some(minted.fingerprint().short()), because);
            match self.held(&BackoffKey::Rotation) {
                Some(until) => self.wait(
                    format!("the next try to verify generation {number}"),
                    Some(until),
                ),
                None => self.offer(Next::Do(Step::Verify(minted))),
            }
            self.foresee_sinks(number);
            self.foresee_promotion(number);
            return;
        }
        self.fill_sinks(pending);
        self.foresee_promotion(number);
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
        if self.settles_doubt(&token) {
            return;
        }
        let mut deliver = Vec::new();
        let mut prove = Vec::new();
        let mut owed = Vec::new();
        for sink in &self.policy.sinks {
            let Some(record) = self.state.sinks.get(&sink.name) else {
                continue;
            };
            // Never back to an older one: the newer may be in use.
            if record.intended > Some(token.generation()) {
                self.wait(format!("a newer token for sink {}", sink.name), None);
                continue;
            }
            let need = self.need(sink, record, &token);
            if matches!(need, Need::Delivery(_)) && self.awaits_peers(sink, record) {
                continue;
            }
            let (action, because) = match &need {
                Need::Nothing => continue,
                Need::Proof => (
                    Action::Prove,
                    format!("it was seen to hold generation {}", token.generation()),
                ),
                Need::Delivery(because) => (Action::Deliver, because.clone()),
            };
            self.step(action, Some(sink.name.clone()), because);
            if matches!(need, Need::Delivery(_)) {
                let because = format!("it will hold generation {}", token.generation());
                self.step(Action::Prove, Some(sink.name.clone()), because);
            }
            if record.parked {
                self.wait(
                    format!(
                        "sink {} is parked: reload or rotate to try it again",
                        sink.name
                    ),
                    None,
                );
            } else if let Some(until) = self
                .state
                .held_until(&BackoffKey::Sink(sink.name.clone()), self.now)
            {
                self.wait(format!("the next try of sink {}", sink.name), Some(until));
            } else if let Need::Proof = need {
                // Not by us, so its consumer was told of nothing; or under a record that is gone,
                // and what was owed then is gone with it.
                if record.proved.is_none() {
                    let name = std::slice::from_ref(&sink.name);
                    owed.extend(notifications_owed(
                        self.policy,
                        self.state,
                        name,
                        token.generation(),
                    ));
                }
                prove.push(sink.name.clone());
            } else {
                deliver.push(sink.name.clone());
            }
        }
        if let Some(until) = self.server_held() {
            // Proving means using what was read; a token whose text is not at hand must be asked
            // for.
            let asks_nobody = |sink: &String| self.seen.held(sink) == Some(&SinkContent::Opaque);
            let is_elsewhere = |name: &String| {
                !self
                    .policy
                    .sinks
                    .iter()
                    .any(|sink| sink.name == *name && sink.kind.is_in_ringcx())
            };
            let all = deliver.len() + prove.len();
            prove.retain(asks_nobody);
            deliver.retain(is_elsewhere);
            if !self.seen.values.contains(&token.fingerprint()) {
                deliver.clear();
            }
            if deliver.len() + prove.len() < all {
                self.wait("RingCX", Some(until));
            }
        }
        self.record(owed);
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

    /// A token that is in doubt is not handed on: the doubt is settled first, by asking as the
    /// other. Whether there is one.
    fn settles_doubt(&mut self, token: &Verified) -> bool {
        let doubt = self.seen.doubt(&token.fingerprint());
        // What a login lists is alive, whoever refuses it.
        if doubt == Doubt::default() || doubt.contradicted > 0 {
            return false;
        }
        let is_current = self
            .state
            .current()
            .is_some_and(|it| it.fingerprint == token.fingerprint());
        let as_current = is_current && !doubt.wants_login();
        match if as_current {
            self.server_held()
        } else {
            self.login_held()
        } {
            None if as_current => self.look(Look::ListAsCurrent),
            None => self.look(Look::ListByLogin),
            Some(_) if is_current && self.server_held().is_none() => self.look(Look::ListAsCurrent),
            Some(until) => {
                let what = format!(
                    "what RingCX says of generation {}, which is in doubt",
                    token.generation()
                );
                self.wait(what, Some(until));
            }
        }
        true
    }

    fn need(&self, sink: &SinkPolicy, record: &SinkRecord, token: &Verified) -> Need {
        let number = token.generation();
        let proved = record
            .proved
            .is_some_and(|(generation, _)| generation == number);
        // What is there after a delivery is for proving to judge, which backs off where it is
        // something else. Delivering again at once would go round in circles.
        let just_taken = record.awaits_proof && record.intended == Some(number);
        match self.seen.held(&sink.name) {
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
                match self.newer_peer(sink, record) {
                    Some(peer) => Need::Delivery(format!("account {peer} has a newer token")),
                    None if proved && settled => Need::Nothing,
                    None => Need::Proof,
                }
            }
            Some(SinkContent::Token(found)) => {
                Need::Delivery(match self.state.by_fingerprint(found) {
                    Some(old) => format!("it holds generation {}", old.number),
                    None => format!("it holds another token ({})", found.short()),
                })
            }
            Some(SinkContent::Absent) => Need::Delivery("it holds nothing".to_owned()),
            Some(SinkContent::Other(what)) => {
                Need::Delivery(format!("it holds no token of ours: {what}"))
            }
            Some(SinkContent::Unreadable(why)) => {
                Need::Delivery(format!("it cannot be read: {why}"))
            }
            // Without a look, the receipt is what there is.
            Some(SinkContent::Opaque) | None => match record.last_delivery {
                _ if proved && record.intended == Some(number) => Need::Nothing,
                LastDelivery::Done if record.intended == Some(number) => Need::Proof,
                LastDelivery::Open => {
                    Need::Delivery("its last delivery has no known outcome".to_owned())
                }
                LastDelivery::Never => Need::Delivery("it never got a token".to_owned()),
                LastDelivery::Failed(_) => Need::Delivery("its last delivery failed".to_owned()),
                LastDelivery::Done => Need::Delivery("it holds an older token".to_owned()),
            },
        }
    }

    /// Another account that this sink names and whose token is another than the one it holds.
    fn newer_peer<'s>(&self, sink: &'s SinkPolicy, record: &SinkRecord) -> Option<&'s str> {
        let held = record.taken.as_ref().map(|(_, taken)| &taken.peers);
        let differs = |peer: &&String| {
            let now = self
                .seen
                .peers
                .tokens
                .get(*peer)
                .map(|token| token.fingerprint);
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
                .seen
                .peers
                .tokens
                .get(peer)
                .map(|token| token.generation);
            let before = held
                .and_then(|held| held.get(peer))
                .map(|token| token.generation);
            if !self.seen.peers.at_hand.contains(peer) || now < before {
                self.wait(
                    format!("the token of account {peer}, for sink {}", sink.name),
                    None,
                );
                self.decision.awaits.insert(peer.clone());
                waits = true;
            }
        }
        waits
    }

    /// What follows a token that is not minted or verified yet.
    pub(super) fn foresee_sinks(&mut self, number: crate::event::GenerationNo) {
        for action in [Action::Deliver, Action::Prove] {
            for sink in &self.policy.sinks {
                self.step(
                    action,
                    Some(sink.name.clone()),
                    format!("generation {number} is new"),
                );
            }
        }
    }

    pub(super) fn foresee_promotion(&mut self, number: crate::event::GenerationNo) {
        let required = self
            .policy
            .sinks
            .iter()
            .filter(|sink| sink.required)
            .count();
        self.step(
            Action::Promote,
            None,
            format!(
                "generation {number} becomes current once {required} required sinks are proved"
            ),
        );
    }
}

#[cfg(test)]
mod tests;
