//! The steps that change something. Each has the same shape: intent, effect, outcome.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::interrupt::Interrupt;
use super::state::{Observer, Reconciler};
use crate::clock::monotonic;
use crate::ringcx::TokenApi;
use rotator_core::account::Proved;
use rotator_core::event::{BackoffKey, Event, GenerationNo, IncidentKind};
use rotator_core::journal::Journal;
use rotator_core::plan::Step;
use rotator_core::secret::Fingerprint;

mod delete;
mod deliver;
mod mint;
mod notify;
mod prove;
mod verify;

/// The longest wait between two looks, which the plan wants to lie apart.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Performs one step of the plan and records what came of it.
    pub(super) async fn perform(
        &mut self,
        step: Step,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        match step {
            Step::Look(look) => self.look(look, stop).await,
            Step::Wait { until } => {
                let wait = until - self.clock.now();
                // Bounded, whatever the clock is set to meanwhile.
                let wait = wait.to_std().unwrap_or_default().min(LONGEST_WAIT);
                self.sleep(wait, stop).await
            }
            Step::Mint {
                generation,
                baseline,
            } => self.mint(generation, baseline, stop).await,
            Step::Verify(minted) => self.verify(minted, stop).await,
            Step::Deliver { token, sinks } => self.deliver(token, sinks, stop).await,
            Step::Prove { token, sinks } => self.prove(token, sinks, stop).await,
            Step::Notify { sinks } => self.notify(sinks).await,
            Step::Promote(proved) => self.promote(proved).await,
            Step::Delete(retirable) => self.delete(retirable, stop).await,
        }
    }

    async fn promote(&mut self, proved: Proved) -> Result<(), Interrupt> {
        // Nothing is called: a token becomes the current one by this row alone.
        let generation = proved.generation();
        // Before it is recorded: whoever has seen it and asks for another gets another.
        let at = monotonic();
        self.record(vec![Event::Promoted { generation }]).await?;
        self.promoted = Some((at, generation));
        Ok(())
    }

    /// A token of ours whose text cannot be found cannot be worked with. If it was never verified
    /// and the server's list was seen without it, it is given up.
    async fn without_text(
        &mut self,
        generation: GenerationNo,
        fingerprint: Fingerprint,
    ) -> Result<(), Interrupt> {
        // A verified token has worked once: that its text is missing does not show that it is gone.
        let unverified = self
            .state
            .generations
            .get(&generation)
            .is_some_and(|own| own.verified_at.is_none());
        // Without a list the text may be missing only because the server could not be asked.
        if unverified && self.evidence.list().is_some() {
            let reason = format!("{} is not on the server's list", fingerprint.short());
            let error = format!("generation {generation} does not work: {reason}");
            let failure = self.failure(
                BackoffKey::Rotation,
                IncidentKind::VerifyFailed,
                error,
                None,
            );
            // One append: a generation is never given up without the failure that says why.
            self.record(vec![failure, Event::Abandoned { generation, reason }])
                .await?;
        }
        Ok(())
    }
}
