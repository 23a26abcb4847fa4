//! The HTTP client of a webhook, and its errors as those of a sink.
//!
//! Does not know what is sent. A text that leaves here has no address beyond scheme, host and port,
//! and nothing of a request or an answer.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode};

use crate::outbound::{ConnectionFailure, Endpoint};
use crate::ringcx::wire;
use crate::sinks::SinkError;
use rotator_core::config::{WebhookSink, WebhookUrl};

/// Shorter than a sink's default time-out, so that a receiver that cannot be reached is known not
/// to have been sent anything.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The way to a webhook.
pub(super) fn endpoint(policy: &WebhookSink) -> Endpoint {
    Endpoint::new(policy.url.expose(), &policy.network, None, CONNECT_TIMEOUT)
}

/// A client for it.
pub(super) async fn client(endpoint: &Endpoint) -> Result<Client, SinkError> {
    let client = endpoint.client().await;
    client.map_err(|error| SinkError::Setup {
        why: error.to_string(),
    })
}

/// Only what failed before there was a connection is known not to have been sent.
pub(super) async fn failure(
    endpoint: &Endpoint,
    error: &reqwest::Error,
    url: &WebhookUrl,
) -> SinkError {
    let host = url.to_string();
    if error.is_builder() {
        return SinkError::Setup {
            why: "the request cannot be built from address and headers".to_owned(),
        };
    }
    let ConnectionFailure {
        may_have_been_sent,
        why,
    } = endpoint.failed(error).await;
    if may_have_been_sent {
        SinkError::NoAnswer { host, why }
    } else {
        SinkError::Unreachable { host, why }
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
