//! Deleting one token on an operator's word.

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::pass::Halt;
use super::{AccountDriver, Witness};
use crate::event::Lane;
use crate::journal::{Journal, JournalError};
use crate::plan::{Blocked, Look, Step, judge_for_operator};
use crate::ringcx::TokenApi;
use crate::secret::Fingerprint;

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

impl From<Halt> for RevokeError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Journal(error) => Self::Journal(error),
            Halt::Stopped => Self::Stopped,
            Halt::NotBefore(until) => Self::NotBefore { until },
        }
    }
}

impl<A: TokenApi, J: Journal, W: Witness> AccountDriver<A, J, W> {
    /// Looks at the server's list, as `tokens` does; nothing is changed. Answers fingerprint and masked
    /// text of every token.
    pub async fn list_tokens(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Vec<(Fingerprint, String)>, RevokeError> {
        self.seen.begin_pass(self.clock.now());
        self.perform(Step::Look(Look::Sinks), stop).await?;
        self.perform(Step::Look(Look::ListAsCurrent), stop).await?;
        // Twice, as the first may only have told that it is another user's list.
        for _ in 0..2 {
            let lines = self.state.lines.len();
            if self.seen.list.is_none() {
                self.perform(Step::Look(Look::ListByLogin), stop).await?;
            }
            if self.state.lines.len() == lines {
                break;
            }
        }
        if self.seen.list.is_none() {
            return Err(RevokeError::Failed { why: self.last_error() });
        }
        let mut tokens: Vec<_> = self.listing.iter().map(|it| (it.fingerprint(), it.masked())).collect();
        tokens.sort();
        Ok(tokens)
    }

    /// Deletes one token, ours or foreign, under every guard but age and clock.
    pub async fn revoke(
        &mut self,
        prefix: &str,
        stop: &CancellationToken,
    ) -> Result<Fingerprint, RevokeError> {
        let prefix = prefix.to_ascii_lowercase();
        let tokens = self.list_tokens(stop).await?;
        let mut matching = tokens.iter().filter(|(it, _)| it.to_string().starts_with(&prefix));
        let Some(fingerprint) = matching.next().map(|(fingerprint, _)| *fingerprint) else {
            return Err(RevokeError::NoMatch { prefix });
        };
        let others = matching.count();
        if others > 0 {
            return Err(RevokeError::Ambiguous { prefix, count: others + 1 });
        }
        let judge = |driver: &Self| {
            let account = &driver.assignment.account;
            judge_for_operator(account, &driver.state, &driver.seen, fingerprint, driver.clock.now())
        };
        self.hear_peers();
        let mut verdict = judge(self);
        if verdict == Err(Blocked::NoList) {
            self.perform(Step::Look(Look::ListAsCurrent), stop).await?;
            self.hear_peers();
            verdict = judge(self);
        }
        let victim = verdict.map_err(RevokeError::Guarded)?;
        self.perform(Step::Delete(victim), stop).await?;
        let gone = self.seen.list.as_ref().is_some_and(|list| !list.tokens.contains(&fingerprint));
        let why = self.last_error();
        // The plan writes down what the closing list shows.
        self.work(stop).await;
        self.end_pass().await;
        if gone { Ok(fingerprint) } else { Err(RevokeError::Failed { why }) }
    }

    fn last_error(&self) -> String {
        let lanes = [Lane::Retirement, Lane::Login, Lane::Server];
        let failures = lanes.iter().filter_map(|lane| self.state.lanes.get(lane));
        let latest = failures.max_by_key(|failure| failure.last);
        latest.map_or_else(|| "the server did not answer with a list".to_owned(), |it| it.error.clone())
    }
}
