//! External auth configs, where the stand-in keeps credentials for IVR flows, and the flows that
//! use them.
//!
//! Knows what may be shown of a key, who may read and who may change, and what a flow's call with
//! the configured key comes to. A flow here makes no request: it asks the world whether its key
//! works, as a request would find out, so that faults made for the daemon's calls do not hit it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::answer;
use super::http::{Request, Response};
use super::random;
use super::records::{ConfigRecord, FlowRecord, MintedBy};
use super::settings::{ConfigAccess, KeyForm};
use super::world::WorldState;
use rotator_core::secret::Fingerprint;

/// The part that the paths of all these requests begin with.
const ACCOUNTS: &str = "/voice/api/v1/admin/accounts/";

/// The only type of auth config that holds a key.
const API_KEY: &str = "APIKEY";

/// An auth config to begin with: `ACCOUNT/CONFIG` or `ACCOUNT/CONFIG=TYPE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSpec {
    /// The RingCX account that has it.
    pub account_id: String,
    pub config_id: String,
    /// `APIKEY`, `JWT`, `BASIC`, `OAUTH` or `CUSTOM_AUTH`.
    pub auth_type: String,
}

/// The text is not a [`ConfigSpec`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{got}`: expected ACCOUNT/CONFIG or ACCOUNT/CONFIG=TYPE, with a TYPE of \
     APIKEY, JWT, BASIC, OAUTH or CUSTOM_AUTH"
)]
pub struct ConfigSpecError {
    /// The text that was given, such as `2117` without an auth config.
    pub got: String,
}

impl FromStr for ConfigSpec {
    type Err = ConfigSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ConfigSpecError {
            got: text.to_owned(),
        };
        let (place, auth_type) = text.split_once('=').unwrap_or((text, API_KEY));
        let (account_id, config_id) = place.split_once('/').ok_or_else(wrong)?;
        let known = [API_KEY, "JWT", "BASIC", "OAUTH", "CUSTOM_AUTH"].contains(&auth_type);
        // The ids become path segments; a slash or dot would route to something else.
        let plain =
            |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !known || !plain(account_id) || !plain(config_id) {
            return Err(wrong());
        }
        let [account_id, config_id, auth_type] =
            [account_id, config_id, auth_type].map(str::to_owned);
        Ok(Self {
            account_id,
            config_id,
            auth_type,
        })
    }
}

impl fmt::Display for ConfigSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}={}",
            self.account_id, self.config_id, self.auth_type
        )
    }
}

/// Which auth configs a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConfigTarget {
    account_id: String,
    /// `None` for all of the account.
    config_id: Option<String>,
}

/// What a request about auth configs wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConfigOp {
    List,
    Read,
    Write,
}

/// A request about auth configs, if it is one.
pub(super) fn route(request: &Request) -> Option<(ConfigOp, ConfigTarget)> {
    let parts: Vec<&str> = request.path.strip_prefix(ACCOUNTS)?.split('/').collect();
    let target = |account: &str, config: Option<&str>| ConfigTarget {
        account_id: account.to_owned(),
        config_id: config.map(str::to_owned),
    };
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", [account, "external", "authConfigs"]) => {
            Some((ConfigOp::List, target(account, None)))
        }
        ("GET", [account, "external", "authConfigs", id]) => {
            Some((ConfigOp::Read, target(account, Some(id))))
        }
        ("PATCH", [account, "external", "authConfigs", id, "apiKey"]) => {
            Some((ConfigOp::Write, target(account, Some(id))))
        }
        _ => None,
    }
}

impl WorldState {
    /// Adds an auth config, or replaces the one of the same id. Its key is not a token that was
    /// minted here.
    pub(super) fn add_config(&mut self, now: DateTime<Utc>, spec: ConfigSpec) {
        // Ids are unique here, so that a lookup needs no account.
        self.remove_config(&spec.config_id);
        let ConfigSpec {
            account_id,
            config_id,
            auth_type,
        } = spec;
        self.configs.push(ConfigRecord {
            provider: format!("Provider of {config_id}"),
            description: format!("What {config_id} is for"),
            account_id,
            config_id,
            auth_type,
            updated_at: now,
            changes: 0,
            // It looks like a token but was never minted: a client must not take the form for a
            // proof.
            key: format!("aws80:{}", random::uuid()),
            fingerprint: None,
        });
    }

