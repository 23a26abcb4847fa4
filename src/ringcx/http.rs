//! The RingCX calls over HTTP/1.1 and TLS.
//!
//! One call is one request: nothing here retries, follows a redirect or keeps a connection. What an
//! answer's body means is in `wire.rs`, what may be said of it in `redact.rs`. What this file does
//! not know: accounts, limits, and whether anything should be tried again.
//!
//! **No connection is kept.** hyper-util sends a request again by itself when the pooled connection
//! it picked turns out to be closed; reqwest cannot switch that off (`retry_canceled_requests` in
//! hyper-util 0.1). It does so only on a reused connection and only for a request of which no byte
//! was written, yet a server that closes an idle connection just as a mint is written on it still
//! leaves a mint whose outcome is unknown. With no idle connection there is none to be reused, so
//! neither can happen; reqwest's own retries are switched off besides. It costs one handshake a
//! call, some eight in a rotation, and saves the memory of idle connections.

use std::path::PathBuf;

use reqwest::header::{self, HeaderName, HeaderValue};
use reqwest::{Certificate, Method, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use self::answer::{ApiAnswer, CappedBody, error_status, header_text, read, refusal};
use super::wire;
use super::{
    ApiError, Auth, Credentials, Deletion, Listing, LoginTokens, RingexAccess, RingexCredentials,
    TokenApi, VisibleAccount, redact,
};
use crate::clock::{Clock, monotonic};
use crate::failpoint;
use rotator_core::config::{LoginEncoding, RingcxPolicy};
use rotator_core::secret::{Secret, Token};
use rotator_policy::files::{self, FileError};

mod answer;
mod auth_config;
mod reason;
mod ringex;
#[cfg(test)]
pub(crate) mod tests;

/// Bytes of a list of tokens, auth configs or accounts; accounts are large, and there can be many.
const MAX_LIST: usize = 1024 * 1024;

/// Bytes of any other answer: a login, a token, one auth config.
const MAX_BODY: usize = 64 * 1024;

/// Bytes of a `ca-file`; the system's own list of certificates has a quarter of a megabyte.
const LARGEST_CA_FILE: u64 = 1024 * 1024;

const USER_AGENT: &str = concat!("ringcx-rotator/", env!("CARGO_PKG_VERSION"));

/// Where a permanent token goes. As a Bearer it is refused.
const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// RingCX at one base URL; one is shared by all accounts.
pub struct HttpApi {
    client: reqwest::Client,
    base_url: Url,
    host: String,
    login_encoding: LoginEncoding,
    clock: Clock,
    ringex: ringex::RingexClient,
}

/// Why no client could be made. Every variant is for the operator to put right.
#[derive(Debug, thiserror::Error)]
pub enum HttpSetupError {
    /// `ca-file` cannot be read.
    #[error("cannot read the ca-file {}: {source}", path.display())]
    CaFile {
        /// As in the policy.
        path: PathBuf,
        /// Why not.
        source: FileError,
    },
    /// `ca-file` holds no certificate, or one that cannot be read.
    #[error("the ca-file {} is not a list of PEM certificates", path.display())]
    CaFileContent {
        /// As in the policy.
        path: PathBuf,
    },
    /// The program installed no rustls provider: a fault of ours.
    #[error("no TLS provider is installed")]
    NoProvider,
    /// TLS cannot be set up: as a rule the system has no trusted certificates (`ca-certificates`).
    #[error("cannot set up TLS: {why}")]
    Tls {
        /// What reqwest or rustls reports, without a URL.
        why: String,
    },
}

impl HttpApi {
    /// Reads the `ca-file` and, for https, the system's trusted certificates. Needs rustls' default
    /// provider installed. Sends nothing.
    pub fn try_new(policy: &RingcxPolicy, clock: Clock) -> Result<Self, HttpSetupError> {
        // reqwest panics without one.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(HttpSetupError::NoProvider);
        }
        Ok(Self {
            client: client(policy, &policy.base_url)?,
            host: host_and_port(&policy.base_url),
            base_url: policy.base_url.clone(),
            login_encoding: policy.login_encoding,
            clock,
            ringex: ringex::RingexClient::new(policy),
        })
    }

    /// The base URL, its path prefix kept, with these segments behind it. Segments are pushed, not
    /// joined: joined, `aws80:…` would read as a scheme.
    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base_url.clone();
        url.path_segments_mut()
            .expect("the policy takes only http and https, whose URLs have a path")
            .pop_if_empty()
            .extend(segments);
        url
    }

    fn request(&self, method: Method, segments: &[&str]) -> reqwest::RequestBuilder {
        self.client.request(method, self.url(segments))
    }

    /// A request with this credential in its header.
    fn request_as(
        &self,
        auth: Auth<'_>,
        method: Method,
        segments: &[&str],
    ) -> Result<reqwest::RequestBuilder, ApiError> {
        let (name, value) = match auth {
            Auth::Bearer(access) => (header::AUTHORIZATION, format!("Bearer {}", access.expose())),
            Auth::Token(token) => (X_AUTH_TOKEN, token.expose().to_owned()),
        };
        // Nothing was sent, so a mint that fails here must not count as possibly carried out.
        let mut value = HeaderValue::from_str(&value).map_err(|_| ApiError::Unreachable {
            host: self.host.clone(),
            why: "the access token cannot stand in a header".to_owned(),
        })?;
        // Keeps the value out of debug output of the headers.
        value.set_sensitive(true);
        Ok(self.request(method, segments).header(name, value))
    }

    /// Sends one request and takes its answer in, if it is a success. `secrets` are those it
    /// carries.
    async fn send(
        &self,
        call: &'static str,
        request: reqwest::RequestBuilder,
        max: usize,
        secrets: &[&str],
    ) -> Result<ApiAnswer, ApiError> {
        self.send_to(&self.host, call, request, max, secrets).await
    }

    async fn send_to(
        &self,
        host: &str,
        call: &'static str,
        request: reqwest::RequestBuilder,
        max: usize,
        secrets: &[&str],
    ) -> Result<ApiAnswer, ApiError> {
        let began = monotonic();
        let answered =
            failpoint::around_async(call, self.exchange(host, request, max, secrets)).await;
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &answered {
            Ok(answer) => {
                tracing::debug!(call, status = answer.status, elapsed_ms, "Called RingCX")
            }
            Err(error) => {
                tracing::debug!(call, status = error_status(error), elapsed_ms, %error, "Called RingCX");
            }
        }
        answered
    }

    async fn exchange(
        &self,
        host: &str,
        request: reqwest::RequestBuilder,
        max: usize,
        secrets: &[&str],
    ) -> Result<ApiAnswer, ApiError> {
        let mut response = request
            .send()
            .await
            .map_err(|error| no_response(host, &error))?;
        let status = response.status();
        let server_time = header_text(response.headers(), &header::DATE).and_then(wire::http_date);
        // A date in `Retry-After` is by the server's clock, which may differ from ours.
        let now = server_time.unwrap_or_else(|| self.clock.now());
        let retry_after = header_text(response.headers(), &header::RETRY_AFTER)
            .and_then(|value| wire::retry_after(value, now));
        // Of a refusal too: what it says is for the operator.
        let body = read(&mut response, max).await;
        if !status.is_success() {
            return Err(refusal(
                status,
                retry_after,
                &redact::said(body.so_far(), secrets),
            ));
        }
        match body {
            CappedBody::Whole(body) => Ok(ApiAnswer {
                status: status.as_u16(),
                server_time,
                body,
            }),
            CappedBody::TooLarge(_) => Err(ApiError::Nonsense {
                status: status.as_u16(),
                why: format!("the body is larger than {} KiB", max / 1024),
            }),
            CappedBody::Cut(_, error) => Err(ApiError::NoAnswer {
                host: host.to_owned(),
                why: reason::of_cut_body(&error),
            }),
        }
    }
}

