//! Making a new token.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use crate::reconcile::interrupt::Interrupt;
use crate::reconcile::state::{Observer, Reconciler};
use crate::ringcx::{ApiError, TokenApi};
use rotator_core::event::{BackoffKey, Event, GenerationNo, IncidentKind, MintSource, Outcome};
use rotator_core::journal::Journal;
use rotator_core::secret::{Fingerprint, Token};

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Mints. `baseline` is every token on the server before it: should no answer come, a token
    /// that is listed later and is not in the baseline is the one that was minted.
    pub(super) async fn mint(
        &mut self,
        generation: GenerationNo,
        baseline: BTreeSet<Fingerprint>,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        // The login comes before the intent: one that fails leaves no open mint behind. So does the
        // renewal of an access token that would end within the call.
        if !self.server.session.outlasts_a_call() && !self.renew_access(stop).await? {
            return Ok(());
        }
        // A login whose list was not seen may be another user's: the token would be that user's.
        if !self.server.session.was_listed() && self.state.current().is_some() {
            self.list_by_login(stop).await?;
            return Ok(());
        }
        // Before the intent for the same reason: a stop during the wait leaves nothing begun.
        self.pace(stop).await?;
        // Until the outcome is recorded: a list that another account of this user has meanwhile
        // could show the token before it is known whose it is.
        let _turn = self.user_turn(stop).await?;
        // On disk before the request leaves: minting is not idempotent, and if the answer is lost
        // only this baseline shows which listed token is the new one.
        self.record(vec![Event::MintIntended {
            generation,
            baseline,
        }])
        .await?;
        // From here on the server may have one token more than the last list.
        self.evidence.server_changed();
        // The append may have taken longer than the rest of the access token's life.
        let Some(bearer) = self.server.session.bearer() else {
            // Nothing was sent, so the mint is closed here; an open one would need lists to settle
            // it.
            let error = "the access token ended just before the mint was sent".to_owned();
            return Ok(self
                .record(vec![Event::MintFailed { generation, error }])
                .await?);
        };
        let answer = self.server.api.mint(bearer).await;
        self.server.session.tried();
        self.answered(answer.as_ref().err()).await?;
        match answer {
            Ok(token) => self.mint_answered(generation, &token).await,
            // Only a request that never left is known not to have minted. Any other error leaves
            // the mint open until lists show what came of it.
            Err(error) if error.outcome() == Outcome::NotDone => {
                let failure = self.mint_failure(&error);
                let error = error.to_string();
                let failed = Event::MintFailed { generation, error };
                Ok(self.record(vec![failed, failure]).await?)
            }
            Err(error) => self.mint_unknown(generation, error).await,
        }
    }

    async fn mint_answered(
        &mut self,
        generation: GenerationNo,
        token: &Token,
    ) -> Result<(), Interrupt> {
        let fingerprint = token.fingerprint();
        // A server that answers with a token that exists already has not minted one.
        if self.state.by_fingerprint(&fingerprint).is_some()
            || self.was_in_baseline(&fingerprint)
            || !self.peers.claim(self.name(), fingerprint)
        {
            let error = ApiError::Nonsense {
                status: 200,
                why: "with a token it had before".into(),
            };
            return self.mint_unknown(generation, error).await;
        }
        // The text stays in memory; the journal gets only the fingerprint.
        self.server.session.keep_text(token);
        self.note_texts();
        let minted = Event::Minted {
            generation,
            fingerprint,
            how: MintSource::Answered,
        };
        let mut events = vec![minted];
        events.extend(self.access_opened());
        Ok(self.record(events).await?)
    }

    fn was_in_baseline(&self, fingerprint: &Fingerprint) -> bool {
        self.state
            .open_mint
            .as_ref()
            .is_some_and(|mint| mint.baseline.contains(fingerprint))
    }

    async fn mint_unknown(
        &mut self,
        generation: GenerationNo,
        error: ApiError,
    ) -> Result<(), Interrupt> {
        if error.is_denied() {
            // Perhaps the access token ended: the look that follows renews it.
            self.server.session.end_access();
        }
        let failure = self.mint_failure(&error);
        let unknown = Event::MintUnknown {
            generation,
            error: error.to_string(),
        };
        Ok(self.record(vec![unknown, failure]).await?)
    }

    fn mint_failure(&mut self, error: &ApiError) -> Event {
        self.failure(
            BackoffKey::Rotation,
            IncidentKind::MintFailed,
            format!("mint: {error}"),
            Some(error),
        )
    }
}
