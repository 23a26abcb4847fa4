//! What ringcx-rotator decides, and why.
//!
//! Pure: no runtime, network, database, file, process, environment or clock. Time and evidence are
//! arguments, and what is to be done is a return value; `Cargo.toml` and `clippy.toml` of this crate
//! enforce it. Start reading at [`plan::plan`].

pub mod config;
pub mod schedule;
pub mod secret;
pub mod span;
pub mod spread;
pub mod template;
pub mod time;

pub mod event;
pub mod journal;

pub mod account;

pub mod incidents;
pub mod plan;

#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod fuzz_properties;

#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod testing;
