//! What the simulator keeps of each token, call, auth config and flow: plain data.
//!
//! Their JSON is what `GET /_simulate/record` answers; it leaves tokens and keys out.

use std::time::Instant;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::fault::{Call, Fault};
use rotator_core::secret::Fingerprint;

/// A permanent token. Its JSON leaves the token itself out.
#[derive(Clone, Debug, Serialize)]
pub struct TokenRecord {
    /// The user who may delete it.
    pub user: String,
    /// The text of the token, a secret.
    #[serde(skip)]
    pub token: String,
    /// The platform and the last four characters: `aws80:…7d1f`.
    pub masked: String,
    /// SHA-256 of the text.
    pub fingerprint: Fingerprint,
    /// When it was made.
    pub minted_at: DateTime<Utc>,
    /// The API, or a program that is not under test.
    pub minted_by: MintedBy,
    /// From when lists hold it.
    pub listed_from: DateTime<Utc>,
    /// From when it works.
    pub usable_from: DateTime<Utc>,
    /// When it was deleted; `None` while it works.
    pub deleted_at: Option<DateTime<Utc>>,
    /// The API, or a program that is not under test.
    pub deleted_by: Option<DeletedBy>,
    // By the monotonic clock, so that a reader can tell which came first whatever the time of day.
    #[serde(skip)]
    pub(super) alive_since: Instant,
    #[serde(skip)]
    pub(super) dead_since: Option<Instant>,
}

/// Who minted a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MintedBy {
    /// The mint call of the API.
    Api,
    /// A program that is not under test.
    Foreign,
}

/// Who deleted a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeletedBy {
    /// The delete call of the API.
    Api,
    /// A program that is not under test.
    Foreign,
}

/// What a call was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthKind {
    /// Nothing that could let the caller in.
    None,
    /// A password in the URL's query.
    Query,
    /// A password in a form body.
    Form,
    /// An app's secret and a JWT.
    Jwt,
    /// An access token of RingEX in a form body.
    Ringex,
    /// A refresh token in a form body.
    Refresh,
    /// An access token in the header `Authorization: Bearer`.
    Bearer,
    /// A permanent token in the header `X-Auth-Token`.
    Token,
}

/// A call of the API, as it was answered.
#[derive(Clone, Debug, Serialize)]
pub struct CallRecord {
    /// When its request had been read.
    pub at: DateTime<Utc>,
    pub call: Call,
    /// The user, where the request tells it.
    pub user: Option<String>,
    pub auth: AuthKind,
    /// The token it was made with, for [`AuthKind::Token`].
    pub with: Option<Fingerprint>,
    /// The token that was minted, or was to be deleted.
    pub subject: Option<Fingerprint>,
    /// The status answered; `None` where there was no answer.
    pub status: Option<u16>,
    /// The fault that was injected into it.
    pub fault: Option<Fault>,
    /// Whether it changed anything on the server.
    pub effect: bool,
}

/// An auth config. Its JSON leaves the key out.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigRecord {
    /// The RingCX account that has it.
    pub account_id: String,
    pub config_id: String,
    /// `APIKEY`, `JWT`, `BASIC`, `OAUTH` or `CUSTOM_AUTH`.
    pub auth_type: String,
    /// `providerName` of the API.
    pub provider: String,
    /// `description` of the API.
    pub description: String,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// How often it was changed.
    pub changes: u64,
    /// The key, a secret.
    #[serde(skip)]
    pub key: String,
    /// SHA-256 of the key; `None` until one is set.
    pub fingerprint: Option<Fingerprint>,
}

/// What came of the calls of one flow.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FlowRecord {
    /// The auth config whose key it sends.
    pub config_id: String,
    /// How many calls it made, from the first that worked.
    pub calls: u64,
    /// How many of those were refused.
    pub failed: u64,
    /// When the first of them was.
    pub first_failed_at: Option<DateTime<Utc>>,
    /// The keys with which it called, in that order, each once in a row.
    pub keys: Vec<Fingerprint>,
}
