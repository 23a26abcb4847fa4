//! The reasons of the plan as text: the only place where they become words.
//!
//! These texts are in `plan --json`, and that of [`RetireReason`] is in journals as well.

use std::fmt::{self, Display, Formatter};

use super::{
    Because, Blocked, DeliveryReason, DueReason, PlanNotice, RetireReason, UnfitSink, WaitingFor,
};

impl Display for Because {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::RotationDue(due) => due.fmt(f),
            Self::MintUnresolved(number) => {
                write!(
                    f,
                    "what became of the mint of generation {number} is unknown"
                )
            }
            Self::NotVerified(number) => {
                write!(f, "generation {number} was minted and not tried yet")
            }
            Self::New(number) => write!(f, "generation {number} is new"),
            Self::Delivery(reason) => reason.fmt(f),
            Self::SeenToHold(number) => write!(f, "it was seen to hold generation {number}"),
            Self::WillHold(number) => write!(f, "it will hold generation {number}"),
            Self::OnceProved {
                generation,
                required,
            } => write!(
                f,
                "generation {generation} becomes current once {required} required sinks are proved"
            ),
            Self::NotNotified { notify, generation } => {
                write!(
                    f,
                    "{notify}: it was not told of generation {generation} yet"
                )
            }
            Self::Retirement(reason) => reason.fmt(f),
        }
    }
}

impl Display for DueReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost {
                generation,
                evidence,
            } => write!(f, "generation {generation} is lost: {evidence}"),
            Self::NoCurrentToken => f.write_str("there is no current token"),
            Self::Operator => f.write_str("an operator asked for it"),
            Self::ClockSetBack => f.write_str("the clock was set back since the last rotation"),
            Self::Schedule { current_since } => write!(
                f,
                "the schedule says so (current since {})",
                current_since.format("%F %T UTC")
            ),
        }
    }
}

impl Display for DeliveryReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewerPeer { peer } => write!(f, "account {peer} has a newer token"),
            Self::HoldsGeneration(number) => write!(f, "it holds generation {number}"),
            Self::HoldsForeign(fingerprint) => {
                write!(f, "it holds another token ({})", fingerprint.short())
            }
            Self::HoldsNothing => f.write_str("it holds nothing"),
            Self::HoldsOther(what) => write!(f, "it holds no token of ours: {what}"),
            Self::Unreadable(why) => write!(f, "it cannot be read: {why}"),
            Self::OutcomeUnknown => f.write_str("its last delivery has no known outcome"),
            Self::NeverDelivered => f.write_str("it never got a token"),
            Self::LastFailed => f.write_str("its last delivery failed"),
            Self::ReceiptIsOlder => f.write_str("it holds an older token"),
        }
    }
}

impl Display for RetireReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverPublished {
                generation,
                set_aside,
            } => {
                let why = set_aside.as_deref().unwrap_or("another took its place");
                write!(f, "generation {generation} was never published: {why}")
            }
            Self::Expired(number) => write!(
                f,
                "generation {number} is older than max-age and its overlap is over"
            ),
            Self::AdoptedExpired => {
                f.write_str("it is adopted, older than max-age, and its overlap is over")
            }
            Self::Operator => f.write_str("an operator asked for it"),
        }
    }
}

