//! What webhooks and commands have in common: both hand the token to a program of someone else.

use std::fmt;

/// The value of a header or an environment variable, which may be a secret.
#[derive(Clone, PartialEq)]
pub struct HeaderSecret(String);

impl HeaderSecret {
    /// Takes a value that was checked.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value. Every call is a place to check for leaks.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HeaderSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A `Debug` of the whole policy may end up in a log.
        f.write_str("…")
    }
}

/// What proves that the receiver took the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Success alone: any 2xx, or exit code 0.
    Status,
    /// Success, and JSON whose `fingerprint` is the token's.
    Fingerprint,
}
