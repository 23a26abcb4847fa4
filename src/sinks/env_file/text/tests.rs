//! The env-file editor: tables, and properties against what a shell and systemd read.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::fuzz_properties::env_file;
use crate::fuzz_properties::tests::env_file::shells;

const TOKEN: &str = "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9";

fn token(text: &str) -> Token {
    Token::try_new(text).unwrap()
}

#[track_caller]
fn edited(text: impl AsRef<[u8]>, new: &str) -> Vec<u8> {
    edit(text.as_ref(), "KEY", &token(new)).unwrap().to_vec()
}

#[track_caller]
fn becomes(text: &str, expected: &str) {
    let got = edited(text, "t0ken:new");
    assert_eq!(String::from_utf8_lossy(&got), expected, "from {text:?}");
    assert_eq!(
        edited(&got, "t0ken:new"),
        got,
        "not the same when done twice"
    );
    match read(&got, "KEY") {
        Ok(Value::Token(token)) => assert_eq!(token.expose(), "t0ken:new"),
        Ok(Value::Absent | Value::Odd(_)) | Err(_) => {
            panic!("{expected:?} does not read as the token")
        }
    }
    assert_eq!(
        systemd(&got).get(&b"KEY"[..]).map(Vec::as_slice),
        Some(&b"t0ken:new"[..]),
        "to systemd"
    );
}

#[test]
fn only_the_value_changes() {
    for (text, expected) in [
        ("KEY=old\n", "KEY=t0ken:new\n"),
        ("KEY=\n", "KEY=t0ken:new\n"),
        ("KEY=old", "KEY=t0ken:new"),
        (
            "# a\n\nA=1\nKEY=old\nB=2\n",
            "# a\n\nA=1\nKEY=t0ken:new\nB=2\n",
        ),
        ("A=1\r\nKEY=old\r\nB=2\r\n", "A=1\r\nKEY=t0ken:new\nB=2\r\n"),
        ("  \tKEY=old  \t\nB=2", "  \tKEY=t0ken:new  \t\nB=2"),
        ("KEY= \t old\n", "KEY=t0ken:new\n"),
        ("KEY=\"old\"\n", "KEY=\"t0ken:new\"\n"),
        ("KEY='old'\n", "KEY='t0ken:new'\n"),
        ("KEY=\"\"\n", "KEY=\"t0ken:new\"\n"),
        ("KEY='a'\"b\"c\n", "KEY=t0ken:new\n"),
        ("KEY=\"a\\\"b\"\n", "KEY=t0ken:new\n"),
        ("KEY=\"two\nlines\"\nB=2\n", "KEY=\"t0ken:new\"\nB=2\n"),
        ("KEY=two\\\nlines\nB=2\n", "KEY=t0ken:new\nB=2\n"),
        ("KEY=$OTHER\n", "KEY=t0ken:new\n"),
        ("KEY=#old\n", "KEY=t0ken:new\n"),
        ("KEY=a\nA=1\nKEY=b\n", "KEY=t0ken:new\nA=1\nKEY=t0ken:new\n"),
        (
            "#KEY=no\n;KEY=no\n  # KEY=no\nKEY=a\n",
            "#KEY=no\n;KEY=no\n  # KEY=no\nKEY=t0ken:new\n",
        ),
        (
            "KEYS=1\nMY_KEY=2\nkey=3\nKEY=4\n",
            "KEYS=1\nMY_KEY=2\nkey=3\nKEY=t0ken:new\n",
        ),
        ("A='\nKEY=no\n'\nKEY=a\n", "A='\nKEY=no\n'\nKEY=t0ken:new\n"),
        (
            "A=\"\nKEY=no \\\" \n\"\nKEY=a\n",
            "A=\"\nKEY=no \\\" \n\"\nKEY=t0ken:new\n",
        ),
        ("A=x\\\nKEY=no\nKEY=a\n", "A=x\\\nKEY=no\nKEY=t0ken:new\n"),
        (
            "A=x?KEY=no\nB=x # KEY=no\nKEY=a\n",
            "A=x?KEY=no\nB=x # KEY=no\nKEY=t0ken:new\n",
        ),
        (
            "A=it\"'\"s\nB=x # it's\nKEY=a\n",
            "A=it\"'\"s\nB=x # it's\nKEY=t0ken:new\n",
        ),
        (
            "set -a\nA=`x` B=$(y)\nKEY=a\n",
            "set -a\nA=`x` B=$(y)\nKEY=t0ken:new\n",
        ),
        ("KEY =old\n", "KEY =t0ken:new\n"),
    ] {
        becomes(text, expected);
    }
}

