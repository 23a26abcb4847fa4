//! Listing the external auth configs that an account's login can see. Nothing is changed, and no
//! key is kept.

use tokio_util::sync::CancellationToken;

use super::caller::RingcxCaller;
use super::list::ListError;
use super::state::{Observer, Reconciler};
use crate::ringcx::auth_config::AuthConfig;
use crate::ringcx::{ApiError, TokenApi, VisibleAccount};
use rotator_core::event::BackoffKey;
use rotator_core::journal::Journal;
use rotator_core::secret::redact;

/// One auth config, without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedConfig {
    /// `authConfigId`, a UUID.
    pub id: String,
    /// `authType` of RingCX, for example `APIKEY` or `BASIC`.
    pub auth_type: String,
    /// The service that it is for.
    pub provider: String,
    /// Free text of the admin who made it.
    pub description: String,
    /// When it was last changed, as RingCX writes it.
    pub updated: String,
}

/// A RingCX account, and its auth configs or why they cannot be seen.
#[derive(Debug)]
pub struct ConfigsOfAccount {
    /// The RingCX account, with its id and name.
    pub account: VisibleAccount,
    /// Its auth configs, or why they cannot be seen.
    pub configs: Result<Vec<ListedConfig>, ApiError>,
}

/// More of a provider's name or a description than this does not fit a table.
const LONGEST_TEXT: usize = 80;

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Every auth config of every RingCX account that this login can see.
    pub async fn list_auth_configs(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Vec<ConfigsOfAccount>, ListError> {
        if self.token_at_hand().is_none() && self.server.session.bearer().is_none() {
            // A request of an operator does not bypass the wait after a rejected login: users get
            // locked out.
            self.login_allowed()?;
            if !self.renew_access(stop).await? {
                let failure = self.state.lanes.get(&BackoffKey::Login);
                let why = failure.map_or_else(
                    || "cannot log in".to_owned(),
                    |failure| failure.error.clone(),
                );
                return Err(ListError::Failed { why });
            }
        }
        let as_login = self
            .server
            .session
            .bearer()
            .cloned()
            .map(RingcxCaller::Login);
        let caller = as_login.or_else(|| self.token_at_hand().cloned().map(RingcxCaller::Token));
        let Some(caller) = caller else {
            return Err(ListError::Failed {
                why: "the access token has ended already".to_owned(),
            });
        };
        self.pace(stop).await?;
        let accounts = self.server.api.accounts(caller.auth()).await;
        self.answered(accounts.as_ref().err()).await?;
        let accounts = accounts.map_err(|error| ListError::Failed {
            why: format!("accounts: {error}"),
        })?;
        let mut all = Vec::new();
        for account in accounts {
            self.pace(stop).await?;
            let configs = self
                .server
                .api
                .auth_configs(caller.auth(), &account.id)
                .await;
            // One account without permission does not hide the configs of the others.
            self.answered(configs.as_ref().err()).await?;
            let configs = configs.map(|configs| configs.into_iter().map(listed).collect());
            all.push(ConfigsOfAccount { account, configs });
        }
        Ok(all)
    }
}

fn listed(config: AuthConfig) -> ListedConfig {
    let plain = |text: &str| redact::plain(text, LONGEST_TEXT);
    ListedConfig {
        provider: plain(&config.provider),
        description: plain(config.description.as_deref().unwrap_or_default()),
        updated: config.updated.unwrap_or_default(),
        id: config.id,
        auth_type: config.auth_type,
    }
}
