//! `status`: what the daemon answers, or the journal and the sinks where no daemon runs.

use std::path::Path;

use clap::Args;

use crate::cli::args::Json;
use crate::cli::context;
use crate::clock::Clock;
use crate::console::{Exit, Format, Screen, block_on};
use crate::daemon::requests::status::PATH;
use crate::daemon::supervisor::{incidents_of, is_asked_for, unmanaged_accounts};
use crate::daemon::view::{self, DaemonView, StatusView};
use crate::reconcile::load_state;
use crate::reconcile::look_at;
use rotator_core::config::{AccountPolicy, Policy};
use rotator_core::incidents::{AlertState, Conditions, DAEMON};
use rotator_core::journal::{ALERTS, Journal};

use page::{Page, StatusDetail};

mod page;

/// Arguments of `status`.
#[derive(Args)]
pub struct StatusArgs {
    /// Only these accounts, in detail
    accounts: Vec<String>,
    #[command(flatten)]
    json: Json,
}

pub fn status(config: &Path, args: &StatusArgs, screen: &Screen) -> Exit {
    let view = match block_on(fetch(config, &args.accounts, screen)) {
        Ok(view) => view,
        Err(exit) => return exit,
    };
    match args.json.format() {
        Format::Json => screen.json(&view),
        Format::Text => {
            let page = Page {
                palette: screen.palette(),
                now: Clock::system().now(),
            };
            let detail = if args.accounts.is_empty() {
                StatusDetail::Troubled
            } else {
                StatusDetail::Whole
            };
            screen.print(&page.text(&view, detail));
        }
    }
    Exit::Done
}

async fn fetch(config: &Path, accounts: &[String], screen: &Screen) -> Result<StatusView, Exit> {
    match context::running(config, screen)? {
        // The daemon knows more than its journal: whether mail is stuck and when it tries again.
        Some(daemon) => daemon
            .get(PATH, accounts)
            .await
            .map_err(|error| context::failing(error, screen)),
        None => from_journal(&context::policy(config, screen)?, accounts, screen).await,
    }
}

/// Where no daemon runs, the command itself reads the journal and the sinks.
async fn from_journal(
    policy: &Policy,
    accounts: &[String],
    screen: &Screen,
) -> Result<StatusView, Exit> {
    let journal = context::read_journal(policy, screen)?;
    let stream = journal.load(ALERTS).await;
    let stream = stream.map_err(|error| context::journal_error(&error, screen))?;
    // Rebuilt from the journal by the same code as in the daemon, so both show the same incidents.
    let alerts =
        AlertState::from_stream(&stream).map_err(|error| context::failing(error, screen))?;
    let incidents = alerts.incidents(&Conditions::new());
    let mut views = Vec::new();
    let chosen = |account: &&AccountPolicy| is_asked_for(&account.name, accounts);
    for account in policy.accounts.iter().filter(chosen) {
        let state = load_state(&journal, &account.name).await;
        let state = state.map_err(|error| context::failing(error, screen))?;
        // The sinks are read now: the journal only says what was true when the daemon last looked.
        let held = look_at(&account.sinks, &state).await;
        views.push(view::account(
            account,
            &state,
            &held,
            incidents_of(&incidents, &account.name),
        ));
    }
    let unmanaged = unmanaged_accounts(&journal, policy, accounts, &incidents).await;
    views.extend(unmanaged.map_err(|error| context::failing(error, screen))?);
    // Only now, because an account without a policy counts as known if the journal has it.
    if let Some(unknown) = accounts
        .iter()
        .find(|name| !views.iter().any(|view| view.name == **name))
    {
        screen.error(format!(
            "no account `{unknown}` in {}",
            policy.path.display()
        ));
        return Err(Exit::Usage);
    }
    Ok(StatusView {
        daemon: DaemonView {
            running: false,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: None,
            unsent_mails: alerts.outbox.len(),
            mail_error: None,
            mail_refused: alerts.refused,
        },
        accounts: views,
        incidents: incidents_of(&incidents, DAEMON),
    })
}
