//! The API itself: which call a request is, what a fault makes of its answer, and its record.
//!
//! Who calls is found out in `api/caller.rs`, and what the call does in `api/perform.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::admin;
use super::answer;
use super::configs::{self, ConfigOp};
use super::fault::{Call, Effect, Fault, RetryAfter};
use super::http::{Body, Handler, Reply, Request, Response};
use super::listener::Background;
use super::random;
use super::records::CallRecord;
use super::world::{World, WorldState};
use caller::{Caller, identify};
use limit::over_limit;
use perform::{CallSubject, Performance};
use rotator_core::secret::Fingerprint;

mod caller;
mod limit;
mod perform;

pub use perform::PLANTED_SECRETS;

pub(super) struct Api {
    pub(super) world: Arc<World>,
    pub(super) background: Background,
    /// The other host, to which redirects lead.
    pub(super) elsewhere: SocketAddr,
    pub(super) side: ApiHost,
}

/// Which of the two hosts it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApiHost {
    RingCx,
    RingEx,
}

impl Handler for Api {
    async fn handle(&self, request: Request) -> Reply {
        // Only on the port of RingCX, and before routing: these requests are neither recorded as
        // calls nor subject to faults and limits.
        if let (ApiHost::RingCx, Some(path)) = (self.side, request.path.strip_prefix("/_simulate/"))
        {
            return Reply::Answer(admin::answer(&self.world, path, &request));
        }
        match route(self.side, &request) {
            Some((call, subject)) => self.call(call, subject, request),
            None => Reply::Answer(answer::error(404, &request)),
        }
    }
}

/// Which call a request is, and what it is about.
fn route(side: ApiHost, request: &Request) -> Option<(Call, CallSubject)> {
    match side {
        ApiHost::RingEx => {
            let wanted = request.method == "POST" && request.path == "/restapi/oauth/token";
            wanted.then_some((Call::RingexToken, NO_SUBJECT))
        }
        ApiHost::RingCx => route_config(request).or_else(|| route_ringcx(request)),
    }
}

const NO_SUBJECT: CallSubject = CallSubject {
    token: None,
    config: None,
};

fn route_config(request: &Request) -> Option<(Call, CallSubject)> {
    let (op, target) = configs::route(request)?;
    let call = match op {
        ConfigOp::List => Call::ConfigList,
        ConfigOp::Read => Call::ConfigRead,
        ConfigOp::Write => Call::ConfigWrite,
    };
    let subject = CallSubject {
        token: None,
        config: Some((op, target)),
    };
    Some((call, subject))
}

