//! What a call does on the server, and the answer that goes with it.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::caller::{Caller, LoginClaim};
use crate::answer;
use crate::configs::{ConfigOp, ConfigTarget};
use crate::fault::{Call, Effect};
use crate::http::{Body, Request, Response};
use crate::records::{DeletedBy, MintedBy};
use crate::ringex::OauthRefusal;
use crate::settings::{DeleteForm, DeleteUnknown, ListForm, MintForm};
use crate::world::{LoginRefusal, Opened, WorldState};
use rotator_core::secret::Fingerprint;

/// Texts that stand in `accounts` and must never be seen in a log.
pub const PLANTED_SECRETS: [&str; 2] = ["planted-api-secret-7d1f", "planted-sip-password-c09a"];

/// One call that is carried out, now or after a fault's delay.
pub(super) struct Performance<'a> {
    pub(super) now: DateTime<Utc>,
    pub(super) call: Call,
    pub(super) caller: &'a Caller,
    pub(super) subject: &'a CallSubject,
    pub(super) request: &'a Request,
}

/// What a call is about, where it is about one thing.
#[derive(Clone)]
pub(super) struct CallSubject {
    /// The token in its path.
    pub(super) token: Option<Fingerprint>,
    /// The auth configs in its path.
    pub(super) config: Option<(ConfigOp, ConfigTarget)>,
}

/// What came of a call.
pub(super) struct CallEffect {
    pub(super) response: Response,
    /// Whether it changed anything on the server.
    pub(super) effect: bool,
    /// The token that was minted, deleted, or put into an auth config.
    pub(super) subject: Option<Fingerprint>,
}

impl Performance<'_> {
    /// Carries the call out, if the caller may make it.
    pub(super) fn perform(&self, state: &mut WorldState) -> CallEffect {
        match &self.caller.claim {
            LoginClaim::Refused(why) => self.unchanged(Response::text(401, *why)),
            LoginClaim::Password {
                username,
                password,
                platform,
            } => match state.login(self.now, username, password, platform) {
                Ok(opened) => self.done(opened_answer(state, &opened)),
                Err(LoginRefusal::Wrong) => self.unchanged(Response::text(401, "Bad credentials")),
                // A locked user is a 403, so that a client can tell it from a wrong password.
                Err(LoginRefusal::Locked) => self.unchanged(answer::error(403, self.request)),
            },
            LoginClaim::Jwt {
                client_id,
                client_secret,
                grant_type,
                jwt,
            } => self.ringex_token(state, [client_id, client_secret, grant_type, jwt]),
            LoginClaim::Ringex { token, refresh } => self.ringex_login(state, token, *refresh),
            LoginClaim::Refresh(refresh) => match state.refresh(self.now, refresh) {
                Some(opened) => self.done(opened_answer(state, &opened)),
                None => self.unchanged(Response::text(401, "Invalid refresh token")),
            },
            LoginClaim::Session { user, platform } => self.in_session(state, user, platform),
        }
    }

    /// An answer to a call that changed nothing.
    fn unchanged(&self, response: Response) -> CallEffect {
        CallEffect {
            response,
            effect: false,
            subject: self.subject.token,
        }
    }

    /// An answer to a call that changed something.
    fn done(&self, response: Response) -> CallEffect {
        CallEffect {
            effect: true,
            ..self.unchanged(response)
        }
    }

    /// `POST /restapi/oauth/token`: gives an access token of RingEX for a JWT.
    fn ringex_token(
        &self,
        state: &mut WorldState,
        [client_id, client_secret, grant_type, jwt]: [&str; 4],
    ) -> CallEffect {
        let lifetime = state.settings.ringex_token_ttl;
        let until = rotator_core::time::after(self.now, lifetime);
        // Checked before the credentials, so that a test sees this refusal whatever they are.
        let given = if state.settings.jwt_flow {
            state
                .ringex
                .give(client_id, client_secret, grant_type, jwt, until)
        } else {
            Err(OauthRefusal::Flow)
        };
        match given {
            Ok(token) => self.done(Response::json(
                200,
                &json!({
                    "access_token": token,
                    "token_type": "bearer",
                    "expires_in": lifetime.as_secs(),
                    "scope": "ReadAccounts",
                    "owner_id": self.caller.user,
                }),
            )),
            Err(refusal) => self.unchanged(oauth_error(refusal)),
        }
    }

    /// `POST /api/auth/login/rc/accesstoken`: a login to RingCX with an access token of RingEX.
    fn ringex_login(&self, state: &mut WorldState, token: &str, refresh: bool) -> CallEffect {
        let user = state.ringex.user_of_token(self.now, token);
        let user = user.map(str::to_owned);
        match user.map(|user| state.login_by_ringex(self.now, &user)) {
            Some(Ok(mut opened)) => {
                if !refresh {
                    // None was asked for, so the client gets an empty one, which is good for
                    // nothing.
                    opened.refresh = String::new();
                }
                self.done(opened_answer(state, &opened))
            }
            Some(Err(_)) => self.unchanged(answer::error(403, self.request)),
            None => self.unchanged(Response::text(401, "Token is invalid or expired")),
        }
    }

    /// Every call of a user who is let in.
    fn in_session(&self, state: &mut WorldState, user: &str, platform: &str) -> CallEffect {
        match self.call {
            Call::Mint => {
                let token = state.mint(self.now, user, platform, MintedBy::Api);
                CallEffect {
                    response: mint_answer(state, &token),
                    effect: true,
                    // The minted token, so that a test can ask for it although the answer was lost.
                    subject: Some(Fingerprint::of(token.as_bytes())),
                }
            }
            Call::List => self.unchanged(list_answer(state, self.now, user)),
            Call::Delete => self.delete(state, user),
            Call::Accounts => self.unchanged(Response::json(200, &accounts(state))),
            Call::ConfigList | Call::ConfigRead | Call::ConfigWrite => {
                let Some((op, target)) = &self.subject.config else {
                    return self.unchanged(answer::error(404, self.request));
                };
                let (response, key) = state.configs_answer(self.now, *op, target, self.request);
                CallEffect {
                    response,
                    effect: key.is_some(),
                    subject: key,
                }
            }
            // These are not made in a session: their claims are others.
            Call::Login | Call::RingexToken | Call::RingexLogin | Call::Refresh => {
                self.unchanged(answer::error(400, self.request))
            }
        }
    }

    /// Only the user's own tokens can be deleted; those of others are not there for them.
    fn delete(&self, state: &mut WorldState, user: &str) -> CallEffect {
        let wanted = self.subject.token;
        let mut tokens = state.tokens.iter();
        // By fingerprint: the record never has to hold the path, which contains the token.
        let own = tokens.find(|token| Some(token.fingerprint) == wanted && token.user == user);
        let living = own
            .filter(|token| token.deleted_at.is_none())
            .map(|token| token.fingerprint);
        let ok = |text: &'static str| Response::text(200, text);
        let Some(fingerprint) = living else {
            let response = match state.settings.delete_unknown {
                DeleteUnknown::True => ok("true"),
                DeleteUnknown::False => ok("false"),
                DeleteUnknown::Unauthorized => Response::text(401, "Unauthorized"),
                DeleteUnknown::Forbidden => answer::error(403, self.request),
                DeleteUnknown::NotFound => answer::error(404, self.request),
            };
            return self.unchanged(response);
        };
        let (response, deletes) = match state.settings.delete_form {
            DeleteForm::True => (ok("true"), Effect::Done),
            DeleteForm::NoContent => (
                Response {
                    status: 204,
                    headers: Vec::new(),
                    body: Body::Bytes(Vec::new()),
                },
                Effect::Done,
            ),
            DeleteForm::False => (ok("false"), Effect::None),
            DeleteForm::NotFound => (answer::error(404, self.request), Effect::None),
            DeleteForm::Lie => (ok("true"), Effect::None),
            // The two contradictory forms: only a fresh list tells a client what really happened.
            DeleteForm::FalseYetGone => (ok("false"), Effect::Done),
        };
        let effect = deletes == Effect::Done && state.delete(self.now, fingerprint, DeletedBy::Api);
        CallEffect {
            response,
            effect,
            subject: wanted,
        }
    }
}

