//! `tokens`

use std::path::Path;

use clap::Args;
use comfy_table::{Table, presets};

use crate::cli::args::Json;
use crate::cli::context;
use crate::console::{Exit, Format, Screen, block_on, stamp, trim_lines};
use crate::daemon::requests::tokens::path;
use crate::daemon::view::{self, TokensView};

/// Arguments of `tokens`.
#[derive(Args)]
pub struct TokensArgs {
    /// The account
    account: String,
    #[command(flatten)]
    json: Json,
}

pub fn tokens(config: &Path, args: &TokensArgs, screen: &Screen) -> Exit {
    match block_on(fetch(config, &args.account, screen)) {
        Ok(view) => match args.json.format() {
            Format::Json => screen.json(&view),
            Format::Text => screen.print(&table(&view)),
        },
        Err(exit) => return exit,
    }
    Exit::Done
}

async fn fetch(config: &Path, account: &str, screen: &Screen) -> Result<TokensView, Exit> {
    let policy = context::policy(config, screen)?;
    let own = context::account(&policy, account, config, screen)?;
    if let Some(daemon) = context::daemon(&policy, screen)? {
        return daemon
            .get(&path(account), &[])
            .await
            .map_err(|error| context::failing(error, screen));
    }
    let view = |state: &_, held: &_, listed: &[_]| view::tokens(account, state, held, listed);
    context::listed(&policy, own, screen, view).await
}

fn table(view: &TokensView) -> String {
    if view.tokens.is_empty() {
        return format!("{}: no tokens", view.account);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["TOKEN", "FINGERPRINT", "STAGE", "GEN", "SINCE", "HELD BY"]);
    for token in &view.tokens {
        // The API gives no dates: of a foreign token only the first sight is known.
        let since = token.minted_at.or(token.first_seen_at);
        table.add_row([
            token
                .token
                .clone()
                // The journal has fingerprints only, so a token that the server does not list has
                // no text.
                .unwrap_or_else(|| "(not listed)".to_owned()),
            token.fingerprint.short(),
            match (&token.owner, token.adopted_at) {
                (Some(owner), _) => format!("of {owner}"),
                (None, Some(_)) => format!("{}, adopted", token.stage),
                (None, None) => token.stage.to_string(),
            },
            token
                .generation
                .map_or_else(|| "-".to_owned(), |generation| generation.to_string()),
            since.map_or_else(|| "-".to_owned(), stamp),
            if token.held_by.is_empty() {
                "-".to_owned()
            } else {
                token.held_by.join(", ")
            },
        ]);
    }
    trim_lines(&table.to_string())
}
