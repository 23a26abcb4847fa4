//! Asking every sink whether it could take a token, before one is minted.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::reconcile::caller::RingcxCaller;
use crate::reconcile::interrupt::Interrupt;
use crate::reconcile::state::{Observer, Reconciler};
use crate::ringcx::TokenApi;
use crate::sinks::auth_config::CALLS_OF_A_LOOK;
use crate::sinks::{Sink, SinkError};
use rotator_core::journal::Journal;

/// What the sink of this name said.
type PreflightAnswer = (String, Result<(), SinkError>);

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    pub(super) async fn preflight(&mut self, stop: &CancellationToken) -> Result<(), Interrupt> {
        let inside = self.sinks_in_ringcx();
        let mut renewed = false;
        let answers = loop {
            // Sinks inside RingCX are asked as the login that mints: before the first mint there is
            // no token to ask with.
            if inside > 0 {
                self.login_allowed()?;
                if self.server.session.bearer().is_none() {
                    renewed = true;
                    if !self.renew_access(stop).await? {
                        return Ok(());
                    }
                }
                self.pace_calls(inside * CALLS_OF_A_LOOK, stop).await?;
            }
            let bearer = self.server.session.bearer().filter(|_| inside > 0);
            let caller = bearer.cloned().map(RingcxCaller::Login);
            let answers = self.ask_all(caller.as_ref()).await;
            let ended = answers
                .iter()
                .any(|(_, answer)| answer.as_ref().is_err_and(SinkError::is_unauthorized));
            if !ended || renewed {
                break answers;
            }
            // The server considers the login ended, whatever our clock says. Renewed once only: a
            // second refusal is not about its age.
            renewed = true;
            if !self.renew_access(stop).await? {
                return Ok(());
            }
        };
        let mut unfit = BTreeMap::new();
        for (name, answer) in answers {
            if let Err(error) = answer {
                // Called as the login, so a 401 is not evidence against a token.
                self.note_ringcx_error(&error, None);
                unfit.insert(name, error.to_string());
            }
        }
        // Evidence of this pass only: a later pass that mints asks again.
        self.evidence.saw_preflight(unfit);
        self.progress();
        Ok(())
    }

    async fn ask_all(&self, caller: Option<&RingcxCaller>) -> Vec<PreflightAnswer> {
        join_all(self.sinks.iter().map(async |(name, sink)| {
            let context = self.sink_context(self.state.sinks.get(name), caller);
            (name.clone(), sink.preflight(context).await)
        }))
        .await
    }
}