#[test]
fn an_exported_key_is_the_same_key() {
    // Not through `becomes`: systemd takes no `export`.
    for (text, expected) in [
        ("export KEY=old\n", "export KEY=t0ken:new\n"),
        ("export\t KEY='old'\n", "export\t KEY='t0ken:new'\n"),
        (
            "export A=1\n export KEY=\nKEY=b",
            "export A=1\n export KEY=t0ken:new\nKEY=t0ken:new",
        ),
        ("exportKEY=1\n", "exportKEY=1\nKEY=t0ken:new\n"),
        ("export\nKEY=old\n", "export\nKEY=t0ken:new\n"),
    ] {
        assert_eq!(
            String::from_utf8_lossy(&edited(text, "t0ken:new")),
            expected,
            "from {text:?}"
        );
    }
}

#[test]
fn an_absent_key_is_appended_in_the_manner_of_the_file() {
    for (text, expected) in [
        ("", "KEY=t0ken:new\n"),
        ("A=1\n", "A=1\nKEY=t0ken:new\n"),
        ("A=1", "A=1\nKEY=t0ken:new"),
        ("A=1\r\n", "A=1\r\nKEY=t0ken:new\n"),
        ("A=1\r\nB=2", "A=1\r\nB=2\nKEY=t0ken:new"),
        ("# KEY=x", "# KEY=x\nKEY=t0ken:new"),
        ("\n\n", "\n\nKEY=t0ken:new\n"),
    ] {
        becomes(text, expected);
    }
}

#[test]
fn a_tilde_never_stands_bare() {
    for (text, expected) in [
        ("", "KEY=\"a:~root:b\"\n"),
        ("KEY=x\n", "KEY=\"a:~root:b\"\n"),
        ("KEY='x'\n", "KEY='a:~root:b'\n"),
    ] {
        let got = edited(text, "a:~root:b");
        assert_eq!(String::from_utf8_lossy(&got), expected);
        assert_eq!(shell(&got), Some(b"a:~root:b".to_vec()));
    }
    assert!(matches!(read(b"KEY=a:~root:b\n", "KEY"), Ok(Value::Odd(why)) if why.contains('~')));
}

#[test]
fn bytes_that_are_no_text_survive() {
    assert_eq!(
        edited(b"A=\xff\xfe\nKEY=\x80\n#\xc3\n", "t0ken:new"),
        b"A=\xff\xfe\nKEY=t0ken:new\n#\xc3\n"
    );
}

