//! The webhook sink against a server that speaks raw bytes.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::sinks::Previous;
use rotator_core::config::{HeaderSecret, WebhookUrl};
use rotator_core::event::GenerationNo;
use rotator_core::secret::{SecretSource, Token};

const TOKEN: &str = "aws80:canary-token-1d55a371c0a9";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const CANARIES: [&str; 5] = [
    "canary-token",
    "canary-path",
    "canary-query",
    "canary-body",
    "canary-header",
];

/// A request as it came over the wire.
struct Request {
    line: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// A server that knows no HTTP library: it takes requests and gives one fixed answer to each.
struct Server {
    port: u16,
    requests: mpsc::UnboundedReceiver<Request>,
}

impl Server {
    /// With no answer it hangs up after reading the request.
    async fn answering(answer: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = receive(&mut stream).await else {
                    continue;
                };
                if seen.send(request).is_err() {
                    return;
                }
                if let Some(answer) = &answer {
                    // The client may hang up before a huge answer is through.
                    let _sent = stream.write_all(answer).await;
                }
            }
        });
        Self { port, requests }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/canary-path?k=canary-query", self.port)
    }
}

async fn receive(stream: &mut tokio::net::TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let mut lines = head.split("\r\n");
            let line = lines.next().unwrap().to_owned();
            let headers: BTreeMap<String, String> = lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length: usize = headers
                .get("content-length")
                .map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                return Some(Request {
                    line,
                    headers,
                    body: bytes[end + 4..].to_vec(),
                });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> Option<Vec<u8>> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    Some([head.as_bytes(), body.as_bytes()].concat())
}

fn secret_file(content: &str) -> (tempfile::NamedTempFile, SecretSource) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    let source = SecretSource::File(file.path().to_owned());
    (file, source)
}

