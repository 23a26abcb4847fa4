//! One file for each command: its arguments, and a function that runs it and returns the exit code.

pub mod adopt;
pub mod check;
pub mod completions;
pub mod init;
pub mod man;
pub mod reload;
pub mod revoke;
pub mod rotate;
pub mod run;
pub mod systemd_dropin;
pub mod test_alert;
