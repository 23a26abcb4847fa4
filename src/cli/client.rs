//! The client of the control socket: sends a request to the running daemon and reads its answer.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::daemon::requests::ErrorBody;
use rotator_core::secret::redact;

/// In bytes. No answer of the daemon is larger.
const LARGEST: usize = 64 * 1024 * 1024;

/// At most this much of a parser's message is shown, in characters.
const MAX_QUOTED: usize = 200;

/// A connection to a daemon that runs.
pub struct Client {
    http: reqwest::Client,
    socket: PathBuf,
}

/// Why the daemon did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket is there but may not be used.
    #[error(
        "{socket}: permission denied: run this as root, or as a member of the socket's group",
        socket = socket.display()
    )]
    Permission {
        /// The path of the control socket, from `daemon.control-socket`.
        socket: PathBuf,
    },
    /// The socket cannot be used for another reason.
    #[error("{socket}: {why}", socket = socket.display())]
    Socket {
        /// The path of the control socket, from `daemon.control-socket`.
        socket: PathBuf,
        /// The innermost cause, such as `connection reset by peer`.
        why: String,
    },
    /// The daemon refused the request.
    #[error("{}", .0.error)]
    Refused(ErrorBody),
}

impl Client {
    /// Connects to the daemon behind this socket; `None` if none runs.
    pub fn connect(socket: &Path) -> Result<Option<Self>, ClientError> {
        let socket = socket.to_owned();
        // Only to see whether a daemon listens: reqwest itself connects at the first request, and a
        // caller has to know before that whether to work without a daemon.
        match std::os::unix::net::UnixStream::connect(&socket) {
            Ok(_) => {}
            // A daemon that was killed leaves its socket behind.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(ClientError::Permission { socket });
            }
            Err(error) => {
                return Err(ClientError::Socket {
                    socket,
                    why: error.to_string(),
                });
            }
        }
        let http = reqwest::Client::builder()
            .unix_socket(socket.as_path())
            // The socket is local and has no TLS; loading the system's certificates would take
            // time.
            .tls_certs_only([])
            .build()
            .map_err(|error| ClientError::Socket {
                socket: socket.clone(),
                why: error.to_string(),
            })?;
        Ok(Some(Self { http, socket }))
    }

    /// A request that changes nothing, about these accounts or all.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        accounts: &[String],
    ) -> Result<T, ClientError> {
        let mut url = address(path);
        url.query_pairs_mut()
            .extend_pairs(accounts.iter().map(|account| ("account", account)));
        self.send(self.http.get(url)).await
    }

    /// A request to do something.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).expect("requests are plain data");
        let request = self
            .http
            .post(address(path))
            .header("content-type", "application/json");
        self.send(request.body(body)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, ClientError> {
        let broken = |why: String| ClientError::Socket {
            socket: self.socket.clone(),
            why,
        };
        let mut answer = request.send().await.map_err(|error| broken(root(&error)))?;
        let status = answer.status();
        let mut body = Vec::new();
        // By chunks and not at once, so that the limit holds before the memory is used.
        while let Some(chunk) = answer.chunk().await.map_err(|error| broken(root(&error)))? {
            if body.len() + chunk.len() > LARGEST {
                return Err(broken("the daemon's answer is absurdly large".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        parse(status, &body).map_err(|error| match error {
            NoAnswer::Refused(refusal) => ClientError::Refused(refusal),
            NoAnswer::Unreadable(why) => broken(why),
        })
    }
}

/// Why an answer is not the requested one.
pub(crate) enum NoAnswer {
    /// The daemon refused, and says why.
    Refused(ErrorBody),
    /// The body cannot be parsed: a message for people.
    Unreadable(String),
}

/// Parses an answer: the value on success, else the daemon's refusal, for example of a policy with
/// errors.
pub(crate) fn parse<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, NoAnswer> {
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|error| {
            // The message may quote the body, which may hold anything.
            let error = redact::plain(&error.to_string(), MAX_QUOTED);
            NoAnswer::Unreadable(format!(
                "the daemon's answer makes no sense ({error}): is it another version?"
            ))
        });
    }
    Err(match serde_json::from_slice(body) {
        // An error status without our body comes from another program or version behind this
        // socket.
        Ok(refusal) => NoAnswer::Refused(refusal),
        Err(_) => NoAnswer::Unreadable(format!(
            "the daemon answered {status}: is it another version?"
        )),
    })
}

fn address(path: &str) -> url::Url {
    // The host is not looked up, because the connection goes to the socket; HTTP needs some name.
    let mut url = url::Url::parse("http://daemon/").expect("a fixed address");
    url.set_path(path);
    url
}

/// The innermost cause: the outer errors only say that sending failed.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("the daemon did not answer: {cause}")
}