fn policy(url: &str, receipt: Receipt) -> WebhookSink {
    WebhookSink {
        url: WebhookUrl::new(url.parse().unwrap()),
        network: Box::default(),
        // Any text will do as a key; this variable is always set.
        secret: SecretSource::Env("PATH".to_owned()),
        headers: vec![(
            "X-Tenant".to_owned(),
            HeaderSecret::new("canary-header".to_owned()),
        )],
        timeout: Duration::from_secs(10),
        receipt,
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// One try. `now` is apart from the rest because it alone differs between tries.
async fn deliver(policy: WebhookSink, now: &str) -> Result<(), SinkError> {
    // The process's own provider, as `main` installs it; another test may have been first.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let token = Token::try_new(TOKEN).unwrap();
    let delivery = Delivery {
        account: "sales-ivr",
        generation: GenerationNo(7),
        token: &token,
        minted_at: at("2026-11-22T03:30:00.987Z"),
        previous: Some(Previous {
            fingerprint: Fingerprint::of(b"the old one"),
            retires_after: at("2026-11-23T03:30:00Z"),
        }),
        now: at(now),
    };
    WebhookTarget::new("crm", policy)
        .deliver(&delivery, SinkContext::default())
        .await
        .map(drop)
}

const NOW: &str = "2026-11-22T03:31:00Z";

/// What became of one try against this answer, in the words of the error.
async fn outcome(receipt: Receipt, answer: Option<Vec<u8>>) -> (Result<(), SinkError>, Server) {
    let server = Server::answering(answer).await;
    let result = deliver(policy(&server.url(), receipt), NOW).await;
    if let Err(error) = &result {
        shows_nothing(error);
    }
    (result, server)
}

#[track_caller]
fn shows_nothing(error: &SinkError) {
    for text in [error.to_string(), format!("{error:?}")] {
        for canary in CANARIES {
            assert!(!text.contains(canary), "{text}");
        }
    }
}

#[tokio::test]
async fn the_request_is_as_documented_and_its_signature_holds() {
    let mut server = Server::answering(answer("200 OK", "", "canary-body")).await;
    let (_file, secret) = secret_file(&format!("{SECRET}\n"));
    let policy = WebhookSink {
        secret,
        ..policy(&server.url(), Receipt::Status)
    };
    deliver(policy, NOW).await.unwrap();

    let request = server.requests.recv().await.unwrap();
    assert_eq!(request.line, "POST /canary-path?k=canary-query HTTP/1.1");
    let fingerprint = Fingerprint::of(TOKEN.as_bytes());
    let previous = Fingerprint::of(b"the old one");
    assert_eq!(
        String::from_utf8(request.body.clone()).unwrap(),
        format!(
            "{{\"type\":\"ringcx.token.rotated\",\"timestamp\":\"2026-11-22T03:30:00Z\",\
             \"data\":{{\"account\":\"sales-ivr\",\"sink\":\"crm\",\"generation\":7,\"token\":\"{TOKEN}\",\
             \"fingerprint\":\"{fingerprint}\",\"previous_fingerprint\":\"{previous}\",\
             \"previous_retires_after\":\"2026-11-23T03:30:00Z\"}}}}"
        )
    );
    let header = |name: &str| request.headers[name].as_str();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("x-tenant"), "canary-header");
    assert_eq!(header("webhook-timestamp"), at(NOW).timestamp().to_string());
    let id = header("webhook-id");
    assert!(id.len() == 36 && id.starts_with("msg_"), "{id}");
    // `Key` is held to the published example in its own file.
    let key = Key::try_new(&Secret::new(SECRET)).unwrap();
    assert_eq!(
        header("webhook-signature"),
        key.sign(id, header("webhook-timestamp"), &request.body)
    );
}

#[test]
fn without_a_previous_token_there_are_nulls() {
    let token = Token::try_new(TOKEN).unwrap();
    let delivery = Delivery {
        account: "a",
        generation: GenerationNo(1),
        token: &token,
        minted_at: at(NOW),
        previous: None,
        now: at(NOW),
    };
    let body: serde_json::Value = serde_json::from_slice(&message::json("crm", &delivery)).unwrap();
    for name in ["previous_fingerprint", "previous_retires_after"] {
        assert_eq!(body["data"].get(name), Some(&serde_json::Value::Null));
    }
}

#[tokio::test]
async fn every_try_has_the_same_id_and_body_and_its_own_time() {
    let mut server = Server::answering(answer("500 Oops", "", "")).await;
    let mut seen = Vec::new();
    for now in [NOW, "2026-11-22T04:00:00Z"] {
        deliver(policy(&server.url(), Receipt::Status), now)
            .await
            .expect_err("500");
        let request = server.requests.recv().await.unwrap();
        seen.push((
            request.headers["webhook-id"].clone(),
            request.body,
            request.headers["webhook-timestamp"].clone(),
        ));
    }
    assert_eq!((&seen[0].0, &seen[0].1), (&seen[1].0, &seen[1].1));
    assert_ne!(seen[0].2, seen[1].2);
}

#[test]
fn an_id_belongs_to_one_account_sink_generation_and_token() {
    let id = |account: &str, sink: &str, generation: u64, token: &str| {
        let token = Token::try_new(token).unwrap();
        let generation = GenerationNo(generation);
        let delivery = Delivery {
            account,
            generation,
            token: &token,
            minted_at: at(NOW),
            previous: None,
            now: at(NOW),
        };
        message_id(sink, &delivery)
    };
    let ids = [
        id("ab", "c", 1, TOKEN),
        id("a", "bc", 1, TOKEN),
        id("ab", "d", 1, TOKEN),
        id("ab", "c", 11, TOKEN),
        id("ab", "c", 1, "another-token"),
    ];
    assert_eq!(
        ids.iter().collect::<std::collections::BTreeSet<_>>().len(),
        ids.len()
    );
    assert_eq!(ids[0], id("ab", "c", 1, TOKEN));
    // Fixed for ever: a receiver knows it from before an upgrade.
    assert_eq!(ids[0], "msg_72835eb2001cde87371891ab0b727122");
}

#[tokio::test]
async fn an_answer_says_what_to_do_next() {
    let wait = |seconds| Some(Duration::from_secs(seconds));
    for (status, headers, expected, retry_after) in [
        ("400 Bad Request", "", "400", None),
        ("401 Unauthorized", "Retry-After: 9\r\n", "401", None),
        (
            "429 Too Many Requests",
            "Retry-After: 17\r\n",
            "429",
            wait(17),
        ),
        (
            "503 Unavailable",
            "Retry-After: Sun, 22 Nov 2026 03:32:30 GMT\r\n",
            "503",
            wait(90),
        ),
        (
            "503 Unavailable",
            "Retry-After: Sun, 22 Nov 2026 03:30:00 GMT\r\n",
            "503",
            wait(0),
        ),
        ("503 Unavailable", "Retry-After: soon\r\n", "503", None),
        // However long it wishes for, or however far its clock is ahead: a day.
        (
            "429 Too Many Requests",
            "Retry-After: 86401\r\n",
            "429",
            wait(3_600),
        ),
        (
            "429 Too Many Requests",
            "Retry-After: 99999999999999999999999\r\n",
            "429",
            wait(3_600),
        ),
        (
            "503 Unavailable",
            "Retry-After: Sun, 22 Nov 2099 03:32:30 GMT\r\n",
            "503",
            wait(3_600),
        ),
        ("500 Oops", "Retry-After: 9\r\n", "500", None),
        ("304 Not Modified", "", "304", None),
    ] {
        let (result, server) =
            outcome(Receipt::Status, answer(status, headers, "canary-body")).await;
        let error = result.expect_err(status);
        assert_eq!(
            error.to_string(),
            format!("http://127.0.0.1:{} answered {expected}", server.port)
        );
        assert_eq!(error.retry_after(), retry_after, "{status} {headers}");
        assert!(!error.parks());
    }
    let (gone, _server) = outcome(Receipt::Status, answer("410 Gone", "", "canary-body")).await;
    assert!(gone.expect_err("410").parks());
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let mut elsewhere = Server::answering(answer("200 OK", "", "")).await;
    for status in [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary",
        "308 Permanent",
    ] {
        let location = format!("Location: {}\r\n", elsewhere.url());
        let (result, _server) = outcome(Receipt::Status, answer(status, &location, "")).await;
        assert!(
            matches!(
                result,
                Err(SinkError::Refused {
                    status: 300..400,
                    ..
                })
            ),
            "{status}"
        );
    }
    assert!(
        elsewhere.requests.try_recv().is_err(),
        "the token went elsewhere"
    );
}

#[tokio::test]
async fn a_fingerprint_proves_receipt_and_nothing_else_does() {
    let ours = Fingerprint::of(TOKEN.as_bytes()).to_string();
    let json = |fingerprint: &str| format!("{{\"ok\":true,\"fingerprint\":\"{fingerprint}\"}}");
    for (body, why) in [
        (json(&ours), None),
        (json(&ours.to_uppercase()), None),
        (
            json(&Fingerprint::of(b"x").to_string()),
            Some("another fingerprint"),
        ),
        (json(&ours[..12]), Some("64 hex digits")),
        (json(""), Some("64 hex digits")),
        (String::new(), Some("not JSON")),
        ("<html>canary-body</html>".to_owned(), Some("not JSON")),
        ("{\"fingerprint\":7}".to_owned(), Some("not JSON")),
        (ours.clone(), Some("not JSON")),
        (
            format!("{}{}", " ".repeat(64 * 1024), json(&ours)),
            Some("longer than 64 KiB"),
        ),
    ] {
        let (result, _server) = outcome(Receipt::Fingerprint, answer("200 OK", "", &body)).await;
        match (result, why) {
            (Ok(()), None) => {}
            (Err(error @ SinkError::Unproved { .. }), Some(why)) => {
                assert!(error.to_string().contains(why), "{error}");
            }
            (result, why) => panic!("{:?} instead of {why:?}", result.err()),
        }
    }
    let cut_off = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_vec();
    let (result, _server) = outcome(Receipt::Fingerprint, Some(cut_off)).await;
    assert!(matches!(
        result,
        Err(SinkError::Unproved {
            why: "its answer broke off",
            ..
        })
    ));
    let (refused, _server) = outcome(
        Receipt::Fingerprint,
        answer("403 Forbidden", "", &json(&ours)),
    )
    .await;
    assert!(matches!(
        refused,
        Err(SinkError::Refused { status: 403, .. })
    ));
}

#[tokio::test]
async fn only_what_was_surely_not_sent_counts_as_unreachable() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://{free}/canary-path?canary-query");
        let error = deliver(policy(&url, Receipt::Status), NOW)
            .await
            .expect_err("nobody listens");
        shows_nothing(&error);
        assert!(matches!(error, SinkError::Unreachable { .. }), "{error}");
        assert!(
            error.to_string().contains(&format!("{scheme}://{free}")),
            "{error}"
        );
        assert!(error.to_string().contains("refused"), "{error}");
    }
    // A handshake that fails comes before any request.
    let no_tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/canary-path", no_tls.local_addr().unwrap());
    tokio::spawn(async move { while no_tls.accept().await.is_ok() {} });
    let error = deliver(policy(&url, Receipt::Status), NOW)
        .await
        .expect_err("no TLS");
    shows_nothing(&error);
    assert!(matches!(error, SinkError::Unreachable { .. }), "{error}");

    let (result, _server) = outcome(Receipt::Status, None).await;
    assert!(
        matches!(result, Err(SinkError::NoAnswer { .. })),
        "hung up after the request"
    );
}

