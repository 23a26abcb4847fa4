//! Single values: from the text of a string to what it means, or why it means nothing.
//!
//! Knows no keys, no places and no relations between values. What a [`ValueError`] says never
//! repeats a text that may hold a secret (an address, a header, where a secret is).

use std::path::{Component, PathBuf};

use lettre::message::Mailbox;
use tracing_subscriber::EnvFilter;

mod cron;
mod duration;
mod web;
mod zone;

pub(super) use cron::{CRON, shortest_gap};
pub(super) use duration::{DURATION, INTERVAL, TIME_SPAN};
pub(super) use web::{
    BASE_URL, HOST, RINGEX_URL, WEBHOOK_URL, header_name, header_value, is_loopback,
};
pub(super) use zone::TIMEZONE;

/// Why a text is not a value of this kind.
#[derive(Debug)]
pub(super) struct ValueError {
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

/// From text to meaning.
type Parse<T> = fn(&str) -> Result<T, ValueError>;

/// A kind of value that is written as a string.
pub(super) struct ValueKind<T> {
    /// What is expected, for where something else than a string stands: `a duration such as "30s"`.
    pub expected: &'static str,
    /// From the string's text.
    pub parse: Parse<T>,
    /// From the digits of an integer, where one is a likely mistake or as good.
    pub integer: Option<Parse<T>>,
}

/// A kind without a special word about integers.
const fn kind<T>(expected: &'static str, parse: Parse<T>) -> ValueKind<T> {
    ValueKind {
        expected,
        parse,
        integer: None,
    }
}

/// Of an account or a sink.
pub(super) const NAME: ValueKind<String> = kind("a name such as \"sales-ivr\"", |text| {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=63).contains(&text.len()) && text.bytes().all(good) && !text.starts_with('-') {
        return Ok(text.to_owned());
    }
    Err(ValueError::new("not a name").help(Some(
        "a name has 1 to 63 characters, of a to z, 0 to 9 and -, and does not begin with -"
            .to_owned(),
    )))
});

/// A text with no rule but to be one line, and not empty.
pub(super) const LINE: ValueKind<String> = kind("a string", |text| {
    if text.trim().is_empty() {
        return Err(ValueError::new("empty"));
    }
    match text.chars().any(char::is_control) {
        true => Err(ValueError::new(
            "holds a line end or another control character",
        )),
        false => Ok(text.to_owned()),
    }
});

/// A text of any number of lines.
pub(super) const TEXT: ValueKind<String> = kind("a string", |text| Ok(text.to_owned()));

/// An id of RingCX's: it stands in a path, and must not lead out of it.
pub(super) const ID: ValueKind<String> = ValueKind {
    expected: "an id",
    parse: |text| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if (1..=64).contains(&text.len()) && text.bytes().all(good) {
            return Ok(text.to_owned());
        }
        Err(ValueError::new("not an id of RingCX").help(Some(
            "`ringcx-rotator auth-configs ACCOUNT` shows the ids there are".to_owned(),
        )))
    },
    integer: Some(|digits| (ID.parse)(digits)),
};

/// What an environment variable can hold.
pub(super) fn environment_value(text: &str) -> Result<String, ValueError> {
    match text.contains('\0') {
        true => Err(ValueError::new(
            "holds a NUL, which no program can be given",
        )),
        false => Ok(text.to_owned()),
    }
}

/// Such as `aws80`.
pub(super) const PLATFORM: ValueKind<String> = kind("a platform such as \"aws80\"", |text| {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err(ValueError::new("not a platform").help(Some(
        "it has letters and digits, such as \"aws80\"".to_owned(),
    )))
});

/// Of a RingEX app: what stands before the colon of a Basic login.
pub(super) const CLIENT_ID: ValueKind<String> = kind("the client id of an app", |text| {
    if (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        return Ok(text.to_owned());
    }
    Err(ValueError::new("not a client id").help(Some(
        "it has letters, digits and signs without a colon: copy it from the app's page in RingCentral's \
         developer console"
            .to_owned(),
    )))
});

/// A user or a group, by name or id.
pub(super) const PRINCIPAL: ValueKind<String> = ValueKind {
    expected: "a name or an id",
    parse: |text| {
        let odd = |c: char| c.is_whitespace() || c.is_control() || ":/,".contains(c);
        if text.is_empty() || text.len() > 256 || text.contains(odd) || text.starts_with('-') {
            return Err(ValueError::new("not a name or an id of this system"));
        }
        if text.bytes().all(|b| b.is_ascii_digit())
            && !matches!(text.parse::<u32>(), Ok(id) if id < u32::MAX)
        {
            return Err(ValueError::new("no id is as large as this"));
        }
        Ok(text.to_owned())
    },
    integer: Some(|digits| (PRINCIPAL.parse)(digits)),
};