#[test]
fn what_a_shell_and_systemd_would_read_differently_is_refused() {
    for (text, line, why) in [
        ("KEY=old # note\n", 1, "something follows the value"),
        ("KEY= # note\n", 1, "something follows"),
        ("\nKEY=old; export KEY\n", 2, "something follows"),
        ("KEY=two words\n", 1, "something follows"),
        ("KEY=$(cat /x)\nA=$(\n", 2, "`$(`"),
        ("KEY=<put it here>\n", 1, "something follows"),
        ("A='open\nKEY=x\n", 1, "opened and not closed"),
        ("A=\"open\nKEY=x\\\"\n", 1, "opened and not closed"),
        ("KEY='open\n", 1, "opened and not closed"),
        ("A=it's\nKEY=x\nB=it's\n", 1, "middle of a value"),
        ("echo 'a\nKEY=x\n'\n", 1, "middle of a value"),
        ("echo 'a=' \"\n", 1, "before the `=`"),
        ("=\"A=\"\nKEY=x\n", 1, "before the `=`"),
        ("A=1 KEY=2\n", 1, "middle of a line"),
        ("A=1;KEY=2\n", 1, "middle of a line"),
        ("readonly KEY=2\n", 1, "middle of a line"),
        ("KEY=a\nKEY+=b\n", 2, "middle of a line"),
        ("export A=1 'KEY=2'\n", 1, "middle of a line"),
        ("A=x \\\n KEY=2\n", 2, "middle of a line"),
        ("make \\\nKEY=2\n", 1, "without `=`"),
        ("# a \\\nKEY=2\n", 1, "comment ends with a backslash"),
        ("A=1 # a \\\nKEY=2\n", 1, "comment ends with a backslash"),
        ("KEY=old \\\n\nB=2\n", 1, "blank before the backslash"),
        ("KEY= \\\nold\n", 1, "blank before the backslash"),
        ("A=1\\", 1, "end of the file"),
        ("A=1\\\n", 1, "end of the file"),
        ("A=1\\\r\nKEY=2\r\n", 1, "carriage return"),
        ("A=1\rKEY=2\n", 1, "carriage return"),
        ("A=$(cat <<E\nKEY=2\nE\n)\n", 1, "`$(`"),
        ("A=\"$(echo \"x\nKEY=2\n\")\"\n", 1, "`$(`"),
        ("A=`x\nKEY=2\n`\n", 1, "backtick"),
        ("cat <<E\nKEY=2\nE\n", 1, "here-document"),
    ] {
        let error = edit(text.as_bytes(), "KEY", &token(TOKEN))
            .err()
            .unwrap_or_else(|| panic!("{text:?}"));
        assert!(
            matches!(error, TextError::Unclear { line: at, .. } if at == line),
            "{text:?}: {error}"
        );
        assert!(error.to_string().contains(why), "{text:?}: {error}");
        assert_eq!(read(text.as_bytes(), "KEY").err(), Some(error), "{text:?}");
    }
    let nul = edit(b"A=1\nB=\0\n", "KEY", &token(TOKEN)).err();
    assert_eq!(nul, Some(TextError::Nul { line: 2 }));
    let large = vec![b'\n'; LARGEST + 1];
    assert_eq!(
        edit(&large, "KEY", &token(TOKEN)).err(),
        Some(TextError::TooLarge)
    );
    assert!(edit(&large[1..], "KEY", &token(TOKEN)).is_ok());
}

#[test]
fn of_a_file_with_carriage_returns_a_shell_reads_the_token_alone() {
    for text in [
        "A=1\r\n",
        "KEY=old\r\nB=2\r\n",
        "export KEY='old' \r\n",
        "KEY=old\\\n\r\nB=2\n",
        "A=1\r\nKEY=\"old\"\r\nKEY=older\r\n",
    ] {
        let got = edited(text, TOKEN);
        assert_eq!(shell(&got).as_deref(), Some(TOKEN.as_bytes()), "{text:?}");
    }
}

#[test]
fn a_value_is_read_only_where_all_readers_agree_on_it() {
    let words = |text: &str| match read(text.as_bytes(), "KEY").unwrap() {
        Value::Absent => "absent".to_owned(),
        Value::Token(token) => token.expose().to_owned(),
        Value::Odd(why) => why.to_owned(),
    };
    for (text, expected) in [
        ("A=1\n#KEY=x\n".to_owned(), "absent"),
        (format!("KEY={TOKEN}\n"), TOKEN),
        (format!("KEY=\"{TOKEN}\"\n"), TOKEN),
        (
            format!("A=1\r\nKEY=\"{TOKEN}\" \r\n"),
            "ends with a carriage return, which a shell takes for a part of it",
        ),
        (format!("export KEY='{TOKEN}' \nKEY={TOKEN}"), TOKEN),
        ("KEY=\n".to_owned(), "is set to nothing"),
        ("KEY=''\n".to_owned(), "is set to nothing"),
        (
            format!("KEY= {TOKEN}\n"),
            "is set to something that is no token",
        ),
        (
            format!("KEY='{TOKEN}'x\n"),
            "is set to something that is no token",
        ),
        (
            format!("KEY={TOKEN}\nKEY={TOKEN}0\n"),
            "is set to different values",
        ),
        (format!("KEY={TOKEN}\nKEY=\n"), "is set to nothing"),
    ] {
        assert_eq!(words(&text), expected, "{text:?}");
    }
}

