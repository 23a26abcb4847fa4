//! Who makes a call, and with what: read from the request, checked against what the world knows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

use crate::fault::Call;
use crate::http::Request;
use crate::records::AuthKind;
use crate::world::{AccessStanding, WorldState};
use rotator_core::secret::Fingerprint;

/// Who calls, and what they may do.
pub(super) struct Caller {
    pub(super) auth: AuthKind,
    /// The user, where the request tells it; a wrong password does not unmake it.
    pub(super) user: Option<String>,
    /// The permanent token that the call was made with.
    pub(super) with: Option<Fingerprint>,
    pub(super) claim: LoginClaim,
}

/// What the caller shows to be let in.
pub(super) enum LoginClaim {
    Password {
        username: String,
        password: String,
        platform: String,
    },
    Jwt {
        client_id: String,
        client_secret: String,
        grant_type: String,
        jwt: String,
    },
    Ringex {
        token: String,
        /// Whether a refresh token is wanted beside the access token.
        refresh: bool,
    },
    Refresh(String),
    Session {
        user: String,
        platform: String,
    },
    /// Nothing that could be right, and why.
    Refused(&'static str),
}

pub(super) fn identify(
    state: &WorldState,
    now: DateTime<Utc>,
    call: Call,
    request: &Request,
) -> Caller {
    match call {
        Call::Login => identify_login(request),
        Call::RingexToken => identify_jwt(state, request),
        Call::RingexLogin => identify_ringex(state, now, request),
        Call::Refresh => {
            let refresh = form_value(&request.body, "refresh_token").unwrap_or_default();
            let user = state.user_of_refresh(&refresh).map(str::to_owned);
            Caller {
                auth: AuthKind::Refresh,
                user,
                with: None,
                claim: LoginClaim::Refresh(refresh),
            }
        }
        Call::Mint
        | Call::List
        | Call::Delete
        | Call::Accounts
        | Call::ConfigList
        | Call::ConfigRead
        | Call::ConfigWrite => {
            // What RingCX does with both headers is not documented; here the access token counts.
            if let Some(value) = request.header("authorization") {
                identify_bearer(state, now, value)
            } else if let Some(token) = request.header("x-auth-token") {
                identify_token(state, now, call, token)
            } else {
                refused(AuthKind::None, "Jwt is missing")
            }
        }
    }
}

fn refused(auth: AuthKind, why: &'static str) -> Caller {
    Caller {
        auth,
        user: None,
        with: None,
        claim: LoginClaim::Refused(why),
    }
}

fn identify_login(request: &Request) -> Caller {
    // The documentation has the query, and a client may use the form (`login-encoding`). The record
    // keeps which one was used, because a password in a URL ends up in the logs of proxies.
    let (auth, fields) = match form_value(request.query.as_bytes(), "username") {
        Some(_) => (AuthKind::Query, request.query.as_bytes()),
        None => (AuthKind::Form, request.body.as_slice()),
    };
    let field = |name| form_value(fields, name);
    match (field("username"), field("password")) {
        // The user is known even if the password is wrong, so that limits and faults of this user
        // apply.
        (Some(username), Some(password)) => Caller {
            auth,
            user: Some(username.clone()),
            with: None,
            claim: LoginClaim::Password {
                username,
                password,
                platform: field("platformId").unwrap_or_default(),
            },
        },
        (Some(_) | None, None) | (None, Some(_)) => refused(AuthKind::None, "Bad credentials"),
    }
}

fn identify_jwt(state: &WorldState, request: &Request) -> Caller {
    let basic = request
        .header("authorization")
        .and_then(|value| value.strip_prefix("Basic "));
    let basic = basic.and_then(|encoded| STANDARD.decode(encoded).ok());
    let basic = basic.and_then(|bytes| String::from_utf8(bytes).ok());
    // Unreadable credentials become empty ones, and `give` refuses those like any wrong app.
    let (client_id, client_secret) = basic
        .as_deref()
        .and_then(|basic| basic.split_once(':'))
        .unwrap_or_default();
    let field = |name| form_value(&request.body, name).unwrap_or_default();
    let (grant_type, jwt) = (field("grant_type"), field("assertion"));
    let user = state.ringex.user_of_jwt(&jwt).map(str::to_owned);
    let (client_id, client_secret) = (client_id.to_owned(), client_secret.to_owned());
    Caller {
        auth: AuthKind::Jwt,
        user,
        with: None,
        claim: LoginClaim::Jwt {
            client_id,
            client_secret,
            grant_type,
            jwt,
        },
    }
}

fn identify_ringex(state: &WorldState, now: DateTime<Utc>, request: &Request) -> Caller {
    let field = |name| form_value(&request.body, name).unwrap_or_default();
    let token = field("rcAccessToken");
    let user = state.ringex.user_of_token(now, &token).map(str::to_owned);
    // A refresh token is made only on request, as in the API's documentation.
    let refresh = form_value(request.query.as_bytes(), "includeRefresh").as_deref() == Some("true");
    let claim = match field("rcTokenType").as_str() {
        "Bearer" => LoginClaim::Ringex { token, refresh },
        _ => LoginClaim::Refused("rcTokenType is missing"),
    };
    Caller {
        auth: AuthKind::Ringex,
        user,
        with: None,
        claim,
    }
}

fn identify_bearer(state: &WorldState, now: DateTime<Utc>, header: &str) -> Caller {
    let Some(access) = header.strip_prefix("Bearer ") else {
        return refused(AuthKind::Bearer, "Jwt is missing");
    };
    let (user, claim) = match state.standing(now, access) {
        AccessStanding::Living { user, platform } => (
            Some(user),
            LoginClaim::Session {
                user: user.to_owned(),
                platform: platform.to_owned(),
            },
        ),
        // Still with its user: faults and limits of that user apply to a call with an expired token
        // too.
        AccessStanding::Expired { user } => (Some(user), LoginClaim::Refused("Jwt is expired")),
        // A permanent token ends here too: it is no JWT.
        AccessStanding::Unknown if access.split('.').count() != 3 => (
            None,
            LoginClaim::Refused(
                "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
            ),
        ),
        AccessStanding::Unknown => (None, LoginClaim::Refused("Jwt verification fails")),
    };
    Caller {
        auth: AuthKind::Bearer,
        user: user.map(str::to_owned),
        with: None,
        claim,
    }
}

fn identify_token(state: &WorldState, now: DateTime<Utc>, call: Call, token: &str) -> Caller {
    let user = state
        .user_of_token(now, token)
        .map(|token| token.user.clone());
    let claim = match &user {
        // Minting is documented for access tokens only.
        Some(_) if call == Call::Mint => LoginClaim::Refused("Jwt is missing"),
        Some(user) => LoginClaim::Session {
            user: user.clone(),
            // Only a mint needs the platform, and a permanent token cannot mint.
            platform: String::new(),
        },
        None => LoginClaim::Refused("Unauthorized"),
    };
    Caller {
        auth: AuthKind::Token,
        user,
        with: Some(Fingerprint::of(token.as_bytes())),
        claim,
    }
}

fn form_value(form: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(form)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}
