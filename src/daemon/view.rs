//! What commands show, as data: the JSON of `status`, `plan`, `tokens` and `history`.
//!
//! Built from an account's policy, state and incidents, by the daemon or by a command that reads
//! the journal itself. Nothing secret can get in: there are fingerprints only.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::reconcile::{ConfigsOfAccount, ListedToken};
use rotator_core::account::{AccountState, Generation, LastDelivery, SinkRecord};
use rotator_core::config::{AccountPolicy, AuthConfigSink, SinkConfig, SinkKind, SinkPolicy};
use rotator_core::event::{BackoffKey, GenerationNo, IncidentKind, Outcome};
use rotator_core::incidents::Incident;
use rotator_core::plan::evidence::SinkContent;
use rotator_core::plan::{Decision, adopted, adopted_retires_after, next_scheduled, retires_after};
use rotator_core::secret::Fingerprint;

/// `status --json`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusView {
    /// The process.
    pub daemon: DaemonView,
    /// Every account of the policy, then those only the journal knows.
    pub accounts: Vec<AccountView>,
    /// Incidents of the daemon as a whole.
    #[serde(default)]
    pub incidents: Vec<Incident>,
}

/// The process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DaemonView {
    /// Whether there is one.
    pub running: bool,
    /// Its version, or that of the command.
    pub version: String,
    /// Since when.
    pub started_at: Option<DateTime<Utc>>,
    /// Mails no server has taken yet.
    #[serde(default)]
    pub unsent_mails: usize,
    /// Why.
    #[serde(default)]
    pub mail_error: Option<String>,
}

/// One account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccountView {
    /// Its name.
    pub name: String,
    /// `ok`, `rotating`, `failing` or `parked`.
    pub state: String,
    /// Whether it is in the policy.
    pub managed: bool,
    /// The token every sink should hold.
    pub current: Option<GenerationView>,
    /// The one on its way.
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
    /// How many failures in a row.
    pub consecutive_failures: u32,
    /// The last of them.
    pub last_error: Option<String>,
    /// Where tokens go.
    pub sinks: Vec<SinkView>,
    /// What is wrong.
    pub incidents: Vec<Incident>,
}

/// One of our tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GenerationView {
    /// Its number.
    pub generation: GenerationNo,
    /// Its fingerprint.
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

/// One sink.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SinkView {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub sink_type: String,
    /// Whether promotion waits for it.
    pub required: bool,
    /// `serving`, `stale`, `failing` or `unknown`.
    pub state: String,
    /// What it holds as far as is known.
    pub generation: Option<GenerationNo>,
    /// Its fingerprint.
    pub fingerprint: Option<Fingerprint>,
    /// Why it does not hold the current one.
    pub last_error: Option<String>,
    /// Whether its consumer was told of what it holds, where the policy has it told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub notified: Option<bool>,
    /// The generation its consumer says it uses, where the policy has it say so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acknowledged: Option<GenerationNo>,
    /// How it is known that it took the last token, where a sink of its kind has more than one way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// What the program said that took the last token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `plan --json`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanView {
    /// One an account.
    pub accounts: Vec<AccountPlanView>,
}

/// What would be done for one account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccountPlanView {
    /// Its name.
    pub name: String,
    /// What would be done now, in order.
    pub steps: Vec<StepView>,
    /// What is waited for.
    pub waiting: Vec<WaitingView>,
    /// What an operator should know though nothing is wrong.
    #[serde(default)]
    pub notices: Vec<String>,
}

/// One step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepView {
    /// `mint`, `resolve-mint`, `verify`, `deliver`, `prove`, `notify`, `promote`, `delete`.
    pub action: String,
    /// To what.
    pub target: Option<String>,
    /// Why.
    pub because: String,
}

/// One thing that is waited for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WaitingView {
    /// What.
    #[serde(rename = "for")]
    pub what: String,
    /// Until when.
    pub until: Option<DateTime<Utc>>,
}

/// `tokens --json`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokensView {
    /// The account.
    pub account: String,
    /// Every token on the server, and those of ours that should be.
    pub tokens: Vec<TokenView>,
}

