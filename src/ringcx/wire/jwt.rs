//! What a JWT's own claims tell: how long an access token lives, and whom a login's JWT names.
//!
//! The signature is not verified: the token came over TLS from the server that made it, and the
//! only thing believed here is when to ask for another. The local clock is never asked: `exp` and
//! `iat` are times of one issuer, and are compared with each other.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// The life of an access token as documented, for one whose `exp` cannot be read.
const USUAL: Duration = Duration::from_secs(5 * 60);

/// The longest life that is believed: of a longer one, a mistake would show only much later.
const MOST: Duration = Duration::from_secs(60 * 60);

/// `exp` less `iat`, both by the clock of the issuer: what other clocks say does not shorten a life.
/// Without them `expires_in` of the answer, in seconds, or `exp` less the server's `Date`. Five
/// minutes where none of these tells; never more than an hour.
pub fn lifetime(
    access: &str,
    expires_in: Option<&Value>,
    server_time: Option<DateTime<Utc>>,
) -> Duration {
    let claims = claims(access);
    let claim = |name| seconds(claims.as_ref()?.get(name)?);
    let stated = || match expires_in? {
        Value::String(text) => text.parse().ok(),
        number => seconds(number),
    };
    let until_end = |start: Option<i64>| Some(claim("exp")?.saturating_sub(start?));
    // A life that is not positive tells nothing: the token was issued just now.
    let lives = |life: &i64| *life > 0;
    let life = until_end(claim("iat"))
        .filter(lives)
        .or_else(|| stated().filter(lives))
        .or_else(|| until_end(server_time.map(|at| at.timestamp())).filter(lives));
    life.and_then(|life| u64::try_from(life).ok())
        .map_or(USUAL, Duration::from_secs)
        .min(MOST)
}

/// `iat`: when the token was issued, by the clock of its issuer.
pub fn issued_at(access: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds(claims(access)?.get("iat")?)?, 0)
}

/// `sub`, as text or as a number.
pub fn subject(jwt: &str) -> Option<String> {
    match claims(jwt)?.get("sub")? {
        Value::String(subject) => Some(subject.clone()),
        Value::Number(subject) => Some(subject.to_string()),
        _ => None,
    }
}

fn claims(access: &str) -> Option<Value> {
    let mut parts = access.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    // JWTs have no padding (RFC 7515); it is tolerated where an issuer adds it.
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// A NumericDate may have a fraction (RFC 7519, section 2).
fn seconds(claim: &Value) -> Option<i64> {
    claim
        .as_i64()
        .or_else(|| claim.as_f64().map(|seconds| seconds as i64))
}