/// The name of a variable in an env-file or of the environment.
pub(super) const VARIABLE: ValueKind<String> =
    kind("a name such as \"RINGCX_API_TOKEN\"", |text| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if !text.is_empty() && text.bytes().all(good) && !text.as_bytes()[0].is_ascii_digit() {
            return Ok(text.to_owned());
        }
        Err(
            ValueError::new("not the name of an environment variable").help(Some(
                "it has letters, digits and _, and does not begin with a digit".to_owned(),
            )),
        )
    });

/// The name of a unit of systemd.
pub(super) const UNIT: ValueKind<String> =
    kind("the name of a unit such as \"dialer.service\"", |text| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
        let endings = ["service", "socket", "target", "timer", "path"];
        let ended = text
            .rsplit_once('.')
            .is_some_and(|(name, end)| !name.is_empty() && endings.contains(&end));
        if ended && text.len() <= 255 && text.bytes().all(good) && !text.starts_with('-') {
            return Ok(text.to_owned());
        }
        Err(ValueError::new("not the name of a unit")
            .help(Some("write it in full: \"dialer.service\"".to_owned())))
    });

/// The name of a systemd credential: a file name.
pub(super) const CREDENTIAL: ValueKind<String> = kind("the name of a systemd credential", |text| {
    let good = |b: u8| b.is_ascii_graphic() && b != b'/' && b != b':';
    if (1..=255).contains(&text.len()) && text.bytes().all(good) && text != "." && text != ".." {
        return Ok(text.to_owned());
    }
    Err(
        ValueError::new("not the name of a systemd credential").help(Some(
            "it is the name before the colon of the unit's `LoadCredential=`".to_owned(),
        )),
    )
});

/// One word of a command.
pub(super) const ARGUMENT: ValueKind<String> =
    kind("a word of a command", |text| match text.contains('\0') {
        true => Err(ValueError::new("no command can be given this")),
        false => Ok(text.to_owned()),
    });

/// A path to something the daemon reads; relative ones start at the main file's directory.
pub(super) const PATH: ValueKind<PathBuf> = kind("a path", |text| {
    if text.is_empty() || text.contains('\0') {
        return Err(ValueError::new("not a path"));
    }
    Ok(PathBuf::from(text))
});

/// A path that must say all by itself where it is.
pub(super) const ABSOLUTE_PATH: ValueKind<PathBuf> = kind("an absolute path", |text| {
    let path = (PATH.parse)(text)?;
    if !path.is_absolute() {
        return Err(
            ValueError::new("the path is relative").help(Some("write it from / on".to_owned()))
        );
    }
    if path
        .components()
        .any(|component| component == Component::ParentDir)
    {
        return Err(
            ValueError::new("the path holds `..`").help(Some("write it without".to_owned()))
        );
    }
    // Without doubled slashes and dots in between, so that one file has one name.
    Ok(path.components().collect())
});

/// A path of a file that the daemon writes.
pub(super) const FILE_PATH: ValueKind<PathBuf> = kind("the absolute path of a file", |text| {
    if text.ends_with('/') || text.ends_with("/.") {
        return Err(ValueError::new("the path names a directory")
            .help(Some("a sink writes a file: add its name".to_owned())));
    }
    (ABSOLUTE_PATH.parse)(text)
});

/// Longest path a Unix socket can have.
const SOCKET_PATH_MAX: usize = 107;

/// A path of a Unix socket.
pub(super) const SOCKET_PATH: ValueKind<PathBuf> = kind("the absolute path of a socket", |text| {
    if text.len() > SOCKET_PATH_MAX {
        return Err(ValueError::new(format!(
            "the path is too long for a socket: {} bytes, at most {SOCKET_PATH_MAX}",
            text.len()
        )));
    }
    (FILE_PATH.parse)(text)
});

/// Permission bits.
pub(super) const MODE: ValueKind<u32> = ValueKind {
    expected: "a file mode such as \"0640\"",
    parse: mode,
    integer: Some(|digits| {
        let written: String = digits.trim_start_matches('0').chars().collect();
        let octal = written.len() <= 3 && u32::from_str_radix(&written, 8).is_ok();
        let example = if octal {
            format!("{written:0>4}")
        } else {
            "0640".to_owned()
        };
        Err(
            ValueError::new("a file mode is an octal string, this is an integer")
                .help(Some(format!("write it as `\"{example}\"`"))),
        )
    }),
};

