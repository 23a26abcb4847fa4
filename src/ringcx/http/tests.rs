//! The client against small servers that speak raw bytes, so that each test shows exactly what is
//! sent and what comes back, good and bad.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use rotator_core::config::NetworkPolicy;

mod answers;
mod calls;
mod failures;
mod logs;
mod proxies;
mod ringex;
mod tls;

const ONE: &str = "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9";
const TWO: &str = "aws80:00000000-bc74-af1a-2850-1d55a371c0a9";
const ACCESS: &str = "opaque.access/token+1";
const PASSWORD: &str = "p&s=w+r d%#?/é\"";
const DATE: &str = "Sun, 22 Nov 2026 03:30:00 GMT";

/// Longer than any answer here takes: a test that waits this long has failed.
const PLENTY: Duration = Duration::from_secs(30);

pub(crate) fn policy(base_url: &str) -> RingcxPolicy {
    RingcxPolicy {
        base_url: Url::parse(base_url).unwrap(),
        ringex_url: Url::parse(base_url).unwrap(),
        ca_file: None,
        connect_timeout: PLENTY,
        request_timeout: PLENTY,
        login_encoding: LoginEncoding::Query,
        logins_per_minute: 5,
        ringex_logins_per_minute: 5,
        requests_per_minute: 120,
        network: NetworkPolicy::default(),
    }
}

fn api(policy: &RingcxPolicy) -> HttpApi {
    let now = wire::http_date(DATE).unwrap();
    try_api(policy, now).unwrap()
}

fn try_api(policy: &RingcxPolicy, now: DateTime<Utc>) -> Result<HttpApi, OutboundError> {
    // The second test to come here finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    HttpApi::try_new(policy, Clock::manual(now))
}

fn token(text: &str) -> Token {
    Token::try_new(text).unwrap()
}

async fn login(api: &HttpApi) -> Result<LoginTokens, ApiError> {
    let password = Secret::new(PASSWORD);
    api.login(Credentials {
        username: "ivr+bot@example.com",
        password: &password,
        platform_id: "aws80",
    })
    .await
}

async fn mint(api: &HttpApi) -> Result<Token, ApiError> {
    api.mint(&Secret::new(ACCESS)).await
}

async fn list(api: &HttpApi) -> Result<Listing, ApiError> {
    api.list(Auth::Bearer(&Secret::new(ACCESS))).await
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A server on loopback, and every request that reached it.
struct Server {
    base_url: String,
    requests: mpsc::UnboundedReceiver<String>,
}

impl Server {
    /// Gives the same bytes to every request, then closes the connection.
    async fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::doing(move |mut stream, _| {
            let bytes = bytes.clone();
            Box::pin(async move { stream.write_all(&bytes).await })
        })
        .await
    }

    /// Does something with every connection once its request is read.
    async fn doing(act: impl Fn(TcpStream, String) -> Act + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                if let Ok(request) = read_request(&mut stream).await {
                    let _ = tell.send(request.clone());
                    tokio::spawn(act(stream, request));
                }
            }
        });
        Self { base_url, requests }
    }

    fn api(&self) -> HttpApi {
        api(&policy(&self.base_url))
    }

    /// The one request that came.
    async fn only_request(mut self) -> String {
        let request = self.requests.recv().await.unwrap();
        assert!(self.requests.try_recv().is_err(), "a second request came");
        request
    }
}

type Act = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// One request, its head and the body that `Content-StreamSize` announces.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        let byte = stream.read_u8().await?;
        bytes.push(byte);
        if bytes.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8_lossy(&bytes).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await?;
    bytes.extend(body);
    Ok(String::from_utf8(bytes).unwrap())
}

/// Puts these bytes into a file that is there, in place of what was in it.
fn put(path: &std::path::Path, bytes: &str) {
    let mut file = std::fs::File::create(path).unwrap();
    io::Write::write_all(&mut file, bytes.as_bytes()).unwrap();
}
