//! `revoke`

use std::path::Path;

use super::context;
use crate::console::{Exit, Screen, Tone, block_on};
use crate::daemon::requests::revoke::{RevokeRequest, Revoked};

/// What was asked for.
pub struct RevokeArgs {
    pub account: String,
    pub fingerprint: String,
    pub yes: bool,
    pub json: bool,
}

pub fn revoke(config: &Path, asked: RevokeArgs, screen: &Screen) -> Exit {
    let fingerprint = match context::prefix(&asked.fingerprint, screen) {
        Ok(fingerprint) => fingerprint,
        Err(exit) => return exit,
    };
    if !asked.yes && !context::agreed(&question(&asked.account, &fingerprint)) {
        screen.error("nothing was deleted: answer `yes`, or give --yes");
        return Exit::Failing;
    }
    match block_on(delete(config, &asked.account, fingerprint, screen)) {
        Ok(revoked) if asked.json => screen.json(&revoked),
        Ok(revoked) => {
            let gone = screen.palette().paint(Tone::Good, "is gone");
            screen.print(&format!(
                "{}: token {} {gone}",
                asked.account,
                revoked.fingerprint.short()
            ));
        }
        Err(exit) => return exit,
    }
    Exit::Done
}

async fn delete(
    config: &Path,
    account: &str,
    fingerprint: String,
    screen: &Screen,
) -> Result<Revoked, Exit> {
    let policy = context::policy(config, screen)?;
    let own = context::account(&policy, account, config, screen)?;
    if let Some(daemon) = context::daemon(&policy, screen)? {
        let request = RevokeRequest {
            account: account.to_owned(),
            fingerprint,
        };
        return daemon
            .post("/v1/revoke", &request)
            .await
            .map_err(|error| context::refused(&error, screen));
    }
    let (mut driver, journal) = context::driver(&policy, own, screen).await?;
    let outcome = driver
        .revoke(&fingerprint, &tokio_util::sync::CancellationToken::new())
        .await;
    context::close(&journal, screen).await;
    outcome
        .map(|fingerprint| Revoked { fingerprint })
        .map_err(|error| context::failing(error, screen))
}

fn question(account: &str, fingerprint: &str) -> String {
    format!(
        "Delete the token {fingerprint}… of account {account}? Whatever uses it stops working at once."
    )
}
