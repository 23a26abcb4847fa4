//! `reload`

use std::path::Path;

use super::client::{Client, ClientError};
use super::context;
use crate::console::{Exit, Screen, block_on};
use rotator_policy::control_socket_of;

/// The daemon reads and judges the policy; a wrong one is an incident there. So it is asked even
/// when the file on disk would not load here.
pub fn reload(config: &Path, screen: &Screen) -> Exit {
    let socket = control_socket_of(config);
    let daemon = match Client::connect(&socket) {
        Ok(Some(daemon)) => daemon,
        Ok(None) => {
            screen.error(format!("no daemon listens on {}", socket.display()));
            return match context::policy(config, screen) {
                Ok(_) => Exit::Failing,
                Err(exit) => exit,
            };
        }
        Err(error) => return context::refused(&error, screen),
    };
    match block_on(daemon.post::<serde_json::Value>("/v1/reload", &serde_json::json!({}))) {
        Ok(_) => {
            screen.print("reloaded");
            Exit::Done
        }
        Err(ClientError::Refused(refusal)) => {
            for fault in &refusal.faults {
                eprintln!("{}\n", fault.rendered.trim_end());
            }
            screen.error(format!(
                "not reloaded, the old policy stays in force: {}",
                refusal.error
            ));
            Exit::Policy
        }
        Err(error) => context::refused(&error, screen),
    }
}
