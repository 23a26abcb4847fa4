//! Deleting one token on an operator's request.

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::interrupt::Interrupt;
use super::list::ListError;
use super::state::{Observer, Reconciler};
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
        /// The start of a fingerprint, as given.
        prefix: String,
    },
    /// Several tokens on the list have such a fingerprint.
    #[error("{count} tokens have a fingerprint that begins with `{prefix}`: give more of it")]
    Ambiguous {
        /// The start of a fingerprint, as given.
        prefix: String,
        /// The number of tokens that match.
        count: usize,
    },
    /// A guard forbids it.
    #[error("not deleted: {0}")]
    Guarded(Blocked),
    /// The server could not be asked, or did not delete it.
    #[error("not deleted: {why}")]
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
    #[error("not deleted: the daemon is stopping")]
    Stopped,
    /// The journal could not be written, so nothing was done.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl From<Interrupt> for RevokeError {
    fn from(interrupt: Interrupt) -> Self {
        ListError::from(interrupt).into()
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
        // Fingerprints are written in lower case; operators may paste another form.
        let prefix = prefix.to_ascii_lowercase();
        let tokens = self.list_tokens(stop).await?;
        let mut matching = tokens
            .iter()
            .filter(|token| token.fingerprint.to_string().starts_with(&prefix));
        let Some(fingerprint) = matching.next().map(|token| token.fingerprint) else {
            return Err(RevokeError::NoMatch { prefix });
        };
        let others = matching.count();
        if others > 0 {
            return Err(RevokeError::Ambiguous {
                prefix,
                count: others + 1,
            });
        }
        let check = |reconciler: &Self| {
            let account = &reconciler.config.account;
            check_for_operator(
                account,
                &reconciler.state,
                &reconciler.evidence,
                fingerprint,
                reconciler.clock.now(),
            )
        };
        // A template of another account may hold this token, and a guard asks for that.
        self.read_peers();
        let mut verdict = check(self);
        // With a current token the guards need a list that it asked for, and so far there may only
        // be a login's. Every other refusal of a guard stands.
        if verdict == Err(Blocked::NoList) {
            self.perform(Step::Look(Look::ListAsCurrent), stop).await?;
            self.read_peers();
            verdict = check(self);
        }
        let retirable = verdict.map_err(RevokeError::Guarded)?;
        self.perform(Step::Delete(retirable), stop).await?;
        let list = self.evidence.list();
        let gone = list.is_some_and(|list| !list.tokens.contains(&fingerprint));
        // Before the work below, which may clear this failure or add another.
        let why = self.last_error();
        // The plan records what the list after the delete shows.
        self.work(stop).await;
        self.end_pass().await;
        if gone {
            Ok(fingerprint)
        } else {
            Err(RevokeError::Failed { why })
        }
    }
}
