//! `auth-configs`

use std::path::Path;

use clap::Args;
use comfy_table::{Table, presets};

use crate::cli::args::Json;
use crate::cli::context;
use crate::console::{Exit, Format, Screen, block_on, trim_lines};
use crate::daemon::requests::auth_configs::path;
use crate::daemon::view::{self, AuthConfigsView};

/// Arguments of `auth-configs`.
#[derive(Args)]
pub struct AuthConfigsArgs {
    /// The account
    account: String,
    #[command(flatten)]
    json: Json,
}

pub fn auth_configs(config: &Path, args: &AuthConfigsArgs, screen: &Screen) -> Exit {
    let view = match block_on(fetch(config, &args.account, screen)) {
        Ok(view) => view,
        Err(exit) => return exit,
    };
    match args.json.format() {
        Format::Json => screen.json(&view),
        Format::Text => screen.print(&table(&view)),
    }
    // One RingCX account that cannot be read must not hide the others, but the exit code tells of
    // it.
    let mut exit = Exit::Done;
    for owner in &view.ringcx_accounts {
        if let Some(error) = &owner.error {
            screen.error(format!(
                "RingCX account {} ({}): {error}",
                owner.name, owner.id
            ));
            exit = Exit::Failing;
        }
    }
    exit
}

async fn fetch(config: &Path, account: &str, screen: &Screen) -> Result<AuthConfigsView, Exit> {
    let policy = context::policy(config, screen)?;
    let own = context::account(&policy, account, config, screen)?;
    if let Some(daemon) = context::daemon(&policy, screen)? {
        return daemon
            .get(&path(account), &[])
            .await
            .map_err(|error| context::failing(error, screen));
    }
    // A login has to be written down, so that the limits hold across processes.
    let (mut driver, journal) = context::reconciler(&policy, own, screen).await?;
    let listed = driver
        .list_auth_configs(&tokio_util::sync::CancellationToken::new())
        .await;
    let view = listed
        .map(|listed| view::auth_configs(own, listed))
        .map_err(|error| context::failing(error, screen));
    // Closed on every path before the result is used: the daemon may start right after this
    // command.
    context::close(&journal, screen).await;
    view
}

fn table(view: &AuthConfigsView) -> String {
    let all = view
        .ringcx_accounts
        .iter()
        .flat_map(|owner| owner.auth_configs.iter().map(move |config| (owner, config)));
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "ACCOUNT-ID",
        "AUTH-CONFIG-ID",
        "TYPE",
        "PROVIDER",
        "DESCRIPTION",
        "UPDATED",
        "SINK",
    ]);
    let mut rows = 0;
    for (owner, config) in all {
        rows += 1;
        table.add_row([
            &owner.id,
            &config.id,
            &config.auth_type,
            &config.provider,
            &config.description,
            &config.updated,
            config.sink.as_deref().unwrap_or("-"),
        ]);
    }
    if rows == 0 {
        return format!("{}: no auth configs to be seen", view.account);
    }
    trim_lines(&table.to_string())
}
