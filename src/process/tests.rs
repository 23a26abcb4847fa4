//! Real programs, real process groups.

use std::time::Duration;

use super::*;

fn program<'a>(argv: &'a [String], stdin: &str, timeout: Duration) -> Program<'a> {
    Program {
        argv,
        environment: &[],
        stdin: Zeroizing::new(stdin.as_bytes().to_vec()),
        timeout,
    }
}

fn sh(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn it_reads_its_input_and_its_outputs_are_told_apart() {
    let argv = sh("cat; echo wrong >&2; exit 3");
    let ended = run(program(&argv, "token", LONG)).unwrap();
    assert_eq!(
        (&**ended.stdout, &**ended.stderr),
        (&b"token"[..], &b"wrong\n"[..])
    );
    assert_eq!(ending(ended.status), "exit code 3");
}

/// A process that dies just after it started a program must not have it take half a token for a
/// token.
#[test]
fn what_is_no_longer_than_a_token_is_all_there_when_the_program_starts() {
    let token = Zeroizing::new(vec![b'x'; AT_ONCE]);
    let (stdin, rest) = standard_input(token.clone()).unwrap();
    assert!(rest.is_none(), "some of it would come later");
    let read = Command::new("cat").stdin(stdin).output().unwrap();
    assert_eq!(read.stdout, *token);
}

#[test]
fn only_a_few_variables_are_passed_on() {
    let argv = vec!["env".to_owned()];
    let environment = [("COLOUR".to_owned(), "blue".to_owned())];
    let ended = run(Program {
        environment: &environment,
        ..program(&argv, "", LONG)
    })
    .unwrap();
    let text = String::from_utf8(ended.stdout.to_vec()).unwrap();
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    assert!(
        names.contains(&"COLOUR") && names.contains(&"PATH"),
        "{text}"
    );
    assert!(
        names
            .iter()
            .all(|name| ["COLOUR", "PATH", "HOME", "LANG"].contains(name)),
        "{text}"
    );
}

#[test]
fn when_its_time_is_up_all_that_it_started_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    // Neither minds being asked.
    let script = format!(
        "trap '' TERM; (trap '' TERM; sleep 600) & echo $! > {0}.new; mv {0}.new {0}; sleep 600",
        pid_file.display()
    );
    let argv = sh(&script);
    let Err(error) = run(program(&argv, "", Duration::from_millis(300))) else {
        panic!("it came to its end")
    };
    assert!(error.was_started());
    assert_eq!(error.to_string(), "sh took longer than 300ms and was ended");
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    // It was killed; the system takes its time to bury it.
    let since = monotonic();
    while is_running(pid.trim()) {
        assert!(since.elapsed() < LONG, "its child lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_it_leaves_in_the_background_does_not_hold_us_up() {
    let argv = sh("sleep 600 & echo done");
    let before = monotonic();
    let ended = run(program(&argv, "", LONG)).unwrap();
    assert_eq!(&**ended.stdout, b"done\n");
    assert!(before.elapsed() < LONG);
}

#[test]
fn one_that_never_reads_and_writes_without_end_is_bounded() {
    let argv = sh("exec head -c 10000000 /dev/zero");
    let ended = run(program(&argv, &"x".repeat(1_000_000), LONG)).unwrap();
    assert!(ended.status.success());
    assert_eq!(ended.stdout.len(), LARGEST_OUTPUT);
}

#[test]
fn what_cannot_be_run_was_not_started() {
    for name in [
        "/nonexistent/program",
        "no-such-program-anywhere",
        "/etc/passwd",
        "/tmp",
        "",
    ] {
        let argv = vec![name.to_owned()];
        let Err(error) = run(program(&argv, "", LONG)) else {
            panic!("{name} was run")
        };
        assert!(!error.was_started(), "{error}");
        assert_eq!(find(name), None);
    }
    assert!(matches!(
        run(program(&[], "", LONG)),
        Err(ProcessError::Nothing)
    ));
}

#[test]
fn one_that_is_killed_says_by_what() {
    let argv = sh("kill -9 $$");
    assert_eq!(
        ending(run(program(&argv, "", LONG)).unwrap().status),
        "signal 9"
    );
}