impl TokenApi for HttpApi {
    async fn login(&self, who: Credentials<'_>) -> Result<LoginTokens, ApiError> {
        let fields = fields(&[
            ("username", who.username),
            ("password", who.password.expose()),
            ("platformId", who.platform_id),
        ]);
        let segments = ["api", "auth", "login", "admin"];
        // The documentation has a query, RingCX's own web app a form; the policy decides.
        let request = match self.login_encoding {
            LoginEncoding::Query => {
                let mut url = self.url(&segments);
                url.set_query(Some(&fields));
                empty(self.client.post(url))
            }
            LoginEncoding::Form => form(self.request(Method::POST, &segments), fields),
        };
        let answer = self
            .send("login", request, MAX_BODY, &[who.password.expose()])
            .await?;
        answer.read(wire::login(&answer.body, answer.server_time))
    }

    async fn ringex_token(&self, who: RingexCredentials<'_>) -> Result<RingexAccess, ApiError> {
        self.ask_ringex(who).await
    }

    async fn login_with(&self, access: &RingexAccess) -> Result<LoginTokens, ApiError> {
        self.log_in_with(&access.bearer).await
    }

    async fn refresh(&self, refresh: &Secret) -> Result<LoginTokens, ApiError> {
        let request = self.request(Method::POST, &["api", "auth", "token", "refresh"]);
        let request = form(request, fields(&[("refresh_token", refresh.expose())]));
        let answer = self
            .send("refresh", request, MAX_BODY, &[refresh.expose()])
            .await?;
        answer.read(wire::login(&answer.body, answer.server_time))
    }

    async fn mint(&self, access: &Secret) -> Result<Token, ApiError> {
        // Documented for an access token; that a permanent token may mint is not.
        let request = self.request_as(Auth::Bearer(access), Method::POST, &TOKEN)?;
        let answer = self
            .send("mint", empty(request), MAX_BODY, &[access.expose()])
            .await?;
        answer.read(wire::minted(&answer.body))
    }

