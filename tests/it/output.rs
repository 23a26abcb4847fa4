//! Standard output and standard error that are full, closed or never read.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use rotator_simulator::Call;

use crate::env::{TestEnv, eventually};

/// A pipe with no room left.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    rustix::fs::fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

fn code(command: &mut Command) -> Option<i32> {
    command.stdin(Stdio::null()).status().unwrap().code()
}

fn disk_that_is_full() -> std::fs::File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stderr_that_cannot_be_written_ends_no_daemon() {
    let house = TestEnv::new().await;
    // With a warning, which is written before anything else.
    house.set_policy(&format!(
        "{}\n[alerts.email]\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n\
         host = \"localhost\"\nport = 465\ntls = \"starttls\"\n",
        house.usual("")
    ));
    let warned = house.run(["check"]);
    assert!(warned.err.contains("do not go together"), "{}", warned.err);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    for stderr in [
        Stdio::from(writer),
        Stdio::from(disk_that_is_full()),
        Stdio::from(OpenOptions::new().read(true).open("/dev/null").unwrap()),
    ] {
        let mut command = house.command();
        command.args(["run", "--once"]).stdout(Stdio::null());
        assert_eq!(code(command.stderr(stderr)), Some(0), "{}", warned.err);
    }
    let mut command = house.command();
    command.args(["status", "nobody"]).stdout(Stdio::null());
    assert_eq!(code(command.stderr(disk_that_is_full())), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stderr_that_nobody_reads_stops_no_daemon() {
    let house = TestEnv::new().await;
    house.set_policy(&format!(
        "{}\n[log]\nformat = \"json\"\nlevel = \"debug\"\n",
        house.usual("")
    ));
    let (mut reader, writer) = full_pipe();
    let mut command = house.command();
    let mut daemon = command
        .args(["run"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(writer)
        .spawn()
        .unwrap();
    drop(command);
    eventually("the first token is there", || {
        (house.run(["status"]).code() == 0 && house.count(Call::Mint) == 1).then_some(())
    })
    .await;
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    assert_eq!(house.count(Call::Mint), 2);
    let pid = rustix::process::Pid::from_child(&daemon);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    // Read only now: what was held back for it comes, and the process ends.
    let read = std::thread::spawn(move || {
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        text
    });
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    let text = String::from_utf8(read.join().unwrap()).unwrap();
    assert!(
        text.contains("\"message\":\"Stopping\""),
        "the end of the log"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_that_cannot_be_written_are_an_error_and_a_due_exit_code_stands() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    for (args, due) in [
        (&["check", "--json"][..], 1),
        (&["check"], 1),
        (&["--help"], 1),
        (&["--version"], 1),
        (&["man"], 1),
        (&["completions", "bash"], 1),
    ] {
        let mut command = house.command();
        command.args(args).stdout(disk_that_is_full());
        let ran = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(due), "{args:?}: {said}");
        assert!(said.contains("cannot write to stdout"), "{args:?}: {said}");
        // A reader that has seen enough is no error.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = house.command();
        command.args(args).stdout(writer).stderr(Stdio::null());
        assert_eq!(code(&mut command), Some(0), "{args:?}");
    }
    house.set_policy("nonsense = 1\n");
    let mut command = house.command();
    command.args(["check", "--json"]).stderr(Stdio::null());
    assert_eq!(code(command.stdout(disk_that_is_full())), Some(78));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = house.command();
    command.args(["check", "--json"]).stderr(Stdio::null());
    assert_eq!(code(command.stdout(writer)), Some(78));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_holds_the_journal_for_a_moment_does_not_keep_the_daemon_from_starting() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    // As a command holds it; its process id is in it.
    let lock = OpenOptions::new()
        .write(true)
        .open(house.path("state/lock"))
        .unwrap();
    lock.lock().unwrap();
    let daemon = house.start();
    // It is certain to have found the lock once it listens to signals and has not ended by then.
    let pid = daemon.pid();
    eventually("the daemon waits for the lock", || {
        let opened = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let names = opened.filter_map(|it| std::fs::read_link(it.ok()?.path()).ok());
        names
            .into_iter()
            .any(|it| it.to_string_lossy().contains("socket"))
            .then_some(())
    })
    .await;
    drop(lock);
    daemon.ready().await;
    // Beside a daemon another one ends at once.
    assert_eq!(house.run(["run"]).code(), 75);
    daemon.stop();
}
