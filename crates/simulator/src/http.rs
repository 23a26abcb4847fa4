//! HTTP/1.1, as little as the stand-ins need and with a hand on the socket: an answer can also be
//! cut off, sent by half, withheld forever or be 64 MiB long, which no HTTP library would do for
//! us.
//!
//! Knows no route. Requests are capped in size and time, so that a client gone wrong costs little.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::authority::Authority;

/// Request line and headers together.
const LARGEST_HEAD: usize = 32 * 1024;
/// A request's body; a webhook delivery is a few hundred bytes.
const LARGEST_BODY: usize = 1024 * 1024;
/// A connection that sends nothing for this long is closed.
const PATIENCE: Duration = Duration::from_secs(75);
/// A TLS handshake takes milliseconds; a client that speaks in clear would wait forever.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The body of [`Body::Huge`].
pub(super) const HUGE: usize = 64 * 1024 * 1024;
/// What [`Body::Huge`] is made of. Not a local: it would sit in every connection's future.
static LETTERS: [u8; 64 * 1024] = [b'a'; 64 * 1024];

/// What a client asked.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// The first header of this name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Path and query as they were sent.
    pub(super) fn target(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }
}

/// What is done with the connection in answer.
pub(super) enum Reply {
    /// The whole answer, at once.
    Answer(Response),
    /// The head and half of the body, then the end of the connection.
    Half(Response),
    /// The end of the connection.
    Cut,
    /// Nothing, until the client gives up.
    Silence,
    /// A whole answer, after a while.
    Slow(Duration, Response),
}

/// An answer, whole or to be sent in part.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
}

/// The body of an answer.
pub(super) enum Body {
    /// These bytes, with their length in the head.
    Bytes(Vec<u8>),
    /// [`HUGE`] letters, made as they are sent.
    Huge,
}

impl Response {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self {
            status,
            headers,
            body: Body::Bytes(body.into()),
        }
    }

    pub(super) fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, "text/plain", body)
    }

    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let length = match &self.body {
            Body::Bytes(bytes) => bytes.len(),
            Body::Huge => HUGE,
        };
        // A 204 has no body and may not speak of one.
        if self.status != 204 {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        head.push_str("\r\n");
        head
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        410 => "Gone",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Simulated",
    }
}

/// A server: what it does with a request.
pub(super) trait Handler: Send + Sync + 'static {
    /// What is done with the connection in answer to this request.
    fn handle(&self, request: Request) -> impl Future<Output = Reply> + Send;
}

/// Serves one connection to its end, under TLS where there is an authority.
pub(super) async fn serve<H: Handler>(handler: Arc<H>, tls: Option<Authority>, stream: TcpStream) {
    match tls {
        None => {
            Connection {
                stream,
                buffer: Vec::new(),
            }
            .serve(&*handler)
            .await
        }
        Some(authority) => {
            // A handshake that fails is the client's to report.
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, authority.acceptor().accept(stream)).await {
                Connection {
                    stream,
                    buffer: Vec::new(),
                }
                .serve(&*handler)
                .await;
            }
        }
    }
}

struct Connection<S> {
    stream: S,
    buffer: Vec<u8>,
}

/// Why no request could be had.
enum NoRequest {
    /// The client ended the connection, or was silent for too long.
    Ended,
    /// It sent what cannot be read, and is answered with this status.
    Unreadable(u16),
}

impl From<std::io::Error> for NoRequest {
    fn from(_: std::io::Error) -> Self {
        Self::Ended
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn serve<H: Handler>(mut self, handler: &H) {
        loop {
            // Only reading is limited: a slow answer of ours may take longer than a client may be
            // silent.
            let request = match timeout(PATIENCE, self.request()).await {
                Ok(Ok(request)) => request,
                Ok(Err(NoRequest::Unreadable(status))) => {
                    let response =
                        Response::text(status, "unreadable request").with("Connection", "close");
                    // The connection ends in either case.
                    let _ = self.send(&response).await;
                    return;
                }
                Ok(Err(NoRequest::Ended)) | Err(_) => return,
            };
            let last = request
                .header("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("close"));
            let sent = match handler.handle(request).await {
                Reply::Answer(response) => self.send(&response).await,
                Reply::Slow(wait, response) => {
                    tokio::time::sleep(wait).await;
                    self.send(&response).await
                }
                Reply::Half(response) => {
                    // The connection ends in either case.
                    let _ = self.send_half(&response).await;
                    return;
                }
                // Dropping the stream closes the connection without a byte of an answer.
                Reply::Cut => return,
                Reply::Silence => return self.wait_for_the_end().await,
            };
            // Otherwise the connection stays open: clients reuse it, and a fault may hit a reused
            // one.
            if sent.is_err() || last {
                return;
            }
        }
    }

    async fn request(&mut self) -> Result<Request, NoRequest> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            // Checked before reading on: a client that never ends its headers must not fill the
            // memory.
            if self.buffer.len() > LARGEST_HEAD {
                return Err(NoRequest::Unreadable(431));
            }
            self.more().await?;
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let mut request = parse_head(&head).ok_or(NoRequest::Unreadable(400))?;
        // Chunked bodies are not read here; ignoring the header would take the body for the next
        // request.
        if request.header("transfer-encoding").is_some() {
            return Err(NoRequest::Unreadable(411));
        }
        let length = match request.header("content-length") {
            Some(text) => text.parse().map_err(|_| NoRequest::Unreadable(400))?,
            None => 0,
        };
        // Refused by the announced length, before a byte of it is read.
        if length > LARGEST_BODY {
            return Err(NoRequest::Unreadable(413));
        }
        while self.buffer.len() < length {
            self.more().await?;
        }
        request.body = self.buffer.drain(..length).collect();
        Ok(request)
    }

    async fn more(&mut self) -> Result<(), NoRequest> {
        self.buffer.reserve(8 * 1024);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(NoRequest::Ended),
            _ => Ok(()),
        }
    }

    async fn send(&mut self, response: &Response) -> std::io::Result<()> {
        self.stream.write_all(response.head().as_bytes()).await?;
        match &response.body {
            Body::Bytes(bytes) => self.stream.write_all(bytes).await?,
            Body::Huge => {
                for _ in 0..HUGE / LETTERS.len() {
                    self.stream.write_all(&LETTERS).await?;
                }
            }
        }
        self.stream.flush().await
    }

    async fn send_half(&mut self, response: &Response) -> std::io::Result<()> {
        self.stream.write_all(response.head().as_bytes()).await?;
        // The head announced the whole length, so the client knows that something is missing.
        if let Body::Bytes(bytes) = &response.body {
            self.stream.write_all(&bytes[..bytes.len() / 2]).await?;
        }
        self.stream.flush().await
    }

    async fn wait_for_the_end(&mut self) {
        let mut chunk = [0; 1024];
        // Reading notices that the client closed the connection; sleeping would keep the task
        // forever.
        while matches!(self.stream.read(&mut chunk).await, Ok(count) if count > 0) {}
    }
}

fn parse_head(head: &[u8]) -> Option<Request> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target, version) = (first.next()?, first.next()?, first.next()?);
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return None;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = lines
        .map(|line| {
            line.split_once(':')
                .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: Vec::new(),
    })
}
