//! Putting a token into sinks.

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::reconcile::caller::RingcxCaller;
use crate::reconcile::interrupt::Interrupt;
use crate::reconcile::state::{Observer, Reconciler};
use crate::ringcx::TokenApi;
use crate::sinks::auth_config::CALLS_OF_A_DELIVERY;
use crate::sinks::{Delivery, Previous, Sink, SinkError};
use rotator_core::account::Verified;
use rotator_core::event::{BackoffKey, DeliveryReceipt, Event, GenerationNo, IncidentKind};
use rotator_core::journal::Journal;
use rotator_core::plan::backoff::{FailureReport, failed};
use rotator_core::plan::notifications_owed;
use rotator_core::secret::Token;
use rotator_core::time::after;

/// What became of a delivery to the sink of this name.
type DeliveryOutcome = (String, Result<DeliveryReceipt, SinkError>);

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    pub(super) async fn deliver(
        &mut self,
        token: Verified,
        sinks: Vec<String>,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        let generation = token.generation();
        // The journal has fingerprints only: after a restart the text comes from a sink or a
        // login's list.
        let Some(text) = self.text_of(token.fingerprint(), stop).await? else {
            return self.without_text(generation, token.fingerprint()).await;
        };
        // Paced before the intent: a stop during the wait leaves nothing begun.
        let inside = self.count_in_ringcx(&sinks);
        self.pace_calls(inside * CALLS_OF_A_DELIVERY, stop).await?;
        let mut intents: Vec<Event> = sinks
            .iter()
            .map(|sink| Event::DeliveryIntended {
                sink: sink.clone(),
                generation,
            })
            .collect();
        let account = &self.config.account;
        // Recorded with the intent, so that no crash can come between a delivery and its notice.
        intents.extend(notifications_owed(account, &self.state, &sinks, generation));
        // Intent before effect: no crash may leave a sink written that the journal does not know
        // of.
        self.record(intents).await?;
        // Even if every delivery fails: a failed one may have written something.
        self.evidence.sinks_changed();
        let caller = RingcxCaller::Token(text.clone());
        let outcomes = self
            .deliver_side_by_side(generation, &text, &sinks, &caller)
            .await;
        self.progress();
        let mut events = Vec::new();
        for (sink, outcome) in outcomes {
            match outcome {
                Ok(taken) => events.push(Event::Delivered {
                    sink,
                    generation,
                    taken,
                }),
                Err(error) => {
                    // A sink inside RingCX was called as this token, so its 401 is evidence about
                    // the token.
                    events.extend(self.note_ringcx_error(&error, caller.token()));
                    events.extend(self.delivery_failed(sink, generation, &error));
                }
            }
        }
        Ok(self.record(events).await?)
    }

    /// At once, as one slow receiver must not hold up the others.
    async fn deliver_side_by_side(
        &self,
        generation: GenerationNo,
        text: &Token,
        sinks: &[String],
        caller: &RingcxCaller,
    ) -> Vec<DeliveryOutcome> {
        let own = self.state.generations.get(&generation);
        let delivery = &Delivery {
            account: self.name(),
            generation,
            token: text,
            minted_at: own.map_or_else(|| self.clock.now(), |own| own.minted_at),
            previous: self.replaced_by(generation),
            now: self.clock.now(),
        };
        let targets = sinks
            .iter()
            .filter_map(|name| self.sinks.get_key_value(name));
        join_all(targets.map(async |(name, sink)| {
            // Taken just before the write: from here on the template may hold these tokens.
            let peers = self
                .peers
                .take_for(self.name(), name, self.peer_accounts_of(name));
            let mut context = self.sink_context(self.state.sinks.get(name), Some(caller));
            context.peers = &peers;
            (name.clone(), sink.deliver(delivery, context).await)
        }))
        .await
    }

    /// The other accounts whose tokens this sink holds too.
    fn peer_accounts_of(&self, sink: &str) -> &[String] {
        let sinks = &self.config.account.sinks;
        sinks
            .iter()
            .find(|policy| policy.name == sink)
            .map_or(&[], |policy| policy.kind.peers())
    }

    fn delivery_failed(
        &self,
        sink: String,
        generation: GenerationNo,
        error: &SinkError,
    ) -> [Event; 2] {
        let key = BackoffKey::Sink(sink.clone());
        let mut report = FailureReport::new(key, IncidentKind::SinkFailed, error.to_string());
        // Not by `self.failure`: a pause that a sink asks for is not a pause of all calls to
        // RingCX.
        report.retry_after = error.retry_after();
        let retry = &self.config.account.retry;
        let failure = failed(self.name(), &self.state, retry, report, self.clock.now());
        let failed = Event::DeliveryFailed {
            sink,
            generation,
            outcome: error.outcome(),
            parked: error.parks(),
            note: error.note(),
        };
        [failed, failure]
    }

    /// The token that this one replaces, and how long it works at least.
    fn replaced_by(&self, generation: GenerationNo) -> Option<Previous> {
        let retention = &self.config.account.retention;
        let promoted = self
            .state
            .own()
            .filter(|own| own.number < generation && own.promoted_at.is_some());
        // The newest that still works: a promoted one in between may have been retired or lost.
        let old = promoted.rev().find(|own| own.is_alive())?;
        let new = self.state.generations.get(&generation)?;
        // Promotion comes after minting, so the overlap ends no sooner than this.
        let retires_after =
            after(old.minted_at, retention.max_age).max(after(new.minted_at, retention.overlap));
        Some(Previous {
            fingerprint: old.fingerprint,
            retires_after,
        })
    }
}
