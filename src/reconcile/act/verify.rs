//! Waiting until a fresh token works. RingCX may take a while to know it everywhere.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::reconcile::interrupt::Interrupt;
use crate::reconcile::observe::ListStanding;
use crate::reconcile::state::{Observer, Reconciler};
use crate::ringcx::{ApiError, Auth, TokenApi};
use rotator_core::account::Minted;
use rotator_core::event::{BackoffKey, Event, GenerationNo, IncidentKind};
use rotator_core::journal::Journal;
use rotator_core::secret::Token;
use rotator_core::time::delta;

/// The first wait between two checks of a fresh token; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait between two checks.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// What one check of a fresh token showed.
enum TokenCheck {
    Works,
    /// It works, and the server's list does not have it.
    Unlisted,
    /// The server says no: it is not listed, or refused.
    Denied(String),
    /// The server could not say.
    Unclear(String),
}

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    pub(super) async fn verify(
        &mut self,
        minted: Minted,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        let (generation, fingerprint) = (minted.generation(), minted.fingerprint());
        let Some(token) = self.text_of(fingerprint, stop).await? else {
            return self.without_text(generation, fingerprint).await;
        };
        // By the clock that nothing sets: a step must not cut the time short.
        let deadline = self.clock.steady() + delta(self.config.account.verify_within);
        let mut wait = FIRST_WAIT;
        loop {
            let check = self.check_token(&token, stop).await?;
            // A check after this wait would come too late, so the wait is saved; and none comes
            // while the server wants no calls.
            let is_last = self.clock.steady() + delta(wait) > deadline || !self.may_ask();
            match check {
                TokenCheck::Works => return self.verified(generation, true).await,
                // What it is for it can do: a list that is wrong keeps nobody from using it.
                TokenCheck::Unlisted if is_last => return self.verified(generation, false).await,
                check if is_last => return self.verify_failed(generation, check).await,
                TokenCheck::Unlisted | TokenCheck::Denied(_) | TokenCheck::Unclear(_) => {}
            }
            self.sleep(wait, stop).await?;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn verified(
        &mut self,
        generation: GenerationNo,
        is_listed: bool,
    ) -> Result<(), Interrupt> {
        let mut events = vec![Event::Verified { generation }];
        if !is_listed {
            events.push(Event::ListDisagreed { generation });
        }
        // Failed mints and failed verifications share this key: a token that works ends both.
        events.extend(self.cleared(BackoffKey::Rotation));
        Ok(self.record(events).await?)
    }

    async fn verify_failed(
        &mut self,
        generation: GenerationNo,
        last: TokenCheck,
    ) -> Result<(), Interrupt> {
        // Only a clear "no" gives the token up: after an outage it is checked again.
        let (reason, given_up) = match last {
            // Not reached: `verify` has returned by then.
            TokenCheck::Works | TokenCheck::Unlisted => return Ok(()),
            TokenCheck::Denied(reason) => (reason, true),
            TokenCheck::Unclear(reason) => (reason, false),
        };
        let error = format!("generation {generation} does not work: {reason}");
        let mut events = vec![self.failure(
            BackoffKey::Rotation,
            IncidentKind::VerifyFailed,
            error,
            None,
        )];
        if given_up {
            events.push(Event::Abandoned { generation, reason });
        }
        Ok(self.record(events).await?)
    }

    async fn check_token(
        &mut self,
        token: &Token,
        stop: &CancellationToken,
    ) -> Result<TokenCheck, Interrupt> {
        let works = match self.list_with(token, stop).await? {
            Ok(ListStanding::Listed) => TokenCheck::Works,
            Ok(ListStanding::Missing) => TokenCheck::Unlisted,
            Err(error) => return Ok(check_failed("list", &error)),
        };
        if !self.config.account.smoke_test {
            return Ok(works);
        }
        // A second endpoint: that one part of RingCX knows the token does not show that all do.
        self.pace(stop).await?;
        let tried = self.server.api.try_out(Auth::Token(token)).await;
        self.answered(tried.as_ref().err()).await?;
        Ok(match tried {
            Ok(()) => works,
            Err(error) => check_failed("accounts", &error),
        })
    }
}

fn check_failed(call: &str, error: &ApiError) -> TokenCheck {
    let reason = format!("{call}: {error}");
    if error.is_denied() {
        TokenCheck::Denied(reason)
    } else {
        TokenCheck::Unclear(reason)
    }
}
