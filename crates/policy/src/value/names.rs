//! Names, ids and other short texts.

use super::{ValueError, ValueKind, kind};

/// The name of an account or a sink.
pub(crate) const NAME: ValueKind<String> = kind("a name such as \"sales-ivr\"", |text| {
    // Neither `.` nor `/`: a name becomes that of a file in `passwords-dir`, and a part of keys.
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=63).contains(&text.len()) && text.bytes().all(good) && !text.starts_with('-') {
        return Ok(text.to_owned());
    }
    Err(ValueError::new("not a name").help(Some(
        "a name has 1 to 63 characters, of a to z, 0 to 9 and -, and does not begin with -"
            .to_owned(),
    )))
});

/// A single line that is not empty.
pub(crate) const LINE: ValueKind<String> = kind("a string", |text| {
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
pub(crate) const TEXT: ValueKind<String> = kind("a string", |text| Ok(text.to_owned()));

/// An id in RingCX. It becomes a segment of a URL's path, so it must not hold a `/` or a `..`.
pub(crate) const ID: ValueKind<String> = ValueKind {
    expected: "an id",
    parse: |text| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if (1..=64).contains(&text.len()) && text.bytes().all(good) {
            return Ok(text.to_owned());
        }
        Err(ValueError::new("not an id of RingCX").help(Some(
            "`ringcx-rotator auth-configs ACCOUNT` shows the ids".to_owned(),
        )))
    },
    integer: Some(|digits| (ID.parse)(digits)),
};

/// The value of an environment variable.
pub(crate) fn environment_value(text: &str) -> Result<String, ValueError> {
    match text.contains('\0') {
        true => Err(ValueError::new(
            "holds a NUL character, which an environment variable cannot",
        )),
        false => Ok(text.to_owned()),
    }
}

/// A platform of RingCX, such as `aws80`.
pub(crate) const PLATFORM: ValueKind<String> = kind("a platform such as \"aws80\"", |text| {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err(ValueError::new("not a platform").help(Some(
        "it has letters and digits, such as \"aws80\"".to_owned(),
    )))
});

/// The client id of a RingEX app. A login sends it before a colon, so it must not hold one.
pub(crate) const CLIENT_ID: ValueKind<String> = kind("the client id of an app", |text| {
    if (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        return Ok(text.to_owned());
    }
    Err(ValueError::new("not a client id").help(Some(
        "it has letters, digits and signs without a colon: copy it from the app's page in \
         RingCentral's developer console"
            .to_owned(),
    )))
});

/// A user or a group, by name or id.
pub(crate) const PRINCIPAL: ValueKind<String> = ValueKind {
    expected: "a name or an id",
    parse: |text| {
        let odd = |c: char| c.is_whitespace() || c.is_control() || ":/,".contains(c);
        if text.is_empty() || text.len() > 256 || text.contains(odd) || text.starts_with('-') {
            return Err(ValueError::new("not a name or an id of this system"));
        }
        if text.bytes().all(|b| b.is_ascii_digit())
            // The largest one means "no id" to chown.
            && !matches!(text.parse::<u32>(), Ok(id) if id < u32::MAX)
        {
            return Err(ValueError::new("the id is too large"));
        }
        Ok(text.to_owned())
    },
    integer: Some(|digits| (PRINCIPAL.parse)(digits)),
};

/// The name of a variable in an env-file or of the environment.
pub(crate) const VARIABLE: ValueKind<String> =
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

/// The name of a systemd unit.
pub(crate) const UNIT: ValueKind<String> =
    kind("the name of a unit such as \"dialer.service\"", |text| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
        let endings = ["service", "socket", "target", "timer", "path"];
        let ended = text
            .rsplit_once('.')
            .is_some_and(|(name, end)| !name.is_empty() && endings.contains(&end));
        // 255 is the length of the longest name that systemd takes.
        if ended && text.len() <= 255 && text.bytes().all(good) && !text.starts_with('-') {
            return Ok(text.to_owned());
        }
        Err(ValueError::new("not the name of a unit")
            .help(Some("write it in full: \"dialer.service\"".to_owned())))
    });

/// The name of a systemd credential: a file name.
pub(crate) const CREDENTIAL: ValueKind<String> = kind("the name of a systemd credential", |text| {
    // In `LoadCredential=` a `:` ends the name.
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

/// One argument of a command, or its program.
pub(crate) const ARGUMENT: ValueKind<String> =
    kind("a word of a command", |text| match text.contains('\0') {
        true => Err(ValueError::new(
            "holds a NUL character, which an argument cannot",
        )),
        false => Ok(text.to_owned()),
    });

/// Whether a command can start with this: an absolute path, or a bare name that is looked up in
/// `PATH`. A relative path would depend on the directory that the daemon was started in.
pub(crate) fn is_program(text: &str) -> bool {
    !text.is_empty() && (text.starts_with('/') || !text.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::tests::check;

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
    fn principals_are_names_or_ids() {
        for good in ["ivr", "1000", "svc-ivr$", "DOMAIN\\user"] {
            check(&PRINCIPAL, good, Some(good.to_owned()));
        }
        for bad in ["", "a:b", "a b", "4294967295", "99999999999", "-1"] {
            check(&PRINCIPAL, bad, None);
        }
    }
}
