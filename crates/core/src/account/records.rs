//! What the state keeps of a token, a mint, a sink, a failure: plain records.

use std::collections::{BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::event::{DeliveryReceipt, GenerationNo, IncidentKind, MintSource, Outcome, RetiredBy};
use crate::secret::{Fingerprint, SecretTag};

/// One login of the account. Another user or platform in the policy begins another epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginEpoch {
    /// The RingCX user; for a login by RingEX, whom its JWT names.
    pub username: String,
    /// Its platform; empty for a login by RingEX.
    pub platform_id: String,
    /// When the policy first had it.
    pub since: DateTime<Utc>,
}

/// What this account has asked of RingEX lately, as far as it counts for the app that it logs in
/// with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingexUse {
    /// The app, by its client id.
    pub client_id: String,
    /// The requests of the last minute before the last one.
    pub attempts: VecDeque<DateTime<Utc>>,
    /// The app is to be left alone until then.
    // Its name in the checkpoints that exist already.
    #[serde(rename = "quiet_until")]
    pub backoff_until: Option<DateTime<Utc>>,
}

/// A pause that RingCX asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerQuiet {
    /// When it asked.
    pub since: DateTime<Utc>,
    /// No call is sent to it before then.
    pub until: DateTime<Utc>,
}

/// One of our tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Its number, counted in this account.
    pub number: GenerationNo,
    /// Fingerprint of its token.
    pub fingerprint: Fingerprint,
    /// Which of [`AccountState::lines`] it belongs to.
    pub line: usize,
    /// When it was minted, or seen to have been.
    pub minted_at: DateTime<Utc>,
    /// How we learnt of it.
    pub learnt: MintSource,
    /// When it was seen to work.
    pub verified_at: Option<DateTime<Utc>>,
    /// When it became current.
    pub promoted_at: Option<DateTime<Utc>>,
    /// When its successor became current.
    pub superseded_at: Option<DateTime<Utc>>,
    /// Why it will never become current, or is so no longer though nothing took its place.
    pub set_aside: Option<String>,
    /// A delete was sent at least once; whether it worked the next list tells.
    pub delete_sent: bool,
    /// When it was seen to be gone, and by whose hand.
    pub retired: Option<(DateTime<Utc>, RetiredBy)>,
    /// When it was seen to have vanished.
    pub lost_at: Option<DateTime<Utc>>,
    /// Since when it has worked without being on the server's list.
    // Checkpoints from before this field was added lack it; left out while unset, they stay as they
    // were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlisted_since: Option<DateTime<Utc>>,
}

/// Where a token is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Minted, not in every required sink yet.
    Pending,
    /// The one that every sink should hold.
    Current,
    /// Alive, to be deleted when its time has come.
    Previous,
    /// Gone from the server after its time, deleted by the daemon or by another.
    Retired,
    /// Gone from the server while it was still in use.
    Lost,
}

impl Stage {
    /// As in `tokens --json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Retired => "retired",
            Self::Lost => "lost",
        }
    }
}

/// A token on the server that is not ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignToken {
    /// When a list first showed it.
    pub first_seen_at: DateTime<Utc>,
    /// When the first of ours after it was promoted.
    pub superseded_at: Option<DateTime<Utc>>,
    /// A delete was sent at least once; whether it worked the next list tells.
    pub delete_sent: bool,
    /// An operator put it under the policy.
    // Checkpoints from before adoption lack it; left out while unset, they stay as they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<Adoption>,
}

/// What is known of a foreign token that an operator put under the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adoption {
    /// When the operator adopted it.
    pub at: DateTime<Utc>,
    /// How many bytes it has.
    pub length: usize,
    /// Files that are looked through for it.
    pub files: BTreeSet<String>,
    /// Where it was seen last: names of sinks, and paths.
    pub held_by: BTreeSet<String>,
    /// When it was last seen to be gone from one of these.
    pub left_at: Option<DateTime<Utc>>,
}

/// A mint whose intent is committed and whose outcome is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenMint {
    /// The generation it is to become.
    pub generation: GenerationNo,
    /// When it was intended.
    pub at: DateTime<Utc>,
    /// Every token on the server just before.
    pub baseline: BTreeSet<Fingerprint>,
}

/// A mint given up whose token may still arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostMint {
    /// The generation it was to become.
    pub generation: GenerationNo,
    /// Until then an unknown token is taken for it.
    pub open_until: DateTime<Utc>,
    /// When it was given up.
    // Checkpoints from before this field was added lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
}

