//! The control socket: JSON over HTTP on a Unix socket of mode 0660.
//!
//! Everyone who may write to the socket may rotate, reload and revoke, so its group decides who
//! operates the daemon. Answers hold fingerprints, never tokens. For example
//!
//! ```text
//! curl --unix-socket /run/ringcx-rotator/control.sock http://daemon/v1/status
//! ```
//!
//! prints what `ringcx-rotator status --json` prints. The requests are in [`super::requests`].

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::error::DaemonError;
use super::requests::{self, refuse};
use super::supervisor::Supervisor;

pub(crate) mod connection;

/// In bytes. Requests are short; a longer body is a mistake.
const LARGEST_BODY: usize = 64 * 1024;

/// Serves until dropped; then the socket is removed.
pub struct Socket {
    path: PathBuf,
    /// Device and inode of our socket: by the time it is removed, another daemon may have put its
    /// own at the path.
    ours: Option<(u64, u64)>,
    task: JoinHandle<()>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
        if self.ours.is_some() && self.ours == inode(&self.path) {
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}

/// Creates the socket and serves it. Replaces the socket of a daemon that was killed, but neither
/// one on which a process listens (a daemon with another state directory) nor another kind of file.
pub fn serve(supervisor: Arc<Supervisor>, path: PathBuf) -> Result<Socket, DaemonError> {
    match std::fs::symlink_metadata(&path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(DaemonError::NotASocket { path });
        }
        // The file outlives its process, so only a connection shows whether a daemon listens.
        Ok(_) if UnixStream::connect(&path).is_ok() => {
            return Err(DaemonError::SocketTaken { path });
        }
        // If the path cannot be read, binding fails as well, with the better error.
        Ok(_) | Err(_) => {}
    }
    let listener = bind(&path).map_err(|source| DaemonError::Socket {
        path: path.clone(),
        source,
    })?;
    let ours = inode(&path);
    let task = tokio::spawn(connection::accept(listener, router(supervisor)));
    Ok(Socket { path, ours, task })
}

/// The requests, each with the limits on its body, and the supervisor that answers them.
pub(crate) fn router(supervisor: Arc<Supervisor>) -> Router {
    requests::routes()
        .layer(axum::middleware::from_fn(with_whole_body))
        .with_state(supervisor)
}

/// Receives the whole body before a handler runs, within a limit of time and size: a client that
/// stops in the middle must not keep a handler waiting.
async fn with_whole_body(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LARGEST_BODY);
    match tokio::time::timeout(connection::PATIENCE, body).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, body.into())).await,
        Ok(Err(_)) => {
            let limit = LARGEST_BODY / 1024;
            let error = format!("the request breaks off, or is longer than {limit} KiB");
            refuse(StatusCode::PAYLOAD_TOO_LARGE, error)
        }
        Err(_) => {
            let error = "the request did not come to an end";
            refuse(StatusCode::REQUEST_TIMEOUT, error.to_owned())
        }
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        std::fs::create_dir(directory)?;
    }
    // Bound under another name and renamed: at its own name it could be connected to before its
    // mode is set.
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    // Left by a process of the same id that was killed before the rename.
    let _left_over = std::fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside)?;
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o660))?;
    // Replaces the socket of a killed daemon in one step.
    std::fs::rename(&beside, path)?;
    Ok(listener)
}
