//! The API itself: who calls, whether they may, what comes of it, and what a fault makes of the
//! answer.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::net::SocketAddr;

use super::admin;
use super::answer;
use super::configs::{self, ConfigOp, ConfigTarget};
use super::fault::{Call, Effect, Fault};
use super::http::{Body, Handler, Reply, Request, Response};
use super::listener::Background;
use super::random;
use super::record::{AuthKind, CallRecord, DeletedBy, MintedBy};
use super::ringex::OauthRefusal;
use super::settings::{DeleteForm, DeleteUnknown, ListForm, MintForm};
use super::world::{
    AccessStanding, LoginRefusal, MOST_OF_ANYTHING, Opened, RateLimitFamily, World, WorldState,
};
use rotator_core::secret::Fingerprint;

/// Texts that stand in `accounts` and must never be seen in a log.
pub const PLANTED_SECRETS: [&str; 2] = ["planted-api-secret-7d1f", "planted-sip-password-c09a"];

pub(super) struct Api {
    pub(super) world: Arc<World>,
    pub(super) background: Background,
    /// Where redirects lead.
    pub(super) elsewhere: SocketAddr,
    pub(super) side: ApiHost,
}

/// Which of the two hosts it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApiHost {
    RingCx,
    RingEx,
}

/// Who calls, and what they may do.
struct Caller {
    auth: AuthKind,
    user: Option<String>,
    with: Option<Fingerprint>,
    claim: LoginClaim,
}

enum LoginClaim {
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
        refresh: bool,
    },
    Refresh(String),
    Session {
        user: String,
        platform: String,
    },
    Refused(&'static str),
}

/// What a call is about, where it is about one thing.
#[derive(Clone)]
struct CallSubject {
    /// The token in its path.
    victim: Option<Fingerprint>,
    /// The auth configs.
    config: Option<(ConfigOp, ConfigTarget)>,
}

/// What came of a call.
struct CallEffect {
    response: Response,
    effect: bool,
    subject: Option<Fingerprint>,
}

impl Handler for Api {
    async fn handle(&self, request: Request) -> Reply {
        if let (ApiHost::RingCx, Some(path)) = (self.side, request.path.strip_prefix("/_simulate/"))
        {
            return Reply::Answer(admin::answer(&self.world, path, &request));
        }
        if let (ApiHost::RingCx, Some((wish, about))) = (self.side, configs::route(&request)) {
            let call = match wish {
                ConfigOp::List => Call::ConfigList,
                ConfigOp::Read => Call::ConfigRead,
                ConfigOp::Write => Call::ConfigWrite,
            };
            return self.call(
                call,
                CallSubject {
                    victim: None,
                    config: Some((wish, about)),
                },
                request,
            );
        }
        match route(self.side, &request) {
            Some((call, victim)) => self.call(
                call,
                CallSubject {
                    victim,
                    config: None,
                },
                request,
            ),
            None => Reply::Answer(answer::error(404, &request)),
        }
    }
}

/// Which call a request is, with the token in its path.
fn route(side: ApiHost, request: &Request) -> Option<(Call, Option<Fingerprint>)> {
    const TOKEN: &str = "/voice/api/v1/admin/token";
    if side == ApiHost::RingEx {
        let asked = request.method == "POST" && request.path == "/restapi/oauth/token";
        return asked.then_some((Call::RingexToken, None));
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/api/auth/login/admin") => Some((Call::Login, None)),
        ("POST", "/api/auth/login/rc/accesstoken") => Some((Call::RingexLogin, None)),
        ("POST", "/api/auth/token/refresh") => Some((Call::Refresh, None)),
        ("POST", TOKEN) => Some((Call::Mint, None)),
        ("GET", TOKEN) => Some((Call::List, None)),
        ("GET", "/voice/api/v1/admin/accounts") => Some((Call::Accounts, None)),
        ("DELETE", path) => {
            let segment = path
                .strip_prefix(TOKEN)?
                .strip_prefix('/')
                .filter(|rest| !rest.contains('/'))?;
            Some((
                Call::Delete,
                Some(Fingerprint::of(&percent_decoded(segment))),
            ))
        }
        _ => None,
    }
}