fn route_ringcx(request: &Request) -> Option<(Call, CallSubject)> {
    const TOKEN: &str = "/voice/api/v1/admin/token";
    let call = match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/api/auth/login/admin") => Call::Login,
        ("POST", "/api/auth/login/rc/accesstoken") => Call::RingexLogin,
        ("POST", "/api/auth/token/refresh") => Call::Refresh,
        ("POST", TOKEN) => Call::Mint,
        ("GET", TOKEN) => Call::List,
        ("GET", "/voice/api/v1/admin/accounts") => Call::Accounts,
        ("DELETE", path) => {
            let segment = path.strip_prefix(TOKEN)?.strip_prefix('/')?;
            // A client may escape the colon of a token as `%3A`: it is the same token.
            let token = (!segment.contains('/')).then(|| percent_decoded(segment))?;
            let subject = CallSubject {
                token: Some(Fingerprint::of(&token)),
                config: None,
            };
            return Some((Call::Delete, subject));
        }
        _ => return None,
    };
    Some((call, NO_SUBJECT))
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
    fn call(&self, call: Call, subject: CallSubject, request: Request) -> Reply {
        let now = self.world.clock.now();
        // One lock up to the record, so that calls are recorded in the order of their effects.
        let mut state = self.world.lock();
        let caller = identify(&state, now, call, &request);
        let mut record = CallRecord {
            at: now,
            call,
            user: caller.user.clone(),
            auth: caller.auth,
            with: caller.with,
            subject: subject.token,
            status: None,
            fault: None,
            effect: false,
        };
        // A refused call does not use up a queued fault: tests count the calls that reach it.
        let reply = if let Some(left) = over_limit(&mut state, now, call, &caller) {
            Reply::Answer(answer::over_limit(&state, left, now))
        } else {
            let fault = state.faults.take(call, caller.user.as_deref());
            // `Pass` means that nothing goes wrong, so the record shows no fault.
            record.fault = fault.filter(|fault| *fault != Fault::Pass);
            let performance = Performance {
                now,
                call,
                caller: &caller,
                subject: &subject,
                request: &request,
            };
            state.lists_a_part = record.fault == Some(Fault::Part);
            self.reply(&mut state, &mut record, &performance)
        };
        record.status = match &reply {
            Reply::Answer(response) | Reply::Half(response) | Reply::Slow(_, response) => {
                Some(response.status)
            }
            Reply::Cut | Reply::Silence => None,
        };
        let reply = dated(&state, now, reply);
        // Recorded before it is answered: a client with its answer finds the call in the record.
        let number = state.record(record.clone());
        // The observer may call the simulator, which would wait for this lock forever.
        drop(state);
        self.world.announce_call(&record);
        if let Some(Fault::LateEffect(wait)) = record.fault {
            self.perform_late(
                wait,
                LateCall {
                    number,
                    call,
                    caller,
                    subject,
                    request,
                },
            );
        }
        reply
    }

    /// Carries the call out after its answer was cut off, and notes the effect in its record.
    fn perform_late(&self, wait: Duration, late: LateCall) {
        let world = Arc::clone(&self.world);
        // Not on the connection, which is cut: the client is gone when the effect comes.
        self.background.spawn(async move {
            tokio::time::sleep(wait).await;
            {
                let mut state = world.lock();
                let performance = Performance {
                    now: world.clock.now(),
                    call: late.call,
                    caller: &late.caller,
                    subject: &late.subject,
                    request: &late.request,
                };
                // The time is read again after the wait: a late mint has to be as young as it
                // really is.
                let done = performance.perform(&mut state);
                state.record_late_effect(late.number, done.subject, done.effect);
            }
            world.announce();
        });
    }

    /// Carries the call out, unless the fault says otherwise, and makes the answer what the fault
    /// makes it.
    fn reply(
        &self,
        state: &mut WorldState,
        record: &mut CallRecord,
        performance: &Performance<'_>,
    ) -> Reply {
        let request = performance.request;
        let mut carry_out = |state: &mut WorldState| {
            let done = performance.perform(state);
            record.effect = done.effect;
            record.subject = done.subject;
            done.response
        };
        match record.fault {
            None | Some(Fault::Pass | Fault::Part) => Reply::Answer(carry_out(state)),
            Some(Fault::CutBefore | Fault::LateEffect(_)) => Reply::Cut,
            Some(Fault::LostAnswer) => {
                carry_out(state);
                Reply::Cut
            }
            Some(Fault::Silence) => Reply::Silence,
            Some(Fault::SilenceAfter) => {
                carry_out(state);
                Reply::Silence
            }
            Some(Fault::Slow(wait)) => Reply::Slow(wait, carry_out(state)),
            Some(Fault::HalfBody) => Reply::Half(carry_out(state)),
            Some(Fault::Status(status, retry, effect)) => {
                if effect == Effect::Done {
                    carry_out(state);
                }
                busy(state, performance, retry, answer::error(status, request))
            }
            Some(Fault::Html(status, effect)) => {
                if effect == Effect::Done {
                    carry_out(state);
                }
                Reply::Answer(answer::html(status))
            }
            Some(Fault::Firewall(retry)) => busy(state, performance, retry, answer::html(403)),
            Some(Fault::Garbage) => {
                let noise = random::bytes::<512>().to_vec();
                instead(carry_out(state), Body::Bytes(noise))
            }
            Some(Fault::Huge) => instead(carry_out(state), Body::Huge),
            Some(Fault::Empty) => instead(carry_out(state), Body::Bytes(Vec::new())),
            Some(Fault::WrongJson) => {
                carry_out(state);
                let body = json!({ "data": { "items": [1, 2, 3] }, "accessToken": 7 });
                Reply::Answer(Response::json(200, &body))
            }
            Some(Fault::Redirect) => {
                // With the whole target, so that a client that follows it repeats the secrets of
                // its URL there.
                let target = format!("http://{}{}", self.elsewhere, request.target());
                Reply::Answer(Response::text(307, "").with("Location", target))
            }
        }
    }
}

/// A call whose effect comes after its answer was cut off.
struct LateCall {
    /// The number of its record, by which the effect is noted later.
    number: u64,
    call: Call,
    caller: Caller,
    subject: CallSubject,
    request: Request,
}

/// An error that asks to come again later.
fn busy(
    state: &WorldState,
    performance: &Performance<'_>,
    retry: RetryAfter,
    error: Response,
) -> Reply {
    let wait = answer::retry_after(retry, state.server_time(performance.now));
    Reply::Answer(answer::with_retry_after(error, wait))
}

/// A success with another body. A 204 could have none, so it becomes a 200.
fn instead(response: Response, body: Body) -> Reply {
    Reply::Answer(Response {
        status: 200,
        headers: response.headers,
        body,
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
