//! `revoke`

use std::path::Path;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::cli::args::{Json, Yes};
use crate::cli::context;
use crate::console::{Exit, Format, Screen, Tone, block_on};
use crate::daemon::requests::revoke::{PATH, RevokeRequest, Revoked};

/// Arguments of `revoke`.
#[derive(Args)]
pub struct RevokeArgs {
    /// The account
    account: String,
    /// The token's fingerprint, or the beginning of it, as `tokens` shows it
    fingerprint: String,
    #[command(flatten)]
    yes: Yes,
    #[command(flatten)]
    json: Json,
}

pub fn revoke(config: &Path, args: RevokeArgs, screen: &Screen) -> Exit {
    let format = args.json.format();
    let revoked = block_on(confirm_and_delete(config, &args, screen));
    match (revoked, format) {
        (Ok(revoked), Format::Json) => screen.json(&revoked),
        (Ok(revoked), Format::Text) => {
            let gone = screen.palette().paint(Tone::Good, "is gone");
            let token = revoked.fingerprint.short();
            screen.print(&format!("{}: token {token} {gone}", args.account));
        }
        (Err(exit), Format::Json | Format::Text) => return exit,
    }
    Exit::Done
}

async fn confirm_and_delete(
    config: &Path,
    args: &RevokeArgs,
    screen: &Screen,
) -> Result<Revoked, Exit> {
    // Only the beginning: the daemon or the reconciler finds the token that it means.
    let fingerprint = context::prefix(&args.fingerprint, screen)?;
    let question = format!(
        "Delete the token {fingerprint}… of account {}? Whatever uses it stops working at once.",
        args.account
    );
    // Asked before the daemon or the server is contacted: a no leaves no trace.
    if !args.yes.yes && !context::confirm(&question) {
        let error = "nothing was deleted: answer `yes`, or give --yes";
        return Err(context::failing(error, screen));
    }
    let policy = context::policy(config, screen)?;
    let own = context::account(&policy, &args.account, config, screen)?;
    if let Some(daemon) = context::daemon(&policy, screen)? {
        let request = RevokeRequest {
            account: args.account.clone(),
            fingerprint,
        };
        return daemon
            .post(PATH, &request)
            .await
            .map_err(|error| context::failing(error, screen));
    }
    let (mut reconciler, journal) = context::reconciler(&policy, own, screen).await?;
    let outcome = reconciler
        .revoke(&fingerprint, &CancellationToken::new())
        .await;
    // Before the outcome is looked at, so that the state directory is free in every case.
    context::close(&journal, screen).await;
    outcome
        .map(|fingerprint| Revoked { fingerprint })
        .map_err(|error| context::failing(error, screen))
}
