//! What RingCX's answers say: bytes in, types out.
//!
//! Pure, and written for hostile input: whatever the bytes, the result is a value or a
//! [`BodyError`] that names what is wrong without repeating the body. No parser is chosen by
//! Content-Type, which RingCX does not keep to. What this file does not know: status codes, and who
//! asked.
//!
//! The forms are those of the public documentation, "Obtaining a RingCX access token" (2024-07-10
//! and its current version) and of the OpenAPI files in `ringcentral/engage-voice-api-docs`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Deletion, LoginTokens, RingexAccess, VisibleAccount, redact};
use rotator_core::secret::{Fingerprint, Secret, Token, TokenFormError};
use rotator_core::time::LONGEST_QUIET;

mod fields;
mod jwt;
mod list;
#[cfg(test)]
mod tests;

pub use list::{MAX_TOKENS, listed};

/// An access token longer than this does not fit the header block of common proxies.
const MAX_ACCESS_TOKEN: usize = 16 * 1024;

const MAX_ACCOUNT_ID: usize = 64;
const MAX_ACCOUNT_NAME: usize = 128;

/// Why a body makes no sense. Never says what was in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body is empty, or white space only.
    #[error("the body is empty")]
    Empty,
    /// A proxy's page, or a login page.
    #[error("the body is an HTML page")]
    Html,
    /// The body is not valid UTF-8.
    #[error("the body is not text")]
    NotText,
    /// Not the JSON that was asked for.
    #[error("the body is not {expected}")]
    NotThat {
        /// What it should have been.
        expected: &'static str,
    },
    /// A login without the one field that matters.
    #[error("the body has no accessToken")]
    NoAccessToken,
    /// RingEX's answer without its one field that matters.
    #[error("the body has no access_token")]
    NoRingexToken,
    /// An access token that cannot stand in a header.
    #[error("the access token is not 1 to {MAX_ACCESS_TOKEN} visible ASCII characters")]
    AccessTokenForm,
    /// The text that `mint` gave does not have the form of a token.
    #[error("the body is not a token: {0}")]
    NotToken(#[source] TokenFormError),
    /// A list longer than any user has.
    #[error("the list has more than {MAX_TOKENS} elements")]
    TooMany,
}

/// The answer of `login` and `refresh`. Every field is optional in the documentation; without
/// `accessToken` there is no login. `server_time` is the answer's `Date`.
pub fn login(body: &[u8], server_time: Option<DateTime<Utc>>) -> Result<LoginTokens, BodyError> {
    let names = [
        "accessToken",
        "refreshToken",
        "adminPasswordReset",
        "expires_in",
    ];
    let [access, refresh, reset, expires_in] = fields::object(body, names)?;
    let access = access.as_ref().and_then(Value::as_str);
    let access = access.ok_or(BodyError::NoAccessToken)?;
    if !fits_a_header(access) {
        return Err(BodyError::AccessTokenForm);
    }
    // One that cannot be used is left out: the next renewal is then a login.
    let refresh = refresh
        .as_ref()
        .and_then(Value::as_str)
        .filter(|text| fits_a_header(text));
    Ok(LoginTokens {
        access: Secret::new(access),
        refresh: refresh.map(Secret::new),
        lifetime: jwt::lifetime(access, expires_in.as_ref(), server_time),
        date_ahead: jwt::issued_at(access)
            .zip(server_time)
            .map(|(issued, date)| date - issued),
        // Documented as a boolean; a string of the same meaning is not worth missing the alarm for.
        password_reset: match reset {
            Some(Value::Bool(reset)) => reset,
            Some(Value::String(reset)) => reset == "true",
            Some(_) | None => false,
        },
    })
}

/// The answer of RingEX to a JWT (RFC 6749, section 5.1).
pub fn ringex_access(body: &[u8]) -> Result<RingexAccess, BodyError> {
    const MOST: Duration = Duration::from_secs(24 * 60 * 60);
    let [access, expires_in] = fields::object(body, ["access_token", "expires_in"])?;
    let access = access.as_ref().and_then(Value::as_str);
    let access = access.ok_or(BodyError::NoRingexToken)?;
    if !fits_a_header(access) {
        return Err(BodyError::AccessTokenForm);
    }
    let seconds = match expires_in {
        Some(Value::Number(seconds)) => seconds.as_u64(),
        Some(Value::String(seconds)) => seconds.parse().ok(),
        Some(_) | None => None,
    };
    // Of unknown life it is used at once and not kept.
    let lifetime = Duration::from_secs(seconds.unwrap_or(0)).min(MOST);
    Ok(RingexAccess {
        bearer: Secret::new(access),
        lifetime,
    })
}

