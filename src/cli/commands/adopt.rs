//! `adopt`: shows the tokens that the daemon did not mint, and puts chosen ones under the policy.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::cli::args::{Json, Yes};
use crate::cli::context;
use crate::clock::Clock;
use crate::console::{Exit, Format, Screen, Tone, block_on};
use crate::daemon::requests::adopt::{AdoptRequest, PATH};
use crate::daemon::requests::foreign;
use crate::daemon::view::{self, ForeignView};
use files::FoundToken;
use rotator_core::config::{AccountPolicy, Policy};
use rotator_core::secret::Fingerprint;

mod choice;
mod files;
#[cfg(test)]
mod tests;
mod text;

/// Arguments of `adopt`.
#[derive(Args)]
pub struct AdoptArgs {
    /// The account
    account: String,
    /// The tokens to put under the policy: their fingerprints, or the beginnings of them
    fingerprints: Vec<String>,
    /// A file that may hold such a token; a token that is found there is kept until it is not
    /// there any more
    #[arg(long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Leave these tokens alone again
    #[arg(long, conflicts_with = "files")]
    undo: bool,
    #[command(flatten)]
    yes: Yes,
    #[command(flatten)]
    json: Json,
}

/// What becomes of the chosen tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AdoptAction {
    /// They come under the policy.
    Take,
    /// They are left alone again.
    Leave,
}

/// What `adopt --json` prints. Its fields are a promise to scripts.
#[derive(Serialize)]
struct AdoptView {
    account: String,
    tokens: Vec<FoundToken>,
    adopted: Vec<Fingerprint>,
    left_alone: Vec<Fingerprint>,
}

pub fn adopt(config: &Path, args: AdoptArgs, screen: &Screen) -> Exit {
    match block_on(perform(config, args, screen)) {
        Ok(()) => Exit::Done,
        Err(exit) => exit,
    }
}

async fn perform(config: &Path, args: AdoptArgs, screen: &Screen) -> Result<(), Exit> {
    let prefixes = args.fingerprints.iter();
    // Before anything is asked of the server: a mistyped fingerprint must not cost a login.
    let prefixes = prefixes.map(|text| context::prefix(text, screen));
    let prefixes: Vec<String> = prefixes.collect::<Result<_, _>>()?;
    let action = if args.undo {
        AdoptAction::Leave
    } else {
        AdoptAction::Take
    };
    let format = args.json.format();

    let policy = context::policy(config, screen)?;
    let own = context::account(&policy, &args.account, config, screen)?;
    // Before the tokens are fetched: a wrong path is a mistake of the command line, too.
    let paths = files::absolute(&args.files, screen)?;
    let listed = fetch(&policy, own, screen).await?;
    let tokens = files::search_all(&policy, own, listed.tokens, &paths, screen)?;

    let chosen = match (prefixes.is_empty(), format) {
        // A script cannot answer questions, so `--json` without fingerprints only lists.
        (true, Format::Json) => Vec::new(),
        (true, Format::Text) => {
            screen.print(&text::table(&own.name, &tokens));
            offer(&tokens, action, screen)?
        }
        (false, Format::Json | Format::Text) => choice::matching(&tokens, &prefixes, screen)?,
    };
    if !chosen.is_empty() {
        // Only taking can lead to a deletion; leaving a token alone needs no confirmation.
        if action == AdoptAction::Take {
            confirm(own, &tokens, &chosen, &args.yes, screen)?;
        }
        let request = request(&own.name, &tokens, &chosen, action);
        carry_out(&policy, own, request, screen).await?;
    }
    match format {
        Format::Text => show(&own.name, &chosen, action, screen),
        Format::Json => screen.json(&view_of(&own.name, tokens, chosen, action)),
    }
    Ok(())
}

