//! Edited env-files read by those who read them in earnest: the shells of this machine, and
//! systemd.
//!
//! What is not there (a shell, systemd's generator, systemd as process 1) is said to be so, and
//! passed over.

#![expect(
    clippy::disallowed_methods,
    reason = "files of a test, which nobody reads while they are written"
)]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{cases, corpus};
use crate::fuzz_properties::env_file::{KEY, TOKENS, edited, systemd};

/// Reads `environment.d` by the parser of `EnvironmentFile=`, and prints what it read.
const GENERATORS: [&str; 2] = [
    "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator",
    "/lib/systemd/user-environment-generators/30-systemd-environment-d-generator",
];

/// In which `set -a; . FILE` is tried.
const SHELLS: [&str; 3] = ["/bin/sh", "/bin/dash", "/bin/bash"];

/// Nobody's, for text that is made up is not run with the rights of whoever runs the tests.
const NOBODY: u32 = 65534;

/// What each shell finds in KEY after reading the file; None if it does not get through the file.
/// The caller's text must do nothing but set variables.
pub fn shells(text: &[u8]) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o644))
        .unwrap();
    let there = SHELLS.iter().filter(|shell| Path::new(shell).exists());
    there
        .map(|shell| (*shell, run(shell, file.path())))
        .collect()
}

fn run(shell: &str, file: &Path) -> Option<Vec<u8>> {
    let script =
        "ulimit -t 5; ulimit -f 0; set -a; . \"$1\" >/dev/null 2>&1; printf 'read:%s' \"$KEY\"";
    let mut command = Command::new(shell);
    command.args(["-c", script, "sh"]).arg(file);
    command
        .env_clear()
        .env("PATH", "/nonexistent")
        .current_dir("/")
        .stdin(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
        .output()
        .unwrap()
        .stdout
        .strip_prefix(b"read:")
        .map(<[u8]>::to_vec)
}

/// Whether a shell can do nothing with it but set variables and fail to find commands: no path, no
/// redirection, no substitution, no function, and none of its own commands that could do harm.
fn is_harmless(text: &[u8]) -> bool {
    let plain: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !b"'\"\\\n".contains(byte))
        .collect();
    let plain = String::from_utf8_lossy(&plain);
    let commands = [
        "kill", "exec", "eval", "trap", "suspend", "wait", "read", "while", "until", "for",
        "source",
    ];
    !plain.contains(['/', '<', '>', '(', ')', '`'])
        && !commands.iter().any(|word| plain.contains(word))
}

/// Only for systemd: a shell takes a blank before `=` for the end of a command, and CR for a
/// character.
fn is_for_a_shell(text: &[u8]) -> bool {
    assert!(
        is_harmless(text),
        "not to be run: {:?}",
        String::from_utf8_lossy(text)
    );
    !text.contains(&b'\r') && !String::from_utf8_lossy(text).contains("KEY =")
}

/// What the parser of `EnvironmentFile=` finds in KEY, as systemd's own program tells it.
fn generator(program: &str, text: &[u8]) -> Option<String> {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("environment.d");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("50-case.conf"), text).unwrap();
    let told = Command::new(program)
        .env_clear()
        .env("XDG_CONFIG_HOME", home.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    told.lines()
        .find_map(|line| line.strip_prefix("KEY="))
        .map(str::to_owned)
}

/// What must be read by systemd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Token,
    /// Only `export KEY=` is there, which systemd knows not.
    Nothing,
    /// Something else in the file may keep systemd from reading it at all.
    TokenOrNothing,
}

fn expected(edited: &[u8]) -> Reading {
    let all = systemd(edited);
    // A byte order mark is taken for a part of the name, or is not, by version.
    if std::str::from_utf8(edited).is_err() || edited.starts_with(b"\xEF\xBB\xBF") {
        Reading::TokenOrNothing
    } else if all.iter().any(|it| it.name == KEY.as_bytes()) {
        Reading::Token
    } else {
        Reading::Nothing
    }
}

/// Lines as people write them, and as nobody does, but nothing that a shell would do something
/// with.
fn lines() -> impl Strategy<Value = String> {
    let usual = prop_oneof![
        "#[ a-zA-Z=']{0,20}",
        "(export )?KEY=[a-zA-Z0-9._:@%+,-]{0,20}",
        "KEY=\"[ a-zA-Z0-9.#;=]{0,20}\"[ \t]{0,2}",
        "KEY='[ a-zA-Z0-9.#;=\n]{0,20}'",
        "[A-D]{1,3}=[a-zA-Z0-9._:-]{0,20}",
        "[A-D]{1,3}='[ a-z\n]{0,9}\nKEY=[ a-z]{0,5}'",
        "[A-D]{1,3}=\"[ a-z#;=']{0,9}\"",
        "[A-D]=[a-z]{1,5}\\\\\nKEY=[a-z]{0,5}",
    ];
    let odd = "(KEY=|export |A=|a|'|\"|\\\\|#|;| |\n|=|B=|KEY|\\+=|~|\t|\\$a|\\$\\{a\\}){0,12}";
    let line = prop_oneof![4 => usual, 1 => odd];
    prop::collection::vec(line, 0..6).prop_map(|lines| lines.join("\n"))
}

