//! `reload`

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::client::{Client, ClientError};
use crate::cli::context;
use crate::console::output::complain;
use crate::console::{Exit, Screen, block_on};
use crate::daemon::requests::reload::PATH;
use rotator_policy::control_socket_of;

/// Asks the daemon even if the policy does not load here: the daemon opens an incident for such a
/// policy, which the operator would otherwise not see.
pub fn reload(config: &Path, screen: &Screen) -> Exit {
    // Found without loading the policy, which may have errors.
    let socket = control_socket_of(config);
    let daemon = match Client::connect(&socket) {
        Ok(Some(daemon)) => daemon,
        Ok(None) => {
            screen.error(format!("no daemon listens on {}", socket.display()));
            // Without a daemon the policy is at least checked, so that its errors are not missed.
            return match context::policy(config, screen) {
                Ok(_) => Exit::Failing,
                Err(exit) => exit,
            };
        }
        Err(error) => return context::failing(error, screen),
    };
    match block_on(daemon.post::<Value>(PATH, &json!({}))) {
        Ok(_) => {
            screen.print("reloaded");
            Exit::Done
        }
        Err(ClientError::Refused(refusal)) => {
            for fault in &refusal.faults {
                // Rendered by the daemon: it read the files, which may have changed since.
                complain(format!("{}\n", fault.rendered.trim_end()));
            }
            screen.error(format!(
                "not reloaded, the old policy stays in force: {}",
                refusal.error
            ));
            Exit::Policy
        }
        Err(error) => context::failing(error, screen),
    }
}
