//! `GET /v1/history`: the journal as an audit trail.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::routing::get;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Route, accounts_of};
use crate::daemon::error::RequestError;
use crate::daemon::supervisor::{Supervisor, is_asked_for};
use crate::reconcile::{self, Compacted, EventHistory, HistoryError};
use crate::store::SqliteJournal;
use rotator_core::event::Event;
use rotator_core::journal::{ALERTS, Journal};

/// Path of the request on the control socket.
pub const PATH: &str = "/v1/history";

/// One line of `history --json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct HistoryLine {
    /// Its place in the account's stream, from 1.
    pub seq: u64,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// The account that it is about.
    pub account: String,
    /// `kind`, and the fields of that kind.
    #[serde(flatten)]
    pub told: HistoryEntry,
}

/// The content of a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HistoryEntry {
    /// One event, with its own fields.
    Event(Event),
    /// Stands for what came before the first event that is still there.
    Earlier(Earlier),
}

/// Stands for earlier events.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Earlier {
    /// Events that were compacted; the last of them has the line's `seq`.
    Checkpoint {
        /// The number of events.
        rows: u64,
        /// When the first of them happened.
        since: DateTime<Utc>,
    },
}

pub(super) fn route() -> Route {
    (PATH, get(answer))
}

async fn answer(
    State(supervisor): State<Arc<Supervisor>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<HistoryLine>>, RequestError> {
    let histories = read_history(supervisor.journal(), &accounts_of(query)).await?;
    Ok(Json(lines(histories)))
}

/// The history of these accounts, or of all in the journal if none is named.
pub async fn read_history(
    journal: &SqliteJournal,
    accounts: &[String],
) -> Result<Vec<(String, EventHistory)>, HistoryError> {
    let streams = journal.streams().await?.into_iter();
    // `@alerts` has events of its own kind; incidents of an account are shown by `status`.
    let is_wanted = |name: &String| name != ALERTS && is_asked_for(name, accounts);
    let mut histories = Vec::new();
    for name in streams.filter(is_wanted) {
        let history = reconcile::history(journal, &name).await?;
        histories.push((name, history));
    }
    Ok(histories)
}

/// One line for each event, and one for those that were compacted; in the order of time.
pub fn lines(histories: Vec<(String, EventHistory)>) -> Vec<HistoryLine> {
    let mut lines = Vec::new();
    for (account, EventHistory { compacted, events }) in histories {
        let line = |seq, at, told| HistoryLine {
            seq,
            at,
            account: account.clone(),
            told,
        };
        lines.extend(compacted.map(|Compacted { rows, since, until }| {
            let earlier = Earlier::Checkpoint { rows, since };
            line(rows, until, HistoryEntry::Earlier(earlier))
        }));
        lines.extend(events.into_iter().map(|recorded| {
            let event = HistoryEntry::Event(recorded.event);
            line(recorded.seq, recorded.at, event)
        }));
    }
    // Several events can have the same time: name and number make the order definite.
    lines.sort_by(|a, b| (a.at, &a.account, a.seq).cmp(&(b.at, &b.account, b.seq)));
    lines
}
