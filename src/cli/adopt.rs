//! `adopt`

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use comfy_table::{Table, presets};
use serde::Serialize;

use super::context;
use super::tokens::trim;
use crate::clock::Clock;
use crate::console::{Exit, Screen, Tone, block_on, stamp};
use crate::daemon::requests::adopt::AdoptRequest;
use crate::daemon::view::{self, ForeignTokenView, ForeignView};
use crate::sinks::search::search;
use rotator_core::config::{AccountPolicy, Policy, SinkPolicy};
use rotator_core::secret::Fingerprint;
use rotator_core::secret::find::Wanted;
use rotator_core::span::format_duration;
use rotator_core::time::after;

#[cfg(test)]
mod tests;

/// What was asked for.
pub struct AdoptArgs {
    pub account: String,
    pub fingerprints: Vec<String>,
    pub files: Vec<PathBuf>,
    pub wish: AdoptAction,
    pub yes: bool,
    pub json: bool,
}

/// What is to become of the tokens that are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdoptAction {
    /// They come under the policy.
    Take,
    /// They are left alone again.
    Leave,
}

/// `adopt --json`
#[derive(Serialize)]
struct AdoptView {
    account: String,
    tokens: Vec<FoundToken>,
    adopted: Vec<Fingerprint>,
    left_alone: Vec<Fingerprint>,
}

/// One token that is not ours, and the files that hold it.
#[derive(Serialize)]
struct FoundToken {
    #[serde(flatten)]
    token: ForeignTokenView,
    found_in: Vec<FoundIn>,
}

/// A file that was looked through and holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct FoundIn {
    path: String,
    /// The sink of the policy that writes there, as `ACCOUNT/SINK`.
    sink: Option<String>,
}

pub fn adopt(config: &Path, asked: AdoptArgs, screen: &Screen) -> Exit {
    block_on(run(config, asked, screen)).unwrap_or_else(|exit| exit)
}

async fn run(config: &Path, asked: AdoptArgs, screen: &Screen) -> Result<Exit, Exit> {
    let prefixes = asked
        .fingerprints
        .iter()
        .map(|text| context::prefix(text, screen));
    let prefixes = prefixes.collect::<Result<Vec<_>, _>>()?;
    let policy = context::policy(config, screen)?;
    let own = context::account(&policy, &asked.account, config, screen)?;
    let files = absolute(&asked.files, screen)?;
    let listed = fetch(&policy, own, screen).await?;
    let tokens = look_through(&policy, own, listed.tokens, &files, screen)?;
    let chosen = if prefixes.is_empty() {
        if asked.json {
            screen.json(&AdoptView {
                account: asked.account,
                tokens,
                adopted: Vec::new(),
                left_alone: Vec::new(),
            });
            return Ok(Exit::Done);
        }
        screen.print(&table(&asked.account, &tokens));
        if tokens.is_empty() || !std::io::stdin().is_terminal() {
            return Ok(Exit::Done);
        }
        pick(&tokens, asked.wish, screen)?
    } else {
        matching(&tokens, &prefixes, screen)?
    };
    if chosen.is_empty() {
        return Ok(Exit::Done);
    }
    let request = request(&asked.account, &tokens, &chosen, asked.wish);
    if asked.wish == AdoptAction::Take {
        let now = Clock::system().now();
        for token in tokens
            .iter()
            .filter(|it| chosen.contains(&it.token.fingerprint))
        {
            consequences(own, token, now)
                .iter()
                .for_each(|it| screen.note(it));
        }
        if !asked.yes && !context::agreed(&question(&asked.account, chosen.len())) {
            screen.error("nothing was adopted: answer `yes`, or give --yes");
            return Err(Exit::Failing);
        }
    }
    carry_out(&policy, own, request, screen).await?;
    let (adopted, left_alone) = match asked.wish {
        AdoptAction::Take => (chosen, Vec::new()),
        AdoptAction::Leave => (Vec::new(), chosen),
    };
    if asked.json {
        screen.json(&AdoptView {
            account: asked.account,
            tokens,
            adopted,
            left_alone,
        });
        return Ok(Exit::Done);
    }
    let good = |words: &str| screen.palette().paint(Tone::Good, words);
    for (all, words) in [(&adopted, "is adopted"), (&left_alone, "is left alone")] {
        for fingerprint in all {
            screen.print(&format!(
                "{}: token {} {}",
                asked.account,
                fingerprint.short(),
                good(words)
            ));
        }
    }
    Ok(Exit::Done)
}

