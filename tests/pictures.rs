//! The pictures in `docs/pictures`: drawn from what the program really prints, and compared with
//! the files. With `RINGCX_ROTATOR_TEST_UPDATE=1` the files are written instead.
//!
//! `status` is run against a control socket that answers with a fixed view. A demo takes a minute
//! and is another each time, so one is recorded by `docs/pictures/make`; `tests/demo.rs` compares
//! the recording with a demo of today.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

#[path = "pictures/terminal.rs"]
mod terminal;

/// A page that shows it should load at once.
const LARGEST: usize = 40 * 1024;

/// Compares the picture with the file, or writes it.
#[track_caller]
fn check(name: &str, title: &str, lines: &[String]) {
    let svg = terminal::svg(title, lines);
    assert!(svg.len() <= LARGEST, "{name}: {} bytes", svg.len());
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/pictures")
        .join(name);
    if std::env::var_os("RINGCX_ROTATOR_TEST_UPDATE").is_some() {
        fs::File::create(&path)
            .and_then(|mut file| file.write_all(svg.as_bytes()))
            .unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = kept
        .lines()
        .zip(svg.lines())
        .find(|(kept, drawn)| kept != drawn);
    assert!(
        kept == svg,
        "docs/pictures/{name} is out of date at {differs:?}: run docs/pictures/make"
    );
}

fn prompt(command: &str) -> String {
    format!("\x1b[2m$\x1b[0m \x1b[1m{command}\x1b[0m")
}

#[test]
fn the_picture_of_status_is_what_status_prints() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control.sock");
    let config = directory.path().join("config.toml");
    let policy = format!("[daemon]\ncontrol-socket = \"{}\"\n", socket.display());
    fs::File::create(&config)
        .and_then(|mut file| file.write_all(policy.as_bytes()))
        .unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let view = view(ringcx_rotator::clock::Clock::system().now()).to_string();
    std::thread::spawn(move || answer_all(&listener, &view));

    let output = Command::new(env!("CARGO_BIN_EXE_ringcx-rotator"))
        .args(["--color", "always", "--config"])
        .arg(&config)
        .arg("status")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    let mut lines = vec![prompt("ringcx-rotator status"), String::new()];
    lines.extend(printed.lines().map(str::to_owned));
    check("status.svg", "ringcx-rotator status", &lines);
}

/// Answers each request with this body. A connection without a request is one that only wanted to
/// know whether somebody listens.
fn answer_all(listener: &UnixListener, body: &str) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { return };
        let (mut request, mut chunk) = (Vec::new(), [0; 1024]);
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut chunk) {
                Ok(count) if count > 0 => request.extend_from_slice(&chunk[..count]),
                Ok(_) | Err(_) => break,
            }
        }
        if !request.is_empty() {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n",
                body.len()
            );
            // Where the command gave up, its own output says so.
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(body.as_bytes());
        }
    }
}

/// What `status` is answered. All times are half an hour away from where the text would change, so
/// that it is the same however long the test takes.
fn view(now: DateTime<Utc>) -> Value {
    let hours = |hours: i64| now + TimeDelta::minutes(hours * 60 + 30 * hours.signum());
    let generation = |number: u64, fingerprint: &str, minted: i64| {
        json!({
            "generation": number,
            "fingerprint": format!("{fingerprint:0<64}"),
            "minted_at": hours(minted),
        })
    };
    let sink = |name: &str, kind: &str, state: &str, generation: u64| {
        json!({
            "name": name,
            "type": kind,
            "required": true,
            "state": state,
            "generation": generation,
        })
    };
    let account = |name: &str, state: &str, next: i64, foreign: u64, rest: Value| {
        let mut account = json!({
            "name": name,
            "state": state,
            "managed": true,
            "pending": null,
            "previous": [],
            "foreign": foreign,
            "next_rotation_at": hours(next),
            "next_retirement_at": null,
            "next_attempt_at": null,
            "consecutive_failures": 0,
            "last_error": null,
            "incidents": [],
        });
        let members = account.as_object_mut().unwrap();
        members.extend(rest.as_object().unwrap().clone());
        account
    };
    let mut failing = sink("crm", "webhook", "failing", 6);
    failing["last_error"] = json!("https://crm.example.com answered 503");
    let incident = json!({
        "key": "support-ivr/sink-failed/crm",
        "kind": "sink-failed",
        "since": hours(-2),
        "count": 41,
        "summary": "sink crm failed: https://crm.example.com answered 503",
    });
    json!({
        "daemon": {
            "running": true,
            "version": env!("CARGO_PKG_VERSION"),
            "started_at": hours(-24 * 41 - 6),
        },
        "accounts": [
            account("sales-ivr", "ok", 24 * 5 + 1, 0, json!({
                "current": generation(12, "e3fa3b889acf", -(24 + 22)),
                "previous": [generation(11, "b1904ce2d7aa", -(24 * 8 + 22))],
                "sinks": [
                    sink("token-file", "file", "serving", 12),
                    sink("dialer-env", "env-file", "serving", 12),
                    sink("crm", "webhook", "serving", 12),
                ],
            })),
            account("outbound-dialer", "rotating", 24 * 6 + 23, 1, json!({
                "current": generation(30, "0c41d9f7be52", -(24 * 7)),
                "pending": generation(31, "94e7a0b3c1d8", -1),
                "sinks": [
                    sink("vault", "command", "serving", 30),
                    sink("ivr-flow", "ringcx-auth-config", "serving", 30),
                ],
            })),
            account("support-ivr", "failing", 24 * 2 + 9, 0, json!({
                "current": generation(6, "6bc0fce1b542", -(24 * 6 + 14)),
                "pending": generation(7, "71d2f08a4b9e", -2),
                "sinks": [
                    sink("token-file", "file", "serving", 6),
                    failing,
                ],
                "incidents": [incident],
            })),
        ],
    })
}

/// What is shown of a demo: from one line to another, by how they begin.
const EXCERPTS: [[&str; 2]; 4] = [
    ["3. ", "4. "],
    ["5. ", "6. "],
    ["Checked, against", "✓  Old tokens are gone"],
    ["✓  Nothing is left", ""],
];

#[test]
fn the_picture_of_the_demo_is_what_was_recorded() {
    let recorded: Vec<&str> = include_str!("pictures/demo.ansi").lines().collect();
    let find = |begin: &str| {
        let is_it = |line: &&str| without_colors(line).starts_with(begin);
        recorded.iter().position(is_it).unwrap()
    };
    let omitted = || "\x1b[2m⋯\x1b[0m".to_owned();
    let mut lines = vec![prompt("ringcx-rotator demo"), String::new()];
    lines.push(recorded[0].to_owned());
    for [from, to] in EXCERPTS {
        let end = if to.is_empty() {
            recorded.len()
        } else {
            find(to)
        };
        let excerpt = recorded[find(from)..end]
            .iter()
            .map(|line| (*line).to_owned());
        lines.extend([String::new(), omitted(), String::new()]);
        lines.extend(excerpt);
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
    }
    check("demo.svg", "ringcx-rotator demo", &lines);
}

fn without_colors(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| part.split_once('m').map_or("", |(_, text)| text));
    std::iter::once(first).chain(rest).collect()
}