/// A mint whose token, if there is one, is among several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmbiguousMint {
    /// The generation it was to become.
    pub generation: GenerationNo,
    /// When that was found out.
    pub at: DateTime<Utc>,
    /// The tokens one of which may be ours.
    pub candidates: BTreeSet<Fingerprint>,
}

/// What is known of a sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkRecord {
    /// The `type` of the policy, such as `file`.
    pub sink_type: String,
    /// Where it is: a path, a path and a key, a host.
    pub target: String,
    /// Since when it has been managed.
    pub bound_at: DateTime<Utc>,
    /// The newest generation ever sent there. A sink never goes back behind it.
    pub intended: Option<GenerationNo>,
    /// What became of that delivery.
    pub last_delivery: LastDelivery,
    /// The newest generation that was proved there, and when.
    pub proved: Option<(GenerationNo, DateTime<Utc>)>,
    /// Nothing is sent until an operator acts.
    pub parked: bool,
    /// It no longer held what it should, since then.
    pub drifted: Option<(DateTime<Utc>, String)>,
    /// The newest delivery was taken, and whether the token is there was not tried yet.
    pub awaits_proof: bool,
    /// The consumer is to be notified of this generation, once it is proved.
    pub notify_owed: Option<GenerationNo>,
    /// The generation its consumer says it uses, and when it was first seen to say so.
    pub acknowledged: Option<(GenerationNo, DateTime<Utc>)>,
    /// The last delivery that was taken, and what the sink said of it. One that was begun since,
    /// and whose outcome is unknown, leaves it as it is: the sink then tells which of the two
    /// states it is in.
    pub taken: Option<(GenerationNo, DeliveryReceipt)>,
}

/// What became of the newest delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LastDelivery {
    /// Nothing was ever delivered.
    Never,
    /// Intended, outcome not recorded: the sink may hold it.
    Open,
    /// The sink took it.
    Done,
    /// It was not taken, or that is not known.
    Failed(Outcome),
}

/// What failed last in a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// When the first failure of this row was.
    pub since: DateTime<Utc>,
    /// When it failed last.
    pub last: DateTime<Utc>,
    /// The kind of incident that it opens.
    pub incident: IncidentKind,
    /// The error as text, without secrets.
    pub error: String,
    /// Failures in a row.
    pub count: u32,
    /// It is not tried again before then.
    pub next_attempt_at: DateTime<Utc>,
    /// For a rejected login: the tag of the secret that was rejected.
    pub rejected: Option<SecretTag>,
}

/// The local clock and the server's differ by more than five minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockTrouble {
    /// When they were first seen to disagree.
    pub since: DateTime<Utc>,
    /// Local minus server time, in seconds, when that was recorded.
    pub skew_seconds: i64,
}

/// The current token vanished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenLoss {
    /// The generation whose token vanished.
    pub generation: GenerationNo,
    /// When it was seen to be gone.
    pub at: DateTime<Utc>,
    /// The answer of RingCX that showed it.
    pub evidence: String,
}

impl LoginEpoch {
    /// Whether it logs in by RingEX.
    pub fn is_of_ringex(&self) -> bool {
        self.platform_id.is_empty()
    }
}

impl Generation {
    /// Where it is in its life.
    pub fn stage(&self) -> Stage {
        // The end first: a retired token keeps the times of its earlier stages.
        if self.retired.is_some() {
            Stage::Retired
        } else if self.lost_at.is_some() {
            Stage::Lost
        } else if self.set_aside.is_some() || self.superseded_at.is_some() {
            Stage::Previous
        } else if self.promoted_at.is_some() {
            Stage::Current
        } else {
            Stage::Pending
        }
    }

    /// Whether the token is on the server as far as we know.
    pub fn is_alive(&self) -> bool {
        match self.stage() {
            Stage::Pending | Stage::Current | Stage::Previous => true,
            Stage::Retired | Stage::Lost => false,
        }
    }

    /// Whether any sink can have been given it: only a verified token ever is.
    pub fn may_be_published(&self) -> bool {
        // A journal is input: promoted without a verification still counts as published.
        self.verified_at.is_some() || self.promoted_at.is_some()
    }

    /// Whether a list ever showed it. One that never did may only be slow to appear.
    pub fn was_listed(&self) -> bool {
        // An answer to a mint is no list; every other way to learn of a token is.
        self.verified_at.is_some() || self.learnt != MintSource::Answered
    }
}