    pub(super) fn remove_config(&mut self, config_id: &str) {
        self.configs.retain(|config| config.config_id != config_id);
    }

    /// Sets the key as another program would. Returns whether there is such an auth config.
    pub(super) fn set_key(&mut self, now: DateTime<Utc>, config_id: &str, key: &str) -> bool {
        let Some(config) = self
            .configs
            .iter_mut()
            .find(|config| config.config_id == config_id)
        else {
            return false;
        };
        change(config, now, key);
        true
    }

    /// What a flow's next call with the configured key comes to.
    pub(super) fn flow_calls(&mut self, now: DateTime<Utc>, config_id: &str) {
        let Some(config) = self
            .configs
            .iter()
            .find(|config| config.config_id == config_id)
        else {
            return;
        };
        let key = Fingerprint::of(config.key.as_bytes());
        // Asked of the world and not by a request: queued faults and limits stay for the daemon's
        // calls.
        let works = self.user_of_token(now, &config.key).is_some();
        let flow = match self
            .flows
            .iter_mut()
            .find(|flow| flow.config_id == config_id)
        {
            Some(flow) => flow,
            None if works => {
                self.flows.push(FlowRecord {
                    config_id: config_id.to_owned(),
                    ..FlowRecord::default()
                });
                self.flows.last_mut().expect("it was just pushed")
            }
            // No token has been put there yet: the flow is not in service.
            None => return,
        };
        flow.calls += 1;
        // Consecutive calls with one key are one entry, so a test reads the order of the keys at
        // once.
        if flow.keys.last() != Some(&key) {
            flow.keys.push(key);
        }
        if !works {
            flow.failed += 1;
            flow.first_failed_at.get_or_insert(now);
        }
    }

    /// The RingCX accounts that every login can see.
    pub(super) fn account_ids(&self) -> BTreeSet<String> {
        let usual = std::iter::once("21170001".to_owned());
        usual
            .chain(self.configs.iter().map(|config| config.account_id.clone()))
            .collect()
    }

    /// Answers a request about auth configs; whether it changed one, and the fingerprint of the key
    /// it set.
    pub(super) fn configs_answer(
        &mut self,
        now: DateTime<Utc>,
        op: ConfigOp,
        target: &ConfigTarget,
        request: &Request,
    ) -> (Response, Option<Fingerprint>) {
        // Rights come before existence: a user without rights cannot find out which ids exist.
        let may = match (self.settings.config_access, op) {
            (ConfigAccess::Full | ConfigAccess::Lie, _)
            | (ConfigAccess::Read, ConfigOp::List | ConfigOp::Read) => true,
            (ConfigAccess::Read, ConfigOp::Write) | (ConfigAccess::None, _) => false,
        };
        if !may {
            return (answer::error(403, request), None);
        }
        // A login sees only its accounts; others are a 404, so that their existence is not shown.
        if !self.account_ids().contains(&target.account_id) {
            return (answer::error(404, request), None);
        }
        let form = self.settings.key_form;
        let lies = self.settings.config_access == ConfigAccess::Lie;
        let found = self.configs.iter_mut().find(|config| {
            config.account_id == target.account_id
                && Some(&config.config_id) == target.config_id.as_ref()
        });
        match (op, found) {
            (ConfigOp::List, _) => {
                let own = self
                    .configs
                    .iter()
                    .filter(|config| config.account_id == target.account_id);
                let records: Vec<Value> = own.map(|config| shown(config, form)).collect();
                (Response::json(200, &json!({ "records": records })), None)
            }
            (ConfigOp::Read, Some(config)) => (Response::json(200, &shown(config, form)), None),
            (ConfigOp::Write, Some(config)) => match wanted(config, &request.body) {
                // The answer shows the new key and the stored one stays: only a client that reads
                // back notices.
                Some((_, _, key)) if lies => {
                    let mut changed = config.clone();
                    change(&mut changed, now, &key);
                    (Response::json(200, &shown(&changed, form)), None)
                }
                Some((provider, description, key)) => {
                    (config.provider, config.description) = (provider, description);
                    change(config, now, &key);
                    (
                        Response::json(200, &shown(config, form)),
                        config.fingerprint,
                    )
                }
                None => (answer::error(400, request), None),
            },
            (ConfigOp::Read | ConfigOp::Write, None) => (answer::error(404, request), None),
        }
    }

