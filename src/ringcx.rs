//! RingCX as the daemon sees it: its calls, RingEX's one, and what can come of them.
//!
//! Nothing here retries, waits or gives up; that is the reconciler's task. What an answer means for
//! the next step is in the variants of [`ApiError`]. The facts come from the public documentation
//! of the RingCX voice API; where those are silent, every answer is survived.

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use rotator_core::event::Outcome;
use rotator_core::secret::{Secret, Token};

pub mod auth_config;
pub mod http;
pub(crate) mod redact;
pub(crate) mod wire;

/// What `login` and `refresh` give.
pub struct LoginTokens {
    /// The access token, for `Authorization: Bearer`.
    pub access: Secret,
    /// For one more login without the password.
    pub refresh: Option<Secret>,
    /// How long `access` lives from when it was asked for: `exp` less `iat` of the JWT, else the
    /// answer's `expires_in`, else `exp` against the server's `Date`, else 5 minutes.
    pub lifetime: Duration,
    /// By how much the `Date` of the answer is ahead of the JWT's `iat`, where both are there.
    pub date_ahead: Option<TimeDelta>,
    /// `adminPasswordReset`: the password is about to die.
    pub password_reset: bool,
}

/// The credential that a call is made with.
#[derive(Clone, Copy)]
pub enum Auth<'a> {
    /// `Authorization: Bearer {access token}`
    Bearer(&'a Secret),
    /// `X-Auth-Token: {permanent token}`
    Token(&'a Token),
}

/// The tokens of the user, as `list` gives them.
pub struct Listing {
    /// Every token of the user, without duplicates, in no order.
    pub tokens: Vec<Token>,
    /// How many elements of the list do not have the form of a token: `null`, a number, a text
    /// with other characters. None of them is ours, for ours were taken from answers of that form.
    pub odd: usize,
    /// The server's `Date`, where it sent one that can be read.
    pub server_time: Option<DateTime<Utc>>,
}

/// What `delete` was answered. Only a list tells whether the token is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// `true`, 204, or an empty 200.
    Accepted,
    /// The body `false`, or a 404.
    Denied,
}

/// One RingCX account this login can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisibleAccount {
    /// `accountId`, as text also where it comes as a number.
    pub id: String,
    /// `accountName`, cut where it is very long.
    pub name: String,
}

/// What came of a call that did not succeed. Texts hold no URL, token or password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The request was not sent: no route, no name, no TLS. Try again later; nothing happened.
    #[error("cannot reach {host}: {why}")]
    Unreachable {
        /// Host and port, for example `ringcx.ringcentral.com:443`.
        host: String,
        /// Reason, without secrets.
        why: String,
    },
    /// The request was sent and no answer came. It may have been carried out.
    #[error("no answer from {host}: {why}")]
    NoAnswer {
        /// Host and port, for example `ringcx.ringcentral.com:443`.
        host: String,
        /// Reason, without secrets.
        why: String,
    },
    /// 401 or 403 of RingCX itself, or RingEX's 400 that says so: log in again once, then treat as
    /// refused.
    #[error("answered {status}{}", detail(said))]
    Denied {
        /// 401 or 403; from RingEX also 400.
        status: u16,
        /// What the body said, scrubbed and cut.
        said: String,
    },
    /// 429 or 503, or any refusal that asks for a wait: not before `retry_after`. With 401 or 403 it
    /// says nothing about the credential.
    #[error("answered {status}{}{}", detail(said), wait(retry_after))]
    Busy {
        /// The HTTP status, for example 429 or 503.
        status: u16,
        /// `Retry-After`, as a wait from now, where it came.
        retry_after: Option<Duration>,
        /// What the body said, scrubbed and cut.
        said: String,
    },
    /// Any other status, a redirect included, and a 403 that RingCX did not send, such as a
    /// firewall's page. It may have been carried out.
    #[error("answered {status}{}", detail(said))]
    Status {
        /// The HTTP status, for example 500 or 302.
        status: u16,
        /// What the body said, scrubbed and cut.
        said: String,
    },
    /// A success whose body makes no sense. It may have been carried out.
    #[error("answered {status}, but {why}")]
    Nonsense {
        /// The HTTP status, from 200 to 299.
        status: u16,
        /// What is wrong with the body; never the body itself.
        why: String,
    },
}

fn detail(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    }
}

fn wait(retry_after: &Option<Duration>) -> String {
    retry_after.map_or(String::new(), |wait| {
        format!(" (asks to wait {} s)", wait.as_secs())
    })
}

