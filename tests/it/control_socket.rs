//! The control socket of the real daemon, spoken to by whoever may and should not: it goes on
//! answering, gives no secret away, and spends bounded time and memory on them.
//!
//! The same requests go to the routes alone in `src/fuzz_properties/control.rs`, there with generated ones.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::env::{Daemon, PASSWORD, PATIENCE, TestEnv};

/// More than may be connected at once.
const CROWD: usize = 100;

/// What all of this may add to the daemon's memory: the heads of as many as may be connected, and
/// some more.
const MOST_MEMORY: usize = 32 * 1024 * 1024;

struct Socket(PathBuf);

impl Socket {
    fn of(house: &TestEnv) -> Self {
        Self(house.path("control.sock"))
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.0).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends these bytes and their end.
    fn ask(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // It may have had enough before all of it is through.
        let _sent = stream.write_all(bytes);
        let _ended = stream.shutdown(Shutdown::Write);
        answer(&mut stream)
    }

    #[track_caller]
    fn answers(&self, after: &str) {
        let status = self.ask(b"GET /v1/status HTTP/1.1\r\nHost: daemon\r\n\r\n");
        assert!(
            status.starts_with("HTTP/1.1 200 "),
            "after {after}: {status:?}"
        );
    }
}

/// Everything up to the end of the connection, which must come.
#[track_caller]
fn answer(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    match stream.take(1024 * 1024).read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("it does not hang up: {error}"),
    }
    assert!(bytes.len() < 1024 * 1024, "an answer without an end");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends a piece again and again until the daemon has had enough; how many bytes that took.
#[track_caller]
fn flood(stream: &mut UnixStream, piece: &[u8], most: usize) -> usize {
    let mut sent = 0;
    while stream.write_all(piece).is_ok() {
        sent += piece.len();
        assert!(sent <= most, "it takes {sent} bytes and more");
    }
    sent
}

fn memory(daemon: &Daemon) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    resident
        .trim()
        .trim_end_matches(" kB")
        .parse::<usize>()
        .unwrap()
        * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_stops_the_daemon_or_gets_a_secret() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let mut daemon = house.start_ready().await;
    let first = house.token();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/request");
    let mut asked = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let socket = Socket::of(&house);
        let said = tokio::task::block_in_place(|| {
            let said = socket.ask(&std::fs::read(&path).unwrap());
            socket.answers(name);
            said
        });
        for secret in [PASSWORD, &first, &house.token()] {
            assert!(!said.contains(secret), "{name}: {said}");
        }
        asked += 1;
    }
    assert!(asked >= 20, "only {asked} requests");
    assert_eq!(house.status()["state"], "ok");
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    daemon.signal("TERM");
    assert_eq!(daemon.ended().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_is_slow_or_does_not_end_costs_a_bounded_time_and_memory() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let daemon = house.start_ready().await;
    let socket = Socket::of(&house);
    tokio::task::block_in_place(|| {
        socket.answers("nothing");
        let before = memory(&daemon);
        let begin = |head: &[u8]| {
            let mut stream = socket.connect();
            stream.write_all(head).unwrap();
            stream
        };
        let mut silent = begin(b"");
        let mut half_a_head = begin(b"GET /v1/status HTTP/1.1\r\nHost: dae");
        let mut no_body =
            begin(b"POST /v1/reload HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\n");
        let mut endless_head = begin(b"GET /v1/status HTTP/1.1\r\n");
        flood(
            &mut endless_head,
            &[b"A: ", [b'a'; 4096].as_slice(), b"\r\n"].concat(),
            1024 * 1024,
        );
        let mut endless_name = begin(b"GET /");
        flood(&mut endless_name, &[b'a'; 4096], 1024 * 1024);
        let mut endless_body =
            begin(b"POST /v1/reload HTTP/1.1\r\nHost: d\r\nContent-Length: 99999999999\r\n\r\n");
        flood(&mut endless_body, &[b'a'; 4096], 1024 * 1024);
        let mut endless_chunks =
            begin(b"POST /v1/reload HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n");
        flood(
            &mut endless_chunks,
            &[b"1000\r\n", [b'a'; 4096].as_slice(), b"\r\n"].concat(),
            1024 * 1024,
        );
        socket.answers("floods");

        // All places are taken for a while, and given back.
        let mut crowd: Vec<UnixStream> = (0..CROWD).map(|_| begin(b"GET /v1/st")).collect();
        socket.answers("a crowd");
        assert!(answer(&mut no_body).starts_with("HTTP/1.1 408 "));
        for stream in [&mut silent, &mut half_a_head]
            .into_iter()
            .chain(&mut crowd)
        {
            answer(stream);
        }
        let grown = memory(&daemon).saturating_sub(before);
        println!(
            "{CROWD} idle connections and four floods: {} KiB more memory",
            grown / 1024
        );
        assert!(grown <= MOST_MEMORY, "{grown} bytes more memory");
    });
    daemon.stop();
}
