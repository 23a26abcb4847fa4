//! Deleting one token on an operator's word.

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::list::ListError;
use super::pass::Interrupt;
use super::{Observer, Reconciler};
use crate::ringcx::TokenApi;
use rotator_core::journal::{Journal, JournalError};
use rotator_core::plan::{Blocked, Look, Step, check_for_operator};
use rotator_core::secret::Fingerprint;

/// Why a token was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// No token on the server's list has such a fingerprint.
    #[error("no token on the server has a fingerprint that begins with `{prefix}`")]
    NoMatch {
        /// What was asked for.
        prefix: String,
    },
    /// Several have.
    #[error("{count} tokens have a fingerprint that begins with `{prefix}`: give more of it")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// How many.
        count: usize,
    },
    /// A guard says no.
    #[error("not deleted: {0}")]
    Guarded(Blocked),
    /// The server could not be asked, or did not delete it.
    #[error("not deleted: {why}")]
    Failed {
        /// In words.
        why: String,
    },
    /// A limit of ours says not now.
    #[error("not now: try again after {until}")]
    NotBefore {
        /// When.
        until: DateTime<Utc>,
    },
    /// The process is stopping.
    #[error("not deleted: the daemon is stopping")]
    Stopped,
    /// The journal could not be written, so nothing was done.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl From<Interrupt> for RevokeError {
    fn from(halt: Interrupt) -> Self {
        ListError::from(halt).into()
    }
}

impl From<ListError> for RevokeError {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Failed { why } => Self::Failed { why },
            ListError::NotBefore { until } => Self::NotBefore { until },
            ListError::Stopped => Self::Stopped,
            ListError::Journal(error) => Self::Journal(error),
        }
    }
}

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Deletes one token, ours or foreign, under every guard but age and clock.
    pub async fn revoke(
        &mut self,
        prefix: &str,
        stop: &CancellationToken,
    ) -> Result<Fingerprint, RevokeError> {
        let prefix = prefix.to_ascii_lowercase();
        let tokens = self.list_tokens(stop).await?;
        let mut matching = tokens
            .iter()
            .filter(|it| it.fingerprint.to_string().starts_with(&prefix));
        let Some(fingerprint) = matching.next().map(|it| it.fingerprint) else {
            return Err(RevokeError::NoMatch { prefix });
        };
        let others = matching.count();
        if others > 0 {
            return Err(RevokeError::Ambiguous {
                prefix,
                count: others + 1,
            });
        }
        let check = |driver: &Self| {
            let account = &driver.assignment.account;
            check_for_operator(
                account,
                &driver.state,
                &driver.seen,
                fingerprint,
                driver.clock.now(),
            )
        };
        self.read_peers();
        let mut verdict = check(self);
        if verdict == Err(Blocked::NoList) {
            self.perform(Step::Look(Look::ListAsCurrent), stop).await?;
            self.read_peers();
            verdict = check(self);
        }
        let victim = verdict.map_err(RevokeError::Guarded)?;
        self.perform(Step::Delete(victim), stop).await?;
        let gone = self
            .seen
            .list
            .as_ref()
            .is_some_and(|list| !list.tokens.contains(&fingerprint));
        let why = self.last_error();
        // The plan writes down what the closing list shows.
        self.work(stop).await;
        self.end_pass().await;
        if gone {
            Ok(fingerprint)
        } else {
            Err(RevokeError::Failed { why })
        }
    }
}
