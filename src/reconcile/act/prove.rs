//! Seeing that sinks hold a token, and using what they hold.

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::reconcile::caller::RingcxCaller;
use crate::reconcile::interrupt::Interrupt;
use crate::reconcile::observe::ListStanding;
use crate::reconcile::state::{Observer, Reconciler};
use crate::ringcx::TokenApi;
use crate::sinks::auth_config::CALLS_OF_A_LOOK;
use crate::sinks::{ReadBack, Sink};
use rotator_core::account::Verified;
use rotator_core::event::{BackoffKey, Event, GenerationNo, IncidentKind};
use rotator_core::journal::Journal;
use rotator_core::plan::evidence::ListedBy;
use rotator_core::secret::Token;

/// What reading a sink back after a delivery says about that delivery.
enum DeliveryProof {
    /// It holds the token. The text is there if the sink shows it.
    Read(Option<Token>),
    /// It cannot be read: its receipt was the proof.
    Receipt,
    /// It holds something else; the text says what.
    Missing(String),
}

/// What the sinks of one proof showed.
#[derive(Default)]
struct Proofs {
    /// Proved by their receipts.
    by_receipt: Vec<String>,
    /// Seen to hold the token, which is still to be tried out.
    read: Vec<String>,
    /// The token as one of them showed it.
    text: Option<Token>,
    /// What the looks show beside that: failures, and a pause that RingCX asks for.
    events: Vec<Event>,
}

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    pub(super) async fn prove(
        &mut self,
        token: Verified,
        sinks: Vec<String>,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        let generation = token.generation();
        // Sinks inside RingCX are read as the token that they should hold.
        let caller = match self.count_in_ringcx(&sinks) {
            0 => None,
            inside => {
                let text = self.text_of(token.fingerprint(), stop).await?;
                self.pace_calls(inside * CALLS_OF_A_LOOK, stop).await?;
                text.map(RingcxCaller::Token)
            }
        };
        let proofs = self.read_back(&token, &sinks, caller.as_ref()).await;
        let mut text = proofs.text;
        // Sinks that hold the token without showing it: the text for the trial is elsewhere.
        if text.is_none() && !proofs.read.is_empty() {
            text = self.text_of(token.fingerprint(), stop).await?;
            if text.is_none() {
                return self.without_text(generation, token.fingerprint()).await;
            }
        }
        let (mut proved, mut events) = (proofs.by_receipt, proofs.events);
        // Holding the token is not enough: it must also work, or readers of the sink get 401.
        if let Some(text) = text
            && self.try_read_back(&text, stop).await?
        {
            proved.extend(proofs.read);
        }
        for sink in proved {
            events.extend(self.cleared(BackoffKey::Sink(sink.clone())));
            events.push(Event::Proved { sink, generation });
        }
        // The look that led to this proof is used up; the next decision needs a new one.
        self.evidence.sinks_changed();
        Ok(self.record(events).await?)
    }

    async fn read_back(
        &mut self,
        token: &Verified,
        sinks: &[String],
        caller: Option<&RingcxCaller>,
    ) -> Proofs {
        let targets = sinks
            .iter()
            .filter_map(|name| self.sinks.get_key_value(name));
        let looks = join_all(targets.map(async |(name, sink)| {
            let context = self.sink_context(self.state.sinks.get(name), caller);
            (name.clone(), sink.read_back(context).await)
        }))
        .await;
        let mut proofs = Proofs::default();
        for (sink, look) in looks {
            if let ReadBack::Unreadable(error) = &look {
                let pause = self.note_ringcx_error(error, caller.and_then(RingcxCaller::token));
                proofs.events.extend(pause);
            }
            match proof(look, token, self.last_taken(&sink)) {
                DeliveryProof::Read(text) => {
                    proofs.text = text.or(proofs.text);
                    proofs.read.push(sink);
                }
                DeliveryProof::Receipt => proofs.by_receipt.push(sink),
                DeliveryProof::Missing(instead) => {
                    // A failure of the sink, so that the next delivery to it waits.
                    let error = format!("read back after delivery: {instead}");
                    let key = BackoffKey::Sink(sink);
                    proofs
                        .events
                        .push(self.failure(key, IncidentKind::SinkFailed, error, None));
                }
            }
        }
        proofs
    }

    /// Uses once what was read from a sink, as the sink's own readers would. Whether it works.
    async fn try_read_back(
        &mut self,
        text: &Token,
        stop: &CancellationToken,
    ) -> Result<bool, Interrupt> {
        match self.list_with(text, stop).await? {
            // It works, also where the list disagrees: that is for the plan.
            Ok(ListStanding::Listed | ListStanding::Missing) => {
                let cleared = self.cleared(BackoffKey::Server);
                self.record(cleared.into_iter().collect()).await?;
                Ok(true)
            }
            Err(error) => {
                self.list_failed(ListedBy::Token(text.fingerprint()), &error)
                    .await?;
                Ok(false)
            }
        }
    }
}

/// `last_taken` is the generation of the last delivery that the sink took.
fn proof(look: ReadBack, token: &Verified, last_taken: Option<GenerationNo>) -> DeliveryProof {
    match look {
        ReadBack::Holds(held) if held.fingerprint() == token.fingerprint() => {
            DeliveryProof::Read(Some(held))
        }
        ReadBack::Holds(held) => {
            DeliveryProof::Missing(format!("another token ({})", held.fingerprint().short()))
        }
        ReadBack::Shows(held) if held == token.fingerprint() => DeliveryProof::Read(None),
        ReadBack::Shows(held) => {
            DeliveryProof::Missing(format!("another token ({})", held.short()))
        }
        // What it holds is what was put there, and that was this token.
        ReadBack::AsDelivered if last_taken == Some(token.generation()) => {
            DeliveryProof::Read(None)
        }
        ReadBack::AsDelivered => {
            DeliveryProof::Missing("what an earlier delivery left there".to_owned())
        }
        ReadBack::Opaque => DeliveryProof::Receipt,
        ReadBack::Absent => DeliveryProof::Missing("nothing".to_owned()),
        ReadBack::Other(what) => DeliveryProof::Missing(what),
        ReadBack::Unreadable(error) => DeliveryProof::Missing(error.to_string()),
    }
}
