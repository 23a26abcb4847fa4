//! `rotate`

use std::path::Path;

use clap::Args;

use crate::cli::args::Json;
use crate::cli::client::Client;
use crate::cli::context;
use crate::clock::monotonic;
use crate::console::{Exit, Format, Screen, Tone, block_on};
use crate::daemon::requests::rotate::{PATH, RotateOutcome, RotateRequest, outcomes};
use crate::daemon::supervisor::{Supervisor, is_asked_for};
use crate::daemon::view::RotationStatus;
use crate::daemon::worker::StartMode;
use rotator_core::config::Policy;

/// Arguments of `rotate`.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["accounts", "all"]))]
pub struct RotateArgs {
    /// These accounts
    accounts: Vec<String>,
    /// Every account
    #[arg(long)]
    all: bool,
    /// Do not wait for the result
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    json: Json,
}

pub fn rotate(config: &Path, args: RotateArgs, screen: &Screen) -> Exit {
    let format = args.json.format();
    match block_on(perform(config, args, screen)) {
        Ok(outcomes) => show(&outcomes, format, screen),
        Err(exit) => exit,
    }
}

async fn perform(
    config: &Path,
    args: RotateArgs,
    screen: &Screen,
) -> Result<Vec<RotateOutcome>, Exit> {
    let policy = context::policy(config, screen)?;
    for name in &args.accounts {
        // All names are checked first: a mistyped one must not be found after others were rotated.
        context::account(&policy, name, config, screen)?;
    }
    match context::daemon(&policy, screen)? {
        Some(daemon) => by_daemon(&daemon, args, screen).await,
        None => without_daemon(&policy, args.accounts, screen).await,
    }
}

async fn by_daemon(
    daemon: &Client,
    args: RotateArgs,
    screen: &Screen,
) -> Result<Vec<RotateOutcome>, Exit> {
    let request = RotateRequest {
        accounts: args.accounts,
        wait: !args.no_wait,
    };
    daemon
        .post(PATH, &request)
        .await
        .map_err(|error| context::failing(error, screen))
}

/// Rotates in this process, which holds the state directory meanwhile.
async fn without_daemon(
    policy: &Policy,
    accounts: Vec<String>,
    screen: &Screen,
) -> Result<Vec<RotateOutcome>, Exit> {
    screen.note("no daemon runs, rotating without one");
    // The lock on the state directory keeps a daemon from starting while this process mints.
    let supervisor = context::supervisor(policy, screen).await?;
    let names = start(&supervisor, policy, &accounts).await;
    let results = supervisor.rotate(&names, monotonic()).await;
    // A file with the tokens of two accounts is written by the other account as well.
    supervisor.peers_at_rest().await;
    supervisor.close(policy.daemon.shutdown_grace).await;
    results
        .map(outcomes)
        .map_err(|error| context::failing(error, screen))
}

/// Starts the tasks of these accounts, or of all if none is named, and returns the accounts to be
/// rotated.
///
/// An account whose templates name one of them, or that one of them names, is started too. It does
/// nothing by itself, but provides its token and takes a new one: a file that holds the tokens of
/// two accounts needs both.
async fn start(supervisor: &Supervisor, policy: &Policy, accounts: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    for account in &policy.accounts {
        let is_chosen = is_asked_for(&account.name, accounts);
        if !is_chosen && !is_peer(policy, &account.name, accounts) {
            continue;
        }
        let started = supervisor.start_account(policy, account, StartMode::Wait);
        // A peer that was only started along is not rotated.
        if started.await.is_some() && is_chosen {
            names.push(account.name.clone());
        }
    }
    names
}

/// Whether a template of this account names one of those, or one of theirs names it.
fn is_peer(policy: &Policy, name: &str, accounts: &[String]) -> bool {
    let names = |owner: &str, other: &str| {
        let sinks = policy.account(owner).map(|account| account.sinks.iter());
        let mut peers = sinks
            .into_iter()
            .flatten()
            .flat_map(|sink| sink.kind.peers());
        peers.any(|peer| peer == other)
    };
    accounts
        .iter()
        .any(|other| names(name, other) || names(other, name))
}

fn show(outcomes: &[RotateOutcome], format: Format, screen: &Screen) -> Exit {
    if format == Format::Json {
        screen.json(&outcomes);
    }
    let mut exit = Exit::Done;
    for outcome in outcomes {
        let account = &outcome.account;
        match (&outcome.outcome, outcome.generation) {
            // Also with --json, so that the reason is in the log of a timer that runs this.
            (RotationStatus::Failing, _) => {
                let why = outcome.error.as_deref().unwrap_or("no reason given");
                screen.error(format!("{account}: not rotated yet: {why}"));
                exit = Exit::Failing;
            }
            (_, _) if format == Format::Json => {}
            (_, Some(generation)) => {
                let good = screen.palette().paint(Tone::Good, "rotated");
                screen.print(&format!(
                    "{account}: {good}, generation {generation} is current"
                ));
            }
            (_, None) => screen.print(&format!(
                "{account}: asked for, see `ringcx-rotator status {account}`"
            )),
        }
    }
    exit
}
