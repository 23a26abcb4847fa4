//! The answers that are not a success, in the forms RingCX and the proxies before it are known to
//! give.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::fault::RetryAfter;
use super::http::{Request, Response};
use super::settings::{DateForm, PenaltyForm};
use super::world::WorldState;

/// An error as RingCX words it. Like the real one it repeats the request's URI, and with it
/// whatever secret the URI holds.
pub(super) fn error(status: u16, request: &Request) -> Response {
    // A 401 of RingCX is plain text, so a client cannot count on JSON.
    let code = match status {
        401 => return Response::text(401, "Jwt verification fails"),
        403 => "access.denied.exception",
        404 => "resource.not.found.exception",
        429 => "request.rate.exceeded.exception",
        500.. => "internal.server.exception",
        _ => "bad.request.exception",
    };
    let body = json!({
        "errorCode": code,
        "generalMessage": "The request could not be carried out",
        "details": "",
        "requestUri": request.target(),
        "timestamp": 1_720_569_600_000_u64,
    });
    Response::json(status, &body)
}

/// The error page of a proxy.
pub(super) fn html(status: u16) -> Response {
    let page = format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n\
         <body><center><h1>{status}</h1></center></body>\r\n</html>\r\n"
    );
    Response::new(status, "text/html", page)
}

/// The 429 of a limit, as the settings word it.
pub(super) fn over_limit(state: &WorldState, left: Duration, now: DateTime<Utc>) -> Response {
    // Rounded up: a client that waits for a rounded-down time comes too early and starts the
    // penalty again.
    let seconds = u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
    let form = match state.settings.penalty_form {
        PenaltyForm::Seconds => RetryAfter::Seconds(seconds),
        PenaltyForm::Date => RetryAfter::Date(seconds),
        PenaltyForm::Absent => RetryAfter::Absent,
    };
    let wait = retry_after(form, state.server_time(now));
    with_retry_after(Response::text(429, "Too many requests"), wait)
}

/// The header's value, dates by the server's own clock.
pub(super) fn retry_after(form: RetryAfter, server_time: DateTime<Utc>) -> Option<String> {
    match form {
        RetryAfter::Absent => None,
        RetryAfter::Seconds(seconds) => Some(seconds.to_string()),
        RetryAfter::Date(seconds) => {
            Some(http_date(server_time + TimeDelta::seconds(seconds.into())))
        }
    }
}

pub(super) fn with_retry_after(response: Response, value: Option<String>) -> Response {
    match value {
        Some(value) => response.with("Retry-After", value),
        None => response,
    }
}

/// The answer with the `Date` header that the settings ask for: a date, none, or garbage.
pub(super) fn dated(response: Response, form: DateForm, server_time: DateTime<Utc>) -> Response {
    match form {
        DateForm::Sent => response.with("Date", http_date(server_time)),
        DateForm::Absent => response,
        DateForm::Garbled => response.with("Date", "the day before yesterday"),
    }
}

fn http_date(at: DateTime<Utc>) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
