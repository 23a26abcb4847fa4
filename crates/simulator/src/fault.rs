//! What can be made to go wrong with a call, each with the name that `--fault` takes, and which
//! calls it is queued for.
//!
//! Decides nothing about answers or tokens: `api.rs` turns a fault into what the client sees.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use rotator_core::span;

mod plan;
pub(super) use plan::FaultPlan;
pub use plan::{FaultSpec, FaultSpecError, Times};

/// The calls of the RingCX API, and RingEX's one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// `POST /api/auth/login/admin`
    Login,
    /// `POST /restapi/oauth/token`, on RingEX's own port
    RingexToken,
    /// `POST /api/auth/login/rc/accesstoken`
    RingexLogin,
    /// `POST /api/auth/token/refresh`
    Refresh,
    /// `POST /voice/api/v1/admin/token`
    Mint,
    /// `GET /voice/api/v1/admin/token`
    List,
    /// `DELETE /voice/api/v1/admin/token/{token}`
    Delete,
    /// `GET /voice/api/v1/admin/accounts`
    Accounts,
    /// `GET …/external/authConfigs`
    ConfigList,
    /// `GET …/external/authConfigs/{authConfigId}`
    ConfigRead,
    /// `PATCH …/external/authConfigs/{authConfigId}/apiKey`
    ConfigWrite,
}

impl Call {
    /// Every kind of call.
    pub const ALL: [Self; 11] = [
        Self::Login,
        Self::RingexToken,
        Self::RingexLogin,
        Self::Refresh,
        Self::Mint,
        Self::List,
        Self::Delete,
        Self::Accounts,
        Self::ConfigList,
        Self::ConfigRead,
        Self::ConfigWrite,
    ];

    /// Whether the call changes something on the server.
    pub fn changes(self) -> bool {
        match self {
            Self::Login
            | Self::RingexToken
            | Self::RingexLogin
            | Self::Refresh
            | Self::Mint
            | Self::Delete
            | Self::ConfigWrite => true,
            Self::List | Self::Accounts | Self::ConfigList | Self::ConfigRead => false,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Login => "login",
            Self::RingexToken => "ringex-token",
            Self::RingexLogin => "ringex-login",
            Self::Refresh => "refresh",
            Self::Mint => "mint",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Accounts => "accounts",
            Self::ConfigList => "config-list",
            Self::ConfigRead => "config-read",
            Self::ConfigWrite => "config-write",
        })
    }
}

/// The text is not the name of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{got}` is not a call: expected login, ringex-token, ringex-login, refresh, mint, list, delete, \
     accounts, config-list, config-read or config-write"
)]
pub struct UnknownCall {
    /// The text that was given, such as `hint` instead of `mint`.
    pub got: String,
}

impl FromStr for Call {
    type Err = UnknownCall;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // By the printed names, so that parsing and printing cannot disagree.
        let named = Self::ALL.into_iter().find(|call| call.to_string() == text);
        named.ok_or_else(|| UnknownCall {
            got: text.to_owned(),
        })
    }
}

/// Whether a call that is answered with an error was carried out anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing happened on the server.
    None,
    /// It was carried out, as behind a proxy that gave up waiting.
    Done,
}

/// The `Retry-After` header of an injected 429 or 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryAfter {
    /// The answer has no such header, and the client has to choose its own pause.
    Absent,
    /// A number of seconds.
    Seconds(u32),
    /// The same as an HTTP date, by the server's own clock.
    Date(u32),
}

/// What is made to go wrong with a call. The name of each is what `--fault` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// `pass`: nothing goes wrong this time. Queued before a fault, `pass:2` lets two calls
    /// through.
    Pass,
    /// `cut-before`: the connection ends and nothing happened.
    CutBefore,
    /// `lost-answer`: it happens, then the connection ends without an answer.
    LostAnswer,
    /// `late-effect-300ms`: the connection ends at once, and the call is carried out that much later.
    LateEffect(Duration),
    /// `silence`: nothing happens and no answer ever comes.
    Silence,
    /// `silence-after`: it happens and no answer ever comes.
    SilenceAfter,
    /// `slow-200ms`: it happens, and the right answer comes that much later.
    Slow(Duration),
    /// `half-body`: it happens, and the connection ends in the middle of the answer's body.
    HalfBody,
    /// `status-403`, `status-429-retry-after-2`, `status-503-retry-date-2`,
    /// `status-500-after-effect`: an error of the kind RingCX itself answers.
    Status(u16, RetryAfter, Effect),
    /// `html-502`, `html-200-after-effect`: a proxy's page.
    Html(u16, Effect),
    /// `firewall`, `firewall-retry-after-3`: nothing happens; the page of a firewall, a 403.
    Firewall(RetryAfter),
    /// `garbage`: it happens, and a success is answered with bytes that are no text.
    Garbage,
    /// `huge`: it happens, and a success is answered with 64 MiB.
    Huge,
    /// `empty`: it happens, and a success is answered without a body.
    Empty,
    /// `wrong-json`: it happens, and a success is answered with JSON of another shape.
    WrongJson,
    /// `part`: a list lacks the newest token, as from a node that lags behind.
    Part,
    /// `redirect`: nothing happens; a 307 names another host, which counts who comes.
    Redirect,
}

