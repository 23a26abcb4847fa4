//! The host that the daemon runs on: its systemd unit, the credentials of that unit, and the files
//! that `init` writes. Used by commands, and knows none of them.

pub mod credentials;
pub mod init;
pub mod systemd_dropin;
pub mod unit;
