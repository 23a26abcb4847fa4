//! One file for each command: its arguments, and a function that runs it and returns the exit code.

pub mod adopt;
pub mod auth_configs;
pub mod check;
pub mod completions;
pub mod history;
pub mod init;
pub mod man;
pub mod plan;
pub mod reload;
pub mod revoke;
pub mod rotate;
pub mod run;
#[cfg(feature = "simulate")]
pub mod simulate;
pub mod status;
pub mod systemd_dropin;
pub mod test_alert;
pub mod tokens;
