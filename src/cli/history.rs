//! `history`

use std::path::Path;

use super::context;
use crate::console::{Exit, Format, Palette, Screen, Tone, block_on, stamp};
use crate::daemon::control::{Earlier, HistoryEntry, HistoryLine, lines};
use crate::daemon::supervisor::read_history;
use crate::store::VerifiedStream;

/// What was asked for.
pub struct HistoryArgs {
    /// None is all.
    pub accounts: Vec<String>,
    pub last: Option<usize>,
    pub format: Format,
    /// Only see whether the journal is what was written.
    pub verify: bool,
}

pub fn history(config: &Path, asked: HistoryArgs, screen: &Screen) -> Exit {
    let fetched = if asked.verify {
        block_on(verify(config, screen))
    } else {
        block_on(fetch(config, &asked.accounts, screen)).map(|events| {
            let skip = asked
                .last
                .map_or(0, |last| events.len().saturating_sub(last));
            let palette = screen.palette();
            let shown = events.iter().skip(skip).map(|event| match asked.format {
                Format::Json => compact(event),
                Format::Text => told(event, palette),
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
    if let Some(daemon) = context::running(config, screen)? {
        return daemon
            .get("/v1/history", accounts)
            .await
            .map_err(|error| context::refused(&error, screen));
    }
    let policy = context::policy(config, screen)?;
    let journal = context::read_journal(&policy, screen)?;
    let trails = read_history(&journal, accounts)
        .await
        .map_err(|error| context::failing(error, screen))?;
    Ok(lines(trails))
}

/// Looks at every stream, also behind one that is damaged.
async fn verify(config: &Path, screen: &Screen) -> Result<String, Exit> {
    use rotator_core::journal::Journal;
    let policy = context::policy(config, screen)?;
    let journal = context::read_journal(&policy, screen)?;
    let (mut told, mut failed) = (Vec::new(), None);
    for stream in journal
        .streams()
        .await
        .map_err(|error| context::journal_error(&error, screen))?
    {
        match journal.verify(&stream).await {
            Ok(VerifiedStream { rows, compacted: 0 }) => {
                told.push(format!("{stream}: {rows} rows, as they were written"));
            }
            Ok(VerifiedStream { rows, compacted }) => told.push(format!(
                "{stream}: {rows} rows and the checkpoint of {compacted} earlier ones, as they were written"
            )),
            Err(error) => failed = Some(context::journal_error(&error, screen)),
        }
    }
    match failed {
        None => Ok(told.join("\n")),
        Some(exit) => {
            screen.print(&told.join("\n"));
            Err(exit)
        }
    }
}

fn compact(line: &HistoryLine) -> String {
    serde_json::to_string(line).expect("views are plain data")
}

/// One event for people: its kind, and its fields as `name=value`.
fn told(line: &HistoryLine, palette: Palette) -> String {
    let at = palette.paint(Tone::Dim, &stamp(line.at));
    if let HistoryEntry::Earlier(Earlier::Checkpoint { rows, since }) = &line.told {
        let (account, since) = (&line.account, stamp(*since));
        let kind = palette.paint(Tone::Strong, "checkpoint");
        return format!(
            "{at}  {account} #{rows}  {kind}  {rows} earlier events since {since} are compacted"
        );
    }
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
            serde_json::Value::Null => {}
            other => fields.push(format!("{name}={other}")),
        }
    }
    let tone = match kind.as_str() {
        "promoted" | "retired" | "lane-cleared" => Tone::Good,
        "attempt-failed" | "token-lost" | "mint-ambiguous" | "abandoned" => Tone::Bad,
        _ => Tone::Strong,
    };
    let kind = palette.paint(tone, &kind);
    format!(
        "{at}  {} #{}  {kind}  {}",
        line.account,
        line.seq,
        fields.join(" ")
    )
    .trim_end()
    .to_owned()
}
