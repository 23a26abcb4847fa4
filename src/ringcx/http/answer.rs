//! An answer as it comes in: its body, no more of it than makes sense, and what its status means.
//!
//! What this file does not know: what was asked.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Response, StatusCode};

use crate::ringcx::ApiError;
use crate::ringcx::redact::is_own;
use crate::ringcx::wire::BodyError;

/// An answer with a status of 2xx.
pub struct ApiAnswer {
    /// The HTTP status, for example 200.
    pub status: u16,
    /// The `Date` header, where it can be read.
    pub server_time: Option<DateTime<Utc>>,
    /// The whole body; a cut or too large one is an error.
    pub body: Vec<u8>,
}

impl ApiAnswer {
    /// Like [`ApiAnswer::read`], for a parser that needs only the body.
    pub fn read_with<T>(&self, parse: fn(&[u8]) -> Result<T, BodyError>) -> Result<T, ApiError> {
        self.read(parse(&self.body))
    }

    /// Turns a body that could not be parsed into [`ApiError::Nonsense`].
    pub fn read<T>(&self, parsed: Result<T, BodyError>) -> Result<T, ApiError> {
        parsed.map_err(|why| ApiError::Nonsense {
            status: self.status,
            why: why.to_string(),
        })
    }
}

/// A body, as far as it was taken.
pub enum CappedBody {
    /// The body to its end.
    Whole(Vec<u8>),
    /// The first `max` bytes of a longer body.
    TooLarge(Vec<u8>),
    /// What came until the connection failed, and the failure.
    Cut(Vec<u8>, reqwest::Error),
}

impl CappedBody {
    /// What was taken of it.
    pub fn so_far(&self) -> &[u8] {
        match self {
            Self::Whole(body) | Self::TooLarge(body) | Self::Cut(body, _) => body,
        }
    }
}

/// Takes a body chunk by chunk, and no more of it than `max` bytes, whatever length was announced.
pub async fn read(response: &mut Response, max: usize) -> CappedBody {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return CappedBody::Whole(body),
            Ok(Some(chunk)) => {
                let room = max - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    return CappedBody::TooLarge(body);
                }
            }
            Err(error) => return CappedBody::Cut(body, error),
        }
    }
}

/// What any other status than a success means. `said` is what is shown of the body.
pub fn refusal(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &[u8],
    said: String,
) -> ApiError {
    let status = status.as_u16();
    match status {
        // Whoever asks to come again later has not judged what was sent. Documented for 429 and
        // 503 (RFC 6585 and RFC 9110); firewalls send it with others.
        _ if retry_after.is_some() || matches!(status, 429 | 503) => ApiError::Busy {
            status,
            retry_after,
            said,
        },
        // RingCX's own 401 is plain text, its 403 is JSON.
        401 => ApiError::Denied { status, said },
        403 if is_own(body) => ApiError::Denied { status, said },
        // Redirects too: to follow one would hand the credential to another host.
        _ => ApiError::Status { status, said },
    }
}

/// The status that an error tells, where one came.
pub fn error_status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::Unreachable { .. } | ApiError::NoAnswer { .. } => None,
        ApiError::Denied { status, .. }
        | ApiError::Busy { status, .. }
        | ApiError::Status { status, .. }
        | ApiError::Nonsense { status, .. } => Some(*status),
    }
}

/// A header's value, where it is plain text.
pub fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
