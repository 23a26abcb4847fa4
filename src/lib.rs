//! Keeps one living RingCX API token in every place that needs it.
//!
//! Data flows one way: the policy and the journal's fold go into [`rotator_core::plan`], which
//! decides; [`reconcile`] performs one step and appends what came of it. `ARCHITECTURE.md` has the
//! map.

// They panic where stdout or stderr is closed: see `console::output`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod clock;
pub mod failpoint;
pub mod process;

pub mod console;
pub mod mail;
pub mod outbound;
pub mod ringcx;
pub mod secret_source;
pub mod sinks;
pub mod store;

pub mod reconcile;

pub mod daemon;

pub mod cli;
#[cfg(feature = "demo")]
pub mod demo;

#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod fuzz_properties;
