//! The HTTP client that webhooks share, and its errors in our words.
//!
//! Does not know what is sent. A text that leaves here has no address beyond scheme, host and port,
//! and nothing of a request or an answer.

use std::error::Error;
use std::sync::OnceLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, StatusCode};
use url::Url;

use crate::ringcx::wire;
use crate::sinks::SinkError;
use rotator_core::config::WebhookUrl;

/// Shorter than a sink's default time-out, so that a receiver that cannot be reached is known not
/// to have been sent anything.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One client for every webhook of its scheme, made at first use.
///
/// Plain HTTP is for loopback only, so it never takes a proxy, and needs no trust anchors.
pub(super) fn for_url(url: &Url) -> Result<Client, SinkError> {
    static LOOPBACK: OnceLock<Client> = OnceLock::new();
    static HTTPS: OnceLock<Client> = OnceLock::new();
    if url.scheme() == "http" {
        shared(&LOOPBACK, base().no_proxy().tls_certs_only([]))
    } else {
        shared(&HTTPS, base().https_only(true))
    }
}

fn base() -> ClientBuilder {
    Client::builder()
        // A redirect would carry the token to an address that is not in the policy.
        .redirect(reqwest::redirect::Policy::none())
        // Another try is for the reconciler to decide, which journals it first.
        .retry(reqwest::retry::never())
        // Deliveries are days apart: a kept connection is a dead one, and a send into it an unknown
        // outcome.
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("ringcx-rotator/", env!("CARGO_PKG_VERSION")))
}

fn shared(slot: &OnceLock<Client>, builder: ClientBuilder) -> Result<Client, SinkError> {
    if let Some(client) = slot.get() {
        return Ok(client.clone());
    }
    let client = builder.build().map_err(|error| SinkError::Setup {
        why: format!("no HTTP client: {}", innermost(&error)),
    })?;
    // Two first deliveries may each have built one: the first stays.
    Ok(slot.get_or_init(|| client).clone())
}

/// Only what failed before there was a connection is known not to have been sent.
pub(super) fn failure(error: &reqwest::Error, url: &WebhookUrl) -> SinkError {
    let host = url.to_string();
    if error.is_builder() {
        return SinkError::Setup {
            why: "the request cannot be built from address and headers".to_owned(),
        };
    }
    let why = if error.is_timeout() {
        "timed out".to_owned()
    } else {
        innermost(error)
    };
    if error.is_connect() {
        SinkError::Unreachable { host, why }
    } else {
        SinkError::NoAnswer { host, why }
    }
}

/// The first cause: what the system or TLS said. The outer errors say where to, with the whole
/// address.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(deeper) = cause.and_then(Error::source) {
        cause = Some(deeper);
    }
    match cause {
        Some(cause) if !cause.is::<reqwest::Error>() => cause.to_string(),
        Some(_) | None => "the request failed".to_owned(),
    }
}

/// The wait that 429 and 503 ask for: a day at most, for a receiver must not put its token off for
/// ever.
pub(super) fn retry_after(
    status: StatusCode,
    headers: &HeaderMap,
    now: DateTime<Utc>,
) -> Option<Duration> {
    if ![
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ]
    .contains(&status)
    {
        return None;
    }
    wire::retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
}
