//! `auth-configs --json`: what the login can see inside RingCX, joined with the sinks.

use serde::{Deserialize, Serialize};

use crate::reconcile::ConfigsOfAccount;
use rotator_core::config::{AccountPolicy, AuthConfigSink, SinkConfig, SinkKind};

/// The answer of `auth-configs --json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuthConfigsView {
    /// The account's name in the policy.
    pub account: String,
    /// Every RingCX account that its login can see.
    pub ringcx_accounts: Vec<RingcxAccountView>,
}

/// One RingCX account that the login can see.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RingcxAccountView {
    /// Its id: `account-id` of the policy.
    pub id: String,
    /// Its name in RingCX.
    pub name: String,
    /// Its external auth configs.
    pub auth_configs: Vec<AuthConfigView>,
    /// Why they cannot be seen.
    pub error: Option<String>,
}

/// One external auth config, without the value of its key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuthConfigView {
    /// Its id: `auth-config-id` of the policy.
    pub id: String,
    /// Its type; only one of type `APIKEY` can hold a token.
    #[serde(rename = "type")]
    pub auth_type: String,
    /// Whose service it is for.
    pub provider: String,
    /// What it is for.
    pub description: String,
    /// When it was last changed, as RingCX writes it.
    pub updated: String,
    /// The sink of this account that puts its token there.
    pub sink: Option<String>,
}

/// What the login can see, joined with the sinks of the policy.
pub fn auth_configs(policy: &AccountPolicy, listed: Vec<ConfigsOfAccount>) -> AuthConfigsView {
    let sink_of = |account: &str, config: &str| {
        let wanted = AuthConfigSink {
            account_id: account.to_owned(),
            auth_config_id: config.to_owned(),
        };
        let (wanted_type, target) = (wanted.type_name(), wanted.target());
        let is_it = |kind: &SinkKind| kind.type_name() == wanted_type && kind.target() == target;
        policy
            .sinks
            .iter()
            .find(|sink| is_it(&sink.kind))
            .map(|sink| sink.name.clone())
    };
    let ringcx_accounts = listed
        .into_iter()
        .map(|ConfigsOfAccount { account, configs }| {
            // One account that cannot be read does not hide the others.
            let error = configs.as_ref().err().map(ToString::to_string);
            let auth_configs =
                configs
                    .unwrap_or_default()
                    .into_iter()
                    .map(|config| AuthConfigView {
                        sink: sink_of(&account.id, &config.id),
                        id: config.id,
                        auth_type: config.auth_type,
                        provider: config.provider,
                        description: config.description,
                        updated: config.updated,
                    });
            let auth_configs = auth_configs.collect();
            RingcxAccountView {
                id: account.id,
                name: account.name,
                auth_configs,
                error,
            }
        });
    AuthConfigsView {
        account: policy.name.clone(),
        ringcx_accounts: ringcx_accounts.collect(),
    }
}
