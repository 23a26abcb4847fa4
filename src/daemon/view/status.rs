//! `status --json`: accounts, their tokens and their sinks.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{AccountHealth, HeldBySink, SinkHealth};
use rotator_core::account::{AccountState, Generation, LastDelivery, SinkRecord};
use rotator_core::config::{AccountPolicy, SinkPolicy};
use rotator_core::event::{BackoffKey, GenerationNo, IncidentKind, Outcome};
use rotator_core::incidents::Incident;
use rotator_core::plan::evidence::SinkContent;
use rotator_core::plan::{adopted_retires_after, next_scheduled, retires_after};
use rotator_core::secret::Fingerprint;

/// The answer of `status --json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusView {
    /// The process that answers.
    pub daemon: DaemonView,
    /// Every account of the policy, then those only the journal knows.
    pub accounts: Vec<AccountView>,
    /// Incidents of the daemon as a whole.
    #[serde(default)]
    pub incidents: Vec<Incident>,
}

/// The daemon, or the command that answers without one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DaemonView {
    /// Whether a daemon runs; `false` from a command that reads the journal itself.
    pub running: bool,
    /// Its version, or that of the command.
    pub version: String,
    /// When it started; none for a command that reads the journal itself.
    pub started_at: Option<DateTime<Utc>>,
    /// Mails no server has taken yet.
    #[serde(default)]
    pub unsent_mails: usize,
    /// Why the oldest of them was not taken.
    #[serde(default)]
    pub mail_error: Option<String>,
    /// Recipients of the last mail that the server refused for good, with what it said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mail_refused: Vec<String>,
}

/// One account of the policy or of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccountView {
    /// Its name in the policy.
    pub name: String,
    /// Its health, for example `failing`.
    pub state: AccountHealth,
    /// Whether it is in the policy.
    pub managed: bool,
    /// The token every sink should hold.
    pub current: Option<GenerationView>,
    /// The token that is on its way to become current.
    pub pending: Option<GenerationView>,
    /// Those that wait for deletion.
    pub previous: Vec<GenerationView>,
    /// Tokens on the server that are not ours.
    pub foreign: usize,
    /// When the next rotation is due.
    pub next_rotation_at: Option<DateTime<Utc>>,
    /// When the next deletion may come.
    pub next_retirement_at: Option<DateTime<Utc>>,
    /// When what failed is tried again.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Failures in a row, 0 where nothing fails.
    pub consecutive_failures: u32,
    /// Error of the latest failure, for example of a login or a delivery.
    pub last_error: Option<String>,
    /// Its sinks, in the order of the policy.
    pub sinks: Vec<SinkView>,
    /// Its open incidents, as alerts report them.
    pub incidents: Vec<Incident>,
}

/// One of our tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GenerationView {
    /// Number of the token among those of the account, from 1.
    pub generation: GenerationNo,
    /// SHA-256 of the token, as hex digits.
    pub fingerprint: Fingerprint,
    /// When it was minted.
    pub minted_at: DateTime<Utc>,
    /// When it became current.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub promoted_at: Option<DateTime<Utc>>,
    /// When it may be deleted, as far as time goes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retires_after: Option<DateTime<Utc>>,
}

/// One sink of an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SinkView {
    /// Its name in the policy.
    pub name: String,
    /// Its type as in the policy, for example `env-file`.
    #[serde(rename = "type")]
    pub sink_type: String,
    /// Whether promotion waits for it.
    pub required: bool,
    /// Its health, for example `serving`.
    pub state: SinkHealth,
    /// What it holds as far as is known.
    pub generation: Option<GenerationNo>,
    /// Fingerprint of the token that it holds, as far as is known.
    pub fingerprint: Option<Fingerprint>,
    /// Why it does not hold the current one.
    pub last_error: Option<String>,
    /// Whether its consumer was notified of what it holds, where the policy has `notify`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub notified: Option<bool>,
    /// The generation its consumer says it uses, where the policy has it say so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acknowledged: Option<GenerationNo>,
    /// How it is known that it took the last token, where a sink of its kind has more than one way,
    /// for example `the whole key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// What the program said that took the last token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One account of the policy.
pub fn account(
    policy: &AccountPolicy,
    state: &AccountState,
    held: &HeldBySink,
    incidents: Vec<Incident>,
) -> AccountView {
    let own = state
        .previous()
        .filter_map(|generation| retires_after(policy, generation));
    let foreign = state
        .adopted(policy.retention.foreign)
        .filter_map(|(_, token)| adopted_retires_after(policy, token));
    let next_retirement_at = own.chain(foreign).min();
    let next_rotation_at = match state.pending() {
        // While a token is on its way, the time of the next rotation is not known.
        Some(_) => None,
        None => next_scheduled(policy, state),
    };
    AccountView {
        name: policy.name.clone(),
        state: account_health(state, &incidents),
        managed: true,
        current: state.current().map(|current| generation(current, None)),
        pending: state.pending().map(|pending| generation(pending, None)),
        previous: state
            .previous()
            .map(|previous| generation(previous, retires_after(policy, previous)))
            .collect(),
        foreign: state.foreign.len(),
        next_rotation_at,
        next_retirement_at,
        next_attempt_at: state
            .lanes
            .values()
            .map(|failure| failure.next_attempt_at)
            .min(),
        consecutive_failures: state.consecutive_failures(),
        last_error: last_error(state),
        sinks: policy
            .sinks
            .iter()
            .map(|policy| sink(policy, state, held.get(&policy.name)))
            .collect(),
        incidents,
    }
}