/// One token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenView {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its text, masked; `None` where the server did not list it.
    pub token: Option<String>,
    /// `pending`, `current`, `previous`, `retired`, `lost` or `foreign`.
    pub stage: String,
    /// Its number, where it is ours.
    pub generation: Option<GenerationNo>,
    /// When it was minted, where it is ours.
    pub minted_at: Option<DateTime<Utc>>,
    /// When a list first showed it, where it is foreign.
    pub first_seen_at: Option<DateTime<Utc>>,
    /// When an operator put it under the policy, where it is foreign.
    #[serde(default)]
    pub adopted_at: Option<DateTime<Utc>>,
    /// The sinks that hold it.
    pub held_by: Vec<String>,
}

/// The server's tokens that are not ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForeignView {
    /// The account.
    pub account: String,
    /// Each of them.
    pub tokens: Vec<ForeignTokenView>,
}

/// One token that is not ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForeignTokenView {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its text, masked.
    pub token: String,
    /// How many bytes it has.
    pub length: usize,
    /// When a list first showed it. RingCX does not tell when it was made.
    pub first_seen_at: Option<DateTime<Utc>>,
    /// When an operator put it under the policy.
    pub adopted_at: Option<DateTime<Utc>>,
    /// When it may be deleted, as far as time goes, if it is under the policy and its successor is
    /// promoted.
    pub retires_after: Option<DateTime<Utc>>,
    /// The sinks that hold it.
    pub held_by: Vec<String>,
    /// The files that are looked through for it.
    pub files: Vec<String>,
}

/// `auth-configs --json`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuthConfigsView {
    /// The account.
    pub account: String,
    /// Every RingCX account that its login can see.
    pub ringcx_accounts: Vec<RingcxAccountView>,
}

/// One RingCX account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RingcxAccountView {
    /// Its id: `account-id` of the policy.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its external auth configs.
    pub auth_configs: Vec<AuthConfigView>,
    /// Why they cannot be seen.
    pub error: Option<String>,
}

/// One external auth config, without the value of its key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuthConfigView {
    /// Its id: `auth-config-id` of the policy.
    pub id: String,
    /// Its type; only one of type `APIKEY` can hold a token.
    #[serde(rename = "type")]
    pub auth_type: String,
    /// Whose service it is for.
    pub provider: String,
    /// What it is for.
    pub description: String,
    /// When it was last changed, as RingCX writes it.
    pub updated: String,
    /// The sink of this account that puts its token there.
    pub sink: Option<String>,
}

/// What is known of what sinks hold.
pub type HeldBySink = BTreeMap<String, SinkContent>;

/// One account of the policy.
pub fn account(
    policy: &AccountPolicy,
    state: &AccountState,
    held: &HeldBySink,
    incidents: Vec<Incident>,
) -> AccountView {
    let own = state.previous().filter_map(|it| retires_after(policy, it));
    let foreign = adopted(policy, state).filter_map(|(_, it)| adopted_retires_after(policy, it));
    let next_retirement_at = own.chain(foreign).min();
    let next_rotation_at = match state.pending() {
        Some(_) => None,
        None => next_scheduled(policy, state),
    };
    AccountView {
        name: policy.name.clone(),
        state: overall(state, &incidents).to_owned(),
        managed: true,
        current: state.current().map(|it| generation(it, None)),
        pending: state.pending().map(|it| generation(it, None)),
        previous: state
            .previous()
            .map(|it| generation(it, retires_after(policy, it)))
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
            .map(|it| sink(it, state, held.get(&it.name)))
            .collect(),
        incidents,
    }
}

