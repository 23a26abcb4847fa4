//! RingCX's external auth configs: where it keeps the credential that an IVR flow's HTTP nodes
//! send.
//!
//! Types, the three calls, and what an answer means: bytes in, types out. Whether a key is shown
//! whole is not documented, so each way of showing it is understood: whole, masked, or not at all.
//! The facts are those of the public documentation of Remote HTTP services. What this file does not
//! know: whose token a key is.

use std::future::Future;
use std::pin::Pin;

use serde_json::{Map, Value};

use super::wire::{BodyError, json, text};
use super::{ApiError, Auth};
use rotator_core::secret::{Secret, Token, redact};

#[cfg(test)]
mod tests;

/// The type that holds a token; others hold other things.
pub const API_KEY: &str = "APIKEY";

/// More than any name or description has any use for.
pub(crate) const MAX_TEXT: usize = 256;

/// The most auth configs of one account; a longer list is refused.
pub(crate) const MAX_CONFIGS: usize = 10_000;

/// Which auth config of which RingCX account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthConfigId<'a> {
    /// `accountId` of RingCX, as in the path of the call.
    pub account_id: &'a str,
    /// `authConfigId`, a UUID, as in the path of the call.
    pub config_id: &'a str,
}

/// An auth config as RingCX shows it.
pub struct AuthConfig {
    /// `authConfigId`, a UUID.
    pub id: String,
    /// `authType`, such as `APIKEY`.
    pub auth_type: String,
    /// `providerName`, as it came: it is sent back as it is.
    pub provider: String,
    /// `description`, as it came.
    pub description: Option<String>,
    /// `updatedTime`, as it came: it is only ever compared.
    pub updated: Option<String>,
    /// `apiKey`, as far as RingCX shows it.
    pub key: ShownKey,
}

/// How a key is shown.
pub enum ShownKey {
    /// All of the key.
    Whole(Secret),
    /// Only some of it. What can be seen stands at its beginning and its end.
    Masked {
        /// What stands before the mask.
        head: String,
        /// What stands behind it.
        tail: String,
    },
    /// The key is not in the answer, or is empty.
    Absent,
}

/// What a key that is not shown whole can tell of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// What can be seen of it does not fit this token.
    Differs,
    /// So little can be seen that it may be any key, for example `••••`.
    Tells,
    /// What can be seen of it, four characters at least, is at this token's end.
    Fits,
}

impl ShownKey {
    fn read(shown: Option<&Value>) -> Self {
        let Some(text) = shown
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
        else {
            return Self::Absent;
        };
        match mask(text) {
            None => Self::Whole(Secret::new(text)),
            Some((start, end)) => Self::Masked {
                head: text[..start].to_owned(),
                tail: text[end..].to_owned(),
            },
        }
    }

    /// Whether what is shown of the key fits this token.
    pub fn likeness(&self, token: &Token) -> Likeness {
        let token = token.expose();
        match self {
            Self::Whole(key) if key.expose() == token => Likeness::Fits,
            Self::Whole(_) => Likeness::Differs,
            Self::Absent => Likeness::Tells,
            Self::Masked { head, tail } if token.starts_with(head) && token.ends_with(tail) => {
                // Heads such as `aws80:` are common to many tokens; the tail is what tells them
                // apart.
                if tail.len() >= 4 {
                    Likeness::Fits
                } else {
                    Likeness::Tells
                }
            }
            Self::Masked { .. } => Likeness::Differs,
        }
    }
}

/// Where the mask of a masked key begins and ends: from the first to the last character that no
/// token has, or a row of one and the same character that stands for others.
fn mask(text: &str) -> Option<(usize, usize)> {
    let stands_for_others = |c: char| "*•·…●".contains(c) || c.is_whitespace();
    if let (Some(start), Some(end)) = (text.find(stands_for_others), text.rfind(stands_for_others))
    {
        let last = text[end..].chars().next().map_or(1, char::len_utf8);
        return Some((start, end + last));
    }
    ["xxxx", "XXXX", "....", "####"].iter().find_map(|row| {
        let start = text.find(row)?;
        let rest = text[start..].trim_start_matches(&row[..1]);
        Some((start, text.len() - rest.len()))
    })
}

/// A call under way.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send + 'a>>;

/// The calls about auth configs. Boxed, so that a sink can be handed them without knowing whose
/// they are.
pub trait AuthConfigs: Send + Sync {
    /// `GET /voice/api/v1/admin/accounts/{accountId}/external/authConfigs/{authConfigId}`
    fn auth_config<'a>(
        &'a self,
        auth: Auth<'a>,
        place: AuthConfigId<'a>,
    ) -> Answering<'a, AuthConfig>;

    /// `PATCH …/external/authConfigs/{authConfigId}/apiKey`: the key, and what is there besides as
    /// it was. Whether the key is there now is for a read to say.
    fn set_api_key<'a>(
        &'a self,
        auth: Auth<'a>,
        place: AuthConfigId<'a>,
        was: &'a AuthConfig,
        key: &'a Token,
    ) -> Answering<'a, ()>;

    /// `GET /voice/api/v1/admin/accounts/{accountId}/external/authConfigs`
    fn auth_configs<'a>(
        &'a self,
        auth: Auth<'a>,
        account_id: &'a str,
    ) -> Answering<'a, Vec<AuthConfig>>;
}

/// The body of a change.
pub(crate) fn change(was: &AuthConfig, key: &Token) -> Value {
    // `providerName` is required and sent back as read, so that only the key changes.
    let mut body = serde_json::json!({
        "providerName": was.provider,
        "authType": API_KEY,
        "apiKey": key.expose(),
    });
    if let (Some(description), Some(body)) = (&was.description, body.as_object_mut()) {
        body.insert("description".to_owned(), Value::from(description.clone()));
    }
    body
}

/// The answer of a read.
pub(crate) fn one(body: &[u8]) -> Result<AuthConfig, BodyError> {
    let expected = "the JSON of an auth config";
    let fields: Map<String, Value> = json(text(body)?, expected)?;
    read(&fields).ok_or(BodyError::NotThat { expected })
}

/// The answer of a list.
pub(crate) fn many(body: &[u8]) -> Result<Vec<AuthConfig>, BodyError> {
    let expected = "a JSON object with `records`";
    let fields: Map<String, Value> = json(text(body)?, expected)?;
    let Some(Value::Array(records)) = fields.get("records") else {
        return Err(BodyError::NotThat { expected });
    };
    // Refused, not cut: a shortened list would hide the config that is looked for.
    if records.len() > MAX_CONFIGS {
        return Err(BodyError::TooMany);
    }
    let configs = records
        .iter()
        .map(|record| record.as_object().and_then(read));
    configs
        .collect::<Option<Vec<_>>>()
        .ok_or(BodyError::NotThat { expected })
}

/// `None` where the id or the type is missing. Dates may be texts or numbers.
fn read(fields: &Map<String, Value>) -> Option<AuthConfig> {
    let field = |name: &str| fields.get(name).and_then(Value::as_str);
    let updated = match fields.get("updatedTime") {
        Some(Value::String(text)) => Some(redact::plain(text, MAX_TEXT)),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(_) | None => None,
    };
    Some(AuthConfig {
        id: redact::plain(field("authConfigId")?, MAX_TEXT),
        auth_type: redact::plain(field("authType")?, MAX_TEXT),
        provider: field("providerName").unwrap_or_default().to_owned(),
        description: field("description").map(str::to_owned),
        updated,
        key: ShownKey::read(fields.get("apiKey")),
    })
}