    async fn list(&self, auth: Auth<'_>) -> Result<Listing, ApiError> {
        let request = self.request_as(auth, Method::GET, &TOKEN)?;
        let answer = self
            .send("list", request, MAX_LIST, &[exposed(auth)])
            .await?;
        let tokens = answer.read(wire::listed(&answer.body))?;
        Ok(Listing {
            tokens,
            server_time: answer.server_time,
        })
    }

    async fn delete(&self, auth: Auth<'_>, target: &Token) -> Result<Deletion, ApiError> {
        let [voice, api, version, admin, token] = TOKEN;
        let segments = [voice, api, version, admin, token, target.expose()];
        let request = self.request_as(auth, Method::DELETE, &segments)?;
        match self
            .send(
                "delete",
                request,
                MAX_BODY,
                // The target is in the path, which an error page may repeat.
                &[exposed(auth), target.expose()],
            )
            .await
        {
            Ok(answer) => answer.read(wire::deleted(&answer.body)),
            // What an unknown token is answered with is not documented; only the list that follows
            // counts.
            Err(ApiError::Status { status: 404, .. }) => Ok(Deletion::Denied),
            Err(error) => Err(error),
        }
    }

    async fn accounts(&self, auth: Auth<'_>) -> Result<Vec<VisibleAccount>, ApiError> {
        let request = self.request_as(
            auth,
            Method::GET,
            &["voice", "api", "v1", "admin", "accounts"],
        )?;
        let answer = self
            .send("accounts", request, MAX_LIST, &[exposed(auth)])
            .await?;
        answer.read(wire::accounts(&answer.body))
    }
}

/// Mint with `POST`, list with `GET`, delete with `DELETE` and the token behind it.
const TOKEN: [&str; 5] = ["voice", "api", "v1", "admin", "token"];

/// Only an error of connecting, TLS included, proves that nothing was sent.
fn no_response(host: &str, error: &reqwest::Error) -> ApiError {
    let (host, why) = (host.to_owned(), reason::of(error));
    if error.is_connect() || error.is_builder() {
        ApiError::Unreachable { host, why }
    } else {
        ApiError::NoAnswer { host, why }
    }
}

/// A client for one host. Reads the `ca-file` and, for https, the system's trusted certificates.
fn client(policy: &RingcxPolicy, url: &Url) -> Result<reqwest::Client, HttpSetupError> {
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(policy.connect_timeout)
        .timeout(policy.request_timeout)
        // It would hand the password or a token to another host.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // reqwest would take a proxy from the environment, which the policy does not name.
        .no_proxy()
        .http1_only()
        // A request that is sent again could mint a second token; see the head of this file.
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(0);
    let extra = extra_roots(policy)?;
    let builder = match url.scheme() {
        "https" => builder.https_only(true).tls_certs_merge(extra),
        // Loopback: the system's certificates are not even loaded.
        _ => builder.tls_certs_only(extra),
    };
    builder.build().map_err(|error| HttpSetupError::Tls {
        why: reason::of(&error),
    })
}

fn extra_roots(policy: &RingcxPolicy) -> Result<Vec<Certificate>, HttpSetupError> {
    let Some(path) = &policy.ca_file else {
        return Ok(Vec::new());
    };
    let pem = files::read(path, LARGEST_CA_FILE).map_err(|source| HttpSetupError::CaFile {
        path: path.clone(),
        source,
    })?;
    let unreadable = || HttpSetupError::CaFileContent { path: path.clone() };
    let mut roots = Vec::new();
    for der in CertificateDer::pem_slice_iter(&pem) {
        let der = der.map_err(|_| unreadable())?;
        // reqwest would look at it only in `build`, and not say whose fault it is.
        rustls::RootCertStore::empty()
            .add(der.clone())
            .map_err(|_| unreadable())?;
        roots.push(Certificate::from_der(&der).map_err(|_| unreadable())?);
    }
    if roots.is_empty() {
        Err(unreadable())
    } else {
        Ok(roots)
    }
}

/// `name=value&…`, the same text for a query and for a form.
fn fields(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{name}={}", wire::percent_encode(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

fn form(request: reqwest::RequestBuilder, fields: String) -> reqwest::RequestBuilder {
    request
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(fields)
}

/// An empty body, and a header that says so: hyper leaves it out, and some proxies then answer 411.
fn empty(request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    request.header(header::CONTENT_LENGTH, 0)
}

fn exposed(auth: Auth<'_>) -> &str {
    match auth {
        Auth::Bearer(access) => access.expose(),
        Auth::Token(token) => token.expose(),
    }
}

fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default()
        .map_or(host.to_owned(), |port| format!("{host}:{port}"))
}
