//! Paths, and the permission bits of files.

use std::path::{Component, PathBuf};

use super::{ValueError, ValueKind, kind};

/// A path of something that the daemon reads. A relative one starts at the main file's directory.
pub(crate) const PATH: ValueKind<PathBuf> = kind("a path", |text| {
    if text.is_empty() || text.contains('\0') {
        return Err(ValueError::new("not a path"));
    }
    Ok(PathBuf::from(text))
});

/// A path of something that the daemon writes.
pub(crate) const ABSOLUTE_PATH: ValueKind<PathBuf> = kind("an absolute path", |text| {
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
        // Which file `/a/../b` is depends on symbolic links, so two sinks could share one unseen.
        return Err(
            ValueError::new("the path holds `..`").help(Some("write it without".to_owned()))
        );
    }
    // Without `//` and `/./`, so that two sinks with the same file are recognized.
    Ok(path.components().collect())
});

/// A path of a file that the daemon writes.
pub(crate) const FILE_PATH: ValueKind<PathBuf> = kind("the absolute path of a file", |text| {
    if text.ends_with('/') || text.ends_with("/.") {
        return Err(ValueError::new("the path names a directory")
            .help(Some("a sink writes a file: add its name".to_owned())));
    }
    (ABSOLUTE_PATH.parse)(text)
});

/// The longest path of a Unix socket, in bytes: `sun_path` has 108, one is the terminating NUL.
const SOCKET_PATH_MAX: usize = 107;

/// A path of a Unix socket.
pub(crate) const SOCKET_PATH: ValueKind<PathBuf> = kind("the absolute path of a socket", |text| {
    if text.len() > SOCKET_PATH_MAX {
        return Err(ValueError::new(format!(
            "the path is too long for a socket: {} bytes, at most {SOCKET_PATH_MAX}",
            text.len()
        )));
    }
    (FILE_PATH.parse)(text)
});

/// Permission bits of a file, as an octal string.
pub(crate) const MODE: ValueKind<u32> = ValueKind {
    expected: "a file mode such as \"0640\"",
    parse: mode,
    integer: Some(|digits| {
        // TOML reads `640` as decimal, but octal is meant: the digits are taken as they stand.
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
    // Anyone could put another token in its place.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::tests::check;

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
}
