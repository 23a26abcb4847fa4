//! The policy file: TOML to a checked [`rotator_core::config::Policy`], all faults at once.
//!
//! A policy that [`load`] returns needs no second check. What the file looks like is in `spec.rs`;
//! how one becomes the other, and every reason why not, in `validate.rs`. Loading reads the policy's
//! files and nothing else: no secret, no sink, no network.

mod diagnostic;
mod did_you_mean;
mod issues;
mod load;
mod source;
mod spec;
mod table;
mod validate;
mod value;

#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod fuzz_properties;

pub use diagnostic::{Color, Diagnostic, PolicyErrors, Severity, render};
pub use load::{Loaded, control_socket_of, load};
