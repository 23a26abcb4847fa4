//! Build, run, drain.

pub mod alerts;