/// One account that only the journal knows. Nothing is done for it.
pub fn unmanaged(name: &str, state: &AccountState, incidents: Vec<Incident>) -> AccountView {
    AccountView {
        name: name.to_owned(),
        state: "parked".to_owned(),
        managed: false,
        current: state.current().map(|it| generation(it, None)),
        pending: state.pending().map(|it| generation(it, None)),
        previous: state.previous().map(|it| generation(it, None)).collect(),
        foreign: state.foreign.len(),
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

fn overall(state: &AccountState, incidents: &[Incident]) -> &'static str {
    let rejected = state
        .lanes
        .get(&BackoffKey::Login)
        .is_some_and(|failure| failure.rejected.is_some());
    let capped = incidents
        .iter()
        .any(|incident| incident.kind == IncidentKind::MintCapped);
    if rejected || capped || state.sinks.values().any(|sink| sink.parked) {
        "parked"
    } else if !state.lanes.is_empty() || !incidents.is_empty() {
        "failing"
    } else if state.pending().is_some() || state.open_mint.is_some() {
        "rotating"
    } else {
        "ok"
    }
}

fn last_error(state: &AccountState) -> Option<String> {
    state
        .lanes
        .values()
        .max_by_key(|failure| failure.last)
        .map(|failure| failure.error.clone())
}

fn sink(policy: &SinkPolicy, state: &AccountState, held: Option<&SinkContent>) -> SinkView {
    let record = state.sinks.get(&policy.name);
    let lane = BackoffKey::Sink(policy.name.clone());
    let told = BackoffKey::Notify(policy.name.clone());
    let error = state
        .lanes
        .get(&lane)
        .or(state.lanes.get(&told))
        .map(|failure| failure.error.clone());
    let seen = match held {
        Some(SinkContent::Token(fingerprint)) => Some(*fingerprint),
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
    let wanted = state
        .pending()
        .filter(|it| it.verified_at.is_some())
        .or(state.current());
    let serves = known
        .zip(wanted)
        .is_some_and(|(known, wanted)| known.number == wanted.number)
        && record.is_some_and(|record| record.drifted.is_none());
    SinkView {
        name: policy.name.clone(),
        sink_type: policy.kind.type_name().to_owned(),
        required: policy.required,
        state: sink_state(record, held, serves, state.lanes.contains_key(&lane)).to_owned(),
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
            .and_then(|it| it.acknowledged)
            .map(|it| it.0),
        proof: taken.and_then(|taken| taken.proof.clone()),
        note: taken.and_then(|taken| taken.note.clone()),
    }
}

fn sink_state(
    record: Option<&SinkRecord>,
    held: Option<&SinkContent>,
    serves: bool,
    fails: bool,
) -> &'static str {
    if serves && !fails {
        return "serving";
    }
    let open = record.is_some_and(|record| match record.last_delivery {
        LastDelivery::Open | LastDelivery::Failed(Outcome::Unknown) => true,
        LastDelivery::Never | LastDelivery::Done | LastDelivery::Failed(Outcome::NotDone) => false,
    });
    match held {
        Some(SinkContent::Unreadable(_)) => "unknown",
        _ if fails => "failing",
        Some(SinkContent::Opaque) | None if open => "unknown",
        _ => "stale",
    }
}

/// What is planned for one account.
pub fn plan(name: &str, decision: &Decision) -> AccountPlanView {
    AccountPlanView {
        name: name.to_owned(),
        steps: decision
            .steps
            .iter()
            .map(|step| StepView {
                action: step.action.name().to_owned(),
                target: step.target.clone(),
                because: step.because.clone(),
            })
            .collect(),
        waiting: decision
            .waiting
            .iter()
            .map(|waiting| WaitingView {
                what: waiting.what.clone(),
                until: waiting.until,
            })
            .collect(),
        notices: decision.notices.clone(),
    }
}

/// The server's list joined with the journal.
pub fn tokens(
    account: &str,
    state: &AccountState,
    held: &HeldBySink,
    listed: &[ListedToken],
) -> TokensView {
    let texts: BTreeMap<Fingerprint, &String> = listed
        .iter()
        .map(|it| (it.fingerprint, &it.masked))
        .collect();
    let ours = state
        .own()
        .filter(|it| it.is_alive())
        .map(|it| it.fingerprint);
    let all: BTreeSet<Fingerprint> = ours.chain(texts.keys().copied()).collect();
    let mut tokens: Vec<TokenView> = all
        .into_iter()
        .map(|fingerprint| {
            let known = state.by_fingerprint(&fingerprint);
            let by_look = holders(held, fingerprint);
            let foreign = state.foreign.get(&fingerprint);
            let by_receipt = state.sinks.iter().filter_map(|(sink, record)| {
                let opaque = !matches!(
                    held.get(sink),
                    Some(SinkContent::Token(_) | SinkContent::Absent | SinkContent::Other(_))
                );
                let proved = record.proved.map(|(number, _)| number);
                (opaque && proved.is_some() && proved == known.map(|it| it.number))
                    .then(|| sink.clone())
            });
            TokenView {
                fingerprint,
                token: texts.get(&fingerprint).map(|text| (*text).clone()),
                stage: known.map_or("foreign", |it| it.stage().name()).to_owned(),
                generation: known.map(|it| it.number),
                minted_at: known.map(|it| it.minted_at),
                first_seen_at: foreign.map(|it| it.first_seen_at),
                adopted_at: foreign.and_then(|it| it.adoption.as_ref()).map(|it| it.at),
                held_by: by_look.chain(by_receipt).collect(),
            }
        })
        .collect();
    tokens.sort_by_key(|token| {
        (
            token.generation.is_none(),
            token.generation,
            token.first_seen_at,
        )
    });
    TokensView {
        account: account.to_owned(),
        tokens,
    }
}

/// The sinks that were seen to hold this token.
fn holders(held: &HeldBySink, fingerprint: Fingerprint) -> impl Iterator<Item = String> {
    let holding = held
        .iter()
        .filter(move |(_, held)| **held == SinkContent::Token(fingerprint));
    holding.map(|(sink, _)| sink.clone())
}

/// Those on the server's list that are not ours.
pub fn foreign(
    policy: &AccountPolicy,
    state: &AccountState,
    held: &HeldBySink,
    listed: &[ListedToken],
) -> ForeignView {
    let foreign = listed
        .iter()
        .filter(|it| state.by_fingerprint(&it.fingerprint).is_none());
    let mut tokens: Vec<ForeignTokenView> = foreign
        .map(|listed| {
            let known = state.foreign.get(&listed.fingerprint);
            let adoption = known.and_then(|it| it.adoption.as_ref());
            let retires_after = known.and_then(|it| adopted_retires_after(policy, it));
            ForeignTokenView {
                fingerprint: listed.fingerprint,
                token: listed.masked.clone(),
                length: listed.length,
                first_seen_at: known.map(|it| it.first_seen_at),
                adopted_at: adoption.map(|it| it.at),
                retires_after,
                held_by: holders(held, listed.fingerprint).collect(),
                files: adoption
                    .iter()
                    .flat_map(|it| it.files.iter().cloned())
                    .collect(),
            }
        })
        .collect();
    tokens.sort_by_key(|token| {
        (
            token.first_seen_at.is_none(),
            token.first_seen_at,
            token.fingerprint,
        )
    });
    ForeignView {
        account: policy.name.clone(),
        tokens,
    }
}

/// What the login can see, joined with the sinks of the policy.
pub fn auth_configs(policy: &AccountPolicy, listed: Vec<ConfigsOfAccount>) -> AuthConfigsView {
    let sink_of = |account: &str, config: &str| {
        let wanted = AuthConfigSink {
            account_id: account.to_owned(),
            auth_config_id: config.to_owned(),
        };
        let (wanted_type, target) = (wanted.type_name(), wanted.target());
        let is_it = |kind: &SinkKind| kind.type_name() == wanted_type && kind.target() == target;
        policy
            .sinks
            .iter()
            .find(|sink| is_it(&sink.kind))
            .map(|sink| sink.name.clone())
    };
    let ringcx_accounts = listed
        .into_iter()
        .map(|ConfigsOfAccount { account, configs }| {
            let error = configs.as_ref().err().map(ToString::to_string);
            let auth_configs =
                configs
                    .unwrap_or_default()
                    .into_iter()
                    .map(|config| AuthConfigView {
                        sink: sink_of(&account.id, &config.id),
                        id: config.id,
                        auth_type: config.auth_type,
                        provider: config.provider,
                        description: config.description,
                        updated: config.updated,
                    });
            let auth_configs = auth_configs.collect();
            RingcxAccountView {
                id: account.id,
                name: account.name,
                auth_configs,
                error,
            }
        });
    AuthConfigsView {
        account: policy.name.clone(),
        ringcx_accounts: ringcx_accounts.collect(),
    }
}

/// Why a rotation that was asked for is not done.
pub fn why_not_done(state: &AccountState, decision: &Decision) -> String {
    if let Some(error) = last_error(state) {
        return error;
    }
    match decision.waiting.first() {
        Some(waiting) => format!("waiting for {}", waiting.what),
        None => "the daemon was stopped meanwhile".to_owned(),
    }
}