/// Lets the operator choose from the table, if there is something to choose and a terminal.
fn offer(
    tokens: &[FoundToken],
    action: AdoptAction,
    screen: &Screen,
) -> Result<Vec<Fingerprint>, Exit> {
    // Without a terminal nothing is chosen: a pipe must not adopt tokens by accident.
    if tokens.is_empty() || !std::io::stdin().is_terminal() {
        return Ok(Vec::new());
    }
    choice::pick(tokens, action, screen)
}

/// Shows what will happen to the chosen tokens, and asks.
fn confirm(
    own: &AccountPolicy,
    tokens: &[FoundToken],
    chosen: &[Fingerprint],
    yes: &Yes,
    screen: &Screen,
) -> Result<(), Exit> {
    let now = Clock::system().now();
    for token in choice::only(tokens, chosen) {
        for consequence in text::consequences(own, token, now) {
            screen.note(consequence);
        }
    }
    if yes.yes || context::confirm(&text::question(&own.name, chosen.len())) {
        return Ok(());
    }
    let error = "nothing was adopted: answer `yes`, or give --yes";
    Err(context::failing(error, screen))
}

async fn fetch(policy: &Policy, own: &AccountPolicy, screen: &Screen) -> Result<ForeignView, Exit> {
    if let Some(daemon) = context::daemon(policy, screen)? {
        return daemon
            .get(&foreign::path(&own.name), &[])
            .await
            .map_err(|error| context::failing(error, screen));
    }
    let view = |state: &_, held: &_, listed: &[_]| view::foreign(own, state, held, listed);
    context::listed(policy, own, screen, view).await
}

async fn carry_out(
    policy: &Policy,
    own: &AccountPolicy,
    request: AdoptRequest,
    screen: &Screen,
) -> Result<(), Exit> {
    // Asked again: the daemon may have started or ended while the operator read the question.
    if let Some(daemon) = context::daemon(policy, screen)? {
        let done: Result<Value, _> = daemon.post(PATH, &request).await;
        return done
            .map(drop)
            .map_err(|error| context::failing(error, screen));
    }
    let (mut reconciler, journal) = context::reconciler(policy, own, screen).await?;
    let done = reconciler
        .adopt(request.actions(), &CancellationToken::new())
        .await;
    context::close(&journal, screen).await;
    done.map_err(|error| context::failing(error, screen))
}

/// An adopted token is watched for in every given file that holds it.
fn request(
    account: &str,
    tokens: &[FoundToken],
    chosen: &[Fingerprint],
    action: AdoptAction,
) -> AdoptRequest {
    let mut request = AdoptRequest {
        account: account.to_owned(),
        take: BTreeMap::new(),
        leave: BTreeSet::new(),
    };
    for FoundToken { token, found_in } in choice::only(tokens, chosen) {
        match action {
            AdoptAction::Take => {
                let files = found_in.iter().map(|found| found.path.clone()).collect();
                request.take.insert(token.fingerprint, files);
            }
            // Whether it was there already does not matter: the same fingerprint may be given
            // twice.
            AdoptAction::Leave => drop(request.leave.insert(token.fingerprint)),
        }
    }
    request
}

fn show(account: &str, done: &[Fingerprint], action: AdoptAction, screen: &Screen) {
    let outcome = match action {
        AdoptAction::Take => "is adopted",
        AdoptAction::Leave => "is left alone",
    };
    let outcome = screen.palette().paint(Tone::Good, outcome);
    for fingerprint in done {
        let token = fingerprint.short();
        screen.print(&format!("{account}: token {token} {outcome}"));
    }
}

fn view_of(
    account: &str,
    tokens: Vec<FoundToken>,
    done: Vec<Fingerprint>,
    action: AdoptAction,
) -> AdoptView {
    let (adopted, left_alone) = match action {
        AdoptAction::Take => (done, Vec::new()),
        AdoptAction::Leave => (Vec::new(), done),
    };
    AdoptView {
        account: account.to_owned(),
        tokens,
        adopted,
        left_alone,
    }
}