/// One account that only the journal knows. Nothing is done for it.
pub fn unmanaged(name: &str, state: &AccountState, incidents: Vec<Incident>) -> AccountView {
    AccountView {
        name: name.to_owned(),
        state: AccountHealth::Parked,
        managed: false,
        current: state.current().map(|current| generation(current, None)),
        pending: state.pending().map(|pending| generation(pending, None)),
        previous: state
            .previous()
            .map(|previous| generation(previous, None))
            .collect(),
        foreign: state.foreign.len(),
        // Times come from the policy, which does not have this account.
        next_rotation_at: None,
        next_retirement_at: None,
        next_attempt_at: None,
        consecutive_failures: 0,
        last_error: None,
        sinks: Vec::new(),
        incidents,
    }
}

fn generation(of: &Generation, retires_after: Option<DateTime<Utc>>) -> GenerationView {
    GenerationView {
        generation: of.number,
        fingerprint: of.fingerprint,
        minted_at: of.minted_at,
        promoted_at: of.promoted_at,
        retires_after,
    }
}

fn account_health(state: &AccountState, incidents: &[Incident]) -> AccountHealth {
    let rejected = state.lanes.get(&BackoffKey::Login).is_some_and(|failure| {
        // Before its second look a refusal is not certain, and needs no one.
        failure.incident == IncidentKind::LoginRejected && failure.rejected.is_some()
    });
    let capped = incidents
        .iter()
        .any(|incident| incident.kind == IncidentKind::MintCapped);
    // The worst first: what waits for an operator is shown before what the daemon repairs.
    if rejected || capped || state.sinks.values().any(|sink| sink.parked) {
        AccountHealth::Parked
    } else if !state.lanes.is_empty() || !incidents.is_empty() {
        AccountHealth::Failing
    } else if state.pending().is_some() || state.open_mint.is_some() {
        AccountHealth::Rotating
    } else {
        AccountHealth::Ok
    }
}

pub(super) fn last_error(state: &AccountState) -> Option<String> {
    state
        .lanes
        .values()
        .max_by_key(|failure| failure.last)
        .map(|failure| failure.error.clone())
}

fn sink(policy: &SinkPolicy, state: &AccountState, held: Option<&SinkContent>) -> SinkView {
    let record = state.sinks.get(&policy.name);
    let failure = state.lanes.get(&BackoffKey::Sink(policy.name.clone()));
    let notify_failure = state.lanes.get(&BackoffKey::Notify(policy.name.clone()));
    let error = failure
        .or(notify_failure)
        .map(|failure| failure.error.clone());
    let seen = match held {
        Some(SinkContent::Token(fingerprint)) => Some(*fingerprint),
        // A look that found no token outweighs an old receipt.
        Some(SinkContent::Absent | SinkContent::Other(_) | SinkContent::Unreadable(_)) => None,
        Some(SinkContent::Opaque) | None => record
            .and_then(|record| record.proved)
            .and_then(|(number, _)| state.generations.get(&number))
            .map(|generation| generation.fingerprint),
    };
    let taken = record
        .and_then(|record| record.taken.as_ref())
        .map(|(_, taken)| taken);
    let known = seen.and_then(|fingerprint| state.by_fingerprint(&fingerprint));
    // Sinks get a pending token once it is verified, before it is current.
    let wanted = state
        .pending()
        .filter(|pending| pending.verified_at.is_some())
        .or(state.current());
    let holds_wanted = known
        .zip(wanted)
        .is_some_and(|(known, wanted)| known.number == wanted.number)
        && record.is_some_and(|record| record.drifted.is_none());
    let holding = match (failure, holds_wanted) {
        (Some(_), _) => Holding::Fails,
        (None, true) if policy.kind.can_be_read() => Holding::Wanted,
        (None, true) => Holding::Taken,
        (None, false) => Holding::Otherwise,
    };
    SinkView {
        name: policy.name.clone(),
        sink_type: policy.kind.type_name().to_owned(),
        required: policy.required,
        state: sink_health(record, held, holding),
        generation: known.map(|generation| generation.number),
        fingerprint: seen,
        last_error: error,
        notified: policy
            .notify
            .as_ref()
            .and(record)
            .map(|record| record.notify_owed.is_none()),
        acknowledged: policy
            .acknowledge
            .as_ref()
            .and(record)
            .and_then(|record| record.acknowledged)
            .map(|(number, _)| number),
        proof: taken.and_then(|taken| taken.proof.clone()),
        note: taken.and_then(|taken| taken.note.clone()),
    }
}

/// What the journal says of a sink.
#[derive(Clone, Copy)]
enum Holding {
    /// It is held back after a failure.
    Fails,
    /// It holds the token that it should hold.
    Wanted,
    /// It took that token, and nobody can look whether it holds it still.
    Taken,
    /// It holds another token, or none.
    Otherwise,
}

fn sink_health(
    record: Option<&SinkRecord>,
    held: Option<&SinkContent>,
    holding: Holding,
) -> SinkHealth {
    // After a delivery without an outcome, a sink that cannot be read may hold either token.
    let is_unclear = record.is_some_and(|record| match record.last_delivery {
        LastDelivery::Open | LastDelivery::Failed(Outcome::Unknown) => true,
        LastDelivery::Never | LastDelivery::Done | LastDelivery::Failed(Outcome::NotDone) => false,
    });
    match (holding, held) {
        (Holding::Wanted, _) => SinkHealth::Serving,
        (Holding::Taken, _) => SinkHealth::Delivered,
        (_, Some(SinkContent::Unreadable(_))) => SinkHealth::Unknown,
        (Holding::Fails, _) => SinkHealth::Failing,
        (Holding::Otherwise, Some(SinkContent::Opaque) | None) if is_unclear => SinkHealth::Unknown,
        (Holding::Otherwise, _) => SinkHealth::Stale,
    }
}
