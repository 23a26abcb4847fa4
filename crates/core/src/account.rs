//! An account's state: the fold of its events, and nothing else.
//!
//! What can be derived is not kept: a generation's stage follows from when it was verified,
//! promoted and superseded; whether something is held back follows from its last failure. The fold
//! accepts any sequence of events without panicking, since a journal is input like any other. It
//! does not know the policy or the time.
//!
//! ```text
//!             Verified        all required sinks Proved   the next is Promoted   absent from a list
//!  Minted ──▶ (pending) ──▶ (pending, verified) ──▶ current ─────────▶ previous ─────────▶ retired
//!                 │ Abandoned                          │ TokenLost        ▲                   │
//!                 └────────────────────────────────────┼──────────────────┘◀── Reappeared ────┘
//!                                                      └──▶ lost ── Reappeared ──▶ current or previous
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::config::{AccountPolicy, Foreign, LoginPolicy};
use crate::event::{
    BackoffKey, DeliveryReceipt, Event, GenerationNo, IncidentKind, MintSource, Outcome, RetiredBy,
};
use crate::secret::{Fingerprint, SecretTag};

mod fold;
mod proof;

pub use proof::{Minted, Proved, Verified};

/// How many retired or lost generations are remembered, to know their tokens again.
const RETIRED_KEPT: usize = 64;

/// How long a login counts towards a limit of logins a minute. The server counts from when the
/// request arrives, which is later than when it is recorded here: hence the extra second.
pub const LOGIN_WINDOW: TimeDelta = TimeDelta::seconds(61);

/// A clock that was set back by less than this makes no difference.
pub(crate) const CLOCK_SLACK: TimeDelta = TimeDelta::minutes(5);

/// Everything the journal says about an account. A checkpoint keeps it as JSON: any change to what
/// is kept is another [`AccountState::FORM`], and those that were written before must still be
/// read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountState {
    /// The `seq` of the last event folded in.
    pub seq: u64,
    /// The logins this account has had; the last one is the one in use.
    pub lines: Vec<LoginEpoch>,
    /// Our tokens, those long retired left out.
    pub generations: BTreeMap<GenerationNo, Generation>,
    /// The highest number ever intended.
    pub last_generation: u64,
    /// Tokens on the server that are not ours.
    pub foreign: BTreeMap<Fingerprint, ForeignToken>,
    /// The mint whose outcome is not known yet.
    pub open_mint: Option<OpenMint>,
    /// Mints given up whose token may still arrive.
    pub lost_mints: Vec<LostMint>,
    /// Mints whose token cannot be told among several.
    pub ambiguous_mints: Vec<AmbiguousMint>,
    /// What is known of each sink of the policy.
    pub sinks: BTreeMap<String, SinkRecord>,
    /// Sinks taken out of the policy, by name.
    pub released_sinks: BTreeMap<String, SinkRecord>,
    /// What failed last, and when it is tried again.
    pub lanes: BTreeMap<BackoffKey, Failure>,
    /// When an operator asked for a rotation that has not been promoted yet.
    pub asked_at: Option<DateTime<Utc>>,
    /// The logins of the last minute before the last one.
    pub logins: VecDeque<DateTime<Utc>>,
    /// What was asked of RingEX lately.
    #[serde(default)]
    pub ringex: RingexUse,
    /// Since when RingCX has wanted the password changed.
    pub password_reset_since: Option<DateTime<Utc>>,
    /// How far the clocks are apart, while they disagree.
    pub clock: Option<ClockTrouble>,
    /// The last time the current token vanished, until another is promoted or it is back.
    pub token_lost: Option<TokenLoss>,
    /// What is to be deleted, once its intent is committed and until its outcome is.
    pub open_delete: Option<Fingerprint>,
}

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
    #[serde(rename = "quiet_until")]
    pub backoff_until: Option<DateTime<Utc>>,
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
    /// Gone, as intended.
    Retired,
    /// Gone, by another's hand.
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
    /// Where it is, as [`FileLocation`] reads it: a path, a path and a key, a host.
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
    /// The first of this row of failures.
    pub since: DateTime<Utc>,
    /// The last one.
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

/// The clocks disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockTrouble {
    /// When they were first seen to disagree.
    pub since: DateTime<Utc>,
    /// Local minus server.
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
        self.verified_at.is_some() || self.promoted_at.is_some()
    }

    /// Whether a list ever showed it. One that never did may only be slow to appear.
    pub fn was_listed(&self) -> bool {
        self.verified_at.is_some() || self.learnt != MintSource::Answered
    }
}

impl AccountState {
    /// The form in which checkpoints keep it.
    pub const FORM: u32 = 1;