impl Fault {
    /// One of every class, with every status that the daemon treats differently.
    pub const ALL: [Self; 34] = [
        Self::CutBefore,
        Self::LostAnswer,
        Self::LateEffect(Duration::from_millis(300)),
        Self::Silence,
        Self::SilenceAfter,
        Self::Slow(Duration::from_millis(200)),
        Self::HalfBody,
        Self::Status(400, RetryAfter::Absent, Effect::None),
        Self::Status(401, RetryAfter::Absent, Effect::None),
        Self::Status(403, RetryAfter::Absent, Effect::None),
        Self::Status(404, RetryAfter::Absent, Effect::None),
        Self::Status(429, RetryAfter::Absent, Effect::None),
        Self::Status(429, RetryAfter::Seconds(2), Effect::None),
        Self::Status(429, RetryAfter::Date(2), Effect::None),
        Self::Status(500, RetryAfter::Absent, Effect::None),
        Self::Status(502, RetryAfter::Absent, Effect::None),
        Self::Status(503, RetryAfter::Absent, Effect::None),
        Self::Status(503, RetryAfter::Seconds(2), Effect::None),
        Self::Status(504, RetryAfter::Absent, Effect::None),
        Self::Status(403, RetryAfter::Absent, Effect::Done),
        Self::Status(404, RetryAfter::Absent, Effect::Done),
        Self::Status(429, RetryAfter::Seconds(2), Effect::Done),
        Self::Status(500, RetryAfter::Absent, Effect::Done),
        Self::Status(503, RetryAfter::Seconds(2), Effect::Done),
        Self::Html(200, Effect::Done),
        Self::Html(502, Effect::None),
        Self::Html(504, Effect::Done),
        Self::Firewall(RetryAfter::Seconds(2)),
        Self::Garbage,
        Self::Huge,
        Self::Empty,
        Self::WrongJson,
        Self::Part,
        Self::Redirect,
    ];

    /// Whether the fault says anything about this call. One that differs from its sibling only in
    /// that the call was carried out fits none that changes nothing; `late-effect` is about tokens,
    /// and the places that hold one.
    pub fn fits(self, call: Call) -> bool {
        match self {
            // A late login or refresh would only make a session that no client holds.
            Self::LateEffect(_) => matches!(call, Call::Mint | Call::Delete | Call::ConfigWrite),
            Self::Status(_, _, Effect::Done) => call.changes(),
            Self::Part => call == Call::List,
            // A page with a success status differs from the plain answer even for a call that only
            // reads.
            Self::Html(status, Effect::Done) => call.changes() || (200..300).contains(&status),
            Self::Status(_, _, Effect::None)
            | Self::Html(_, Effect::None)
            | Self::Pass
            | Self::CutBefore
            | Self::LostAnswer
            | Self::Silence
            | Self::SilenceAfter
            | Self::Slow(_)
            | Self::HalfBody
            | Self::Firewall(_)
            | Self::Garbage
            | Self::Huge
            | Self::Empty
            | Self::WrongJson
            | Self::Redirect => true,
        }
    }