/// The daemon has another working directory, and names that are no text cannot be written down.
fn absolute(files: &[PathBuf], screen: &Screen) -> Result<Vec<String>, Exit> {
    let absolute = files.iter().map(|path| {
        let whole = std::path::absolute(path).map_err(|error| error.to_string());
        let text = whole.and_then(|it| {
            it.into_os_string()
                .into_string()
                .map_err(|_| "is no UTF-8".to_owned())
        });
        text.map_err(|why| {
            screen.error(format!("{}: {why}", path.display()));
            Exit::Usage
        })
    });
    absolute.collect()
}

async fn fetch(policy: &Policy, own: &AccountPolicy, screen: &Screen) -> Result<ForeignView, Exit> {
    if let Some(daemon) = context::daemon(policy, screen)? {
        let path = format!("/v1/foreign/{}", own.name);
        return daemon
            .get(&path, &[])
            .await
            .map_err(|error| context::refused(&error, screen));
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
    if let Some(daemon) = context::daemon(policy, screen)? {
        let done: Result<serde_json::Value, _> = daemon.post("/v1/adopt", &request).await;
        return done
            .map(drop)
            .map_err(|error| context::refused(&error, screen));
    }
    let (mut driver, journal) = context::driver(policy, own, screen).await?;
    let done = driver
        .adopt(
            request.actions(),
            &tokio_util::sync::CancellationToken::new(),
        )
        .await;
    context::close(&journal, screen).await;
    done.map_err(|error| context::failing(error, screen))
}

/// Looks through the given files, and through those that sinks write whose tokens cannot be read
/// out of them. It is done here and with the rights of whoever asks: the daemon opens no file
/// because somebody told it to, unless it holds a token that is adopted.
fn look_through(
    policy: &Policy,
    own: &AccountPolicy,
    tokens: Vec<ForeignTokenView>,
    given: &[String],
    screen: &Screen,
) -> Result<Vec<FoundToken>, Exit> {
    let wanted: Wanted = tokens
        .iter()
        .map(|it| (it.fingerprint, it.length))
        .collect();
    let mut found: BTreeMap<String, BTreeSet<Fingerprint>> = BTreeMap::new();
    let mut failed = false;
    for path in given {
        match search(Path::new(path), &wanted) {
            Ok(_) if !Path::new(path).exists() => {
                failed = true;
                screen.error(format!("{path}: there is no such file"));
            }
            Ok(tokens) => drop(found.insert(path.clone(), tokens)),
            Err(error) => {
                failed = true;
                screen.error(error);
            }
        }
    }
    if failed {
        return Err(Exit::Failing);
    }
    for sink in own
        .sinks
        .iter()
        .filter(|sink| !tokens.iter().any(|it| it.held_by.contains(&sink.name)))
    {
        // What cannot be read here may hold anything; the daemon knows better.
        if let Some((path, Ok(tokens))) = sink.kind.path().map(|path| (path, search(path, &wanted)))
        {
            found.entry(path.display().to_string()).or_insert(tokens);
        }
    }
    let of = |token: &ForeignTokenView| {
        let holding = found
            .iter()
            .filter(|(_, tokens)| tokens.contains(&token.fingerprint));
        holding
            .map(|(path, _)| FoundIn {
                path: path.clone(),
                sink: writer_of(policy, path),
            })
            .collect()
    };
    Ok(tokens
        .into_iter()
        .map(|token| FoundToken {
            found_in: of(&token),
            token,
        })
        .collect())
}

/// The sink that writes to this file, however its path is spelled.
fn writer_of(policy: &Policy, path: &str) -> Option<String> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let wanted = real(Path::new(path));
    let writes = |sink: &&SinkPolicy| sink.kind.path().is_some_and(|path| real(path) == wanted);
    let writers = policy.accounts.iter().filter_map(|account| {
        account
            .sinks
            .iter()
            .find(writes)
            .map(|sink| format!("{}/{}", account.name, sink.name))
    });
    writers.into_iter().next()
}

fn table(account: &str, tokens: &[FoundToken]) -> String {
    if tokens.is_empty() {
        return format!("{account}: no foreign tokens on the server");
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "#",
        "TOKEN",
        "FINGERPRINT",
        "FIRST SEEN",
        "ADOPTED",
        "WHERE",
    ]);
    for (number, FoundToken { token, found_in }) in (1..).zip(tokens) {
        let or_dash = |at: Option<DateTime<Utc>>| at.map_or_else(|| "-".to_owned(), stamp);
        let places = places(token, found_in).join(", ");
        table.add_row([
            number.to_string(),
            token.token.clone(),
            token.fingerprint.short(),
            token.first_seen_at.map_or_else(|| "now".to_owned(), stamp),
            or_dash(token.adopted_at),
            if places.is_empty() {
                "-".to_owned()
            } else {
                places
            },
        ]);
    }
    trim(&table.to_string())
}