/// What each shell of this machine finds in KEY after reading the file: all the same, or these.
#[track_caller]
fn shell(text: &[u8]) -> Option<Vec<u8>> {
    let mut read: Vec<Option<Vec<u8>>> = shells(text).into_iter().map(|(_, value)| value).collect();
    read.dedup();
    assert_eq!(
        read.len(),
        1,
        "shells differ about {:?}",
        String::from_utf8_lossy(text)
    );
    read.remove(0)
}

/// What systemd finds. Values by key as written, the last wins.
fn systemd(text: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    env_file::systemd(text)
        .into_iter()
        .map(|it| (it.name, it.value))
        .collect()
}

/// A file as its parts: what must stay, and the values of KEY.
#[derive(Clone, Debug)]
enum Part {
    Stays(String),
    Assigns {
        before: &'static str,
        value: String,
        after: String,
    },
}

fn any_token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9._~:-]{8,60}"
}

fn any_part() -> impl Strategy<Value = Part> {
    let line_end = prop_oneof![Just("\n"), Just(" \n"), Just("\t \n")];
    let old = prop_oneof![
        "[a-zA-Z0-9._:/@%+,-]{0,30}",
        "'[ -&(-~\n]{0,30}'",
        "\"[ !#-&(-;=-\\[\\]^a-z\n]{0,30}\"",
        "[a-z]{1,8}\\\\\n[a-z]{1,8}",
    ]
    .prop_filter("an expansion is another matter", |old| {
        !old.contains(['$', '`'])
    });
    let before = prop_oneof![
        Just("KEY="),
        Just("  KEY="),
        Just("export KEY="),
        Just("\texport  KEY=")
    ];
    prop_oneof![
        "#[ -\\[\\]^a-z]{0,30}\n".prop_map(Part::Stays),
        "#? {0,3}\n".prop_map(Part::Stays),
        "(export )?[A-DF-J]{1,5}=[a-zA-Z0-9._:/-]{0,20}( #[ a-z'\"=]{0,9})?\n"
            .prop_map(Part::Stays),
        "[A-J]{1,5}='[ -&(-~\n]{0,40}'\n".prop_map(Part::Stays),
        "[A-J]{1,5}='[ a-z\n]{0,5}\nKEY=[ a-z\n]{0,9}'\n".prop_map(Part::Stays),
        "[A-J]{1,5}=\"([ a-z=\n]|\\\\\"|\\\\\\\\){0,20}\"\n".prop_map(Part::Stays),
        "[A-J]{1,5}=[a-z]{1,5}\\\\\nKEY=[a-z]{0,5}\n".prop_map(Part::Stays),
        (before, old, line_end).prop_map(|(before, value, after)| Part::Assigns {
            before,
            value,
            after: after.to_owned()
        }),
    ]
}