/// Every seed and many generated texts that are edited, and what becomes of them.
fn edits(count: usize) -> Vec<(Vec<u8>, &'static str)> {
    let mut runner = TestRunner::deterministic();
    let generated = (0..count).map(|_| {
        lines()
            .new_tree(&mut runner)
            .unwrap()
            .current()
            .into_bytes()
    });
    let texts = corpus("env_file")
        .into_iter()
        .map(|(_, text)| text)
        .chain(generated);
    texts
        .zip(TOKENS.iter().cycle())
        .filter_map(|(text, new)| Some((edited(&text, new)?, *new)))
        .collect()
}

#[test]
fn what_a_shell_reads_of_an_edited_seed_is_the_token() {
    let mut read = 0;
    for (path, text) in corpus("env_file")
        .into_iter()
        .filter(|(_, text)| is_for_a_shell(text))
    {
        for new in TOKENS {
            let Some(got) = edited(&text, new) else {
                continue;
            };
            for (shell, value) in shells(&got) {
                // `;` begins a comment to systemd, and to a shell a fault that ends it.
                let value = value.unwrap_or_default();
                assert!(
                    value.is_empty() || value == new.as_bytes(),
                    "{shell} of {}",
                    path.display()
                );
                read += usize::from(!value.is_empty());
            }
        }
    }
    assert!(read >= 40, "only {read} were read");
}

#[test]
fn what_systemds_own_parser_reads_of_an_edited_file_is_the_token() {
    let Some(program) = GENERATORS
        .into_iter()
        .find(|program| Path::new(program).exists())
    else {
        println!("systemd's environment generator is not here: not tried");
        return;
    };
    let mut read = 0;
    for (got, new) in edits(300) {
        let value = generator(program, &got);
        let shown = String::from_utf8_lossy(&got);
        match expected(&got) {
            Reading::Token => assert_eq!(value.as_deref(), Some(new), "from {shown:?}"),
            Reading::Nothing => assert_eq!(value, None, "from {shown:?}"),
            Reading::TokenOrNothing => assert!(value.is_none_or(|it| it == new), "from {shown:?}"),
        }
        read += 1;
    }
    println!("{read} edited files read by {program}");
    assert!(read >= 200, "only {read} were read");
}

/// With `RINGCX_ROTATOR_ENV_CASES=DIR` the cases are left there, for
/// `tests/guest/env-file-systemd.sh` to be run on them under another systemd. Where one runs this
/// machine, it is run at once.
#[test]
fn what_a_unit_is_given_of_an_edited_file_is_the_token() {
    let temporary = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("RINGCX_ROTATOR_ENV_CASES").map(PathBuf::from);
    let directory = kept.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(directory).unwrap();
    let all = edits(300);
    for (number, (got, new)) in all.iter().enumerate() {
        let expected = match expected(got) {
            Reading::Token => format!("{new}\n"),
            Reading::Nothing => "\n".to_owned(),
            Reading::TokenOrNothing => format!("{new}\n\n"),
        };
        std::fs::write(directory.join(format!("case{number:04}.env")), got).unwrap();
        std::fs::write(
            directory.join(format!("case{number:04}.expected")),
            expected,
        )
        .unwrap();
    }
    assert!(all.len() >= 200, "only {} cases", all.len());
    if !Path::new("/run/systemd/system").exists() || !rustix::process::geteuid().is_root() {
        println!(
            "systemd does not run this machine, or these are not root's tests: {} cases not tried",
            all.len()
        );
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/env-file-systemd.sh");
    let ran = Command::new(script).arg(directory).output().unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

proptest! {
    #![proptest_config(cases(300))]

    /// Where the shell gets through at all, it must not end with another value than the token.
    #[test]
    fn no_shell_reads_another_value_of_an_edited_file(text in lines(), new in prop::sample::select(&TOKENS[..])) {
        prop_assume!(is_harmless(text.as_bytes()));
        if let (true, Some(got)) = (is_for_a_shell(text.as_bytes()), edited(text.as_bytes(), new)) {
            for (shell, value) in shells(&got) {
                prop_assert!(
                    value.as_deref().is_none_or(|it| it.is_empty() || it == new.as_bytes()),
                    "{} reads {:?} of {:?}", shell, value.map(String::from_utf8), String::from_utf8_lossy(&got)
                );
            }
        }
    }
}
