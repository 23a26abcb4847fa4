//! `plan`

use std::path::Path;

use clap::Args;

use crate::cli::args::Json;
use crate::cli::context;
use crate::clock::Clock;
use crate::console::{Exit, Format, Palette, Screen, Tone, block_on, relative, stamp};
use crate::daemon::requests::plan::PATH;
use crate::daemon::supervisor::is_asked_for;
use crate::daemon::view::{self, AccountPlanView, PlanView};
use crate::reconcile::load_state;
use crate::reconcile::look_at;
use rotator_core::config::AccountPolicy;
use rotator_core::plan::evidence::Evidence;

/// Arguments of `plan`.
#[derive(Args)]
pub struct PlanArgs {
    /// Only these accounts
    accounts: Vec<String>,
    #[command(flatten)]
    json: Json,
}

pub fn plan(config: &Path, args: &PlanArgs, screen: &Screen) -> Exit {
    match block_on(fetch(config, &args.accounts, screen)) {
        Ok(view) => match args.json.format() {
            Format::Json => screen.json(&view),
            Format::Text => {
                let palette = screen.palette();
                let pages: Vec<String> = view
                    .accounts
                    .iter()
                    .map(|account| page(account, palette))
                    .collect();
                screen.print(&pages.join("\n\n"));
            }
        },
        Err(exit) => return exit,
    }
    Exit::Done
}

async fn fetch(config: &Path, accounts: &[String], screen: &Screen) -> Result<PlanView, Exit> {
    let policy = context::policy(config, screen)?;
    for name in accounts {
        // A mistyped name is an error, not an empty plan.
        context::account(&policy, name, config, screen)?;
    }
    if let Some(daemon) = context::daemon(&policy, screen)? {
        return daemon
            .get(PATH, accounts)
            .await
            .map_err(|error| context::failing(error, screen));
    }
    // Read only, and without a login: a plan must never change what it describes.
    let journal = context::read_journal(&policy, screen)?;
    // One time for all accounts, so that their plans can be compared.
    let now = Clock::system().now();
    let mut plans = Vec::new();
    let chosen = |account: &&AccountPolicy| is_asked_for(&account.name, accounts);
    for account in policy.accounts.iter().filter(chosen) {
        let state = load_state(&journal, &account.name).await;
        let state = state.map_err(|error| context::failing(error, screen))?;
        // Only the sinks: what the server has is not known without a login.
        let evidence = Evidence::of_sinks(look_at(&account.sinks, &state).await);
        plans.push(view::plan(
            &account.name,
            &rotator_core::plan::plan(account, &state, &evidence, now),
        ));
    }
    Ok(PlanView { accounts: plans })
}

fn page(plan: &AccountPlanView, palette: Palette) -> String {
    let now = Clock::system().now();
    let mut lines = vec![palette.paint(Tone::Strong, &plan.name)];
    if plan.steps.is_empty() {
        lines.push(format!(
            "  {}",
            palette.paint(Tone::Good, "nothing to do now")
        ));
    }
    for step in &plan.steps {
        let target = step
            .target
            .as_ref()
            .map(|target| format!(" {target}"))
            .unwrap_or_default();
        let action = palette.paint(Tone::Busy, &format!("{}{target}", step.action));
        lines.push(format!("  {action}: {}", step.because));
    }
    for waiting in &plan.waiting {
        let until = waiting.until.map_or_else(
            || "until something changes".to_owned(),
            |at| format!("{} ({})", relative(at, now), stamp(at)),
        );
        lines.push(palette.paint(
            Tone::Dim,
            &format!("  waiting for {}: {until}", waiting.what),
        ));
    }
    for notice in &plan.notices {
        lines.push(format!("  {} {notice}", palette.paint(Tone::Busy, "note:")));
    }
    lines.join("\n")
}
