//! `history`

use std::path::Path;

use clap::Args;

use crate::cli::context;
use crate::console::{Exit, Palette, Screen, Tone, block_on, stamp};
use crate::daemon::requests::history::{
    Earlier, HistoryEntry, HistoryLine, PATH, lines, read_history,
};
use crate::store::VerifiedStream;
use rotator_core::event::Event;

/// Arguments of `history`.
#[derive(Args)]
pub struct HistoryArgs {
    /// Only these accounts
    accounts: Vec<String>,
    /// Print only the last N events
    #[arg(long, short = 'n', value_name = "N")]
    last: Option<usize>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    /// Only check that every row is unchanged since it was written
    #[arg(long, conflicts_with_all = ["accounts", "last", "json"])]
    verify: bool,
}

pub fn history(config: &Path, args: &HistoryArgs, screen: &Screen) -> Exit {
    let fetched = if args.verify {
        block_on(verify(config, screen))
    } else {
        block_on(fetch(config, &args.accounts, screen)).map(|events| {
            // Cut here and not by the daemon: its answer is the same whatever a command shows.
            let skip = args
                .last
                .map_or(0, |last| events.len().saturating_sub(last));
            let palette = screen.palette();
            let shown = events.iter().skip(skip).map(|event| {
                if args.json {
                    json(event)
                } else {
                    text(event, palette)
                }
            });
            shown.collect::<Vec<_>>().join("\n")
        })
    };
    match fetched {
        Ok(text) if text.is_empty() => screen.note("nothing has happened yet"),
        Ok(text) => screen.print(&text),
        Err(exit) => return exit,
    }
    Exit::Done
}

async fn fetch(
    config: &Path,
    accounts: &[String],
    screen: &Screen,
) -> Result<Vec<HistoryLine>, Exit> {
    // Found without the policy, which may be the error that the operator is looking for.
    if let Some(daemon) = context::running(config, screen)? {
        return daemon
            .get(PATH, accounts)
            .await
            .map_err(|error| context::failing(error, screen));
    }
    let policy = context::policy(config, screen)?;
    let journal = context::read_journal(&policy, screen)?;
    let histories = read_history(&journal, accounts)
        .await
        .map_err(|error| context::failing(error, screen))?;
    Ok(lines(histories))
}

/// Checks every stream, those after a damaged one too.
async fn verify(config: &Path, screen: &Screen) -> Result<String, Exit> {
    use rotator_core::journal::Journal;
    let policy = context::policy(config, screen)?;
    let journal = context::read_journal(&policy, screen)?;
    let (mut verified, mut failed) = (Vec::new(), None);
    for stream in journal
        .streams()
        .await
        .map_err(|error| context::journal_error(&error, screen))?
    {
        match journal.verify(&stream).await {
            Ok(VerifiedStream { rows, compacted: 0 }) => {
                verified.push(format!("{stream}: {rows} rows, as they were written"));
            }
            Ok(VerifiedStream { rows, compacted }) => verified.push(format!(
                "{stream}: {rows} rows and the checkpoint of {compacted} earlier ones, \
                 as they were written"
            )),
            // Goes on: the operator needs to know of every damaged stream, not of the first one.
            Err(error) => failed = Some(context::journal_error(&error, screen)),
        }
    }
    match failed {
        None => Ok(verified.join("\n")),
        // The good streams are shown too, so that it is clear which accounts can be trusted.
        Some(exit) => {
            screen.print(&verified.join("\n"));
            Err(exit)
        }
    }
}

fn json(line: &HistoryLine) -> String {
    serde_json::to_string(line).expect("views are plain data")
}

/// One event for people: its kind, and its fields as `name=value`.
fn text(line: &HistoryLine, palette: Palette) -> String {
    let at = palette.paint(Tone::Dim, &stamp(line.at));
    if let HistoryEntry::Earlier(Earlier::Checkpoint { rows, since }) = &line.told {
        let (account, since) = (&line.account, stamp(*since));
        let kind = palette.paint(Tone::Strong, "checkpoint");
        return format!(
            "{at}  {account} #{rows}  {kind}  {rows} earlier events since {since} are compacted"
        );
    }
    // Through JSON, so that a new event needs no code here.
    let body = serde_json::to_value(&line.told).expect("events are plain data");
    let mut fields = Vec::new();
    let mut kind = String::new();
    for (name, value) in body.as_object().into_iter().flatten() {
        match value {
            serde_json::Value::String(text) if name == "kind" => kind.clone_from(text),
            serde_json::Value::String(text) if name == "fingerprint" => {
                fields.push(format!("{name}={}", text.get(..12).unwrap_or(text)));
            }
            serde_json::Value::String(text) => fields.push(format!("{name}={text:?}")),
            // Names say more than their number does; fingerprints do not.
            serde_json::Value::Array(_) if ["files", "held_by"].contains(&name.as_str()) => {
                fields.push(format!("{name}={value}"));
            }
            serde_json::Value::Array(items) => fields.push(format!("{name}=[{}]", items.len())),
            // A field without a value says nothing to people; `--json` has it.
            serde_json::Value::Null => {}
            other => fields.push(format!("{name}={other}")),
        }
    }
    let kind = palette.paint(tone(&line.told), &kind);
    format!(
        "{at}  {} #{}  {kind}  {}",
        line.account,
        line.seq,
        fields.join(" ")
    )
    .trim_end()
    .to_owned()
}

fn tone(entry: &HistoryEntry) -> Tone {
    let HistoryEntry::Event(event) = entry else {
        return Tone::Strong;
    };
    let is_good = matches!(
        event,
        Event::Promoted { .. } | Event::Retired { .. } | Event::LaneCleared { .. }
    );
    let is_bad = matches!(
        event,
        Event::AttemptFailed { .. }
            | Event::TokenLost { .. }
            | Event::MintAmbiguous { .. }
            | Event::Abandoned { .. }
    );
    match (is_good, is_bad) {
        (true, _) => Tone::Good,
        (_, true) => Tone::Bad,
        (false, false) => Tone::Strong,
    }
}