/// Every place that holds it, once.
fn places(token: &ForeignTokenView, found_in: &[FoundIn]) -> Vec<String> {
    let mut places: Vec<String> = token
        .held_by
        .iter()
        .map(|sink| format!("sink {sink}"))
        .collect();
    places.extend(found_in.iter().map(|found| match &found.sink {
        Some(sink) => format!("{} (sink {sink})", found.path),
        None => found.path.clone(),
    }));
    places
}

/// The tokens that these beginnings of fingerprints mean.
fn matching(
    tokens: &[FoundToken],
    prefixes: &[String],
    screen: &Screen,
) -> Result<Vec<Fingerprint>, Exit> {
    let mut chosen = Vec::new();
    for prefix in prefixes {
        let all: Vec<Fingerprint> = tokens.iter().map(|it| it.token.fingerprint).collect();
        match all
            .iter()
            .filter(|it| it.to_string().starts_with(prefix))
            .collect::<Vec<_>>()
            .as_slice()
        {
            [] => {
                screen.error(format!(
                    "no foreign token has a fingerprint that begins with `{prefix}`"
                ));
                return Err(Exit::Failing);
            }
            [one] if chosen.contains(*one) => {}
            [one] => chosen.push(**one),
            many => {
                let count = many.len();
                screen.error(format!(
                    "{count} tokens have a fingerprint that begins with `{prefix}`: give more of it"
                ));
                return Err(Exit::Failing);
            }
        }
    }
    Ok(chosen)
}

/// Asks which, by their numbers in the table.
fn pick(
    tokens: &[FoundToken],
    wish: AdoptAction,
    screen: &Screen,
) -> Result<Vec<Fingerprint>, Exit> {
    let what = match wish {
        AdoptAction::Take => "Adopt",
        AdoptAction::Leave => "Leave alone",
    };
    eprint!("{what} which? [numbers; nothing: none] ");
    let mut answer = String::new();
    let read = std::io::stderr()
        .flush()
        .and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    if read.is_err() {
        return Ok(Vec::new());
    }
    numbered(tokens, &answer).map_err(|error| {
        screen.error(error);
        Exit::Usage
    })
}

fn numbered(tokens: &[FoundToken], answer: &str) -> Result<Vec<Fingerprint>, String> {
    let words = answer
        .split([' ', ',', '\t', '\n', '\r'])
        .filter(|word| !word.is_empty());
    let picked = words.map(|word| {
        let number = word
            .parse::<usize>()
            .ok()
            .and_then(|number| number.checked_sub(1));
        let token = number.and_then(|index| tokens.get(index));
        token
            .map(|it| it.token.fingerprint)
            .ok_or_else(|| format!("`{word}` is no number of the table"))
    });
    Ok(picked
        .collect::<Result<BTreeSet<_>, _>>()?
        .into_iter()
        .collect())
}

/// A token that is taken is watched for in every given file that holds it.
fn request(
    account: &str,
    tokens: &[FoundToken],
    chosen: &[Fingerprint],
    wish: AdoptAction,
) -> AdoptRequest {
    let mut request = AdoptRequest {
        account: account.to_owned(),
        take: BTreeMap::new(),
        leave: BTreeSet::new(),
    };
    for FoundToken { token, found_in } in tokens
        .iter()
        .filter(|it| chosen.contains(&it.token.fingerprint))
    {
        match wish {
            AdoptAction::Take => {
                let files = found_in.iter().map(|found| found.path.clone()).collect();
                request.take.insert(token.fingerprint, files);
            }
            AdoptAction::Leave => drop(request.leave.insert(token.fingerprint)),
        }
    }
    request
}

/// What adopting it comes to, for who is about to do it.
fn consequences(own: &AccountPolicy, found: &FoundToken, now: DateTime<Utc>) -> Vec<String> {
    let FoundToken { token, found_in } = found;
    let name = format!("{} ({})", token.token, token.fingerprint.short());
    let overlap = format_duration(own.retention.overlap);
    let mut told = vec![match token.retires_after {
        Some(at) => {
            let at = at.max(after(now, own.retention.overlap));
            format!("{name} is deleted {} at the earliest", stamp(at))
        }
        None => format!("{name} is deleted {overlap} after the next rotation at the earliest"),
    }];
    if token.held_by.is_empty() && found_in.is_empty() {
        told.push(format!(
            "{name} was found in no sink and in no given file: whatever uses it stops working once it is deleted. \
             Give files that may hold it with --file"
        ));
    }
    for found in found_in.iter().filter(|found| found.sink.is_none()) {
        told.push(format!(
            "{} is written by no sink: give the policy one with that path. As long as the file holds {name}, \
             the token stays",
            found.path,
        ));
    }
    told
}

fn question(account: &str, count: usize) -> String {
    let what = if count == 1 {
        "this token".to_owned()
    } else {
        format!("these {count} tokens")
    };
    format!("Let {what} of account {account} age by the policy, and be deleted in the end?")
}
