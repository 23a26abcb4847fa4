//! The control socket: JSON over HTTP on a Unix socket of mode 0660.
//!
//! Whoever may write to the socket may rotate, reload and revoke, so its group decides who operates
//! the daemon. Answers hold fingerprints, never tokens. `curl --unix-socket` works as well as our
//! commands.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Path as UrlPath, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::DaemonError;
use super::supervisor::{ReloadError, Supervisor, SupervisorError};
use super::view::RotationStatus;
use super::worker::RotationResult;
use crate::reconcile::{Adopt, Compacted, EventHistory, RevokeError};
use rotator_core::event::GenerationNo;
use rotator_core::secret::Fingerprint;
use rotator_policy::Diagnostic;

pub(crate) mod connection;

/// Commands are short; a longer body is a mistake.
const LARGEST_BODY: usize = 64 * 1024;

/// `POST /v1/rotate`
#[derive(Debug, Serialize, Deserialize)]
pub struct RotateRequest {
    /// Which; none is all.
    pub accounts: Vec<String>,
    /// Whether to wait for the outcome of the first try.
    pub wait: bool,
}

/// What came of a rotation.
#[derive(Debug, Serialize, Deserialize)]
pub struct RotateOutcome {
    /// Which account.
    pub account: String,
    /// How it ended.
    pub outcome: RotationStatus,
    /// What is current now.
    pub generation: Option<GenerationNo>,
    /// Why it is failing.
    pub error: Option<String>,
}

/// `POST /v1/adopt`
#[derive(Debug, Serialize, Deserialize)]
pub struct AdoptRequest {
    /// Whose.
    pub account: String,
    /// The foreign tokens to be put under the policy, each with the files that are to be looked
    /// through for it.
    #[serde(default)]
    pub take: BTreeMap<Fingerprint, BTreeSet<String>>,
    /// Those to be left alone again.
    #[serde(default)]
    pub leave: BTreeSet<Fingerprint>,
}

impl AdoptRequest {
    /// One by one.
    pub fn wishes(self) -> Vec<Adopt> {
        let take = self
            .take
            .into_iter()
            .map(|(fingerprint, files)| Adopt::Take { fingerprint, files });
        take.chain(
            self.leave
                .into_iter()
                .map(|fingerprint| Adopt::Leave { fingerprint }),
        )
        .collect()
    }
}

/// `POST /v1/revoke`
#[derive(Debug, Serialize, Deserialize)]
pub struct RevokeRequest {
    /// Whose.
    pub account: String,
    /// The fingerprint, or the beginning of it.
    pub fingerprint: String,
}

/// What was deleted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Revoked {
    /// Which.
    pub fingerprint: Fingerprint,
}

/// One line of `history --json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct HistoryLine {
    /// Its place in the account's trail.
    pub seq: u64,
    /// When.
    pub at: chrono::DateTime<chrono::Utc>,
    /// Whose.
    pub account: String,
    /// `kind` and what belongs to it.
    #[serde(flatten)]
    pub told: HistoryEntry,
}

/// What a line of the history tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HistoryEntry {
    /// One event, with its own fields.
    Event(rotator_core::event::Event),
    /// What came before the first event that is still there.
    Earlier(Earlier),
}

/// Stands for earlier events.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Earlier {
    /// So many were compacted, of which the last is the line's `seq`.
    Checkpoint {
        /// How many.
        rows: u64,
        /// When the first of them happened.
        since: chrono::DateTime<chrono::Utc>,
    },
}

/// An answer that is not what was asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Why, for people.
    pub error: String,
    /// The faults of a policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<PolicyFault>,
}

/// One fault of a policy, already drawn for people.
#[derive(Debug, Serialize, Deserialize)]
pub struct PolicyFault {
    /// The drawing.
    pub rendered: String,
}

/// Serves until dropped; then the socket is removed.
pub struct Socket {
    path: PathBuf,
    /// Device and inode: what is at the path by then may be another's.
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

/// Makes the socket and serves it, in place of one that a killed daemon left. One that somebody
/// listens on, which can only be a daemon with another state directory, and what is no socket are
/// left alone.
pub fn serve(office: Arc<Supervisor>, path: PathBuf) -> Result<Socket, DaemonError> {
    match std::fs::symlink_metadata(&path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(DaemonError::NotASocket { path });
        }
        Ok(_) if UnixStream::connect(&path).is_ok() => {
            return Err(DaemonError::SocketTaken { path });
        }
        // What cannot be looked at cannot be made either, and that error tells more.
        Ok(_) | Err(_) => {}
    }
    let listener = bind(&path).map_err(|source| DaemonError::Socket {
        path: path.clone(),
        source,
    })?;
    let ours = inode(&path);
    let task = tokio::spawn(connection::accept(listener, routes(office)));
    Ok(Socket { path, ours, task })
}