fn mode(text: &str) -> Result<u32, ValueError> {
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let Some(mode) = u32::from_str_radix(text, 8).ok().filter(|_| octal) else {
        return Err(ValueError::new("not a file mode").help(Some(
            "a mode is three or four octal digits, such as \"0640\"".to_owned(),
        )));
    };
    let refuse =
        |message: &str, help: &str| Err(ValueError::new(message).help(Some(help.to_owned())));
    if mode & 0o7000 != 0 {
        return refuse(
            "a token file is not setuid, setgid or sticky",
            "let the first digit be 0",
        );
    }
    if mode & 0o002 != 0 {
        return refuse("everyone could write this file", "let the last digit be 0");
    }
    if mode & 0o400 == 0 {
        return refuse(
            "its owner could not read this file",
            "let the second digit be 4 or 6",
        );
    }
    Ok(mode)
}

/// A filter of `tracing`.
pub(super) const LOG_FILTER: ValueKind<String> = kind("a log filter such as \"info\"", |text| {
    let help = "write a level (error, warn, info, debug, trace, off) or `module=level`, separated by commas";
    match EnvFilter::try_new(text) {
        Ok(_) if text.trim().is_empty() => {
            Err(ValueError::new("empty").help(Some(help.to_owned())))
        }
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(ValueError::new("not a log filter").help(Some(help.to_owned()))),
    }
});

/// An address of mail, with or without a name before it.
pub(super) const MAILBOX: ValueKind<String> = kind("a mail address", |text| {
    if text.contains(char::is_control) || text.parse::<Mailbox>().is_err() {
        return Err(ValueError::new("not a mail address").help(Some(
            "write `name@example.com` or `On Call <name@example.com>`, one address a string"
                .to_owned(),
        )));
    }
    Ok(text.to_owned())
});

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: std::fmt::Debug + PartialEq>(kind: &ValueKind<T>, text: &str, expected: Option<T>) {
        assert_eq!((kind.parse)(text).ok(), expected, "{text:?}");
    }

    #[test]
    fn a_mode_is_octal_and_keeps_the_token_from_everyone() {
        check(&MODE, "0640", Some(0o640));
        check(&MODE, "600", Some(0o600));
        check(&MODE, "0444", Some(0o444));
        for bad in [
            "",
            "0",
            "64",
            "0o640",
            "0680",
            "4755",
            "1600",
            "0642",
            "0240",
            "00640",
            "+640",
            "rw-r-----",
        ] {
            check(&MODE, bad, None);
        }
    }

    #[test]
    fn a_mode_written_as_an_integer_is_told_how_to_be_a_string() {
        let help = |digits| (MODE.integer.unwrap())(digits).unwrap_err().help.unwrap();
        assert!(help("640").contains("\"0640\""));
        assert!(help("0").contains("\"0000\"") || help("0").contains("\"0640\""));
        assert!(help("999999").contains("\"0640\""));
    }

    #[test]
    fn a_name_is_short_and_plain() {
        let longest = "a".repeat(63);
        check(&NAME, "sales-ivr", Some("sales-ivr".into()));
        check(&NAME, "9", Some("9".into()));
        check(&NAME, &longest, Some(longest.clone()));
        for bad in ["", "-a", "Sales", "a_b", "a b", "a/b", "ä", &"a".repeat(64)] {
            check(&NAME, bad, None);
        }
    }

    #[test]
    fn a_sink_writes_one_file_of_one_name() {
        check(
            &FILE_PATH,
            "/run//ivr/./token",
            Some("/run/ivr/token".into()),
        );
        for bad in [
            "",
            "token",
            "./token",
            "/run/ivr/",
            "/run/ivr/.",
            "/run/../etc/token",
            "/run/\0",
            "/",
        ] {
            check(&FILE_PATH, bad, None);
        }
    }

    #[test]
    fn a_socket_fits_its_address() {
        let long = format!("/{}", "s".repeat(106));
        check(&SOCKET_PATH, &long, Some(long.clone().into()));
        check(&SOCKET_PATH, &format!("{long}s"), None);
    }

    #[test]
    fn principals_are_names_or_ids() {
        for good in ["ivr", "1000", "svc-ivr$", "DOMAIN\\user"] {
            check(&PRINCIPAL, good, Some(good.to_owned()));
        }
        for bad in ["", "a:b", "a b", "4294967295", "99999999999", "-1"] {
            check(&PRINCIPAL, bad, None);
        }
    }

    #[test]
    fn a_filter_and_an_address_are_what_their_users_take() {
        check(
            &LOG_FILTER,
            "info,ringcx_rotator=debug",
            Some("info,ringcx_rotator=debug".into()),
        );
        check(&LOG_FILTER, "info=nonsense=1", None);
        check(&LOG_FILTER, "", None);
        check(
            &MAILBOX,
            "On Call <oncall@example.com>",
            Some("On Call <oncall@example.com>".into()),
        );
        for bad in ["oncall", "a@b, c@d", "", "a@b\nBcc: c@d"] {
            check(&MAILBOX, bad, None);
        }
    }
}
