//! The routes under `/_simulate/`: setting faults, changing settings and reading the record from
//! outside.
//!
//! No answer contains a token, except that of `POST /_simulate/foreign`, which makes one.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::fault::{Call, Fault, FaultSpec, FaultSpecError, Times};
use super::http::{Request, Response};
use super::record::Record;
use super::records::DeletedBy;
use super::world::World;
use rotator_core::secret::Fingerprint;

/// The body of `POST /_simulate/faults`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultRequest {
    call: String,
    fault: Fault,
    #[serde(default)]
    times: Option<TimesRequest>,
    #[serde(default)]
    user: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TimesRequest {
    Number(u32),
    Word(String),
}

/// The member `user` of `PATCH /_simulate/settings`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserChange {
    name: String,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    platform: Option<String>,
}

/// The body of `POST /_simulate/foreign`, which may be left out where there is one user.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForeignRequest {
    #[serde(default)]
    user: Option<String>,
}

/// Why a request cannot be done; answered as 400.
#[derive(Debug, thiserror::Error)]
enum AdminError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Fault(#[from] FaultSpecError),
    #[error("`{got}` is not a number of times: expected a number from 1, or \"always\"")]
    Times { got: String },
    #[error("there is more than one user, or none: name one, as in {{\"user\": \"demo\"}}")]
    WhichUser,
    #[error("mint_status is {got}: expected 200 to 299")]
    MintStatus { got: u16 },
}

/// Answers a request whose path under `/_simulate/` is `path`.
pub(super) fn answer(world: &Arc<World>, path: &str, request: &Request) -> Response {
    let answered = match (request.method.as_str(), path) {
        ("GET", "record") => Ok(Response::json(
            200,
            &Record {
                world: Arc::clone(world),
            }
            .to_json(),
        )),
        ("POST", "faults") => add_fault(world, &request.body),
        ("DELETE", "faults") => {
            world.lock().faults.clear();
            Ok(done())
        }
        ("POST", "foreign") => mint_foreign(world, &request.body),
        ("GET", "settings") => settings(world),
        ("PATCH", "settings") => change_settings(world, &request.body),
        ("DELETE", path) => match path.strip_prefix("tokens/").map(str::parse::<Fingerprint>) {
            Some(Ok(fingerprint)) => Ok(revoke(world, fingerprint)),
            // A text that is not a fingerprint is a 404 and no 400: the path names nothing that
            // exists.
            Some(Err(_)) | None => Ok(Response::text(404, "not found\n")),
        },
        _ => Ok(Response::text(404, "not found\n")),
    };
    // After every request, also a refused one: a waiter that looks again in vain does no harm, and
    // one that is not woken hangs its test.
    world.announce();
    answered.unwrap_or_else(|refusal| Response::json(400, &json!({ "error": refusal.to_string() })))
}

fn done() -> Response {
    Response::json(200, &json!({ "done": true }))
}

fn add_fault(world: &World, body: &[u8]) -> Result<Response, AdminError> {
    let asked: FaultRequest = serde_json::from_slice(body)?;
    let call: Call = asked.call.parse().map_err(FaultSpecError::from)?;
    let fault = asked.fault;
    // `Simulator::inject` takes such a pair; here it is most likely a mistake of the caller.
    if !fault.fits(call) {
        return Err(FaultSpecError::DoesNotFit { call, fault }.into());
    }
    let times = match asked.times {
        None => Times::Once,
        // Zero times would be accepted and never happen; a test would wait for it in vain.
        Some(TimesRequest::Number(0)) => {
            return Err(AdminError::Times {
                got: "0".to_owned(),
            });
        }
        Some(TimesRequest::Number(times)) => Times::N(times),
        Some(TimesRequest::Word(word)) if word == "always" => Times::Always,
        Some(TimesRequest::Word(got)) => return Err(AdminError::Times { got }),
    };
    world.lock().faults.add(FaultSpec {
        call,
        user: asked.user,
        fault,
        times,
    });
    Ok(done())
}

fn mint_foreign(world: &World, body: &[u8]) -> Result<Response, AdminError> {
    let asked: ForeignRequest = if body.is_empty() {
        ForeignRequest::default()
    } else {
        serde_json::from_slice(body)?
    };
    let mut state = world.lock();
    // With several users a default would mint for the wrong one, and no error would show it.
    let only = if state.users.len() == 1 {
        state.users.keys().next().cloned()
    } else {
        None
    };
    let user = asked.user.or(only).ok_or(AdminError::WhichUser)?;
    Ok(Response::text(
        201,
        state.mint_foreign(world.clock.now(), &user),
    ))
}

fn revoke(world: &World, fingerprint: Fingerprint) -> Response {
    if world
        .lock()
        .delete(world.clock.now(), fingerprint, DeletedBy::Foreign)
    {
        done()
    } else {
        Response::text(404, "no such living token\n")
    }
}

fn settings(world: &World) -> Result<Response, AdminError> {
    Ok(Response::json(
        200,
        &serde_json::to_value(&world.lock().settings)?,
    ))
}

/// Applies all changes or, where one member is wrong, none.
fn change_settings(world: &World, body: &[u8]) -> Result<Response, AdminError> {
    let mut changes: Map<String, Value> = serde_json::from_slice(body)?;
    // Taken out first: `user` is no setting, and `deny_unknown_fields` would refuse it below.
    let user: Option<UserChange> = changes
        .remove("user")
        .map(serde_json::from_value)
        .transpose()?;
    let mut state = world.lock();
    // The result is checked before anything is stored, so that a refused request changes nothing.
    let settings = state.settings.patched(changes)?;
    // Another status would be an error, and errors are made by faults, which the record shows.
    if !(200..300).contains(&settings.mint_status) {
        return Err(AdminError::MintStatus {
            got: settings.mint_status,
        });
    }
    state.settings = settings;
    if let Some(user) = user {
        if let Some(password) = &user.password {
            state.set_password(&user.name, password);
        }
        if let Some(platform) = &user.platform {
            state.set_platform(&user.name, platform);
        }
    }
    Ok(done())
}
