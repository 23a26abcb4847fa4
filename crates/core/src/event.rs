//! The vocabulary: everything that can happen to an account and its tokens.
//!
//! The journal keeps these, [`crate::account::AccountState`] is their fold, `history` prints them.
//! They hold fingerprints, never tokens. A variant that is already in somebody's journal is never
//! renamed and never loses a field; new fields take `#[serde(default)]`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::secret::{Fingerprint, SecretTag};

/// Counts an account's tokens from 1, in the order in which they were meant to be minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GenerationNo(pub u64);

impl fmt::Display for GenerationNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One thing that happened to one account, at the time its journal row says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
        /// The app.
        client_id: String,
    },
    /// RingEX asks that the app be left alone; a request before then may prolong that.
    RingexQuiet {
        /// The app.
        client_id: String,
        /// Not before then.
        until: DateTime<Utc>,
    },
    /// A login is about to be sent to RingCX. Counted against `logins-per-minute`, across restarts
    /// too.
    LoginAttempted,
    /// What a login said of the password: whether RingCX wants it changed.
    PasswordReset {
        /// `adminPasswordReset`.
        required: bool,
    },
    /// Tokens on the server that are not ours and were not there before.
    ForeignSeen {
        /// Which.
        fingerprints: BTreeSet<Fingerprint>,
    },
    /// Foreign tokens that are no longer on the server.
    ForeignGone {
        /// Which.
        fingerprints: BTreeSet<Fingerprint>,
    },
    /// An operator put a foreign token under the policy: from here on it ages like one of ours.
    /// Where it was adopted before, this takes the place of that.
    Adopted {
        /// Which.
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
        /// Which.
        fingerprint: Fingerprint,
        /// Where: names of sinks, and paths.
        held_by: BTreeSet<String>,
    },
    /// An operator took a foreign token out of the policy again.
    Disowned {
        /// Which.
        fingerprint: Fingerprint,
    },
    /// A mint is about to be sent. Until its outcome is recorded it is unknown.
    MintIntended {
        /// The generation it is to become.
        generation: GenerationNo,
        /// Every token on the server just before.
        baseline: BTreeSet<Fingerprint>,
    },
    /// The intended mint made this token.
    Minted {
        /// Which generation it is.
        generation: GenerationNo,
        /// Its fingerprint.
        fingerprint: Fingerprint,
        /// How we learnt of it.
        how: MintSource,
    },
    /// The mint request never left this machine.
    MintFailed {
        /// The generation it was to become.
        generation: GenerationNo,
        /// Why.
        error: String,
    },
    /// The mint may or may not have happened; the list will tell.
    MintUnknown {
        /// The generation it was to become.
        generation: GenerationNo,
        /// What was seen instead of a token.
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
        /// The tokens that one of which may be ours. They count as foreign.
        candidates: BTreeSet<Fingerprint>,
    },
    /// The time in which a lost mint could arrive late is over.
    LostMintClosed {
        /// The generation it was to become.
        generation: GenerationNo,
    },
    /// The token lists itself and makes a real API call.
    Verified {
        /// Which.
        generation: GenerationNo,
    },
    /// The token will not be published and is to be deleted.
    Abandoned {
        /// Which.
        generation: GenerationNo,
        /// Why.
        reason: String,
    },
    /// A sink is managed from here on.
    SinkBound {
        /// Its name.
        sink: String,
        /// `file`, `env-file`, `webhook`.
        sink_type: String,
        /// Where it is, in words without secrets: a path, a path and key, a host. Another target is
        /// another sink.
        target: String,
    },
    /// A sink was taken out of the policy and no longer counts.
    SinkReleased {
        /// Its name.
        sink: String,
    },
    /// A delivery is about to begin. Until its outcome is recorded the sink may hold this
    /// generation.
    DeliveryIntended {
        /// To where.
        sink: String,
        /// What.
        generation: GenerationNo,
    },
    /// The sink took the token.
    Delivered {
        /// Which sink.
        sink: String,
        /// What.
        generation: GenerationNo,
        /// What the sink said of it.
        #[serde(default, skip_serializing_if = "DeliveryReceipt::is_plain")]
        taken: DeliveryReceipt,
    },
    /// The sink did not take the token, or may not have.
    DeliveryFailed {
        /// Which sink.
        sink: String,
        /// What.
        generation: GenerationNo,
        /// Whether it may hold the token all the same.
        outcome: Outcome,
        /// Nothing more is sent until the policy is reloaded or an operator asks.
        parked: bool,
        /// What the sink said, in words without secrets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// The sink was seen to hold the token, and what it holds was used.
    Proved {
        /// Which sink.
        sink: String,
        /// What.
        generation: GenerationNo,
    },
    /// A sink that was proved no longer holds what it held.
    Drifted {
        /// Which sink.
        sink: String,
        /// The generation it should hold.
        generation: GenerationNo,
        /// What was found, in words without secrets.
        found: String,
    },
    /// Those who read this sink are to be told, once it is seen to hold this generation.
    NotifyOwed {
        /// Which sink.
        sink: String,
        /// What.
        generation: GenerationNo,
    },
    /// They were told.
    Notified {
        /// Which sink.
        sink: String,
        /// Of what.
        generation: GenerationNo,
        /// What was printed, cut short and without secrets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// The consumer of this sink says which generation it uses.
    Acknowledged {
        /// Which sink.
        sink: String,
        /// What.
        generation: GenerationNo,
    },
    /// Every required sink is proved: this generation is the current one.
    Promoted {
        /// Which.
        generation: GenerationNo,
    },
    /// A delete is about to be sent.
    DeleteIntended {
        /// Which token.
        fingerprint: Fingerprint,
        /// Its generation, where it is ours.
        generation: Option<GenerationNo>,
        /// Why it may go.
        because: String,
    },
    /// The token was seen to be gone.
    Retired {
        /// Which token.
        fingerprint: Fingerprint,
        /// Its generation, where it is ours.
        generation: Option<GenerationNo>,
        /// Whose hand it was.
        by: RetiredBy,
    },
    /// The current or pending token vanished from the server by another's hand.
    TokenLost {
        /// Which.
        generation: GenerationNo,
        /// What showed it.
        evidence: String,
    },
    /// A token taken for gone is on the server again.
    Reappeared {
        /// Which.
        generation: GenerationNo,
    },
    /// Something did not work; this says when it is tried again.
    AttemptFailed {
        /// What is held back until then.
        lane: BackoffKey,
        /// The incident it belongs to.
        incident: IncidentKind,
        /// What went wrong, in words without secrets.
        error: String,
        /// How many times in a row, this one included.
        failures: u32,
        /// Not before then.
        next_attempt_at: DateTime<Utc>,
        /// For a rejected login: the tag of the secret that was rejected.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rejected: Option<SecretTag>,
    },
    /// What had failed works again.
    LaneCleared {
        /// What is no longer held back.
        lane: BackoffKey,
    },
    /// A hold is lifted before its time: nothing is known to work yet, but it may be tried.
    HoldLifted {
        /// What is no longer held back.
        lane: BackoffKey,
        /// By what.
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
}

/// What a sink said of a token that it took, beyond that it did. The journal remembers it for the
/// sink, which has no memory of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryReceipt {
    /// The state that it left its target in, for a sink that can tell that state again but not read
    /// the token out of it: the SHA-256 of a rendered file, the `updatedTime` of an auth config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How it is known that the token is there, where a sink has more than one way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// What a program printed, cut short and without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The tokens of other accounts that went there with it, by account.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub peers: BTreeMap<String, PeerToken>,
}

impl DeliveryReceipt {
    /// Whether there is nothing to be said.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// Another account's token in a sink of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerToken {
    /// Its generation, counted in that account.
    pub generation: GenerationNo,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
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

/// Whose hand deleted a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetiredBy {
    /// Ours.
    Us,
    /// Someone else's.
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

/// A kind of work with a back-off of its own, so that one that fails holds up no other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackoffKey {
    /// Logging in: without it nothing can be minted.
    Login,
    /// Asking the server anything at all.
    Server,
    /// Preflight, mint, verify.
    Rotation,
    /// Delete.
    Retirement,
    /// Delivering to, and proving, one sink.
    Sink(String),
    /// Telling those who read one sink.
    Notify(String),
}

impl fmt::Display for BackoffKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login => f.write_str("login"),
            Self::Server => f.write_str("server"),
            Self::Rotation => f.write_str("rotation"),
            Self::Retirement => f.write_str("retirement"),
            Self::Sink(name) => write!(f, "sink:{name}"),
            Self::Notify(name) => write!(f, "notify:{name}"),
        }
    }
}