impl ApiError {
    /// Whether the call may have been carried out in spite of the error. Only a request that never
    /// left is known not to have been: a proxy can answer 4xx for a backend that already did it.
    pub fn outcome(&self) -> Outcome {
        match self {
            // The only case in which a mint may be closed without a list.
            Self::Unreachable { .. } => Outcome::NotDone,
            Self::NoAnswer { .. }
            | Self::Denied { .. }
            | Self::Busy { .. }
            | Self::Status { .. }
            | Self::Nonsense { .. } => Outcome::Unknown,
        }
    }

    /// How long the server asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the credential used was refused.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// Whether a login was refused, by RingCX itself or by something before it.
    pub fn refuses_login(&self) -> bool {
        match self {
            Self::Denied { .. } => true,
            Self::Busy { status, .. } | Self::Status { status, .. } => {
                matches!(status, 401 | 403)
            }
            Self::Unreachable { .. } | Self::NoAnswer { .. } | Self::Nonsense { .. } => false,
        }
    }

    /// Whether the refusal is RingCX's or RingEX's own word on the credential, and not a page of
    /// what stands before it.
    pub fn is_own_refusal(&self) -> bool {
        matches!(self, Self::Denied { said, .. } if said != redact::PAGE)
    }
}

/// The RingCX user that logs in, and its password.
pub struct Credentials<'a> {
    /// `username` of the RingCX user, usually an e-mail address.
    pub username: &'a str,
    /// The password of the RingCX user.
    pub password: &'a Secret,
    /// `platformId` of RingCX, for example `aws80`.
    pub platform_id: &'a str,
}

/// Who logs in to RingEX, and through which app.
pub struct RingexCredentials<'a> {
    /// Client id of the RingEX app.
    pub client_id: &'a str,
    /// Client secret of the RingEX app.
    pub client_secret: &'a Secret,
    /// The JWT credential of the user, made in the developer console.
    pub jwt: &'a Secret,
}

/// What RingEX gives for a JWT; good for logins to RingCX as long as it lives.
#[derive(Clone)]
pub struct RingexAccess {
    /// RingEX's own access token.
    pub bearer: Secret,
    /// `expires_in`, at most a day; zero where the answer does not have it.
    pub lifetime: Duration,
}

/// A name for the user of a JWT, from its `sub`, for example `RingEX user 1234`: the same for every
/// app and every JWT of this user. Where there is no readable `sub`, the name has the first digits
/// of the JWT's SHA-256 instead.
pub fn ringex_user(jwt: &Secret) -> String {
    wire::ringex_user(jwt.expose())
}

/// The calls to RingCX and RingEX.
pub trait TokenApi: auth_config::AuthConfigs + 'static {
    /// `POST /api/auth/login/admin`
    fn login(
        &self,
        who: Credentials<'_>,
    ) -> impl Future<Output = Result<LoginTokens, ApiError>> + Send;

    /// `POST {ringex-url}/restapi/oauth/token`
    fn ringex_token(
        &self,
        who: RingexCredentials<'_>,
    ) -> impl Future<Output = Result<RingexAccess, ApiError>> + Send;

    /// `POST /api/auth/login/rc/accesstoken`
    fn login_with(
        &self,
        access: &RingexAccess,
    ) -> impl Future<Output = Result<LoginTokens, ApiError>> + Send;

    /// `POST /api/auth/token/refresh`
    fn refresh(
        &self,
        refresh: &Secret,
    ) -> impl Future<Output = Result<LoginTokens, ApiError>> + Send;

    /// `POST /voice/api/v1/admin/token`. Every call makes another token that never expires.
    fn mint(&self, access: &Secret) -> impl Future<Output = Result<Token, ApiError>> + Send;

    /// `GET /voice/api/v1/admin/token`
    fn list(&self, auth: Auth<'_>) -> impl Future<Output = Result<Listing, ApiError>> + Send;

    /// `DELETE /voice/api/v1/admin/token/{token}`
    fn delete(
        &self,
        auth: Auth<'_>,
        token: &Token,
    ) -> impl Future<Output = Result<Deletion, ApiError>> + Send;

    /// `GET /voice/api/v1/admin/accounts`, as an IVR flow makes it, of which only the status counts:
    /// a credential that gets a success works, whatever the success says.
    fn try_out(&self, auth: Auth<'_>) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// `GET /voice/api/v1/admin/accounts`, for what it says.
    fn accounts(
        &self,
        auth: Auth<'_>,
    ) -> impl Future<Output = Result<Vec<VisibleAccount>, ApiError>> + Send;
}
