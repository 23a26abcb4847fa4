//! Events by subject, as patterns.
//!
//! A match over all events is too long for one function. With these it is one arm for each subject,
//! and each subject has a function of its own; both matches stay exhaustive, so that a new event
//! does not compile before every one of them has an arm for it.
//!
//! ```
//! use rotator_core::event::Event;
//!
//! fn is_about_a_sink(event: &Event) -> bool {
//!     match event {
//!         rotator_core::sink_events!() | rotator_core::consumer_events!() => true,
//!         rotator_core::account_events!()
//!         | rotator_core::backoff_events!()
//!         | rotator_core::foreign_events!()
//!         | rotator_core::mint_events!()
//!         | rotator_core::token_events!() => false,
//!     }
//! }
//!
//! assert!(is_about_a_sink(&Event::SinkReleased { sink: "crm".to_owned() }));
//! ```

// Macros, because Rust has no other way to give a pattern a name.
/// The account as a whole: its login, its clock, what an operator asked for.
#[macro_export]
macro_rules! account_events {
    () => {
        $crate::event::Event::LineStarted { .. }
            | $crate::event::Event::RotationAsked
            | $crate::event::Event::RingexAttempted { .. }
            | $crate::event::Event::RingexQuiet { .. }
            | $crate::event::Event::ServerQuiet { .. }
            | $crate::event::Event::SecretAccepted { .. }
            | $crate::event::Event::LoginAttempted
            | $crate::event::Event::PasswordReset { .. }
            | $crate::event::Event::ClockDisagreed { .. }
            | $crate::event::Event::ClockAgreed
            | $crate::event::Event::ClockStepped { .. }
    };
}

/// Failed attempts, and the end of the waits that they cause.
#[macro_export]
macro_rules! backoff_events {
    () => {
        $crate::event::Event::AttemptFailed { .. }
            | $crate::event::Event::LaneCleared { .. }
            | $crate::event::Event::HoldLifted { .. }
    };
}

/// Tokens that the daemon did not mint.
#[macro_export]
macro_rules! foreign_events {
    () => {
        $crate::event::Event::ForeignSeen { .. }
            | $crate::event::Event::ForeignGone { .. }
            | $crate::event::Event::ForeignClaimed { .. }
            | $crate::event::Event::Adopted { .. }
            | $crate::event::Event::AdoptedHeld { .. }
            | $crate::event::Event::Disowned { .. }
    };
}

/// A mint, from its intent to its outcome.
#[macro_export]
macro_rules! mint_events {
    () => {
        $crate::event::Event::MintIntended { .. }
            | $crate::event::Event::Minted { .. }
            | $crate::event::Event::MintFailed { .. }
            | $crate::event::Event::MintUnknown { .. }
            | $crate::event::Event::MintMissing { .. }
            | $crate::event::Event::MintAmbiguous { .. }
            | $crate::event::Event::LostMintClosed { .. }
    };
}

/// A token after its mint, up to its deletion.
#[macro_export]
macro_rules! token_events {
    () => {
        $crate::event::Event::Verified { .. }
            | $crate::event::Event::Abandoned { .. }
            | $crate::event::Event::Promoted { .. }
            | $crate::event::Event::DeleteIntended { .. }
            | $crate::event::Event::Retired { .. }
            | $crate::event::Event::TokenLost { .. }
            | $crate::event::Event::Reappeared { .. }
            | $crate::event::Event::ListDisagreed { .. }
            | $crate::event::Event::ListAgreed { .. }
    };
}

/// A sink, and what was delivered to it.
#[macro_export]
macro_rules! sink_events {
    () => {
        $crate::event::Event::SinkBound { .. }
            | $crate::event::Event::SinkReleased { .. }
            | $crate::event::Event::DeliveryIntended { .. }
            | $crate::event::Event::Delivered { .. }
            | $crate::event::Event::DeliveryFailed { .. }
            | $crate::event::Event::Proved { .. }
            | $crate::event::Event::Drifted { .. }
    };
}

/// The consumer of a sink.
#[macro_export]
macro_rules! consumer_events {
    () => {
        $crate::event::Event::NotifyOwed { .. }
            | $crate::event::Event::Notified { .. }
            | $crate::event::Event::Acknowledged { .. }
    };
}
