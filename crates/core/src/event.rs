//! The vocabulary: everything that can happen to an account and its tokens.
//!
//! The journal keeps these, [`crate::account::AccountState`] is their fold, `history` prints them.
//! They hold fingerprints, never tokens. A variant that was ever written to a journal is never
//! renamed and never loses a field; new fields take `#[serde(default)]`.
//!
//! One row of a journal, as `history --json` shows it:
//!
//! ```json
//! {"kind":"delivered","sink":"crm","generation":7}
//! ```
//!
//! A new event is a variant here, a row of the table in `event/kind.rs`, and an arm of the fold.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::secret::{Fingerprint, SecretTag};

mod backoff_key;
mod delivery;
mod incident_kind;
mod kind;
mod reading;
mod subject;

pub use backoff_key::{BackoffKey, UnknownBackoffKey};
pub use delivery::{DeliveryReceipt, PeerToken};
pub use incident_kind::IncidentKind;
pub use kind::{EventKind, Level};
pub use reading::{ClockReading, SkewBounds, StepSource};

/// Counts an account's tokens from 1, in the order in which they were meant to be minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
// A bare number in journals and in JSON.
#[serde(transparent)]
pub struct GenerationNo(pub u64);

impl fmt::Display for GenerationNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One thing that happened to one account, at the time its journal row says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
// The names that follow from this are in journals: they never change.
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// The account is seen for the first time, or with another user or platform: generations so far
    /// belong to the old login and are only reported from here on.
    LineStarted {
        /// The RingCX user; for a login by RingEX, whom its JWT names.
        username: String,
        /// Its platform, such as `aws80`; empty for a login by RingEX, which has none.
        platform_id: String,
    },
    /// An operator asked for a rotation.
    RotationAsked,
    /// A RingEX access token is about to be asked for. Counted against the limit of the RingEX app,
    /// across restarts and accounts.
    RingexAttempted {
        /// Client id of the RingEX app.
        client_id: String,
    },
    /// RingEX asked for a pause of this app; a request before its end may prolong it.
    RingexQuiet {
        /// Client id of the RingEX app.
        client_id: String,
        /// No request is sent before then.
        until: DateTime<Utc>,
    },
    /// RingCX asked for a pause of this account: no call is sent to it before then, as one would
    /// prolong the pause.
    ServerQuiet {
        /// No call is sent before then.
        until: DateTime<Utc>,
    },
    /// A login with these secrets opened RingCX. Written when they are others than before.
    SecretAccepted {
        // A tag is enough to know them again; the secrets themselves are never kept.
        /// The tag of the login's secrets.
        tag: SecretTag,
    },
    /// A login is about to be sent to RingCX. Counted against `logins-per-minute`, across restarts
    /// too.
    LoginAttempted,
    /// What a login said of the password: whether RingCX wants it changed.
    PasswordReset {
        /// RingCX's `adminPasswordReset`, from the answer to the login.
        required: bool,
    },
    /// Tokens on the server that are not ours and were not there before.
    ForeignSeen {
        /// The new ones only.
        fingerprints: BTreeSet<Fingerprint>,
    },
    /// Foreign tokens that are no longer on the server.
    ForeignGone {
        /// Those that are gone.
        fingerprints: BTreeSet<Fingerprint>,
    },
    /// Tokens that were taken for foreign belong to another account of the policy.
    ForeignClaimed {
        /// Those that it has.
        fingerprints: BTreeSet<Fingerprint>,
        /// The account whose tokens they are.
        owner: String,
    },
    /// An operator put a foreign token under the policy: from here on it ages like one of ours.
    /// Where it was adopted before, this takes the place of that.
    Adopted {
        /// Fingerprint of the adopted token.
        fingerprint: Fingerprint,
        /// How many bytes it has: with the fingerprint that is enough to find it in a file.
        length: usize,
        /// Files that are looked through for it, by their absolute paths: it stays while one holds
        /// it.
        files: BTreeSet<String>,
        /// Where it was seen: names of sinks, and paths.
        held_by: BTreeSet<String>,
    },
    /// An adopted token is seen elsewhere than before.
    AdoptedHeld {
        /// Fingerprint of the adopted token.
        fingerprint: Fingerprint,
        /// Where: names of sinks, and paths.
        held_by: BTreeSet<String>,
    },
    /// An operator took a foreign token out of the policy again.
    Disowned {
        /// The token that was adopted before.
        fingerprint: Fingerprint,
    },
    /// A mint is about to be sent. Until its outcome is recorded it is unknown.
    MintIntended {
        /// The generation it is to become.
        generation: GenerationNo,
        // Without the list from before, the token of a lost answer could not be told from older
        // ones.
        /// Every token on the server just before.
        baseline: BTreeSet<Fingerprint>,
    },
    /// The intended mint made this token.
    Minted {
        /// Its generation, as the intent had it.
        generation: GenerationNo,
        /// Fingerprint of the new token.
        fingerprint: Fingerprint,
        /// Whether the answer or the list showed it.
        how: MintSource,
    },
    /// The mint request never left this machine.
    MintFailed {
        /// The generation it was to become.
        generation: GenerationNo,
        /// The cause, without secrets.
        error: String,
    },
    /// The mint may or may not have happened; the list will tell.
    MintUnknown {
        /// The generation it was to become.
        generation: GenerationNo,
        /// The answer or the error that came instead of a token.
        error: String,
    },
    /// Nothing new is on the server: the mint is given up, but its token may still arrive.
    MintMissing {
        /// The generation it was to become.
        generation: GenerationNo,
        /// Until then one unknown token is taken for its late arrival.
        open_until: DateTime<Utc>,
    },
    /// Tokens we know nothing of appeared, and none can be told to be ours.
    MintAmbiguous {
        /// The generation it was to become.
        generation: GenerationNo,
        /// The tokens one of which may be ours. They count as foreign.
        candidates: BTreeSet<Fingerprint>,
    },
    /// The time in which a lost mint could arrive late is over.
    LostMintClosed {
        /// The generation it was to become.
        generation: GenerationNo,
    },
    /// The token lists itself and makes a real API call.
    Verified {
        /// Generation of the token.
        generation: GenerationNo,
    },
    /// The token will not be published and is to be deleted.
    Abandoned {
        /// Generation of the token.
        generation: GenerationNo,
        /// The cause, without secrets.
        reason: String,
    },
    /// A sink is managed from here on.
    SinkBound {
        /// Sink name, as in the policy.
        sink: String,
        /// The `type` in the policy, such as `env-file`.
        sink_type: String,
        /// Where it is, without secrets: a path, a path and a key, a host. A sink with another
        /// target is another sink. Example: `/etc/crm/env RINGCX_TOKEN`.
        target: String,
    },
    /// A sink was taken out of the policy and no longer counts.
    SinkReleased {
        /// Sink name, as in the policy.
        sink: String,
    },
    /// A delivery is about to begin. Until its outcome is recorded the sink may hold this
    /// generation.
    DeliveryIntended {
        /// Sink name, as in the policy.
        sink: String,
        /// Generation of the token.
        generation: GenerationNo,
    },
    /// The sink took the token.
    Delivered {
        /// Sink name, as in the policy.
        sink: String,
        /// Generation of the token.
        generation: GenerationNo,
        // `default`, because a row is written without the key where there is nothing to say.
        /// What the sink answered.
        #[serde(default, skip_serializing_if = "DeliveryReceipt::is_plain")]
        taken: DeliveryReceipt,
    },
    /// The sink did not take the token, or may not have.
    DeliveryFailed {
        /// Sink name, as in the policy.
        sink: String,
        /// Generation of the token.
        generation: GenerationNo,
        /// Whether it may hold the token nevertheless.
        outcome: Outcome,
        /// Nothing more is sent until the policy is reloaded or an operator asks.
        parked: bool,
        // `default`, because a row is written without the key where there is nothing to say.
        /// The answer of the sink, without secrets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// The sink was seen to hold the token, and what it holds was used.
    Proved {
        /// Sink name, as in the policy.
        sink: String,
        /// Generation of the token.
        generation: GenerationNo,
    },
    /// A sink that was proved no longer holds what it held.
    Drifted {
        /// Sink name, as in the policy.
        sink: String,
        /// The generation it should hold.
        generation: GenerationNo,
        /// What it holds instead, without secrets.
        found: String,
    },
    /// The consumer of this sink is to be notified, once the sink is seen to hold this generation.
    NotifyOwed {
        /// Sink name, as in the policy.
        sink: String,
        /// Generation of the token.
        generation: GenerationNo,
    },
    /// The consumer was notified.
    Notified {
        /// Sink name, as in the policy.
        sink: String,
        /// Generation of the token.
        generation: GenerationNo,
        /// What was printed, cut short and without secrets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// The consumer of this sink says which generation it uses.
    Acknowledged {
        /// Sink name, as in the policy.
        sink: String,
        /// Generation of the token.
        generation: GenerationNo,
    },
    /// Every required sink is proved: this generation is the current one.
    Promoted {
        /// Generation of the token.
        generation: GenerationNo,
    },
    /// A delete is about to be sent.
    DeleteIntended {
        /// Fingerprint of the token.
        fingerprint: Fingerprint,
        /// Its generation, where it is ours.
        generation: Option<GenerationNo>,
        /// Why it may be deleted, as shown to operators.
        because: String,
    },
    /// The token was seen to be gone.
    Retired {
        /// Fingerprint of the token.
        fingerprint: Fingerprint,
        /// Its generation, where it is ours.
        generation: Option<GenerationNo>,
        /// Whether the daemon deleted it, or someone else.
        by: RetiredBy,
    },
    /// The current or pending token vanished from the server by another's hand.
    TokenLost {
        /// Generation of the token.
        generation: GenerationNo,
        /// The answer of RingCX that showed it.
        evidence: String,
    },
    /// A token taken for gone is on the server again.
    Reappeared {
        /// Generation of the token.
        generation: GenerationNo,
    },
    /// A token of ours works and is not on the server's list, which cannot be believed meanwhile.
    ListDisagreed {
        /// Generation of the token.
        generation: GenerationNo,
    },
    /// The server's list and the token agree again: it is listed, or gone.
    ListAgreed {
        /// Generation of the token.
        generation: GenerationNo,
    },
    /// Something did not work; this says when it is tried again.
    AttemptFailed {
        // Journals call it `lane`, so the field keeps that name.
        /// The work that is held back until then.
        lane: BackoffKey,
        /// The incident it belongs to.
        incident: IncidentKind,
        /// The error as text, without secrets.
        error: String,
        /// How many times in a row, this one included.
        failures: u32,
        /// It is not tried again before then.
        next_attempt_at: DateTime<Utc>,
        // A tag is enough to see that the secret was replaced; the secret itself is never kept.
        /// For a rejected login: the tag of the secret that was rejected.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rejected: Option<SecretTag>,
    },
    /// What had failed works again.
    LaneCleared {
        /// The work that may be done again.
        lane: BackoffKey,
    },
    /// A hold is lifted before its time: nothing is known to work yet, but it may be tried.
    HoldLifted {
        /// The work that may be done again.
        lane: BackoffKey,
        /// An operator, a reload, or another secret.
        by: ReleaseCause,
    },
    /// The local clock and the server's are too far apart to judge ages; nothing is deleted
    /// meanwhile.
    ClockDisagreed {
        /// Local minus server, in seconds.
        skew_seconds: i64,
    },
    /// The clocks agree again.
    ClockAgreed,
    /// The local clock was set, or the machine was started anew. This row's reading of the clock
    /// moves all recorded times along: see [`crate::account::ClockFrame`].
    ClockStepped {
        /// By how much the times recorded before are moved, in milliseconds.
        by_ms: i64,
        /// What shows it.
        source: StepSource,
    },
}

/// How we learnt of a minted token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MintSource {
    /// The mint's answer held it.
    Answered,
    /// The answer was lost; the token was the one new one on the list.
    Recovered,
    /// It came after the mint was given up; it is not published if another was minted meanwhile.
    Late,
}

/// What is known of an effect that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It certainly did not happen.
    NotDone,
    /// It may have happened.
    Unknown,
}

/// Who deleted a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetiredBy {
    /// The daemon, or an operator through it.
    Us,
    /// Someone else: it was gone before the daemon deleted it.
    Another,
}

/// What lifts a hold early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseCause {
    /// An operator asked for a rotation.
    Operator,
    /// The policy was read again.
    Reload,
    /// The password, or another secret of the login, is another one.
    SecretChanged,
}
