//! What is said about each kind of event wherever it is shown: name, message, level and message id.

use super::{Event, IncidentKind};

/// How a log line ranks: who has to act on what it reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// An operator must act.
    Error,
    /// It did not work, and is tried again without anyone's help.
    Warn,
    /// Something happened to a token, a sink or an account.
    Info,
    /// Steps on the way, for those who look for a cause.
    Debug,
}

/// One row of the table below.
struct EventInfo {
    name: &'static str,
    message_id: &'static str,
    level: Level,
    message: &'static str,
}

/// Makes the enum, the list of its variants and the table from the same rows:
/// `Variant = name, message id, level, message;`
macro_rules! event_kinds {
    ($($kind:ident = $name:literal, $message_id:literal, $level:ident, $message:literal;)*) => {
        /// The kinds of event, as the log tells them apart. [`Event::PasswordReset`] is two of
        /// them: only one of its values needs an operator.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum EventKind {
            $(#[doc = $message] $kind,)*
        }

        impl EventKind {
            /// Every kind there is.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            const fn info(self) -> &'static EventInfo {
                const EVENTS: &[EventInfo] = &[$(EventInfo {
                    name: $name,
                    message_id: $message_id,
                    level: Level::$level,
                    message: $message,
                }),*];
                // The enum and the table list the same rows in the same order.
                &EVENTS[self as usize]
            }
        }
    };
}

