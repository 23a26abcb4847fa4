//! What this account exchanges with the others of the process.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::interrupt::Interrupt;
use super::limits::WAIT_PART;
use super::state::{Observer, Reconciler};
use super::token_exchange::tokens_in;
use crate::ringcx::TokenApi;
use rotator_core::event::{Event, PeerToken};
use rotator_core::journal::Journal;
use rotator_core::plan::evidence::{PeerEvidence, SinkContent};
use rotator_core::template::RenderedToken;

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Publishes the token that templates of other accounts are to use: the current one, or as long
    /// as there is none the pending one once it is verified. Without the second, two accounts whose
    /// templates name each other would wait for each other for ever.
    pub(super) fn publish_to_peers(&self) {
        self.peers.publish_own(&self.config.account, &self.state);
        if self.config.account.peer_sinks.is_empty() {
            return;
        }
        let verified = self
            .state
            .pending()
            .filter(|pending| pending.verified_at.is_some());
        let published = self.state.current().or(verified).map(|generation| {
            let token = PeerToken {
                generation: generation.number,
                fingerprint: generation.fingerprint,
            };
            let text = self.server.session.text(&generation.fingerprint);
            let text = text.map(|text| RenderedToken {
                token: text.clone(),
                generation: generation.number,
                minted_at: generation.minted_at,
            });
            (token, text)
        });
        let readers = self.config.account.peer_sinks.iter();
        let readers = readers.map(|peer_sink| peer_sink.account.as_str());
        self.peers.publish(self.name(), published, readers);
    }

    /// Takes in what others have published by now.
    pub(super) fn read_peers(&mut self) {
        let account = &self.config.account;
        let held_elsewhere = account.peer_sinks.iter().filter_map(|peer_sink| {
            let held = self
                .peers
                .held_by(&peer_sink.account, &peer_sink.sink, &account.name)?;
            Some((peer_sink.clone(), held))
        });
        let listed = self.evidence.listed_tokens();
        self.evidence.saw_peers(PeerEvidence {
            tokens: self.peers.tokens(),
            at_hand: self.peers.texts(),
            held_elsewhere: held_elsewhere.collect(),
            is_wanted: self.peers.is_wanted(&account.name),
            owners: self
                .peers
                .owners(&account.name, listed.chain(self.state.foreign.keys())),
            siblings: self.peers.siblings(&account.name),
        });
    }

    /// Makes the tokens of these events this account's. `false`: one of them is another account's,
    /// which was quicker, so these events must not be recorded.
    pub(super) fn claim_tokens(&self, events: &[Event]) -> bool {
        let mut minted = events.iter().filter_map(|event| match event {
            Event::Minted { fingerprint, .. } => Some(*fingerprint),
            _ => None,
        });
        minted.all(|fingerprint| self.peers.claim(self.name(), fingerprint))
    }

    /// Waits for this account's turn at changing the tokens of its user.
    pub(super) async fn user_turn(
        &self,
        stop: &CancellationToken,
    ) -> Result<OwnedMutexGuard<()>, Interrupt> {
        let turn = self.peers.turn(self.name());
        loop {
            tokio::select! {
                // In this order: a turn that is free is taken without any wait.
                biased;
                () = stop.cancelled() => return Err(Interrupt::Stopped),
                turn = Arc::clone(&turn).lock_owned() => return Ok(turn),
                // The watchdog must not take the wait for a hang.
                () = self.clock.sleep(WAIT_PART) => self.progress(),
            }
        }
    }

    /// Publishes which tokens the sinks of this account were just seen to hold, and which of others
    /// its templates hold.
    pub(super) fn publish_held(&self) {
        if let Some(sinks) = self.evidence.sinks() {
            self.peers.saw_in_sinks(self.name(), tokens_in(sinks));
        }
        let sinks = self
            .config
            .account
            .sinks
            .iter()
            .filter(|sink| !sink.kind.peers().is_empty());
        let held = sinks.map(|sink| {
            let taken = self
                .state
                .sinks
                .get(&sink.name)
                .and_then(|record| record.taken.as_ref());
            let holds = match (self.evidence.held(&sink.name), taken) {
                // Seen to be absent is known to be empty, so tokens of others are free to go.
                (Some(SinkContent::Absent), _) => Some(BTreeMap::new()),
                // A template that shows our token as delivered holds the others' of that delivery.
                (Some(SinkContent::Token(_)), Some((_, taken))) => Some(taken.peers.clone()),
                (
                    Some(
                        SinkContent::Token(_)
                        | SinkContent::Other(_)
                        | SinkContent::Unreadable(_)
                        | SinkContent::Opaque,
                    )
                    | None,
                    _,
                ) => None,
            };
            (sink.name.clone(), holds)
        });
        self.peers.saw(self.name(), held.collect());
    }
}
