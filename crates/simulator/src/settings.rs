//! How the stand-in answers when nothing goes wrong: the forms RingCX is known or feared to use.
//!
//! All of it can be changed while it runs, from code or by `PATCH /_simulate/settings` with these
//! names.

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The settings, with what is documented as the default. Limits are off until asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How long an access token lives. A change holds for those given from then on.
    #[serde(with = "rotator_core::span")]
    pub access_token_ttl: Duration,
    /// The form of access tokens.
    pub access_token_form: AccessTokenForm,
    /// What `adminPasswordReset` says at login.
    pub admin_password_reset: bool,
    /// Number of wrong passwords in a row after which a user is locked.
    pub lockout_after: Option<u32>,
    /// The body of a mint's answer.
    pub mint_form: MintForm,
    /// The status of a mint's answer.
    pub mint_status: u16,
    /// The body of a list's answer.
    pub list_form: ListForm,
    /// What else stands on every list, which need not be a text.
    pub list_extra: Vec<serde_json::Value>,
    /// How many tokens a list shows at most, the oldest first, as if it were the first page of more.
    pub list_first: Option<u32>,
    /// How old the list is that is shown, as by a node that lags behind.
    #[serde(with = "rotator_core::span")]
    pub list_lag: Duration,
    /// How many tokens a user may have: a mint beyond that deletes the oldest.
    pub tokens_per_user: Option<u32>,
    /// What a delete of a living token does and answers.
    pub delete_form: DeleteForm,
    /// What a delete of a token that is not there is answered.
    pub delete_unknown: DeleteUnknown,
    /// Delay after which a new token is on the list.
    #[serde(with = "rotator_core::span")]
    pub listed_after: Duration,
    /// Delay after which a new token works.
    #[serde(with = "rotator_core::span")]
    pub usable_after: Duration,
    /// How far the server's clock is ahead of ours, in seconds.
    pub date_skew_seconds: i64,
    /// How far the clock that issues access tokens is ahead of the server's, in seconds.
    pub issuer_skew_seconds: i64,
    /// What the `Date` header of each answer holds.
    pub date_form: DateForm,
    /// Logins per minute and user; more are answered 429.
    pub logins_per_minute: Option<u32>,
    /// Requests to RingEX per minute and app; more are answered 429.
    pub ringex_logins_per_minute: Option<u32>,
    /// Whether RingEX apps have the JWT auth flow.
    pub jwt_flow: bool,
    /// How long an access token of RingEX lives.
    #[serde(with = "rotator_core::span")]
    pub ringex_token_ttl: Duration,
    /// Every other call per minute and user; more are answered 429.
    pub requests_per_minute: Option<u32>,
    /// How long a user over a limit stays refused; any request in that time starts it again.
    #[serde(with = "rotator_core::span")]
    pub penalty: Duration,
    /// Whether a request during a penalty makes it twice as long.
    pub penalty_doubles: bool,
    /// The `Retry-After` of a limit's 429.
    pub penalty_form: PenaltyForm,
    /// How an auth config shows its key.
    pub key_form: KeyForm,
    /// What users may do with auth configs.
    pub config_access: ConfigAccess,
    /// The user whose session every login is answered with, as by a cache that mixes answers up.
    pub session_of: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Five minutes and the JWT are what RingCX documents.
            access_token_ttl: Duration::from_secs(300),
            access_token_form: AccessTokenForm::Jwt,
            admin_password_reset: false,
            lockout_after: None,
            mint_form: MintForm::Bare,
            mint_status: 200,
            list_form: ListForm::Array,
            list_extra: Vec::new(),
            list_first: None,
            list_lag: Duration::ZERO,
            tokens_per_user: None,
            delete_form: DeleteForm::True,
            // Not documented, so this is one guess of several; tests try them all.
            delete_unknown: DeleteUnknown::NotFound,
            listed_after: Duration::ZERO,
            usable_after: Duration::ZERO,
            date_skew_seconds: 0,
            issuer_skew_seconds: 0,
            date_form: DateForm::Sent,
            logins_per_minute: None,
            ringex_logins_per_minute: None,
            jwt_flow: true,
            ringex_token_ttl: Duration::from_secs(3600),
            requests_per_minute: None,
            penalty: Duration::from_secs(60),
            penalty_doubles: false,
            penalty_form: PenaltyForm::Seconds,
            key_form: KeyForm::Whole,
            config_access: ConfigAccess::Full,
            session_of: None,
        }
    }
}

impl Settings {
    /// These settings with the members of a JSON object put over them.
    pub fn patched(
        &self,
        changes: serde_json::Map<String, serde_json::Value>,
    ) -> serde_json::Result<Self> {
        // Through JSON, so that one list of names serves for reading, changing and refusing unknown
        // ones.
        let mut merged = serde_json::to_value(self)?;
        if let Some(object) = merged.as_object_mut() {
            // An unknown name becomes a member too, and parsing refuses it below.
            object.extend(changes);
        }
        serde_json::from_value(merged)
    }
}

/// The form of access tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum AccessTokenForm {
    /// A JWT whose `exp` tells its end, by the server's own clock.
    Jwt,
    /// Text that tells nothing.
    Opaque,
}

/// The body of a mint's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MintForm {
    /// The token and nothing else.
    Bare,
    /// The token as a JSON string.
    Quoted,
    /// The token and a line end.
    Newline,
    /// The first half of the token: another, or a part of this one, by its looks.
    Half,
}

/// The body of a list's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ListForm {
    /// A JSON array of strings.
    Array,
    /// `{ "a", "b" }`, as the documentation showed it until 2026.
    Brace,
}

/// What a delete of a living token does and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DeleteForm {
    /// Deletes, and answers 200 `true`.
    True,
    /// Deletes, and answers 204.
    #[value(name = "204")]
    #[serde(rename = "204")]
    NoContent,
    /// Deletes nothing, and answers 200 `false`.
    False,
    /// Deletes nothing, and answers 404.
    #[value(name = "404")]
    #[serde(rename = "404")]
    NotFound,
    /// Deletes nothing, and answers 200 `true`.
    Lie,
    /// Deletes, and answers 200 `false`.
    FalseYetGone,
}

/// What a delete of a token that is not there is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DeleteUnknown {
    /// 200 `true`.
    True,
    /// 200 `false`.
    False,
    /// 401 `Unauthorized`.
    #[value(name = "401")]
    #[serde(rename = "401")]
    Unauthorized,
    /// 403 with an error body.
    #[value(name = "403")]
    #[serde(rename = "403")]
    Forbidden,
    /// 404 with an error body.
    #[value(name = "404")]
    #[serde(rename = "404")]
    NotFound,
}

/// The `Date` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DateForm {
    /// The server's time.
    Sent,
    /// No such header.
    Absent,
    /// A header that is no date.
    Garbled,
}

/// The `Retry-After` of a limit's 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PenaltyForm {
    /// A number of seconds.
    Seconds,
    /// An HTTP date.
    Date,
    /// No such header.
    Absent,
}

/// How an auth config shows its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum KeyForm {
    /// The whole key.
    Whole,
    /// Asterisks and the last four characters.
    Masked,
    /// Asterisks only.
    Hidden,
    /// No field with the key.
    Absent,
}

/// What users may do with auth configs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigAccess {
    /// Read and change them.
    Full,
    /// Read them only.
    Read,
    /// Neither read nor change them.
    None,
    /// Read them, and change nothing though it is answered as if they had.
    Lie,
}