    /// Mints a foreign token and sets it as the key, as an operator would who pastes it.
    pub(super) fn paste_foreign(
        &mut self,
        now: DateTime<Utc>,
        user: &str,
        config_id: &str,
    ) -> String {
        let token = self.mint(now, user, "aws80", MintedBy::Foreign);
        self.set_key(now, config_id, &token);
        token
    }
}

fn change(config: &mut ConfigRecord, now: DateTime<Utc>, key: &str) {
    key.clone_into(&mut config.key);
    config.fingerprint = Some(Fingerprint::of(key.as_bytes()));
    config.changes += 1;
    // Its clock ticks in milliseconds, and every change moves it.
    config.updated_at = now.max(config.updated_at + chrono::TimeDelta::milliseconds(1));
}

/// What a change asks for; without a provider's name or a key it is refused, and so is another
/// type. A field that is left out is emptied, so a client has to send what it wants to keep.
fn wanted(config: &ConfigRecord, body: &[u8]) -> Option<(String, String, String)> {
    let fields: Value = serde_json::from_slice(body).ok()?;
    let field = |name: &str| {
        fields
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let fits =
        config.auth_type == API_KEY && field("authType").is_none_or(|found| found == API_KEY);
    let description = field("description").unwrap_or_default().to_owned();
    // The type cannot be changed by this call, and only one type has a key.
    fits.then_some(())?;
    Some((
        field("providerName")?.to_owned(),
        description,
        field("apiKey")?.to_owned(),
    ))
}

fn shown(config: &ConfigRecord, form: KeyForm) -> Value {
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string();
    let mut shown = json!({
        "authConfigId": config.config_id,
        "authType": config.auth_type,
        "providerName": config.provider,
        "description": config.description,
        "createdTime": "2026-01-01T00:00:00.000+0000",
        "updatedTime": time(config.updated_at),
    });
    let key = match form {
        KeyForm::Whole => config.key.clone(),
        KeyForm::Masked => {
            // A key shorter than four characters is shown whole, as there is nothing to mask.
            let tail = config.key.len().saturating_sub(4);
            format!("************{}", config.key.get(tail..).unwrap_or_default())
        }
        KeyForm::Hidden => "************".to_owned(),
        KeyForm::Absent => return shown,
    };
    // The other types have no such field at all, and a client must not expect it.
    if let (true, Some(fields)) = (config.auth_type == API_KEY, shown.as_object_mut()) {
        fields.insert("apiKey".to_owned(), Value::from(key));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_names_account_config_and_type() {
        let spec: ConfigSpec = "2117/c-1".parse().unwrap();
        assert_eq!(spec.to_string(), "2117/c-1=APIKEY");
        assert_eq!(spec.to_string().parse(), Ok(spec));
        assert_eq!(
            "2117/c=OAUTH".parse::<ConfigSpec>().unwrap().auth_type,
            "OAUTH"
        );
        for bad in [
            "",
            "2117",
            "2117/",
            "/c",
            "2117/c/d",
            "2117/c=KEY",
            "2117/..=",
        ] {
            assert!(bad.parse::<ConfigSpec>().is_err(), "{bad}");
        }
    }
}
