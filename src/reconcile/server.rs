//! Asking the server: limits, lists, and what a failure means.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::pass::Interrupt;
use super::{Observer, Reconciler};
use crate::ringcx::{ApiError, Auth, Listing, TokenApi};
use rotator_core::event::{BackoffKey, Event, IncidentKind};
use rotator_core::journal::Journal;
use rotator_core::plan::backoff::{FailureReport, failed};
use rotator_core::plan::evidence::{ListedBy, TokenList};
use rotator_core::secret::Token;
use rotator_core::time::after;

/// A long wait is made in stretches of this, so that it is seen to be one and not a hang.
const STRETCH: Duration = Duration::from_secs(5);

/// How a token that may list stands on its own list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListStanding {
    Listed,
    Missing,
}

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Lists with a login; one that the server takes for ended is renewed once.
    pub(super) async fn list_by_login(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        let mut renewed = false;
        loop {
            if self.session.bearer().is_none() {
                renewed = true;
                if !self.renew_access(stop).await? {
                    return Ok(());
                }
            }
            self.pace(stop).await?;
            let Some(bearer) = self.session.bearer() else {
                let error = "logging in gives an access token that has ended already".to_owned();
                let held = self.trouble(BackoffKey::Login, IncidentKind::LoginFailed, error, None);
                return Ok(self.record(vec![held]).await?);
            };
            let listed = self.api.list(Auth::Bearer(bearer)).await;
            self.progress();
            match listed {
                Ok(listing) => {
                    self.take_listing(listing, ListedBy::Login);
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
                        self.session.drop_access();
                    }
                    return self.list_failed(ListedBy::Login, &error).await;
                }
            }
        }
    }

    /// Lists with a permanent token, as its users would.
    pub(super) async fn list_with(
        &mut self,
        token: &Token,
        stop: &CancellationToken,
    ) -> Result<Result<ListStanding, ApiError>, Interrupt> {
        self.pace(stop).await?;
        let listed = self.api.list(Auth::Token(token)).await;
        self.progress();
        Ok(listed.map(|listing| {
            let fingerprint = token.fingerprint();
            let is_listed = listing
                .tokens
                .iter()
                .any(|it| it.fingerprint() == fingerprint);
            self.take_listing(listing, ListedBy::Token(fingerprint));
            if is_listed {
                ListStanding::Listed
            } else {
                ListStanding::Missing
            }
        }))
    }

    /// A list that failed: a refused token is evidence, all else is trouble with the server.
    pub(super) async fn list_failed(
        &mut self,
        by: ListedBy,
        error: &ApiError,
    ) -> Result<(), Interrupt> {
        if let (ListedBy::Token(token), true) = (by, error.is_denied()) {
            self.seen.saw_refusal(token);
            return Ok(());
        }
        let text = format!("list: {error}");
        let held = self.trouble(
            BackoffKey::Server,
            IncidentKind::LoginFailed,
            text,
            Some(error),
        );
        Ok(self.record(vec![held]).await?)
    }

    /// Takes in a list: fingerprints for the plan, texts for as long as the pass.
    pub(super) fn take_listing(&mut self, listing: Listing, by: ListedBy) {
        let now = self.clock.now();
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
        let watched = self.state.in_use();
        for token in listing
            .tokens
            .iter()
            .filter(|token| watched.contains(&token.fingerprint()))
        {
            self.session.keep_text(token);
        }
        self.seen.saw_list(list, watched);
        self.listing = listing.tokens;
        self.note_texts();
    }

    /// The event that records trouble.
    pub(super) fn trouble(
        &mut self,
        lane: BackoffKey,
        incident: IncidentKind,
        error: String,
        cause: Option<&ApiError>,
    ) -> Event {
        let mut trouble = FailureReport::new(lane, incident, error);
        if let Some(cause) = cause {
            trouble.retry_after = cause.retry_after();
            self.back_off(cause);
        }
        failed(
            &self.state,
            &self.assignment.account.retry,
            trouble,
            self.clock.now(),
        )
    }

    /// A server that asks to be left alone is: a call during a penalty may prolong it.
    pub(super) fn back_off(&mut self, error: &ApiError) {
        if let Some(wait) = error.retry_after() {
            self.seen.backoff_until = self
                .seen
                .backoff_until
                .max(Some(after(self.clock.now(), wait)));
        }
    }

    /// The event that ends a lane's trouble, if it is in any.
    pub(super) fn cleared(&self, lane: BackoffKey) -> Option<Event> {
        self.state
            .lanes
            .contains_key(&lane)
            .then_some(Event::LaneCleared { lane })
    }

    /// Waits until `requests-per-minute` lets another request through.
    pub(super) async fn pace(&mut self, stop: &CancellationToken) -> Result<(), Interrupt> {
        let wait = self.session.claim_request();
        self.sleep(wait, stop).await
    }

    pub(super) async fn sleep(
        &mut self,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        let mut left = wait;
        while !left.is_zero() {
            let stretch = left.min(STRETCH);
            tokio::select! {
                () = stop.cancelled() => return Err(Interrupt::Stopped),
                () = self.clock.sleep(stretch) => {}
            }
            self.progress();
            left -= stretch;
        }
        Ok(())
    }
}
