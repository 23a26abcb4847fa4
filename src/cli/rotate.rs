//! `rotate`

use std::path::Path;

use super::client::Client;
use super::context;
use crate::console::{Exit, Screen, Tone, block_on};
use crate::daemon::control::{RotateOutcome, RotateRequest, told};
use crate::daemon::view::RotationStatus;
use crate::daemon::worker::StartMode;
use rotator_core::config::Policy;

/// What was asked for.
pub struct RotateArgs {
    /// None is all.
    pub accounts: Vec<String>,
    pub no_wait: bool,
    pub json: bool,
}

pub fn rotate(config: &Path, asked: RotateArgs, screen: &Screen) -> Exit {
    let json = asked.json;
    match block_on(outcomes(config, asked, screen)) {
        Ok(outcomes) => tell(&outcomes, json, screen),
        Err(exit) => exit,
    }
}

async fn outcomes(
    config: &Path,
    asked: RotateArgs,
    screen: &Screen,
) -> Result<Vec<RotateOutcome>, Exit> {
    let policy = context::policy(config, screen)?;
    for name in &asked.accounts {
        context::account(&policy, name, config, screen)?;
    }
    match context::daemon(&policy, screen)? {
        Some(daemon) => by_daemon(&daemon, asked, screen).await,
        None => alone(&policy, asked.accounts, screen).await,
    }
}

async fn by_daemon(
    daemon: &Client,
    asked: RotateArgs,
    screen: &Screen,
) -> Result<Vec<RotateOutcome>, Exit> {
    let request = RotateRequest {
        accounts: asked.accounts,
        wait: !asked.no_wait,
    };
    daemon
        .post("/v1/rotate", &request)
        .await
        .map_err(|error| context::refused(&error, screen))
}

/// No daemon runs: this process does it, holding the state directory meanwhile.
async fn alone(
    policy: &Policy,
    accounts: Vec<String>,
    screen: &Screen,
) -> Result<Vec<RotateOutcome>, Exit> {
    screen.note("no daemon runs, rotating without one");
    let office = context::office(policy, screen).await?;
    let mut names = Vec::new();
    for account in &policy.accounts {
        let chosen = accounts.is_empty() || accounts.contains(&account.name);
        if !chosen && is_concerned(policy, &account.name, &accounts) {
            // It does nothing by itself, but has its token at hand when it is asked, and takes a
            // newer one.
            office.start_account(policy, account, StartMode::Wait).await;
        }
        if chosen
            && office
                .start_account(policy, account, StartMode::Wait)
                .await
                .is_some()
        {
            names.push(account.name.clone());
        }
    }
    let outcomes = office.rotate(&names).await;
    office.peers_at_rest().await;
    office.close(policy.daemon.shutdown_grace).await;
    outcomes
        .map(told)
        .map_err(|error| context::failing(error, screen))
}

/// Whether a template of this account names one of those, or one of theirs names it.
fn is_concerned(policy: &Policy, name: &str, accounts: &[String]) -> bool {
    let names = |owner: &str, other: &str| {
        let owner = policy.account(owner);
        owner.is_some_and(|it| {
            it.sinks
                .iter()
                .any(|sink| sink.kind.peers().iter().any(|peer| peer == other))
        })
    };
    accounts
        .iter()
        .any(|other| names(name, other) || names(other, name))
}

fn tell(outcomes: &[RotateOutcome], json: bool, screen: &Screen) -> Exit {
    if json {
        screen.json(&outcomes);
    }
    let mut exit = Exit::Done;
    let palette = screen.palette();
    for RotateOutcome {
        account,
        outcome,
        generation,
        error,
    } in outcomes
    {
        match (outcome, generation) {
            (RotationStatus::Failing, _) => {
                let why = error.as_deref().unwrap_or("no reason given");
                screen.error(format!("{account}: not rotated yet: {why}"));
                exit = Exit::Failing;
            }
            (_, _) if json => {}
            (_, Some(generation)) => {
                let good = palette.paint(Tone::Good, "rotated");
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
