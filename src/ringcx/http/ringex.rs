//! The two calls of a login by RingEX: one to RingEX, for an access token of its own, and one to
//! RingCX with that.
//!
//! They go to two hosts that share nothing: neither is ever sent what belongs to the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{self, HeaderValue};
use reqwest::{Method, Url};

use super::{HttpApi, MAX_JSON, endpoint, fields, form, host_and_port};
use crate::outbound::Endpoint;
use crate::ringcx::{ApiError, LoginTokens, RingexAccess, RingexCredentials, wire};
use rotator_core::config::RingcxPolicy;
use rotator_core::secret::Secret;

/// What RFC 6749, section 5.2, calls a refusal of the client or of its grant: sent again it would
/// be refused again.
const REFUSALS: [&str; 3] = ["invalid_client", "invalid_grant", "unauthorized_client"];

/// RingEX at its own URL. What it trusts is read at its first use: an account may have none.
pub struct RingexClient {
    url: Url,
    pub(super) host: String,
    pub(super) endpoint: Endpoint,
}

impl RingexClient {
    pub(super) fn new(policy: &RingcxPolicy) -> Self {
        let url = policy.ringex_url.clone();
        Self {
            host: host_and_port(&url),
            endpoint: endpoint(policy, &url),
            url,
        }
    }
}

impl HttpApi {
    pub(super) async fn ask_ringex(
        &self,
        who: RingexCredentials<'_>,
    ) -> Result<RingexAccess, ApiError> {
        let mut url = self.ringex.url.clone();
        url.path_segments_mut()
            .expect("the policy takes only http and https, whose URLs have a path")
            .pop_if_empty()
            .extend(["restapi", "oauth", "token"]);
        let basic = STANDARD.encode(format!("{}:{}", who.client_id, who.client_secret.expose()));
        let mut authorization =
            HeaderValue::from_str(&format!("Basic {basic}")).expect("base64 can stand in a header");
        authorization.set_sensitive(true);
        let (ringex, host) = (&self.ringex.endpoint, self.ringex.host.as_str());
        let request = self
            .request_to(ringex, host, Method::POST, url)
            .await?
            .header(header::AUTHORIZATION, authorization);
        let request = form(
            request,
            fields(&[
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", who.jwt.expose()),
            ]),
        );
        // The encoded pair too: a proxy may repeat the header in its error page.
        let secrets = [who.client_secret.expose(), who.jwt.expose(), &basic];
        let answer = self
            .send_to((ringex, host), "ringex-token", request, MAX_JSON, &secrets)
            .await;
        answer.map_err(refused)?.read_with(wire::ringex_access)
    }

    pub(super) async fn log_in_with(&self, access: &Secret) -> Result<LoginTokens, ApiError> {
        let mut url = self.url(&["api", "auth", "login", "rc", "accesstoken"]);
        // A refresh token saves a login at RingEX and its limit of five a minute.
        url.set_query(Some("includeRefresh=true"));
        let request = form(
            self.request(Method::POST, url).await?,
            fields(&[
                ("rcAccessToken", access.expose()),
                ("rcTokenType", "Bearer"),
            ]),
        );
        let answer = self
            .send("ringex-login", request, MAX_JSON, &[access.expose()])
            .await?;
        answer.read(wire::login(&answer.body, answer.server_time))
    }
}

/// A 400 is how an OAuth server says what others say by 401.
fn refused(error: ApiError) -> ApiError {
    match error {
        ApiError::Status { status: 400, said }
            if REFUSALS
                .iter()
                .any(|code| said.split(':').next() == Some(code)) =>
        {
            ApiError::Denied { status: 400, said }
        }
        other => other,
    }
}