// Names and message ids are in filters of operators: they never change.
event_kinds! {
    LineStarted = "line-started", "efea557ec6014205918b306afdd65fec", Info,
        "Account taken under management";
    RotationAsked = "rotation-asked", "929aa283b40547cebb354d4b0e988e63", Info,
        "Rotation asked for";
    RingexAttempted = "ringex-attempted", "45971004c4e04881ba019f5bff5a410e", Debug,
        "Logging in to RingEX";
    RingexQuiet = "ringex-quiet", "fafc8934229148ffba9bd5e764ba5366", Warn,
        "RingEX asks to be left alone, no account of this app logs in";
    ServerQuiet = "server-quiet", "3f4c29e8e4be4a98b165ca6c51307139", Warn,
        "RingCX asks to be left alone, no call of this account is sent until then";
    SecretAccepted = "secret-accepted", "ed52a8b7f62046349e9d78ae2d4099e8", Debug,
        "The secrets of the login work";
    LoginAttempted = "login-attempted", "97a6294347a841b0b466e2a00b5c08a2", Debug,
        "Logging in";
    PasswordResetRequired = "password-reset-required", "98d0733912a94f9fb9561f655e39b4dc", Error,
        "RingCX wants the password changed: it may stop working soon";
    PasswordResetOver = "password-reset-over", "76a11578178349918ad3f7349bc3f3a8", Info,
        "RingCX no longer wants the password changed";
    ForeignSeen = "foreign-seen", "9779fc7159d1444cadbebc9acd2f04f5", Info,
        "Tokens that are not ours appeared";
    ForeignGone = "foreign-gone", "ebde1f2fa713464ab38e43e52d5f5776", Info,
        "Tokens that are not ours are gone";
    ForeignClaimed = "foreign-claimed", "8f0c5d7be2a94b1c9a3e6d1f47c05b62", Info,
        "Tokens belong to another account of the policy";
    Adopted = "adopted", "2b643c39088c4f33845cc63eeb0cb595", Info,
        "Foreign token adopted";
    AdoptedHeld = "adopted-held", "a78892a3ed1f44d7a76573896772546c", Info,
        "Adopted token is elsewhere now";
    Disowned = "disowned", "495569d8ee574fa4a9379540258c9420", Info,
        "Adopted token is foreign again";
    MintIntended = "mint-intended", "c72c661ca13041a88fc77ced7276d30e", Debug,
        "Minting";
    Minted = "minted", "698a2e1d1644479b86976947929f9392", Info,
        "Token minted";
    MintFailed = "mint-failed", "f2486bd43e1546ecbca03d50bc86adaa", Warn,
        "Mint not sent";
    MintUnknown = "mint-unknown", "90545686674f41f28c6df30f48db7565", Warn,
        "Outcome of the mint unknown, looking at the list";
    MintMissing = "mint-missing", "682379ec81e84f2eb31bda875db1e99f", Info,
        "Mint left no token on the list so far";
    MintAmbiguous = "mint-ambiguous", "40bddf594bc84ff4881da6bd035656ca", Error,
        "Cannot tell which token is ours";
    LostMintClosed = "lost-mint-closed", "ee766956741942f6ab42b55b391b169e", Debug,
        "Lost mint did not arrive";
    Verified = "verified", "97f02a9e7be6472ea9d88f17178ff1d7", Info,
        "Token verified";
    Abandoned = "abandoned", "198474d2ad6b4b8cbf5533bca7410bd5", Warn,
        "Token given up";
    SinkBound = "sink-bound", "b5abbd139fa14002bd93dbe45c0127e1", Info,
        "Sink taken under management";
    SinkReleased = "sink-released", "0aebc8f1244347e8957d49da0ece1899", Info,
        "Sink taken out of the policy";
    DeliveryIntended = "delivery-intended", "81edb9361ded41989c11c9efeddb33d0", Debug,
        "Delivering";
    Delivered = "delivered", "3af84a9934de4198aeb357488cf449d2", Info,
        "Token delivered";
    DeliveryFailed = "delivery-failed", "68cd44ae60dc4db8a520ad449acc5c1d", Debug,
        "Delivery did not succeed";
    Proved = "proved", "609389aa7d974b479d755249a29072cd", Info,
        "Delivery proved";
    Drifted = "drifted", "4b5a3bed9c0e4e3db6a026ad5352e807", Warn,
        "Sink no longer holds the token";
    NotifyOwed = "notify-owed", "50a6ef98af0c4e4f8d3d3a59df1ba59c", Debug,
        "Consumer is to be told";
    Notified = "notified", "8b0ae51adc94419fbc739d794aeb8219", Info,
        "Consumer told";
    Acknowledged = "acknowledged", "c9ff6b80f9e54d95b3acec9caf04e4b7", Info,
        "Consumer says that it uses this token";
    Promoted = "promoted", "4591aac4d34040d2b948df6909819c43", Info,
        "Token is current";
    DeleteIntended = "delete-intended", "9370aa93f25640ada4fa82721f345691", Info,
        "Deleting token";
    Retired = "retired", "3ca58d033f2c4159ad3f70d27e11bfb1", Info,
        "Token is gone";
    TokenLost = "token-lost", "0a2a8ec9b4644c7aa32e79d1bffca6be", Error,
        "Token vanished from the server";
    Reappeared = "reappeared", "3992973a368748e191860465046be2a9", Warn,
        "Token is on the server again";
    ListDisagreed = "list-disagreed", "20e01e8a6dbd438582d0ca7fa821ddd5", Warn,
        "Token works and is not on the server's list";
    ListAgreed = "list-agreed", "ac272dcaad264b88b58d9c8627838f91", Info,
        "Token and the server's list agree again";
    AttemptFailed = "attempt-failed", "d287591c18d2465db97700804d6cbb82", Warn,
        "Attempt failed";
    LaneCleared = "lane-cleared", "51b21d2bd4374a75b503ca8a4cf60889", Info,
        "Works again";
    HoldLifted = "hold-lifted", "854f87ae890a4a9dabde290454a15408", Debug,
        "May be tried again";
    ClockDisagreed = "clock-disagreed", "cdc72b4fd73644a18aacda9ceae5380b", Error,
        "Local clock and server disagree, nothing is deleted";
    ClockAgreed = "clock-agreed", "3e8736286e2b4f58951db25db22ca6d0", Info,
        "Local clock and server agree again";
    ClockStepped = "clock-stepped", "db70534692ac4cacacb7b62ab4d2e887", Info,
        "Recorded times follow the local clock, which was set or started anew";
}

