//! Deleting an old token: irreversible, so the last step of a rotation.

use tokio_util::sync::CancellationToken;

use crate::reconcile::caller::RingcxCaller;
use crate::reconcile::interrupt::Interrupt;
use crate::reconcile::state::{Observer, Reconciler};
use crate::ringcx::{ApiError, Deletion, TokenApi};
use rotator_core::event::{BackoffKey, Event, IncidentKind};
use rotator_core::journal::Journal;
use rotator_core::plan::Retirable;

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Sends the delete and lists. That the token is retired is recorded by the plan, once a list
    /// lacks it.
    pub(super) async fn delete(
        &mut self,
        retirable: Retirable,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        // The path of a delete holds the token's text, and only the list of this pass has it.
        let text = self
            .server
            .listing
            .iter()
            .find(|listed| listed.fingerprint() == retirable.fingerprint())
            .cloned();
        // The guards looked at a list that has the token. Without that list's text or its caller,
        // the list is had again and the guards are checked again.
        let (Some(text), Some(caller)) = (text, self.deleting_caller()) else {
            self.evidence.server_changed();
            return Ok(());
        };
        self.pace(stop).await?;
        let _turn = self.user_turn(stop).await?;
        // Intent before effect: after a crash the journal says that the token may be gone because
        // of us.
        self.record(vec![Event::DeleteIntended {
            fingerprint: retirable.fingerprint(),
            generation: retirable.generation(),
            because: retirable.because().to_string(),
        }])
        .await?;
        // The list is out of date from the moment the request can arrive, whatever is answered.
        self.evidence.server_changed();
        let answer = self.server.api.delete(caller.auth(), &text).await;
        self.answered(answer.as_ref().err()).await?;
        if let Ok(Deletion::Accepted) = answer {
            self.evidence.saw_deletion(retirable.fingerprint());
        }
        if let (Err(error), false) = (&answer, self.may_ask()) {
            let text = format!("cannot see yet whether the delete worked: delete: {error}");
            let failure = self.retire_failure(text, Some(error));
            return Ok(self.record(vec![failure]).await?);
        }
        // An answer of any kind proves nothing; the list that follows does.
        self.pace(stop).await?;
        self.check_deleted(&retirable, &caller, answer).await
    }

    /// Lists as the one that deleted, and records a failure if the token is still there.
    async fn check_deleted(
        &mut self,
        retirable: &Retirable,
        caller: &RingcxCaller,
        answer: Result<Deletion, ApiError>,
    ) -> Result<(), Interrupt> {
        let asked = self.clock.steady();
        let listed = self.server.api.list(caller.auth()).await;
        self.answered(listed.as_ref().err()).await?;
        let listing = match listed {
            Ok(listing) => listing,
            Err(error) => {
                // Gone or not is unknown. As a failure it delays the next delete instead of
                // repeating it at once.
                let text = format!("cannot see whether the delete worked: list: {error}");
                let failure = self.retire_failure(text, Some(&error));
                return Ok(self.record(vec![failure]).await?);
            }
        };
        let fingerprint = retirable.fingerprint();
        let is_listed = listing
            .tokens
            .iter()
            .any(|listed| listed.fingerprint() == fingerprint);
        // The plan records the retirement from this list, even where the delete was answered with
        // an error.
        self.take_listing(listing, caller.listed_by(), asked)
            .await?;
        let event = if is_listed {
            // The list has decided; the answer is only for the message.
            let answered = match &answer {
                Ok(Deletion::Accepted) => "it was accepted".to_owned(),
                Ok(Deletion::Denied) => "it was denied".to_owned(),
                Err(error) => error.to_string(),
            };
            let name = fingerprint.short();
            let text = format!("{name} is still on the list after its delete ({answered})");
            Some(self.retire_failure(text, answer.err().as_ref()))
        } else {
            self.cleared(BackoffKey::Retirement)
        };
        Ok(self.record(event.into_iter().collect()).await?)
    }

    fn retire_failure(&mut self, text: String, cause: Option<&ApiError>) -> Event {
        self.failure(
            BackoffKey::Retirement,
            IncidentKind::RetireFailed,
            text,
            cause,
        )
    }

    /// The current token, so that it is seen to work just before another goes. Without one, the
    /// login.
    fn deleting_caller(&self) -> Option<RingcxCaller> {
        let session = &self.server.session;
        match self.state.current() {
            Some(current) => session
                .text(&current.fingerprint)
                .cloned()
                .map(RingcxCaller::Token),
            None => session.bearer().cloned().map(RingcxCaller::Login),
        }
    }
}