/// Everything that can be asked for.
pub(crate) fn routes(office: Arc<Supervisor>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/plan", get(plan))
        .route("/v1/tokens/{account}", get(tokens))
        .route("/v1/foreign/{account}", get(foreign))
        .route("/v1/auth-configs/{account}", get(auth_configs))
        .route("/v1/history", get(history))
        .route("/v1/rotate", post(rotate))
        .route("/v1/reload", post(reload))
        .route("/v1/adopt", post(adopt))
        .route("/v1/revoke", post(revoke))
        .route("/v1/test-alert", post(test_alert))
        .layer(axum::middleware::from_fn(with_whole_body))
        .with_state(office)
}

/// Takes the body in before anything is done: all of it, in time, and no more than a command needs.
async fn with_whole_body(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match tokio::time::timeout(
        connection::PATIENCE,
        axum::body::to_bytes(body, LARGEST_BODY),
    )
    .await
    {
        Ok(Ok(body)) => next.run(Request::from_parts(head, body.into())).await,
        Ok(Err(_)) => {
            let error = format!(
                "the request breaks off, or is longer than {} KiB",
                LARGEST_BODY / 1024
            );
            refuse(StatusCode::PAYLOAD_TOO_LARGE, error)
        }
        Err(_) => refuse(
            StatusCode::REQUEST_TIMEOUT,
            "the request did not come to an end".to_owned(),
        ),
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path)
        .ok()
        .map(|there| (there.dev(), there.ino()))
}

fn bind(path: &Path) -> std::io::Result<UnixListener> {
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        std::fs::create_dir(directory)?;
    }
    // Bound beside and moved into place: nobody connects before the mode is right.
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let _left_over = std::fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside)?;
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o660))?;
    std::fs::rename(&beside, path)?;
    Ok(listener)
}

impl IntoResponse for SupervisorError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoAccount { .. } => StatusCode::NOT_FOUND,
            Self::Ended(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Revoke(RevokeError::NoMatch { .. }) => StatusCode::NOT_FOUND,
            Self::Revoke(_) | Self::List(_) | Self::Adopt(_) => StatusCode::CONFLICT,
            Self::History(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        refuse(status, self.to_string())
    }
}

fn refuse(status: StatusCode, error: String) -> Response {
    (
        status,
        Json(ErrorBody {
            error,
            faults: Vec::new(),
        }),
    )
        .into_response()
}

/// `?account=a&account=b`; none is all.
fn chosen(query: Option<String>) -> Vec<String> {
    let query = query.unwrap_or_default();
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs
        .filter(|(key, _)| key == "account")
        .map(|(_, value)| value.into_owned())
        .collect()
}

async fn status(State(office): State<Arc<Supervisor>>, RawQuery(query): RawQuery) -> Response {
    office
        .status(&chosen(query))
        .await
        .map(Json)
        .into_response()
}

async fn plan(State(office): State<Arc<Supervisor>>, RawQuery(query): RawQuery) -> Response {
    office.plan(&chosen(query)).await.map(Json).into_response()
}

async fn tokens(
    State(office): State<Arc<Supervisor>>,
    UrlPath(account): UrlPath<String>,
) -> Response {
    office.tokens(&account).await.map(Json).into_response()
}

async fn foreign(
    State(office): State<Arc<Supervisor>>,
    UrlPath(account): UrlPath<String>,
) -> Response {
    office.foreign(&account).await.map(Json).into_response()
}

async fn auth_configs(
    State(office): State<Arc<Supervisor>>,
    UrlPath(account): UrlPath<String>,
) -> Response {
    office
        .auth_configs(&account)
        .await
        .map(Json)
        .into_response()
}

async fn history(State(office): State<Arc<Supervisor>>, RawQuery(query): RawQuery) -> Response {
    office
        .history(&chosen(query))
        .await
        .map(|trails| Json(lines(trails)))
        .into_response()
}

