//! Listing the tokens on the server.

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use crate::reconcile::interrupt::Interrupt;
use crate::reconcile::state::{Observer, Reconciler};
use crate::ringcx::{ApiError, Auth, Listing, TokenApi};
use rotator_core::event::{BackoffKey, IncidentKind};
use rotator_core::journal::Journal;
use rotator_core::plan::evidence::{ListedBy, TokenList};
use rotator_core::secret::Token;

/// Whether a token that listed is on its own list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reconcile) enum ListStanding {
    Listed,
    Missing,
}

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Lists as the current token, which is thereby seen to work.
    pub(super) async fn list_as_current(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        let Some(current) = self.state.current().map(|current| current.fingerprint) else {
            return Ok(());
        };
        // Where its text is neither kept nor in a sink, a login has to do; its list brings the
        // text.
        let Some(text) = self.server.session.text(&current).cloned() else {
            self.login_allowed()?;
            return self.list_by_login(stop).await;
        };
        match self.list_with(&text, stop).await? {
            Ok(_) => {
                let cleared = self.cleared(BackoffKey::Server);
                Ok(self.record(cleared.into_iter().collect()).await?)
            }
            Err(error) => self.list_failed(ListedBy::Token(current), &error).await,
        }
    }

    /// Lists by login. A login that the server considers ended is renewed, but only once: a second
    /// refusal is not about its age.
    pub(in crate::reconcile) async fn list_by_login(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        let mut renewed = false;
        loop {
            if self.server.session.bearer().is_none() {
                renewed = true;
                if !self.renew_access(stop).await? {
                    return Ok(());
                }
            }
            self.pace(stop).await?;
            // The wait above, or a very short life, may have ended the access token.
            let Some(bearer) = self.server.session.bearer() else {
                let error = "logging in gives an access token that has ended already".to_owned();
                let failure =
                    self.failure(BackoffKey::Login, IncidentKind::LoginFailed, error, None);
                return Ok(self.record(vec![failure]).await?);
            };
            let asked = self.clock.steady();
            let listed = self.server.api.list(Auth::Bearer(bearer)).await;
            self.progress();
            match listed {
                Ok(listing) => {
                    self.take_listing(listing, ListedBy::Login, asked).await?;
                    let cleared = self.cleared(BackoffKey::Server);
                    return Ok(self.record(cleared.into_iter().collect()).await?);
                }
                Err(error) if error.is_denied() && !renewed => {
                    renewed = true;
                    if !self.renew_access(stop).await? {
                        return Ok(());
                    }
                }
                Err(error) => {
                    if error.is_denied() {
                        // Refused right after its renewal: the next attempt begins with a whole
                        // login.
                        self.server.session.drop_access();
                    }
                    return self.list_failed(ListedBy::Login, &error).await;
                }
            }
        }
    }

    /// Lists as a permanent token, as its users would.
    pub(in crate::reconcile) async fn list_with(
        &mut self,
        token: &Token,
        stop: &CancellationToken,
    ) -> Result<Result<ListStanding, ApiError>, Interrupt> {
        self.pace(stop).await?;
        let asked = self.clock.steady();
        let listed = self.server.api.list(Auth::Token(token)).await;
        self.progress();
        let listing = match listed {
            Ok(listing) => listing,
            Err(error) => return Ok(Err(error)),
        };
        let fingerprint = token.fingerprint();
        let is_listed = listing
            .tokens
            .iter()
            .any(|listed| listed.fingerprint() == fingerprint);
        self.take_listing(listing, ListedBy::Token(fingerprint), asked)
            .await?;
        Ok(Ok(if is_listed {
            ListStanding::Listed
        } else {
            ListStanding::Missing
        }))
    }

    /// Records a list that failed. A refused token is evidence about the token; everything else is
    /// a failure of the server.
    pub(in crate::reconcile) async fn list_failed(
        &mut self,
        by: ListedBy,
        error: &ApiError,
    ) -> Result<(), Interrupt> {
        if let (ListedBy::Token(token), true) = (by, error.is_denied()) {
            // No failure is recorded: the plan decides by several looks whether the token is lost.
            self.evidence.saw_refusal(token);
            return Ok(());
        }
        let text = format!("list: {error}");
        let failure = self.failure(
            BackoffKey::Server,
            IncidentKind::LoginFailed,
            text,
            Some(error),
        );
        Ok(self.record(vec![failure]).await?)
    }

    /// Takes in a list: fingerprints for the plan, and the texts, which are kept for this pass. It
    /// was asked for at `asked` by the steady clock.
    pub(in crate::reconcile) async fn take_listing(
        &mut self,
        listing: Listing,
        by: ListedBy,
        asked: TimeDelta,
    ) -> Result<(), Interrupt> {
        let took = self.clock.steady() - asked;
        // Before the list is compared with recorded times, and so that it is not moved along with
        // what was seen before.
        let read = self.keep_time().await?;
        let now = read.0;
        self.server.clock.answered(listing.server_time, read, took);
        let list = TokenList {
            at: now,
            tokens: listing
                .tokens
                .iter()
                .map(|token| token.fingerprint())
                .collect(),
            by,
            skew: listing.server_time.map(|server| now - server),
        };
        // Only tokens in use keep their text beyond the pass; the other texts go with the list.
        let watched = self.state.in_use();
        for token in listing
            .tokens
            .iter()
            .filter(|token| watched.contains(&token.fingerprint()))
        {
            self.server.session.keep_text(token);
        }
        self.evidence.saw_list(list, watched);
        self.server.listing = listing.tokens;
        self.note_texts();
        Ok(())
    }
}
