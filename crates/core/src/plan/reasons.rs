//! Why the plan wants a step, what it waits for, and what an operator should know: as data.
//!
//! The plan is asked again after every step and its reasons are read by few of the callers, so they
//! carry numbers and names only. `reasons/text.rs` puts them into words for `plan`, for `status`
//! and for the journal. For example [`Because::New`] with generation 3 reads "generation 3 is new".

use chrono::{DateTime, Utc};

use crate::config::Notify;
use crate::event::GenerationNo;
use crate::secret::Fingerprint;

mod text;

/// Why a step is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// A mint: a rotation is due.
    RotationDue(DueReason),
    /// The outcome of this generation's mint is not known.
    MintUnresolved(GenerationNo),
    /// This generation was minted and has not been used for a call yet.
    NotVerified(GenerationNo),
    /// The step follows from the mint of this generation.
    New(GenerationNo),
    /// Why a sink gets the token, for example as it holds an older generation.
    Delivery(DeliveryReason),
    /// The sink was seen to hold this generation, which was not proved there.
    SeenToHold(GenerationNo),
    /// The sink will hold this generation once it is delivered.
    WillHold(GenerationNo),
    /// This generation becomes the current one when the required sinks are proved.
    OnceProved {
        /// The pending generation, which the sinks get now.
        generation: GenerationNo,
        /// The number of required sinks in the policy.
        required: usize,
    },
    /// The consumer of a sink was not notified of this generation yet.
    NotNotified {
        /// How it is notified. Boxed: it is larger than all other reasons.
        notify: Box<Notify>,
        /// The generation that the sink holds.
        generation: GenerationNo,
    },
    /// Why an old token is deleted, for example as its overlap is over.
    Retirement(RetireReason),
}

/// Why a rotation is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DueReason {
    /// The current token does not work any more.
    Lost {
        /// The generation that was current.
        generation: GenerationNo,
        /// What spoke against it, as the journal has it.
        evidence: String,
    },
    /// The account has no current token.
    NoCurrentToken,
    /// An operator asked for it with `ringcx-rotator rotate`.
    Operator,
    /// The last promotion lies in the future, by a clock that agrees with the server's.
    ClockSetBack,
    /// The time that the schedule gives has come.
    Schedule {
        /// When the current token was minted.
        current_since: DateTime<Utc>,
    },
}

/// Why a token is delivered to a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryReason {
    /// A template names another account, which has a newer token than the file.
    NewerPeer {
        /// Name of the other account, as in the policy.
        peer: String,
    },
    /// The sink holds this older generation.
    HoldsGeneration(GenerationNo),
    /// The sink holds a token that is not in the journal.
    HoldsForeign(Fingerprint),
    /// The sink is empty, or its file does not exist.
    HoldsNothing,
    /// The sink holds something that is not one of our tokens; the text says what.
    HoldsOther(String),
    /// The sink could not be read; the text says why.
    Unreadable(String),
    /// The journal has a delivery without an outcome.
    OutcomeUnknown,
    /// The journal has no delivery to this sink.
    NeverDelivered,
    /// The last delivery failed.
    LastFailed,
    /// By the last receipt it holds an older token; the sink itself cannot be read.
    ReceiptIsOlder,
}

/// Why an old token may be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetireReason {
    /// It was never delivered to any sink.
    NeverPublished {
        /// The generation of the token that is deleted.
        generation: GenerationNo,
        /// Why it was given up, where the journal says so.
        set_aside: Option<String>,
    },
    /// It is ours, and its age and overlap are over.
    Expired(GenerationNo),
    /// It is adopted, and its age and overlap are over.
    AdoptedExpired,
    /// An operator named it in `ringcx-rotator revoke`.
    Operator,
}

