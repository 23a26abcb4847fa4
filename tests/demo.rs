//! The demo as people run it: the real binary, its output piped, and nothing left of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A demo whose directory is made in one of our own.
struct Demo {
    child: Child,
    parent: TempDir,
}

impl Demo {
    fn start() -> Self {
        let parent = tempfile::Builder::new()
            .prefix("d")
            .tempdir_in("/tmp")
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_ringcx-rotator"))
            .arg("demo")
            .env("TMPDIR", parent.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, parent }
    }

    /// Waits until the daemon listens, and says where.
    fn socket(&self) -> PathBuf {
        wait("the daemon's socket", || {
            let socket = self.directories().first()?.join("control.sock");
            UnixStream::connect(&socket).ok().map(|_| socket)
        })
    }

    fn directories(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.parent.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code, stdout and stderr.
    fn end(&mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut out)
            .unwrap();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        (self.child.wait().unwrap().code(), out, err)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What comes of looking again and again; no event tells of another process.
#[track_caller]
fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = monotonic();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn monotonic() -> Instant {
    ringcx_rotator::clock::monotonic()
}

fn answers(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

#[test]
fn the_whole_story_ends_well_within_a_minute_and_leaves_nothing() {
    let began = monotonic();
    let mut demo = Demo::start();
    let (code, out, err) = demo.end();
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(demo.directories(), Vec::<PathBuf>::new());

    assert!(!out.contains('\x1b'), "a pipe gets no colours");
    for line in out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let passed = out.lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!((passed, out.matches("FAILED").count()), (17, 0), "{out}");
    // The picture in the README is drawn from a recording.
    assert_eq!(
        outline(&out),
        outline(include_str!("pictures/demo.ansi")),
        "the recorded demo is another one: run docs/pictures/make"
    );
    for told in [
        "the list has one token more",
        "“support-ivr: sink crm failed (FIRING)”",
        "“support-ivr: sink crm failed (RESOLVED)”",
        "sink dialer-env holds nothing",
        "login = \"ringex\"",
        "type = \"ringcx-auth-config\"",
        "calls with the key inside RingCX so far, 0 refused",
        "support-ivr: 1 request to RingEX, 1 login",
        "$ ringcx-rotator rotate --all",
        "$ ringcx-rotator status",
        "All as it should be",
    ] {
        assert!(out.contains(told), "{told} is not in:\n{out}");
    }
}

/// What is the same in every demo: the titles of its acts and of its checks.
fn outline(printed: &str) -> Vec<String> {
    let title = |line: &str| {
        let marks = ["\x1b[32m✓  \x1b[0m\x1b[1m", "ok      ", "\x1b[1m"];
        let (mark, rest) = marks
            .iter()
            .find_map(|mark| Some((*mark, line.strip_prefix(mark)?)))
            .unwrap_or(("", line));
        let rest = rest.trim_end_matches("\x1b[0m");
        let is_act = rest.starts_with(|c: char| c.is_ascii_digit()) && rest.get(1..3) == Some(". ");
        let is_check = mark == marks[0] || mark == marks[1];
        (is_act || is_check).then(|| rest.to_owned())
    };
    let outline: Vec<String> = printed.lines().filter_map(title).collect();
    assert!(outline.len() > 20, "{outline:?}");
    outline
}

#[test]
fn an_interrupt_ends_it_at_once_and_leaves_nothing() {
    let mut demo = Demo::start();
    let socket = demo.socket();
    let began = monotonic();
    demo.signal(Signal::INT);
    let (code, out, err) = demo.end();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(code, Some(1), "{out}");
    assert!(
        err.contains("interrupted; the daemon is stopped; the directory is gone"),
        "{err}"
    );
    assert!(!answers(&socket));
    assert_eq!(demo.directories(), Vec::<PathBuf>::new());
}

#[test]
fn a_demo_that_nobody_reads_ends_by_itself() {
    let mut demo = Demo::start();
    demo.socket();
    drop(demo.child.stdout.take());
    let status = wait("end", || demo.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    assert_eq!(demo.directories(), Vec::<PathBuf>::new());
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_demo_takes_its_daemon_along() {
    let demo = Demo::start();
    let socket = demo.socket();
    demo.signal(Signal::KILL);
    wait("end of the daemon", || (!answers(&socket)).then_some(()));
}