fn percent_decoded(segment: &str) -> Vec<u8> {
    let mut rest = segment.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'%').then(|| tail.get(..2)).flatten();
        let code = code.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        decoded.push(code.unwrap_or(first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    decoded
}

impl Api {
    fn call(&self, call: Call, about: CallSubject, request: Request) -> Reply {
        let now = self.world.clock.now();
        let mut state = self.world.lock();
        let caller = identify(&state, now, call, &request);
        let mut record = CallRecord {
            at: now,
            call,
            user: caller.user.clone(),
            auth: caller.auth,
            with: caller.with,
            subject: about.victim,
            status: None,
            fault: None,
            effect: false,
        };
        let reply = if over_limit(&mut state, now, call, &caller) {
            Reply::Answer(answer::over_limit(&state, now))
        } else {
            record.fault = state
                .faults
                .take(call, caller.user.as_deref())
                .filter(|fault| *fault != Fault::Pass);
            self.reply(&mut state, &mut record, &caller, &about, &request)
        };
        record.status = match &reply {
            Reply::Answer(response) | Reply::Half(response) | Reply::Slow(_, response) => {
                Some(response.status)
            }
            Reply::Cut | Reply::Silence => None,
        };
        let reply = dated(&state, now, reply);
        let number = state.record(record.clone());
        drop(state);
        self.world.announce_call(&record);
        if let Some(Fault::LateEffect(wait)) = record.fault {
            let world = Arc::clone(&self.world);
            self.background.spawn(async move {
                tokio::time::sleep(wait).await;
                {
                    let mut state = world.lock();
                    let done = perform(
                        &mut state,
                        world.clock.now(),
                        call,
                        &caller,
                        &about,
                        &request,
                    );
                    state.record_late_effect(number, done.subject, done.effect);
                }
                world.announce();
            });
        }
        reply
    }

    /// Carries the call out, unless the fault says otherwise, and makes the answer what the fault
    /// makes it.
    fn reply(
        &self,
        state: &mut WorldState,
        record: &mut CallRecord,
        caller: &Caller,
        about: &CallSubject,
        request: &Request,
    ) -> Reply {
        let now = record.at;
        let mut carry_out = |state: &mut WorldState| {
            let done = perform(state, now, record.call, caller, about, request);
            record.effect = done.effect;
            record.subject = done.subject;
            done.response
        };
        let Some(fault) = record.fault else {
            return Reply::Answer(carry_out(state));
        };
        match fault {
            Fault::Pass => Reply::Answer(carry_out(state)),
            Fault::CutBefore | Fault::LateEffect(_) => Reply::Cut,
            Fault::LostAnswer => {
                carry_out(state);
                Reply::Cut
            }
            Fault::Silence => Reply::Silence,
            Fault::SilenceAfter => {
                carry_out(state);
                Reply::Silence
            }
            Fault::Slow(wait) => Reply::Slow(wait, carry_out(state)),
            Fault::HalfBody => Reply::Half(carry_out(state)),
            Fault::Status(status, retry, effect) => {
                if effect == Effect::Done {
                    carry_out(state);
                }
                let wait = answer::retry_after(retry, state.server_time(now));
                Reply::Answer(answer::with_retry_after(
                    answer::error(status, request),
                    wait,
                ))
            }
            Fault::Html(status, effect) => {
                if effect == Effect::Done {
                    carry_out(state);
                }
                Reply::Answer(answer::html(status))
            }
            Fault::Garbage => instead(carry_out(state), random::bytes::<512>().to_vec()),
            Fault::Huge => {
                let head = carry_out(state);
                Reply::Answer(Response {
                    status: 200,
                    headers: head.headers,
                    body: Body::Huge,
                })
            }
            Fault::Empty => instead(carry_out(state), Vec::new()),
            Fault::WrongJson => {
                let body = json!({ "data": { "items": [1, 2, 3] }, "accessToken": 7 });
                carry_out(state);
                Reply::Answer(Response::json(200, &body))
            }
            Fault::Redirect => {
                let target = format!("http://{}{}", self.elsewhere, request.target());
                Reply::Answer(Response::text(307, "").with("Location", target))
            }
        }
    }
}

/// A success with another body. A 204 could have none, so it becomes a 200.
fn instead(response: Response, body: Vec<u8>) -> Reply {
    Reply::Answer(Response {
        status: 200,
        headers: response.headers,
        body: Body::Bytes(body),
    })
}

/// Puts the server's `Date` on whatever is answered.
fn dated(state: &WorldState, now: DateTime<Utc>, reply: Reply) -> Reply {
    let date = |response| answer::dated(response, state.settings.date_form, state.server_time(now));
    match reply {
        Reply::Answer(response) => Reply::Answer(date(response)),
        Reply::Half(response) => Reply::Half(date(response)),
        Reply::Slow(wait, response) => Reply::Slow(wait, date(response)),
        Reply::Cut => Reply::Cut,
        Reply::Silence => Reply::Silence,
    }
}

fn over_limit(state: &mut WorldState, now: DateTime<Utc>, call: Call, caller: &Caller) -> bool {
    let (kind, limit) = match call {
        Call::Login | Call::RingexLogin => {
            (RateLimitFamily::Logins, state.settings.logins_per_minute)
        }
        Call::RingexToken => (
            RateLimitFamily::Ringex,
            state.settings.ringex_logins_per_minute,
        ),
        Call::Refresh
        | Call::Mint
        | Call::List
        | Call::Delete
        | Call::Accounts
        | Call::ConfigList
        | Call::ConfigRead
        | Call::ConfigWrite => (
            RateLimitFamily::Requests,
            state.settings.requests_per_minute,
        ),
    };
    // RingEX counts an app's requests, whoever it logs in.
    let whose = match &caller.claim {
        LoginClaim::Jwt { client_id, .. } => Some(client_id),
        LoginClaim::Password { .. }
        | LoginClaim::Ringex { .. }
        | LoginClaim::Refresh(_)
        | LoginClaim::Session { .. }
        | LoginClaim::Refused(_) => caller.user.as_ref(),
    };
    let (Some(limit), Some(user)) = (limit, whose) else {
        return false;
    };
    if state.meters.len() >= MOST_OF_ANYTHING {
        state.meters.clear();
    }
    let penalty = state.settings.penalty;
    state
        .meters
        .entry((user.clone(), kind))
        .or_default()
        .admit(now, limit, penalty)
        .is_err()
}

fn identify(state: &WorldState, now: DateTime<Utc>, call: Call, request: &Request) -> Caller {
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
    let (auth, fields) = match form_value(request.query.as_bytes(), "username") {
        Some(_) => (AuthKind::Query, request.query.as_bytes()),
        None => (AuthKind::Form, request.body.as_slice()),
    };
    let field = |name| form_value(fields, name);
    match (field("username"), field("password")) {
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

fn perform(
    state: &mut WorldState,
    now: DateTime<Utc>,
    call: Call,
    caller: &Caller,
    about: &CallSubject,
    request: &Request,
) -> CallEffect {
    let victim = about.victim;
    let nothing = |response| CallEffect {
        response,
        effect: false,
        subject: victim,
    };
    match &caller.claim {
        LoginClaim::Refused(why) => nothing(Response::text(401, *why)),
        LoginClaim::Password {
            username,
            password,
            platform,
        } => match state.login(now, username, password, platform) {
            Ok(opened) => CallEffect {
                effect: true,
                ..nothing(opened_answer(state, &opened))
            },
            Err(LoginRefusal::Wrong) => nothing(Response::text(401, "Bad credentials")),
            Err(LoginRefusal::Locked) => nothing(answer::error(403, request)),
        },
        LoginClaim::Jwt {
            client_id,
            client_secret,
            grant_type,
            jwt,
        } => {
            let lifetime = state.settings.ringex_token_ttl;
            let until = rotator_core::time::after(now, lifetime);
            let given = if state.settings.jwt_flow {
                state
                    .ringex
                    .give(client_id, client_secret, grant_type, jwt, until)
            } else {
                Err(OauthRefusal::Flow)
            };
            match given {
                Ok(token) => {
                    let body = json!({
                        "access_token": token,
                        "token_type": "bearer",
                        "expires_in": lifetime.as_secs(),
                        "scope": "ReadAccounts",
                        "owner_id": caller.user,
                    });
                    CallEffect {
                        effect: true,
                        ..nothing(Response::json(200, &body))
                    }
                }
                Err(OauthRefusal::Client) => {
                    nothing(oauth_error(401, "invalid_client", "Invalid client"))
                }
                Err(OauthRefusal::Grant) => nothing(oauth_error(
                    400,
                    "invalid_grant",
                    "JWT is expired or was revoked",
                )),
                Err(OauthRefusal::GrantType) => nothing(oauth_error(
                    400,
                    "unsupported_grant_type",
                    "Unsupported grant type",
                )),
                Err(OauthRefusal::Flow) => nothing(oauth_error(
                    400,
                    "unauthorized_client",
                    "Unauthorized for this grant type",
                )),
            }
        }
        LoginClaim::Ringex { token, refresh } => {
            let user = state.ringex.user_of_token(now, token).map(str::to_owned);
            match user.map(|user| state.login_by_ringex(now, &user)) {
                Some(Ok(mut opened)) => {
                    if !refresh {
                        opened.refresh = String::new();
                    }
                    CallEffect {
                        effect: true,
                        ..nothing(opened_answer(state, &opened))
                    }
                }
                Some(Err(_)) => nothing(answer::error(403, request)),
                None => nothing(Response::text(401, "Token is invalid or expired")),
            }
        }
        LoginClaim::Refresh(refresh) => match state.refresh(now, refresh) {
            Some(opened) => CallEffect {
                effect: true,
                ..nothing(opened_answer(state, &opened))
            },
            None => nothing(Response::text(401, "Invalid refresh token")),
        },
        LoginClaim::Session { user, platform } => match call {
            Call::Mint => {
                let token = state.mint(now, user, platform, MintedBy::Api);
                let subject = Some(Fingerprint::of(token.as_bytes()));
                CallEffect {
                    response: mint_answer(state, &token),
                    effect: true,
                    subject,
                }
            }
            Call::List => nothing(list_answer(state, now, user)),
            Call::Delete => delete(state, now, user, victim, request),
            Call::Accounts => nothing(Response::json(200, &accounts(state))),
            Call::ConfigList | Call::ConfigRead | Call::ConfigWrite => {
                let Some((wish, about)) = &about.config else {
                    return nothing(answer::error(404, request));
                };
                let (response, key) = state.configs_answer(now, *wish, about, request);
                CallEffect {
                    response,
                    effect: key.is_some(),
                    subject: key,
                }
            }
            // Their claims are others.
            Call::Login | Call::RingexToken | Call::RingexLogin | Call::Refresh => {
                nothing(answer::error(400, request))
            }
        },
    }
}

fn oauth_error(status: u16, error: &str, description: &str) -> Response {
    Response::json(
        status,
        &json!({ "error": error, "error_description": description }),
    )
}

fn opened_answer(state: &WorldState, opened: &Opened) -> Response {
    let body = json!({
        "accessToken": opened.access,
        "refreshToken": opened.refresh,
        "tokenType": "Bearer",
        "platformId": opened.platform,
        "mainAccountId": "21170001",
        "adminId": 1701,
        "adminPasswordReset": state.settings.admin_password_reset,
        "agentDetails": null,
    });
    Response::json(200, &body)
}

fn mint_answer(state: &WorldState, token: &str) -> Response {
    let body = match state.settings.mint_form {
        MintForm::Bare => token.to_owned(),
        MintForm::Quoted => format!("\"{token}\""),
        MintForm::Newline => format!("{token}\n"),
    };
    Response::text(state.settings.mint_status, body)
}

fn list_answer(state: &WorldState, now: DateTime<Utc>, user: &str) -> Response {
    let tokens = state.list(now, user);
    match state.settings.list_form {
        ListForm::Array => Response::json(200, &Value::from(tokens)),
        ListForm::Brace => {
            let quoted: Vec<_> = tokens.iter().map(|token| format!("\"{token}\"")).collect();
            Response::new(
                200,
                "application/json",
                format!("{{ {} }}", quoted.join(", ")),
            )
        }
    }
}

/// Only the user's own tokens can be deleted; those of others are not there for them.
fn delete(
    state: &mut WorldState,
    now: DateTime<Utc>,
    user: &str,
    victim: Option<Fingerprint>,
    request: &Request,
) -> CallEffect {
    let own = state
        .tokens
        .iter()
        .find(|token| Some(token.fingerprint) == victim && token.user == user);
    let living = own
        .filter(|token| token.deleted_at.is_none())
        .map(|token| token.fingerprint);
    let said = |text: &'static str| Response::text(200, text);
    let Some(fingerprint) = living else {
        let response = match state.settings.delete_unknown {
            DeleteUnknown::True => said("true"),
            DeleteUnknown::False => said("false"),
            DeleteUnknown::Unauthorized => Response::text(401, "Unauthorized"),
            DeleteUnknown::Forbidden => answer::error(403, request),
            DeleteUnknown::NotFound => answer::error(404, request),
        };
        return CallEffect {
            response,
            effect: false,
            subject: victim,
        };
    };
    let (response, deletes) = match state.settings.delete_form {
        DeleteForm::True => (said("true"), Effect::Done),
        DeleteForm::NoContent => (
            Response {
                status: 204,
                headers: Vec::new(),
                body: Body::Bytes(Vec::new()),
            },
            Effect::Done,
        ),
        DeleteForm::False => (said("false"), Effect::None),
        DeleteForm::NotFound => (answer::error(404, request), Effect::None),
        DeleteForm::Lie => (said("true"), Effect::None),
        DeleteForm::FalseYetGone => (said("false"), Effect::Done),
    };
    let effect = deletes == Effect::Done && state.delete(now, fingerprint, DeletedBy::Api);
    CallEffect {
        response,
        effect,
        subject: victim,
    }
}

fn accounts(state: &WorldState) -> Value {
    let account = |id: String| {
        json!({
            "accountId": id,
            "accountName": if id == "21170001" { "Stand-in Contact Centre".to_owned() } else { format!("Stand-in {id}") },
            "mainAccountId": "21170001",
            "apiSecret": PLANTED_SECRETS[0],
            "sip": { "password": PLANTED_SECRETS[1] },
        })
    };
    state.account_ids().into_iter().map(account).collect()
}