/// The text names no lane.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no lane")]
pub struct UnknownBackoffKey(String);

impl FromStr for BackoffKey {
    type Err = UnknownBackoffKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.split_once(':')) {
            ("login", _) => Ok(Self::Login),
            ("server", _) => Ok(Self::Server),
            ("rotation", _) => Ok(Self::Rotation),
            ("retirement", _) => Ok(Self::Retirement),
            (_, Some(("sink", name))) => Ok(Self::Sink(name.to_owned())),
            (_, Some(("notify", name))) => Ok(Self::Notify(name.to_owned())),
            _ => Err(UnknownBackoffKey(text.to_owned())),
        }
    }
}

impl Serialize for BackoffKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BackoffKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The kinds of incident an operator is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IncidentKind {
    /// RingCX or RingEX refused the login's secrets, or its user.
    LoginRejected,
    /// The login could not be made for any other reason.
    LoginFailed,
    /// RingCX wants the password changed.
    PasswordResetRequired,
    /// A required sink could not take a token, so none was minted.
    PreflightFailed,
    /// No token could be minted.
    MintFailed,
    /// A mint's outcome is unknown and cannot be told from the list.
    MintUnknown,
    /// `max-live` of our tokens are alive.
    MintCapped,
    /// A minted token never worked.
    VerifyFailed,
    /// A sink does not take the token.
    SinkFailed,
    /// A sink no longer held the token.
    SinkDrifted,
    /// Those who read a sink could not be told of its new token.
    NotifyFailed,
    /// The consumer of a sink has not said in time that it uses the new token.
    AcknowledgementLate,
    /// The current token vanished.
    TokenLost,
    /// An old token could not be deleted.
    RetireFailed,
    /// A rotation is due for too long.
    RotationOverdue,
    /// A retirement is due for too long.
    RetirementOverdue,
    /// The local clock and the server's are too far apart.
    ClockDisagrees,
    /// The policy could not be loaded again.
    ReloadFailed,
}

impl fmt::Display for IncidentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LoginRejected => "login-rejected",
            Self::LoginFailed => "login-failed",
            Self::PasswordResetRequired => "password-reset-required",
            Self::PreflightFailed => "preflight-failed",
            Self::MintFailed => "mint-failed",
            Self::MintUnknown => "mint-unknown",
            Self::MintCapped => "mint-capped",
            Self::VerifyFailed => "verify-failed",
            Self::SinkFailed => "sink-failed",
            Self::SinkDrifted => "sink-drifted",
            Self::NotifyFailed => "notify-failed",
            Self::AcknowledgementLate => "acknowledgement-late",
            Self::TokenLost => "token-lost",
            Self::RetireFailed => "retire-failed",
            Self::RotationOverdue => "rotation-overdue",
            Self::RetirementOverdue => "retirement-overdue",
            Self::ClockDisagrees => "clock-disagrees",
            Self::ReloadFailed => "reload-failed",
        })
    }
}
