//! Listing the server's tokens on request. Nothing is changed.

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::interrupt::Interrupt;
use super::state::{Observer, Reconciler};
use crate::ringcx::TokenApi;
use rotator_core::event::BackoffKey;
use rotator_core::journal::{Journal, JournalError};
use rotator_core::plan::{Look, Step};
use rotator_core::secret::Fingerprint;

/// One token on the server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedToken {
    /// Identifies it without showing it.
    pub fingerprint: Fingerprint,
    /// The text masked for display: the part before the colon and the last four characters.
    pub masked: String,
    /// How many bytes it has.
    pub length: usize,
    /// The other account of the policy whose token it is.
    pub owner: Option<String>,
}

/// Why nothing could be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The server could not be asked.
    #[error("not listed: {why}")]
    Failed {
        /// Reason, without secrets.
        why: String,
    },
    /// A limit of this program, e.g. the wait after a failure, allows no call yet.
    #[error("not now: try again after {until}")]
    NotBefore {
        /// The earliest time of the next attempt.
        until: DateTime<Utc>,
    },
    /// The process is stopping.
    #[error("not listed: the daemon is stopping")]
    Stopped,
    /// The journal could not be written, so nothing was done.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl From<Interrupt> for ListError {
    fn from(interrupt: Interrupt) -> Self {
        match interrupt {
            Interrupt::Journal(error) => Self::Journal(error),
            Interrupt::Stopped => Self::Stopped,
            Interrupt::NotBefore(until) => Self::NotBefore { until },
        }
    }
}

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Looks at the sinks and at the server's list, as `tokens` does.
    pub async fn list_tokens(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Vec<ListedToken>, ListError> {
        // An operator wants what is there now, and the last pass may be hours old.
        self.evidence.begin_pass();
        // Sinks first: one of them may hold the current token's text, which saves a login.
        self.perform(Step::Look(Look::Sinks), stop).await?;
        self.perform(Step::Look(Look::ListAsCurrent), stop).await?;
        // Twice, as the first login may only show that another user logs in now, whose list it
        // then is not.
        for _ in 0..2 {
            let lines = self.state.lines.len();
            if self.evidence.list().is_none() {
                self.perform(Step::Look(Look::ListByLogin), stop).await?;
            }
            if self.state.lines.len() == lines {
                break;
            }
        }
        if self.evidence.list().is_none() {
            return Err(ListError::Failed {
                why: self.last_error(),
            });
        }
        self.read_peers();
        let mut tokens: Vec<_> = self
            .server
            .listing
            .iter()
            .map(|token| ListedToken {
                fingerprint: token.fingerprint(),
                masked: token.masked(),
                length: token.expose().len(),
                owner: self.evidence.owner(&token.fingerprint()).cloned(),
            })
            .collect();
        tokens.sort();
        Ok(tokens)
    }

    /// The latest failure of a call, as a message.
    pub(super) fn last_error(&self) -> String {
        let keys = [
            BackoffKey::Retirement,
            BackoffKey::Login,
            BackoffKey::Server,
        ];
        let failures = keys.iter().filter_map(|key| self.state.lanes.get(key));
        let latest = failures.max_by_key(|failure| failure.last);
        latest.map_or_else(
            || "the server did not answer with a list".to_owned(),
            |failure| failure.error.clone(),
        )
    }
}