impl EventKind {
    /// The name of its log lines, such as `minted`.
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// The `MESSAGE_ID` of systemd's journal, by which `journalctl -x` finds the explanation.
    pub const fn message_id(self) -> &'static str {
        self.info().message_id
    }

    /// The level of its log lines. [`Event::level`] knows the one exception.
    pub const fn level(self) -> Level {
        self.info().level
    }

    /// The text of its log lines. The facts are fields beside it.
    pub const fn message(self) -> &'static str {
        self.info().message
    }
}

impl Event {
    /// What is said about this event, whatever its facts are.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::LineStarted { .. } => EventKind::LineStarted,
            Self::RotationAsked => EventKind::RotationAsked,
            Self::RingexAttempted { .. } => EventKind::RingexAttempted,
            Self::RingexQuiet { .. } => EventKind::RingexQuiet,
            Self::ServerQuiet { .. } => EventKind::ServerQuiet,
            Self::SecretAccepted { .. } => EventKind::SecretAccepted,
            Self::LoginAttempted => EventKind::LoginAttempted,
            // One event in the journal and two kinds in the log, which differ in their level.
            Self::PasswordReset { required: true } => EventKind::PasswordResetRequired,
            Self::PasswordReset { required: false } => EventKind::PasswordResetOver,
            Self::ForeignSeen { .. } => EventKind::ForeignSeen,
            Self::ForeignGone { .. } => EventKind::ForeignGone,
            Self::ForeignClaimed { .. } => EventKind::ForeignClaimed,
            Self::Adopted { .. } => EventKind::Adopted,
            Self::AdoptedHeld { .. } => EventKind::AdoptedHeld,
            Self::Disowned { .. } => EventKind::Disowned,
            Self::MintIntended { .. } => EventKind::MintIntended,
            Self::Minted { .. } => EventKind::Minted,
            Self::MintFailed { .. } => EventKind::MintFailed,
            Self::MintUnknown { .. } => EventKind::MintUnknown,
            Self::MintMissing { .. } => EventKind::MintMissing,
            Self::MintAmbiguous { .. } => EventKind::MintAmbiguous,
            Self::LostMintClosed { .. } => EventKind::LostMintClosed,
            Self::Verified { .. } => EventKind::Verified,
            Self::Abandoned { .. } => EventKind::Abandoned,
            Self::SinkBound { .. } => EventKind::SinkBound,
            Self::SinkReleased { .. } => EventKind::SinkReleased,
            Self::DeliveryIntended { .. } => EventKind::DeliveryIntended,
            Self::Delivered { .. } => EventKind::Delivered,
            Self::DeliveryFailed { .. } => EventKind::DeliveryFailed,
            Self::Proved { .. } => EventKind::Proved,
            Self::Drifted { .. } => EventKind::Drifted,
            Self::NotifyOwed { .. } => EventKind::NotifyOwed,
            Self::Notified { .. } => EventKind::Notified,
            Self::Acknowledged { .. } => EventKind::Acknowledged,
            Self::Promoted { .. } => EventKind::Promoted,
            Self::DeleteIntended { .. } => EventKind::DeleteIntended,
            Self::Retired { .. } => EventKind::Retired,
            Self::TokenLost { .. } => EventKind::TokenLost,
            Self::Reappeared { .. } => EventKind::Reappeared,
            Self::ListDisagreed { .. } => EventKind::ListDisagreed,
            Self::ListAgreed { .. } => EventKind::ListAgreed,
            Self::AttemptFailed { .. } => EventKind::AttemptFailed,
            Self::LaneCleared { .. } => EventKind::LaneCleared,
            Self::HoldLifted { .. } => EventKind::HoldLifted,
            Self::ClockDisagreed { .. } => EventKind::ClockDisagreed,
            Self::ClockAgreed => EventKind::ClockAgreed,
            Self::ClockStepped { .. } => EventKind::ClockStepped,
        }
    }

    /// The level of its log line.
    pub fn level(&self) -> Level {
        match self {
            // A rejected secret stays rejected, however often it is tried.
            Self::AttemptFailed {
                incident: IncidentKind::LoginRejected,
                ..
            } => Level::Error,
            event => event.kind().level(),
        }
    }

    /// The text of its log line.
    pub fn message(&self) -> &'static str {
        self.kind().message()
    }
}

#[cfg(test)]
mod tests;