    /// The fold of a whole stream, in order.
    pub fn fold<'a>(events: impl IntoIterator<Item = (u64, DateTime<Utc>, &'a Event)>) -> Self {
        let mut state = Self::default();
        for (seq, at, event) in events {
            state.apply(seq, at, event);
        }
        state
    }

    /// The index of the login in use.
    pub fn line(&self) -> usize {
        self.lines.len().saturating_sub(1)
    }

    /// Our tokens of the login in use.
    pub fn own(&self) -> impl DoubleEndedIterator<Item = &Generation> {
        let line = self.line();
        self.generations
            .values()
            .filter(move |generation| generation.line == line)
    }

    /// Our tokens of earlier logins that were alive when the login changed.
    pub fn of_former_logins(&self) -> impl Iterator<Item = &Generation> {
        let line = self.line();
        self.generations
            .values()
            .filter(move |generation| generation.line != line && generation.is_alive())
    }

    /// The token every sink should hold.
    pub fn current(&self) -> Option<&Generation> {
        self.own()
            .rfind(|generation| generation.stage() == Stage::Current)
    }

    /// The token on its way to the sinks.
    pub fn pending(&self) -> Option<&Generation> {
        self.own()
            .rfind(|generation| generation.stage() == Stage::Pending)
    }

    /// The tokens that sinks hold or are about to: the current and the pending one.
    pub fn in_use(&self) -> Vec<Fingerprint> {
        [self.current(), self.pending()]
            .into_iter()
            .flatten()
            .map(|generation| generation.fingerprint)
            .collect()
    }

    /// Our tokens that wait for their deletion, oldest first.
    pub fn previous(&self) -> impl Iterator<Item = &Generation> {
        self.own()
            .filter(|generation| generation.stage() == Stage::Previous)
    }

    /// The foreign tokens that are under the policy: all of them where `foreign = "adopt"`,
    /// otherwise those that an operator adopted.
    pub fn adopted(&self, foreign: Foreign) -> impl Iterator<Item = (&Fingerprint, &ForeignToken)> {
        self.foreign.iter().filter(move |(_, token)| match foreign {
            Foreign::Adopt => true,
            Foreign::Keep => token.adoption.is_some(),
        })
    }

    /// How many of ours are alive, mints counted whose token may be among foreign ones.
    pub fn live_count(&self) -> usize {
        let alive = self
            .own()
            .filter(|generation| generation.is_alive())
            .count();
        let unclear = self.ambiguous_mints.iter().filter(|mint| {
            mint.candidates
                .iter()
                .any(|candidate| self.foreign.contains_key(candidate))
        });
        alive + unclear.count()
    }

    /// The generation with this token, whatever its stage.
    pub fn by_fingerprint(&self, fingerprint: &Fingerprint) -> Option<&Generation> {
        self.generations
            .values()
            .rfind(|generation| generation.fingerprint == *fingerprint)
    }

    /// Until when this lane is held back, if it is. Where the clock was set back to before the
    /// failure, the hold would last by as much longer than was meant: it is over.
    pub fn held_until(&self, lane: &BackoffKey, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let failure = self.lanes.get(lane)?;
        let set_back = failure.last.signed_duration_since(now) > CLOCK_SLACK;
        (failure.next_attempt_at > now && !set_back).then_some(failure.next_attempt_at)
    }

    /// How many failures in a row the worst lane has.
    pub fn consecutive_failures(&self) -> u32 {
        self.lanes
            .values()
            .map(|failure| failure.count)
            .max()
            .unwrap_or(0)
    }

    /// The number the next mint will have.
    pub fn next_generation(&self) -> GenerationNo {
        GenerationNo(self.last_generation.saturating_add(1))
    }

    /// Whether this policy logs in as someone else than the journal says, as far as the policy
    /// tells.
    pub fn login_differs(&self, policy: &AccountPolicy) -> bool {
        let line = self.lines.last();
        match &policy.login {
            LoginPolicy::Admin(login) => line.is_none_or(|line| {
                line.username != login.username || line.platform_id != login.platform_id
            }),
            // Which user it is only the JWT tells.
            LoginPolicy::RingEx(_) => line.is_none_or(|line| !line.is_of_ringex()),
        }
    }

    /// Logins sent in the minute before `now`.
    pub fn recent_logins(&self, now: DateTime<Utc>) -> usize {
        self.logins.iter().filter(|at| is_recent(**at, now)).count()
    }
}

/// Within a minute of `now`, on either side: one further ahead is from before the clock was set
/// back.
fn is_recent(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now.signed_duration_since(at).abs() < LOGIN_WINDOW
}

#[cfg(test)]
pub(crate) mod tests;
