//! A token as a signed HTTP request, by the Standard Webhooks rules.
//!
//! One request for each delivery: no retries, no redirects. The token is in the body only. What
//! this does not know: whether the receiver kept what it answered 2xx to, unless `receipt =
//! "fingerprint"` makes it prove that.

use std::sync::Arc;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, StatusCode};

use super::{Delivery, ReadBack, Sink, SinkContext, SinkError, SinkTarget, blocking, message};
use crate::failpoint;
use crate::outbound::Endpoint;
use crate::secret_source;
use rotator_core::config::{Receipt, WebhookSink, is_loopback};
use rotator_core::event::DeliveryReceipt;
use rotator_core::secret::{Fingerprint, Secret};
use signature::Key;

mod client;
mod signature;
#[cfg(test)]
mod tests;

/// In bytes. An answer that proves receipt is a few dozen.
const LARGEST_ANSWER: usize = 64 * 1024;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// A sink of `type = "webhook"`.
pub struct WebhookTarget(Arc<WebhookInner>);

struct WebhookInner {
    name: String,
    policy: WebhookSink,
    endpoint: Endpoint,
}

impl SinkTarget for WebhookTarget {
    type Config = WebhookSink;

    fn new(name: &str, policy: WebhookSink) -> Self {
        let name = name.to_owned();
        Self(Arc::new(WebhookInner {
            name,
            endpoint: client::endpoint(&policy),
            policy,
        }))
    }
}

impl WebhookTarget {
    /// The signing key. Read for each delivery, so that a new one needs no restart.
    async fn key(&self) -> Result<Key, SinkError> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let secret: Secret = secret_source::read(&inner.policy.secret)?;
            Key::try_new(&secret).map_err(|error| SinkError::Setup {
                why: error.to_string(),
            })
        })
        .await
    }
}

impl Sink for WebhookTarget {
    async fn preflight(&self, _: SinkContext<'_>) -> Result<(), SinkError> {
        self.0.check_address()?;
        self.0.own_headers()?;
        client::client(&self.0.endpoint).await?;
        self.key().await.map(drop)
    }

    async fn deliver(
        &self,
        delivery: &Delivery<'_>,
        _: SinkContext<'_>,
    ) -> Result<DeliveryReceipt, SinkError> {
        let inner = &self.0;
        inner.check_address()?;
        let body = message::json(&inner.name, delivery);
        let mut headers = inner.own_headers()?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let id = message_id(&inner.name, delivery);
        let timestamp = delivery.now.timestamp().to_string();
        headers.insert(
            SIGNATURE,
            header(&self.key().await?.sign(&id, &timestamp, &body)),
        );
        headers.insert(ID, header(&id));
        headers.insert(TIMESTAMP, header(&timestamp));

        let url = inner.policy.url.expose();
        let request = client::client(&inner.endpoint)
            .await?
            .post(url.clone())
            .timeout(inner.policy.timeout)
            .headers(headers)
            // The client wants to own the body: this one copy is not wiped.
            .body(body.to_vec());
        let answer = match failpoint::around_async("webhook", request.send()).await {
            Ok(answer) => answer,
            Err(error) => {
                return Err(client::failure(&inner.endpoint, &error, &inner.policy.url).await);
            }
        };
        inner.compare(answer, delivery).await?;
        Ok(DeliveryReceipt::default())
    }

    async fn read_back(&self, _: SinkContext<'_>) -> ReadBack {
        ReadBack::Opaque
    }
}

impl WebhookInner {
    /// The policy has checked it; checked again, because a token is about to be sent.
    fn check_address(&self) -> Result<(), SinkError> {
        let url = self.policy.url.expose();
        match url.scheme() {
            "https" => Ok(()),
            "http" if is_loopback(url) => Ok(()),
            _ => Err(SinkError::Setup {
                why: "the address is neither https nor http on loopback".to_owned(),
            }),
        }
    }

    /// The headers of the policy, which may not set those that make the request what it is.
    fn own_headers(&self) -> Result<HeaderMap, SinkError> {
        // A second value of one of these would break the signature or the framing of the request.
        const OURS: [&str; 7] = [
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
            "content-type",
            "content-length",
            "transfer-encoding",
            "host",
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in &self.policy.headers {
            let setup = |why: &str| SinkError::Setup {
                why: format!("header `{name}` {why}"),
            };
            let parsed = HeaderName::try_from(name)
                .map_err(|_| setup("has a name that no header can have"))?;
            if OURS.contains(&parsed.as_str()) {
                return Err(setup("is set by ringcx-rotator itself"));
            }
            let mut value = HeaderValue::try_from(value.expose())
                .map_err(|_| setup("has a value that no header can have"))?;
            // Keeps the value, often a password, out of debug output.
            value.set_sensitive(true);
            headers.append(parsed, value);
        }
        Ok(headers)
    }

    async fn compare(&self, answer: Response, delivery: &Delivery<'_>) -> Result<(), SinkError> {
        let status = answer.status();
        let host = || self.policy.url.to_string();
        // Standard Webhooks: 410 ends the deliveries, so the sink is parked and not tried again.
        if status == StatusCode::GONE {
            return Err(SinkError::Gone { host: host() });
        }
        if !status.is_success() {
            let retry_after = client::retry_after(status, answer.headers(), delivery.now);
            return Err(SinkError::Refused {
                host: host(),
                status: status.as_u16(),
                retry_after,
            });
        }
        match self.policy.receipt {
            Receipt::Status => Ok(()),
            Receipt::Fingerprint => {
                proof(answer, &delivery.token.fingerprint())
                    .await
                    .map_err(|why| SinkError::Unproved {
                        host: host(),
                        status: status.as_u16(),
                        why,
                    })
            }
        }
    }
}

async fn proof(mut answer: Response, expected: &Fingerprint) -> Result<(), &'static str> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| "its answer broke off")? {
        // Checked for each piece, because a receiver can send without end.
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err("its answer is longer than 64 KiB");
        }
        body.extend_from_slice(&chunk);
    }
    message::proves(&body, expected)
}

/// The same for every try of one account, sink and generation: receivers tell repetitions by it.
/// The token's fingerprint is in it, so that a generation that starts anew after a lost journal is
/// new.
fn message_id(sink: &str, delivery: &Delivery<'_>) -> String {
    let mut parts = Vec::new();
    for part in [
        delivery.account,
        sink,
        &delivery.generation.to_string(),
        &delivery.token.fingerprint().to_string(),
    ] {
        // With lengths, so that no two lists of parts read the same.
        parts.extend_from_slice(&(part.len() as u64).to_be_bytes());
        parts.extend_from_slice(part.as_bytes());
    }
    format!("msg_{}", &Fingerprint::of(&parts).to_string()[..32])
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("ids, numbers and base64 are visible ASCII")
}
