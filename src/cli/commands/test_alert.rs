//! `test-alert`

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::context;
use crate::cli::setup::credentials;
use crate::clock::Clock;
use crate::console::{Exit, Screen, block_on};
use crate::daemon::requests::test_alert::PATH;
use crate::mail::Mailer;

pub fn test_alert(config: &Path, screen: &Screen) -> Exit {
    match block_on(send(config, screen)) {
        Ok(()) => {
            screen.print("sent: look into the mailbox");
            Exit::Done
        }
        Err(exit) => exit,
    }
}

async fn send(config: &Path, screen: &Screen) -> Result<(), Exit> {
    let mut policy = context::policy(config, screen)?;
    // Before the daemon is asked, which may still have an older policy.
    if policy.alerts.email.is_none() {
        screen.error(format!(
            "{} has no [alerts.email]: there is nowhere to send a mail to",
            config.display()
        ));
        return Err(Exit::Failing);
    }
    // By the daemon if one runs: what has to work is its network, sandbox and password.
    if let Some(daemon) = context::daemon(&policy, screen)? {
        let sent = daemon.post::<Value>(PATH, &json!({})).await;
        return sent
            .map(drop)
            .map_err(|error| context::failing(error, screen));
    }
    // Holds the decrypted password until the mail is sent.
    let _decrypted = credentials::resolve_unit_credentials(&mut policy)
        .map_err(|error| context::failing(error, screen))?;
    let email = policy.alerts.email.as_ref().expect("checked above");
    let mail = rotator_core::incidents::test_mail(email, Clock::system().now());
    let receipt = Mailer::new(email.clone())
        .send(&mail)
        .await
        .map_err(|error| context::failing(error, screen))?;
    match receipt.complaint() {
        None => Ok(()),
        Some(error) => Err(context::failing(error, screen)),
    }
}
