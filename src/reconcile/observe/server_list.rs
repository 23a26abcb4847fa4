//! Listing the tokens on the server.

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use crate::reconcile::interrupt::Interrupt;
use crate::reconcile::state::{Observer, Reconciler};
use crate::ringcx::{ApiError, Auth, Listing, TokenApi};
use rotator_core::event::{BackoffKey, IncidentKind};
use rotator_core::journal::Journal;
use rotator_core::plan::LARGEST_SKEW;
use rotator_core::plan::evidence::{ListedBy, TokenList};
use rotator_core::secret::{Fingerprint, Token};

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
        match self.state.current().map(|current| current.fingerprint) {
            Some(current) => self.list_as(current, stop).await,
            None => Ok(()),
        }
    }

    /// Lists as a token of ours. Where it is answered it is alive, whatever the list says.
    pub(super) async fn list_as(
        &mut self,
        token: Fingerprint,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        // Where its text is neither kept nor in a sink, a login has to do; its list brings the
        // text.
        let Some(text) = self.server.session.text(&token).cloned() else {
            self.login_allowed()?;
            return self.list_by_login(stop).await;
        };
        match self.list_with(&text, stop).await? {
            Ok(_) => {
                let cleared = self.cleared(BackoffKey::Server);
                Ok(self.record(cleared.into_iter().collect()).await?)
            }
            Err(error) => self.list_failed(ListedBy::Token(token), &error).await,
        }
    }

    /// Lists by login. A login that the server considers ended is renewed, but only once: a second
    /// refusal is not about its age.
    pub(in crate::reconcile) async fn list_by_login(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        // The token of another account's mint that is on its way would be taken for the missing one.
        let _turn = match &self.state.open_mint {
            Some(_) => Some(self.user_turn(stop).await?),
            None => None,
        };
        if self.evidence.is_strange() && self.state.current().is_some() {
            // Its refresh token would only renew what may be another user's.
            self.server.session.drop_access();
        }
        let mut renewed = false;
        loop {
            if self.server.session.bearer().is_none() {
                renewed = true;
                if !self.renew_access(stop).await? {
                    return Ok(());
                }
            }
            self.pace(stop).await?;
            let Some(bearer) = self.server.session.bearer() else {
                // It ended during the wait. One that was just issued does not, before it was tried.
                continue;
            };
            let asked = self.clock.steady();
            let listed = self.server.api.list(Auth::Bearer(bearer)).await;
            self.server.session.tried();
            self.answered(listed.as_ref().err()).await?;
            match listed {
                Ok(listing) => {
                    self.take_listing(listing, ListedBy::Login, asked).await?;
                    self.server.session.listed();
                    let mut cleared = self.access_opened();
                    cleared.extend(self.cleared(BackoffKey::Server));
                    return Ok(self.record(cleared).await?);
                }
                Err(error) if error.is_denied() && !renewed => self.server.session.end_access(),
                Err(error) if error.is_denied() => return self.access_refused(&error).await,
                Err(error) => return self.list_failed(ListedBy::Login, &error).await,
            }
        }
    }

    /// Records that an access token was refused right after it was issued.
    async fn access_refused(&mut self, error: &ApiError) -> Result<(), Interrupt> {
        let apart = self
            .server
            .session
            .date_ahead()
            .filter(|ahead| ahead.abs() > LARGEST_SKEW);
        let clock = apart.map_or(String::new(), |ahead| {
            format!(
                "; RingCX's clocks disagree: its `Date` is {} s {} the clock that issues access \
                 tokens",
                ahead.num_seconds().abs(),
                if ahead > TimeDelta::zero() {
                    "ahead of"
                } else {
                    "behind"
                }
            )
        });
        let text = format!("list: {error}, with an access token that was issued just now{clock}");
        // The next attempt begins with a whole login.
        self.server.session.drop_access();
        let failure = self.failure(
            BackoffKey::Server,
            IncidentKind::LoginFailed,
            text,
            Some(error),
        );
        Ok(self.record(vec![failure]).await?)
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
        self.answered(listed.as_ref().err()).await?;
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
            self.evidence.saw_refusal(token, self.clock.now());
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
        // Only tokens of ours keep their text beyond the pass: a call with one shows that it is
        // alive, where lists lack it. The other texts go with the list.
        let ours: Vec<Fingerprint> = self.state.alive().map(|own| own.fingerprint).collect();
        for token in listing
            .tokens
            .iter()
            .filter(|token| ours.contains(&token.fingerprint()))
        {
            self.server.session.keep_text(token);
        }
        self.evidence.saw_list(list, &self.state);
        self.tell_odd(listing.odd);
        self.server.listing = listing.tokens;
        self.note_texts();
        Ok(())
    }

    /// Says once how many elements of the list are no token, and again where there are more. They
    /// are nobody's that this program knows, so they are left alone.
    fn tell_odd(&mut self, odd: usize) {
        if odd > self.server.odd {
            tracing::warn!(
                name: "odd-list-entries",
                account = self.name(),
                odd,
                "The server's list has entries that are not tokens; they are left alone"
            );
        }
        self.server.odd = odd;
    }
}
