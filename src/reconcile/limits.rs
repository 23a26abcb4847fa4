//! When calls may be sent, and when one that failed may be tried again.
//!
//! Three limits hold calls back: `requests-per-minute`, a server that asked for a pause
//! (`Retry-After`), and the wait after a failure, which the journal keeps for each [`BackoffKey`].
//! For example, a 429 for a list pauses all calls of the account to RingCX at once: the pause is an
//! event, so that it survives a restart, and [`Reconciler::pace`], which comes before each call,
//! refuses until it is over.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::interrupt::Interrupt;
use super::state::{Observer, Reconciler};
use crate::clock::monotonic;
use crate::ringcx::{ApiError, TokenApi};
use rotator_core::event::{BackoffKey, Event, IncidentKind};
use rotator_core::journal::{Journal, JournalError};
use rotator_core::plan::backoff::{FailureReport, failed, quiet};

/// A long wait is made in parts of this length, with a sign of life after each, so that the
/// watchdog does not take it for a hang.
pub(super) const WAIT_PART: Duration = Duration::from_secs(5);

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Waits until `requests-per-minute` allows another request to RingCX. Refuses while RingCX
    /// wants none: a call during a penalty may prolong it. Comes before every call.
    pub(super) async fn pace(&mut self, stop: &CancellationToken) -> Result<(), Interrupt> {
        if let Some(until) = self.state.quiet_until(self.clock.now()) {
            return Err(Interrupt::NotBefore(until));
        }
        let wait = self.server.session.claim_request();
        self.sleep(wait, stop).await?;
        self.server.call_began = monotonic();
        Ok(())
    }

    /// Waits until this many more requests are allowed.
    pub(super) async fn pace_calls(
        &mut self,
        calls: u32,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        for _ in 0..calls {
            self.pace(stop).await?;
        }
        Ok(())
    }

    pub(super) async fn sleep(
        &mut self,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        let mut left = wait;
        while !left.is_zero() {
            let part = left.min(WAIT_PART);
            // A stop does not wait for the end of this part.
            tokio::select! {
                () = stop.cancelled() => return Err(Interrupt::Stopped),
                () = self.clock.sleep(part) => {}
            }
            self.progress();
            left -= part;
        }
        Ok(())
    }

    /// Takes in how a call to RingCX ended: a sign of life, and perhaps a pause of all calls.
    /// Comes after every call.
    pub(super) async fn answered(&mut self, error: Option<&ApiError>) -> Result<(), JournalError> {
        self.progress();
        let took = self.server.call_began.elapsed();
        self.server.session.took(took);
        let pause = error.and_then(|error| self.pause(error));
        self.record(pause.into_iter().collect()).await
    }

    /// The event that pauses all calls to RingCX, if this answer asks for it.
    pub(super) fn pause(&self, error: &ApiError) -> Option<Event> {
        let asked = match error {
            // RingCX does not say when its limit allows more.
            ApiError::Busy {
                status: 429,
                retry_after: None,
                ..
            } => None,
            error => Some(error.retry_after()?),
        };
        let retry = &self.config.account.retry;
        quiet(self.name(), &self.state, retry, asked, self.clock.now())
    }

    /// Whether any call may be sent to the server.
    pub(super) fn may_ask(&self) -> bool {
        let now = self.clock.now();
        self.state.held_until(&BackoffKey::Server, now).is_none()
    }

    /// Refuses while a login, or any call, is held back.
    pub(super) fn login_allowed(&self) -> Result<(), Interrupt> {
        let now = self.clock.now();
        let held = [BackoffKey::Login, BackoffKey::Server]
            .iter()
            .filter_map(|key| self.state.held_until(key, now))
            .max();
        match held {
            Some(until) => Err(Interrupt::NotBefore(until)),
            None => Ok(()),
        }
    }

    /// The event that records a failure and when to try again, not before the time that `cause`
    /// asks for.
    pub(super) fn failure(
        &self,
        key: BackoffKey,
        incident: IncidentKind,
        error: String,
        cause: Option<&ApiError>,
    ) -> Event {
        let mut report = FailureReport::new(key, incident, error);
        if let Some(cause) = cause {
            report.retry_after = cause.retry_after();
        }
        let retry = &self.config.account.retry;
        failed(self.name(), &self.state, retry, report, self.clock.now())
    }

    /// The event that ends the failures of this key, if there are any.
    pub(super) fn cleared(&self, key: BackoffKey) -> Option<Event> {
        self.state
            .lanes
            // No event without a failure: each successful call would add a row otherwise.
            .contains_key(&key)
            .then_some(Event::LaneCleared { lane: key })
    }

    /// How many sinks are inside RingCX.
    pub(super) fn sinks_in_ringcx(&self) -> u32 {
        let sinks = self.config.account.sinks.iter();
        count(sinks.filter(|sink| sink.kind.is_in_ringcx()))
    }

    /// How many of these sinks are inside RingCX.
    pub(super) fn count_in_ringcx(&self, names: &[String]) -> u32 {
        let sinks = self.config.account.sinks.iter();
        count(sinks.filter(|sink| sink.kind.is_in_ringcx() && names.contains(&sink.name)))
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
