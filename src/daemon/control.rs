//! The control socket: JSON over HTTP on a Unix socket of mode 0660.
//!
//! Whoever may write to the socket may rotate, reload and revoke, so its group decides who operates the
//! daemon. Answers hold fingerprints, never tokens. `curl --unix-socket` works as well as our commands.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path as UrlPath, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::DaemonError;
use super::office::{Office, OfficeError, ReloadError};
use super::runner::Rotation;
use crate::driver::{Recorded, RevokeError};
use crate::event::GenerationNo;
use crate::policy::Diagnostic;
use crate::secret::Fingerprint;

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
    /// `promoted`, `failing` or `asked`.
    pub outcome: String,
    /// What is current now.
    pub generation: Option<GenerationNo>,
    /// Why it is failing.
    pub error: Option<String>,
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
    /// `kind` and the event's own fields.
    #[serde(flatten)]
    pub event: crate::event::Event,
}

/// An answer that is not what was asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Why, for people.
    pub error: String,
    /// The faults of a policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// One fault of a policy, already drawn for people.
#[derive(Debug, Serialize, Deserialize)]
pub struct Fault {
    /// The drawing.
    pub rendered: String,
}

/// Serves until dropped; then the socket is removed.
pub struct Socket {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
        let _gone = std::fs::remove_file(&self.path);
    }
}

/// Makes the socket, in place of any left over, and serves it. The state directory is locked, so there
/// is no other daemon behind it.
pub fn serve(office: Arc<Office>, path: PathBuf) -> Result<Socket, DaemonError> {
    let listener = bind(&path).map_err(|source| DaemonError::Socket { path: path.clone(), source })?;
    let routes = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/plan", get(plan))
        .route("/v1/tokens/{account}", get(tokens))
        .route("/v1/history", get(history))
        .route("/v1/rotate", post(rotate))
        .route("/v1/reload", post(reload))
        .route("/v1/revoke", post(revoke))
        .route("/v1/test-alert", post(test_alert))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(office);
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(name: "control-socket-ended", %error, "Control socket ended");
        }
    });
    Ok(Socket { path, task })
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

impl IntoResponse for OfficeError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoAccount { .. } => StatusCode::NOT_FOUND,
            Self::Ended(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Revoke(RevokeError::NoMatch { .. }) => StatusCode::NOT_FOUND,
            Self::Revoke(_) => StatusCode::CONFLICT,
            Self::History(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        refuse(status, self.to_string())
    }
}

fn refuse(status: StatusCode, error: String) -> Response {
    (status, Json(Refusal { error, faults: Vec::new() })).into_response()
}

/// `?account=a&account=b`; none is all.
fn chosen(query: Option<String>) -> Vec<String> {
    let query = query.unwrap_or_default();
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.filter(|(key, _)| key == "account").map(|(_, value)| value.into_owned()).collect()
}

async fn status(State(office): State<Arc<Office>>, RawQuery(query): RawQuery) -> Response {
    office.status(&chosen(query)).await.map(Json).into_response()
}

async fn plan(State(office): State<Arc<Office>>, RawQuery(query): RawQuery) -> Response {
    office.plan(&chosen(query)).await.map(Json).into_response()
}

async fn tokens(State(office): State<Arc<Office>>, UrlPath(account): UrlPath<String>) -> Response {
    office.tokens(&account).await.map(Json).into_response()
}

async fn history(State(office): State<Arc<Office>>, RawQuery(query): RawQuery) -> Response {
    office.history(&chosen(query)).await.map(|trails| Json(lines(trails))).into_response()
}

/// One line an event.
pub fn lines(trails: Vec<(String, Vec<Recorded>)>) -> Vec<HistoryLine> {
    let mut lines: Vec<HistoryLine> = trails
        .into_iter()
        .flat_map(|(account, trail)| {
            trail.into_iter().map(move |it| HistoryLine {
                seq: it.seq,
                at: it.at,
                account: account.clone(),
                event: it.event,
            })
        })
        .collect();
    lines.sort_by(|a, b| (a.at, &a.account, a.seq).cmp(&(b.at, &b.account, b.seq)));
    lines
}

async fn rotate(State(office): State<Arc<Office>>, Json(request): Json<RotateRequest>) -> Response {
    let accounts = if request.accounts.is_empty() { office.account_names().await } else { request.accounts };
    if request.wait {
        return office.rotate(&accounts).await.map(|outcomes| Json(told(outcomes))).into_response();
    }
    let known = office.account_names().await;
    if let Some(name) = accounts.iter().find(|name| !known.contains(name)) {
        return OfficeError::NoAccount { name: name.clone(), known: known.clone() }.into_response();
    }
    let asked = accounts.iter().map(|account| RotateOutcome {
        account: account.clone(),
        outcome: "asked".to_owned(),
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
pub fn told(outcomes: Vec<(String, Rotation)>) -> Vec<RotateOutcome> {
    let tell = |(account, rotation)| {
        let (outcome, generation, error) = match rotation {
            Rotation::Promoted(generation) => ("promoted", Some(generation), None),
            Rotation::Failing(error) => ("failing", None, Some(error)),
        };
        RotateOutcome { account, outcome: outcome.to_owned(), generation, error }
    };
    outcomes.into_iter().map(tell).collect()
}

async fn reload(State(office): State<Arc<Office>>) -> Response {
    match office.reload().await {
        Ok(()) => Json(serde_json::json!({ "reloaded": true })).into_response(),
        Err(error) => {
            let faults = match &error {
                ReloadError::Policy(errors) => {
                    errors.diagnostics().iter().map(|it| Fault { rendered: drawn(it) }).collect()
                }
                ReloadError::Start(_) => Vec::new(),
            };
            let refusal = Refusal { error: error.to_string(), faults };
            (StatusCode::UNPROCESSABLE_ENTITY, Json(refusal)).into_response()
        }
    }
}

fn drawn(diagnostic: &Diagnostic) -> String {
    diagnostic.render(crate::policy::Color::Never, None)
}

async fn revoke(State(office): State<Arc<Office>>, Json(request): Json<RevokeRequest>) -> Response {
    let outcome = office.revoke(&request.account, &request.fingerprint).await;
    outcome.map(|fingerprint| Json(Revoked { fingerprint })).into_response()
}

async fn test_alert(State(office): State<Arc<Office>>) -> Response {
    if office.policy().await.alerts.email.is_none() {
        let error = "the policy has no [alerts.email]: there is nowhere to send a mail to".to_owned();
        return refuse(StatusCode::CONFLICT, error);
    }
    match office.desk().test_mail().await {
        Ok(receipt) if receipt.refused.is_empty() => {
            Json(serde_json::json!({ "sent": true })).into_response()
        }
        Ok(receipt) => {
            let error = format!("sent, but the server refused {}", receipt.refused.join(", "));
            refuse(StatusCode::BAD_GATEWAY, error)
        }
        Err(error) => refuse(StatusCode::BAD_GATEWAY, error.to_string()),
    }
}
