//! Keeps one living RingCX API token in every place that needs it.
//!
//! The map, in reading order. Data flows one way: the policy and the journal's fold go into
//! [`plan`], which decides; the [`driver`] performs one step and appends what came of it.

pub mod clock;
pub mod failpoint;
pub mod process;
pub mod secret;

pub mod event;
pub mod template;

pub mod journal;
pub mod policy;
pub mod ringcx;
pub mod sink;

pub mod account;

pub mod alert;
pub mod plan;

pub mod reconcile;

pub mod daemon;

pub mod cli;
pub mod demo;
pub mod simulate;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz_properties;