/// The file with its old values, or with this one in the place of each.
fn joined(parts: &[Part], new: Option<&str>) -> String {
    let written = |old: &str, new: &str| match old.as_bytes() {
        [b'\'', .., b'\''] => format!("'{new}'"),
        [b'"', .., b'"'] => format!("\"{new}\""),
        _ if new.contains('~') => format!("\"{new}\""),
        _ => new.to_owned(),
    };
    parts
        .iter()
        .map(|part| match part {
            Part::Stays(text) => text.clone(),
            Part::Assigns {
                before,
                value,
                after,
            } => {
                let value = new.map_or(value.clone(), |new| written(value, new));
                format!("{before}{value}{after}")
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// Against a file put together from its parts, with the values exchanged before joining.
    #[test]
    fn every_byte_outside_the_values_is_kept(
        parts in prop::collection::vec(any_part(), 0..12),
        new in any_token(),
    ) {
        let old = joined(&parts, None);
        let mut expected = joined(&parts, Some(&new));
        if !parts.iter().any(|part| matches!(part, Part::Assigns { .. })) {
            let quote = if new.contains('~') { "\"" } else { "" };
            expected.push_str(&format!("KEY={quote}{new}{quote}\n"));
        }
        let got = edited(&old, &new);
        prop_assert_eq!(String::from_utf8_lossy(&got), expected.as_str(), "from {:?}", old);
        prop_assert_eq!(edited(&got, &new), got);
    }

    /// Against systemd's rules, for texts that nobody would write.
    #[test]
    fn systemd_reads_the_token_and_all_else_as_before(
        text in "(KEY=|export |A=|a|'|\"|\\\\|#|;| |\n|\r\n|=|\\$\\(|\\)|`|\\$\\{|\\}|B=|<|&|KEY|\\+=|~){0,14}",
        new in any_token(),
    ) {
        if let Ok(got) = edit(text.as_bytes(), "KEY", &token(&new)) {
            prop_assert!(matches!(read(&got, "KEY"), Ok(Value::Token(token)) if token.expose() == new));
            prop_assert_eq!(edited(&got, &new), got.to_vec());
            let (mut before, mut after) = (systemd(text.as_bytes()), systemd(&got));
            let ours = [&b"KEY"[..], b"export KEY", b"export  KEY"];
            let values: Vec<_> = ours.iter().flat_map(|key| { before.remove(*key); after.remove(*key) }).collect();
            prop_assert!(!values.is_empty(), "no value in {:?}", String::from_utf8_lossy(&got));
            for value in values {
                prop_assert_eq!(String::from_utf8_lossy(&value), new.as_str(), "from {:?}", text);
            }
            before.retain(|key, _| !key.starts_with(b"export") || !key.ends_with(b"KEY"));
            after.retain(|key, _| !key.starts_with(b"export") || !key.ends_with(b"KEY"));
            prop_assert_eq!(before, after, "from {:?}", text);
        }
    }

    #[test]
    fn nothing_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(got) = edit(&text, "KEY", &token(TOKEN)) {
            prop_assert!(matches!(read(&got, "KEY"), Ok(Value::Token(token)) if token.expose() == TOKEN));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn a_shell_reads_the_token(parts in prop::collection::vec(any_part(), 0..8), new in any_token()) {
        let got = edited(joined(&parts, None), &new);
        prop_assert_eq!(shell(&got), Some(new.into_bytes()), "{}", String::from_utf8_lossy(&got));
    }

    /// Texts that nobody would write: where the shell gets through at all, it must not end with
    /// another value than the token. `KEY =` is for systemd only, and CRLF no line end to a shell.
    #[test]
    fn a_shell_reads_the_token_or_nothing_from_any_text_that_was_edited(
        text in "(KEY=|export |A=|a|'|\"|\\\\|#| |\n|=|\\$\\{|\\}|B=|&|KEY|\\+=|\nKEY=){0,14}",
        new in any_token(),
    ) {
        let systemd_only = text.contains("KEY =");
        if let (false, Ok(got)) = (systemd_only, edit(text.as_bytes(), "KEY", &token(&new))) {
            for value in shells(&got).into_iter().filter_map(|(_, value)| value) {
                prop_assert!(
                    value.is_empty() || value == new.as_bytes(),
                    "{:?} in {:?}", String::from_utf8_lossy(&value), String::from_utf8_lossy(&got)
                );
            }
        }
    }
}