    /// Whether the call is carried out, sooner or later, so far as the caller was entitled to it.
    pub fn carries_out(self) -> bool {
        match self {
            Self::Status(_, _, effect) | Self::Html(_, effect) => effect == Effect::Done,
            Self::CutBefore | Self::Silence | Self::Firewall(_) | Self::Redirect => false,
            Self::Pass
            | Self::LostAnswer
            | Self::LateEffect(_)
            | Self::SilenceAfter
            | Self::Slow(_)
            | Self::HalfBody
            | Self::Garbage
            | Self::Huge
            | Self::Empty
            | Self::Part
            | Self::WrongJson => true,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |effect| match effect {
            Effect::None => "",
            Effect::Done => "-after-effect",
        };
        let retry = |retry| match retry {
            RetryAfter::Absent => String::new(),
            RetryAfter::Seconds(seconds) => format!("-retry-after-{seconds}"),
            RetryAfter::Date(seconds) => format!("-retry-date-{seconds}"),
        };
        match *self {
            Self::Pass => f.write_str("pass"),
            Self::CutBefore => f.write_str("cut-before"),
            Self::LostAnswer => f.write_str("lost-answer"),
            Self::LateEffect(wait) => write!(
                f,
                "late-effect-{}",
                // Without blanks, so that the name stays one word on a command line.
                span::format_duration(wait).replace(' ', "")
            ),
            Self::Silence => f.write_str("silence"),
            Self::SilenceAfter => f.write_str("silence-after"),
            Self::Slow(wait) => write!(f, "slow-{}", span::format_duration(wait).replace(' ', "")),
            Self::HalfBody => f.write_str("half-body"),
            Self::Status(status, wait, effect) => {
                write!(f, "status-{status}{}{}", retry(wait), after(effect))
            }
            Self::Firewall(wait) => write!(f, "firewall{}", retry(wait)),
            Self::Html(status, effect) => write!(f, "html-{status}{}", after(effect)),
            Self::Garbage => f.write_str("garbage"),
            Self::Huge => f.write_str("huge"),
            Self::Empty => f.write_str("empty"),
            Self::WrongJson => f.write_str("wrong-json"),
            Self::Part => f.write_str("part"),
            Self::Redirect => f.write_str("redirect"),
        }
    }
}

/// The text is not the name of a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{got}` is not a fault: expected one such as cut-before, lost-answer, late-effect-300ms, \
     silence, silence-after, slow-200ms, half-body, status-429-retry-after-2, \
     status-503-after-effect, html-502, firewall-retry-after-3, garbage, huge, empty, wrong-json, \
     part, redirect or pass"
)]
pub struct UnknownFault {
    /// The text that was given, such as `hint` instead of `mint`.
    pub got: String,
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| UnknownFault {
            got: text.to_owned(),
        })
    }
}

fn parse(text: &str) -> Option<Fault> {
    // Taken off first, because it stands behind the status and its `Retry-After`.
    let (stem, effect) = match text.strip_suffix("-after-effect") {
        Some(stem) => (stem, Effect::Done),
        None => (text, Effect::None),
    };
    if let Some(rest) = stem.strip_prefix("status-") {
        let (status, retry) = split_retry(rest)?;
        let status = status
            .parse()
            .ok()
            // A success with an error body is no error; `html-200` is the fault for that.
            .filter(|status| (400..600).contains(status))?;
        return Some(Fault::Status(status, retry, effect));
    }
    if let Some(status) = stem.strip_prefix("html-") {
        let status = status
            .parse()
            .ok()
            // A 204 has no body, so there could be no page in it.
            .filter(|status| (200..600).contains(status) && *status != 204)?;
        return Some(Fault::Html(status, effect));
    }
    // Matched on the whole text: these have no `-after-effect` form.
    if let ("firewall", retry) = split_retry(text)? {
        return Some(Fault::Firewall(retry));
    }
    if let Some(wait) = text.strip_prefix("late-effect-") {
        return Some(Fault::LateEffect(span::parse_duration(wait).ok()?));
    }
    if let Some(wait) = text.strip_prefix("slow-") {
        return Some(Fault::Slow(span::parse_duration(wait).ok()?));
    }
    let plain = [
        Fault::Pass,
        Fault::CutBefore,
        Fault::LostAnswer,
        Fault::Silence,
        Fault::SilenceAfter,
        Fault::HalfBody,
        Fault::Garbage,
        Fault::Huge,
        Fault::Empty,
        Fault::WrongJson,
        Fault::Part,
        Fault::Redirect,
    ];
    // These have no parts, so the whole text has to be the name.
    plain.into_iter().find(|fault| fault.to_string() == text)
}

/// What stands before a `Retry-After`, and that.
fn split_retry(text: &str) -> Option<(&str, RetryAfter)> {
    Some(
        if let Some((stem, wait)) = text.split_once("-retry-after-") {
            (stem, RetryAfter::Seconds(wait.parse().ok()?))
        } else if let Some((stem, wait)) = text.split_once("-retry-date-") {
            (stem, RetryAfter::Date(wait.parse().ok()?))
        } else {
            (text, RetryAfter::Absent)
        },
    )
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_survives_its_name() {
        for fault in Fault::ALL.into_iter().chain([Fault::Pass]) {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for text in [
            "",
            "status-200",
            "status-",
            "html-204",
            "slow-",
            "silence-before",
            "huge-after-effect",
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_call_survives_its_name() {
        for call in Call::ALL {
            assert_eq!(call.to_string().parse(), Ok(call));
        }
    }
}
