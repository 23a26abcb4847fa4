//! `tokens`

use std::path::Path;

use comfy_table::{Table, presets};

use super::output::{Exit, Screen, block_on, stamp};
use super::show;
use crate::daemon::view::TokensView;

pub fn tokens(config: &Path, account: &str, json: bool, screen: &Screen) -> Exit {
    match block_on(fetch(config, account, screen)) {
        Ok(view) if json => screen.json(&view),
        Ok(view) => screen.print(&table(&view)),
        Err(exit) => return exit,
    }
    Exit::Done
}

async fn fetch(config: &Path, account: &str, screen: &Screen) -> Result<TokensView, Exit> {
    let policy = show::policy(config, screen)?;
    let Some(own) = policy.account(account) else {
        screen.error(format!("no account `{account}` in {}", config.display()));
        return Err(Exit::Usage);
    };
    if let Some(daemon) = show::daemon(&policy, screen)? {
        let path = format!("/v1/tokens/{account}");
        return daemon.get(&path, &[]).await.map_err(|error| show::refused(&error, screen));
    }
    // A login has to be written down, so that the limits hold across processes.
    let (mut driver, journal) = show::driver(&policy, own, screen).await?;
    let listed = driver.list_tokens(&tokio_util::sync::CancellationToken::new()).await;
    let held = driver.seen().sinks.clone().unwrap_or_default();
    let view = listed
        .map(|listed| crate::daemon::view::tokens(account, driver.state(), &held, &listed))
        .map_err(|error| show::failing(error, screen));
    show::close(&journal, screen).await;
    view
}

fn table(view: &TokensView) -> String {
    if view.tokens.is_empty() {
        return format!("{}: no tokens", view.account);
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["TOKEN", "FINGERPRINT", "STAGE", "GEN", "SINCE", "HELD BY"]);
    for token in &view.tokens {
        let since = token.minted_at.or(token.first_seen_at);
        table.add_row([
            token.token.clone().unwrap_or_else(|| "(not listed)".to_owned()),
            token.fingerprint.short(),
            if token.adopted_at.is_some() {
                format!("{}, adopted", token.stage)
            } else {
                token.stage.clone()
            },
            token.generation.map_or_else(|| "-".to_owned(), |it| it.to_string()),
            since.map_or_else(|| "-".to_owned(), stamp),
            if token.held_by.is_empty() { "-".to_owned() } else { token.held_by.join(", ") },
        ]);
    }
    trim(&table.to_string())
}

/// Tables end their lines with blanks; a pipe does not want them.
pub fn trim(table: &str) -> String {
    table.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