/// See [`super::ringex_user`].
pub fn ringex_user(jwt: &str) -> String {
    const LONGEST: usize = 64;
    match jwt::subject(jwt)
        .map(|subject| redact::plain(&subject, LONGEST))
        .filter(|text| !text.is_empty())
    {
        Some(subject) => format!("RingEX user {subject}"),
        None => format!("RingEX JWT {}", Fingerprint::of(jwt.as_bytes()).short()),
    }
}

/// The answer of `mint`: the bare token as documented, or a quoted JSON string as some clients see
/// it.
pub fn minted(body: &[u8]) -> Result<Token, BodyError> {
    let text = text(body)?;
    Token::try_new(unquote(text).trim()).map_err(BodyError::NotToken)
}

/// The answer of `delete`: a boolean as text, or nothing at all.
pub fn deleted(body: &[u8]) -> Result<Deletion, BodyError> {
    match text(body).map(unquote) {
        // A 204 has no body.
        Ok("true") | Err(BodyError::Empty) => Ok(Deletion::Accepted),
        Ok("false") => Ok(Deletion::Denied),
        Ok(_) => Err(BodyError::NotThat {
            expected: "true or false",
        }),
        Err(why) => Err(why),
    }
}

/// The answer of `accounts`: the two fields that are shown, and nothing else of objects that can
/// hold secrets. A missing field is an empty text; no answer at all is no account.
pub fn accounts(body: &[u8]) -> Result<Vec<VisibleAccount>, BodyError> {
    let rows = match fields::objects(body, ["accountId", "accountName"]) {
        // A 204 has no body.
        Err(BodyError::Empty) => Vec::new(),
        rows => rows?,
    };
    let shown = |field: Option<Value>, max| match field {
        Some(Value::String(text)) => redact::plain(&text, max),
        Some(Value::Number(number)) => redact::plain(&number.to_string(), max),
        Some(_) | None => String::new(),
    };
    let account = |[id, name]: [Option<Value>; 2]| VisibleAccount {
        id: shown(id, MAX_ACCOUNT_ID),
        name: shown(name, MAX_ACCOUNT_NAME),
    };
    Ok(rows.into_iter().map(account).collect())
}

/// `Retry-After` as a wait from now: seconds, or a date read against `now`. At most an hour: for a
/// longer time no one would look whether the tokens still work.
pub fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    const MOST: Duration = LONGEST_QUIET;
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // So many digits that they overflow still ask for a long wait.
        return Some(value.parse().map_or(MOST, Duration::from_secs).min(MOST));
    }
    let wait = http_date(value)? - now;
    Some(wait.to_std().unwrap_or(Duration::ZERO).min(MOST))
}

/// The value of a `Date` header, for example `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http_date(value: &str) -> Option<DateTime<Utc>> {
    httpdate::parse_http_date(value.trim())
        .ok()
        .map(DateTime::from)
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3). A space becomes `%20`
/// and a plus `%2B`, which reads the same in a query and in a form.
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The body as text: without a byte order mark, trimmed, not empty, not a page.
pub(super) fn text(body: &[u8]) -> Result<&str, BodyError> {
    std::str::from_utf8(content(body)?)
        .map(str::trim)
        .map_err(|_| BodyError::NotText)
}

/// The same for a body that may hold bytes that are no text.
fn content(body: &[u8]) -> Result<&[u8], BodyError> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let body = body.trim_ascii();
    match body.first() {
        None => Err(BodyError::Empty),
        Some(b'<') => Err(BodyError::Html),
        Some(_) => Ok(body),
    }
}

/// No answer we want has an escape in it: what stands between the quotes is the text.
fn unquote(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text)
}

/// serde_json's own error can quote the body, so it is dropped.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    text: &str,
    expected: &'static str,
) -> Result<T, BodyError> {
    serde_json::from_str(text).map_err(|_| BodyError::NotThat { expected })
}

fn fits_a_header(text: &str) -> bool {
    (1..=MAX_ACCESS_TOKEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