/// One line an event, and one for those that were compacted.
pub fn lines(trails: Vec<(String, EventHistory)>) -> Vec<HistoryLine> {
    let mut lines = Vec::new();
    for (account, EventHistory { compacted, events }) in trails {
        let line = |seq, at, told| HistoryLine {
            seq,
            at,
            account: account.clone(),
            told,
        };
        lines.extend(compacted.map(|Compacted { rows, since, until }| {
            line(
                rows,
                until,
                HistoryEntry::Earlier(Earlier::Checkpoint { rows, since }),
            )
        }));
        lines.extend(
            events
                .into_iter()
                .map(|it| line(it.seq, it.at, HistoryEntry::Event(it.event))),
        );
    }
    lines.sort_by(|a, b| (a.at, &a.account, a.seq).cmp(&(b.at, &b.account, b.seq)));
    lines
}

async fn rotate(
    State(office): State<Arc<Supervisor>>,
    Json(request): Json<RotateRequest>,
) -> Response {
    let accounts = if request.accounts.is_empty() {
        office.account_names().await
    } else {
        request.accounts
    };
    if request.wait {
        return office
            .rotate(&accounts)
            .await
            .map(|outcomes| Json(told(outcomes)))
            .into_response();
    }
    let known = office.account_names().await;
    if let Some(name) = accounts.iter().find(|name| !known.contains(name)) {
        return SupervisorError::NoAccount {
            name: name.clone(),
            known: known.clone(),
        }
        .into_response();
    }
    let asked = accounts.iter().map(|account| RotateOutcome {
        account: account.clone(),
        outcome: RotationStatus::Asked,
        generation: None,
        error: None,
    });
    let answer: Vec<RotateOutcome> = asked.collect();
    tokio::spawn(async move {
        if let Err(error) = office.rotate(&accounts).await {
            tracing::warn!(name: "rotation-not-done", %error, "Rotation that was asked for is not done");
        }
    });
    Json(answer).into_response()
}

/// As it is told to whoever asked.
pub fn told(outcomes: Vec<(String, RotationResult)>) -> Vec<RotateOutcome> {
    let tell = |(account, rotation)| {
        let (outcome, generation, error) = match rotation {
            RotationResult::Promoted(generation) => {
                (RotationStatus::Promoted, Some(generation), None)
            }
            RotationResult::Failing(error) => (RotationStatus::Failing, None, Some(error)),
        };
        RotateOutcome {
            account,
            outcome,
            generation,
            error,
        }
    };
    outcomes.into_iter().map(tell).collect()
}

async fn reload(State(office): State<Arc<Supervisor>>) -> Response {
    match office.reload().await {
        Ok(()) => Json(serde_json::json!({ "reloaded": true })).into_response(),
        Err(error) => {
            let faults = match &error {
                ReloadError::Policy(errors) => errors
                    .diagnostics()
                    .iter()
                    .map(|it| PolicyFault {
                        rendered: drawn(it),
                    })
                    .collect(),
                ReloadError::Start(_) => Vec::new(),
            };
            let refusal = ErrorBody {
                error: error.to_string(),
                faults,
            };
            (StatusCode::UNPROCESSABLE_ENTITY, Json(refusal)).into_response()
        }
    }
}

fn drawn(diagnostic: &Diagnostic) -> String {
    diagnostic.render(rotator_policy::Color::Never, None)
}

async fn adopt(
    State(office): State<Arc<Supervisor>>,
    Json(request): Json<AdoptRequest>,
) -> Response {
    let account = request.account.clone();
    let outcome = office.adopt(&account, request.wishes()).await;
    outcome
        .map(|()| Json(serde_json::json!({ "adopted": true })))
        .into_response()
}

async fn revoke(
    State(office): State<Arc<Supervisor>>,
    Json(request): Json<RevokeRequest>,
) -> Response {
    let outcome = office.revoke(&request.account, &request.fingerprint).await;
    outcome
        .map(|fingerprint| Json(Revoked { fingerprint }))
        .into_response()
}

async fn test_alert(State(office): State<Arc<Supervisor>>) -> Response {
    if office.policy().await.alerts.email.is_none() {
        let error =
            "the policy has no [alerts.email]: there is nowhere to send a mail to".to_owned();
        return refuse(StatusCode::CONFLICT, error);
    }
    match office.alerts().test_mail().await {
        Ok(receipt) if receipt.refused.is_empty() => {
            Json(serde_json::json!({ "sent": true })).into_response()
        }
        Ok(receipt) => {
            let error = format!(
                "sent, but the server refused {}",
                receipt.refused.join(", ")
            );
            refuse(StatusCode::BAD_GATEWAY, error)
        }
        Err(error) => refuse(StatusCode::BAD_GATEWAY, error.to_string()),
    }
}
