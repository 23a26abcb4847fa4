//! The policy file: TOML to a checked [`rotator_core::config::Policy`], all faults at once.
//!
//! [`load`] is a pipeline. Each step takes what the one before made; all of them add to one
//! `Issues`, which is handed down and becomes the diagnostics at the end.
//!
//! 1. `parse`: files to a `PolicySpec`, which is every option as it is written, with its place.
//!    Faults of single values and tables are recorded here.
//! 2. `resolve`: a `PolicySpec` to a `Policy`, with defaults filled in and paths made absolute.
//! 3. `check`: whether the options go together, and whether they are likely meant.
//!
//! `sinks` has the keys, the resolution and the checks of each kind of sink in one file. Below the
//! steps are `table` (one TOML table), `value` (one value), `issues` and `source` (places in files,
//! and which parts of them a message may show).
//!
//! A policy that [`load`] returns needs no second check. Loading reads the policy's files, the
//! templates that they name, and files with secrets, to warn of their modes and of characters that
//! no secret has. It opens no sink and no connection.

mod access;
mod base_dir;
mod check;
mod defaults;
mod diagnostic;
mod did_you_mean;
pub mod files;
mod issues;
mod load;
mod parse;
mod resolve;
mod sinks;
mod source;
mod table;
mod value;

#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod fuzz_properties;

pub use diagnostic::{Color, Diagnostic, DiagnosticSeverity, PolicyErrors, render};
pub use load::{Loaded, control_socket_of, load};
