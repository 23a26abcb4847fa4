//! Single values: from the text of a string to what it means, or why it is refused.
//!
//! Knows no keys, no places and no relations between values. A [`ValueError`] never repeats a text
//! that may hold a secret: an address, a header, the name of a secret's source.

mod cron;
mod duration;
mod external;
mod names;
mod paths;
mod web;
mod zone;

pub(crate) use cron::{CRON, shortest_gap};
pub(crate) use duration::{DURATION, INTERVAL, TIME_SPAN};
pub(crate) use external::{HELO, LOG_FILTER, MAILBOX};
pub(crate) use names::{
    ARGUMENT, CLIENT_ID, CREDENTIAL, ID, LINE, NAME, PLATFORM, PRINCIPAL, TEXT, UNIT, VARIABLE,
    environment_value, is_program,
};
pub(crate) use paths::{ABSOLUTE_PATH, FILE_PATH, MODE, PATH, SOCKET_PATH};
pub(crate) use web::{
    BASE_URL, HOST, NO_PROXY, PROXY, RINGEX_URL, WEBHOOK_URL, header_name, header_value,
    is_loopback,
};
pub(crate) use zone::TIMEZONE;

/// Why a text is not a value of this kind.
#[derive(Debug)]
pub(crate) struct ValueError {
    pub message: String,
    pub help: Option<String>,
}

impl ValueError {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }

    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }
}

type Parse<T> = fn(&str) -> Result<T, ValueError>;

/// A kind of value that is written as a string.
pub(crate) struct ValueKind<T> {
    /// For the error where the value is not a string: `a duration such as "30s"`.
    pub expected: &'static str,
    pub parse: Parse<T>,
    /// Takes the digits of an integer, where an integer is accepted too or is a likely mistake that
    /// deserves a better error.
    pub integer: Option<Parse<T>>,
}

/// A kind that treats an integer like any other value that is not a string.
const fn kind<T>(expected: &'static str, parse: Parse<T>) -> ValueKind<T> {
    ValueKind {
        expected,
        parse,
        integer: None,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::ValueKind;

    /// For the tests of kinds: the text parses to this value, or is refused.
    #[track_caller]
    pub fn check<T: Debug + PartialEq>(kind: &ValueKind<T>, text: &str, expected: Option<T>) {
        assert_eq!((kind.parse)(text).ok(), expected, "{text:?}");
    }
}
