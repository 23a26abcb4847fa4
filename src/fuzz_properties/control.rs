//! Properties of the control socket: any bytes as a request, and any bytes as an answer.
//!
//! Requests go to the real routes over a pipe in memory. Behind them is a real supervisor with one
//! account, a secret in each place that can hold one, and no RingCX server.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Runtime;

use super::put;
use crate::cli::client::{NoAnswer, parse};
use crate::clock::Clock;
use crate::daemon::control::{connection, router};
use crate::daemon::requests::history::HistoryLine;
use crate::daemon::requests::revoke::Revoked;
use crate::daemon::requests::rotate::RotateOutcome;
use crate::daemon::supervisor::Supervisor;
use crate::daemon::view::{PlanView, StatusView, TokensView};

const PASSWORD: &str = "canary of the password";
const TOKEN: &str = "aws80:canary-5c1d-4c1f-8a1d-55a371c0a9";

/// No answer of this daemon is larger: it has one account.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// Only a failsafe: no answer waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends these bytes as a request, or as several. The daemon answers with HTTP or not at all, shows
/// no secret, and still works afterwards.
pub fn request(bytes: &[u8]) {
    RIG.with(|rig| {
        let answer = rig.ask(bytes);
        let text = String::from_utf8_lossy(&answer);
        // The answer has the version of the request.
        let is_http = ["HTTP/1.1 ", "HTTP/1.0 "]
            .iter()
            .any(|version| text.starts_with(version));
        assert!(answer.is_empty() || is_http, "{text:?}");
        for secret in [PASSWORD, TOKEN] {
            assert!(!text.contains(secret), "{text:?}");
        }
        let status = rig.ask(b"GET /v1/status HTTP/1.1\r\nHost: daemon\r\n\r\n");
        assert!(
            status.starts_with(b"HTTP/1.1 200 "),
            "after {:?}",
            String::from_utf8_lossy(bytes)
        );
    });
}

/// Reads these bytes as the answer to each request. None is mistaken for another kind of answer.
pub fn answer(body: &[u8]) {
    reads::<StatusView>(body);
    reads::<PlanView>(body);
    reads::<TokensView>(body);
    reads::<Vec<HistoryLine>>(body);
    reads::<Vec<RotateOutcome>>(body);
    reads::<Revoked>(body);
    reads::<serde_json::Value>(body);
}

fn reads<T: DeserializeOwned>(body: &[u8]) {
    for status in [StatusCode::OK, StatusCode::CONFLICT] {
        match parse::<T>(status, body) {
            Ok(_) => assert!(status.is_success(), "a refusal is taken for an answer"),
            Err(NoAnswer::Refused(refusal)) => {
                assert!(!status.is_success(), "an answer is taken for a refusal");
                assert!(refusal.error.len() <= body.len(), "it was made up");
            }
            Err(NoAnswer::Unreadable(why)) => super::is_one_short_line(&why),
        }
    }
}

thread_local! {
    static RIG: Rig = Rig::new();
}

/// A daemon without its socket. Its directory is removed when the thread ends.
struct Rig {
    runtime: Runtime,
    routes: Router,
    _directory: TempDir,
}

impl Rig {
    fn new() -> Self {
        // Another test may have been first.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        put(&path("password"), PASSWORD);
        put(&path("token"), TOKEN);
        let state = path("state");
        let text = format!(
            "[daemon]\nstate-dir = \"{state}\"\n[ringcx]\nbase-url = \"http://127.0.0.1:1\"\n\
             connect-timeout = \"100ms\"\nlogins-per-minute = 60000\nrequests-per-minute = 60000\n\
             [[account]]\nname = \"ivr\"\nusername = \"ivr@example.com\"\n\
             password = {{ file = \"password\" }}\n\
             platform-id = \"aws80\"\nschedule = {{ every = \"10d\" }}\n\
             [[account.sink]]\nname = \"token\"\ntype = \"file\"\npath = \"{token}\"\n",
            state = state.display(),
            token = path("token").display(),
        );
        put(&path("config.toml"), text);
        let policy = rotator_policy::load(&path("config.toml"));
        let policy = policy.unwrap_or_else(|errors| {
            panic!("{}", errors.render(rotator_policy::Color::Never, None))
        });

        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let routes = runtime.block_on(async {
            let opened = Supervisor::open(policy.policy, Clock::system(), Arc::new(|_| {})).await;
            let supervisor = Arc::new(opened.expect("the directory is new and ours"));
            supervisor.start_accounts().await.await;
            router(supervisor)
        });
        Self {
            runtime,
            routes,
            _directory: directory,
        }
    }

    /// Sends these bytes and their end; gives what comes back.
    fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        let (client, daemon) = duplex(64 * 1024);
        let (mut reading, mut writing) = tokio::io::split(client);
        let routes = self.routes.clone();
        let conversation = async {
            let serving = connection::converse(daemon, routes);
            let asking = async {
                // The daemon may have had enough before all of it is through.
                let _sent = writing.write_all(bytes).await;
                let _ended = writing.shutdown().await;
            };
            let receiving = async {
                let mut answer = Vec::new();
                let received = (&mut reading)
                    .take(LARGEST_ANSWER as u64 + 1)
                    .read_to_end(&mut answer)
                    .await;
                received.expect("a pipe in memory can be read");
                answer
            };
            let ((), (), answer) = tokio::join!(serving, asking, receiving);
            answer
        };
        let answer = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, conversation).await });
        let answer =
            answer.unwrap_or_else(|_| panic!("no end after {:?}", String::from_utf8_lossy(bytes)));
        assert!(
            answer.len() <= LARGEST_ANSWER,
            "{} bytes of answer",
            answer.len()
        );
        answer
    }
}
