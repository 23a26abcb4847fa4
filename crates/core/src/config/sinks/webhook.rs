//! An HTTP receiver that is sent each token in a signed request.

use std::fmt;
use std::time::Duration;

use super::kind::{Claims, SinkConfig};
use super::receipt::{HeaderSecret, Receipt};
use crate::config::NetworkPolicy;
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
    /// The way to it: that of `[network]`, or its own `proxy`.
    pub network: Box<NetworkPolicy>,
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

    fn calls(&self) -> Option<(&url::Url, &NetworkPolicy)> {
        Some((self.url.expose(), &self.network))
    }

    fn secrets_mut(&mut self) -> Vec<&mut SecretSource> {
        let mut secrets = self.network.secrets_mut();
        secrets.push(&mut self.secret);
        secrets
    }

    fn longest_call(&self) -> Option<Duration> {
        // The signing key may come from a command, and so may the proxy's login; their runs come
        // before the request.
        let key = self.secret.longest_read();
        let reads = key.saturating_add(self.network.longest_read());
        Some(self.timeout.saturating_add(reads))
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
