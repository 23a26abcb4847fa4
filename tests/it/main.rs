//! The daemon from end to end: the real binary or the real driver, the stand-in over real HTTP,
//! real files, real signals. Each module proves one promise, and prints what it counted.
//!
//! Everything listens on loopback only, lives in a temporary directory, and ends with its test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod env;
mod oracle;

mod adopt;
mod auth_config_sink;
mod bad_day;
mod broken_journal;
mod canaries;
mod command_sink;
mod commands;
mod compat;
mod consumers;
mod control_socket;
mod crash_matrix;
mod disks;
mod fault_table;
mod fleet;
mod frugal;
mod init;
mod kills;
mod limits;
mod logs;
mod lost_mint;
mod lying_delete;
mod machines;
mod mails;
mod odd_files;
mod odd_list;
mod other_user;
mod outage;
mod output;
mod partial_lists;
mod policy_changes;
mod policy_files;
mod proxy;
mod reader;
mod rejected_login;
mod ringex;
mod rotate_orders;
mod same_user;
mod secret_commands;
mod service;
mod signals;
mod sink_faults;
mod template_sink;
mod trust;
mod wrong_clocks;