/// An error as OAuth 2.0 words it.
fn oauth_error(refusal: OauthRefusal) -> Response {
    let (status, error, description) = match refusal {
        OauthRefusal::Client => (401, "invalid_client", "Invalid client"),
        OauthRefusal::Grant => (400, "invalid_grant", "JWT is expired or was revoked"),
        OauthRefusal::GrantType => (400, "unsupported_grant_type", "Unsupported grant type"),
        OauthRefusal::Flow => (
            400,
            "unauthorized_client",
            "Unauthorized for this grant type",
        ),
    };
    let body = json!({ "error": error, "error_description": description });
    Response::json(status, &body)
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
        // Only the bare form is documented; the client has to take the others too.
        MintForm::Quoted => format!("\"{token}\""),
        MintForm::Newline => format!("{token}\n"),
        MintForm::Half => token[..token.len() / 2].to_owned(),
    };
    Response::text(state.settings.mint_status, body)
}

fn list_answer(state: &WorldState, now: DateTime<Utc>, user: &str) -> Response {
    let tokens = state.list(now, user);
    let mut entries = state.settings.list_extra.clone();
    entries.extend(tokens.into_iter().map(Value::from));
    match state.settings.list_form {
        ListForm::Array => Response::json(200, &Value::from(entries)),
        ListForm::Brace => {
            let quoted: Vec<_> = entries.iter().map(Value::to_string).collect();
            Response::new(
                200,
                "application/json",
                format!("{{ {} }}", quoted.join(", ")),
            )
        }
    }
}

fn accounts(state: &WorldState) -> Value {
    let account = |id: String| {
        let name = match id.as_str() {
            "21170001" => "Stand-in Contact Centre".to_owned(),
            other => format!("Stand-in {other}"),
        };
        json!({
            "accountId": id,
            "accountName": name,
            "mainAccountId": "21170001",
            // The answer to this call contains secrets; a test searches every log for these two.
            "apiSecret": PLANTED_SECRETS[0],
            "sip": { "password": PLANTED_SECRETS[1] },
        })
    };
    state.account_ids().into_iter().map(account).collect()
}
