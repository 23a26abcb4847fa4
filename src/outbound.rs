//! How an HTTP connection leaves this machine: whom it trusts, by which proxy it goes, and in what
//! words its failure is told. One rule for RingCX, RingEX and webhooks.
//!
//! What this module does not know: what is sent, and what an answer means.
//!
//! **No connection is kept**, and nothing is sent twice. hyper-util sends a request again by itself
//! when the pooled connection it picked turns out to be closed; reqwest cannot switch that off
//! (`retry_canceled_requests` in hyper-util 0.1). It does so only on a reused connection and only
//! for a request of which no byte was written, yet a server that closes an idle connection just as
//! a mint is written on it still leaves a mint whose outcome is unknown. With no idle connection
//! there is none to be reused, so neither can happen; reqwest's own retries are switched off
//! besides. It costs one handshake a call, some eight in a rotation, and saves the memory of idle
//! connections.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, ClientBuilder, Proxy};
use url::Url;

use crate::process::blocking;
use crate::secret_source::SecretError;
use rotator_core::config::NetworkPolicy;

mod proxy;
mod reason;
mod trust;

pub use proxy::{OutboundRoute, RouteError};
pub use reason::AUTHORITY_AS_SERVER;
pub use trust::{TrustError, read_again, read_anew};

const USER_AGENT: &str = concat!("ringcx-rotator/", env!("CARGO_PKG_VERSION"));

/// One host, and the way to it.
pub struct Endpoint {
    is_https: bool,
    ca_file: Option<PathBuf>,
    connect_timeout: Duration,
    route: Result<OutboundRoute, RouteError>,
    built: Mutex<Option<Built>>,
}

/// A client, and what it was made with.
struct Built {
    trust: u64,
    login: Option<HeaderValue>,
    client: Client,
}

/// Why no connection can be made at all. Every variant is for the operator to put right.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Whom to trust is not known.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Which proxy to use is not known.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The proxy's login cannot be read.
    #[error("the proxy's login: {0}")]
    Login(#[from] SecretError),
    /// The client cannot be made.
    #[error("cannot set up a connection: {why}")]
    Client {
        /// What the HTTP library reports, without an address.
        why: String,
    },
}

/// What came of a request that was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionFailure {
    /// Whether a byte of the request may have reached the host. It has not where the connection, its
    /// TLS handshake included, was not made, or a proxy did not make it.
    pub may_have_been_sent: bool,
    /// Reason, without secrets. What a proxy did is told as the proxy's.
    pub why: String,
}

impl Endpoint {
    /// The way to the host of this address under this policy, as the environment is now.
    pub fn new(
        url: &Url,
        network: &NetworkPolicy,
        ca_file: Option<&Path>,
        connect_timeout: Duration,
    ) -> Self {
        Self {
            is_https: url.scheme() == "https",
            ca_file: ca_file.map(Path::to_owned),
            connect_timeout,
            route: OutboundRoute::by_environment(url, network),
            built: Mutex::new(None),
        }
    }

    /// Whether a connection could be set up: reads the ca-file and, for https, the system's trusted
    /// certificates. Sends nothing.
    pub fn check(&self) -> Result<(), OutboundError> {
        self.route.clone()?;
        if self.is_https {
            trust::config(self.ca_file.as_deref())?;
        }
        Ok(())
    }

    /// The way to the host.
    pub fn route(&self) -> Result<&OutboundRoute, &RouteError> {
        self.route.as_ref()
    }

    /// A client for this host. The proxy's login is read anew; whom to trust is read anew after
    /// [`read_again`].
    pub async fn client(&self) -> Result<Client, OutboundError> {
        let route = self.route.as_ref().map_err(Clone::clone)?;
        let login = route.login().await?;
        let (is_https, ca_file) = (self.is_https, self.ca_file.clone());
        if let Some(client) = self.current(login.as_ref()) {
            return Ok(client);
        }
        // The files may lie on a disk that takes its time.
        let trusted = match is_https {
            true => Some(blocking(move || trust::config(ca_file.as_deref())).await?),
            false => None,
        };
        let (generation, builder) = match trusted {
            Some((generation, config)) => {
                let builder = self.builder().https_only(true);
                (generation, builder.tls_backend_preconfigured(config))
            }
            // Loopback: the system's certificates are not even loaded.
            None => (trust::generation(), self.builder().tls_certs_only([])),
        };
        let builder = match route.proxy(login.clone())? {
            Some(proxy) => builder.proxy(proxy),
            None => builder,
        };
        let client = builder.build().map_err(|error| OutboundError::Client {
            why: reason::of(&error, None),
        })?;
        *self.built() = Some(Built {
            trust: generation,
            login,
            client: client.clone(),
        });
        Ok(client)
    }

    /// Why a request got no answer. Where a certificate was not trusted, whom to trust is read
    /// again for the next request, for it may have been renewed.
    pub async fn failed(&self, error: &reqwest::Error) -> ConnectionFailure {
        if reason::is_about_trust(error) {
            let ca_file = self.ca_file.clone();
            // What cannot be read now leaves the old trust in force.
            let read = blocking(move || read_again(ca_file.as_deref())).await;
            if let Err(error) = read {
                tracing::warn!(
                    name: "trust-not-read",
                    %error,
                    "Trusted certificates could not be read again"
                );
            }
        }
        let proxy = self.route.as_ref().ok().and_then(OutboundRoute::through);
        ConnectionFailure {
            // Only an error of connecting, TLS included, proves that nothing was sent.
            may_have_been_sent: !(error.is_connect() || error.is_builder()),
            why: reason::of(error, proxy),
        }
    }

    fn current(&self, login: Option<&HeaderValue>) -> Option<Client> {
        let generation = trust::generation();
        self.built()
            .as_ref()
            .filter(|built| built.trust == generation && built.login.as_ref() == login)
            .map(|built| built.client.clone())
    }

    fn built(&self) -> std::sync::MutexGuard<'_, Option<Built>> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(self.connect_timeout)
            // It would hand the password or a token to another host.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // reqwest would read the environment by a rule of its own.
            .no_proxy()
            .http1_only()
            // One header that nobody needs must not cost the answer.
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            // A request that is sent again could mint a second token; see the head of this file.
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
    }
}

/// Why an answer that had begun did not end.
pub fn cut_short(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "timed out in the midst of the answer"
    } else {
        "the answer was cut short"
    }
    .to_owned()
}

impl OutboundRoute {
    /// For reqwest, with the login of this moment.
    fn proxy(&self, login: Option<HeaderValue>) -> Result<Option<Proxy>, OutboundError> {
        let Some(address) = self.through() else {
            return Ok(None);
        };
        let proxy = Proxy::all(address.url().clone()).map_err(|error| OutboundError::Client {
            why: reason::of(&error, Some(address)),
        })?;
        Ok(Some(match login {
            Some(login) => proxy.custom_http_auth(login),
            None => proxy,
        }))
    }
}
