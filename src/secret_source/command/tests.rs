//! Commands that print a secret, and those that do not: real ones.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::read;
use super::*;
use crate::clock::monotonic;
use crate::secret_source::SecretError;
use rotator_core::secret::SecretSource;

const LONG: Duration = Duration::from_secs(60);

fn argv(argv: &[&str], timeout: Duration) -> SecretCommand {
    SecretCommand {
        argv: argv.iter().map(|it| (*it).to_owned()).collect(),
        timeout,
    }
}

/// A script for `sh`, which the policy would have to name itself: there is no shell otherwise.
fn script(text: &str) -> SecretCommand {
    argv(&["sh", "-c", text], LONG)
}

#[track_caller]
fn refused(command: SecretCommand) -> String {
    read(&SecretSource::Command(command))
        .err()
        .expect("no secret")
        .to_string()
}

#[test]
fn the_first_line_that_a_command_prints_is_the_secret() {
    for (text, secret) in [
        ("printf 'pass\\n'", "pass"),
        ("printf 'pass\\r\\n'", "pass"),
        ("printf pass", "pass"),
        ("printf 'two\\nlines\\n'", "two"),
        ("printf 'two\\r\\nlines'", "two"),
        ("echo told >&2; printf pass", "pass"),
    ] {
        let read = read(&SecretSource::Command(script(text)));
        assert_eq!(read.ok().unwrap().expose(), secret, "{text}");
    }
}

#[test]
fn arguments_are_no_shells_business() {
    let command = argv(&["printf", "%s", "$HOME; `id` > /nonexistent"], LONG);
    let read = read(&SecretSource::Command(command)).ok().unwrap();
    assert_eq!(read.expose(), "$HOME; `id` > /nonexistent");
}

#[test]
fn what_is_no_secret_is_refused_and_the_program_named() {
    for (text, why) in [
        ("exit 3", "command `sh`: exit code 3"),
        (
            "echo 'gpg: decryption failed: No secret key' >&2; exit 2",
            "gpg: decryption failed: No secret key",
        ),
        ("kill -9 $$", "signal 9"),
        (":", "command `sh`: is empty"),
        ("printf '\\377'", "command `sh`: not valid UTF-8"),
        ("head -c 70000 /dev/zero", "printed more than 64 KiB"),
    ] {
        let error = refused(script(text));
        assert!(error.contains(why), "{text}: {error}");
    }
    let error = refused(argv(&["no-such-program-of-ours", "canary"], LONG));
    assert!(
        error.contains("`no-such-program-of-ours`: cannot be started") && !error.contains("canary")
    );
}

#[test]
fn an_error_does_not_repeat_what_was_printed_or_looks_like_a_secret() {
    for text in [
        "echo canary; echo 'wrong: canary' >&2; exit 1",
        "printf 'first\\ncanary\\n'; echo \"'canary'\" >&2; exit 1",
        "echo 'key 0123456789canary0123 refused' >&2; exit 1",
        "echo 'Bearer eyJcanarycanary.canary' >&2; exit 1",
        "echo canary; exit 1",
        "printf '\\377canary'",
    ] {
        let error = refused(script(text));
        assert!(!error.contains("canary"), "{text}: {error}");
    }
    let long = refused(script(
        "yes 'a word and another' | head -c 100000 >&2; exit 1",
    ));
    assert!(long.chars().count() < 300, "{long}");
}

#[test]
fn a_command_finds_few_variables_no_input_and_a_group_of_its_own() {
    let read = |text: &str| {
        read(&SecretSource::Command(script(text)))
            .ok()
            .unwrap()
            .expose()
            .to_owned()
    };
    let shells_own = ["PWD", "OLDPWD", "SHLVL", "_"];
    // In one line, because only the first counts.
    let environment = read("env | tr '\\n' '|'");
    let names = environment
        .split('|')
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name);
    let known = |it: &&str| {
        PASSED_ON.contains(it) || shells_own.contains(it) || ["PATH", "HOME", "LANG"].contains(it)
    };
    let odd: Vec<&str> = names.filter(|it| !known(it)).collect();
    assert!(odd.is_empty(), "{odd:?}");
    // Cargo's own variables would be there without the cleaning, and PATH would not without the
    // passing on.
    assert!(
        std::env::vars().any(|(name, _)| name.starts_with("CARGO"))
            && environment.contains("PATH=")
    );
    assert_eq!(read("echo \"$(wc -c) end\""), "0 end");
    assert_eq!(
        read("test \"$(ps -o pgid= -p $$ | tr -d ' ')\" = $$ && echo own"),
        "own"
    );
}

/// Whether a process of this number runs, and is not merely waiting to be reaped.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    stat.is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
    })
}

#[test]
fn a_command_that_hangs_is_killed_with_all_that_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let note = directory.path().join("pids");
    let text = format!(
        "sleep 1000 & echo $$ $! > {}; trap '' TERM; wait",
        note.display()
    );
    let began = monotonic();
    let error = refused(argv(&["sh", "-c", &text], Duration::from_millis(500)));
    assert!(
        error.contains("did not end within 500ms and was ended"),
        "{error}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "it was waited for"
    );
    let pids = std::fs::read_to_string(note).unwrap();
    let (child, grandchild) = pids.trim().split_once(' ').unwrap();
    assert!(
        !Path::new("/proc").join(child).exists(),
        "the command itself was not reaped"
    );
    // Whoever adopts it reaps it, in its own time.
    for _ in 0..200 {
        if !runs(grandchild) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("what it started was left running");
}

#[test]
fn a_program_that_may_not_be_run_is_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tool");
    std::fs::File::create(&path)
        .unwrap()
        .set_permissions(std::fs::Permissions::from_mode(0o600))
        .unwrap();
    let source = SecretSource::Command(argv(&[path.to_str().unwrap()], LONG));
    let Err(SecretError::Command { program, source }) = read(&source) else {
        panic!("it ran")
    };
    assert_eq!(program, "tool");
    assert!(
        source
            .to_string()
            .contains("no such program, or it may not be run"),
        "{source}"
    );
}