#[tokio::test]
async fn the_time_out_covers_the_whole_try() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/canary-path", listener.local_addr().unwrap());
    let silent = WebhookSink {
        timeout: Duration::from_millis(50),
        ..policy(&url, Receipt::Status)
    };
    let error = deliver(silent, NOW).await.expect_err("never answered");
    shows_nothing(&error);
    assert!(
        matches!(&error, SinkError::NoAnswer { why, .. } if why == "timed out while waiting for an answer"),
        "{error}"
    );
}

#[tokio::test]
async fn preflight_finds_what_would_fail_without_a_request() {
    let mut server = Server::answering(answer("200 OK", "", "")).await;
    let (_good, good) = secret_file(SECRET);
    let (_bad, bad) = secret_file("whsec_canary-body!");
    let missing = SecretSource::File("/nonexistent/secret".into());
    let url = server.url();
    for (url, secret, header, why) in [
        (url.as_str(), good.clone(), ("X-A", "b"), None),
        (
            &url,
            missing,
            ("X-A", "b"),
            Some("webhook secret: /nonexistent/secret"),
        ),
        (&url, bad, ("X-A", "b"), Some("not base64")),
        (
            &url,
            good.clone(),
            ("X A", "canary-header"),
            Some("header `X A` has a name"),
        ),
        (
            &url,
            good.clone(),
            ("X-A", "canary-header\n"),
            Some("header `X-A` has a value"),
        ),
        (
            &url,
            good.clone(),
            ("Webhook-ID", "canary-header"),
            Some("is set by ringcx-rotator itself"),
        ),
        (
            "http://x.example/canary-path",
            good.clone(),
            ("X-A", "b"),
            Some("neither https nor http on loopback"),
        ),
        (
            "http://127.0.0.1.x.example",
            good.clone(),
            ("X-A", "b"),
            Some("neither https nor"),
        ),
        ("https://x.example", good.clone(), ("X-A", "b"), None),
        ("http://[::1]:9/", good.clone(), ("X-A", "b"), None),
    ] {
        let headers = vec![(header.0.to_owned(), HeaderSecret::new(header.1.to_owned()))];
        let policy = WebhookSink {
            secret,
            headers,
            ..policy(url, Receipt::Status)
        };
        let preflight = WebhookTarget::new("crm", policy.clone())
            .preflight(SinkContext::default())
            .await;
        match (preflight, why) {
            (Ok(()), None) => {}
            (Err(error), Some(why)) => {
                shows_nothing(&error);
                assert!(error.to_string().contains(why), "{error}");
                let delivered = deliver(policy, NOW)
                    .await
                    .expect_err("preflight had refused");
                assert_eq!(delivered.to_string(), error.to_string());
            }
            (result, why) => panic!("{:?} instead of {why:?}", result.err()),
        }
    }
    assert!(server.requests.try_recv().is_err(), "a request was sent");
}

#[tokio::test]
async fn a_changed_secret_is_used_at_once() {
    let mut server = Server::answering(answer("200 OK", "", "")).await;
    let (mut file, secret) = secret_file("one");
    let policy = WebhookSink {
        secret,
        ..policy(&server.url(), Receipt::Status)
    };
    let mut signatures = Vec::new();
    for addition in ["", "-two"] {
        file.write_all(addition.as_bytes()).unwrap();
        deliver(policy.clone(), NOW).await.unwrap();
        signatures.push(server.requests.recv().await.unwrap().headers["webhook-signature"].clone());
    }
    assert_ne!(signatures[0], signatures[1]);
}
