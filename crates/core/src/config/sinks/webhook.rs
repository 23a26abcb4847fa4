//! An HTTP receiver that is sent each token in a signed request.

use std::fmt;
use std::time::Duration;

use super::kind::{Claims, SinkConfig};
use super::receipt::{HeaderSecret, Receipt};
use crate::secret::{Fingerprint, SecretSource};

/// `type = "webhook"`: an HTTP receiver of signed requests.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookSink {
    /// https, or http on loopback.
    pub url: WebhookUrl,
    /// The signing key: `whsec_<base64>`, or raw bytes.
    pub secret: SecretSource,
    /// Sent with every request. Values may be secret: never shown.
    pub headers: Vec<(String, HeaderSecret)>,
    /// For one whole attempt, answer included.
    pub timeout: Duration,
    /// What counts as having arrived.
    pub receipt: Receipt,
}

impl SinkConfig for WebhookSink {
    fn type_name(&self) -> &'static str {
        "webhook"
    }

    fn target(&self) -> String {
        // Path and query may be a secret and are not shown. But a webhook with another path is
        // another target, so the start of their fingerprint is.
        let address = Fingerprint::of(self.url.expose().as_str().as_bytes()).to_string();
        format!("{} ({})", self.url, &address[..8])
    }

    fn can_be_read(&self) -> bool {
        false
    }

    fn claims(&self) -> Claims<'_> {
        Claims::Nothing
    }

    fn secret(&self) -> Option<&SecretSource> {
        Some(&self.secret)
    }

    fn secret_mut(&mut self) -> Option<&mut SecretSource> {
        Some(&mut self.secret)
    }

    fn longest_call(&self) -> Option<Duration> {
        // The signing key may come from a command, whose run comes before the request.
        Some(self.timeout.saturating_add(self.secret.longest_read()))
    }
}

/// A webhook's address. Path and query may be a secret, so it is displayed as scheme, host and port
/// only.
#[derive(Clone, PartialEq)]
pub struct WebhookUrl(url::Url);

impl WebhookUrl {
    /// Takes an address that was checked.
    pub fn new(url: url::Url) -> Self {
        Self(url)
    }

    /// The whole address. Every call is a place to check for leaks.
    pub fn expose(&self) -> &url::Url {
        &self.0
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An origin has neither path nor query nor user name, where secrets could be.
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A `Debug` of the whole policy may end up in a log: path and query stay out of it too.
        fmt::Display::fmt(self, f)
    }
}