impl Display for WaitingFor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NextRotation => f.write_str("the next rotation"),
            Self::RotationRetry(due) => write!(f, "the next try of the rotation ({due})"),
            Self::MintCap { live, max_live } => write!(
                f,
                "{live} of our tokens are alive and max-live is {max_live}: nothing is minted"
            ),
            Self::FailingSinks(unfit) => {
                write!(f, "sinks that fail ({})", UnfitSink::list(unfit))
            }
            Self::Ringcx => f.write_str("RingCX"),
            Self::MintOutcome => f.write_str("RingCX, to see what became of the mint"),
            Self::LateArrival(number) => {
                write!(f, "a late arrival of the lost mint of generation {number}")
            }
            Self::VerifyRetry(number) => write!(f, "the next try to verify generation {number}"),
            Self::DoubtSettled(number) => write!(
                f,
                "what RingCX says of generation {number}, which is in doubt"
            ),
            Self::NewerToken { sink } => write!(f, "a newer token for sink {sink}"),
            Self::Parked { sink } => {
                write!(f, "sink {sink} is parked: reload or rotate to try it again")
            }
            Self::SinkRetry { sink } => write!(f, "the next try of sink {sink}"),
            Self::PeerToken { peer, sink } => {
                write!(f, "the token of account {peer}, for sink {sink}")
            }
            Self::NotifyRetry(notify) => write!(f, "the next try of {notify}"),
            Self::Acknowledgement { sink, generation } => write!(
                f,
                "the consumer of sink {sink} to acknowledge generation {generation}"
            ),
            Self::Deletion {
                fingerprint,
                blocked,
            } => write!(f, "deleting {}: {blocked}", fingerprint.short()),
            Self::DeletionRetry(fingerprint) => {
                write!(f, "the next try to delete {}", fingerprint.short())
            }
            Self::DeletionInDoubt(fingerprint) => write!(
                f,
                "deleting {}: the current token is in doubt",
                fingerprint.short()
            ),
            Self::DeletionLogin(fingerprint) => {
                write!(f, "a login, to delete {}", fingerprint.short())
            }
        }
    }
}

impl UnfitSink {
    /// `sink app: no such directory; sink crm: permission denied`
    pub fn list(unfit: &[Self]) -> String {
        let texts: Vec<String> = unfit
            .iter()
            .map(|Self { sink, why }| format!("sink {sink}: {why}"))
            .collect();
        texts.join("; ")
    }
}

impl Display for PlanNotice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AcknowledgesUnknown { sink } => write!(
                f,
                "The consumer of sink {sink} acknowledges a token that is none of this account's"
            ),
            Self::OddAcknowledgement { sink, what } => {
                write!(f, "The consumer of sink {sink} {what}")
            }
            Self::AliveUnderFormerLogin {
                generation,
                fingerprint,
                username,
            } => write!(
                f,
                "Generation {generation} ({}) was minted by {} and is still alive there: \
                 delete it as that user",
                fingerprint.short(),
                username.as_deref().unwrap_or("a former login"),
            ),
            Self::ReleasedSinkHolds { target, generation } => write!(
                f,
                "{target} was taken out of the policy but still holds generation {generation}: \
                 it will not be kept fresh"
            ),
        }
    }
}

impl Display for Blocked {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooYoung { .. } => f.write_str("it reaches max-age"),
            Self::NoSuccessor => f.write_str("its successor is not promoted yet"),
            Self::Overlap { .. } => f.write_str("its overlap ends"),
            Self::InUse => f.write_str("it is the current or the pending token"),
            Self::NotOurs => f.write_str("it is foreign, and the policy keeps foreign tokens"),
            Self::OfAccount { account } => write!(f, "it is a token of account {account}"),
            Self::InAccount { account } => write!(f, "a sink of account {account} holds it"),
            Self::AccountUnseen { account } => {
                write!(f, "the sinks of account {account} have not been looked at")
            }
            Self::NoCurrent => {
                f.write_str("there is no current token, this may be the last one that works")
            }
            Self::Served { sink } => write!(f, "sink {sink} still serves it"),
            Self::SinkUnknown { sink } => write!(f, "it is not known what sink {sink} holds"),
            Self::Untold { sink } => {
                write!(f, "the consumer of sink {sink} was not told of a newer one")
            }
            Self::Unacknowledged { sink } => write!(
                f,
                "the consumer of sink {sink} has not said that it uses a newer one"
            ),
            Self::InFile { path } => write!(f, "it is still in {path}"),
            Self::FileUnknown { why } => write!(f, "it may still be in a file: {why}"),
            Self::SinksUnseen => f.write_str("the sinks have not been looked at"),
            Self::NoList => f.write_str("the current token has not just been seen to work"),
            Self::ListDisagrees => {
                f.write_str("the server's list does not show the current token, which works")
            }
            Self::NotListed => f.write_str("it is not on the server's list"),
            Self::Clock {
                skew_seconds: Some(skew),
            } => write!(
                f,
                "the local clock is {skew} s off the server's, so ages cannot be trusted"
            ),
            Self::Clock { skew_seconds: None } => f.write_str(
                "the server did not tell its time, so the local clock cannot be trusted",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
