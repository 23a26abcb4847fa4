//! The kinds of incident. What each means and what to do about it is in
//! [`crate::incidents::INCIDENTS`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of incident. One of them in one account, or at one sink, is one incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IncidentKind {
    // In the order of `INCIDENTS`, which finds a row by its position.
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
    /// The consumer of a sink could not be notified of its new token.
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
    /// A token works and is not on the server's list.
    ListDisagrees,
    /// RingCX dropped an old token before its overlap was over.
    OverlapCut,
    /// A pass does not come to an end.
    Stuck,
}

impl IncidentKind {
    /// The name in the journal, in JSON, in keys and in mails, such as `sink-failed`.
    pub const fn name(self) -> &'static str {
        match self {
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
            Self::ListDisagrees => "list-disagrees",
            Self::OverlapCut => "overlap-cut",
            Self::Stuck => "stuck",
        }
    }
}

impl fmt::Display for IncidentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