/// What the plan waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitingFor {
    /// The time that the schedule gives.
    NextRotation,
    /// The end of the back-off after a rotation that failed, or of a login's.
    RotationRetry(DueReason),
    /// Fewer of our tokens on the server: `max-live` are alive.
    MintCap {
        /// The number that are alive.
        live: usize,
        /// The policy's `max-live`, for example 8.
        max_live: u32,
    },
    /// Required sinks that cannot take a token, and whose back-off is not over.
    FailingSinks(Vec<UnfitSink>),
    /// RingCX, which asked for a pause.
    Ringcx,
    /// RingCX, for a list that shows what became of a mint.
    MintOutcome,
    /// The token of a lost mint, which may still appear on a list.
    LateArrival(GenerationNo),
    /// The end of the back-off after this generation could not be verified.
    VerifyRetry(GenerationNo),
    /// A list that settles the doubt about this generation.
    DoubtSettled(GenerationNo),
    /// A token that is newer than the one that the sink got last.
    NewerToken {
        /// The sink's name in the policy.
        sink: String,
    },
    /// An operator, as the receiver of this sink answered that it is gone.
    Parked {
        /// The sink's name in the policy.
        sink: String,
    },
    /// The end of this sink's back-off.
    SinkRetry {
        /// The sink's name in the policy.
        sink: String,
    },
    /// Another account's token, without which a template cannot be rendered.
    PeerToken {
        /// Name of the other account, as in the policy.
        peer: String,
        /// The sink's name in the policy.
        sink: String,
    },
    /// The end of the back-off after this notification failed.
    NotifyRetry(Box<Notify>),
    /// The consumer of a sink, which has not acknowledged this generation yet.
    Acknowledgement {
        /// The sink's name in the policy.
        sink: String,
        /// The generation that the sink holds.
        generation: GenerationNo,
    },
    /// A guard to let an old token be deleted.
    Deletion {
        /// Fingerprint of the token that is to be deleted.
        fingerprint: Fingerprint,
        /// The guard that keeps it, for example that a sink still serves it.
        blocked: Blocked,
    },
    /// The end of the back-off after a deletion failed.
    DeletionRetry(Fingerprint),
    /// The current token, which is in doubt, so that this one is not deleted.
    DeletionInDoubt(Fingerprint),
    /// The end of the login's back-off, to list before this token is deleted.
    DeletionLogin(Fingerprint),
}

/// A required sink that cannot take a token, as its preflight found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfitSink {
    /// The sink's name in the policy.
    pub sink: String,
    /// What the preflight said.
    pub why: String,
}

/// What an operator should know though nothing is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanNotice {
    /// A consumer acknowledges a token that the journal does not have.
    AcknowledgesUnknown {
        /// The sink's name in the policy.
        sink: String,
    },
    /// What a consumer wrote cannot be read as an acknowledgement.
    OddAcknowledgement {
        /// The sink's name in the policy.
        sink: String,
        /// What is wrong with it, as the end of a sentence about the consumer.
        what: String,
    },
    /// A token of a former login is still alive; only that user can delete it.
    AliveUnderFormerLogin {
        /// The generation that is still alive.
        generation: GenerationNo,
        /// Fingerprint of its token, by which that user finds it.
        fingerprint: Fingerprint,
        /// The former login, where the journal still has it.
        username: Option<String>,
    },
    /// A sink that is no longer in the policy still holds a token of ours.
    ReleasedSinkHolds {
        /// Its target, for example a path.
        target: String,
        /// The generation whose token it holds.
        generation: GenerationNo,
    },
}

/// Why a token may not be deleted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// It is younger than `max-age`.
    TooYoung {
        /// When it reaches `max-age`.
        until: DateTime<Utc>,
    },
    /// Its successor was not promoted yet.
    NoSuccessor,
    /// Less than `overlap` has passed since its successor was promoted.
    Overlap {
        /// When `overlap` has passed.
        until: DateTime<Utc>,
    },
    /// It is the current or the pending one.
    InUse,
    /// It is not ours, and the policy keeps those.
    NotOurs,
    /// It is a token of another account of the policy, which logs in as the same user.
    OfAccount {
        /// That account's name in the policy.
        account: String,
    },
    /// A sink of another account that logs in as the same user holds it.
    InAccount {
        /// That account's name in the policy.
        account: String,
    },
    /// It is not ours, and the sinks of another account that logs in as the same user have not been
    /// looked at since the start.
    AccountUnseen {
        /// That account's name in the policy.
        account: String,
    },
    /// There is no current token: this may be the last one that works.
    NoCurrent,
    /// A sink serves it.
    Served {
        /// The sink's name in the policy.
        sink: String,
    },
    /// It is not known what a required sink holds.
    SinkUnknown {
        /// The sink's name in the policy.
        sink: String,
    },
    /// The consumer of a required sink was not notified of the sink's token yet, so it may use an
    /// older one.
    Untold {
        /// The sink's name in the policy.
        sink: String,
    },
    /// The consumer of a required sink has not said that it uses a newer one.
    Unacknowledged {
        /// The sink's name in the policy.
        sink: String,
    },
    /// A file that is looked through for it holds it.
    InFile {
        /// Path of the file, as recorded at the adoption.
        path: String,
    },
    /// A file that is looked through for it could not be read.
    FileUnknown {
        /// The file, and the error.
        why: String,
    },
    /// The sinks were not looked at in this pass.
    SinksUnseen,
    /// No fresh list was had with the current token.
    NoList,
    /// The server's list, had with the current token, does not show that token.
    ListDisagrees,
    /// It is not on that list, so it is not known whose it is.
    NotListed,
    /// The local clock and the server's are too far apart, or the server did not tell its time.
    Clock {
        /// Local minus server time, in seconds; `None` without a `Date` header.
        skew_seconds: Option<i64>,
    },
}
