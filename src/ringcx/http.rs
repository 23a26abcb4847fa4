//! The RingCX calls over HTTP/1.1 and TLS.
//!
//! One call is one request: nothing here retries or follows a redirect. How a connection is made,
//! and by which proxy, is in `outbound.rs`; what an answer's body means is in `wire.rs`, what may be
//! said of it in `redact.rs`. What this file does not know: accounts, limits, and whether anything
//! should be tried again.

use std::time::Duration;

use reqwest::header::{self, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use self::answer::{ApiAnswer, CappedBody, error_status, header_text, read, refusal};
use super::wire;
use super::{
    ApiError, Auth, Credentials, Deletion, Listing, LoginTokens, RingexAccess, RingexCredentials,
    TokenApi, VisibleAccount, redact,
};
use crate::clock::{Clock, monotonic};
use crate::failpoint;
use crate::outbound::{
    self, ConnectionFailure, Endpoint, OutboundError, OutboundRoute, RouteError,
};
use rotator_core::config::{LoginEncoding, RingcxPolicy};
use rotator_core::secret::{Secret, Token};

mod answer;
mod auth_config;
mod ringex;
#[cfg(test)]
pub(crate) mod tests;

/// Bytes of a JSON answer. By RingCX's own schema an account has 3 KiB and an agent of a login 360
/// bytes, and a user can see thousands of both.
const MAX_JSON: usize = 16 * 1024 * 1024;

/// Bytes of an answer that is one token or one word.
const MAX_WORD: usize = 64 * 1024;

/// For a call whose success says all by its status: its body is not waited for.
const NOTHING: usize = 0;

/// Where a permanent token goes. As a Bearer it is refused.
const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// RingCX at one base URL; one is shared by all accounts.
pub struct HttpApi {
    endpoint: Endpoint,
    /// For a whole call, body included.
    timeout: Duration,
    base_url: Url,
    host: String,
    login_encoding: LoginEncoding,
    clock: Clock,
    ringex: ringex::RingexClient,
}

impl HttpApi {
    /// Reads the `ca-file` and, for https, the system's trusted certificates. Needs rustls' default
    /// provider installed. Sends nothing.
    pub fn try_new(policy: &RingcxPolicy, clock: Clock) -> Result<Self, OutboundError> {
        let endpoint = endpoint(policy, &policy.base_url);
        endpoint.check()?;
        Ok(Self {
            endpoint,
            timeout: policy.request_timeout,
            host: host_and_port(&policy.base_url),
            base_url: policy.base_url.clone(),
            login_encoding: policy.login_encoding,
            clock,
            ringex: ringex::RingexClient::new(policy),
        })
    }

    /// The hosts that are called, RingCX first, and the way to each.
    pub fn routes(&self) -> [(&str, Result<&OutboundRoute, &RouteError>); 2] {
        [
            (&self.host, self.endpoint.route()),
            (&self.ringex.host, self.ringex.endpoint.route()),
        ]
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

    async fn request(&self, method: Method, url: Url) -> Result<reqwest::RequestBuilder, ApiError> {
        self.request_to(&self.endpoint, &self.host, method, url)
            .await
    }

    async fn request_to(
        &self,
        endpoint: &Endpoint,
        host: &str,
        method: Method,
        url: Url,
    ) -> Result<reqwest::RequestBuilder, ApiError> {
        // Nothing was sent, so a mint that fails here must not count as possibly carried out.
        let client = endpoint.client().await;
        let client = client.map_err(|error| ApiError::Unreachable {
            host: host.to_owned(),
            why: error.to_string(),
        })?;
        Ok(client.request(method, url).timeout(self.timeout))
    }

    /// A request with this credential in its header.
    async fn request_as(
        &self,
        auth: Auth<'_>,
        method: Method,
        segments: &[&str],
    ) -> Result<reqwest::RequestBuilder, ApiError> {
        let (name, value) = match auth {
            Auth::Bearer(access) => (header::AUTHORIZATION, format!("Bearer {}", access.expose())),
            Auth::Token(token) => (X_AUTH_TOKEN, token.expose().to_owned()),
        };
        // Not sent either.
        let mut value = HeaderValue::from_str(&value).map_err(|_| ApiError::Unreachable {
            host: self.host.clone(),
            why: "the access token cannot stand in a header".to_owned(),
        })?;
        // Keeps the value out of debug output of the headers.
        value.set_sensitive(true);
        let request = self.request(method, self.url(segments)).await?;
        Ok(request.header(name, value))
    }

    async fn ask_accounts(&self, auth: Auth<'_>, max: usize) -> Result<ApiAnswer, ApiError> {
        let segments = ["voice", "api", "v1", "admin", "accounts"];
        let request = self.request_as(auth, Method::GET, &segments).await?;
        self.send("accounts", request, max, &[exposed(auth)]).await
    }

    /// Sends one request and takes its answer in, if it is a success, up to `max` bytes. `secrets`
    /// are those it carries.
    async fn send(
        &self,
        call: &'static str,
        request: reqwest::RequestBuilder,
        max: usize,
        secrets: &[&str],
    ) -> Result<ApiAnswer, ApiError> {
        let to = (&self.endpoint, self.host.as_str());
        self.send_to(to, call, request, max, secrets).await
    }

    async fn send_to(
        &self,
        to: (&Endpoint, &str),
        call: &'static str,
        request: reqwest::RequestBuilder,
        max: usize,
        secrets: &[&str],
    ) -> Result<ApiAnswer, ApiError> {
        let began = monotonic();
        let answered =
            failpoint::around_async(call, self.exchange(to, request, max, secrets)).await;
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
        (endpoint, host): (&Endpoint, &str),
        request: reqwest::RequestBuilder,
        max: usize,
        secrets: &[&str],
    ) -> Result<ApiAnswer, ApiError> {
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(no_response(host, endpoint.failed(&error).await)),
        };
        let status = response.status();
        let server_time = header_text(response.headers(), &header::DATE).and_then(wire::http_date);
        // A date in `Retry-After` is by the server's clock, which may differ from ours.
        let now = server_time.unwrap_or_else(|| self.clock.now());
        let retry_after = header_text(response.headers(), &header::RETRY_AFTER)
            .and_then(|value| wire::retry_after(value, now));
        if !status.is_success() {
            // What a refusal says is for the operator, and tells whether it is RingCX's own.
            let body = read(&mut response, MAX_WORD).await;
            let said = redact::said(body.so_far(), secrets);
            return Err(refusal(status, retry_after, body.so_far(), said));
        }
        let answer = |body| ApiAnswer {
            status: status.as_u16(),
            server_time,
            body,
        };
        if max == NOTHING {
            return Ok(answer(Vec::new()));
        }
        // No part of an answer was asked for, and one could be taken for the whole.
        if status == StatusCode::PARTIAL_CONTENT {
            return Err(ApiError::Nonsense {
                status: status.as_u16(),
                why: "that is only a part of the answer".to_owned(),
            });
        }
        match read(&mut response, max).await {
            CappedBody::Whole(body) => Ok(answer(body)),
            CappedBody::TooLarge(_) => Err(ApiError::Nonsense {
                status: status.as_u16(),
                why: format!("the body is larger than {} KiB", max / 1024),
            }),
            CappedBody::Cut(_, error) => Err(ApiError::NoAnswer {
                host: host.to_owned(),
                why: outbound::cut_short(&error),
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
                empty(self.request(Method::POST, url).await?)
            }
            LoginEncoding::Form => form(
                self.request(Method::POST, self.url(&segments)).await?,
                fields,
            ),
        };
        let answer = self
            .send("login", request, MAX_JSON, &[who.password.expose()])
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
        let url = self.url(&["api", "auth", "token", "refresh"]);
        let request = self.request(Method::POST, url).await?;
        let request = form(request, fields(&[("refresh_token", refresh.expose())]));
        let answer = self
            .send("refresh", request, MAX_JSON, &[refresh.expose()])
            .await?;
        answer.read(wire::login(&answer.body, answer.server_time))
    }

    async fn mint(&self, access: &Secret) -> Result<Token, ApiError> {
        // Documented for an access token; that a permanent token may mint is not.
        let request = self
            .request_as(Auth::Bearer(access), Method::POST, &TOKEN)
            .await?;
        let answer = self
            .send("mint", empty(request), MAX_WORD, &[access.expose()])
            .await?;
        answer.read(wire::minted(&answer.body))
    }

    async fn list(&self, auth: Auth<'_>) -> Result<Listing, ApiError> {
        let request = self.request_as(auth, Method::GET, &TOKEN).await?;
        let answer = self
            .send("list", request, MAX_JSON, &[exposed(auth)])
            .await?;
        let listed = answer.read(wire::listed(&answer.body))?;
        Ok(Listing {
            tokens: listed.tokens,
            odd: listed.odd,
            server_time: answer.server_time,
        })
    }

    async fn delete(&self, auth: Auth<'_>, target: &Token) -> Result<Deletion, ApiError> {
        let [voice, api, version, admin, token] = TOKEN;
        let segments = [voice, api, version, admin, token, target.expose()];
        let request = self.request_as(auth, Method::DELETE, &segments).await?;
        match self
            .send(
                "delete",
                request,
                MAX_WORD,
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

    async fn try_out(&self, auth: Auth<'_>) -> Result<(), ApiError> {
        self.ask_accounts(auth, NOTHING).await.map(drop)
    }

    async fn accounts(&self, auth: Auth<'_>) -> Result<Vec<VisibleAccount>, ApiError> {
        let answer = self.ask_accounts(auth, MAX_JSON).await?;
        answer.read(wire::accounts(&answer.body))
    }
}

/// Mint with `POST`, list with `GET`, delete with `DELETE` and the token behind it.
const TOKEN: [&str; 5] = ["voice", "api", "v1", "admin", "token"];

fn no_response(host: &str, failure: ConnectionFailure) -> ApiError {
    let (host, why) = (host.to_owned(), failure.why);
    if failure.may_have_been_sent {
        ApiError::NoAnswer { host, why }
    } else {
        ApiError::Unreachable { host, why }
    }
}

/// The way to a host that is called by these rules.
fn endpoint(policy: &RingcxPolicy, url: &Url) -> Endpoint {
    Endpoint::new(
        url,
        &policy.network,
        policy.ca_file.as_deref(),
        policy.connect_timeout,
    )
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
