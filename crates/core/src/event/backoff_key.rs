//! The kinds of work that are retried, each with a back-off of its own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of work with a back-off of its own, so that one that fails holds up no other. Logs and
/// the journal call it a lane: `login`, `sink:crm`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackoffKey {
    /// Logging in: without it nothing can be minted.
    Login,
    /// Asking the server anything at all.
    Server,
    /// A rotation: the look at its sinks, the mint, the check that the token works.
    Rotation,
    /// Deleting tokens that are no longer needed.
    Retirement,
    /// Working on the account at all: a pass that does not come to an end.
    Pass,
    /// Delivering to, and proving, one sink.
    Sink(String),
    /// Notifying the consumer of one sink.
    Notify(String),
}

impl fmt::Display for BackoffKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Journals hold these names: they never change.
        match self {
            Self::Login => f.write_str("login"),
            Self::Server => f.write_str("server"),
            Self::Rotation => f.write_str("rotation"),
            Self::Retirement => f.write_str("retirement"),
            Self::Pass => f.write_str("pass"),
            Self::Sink(name) => write!(f, "sink:{name}"),
            Self::Notify(name) => write!(f, "notify:{name}"),
        }
    }
}

/// A text that is not the name of any kind of work, from a damaged or newer journal.
#[derive(Debug, thiserror::Error)]
#[error("unknown lane `{0}`")]
pub struct UnknownBackoffKey(String);

impl FromStr for BackoffKey {
    type Err = UnknownBackoffKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The prefix keeps a sink named `login` apart from the login itself.
        match (text, text.split_once(':')) {
            ("login", _) => Ok(Self::Login),
            ("server", _) => Ok(Self::Server),
            ("rotation", _) => Ok(Self::Rotation),
            ("retirement", _) => Ok(Self::Retirement),
            ("pass", _) => Ok(Self::Pass),
            (_, Some(("sink", name))) => Ok(Self::Sink(name.to_owned())),
            (_, Some(("notify", name))) => Ok(Self::Notify(name.to_owned())),
            _ => Err(UnknownBackoffKey(text.to_owned())),
        }
    }
}

impl Serialize for BackoffKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // As one text, because it is the key of JSON maps, which only texts can be.
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BackoffKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
