//! What a JWT's own claims tell: how long an access token lives, and whom a login's JWT names.
//!
//! The signature is not verified: the token came over TLS from the server that made it, and the
//! only thing believed here is when to ask for another. The local clock is never asked: `exp` is
//! the server's time, and is compared with the server's time.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// The life of an access token as documented, for one whose `exp` cannot be read.
const USUAL: Duration = Duration::from_secs(5 * 60);

/// The longest life that is believed: of a longer one, a mistake would show only much later.
const MOST: Duration = Duration::from_secs(60 * 60);

/// `exp` less the server's time: its `Date`, else the token's `iat`. Five minutes where that cannot
/// be told; never more than an hour.
pub fn lifetime(access: &str, server_time: Option<DateTime<Utc>>) -> Duration {
    let Some(claims) = claims(access) else {
        return USUAL;
    };
    let seconds = |name| claims.get(name).and_then(seconds);
    let start = server_time
        .map(|at| at.timestamp())
        .or_else(|| seconds("iat"));
    match (seconds("exp"), start) {
        (Some(end), Some(start)) => {
            let lifetime = end.saturating_sub(start);
            // Below zero it has ended already, by the clock of the server.
            u64::try_from(lifetime)
                .map_or(Duration::ZERO, Duration::from_secs)
                .min(MOST)
        }
        (Some(_), None) | (None, Some(_)) | (None, None) => USUAL,
    }
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
