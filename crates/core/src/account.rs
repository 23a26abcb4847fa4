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

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::config::{AccountPolicy, Foreign, LoginPolicy};
use crate::event::{BackoffKey, Event, GenerationNo};
use crate::secret::{Fingerprint, SecretTag};

mod fold;
mod frame;
mod proof;
mod records;

pub use frame::{ClockFrame, ClockStep, EarlierTimes};
pub use proof::{Minted, Proved, Verified};
pub use records::{
    Adoption, AmbiguousMint, ClockTrouble, Failure, ForeignToken, Generation, LastDelivery,
    LoginEpoch, LostMint, OpenMint, RingexUse, ServerQuiet, SinkRecord, Stage, TokenLoss,
};

/// How many retired or lost generations are remembered, to know their tokens again.
// Bounded, as each of them is in every checkpoint.
const RETIRED_KEPT: usize = 64;

/// How long a login counts towards a limit of logins a minute. The server counts from when the
/// request arrives, which is later than when it is recorded here: hence the extra second.
pub const LOGIN_WINDOW: TimeDelta = TimeDelta::seconds(61);

/// A clock that was set back by less than this makes no difference.
// As much as the local clock may differ from the server's.
pub(crate) const CLOCK_SLACK: TimeDelta = TimeDelta::minutes(5);

/// Everything the journal says about an account. A checkpoint keeps it as JSON: any change to what
/// is kept is another [`AccountState::FORM`], and those that were written before must still be
/// read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
// Unknown fields are refused: read without them, the next checkpoint would lose what they said.
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
    // Checkpoints from before this field was added lack it.
    #[serde(default)]
    pub ringex: RingexUse,
    /// The last pause that RingCX asked for.
    // Checkpoints without one stay as they were before this field was added; so with the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_quiet: Option<ServerQuiet>,
    /// The tag of the login's secrets that worked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_secret: Option<SecretTag>,
    /// Since when RingCX has wanted the password changed.
    pub password_reset_since: Option<DateTime<Utc>>,
    /// How far the clocks are apart, while they disagree.
    pub clock: Option<ClockTrouble>,
    /// The last time the current token vanished, until another is promoted or it is back.
    pub token_lost: Option<TokenLoss>,
    /// What is to be deleted, once its intent is committed and until its outcome is.
    pub open_delete: Option<Fingerprint>,
    /// What all these times are reckoned by.
    // Checkpoints from before this field was added lack it; left out while unset, they stay as
    // they were.
    #[serde(default, skip_serializing_if = "ClockFrame::is_unknown")]
    pub frame: ClockFrame,
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
        // The newest: any sequence of events is folded, also one that leaves two current.
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

    /// Our tokens that are alive, whether in use or not.
    pub fn alive(&self) -> impl Iterator<Item = &Generation> {
        self.own().filter(|generation| generation.is_alive())
    }

    /// Our tokens that are not in use any more and may be alive: those that wait for their
    /// deletion, and lost ones that worked when a list lacked them before.
    pub fn waits_for_its_end(&self) -> impl Iterator<Item = &Generation> {
        self.own().filter(|generation| match generation.stage() {
            Stage::Previous => true,
            Stage::Lost => generation.unlisted_since.is_some(),
            Stage::Pending | Stage::Current | Stage::Retired => false,
        })
    }

    /// How many tokens of ours are alive, or may be. A mint whose token may be among foreign ones counts too.
    pub fn live_count(&self) -> usize {
        let alive = self.own().filter(|own| match own.stage() {
            Stage::Pending | Stage::Current | Stage::Previous => true,
            // Lists lacked it while it worked, so that they lack it now says little.
            Stage::Lost => own.unlisted_since.is_some(),
            Stage::Retired => false,
        });
        let alive = alive.count();
        // Each may have made a token that never expires, so it counts while a candidate is there.
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

    /// Until when this lane is held back, if it is; the server's also by a pause that it asked for.
    /// Where the clock was set back to before the failure, the hold is over: it would last longer
    /// than intended by that much.
    pub fn held_until(&self, lane: &BackoffKey, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let failure = self.lanes.get(lane).filter(|failure| {
            let set_back = failure.last.signed_duration_since(now) > CLOCK_SLACK;
            !set_back
        });
        let held = failure
            .map(|failure| failure.next_attempt_at)
            .filter(|until| *until > now);
        match lane {
            // `None` is less than any time.
            BackoffKey::Server => held.max(self.quiet_until(now)),
            BackoffKey::Login
            | BackoffKey::Rotation
            | BackoffKey::Retirement
            | BackoffKey::Pass
            | BackoffKey::Sink(_)
            | BackoffKey::Notify(_) => held,
        }
    }

    /// Until when RingCX wants no calls of this account, if so.
    pub fn quiet_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let quiet = self.server_quiet?;
        let set_back = quiet.since.signed_duration_since(now) > CLOCK_SLACK;
        (quiet.until > now && !set_back).then_some(quiet.until)
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
