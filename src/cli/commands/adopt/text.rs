//! What `adopt` shows before it asks.

use chrono::{DateTime, Utc};
use comfy_table::{Table, presets};

use super::files::{FoundIn, FoundToken};
use crate::console::{stamp, trim_lines};
use crate::daemon::view::ForeignTokenView;
use rotator_core::config::AccountPolicy;
use rotator_core::span::format_duration;
use rotator_core::time::after;

/// All tokens with their numbers.
pub fn table(account: &str, tokens: &[FoundToken]) -> String {
    if tokens.is_empty() {
        return format!("{account}: no foreign tokens on the server");
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // The number is what is typed as an answer, so it comes first.
    table.set_header([
        "#",
        "TOKEN",
        "FINGERPRINT",
        "FIRST SEEN",
        "ADOPTED",
        "WHERE",
    ]);
    let or_dash = |text: String| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        }
    };
    for (number, FoundToken { token, found_in }) in (1..).zip(tokens) {
        table.add_row([
            number.to_string(),
            token.token.clone(),
            token.fingerprint.short(),
            token.first_seen_at.map_or_else(|| "now".to_owned(), stamp),
            or_dash(token.adopted_at.map(stamp).unwrap_or_default()),
            or_dash(places(token, found_in).join(", ")),
        ]);
    }
    trim_lines(&table.to_string())
}

/// The sinks and files that hold the token.
fn places(token: &ForeignTokenView, found_in: &[FoundIn]) -> Vec<String> {
    let sinks = token.held_by.iter().map(|sink| format!("sink {sink}"));
    let files = found_in.iter().map(|found| match &found.sink {
        Some(sink) => format!("{} (sink {sink})", found.path),
        None => found.path.clone(),
    });
    sinks.chain(files).collect()
}

/// What happens to the token once it is adopted, and what may break then.
pub fn consequences(own: &AccountPolicy, found: &FoundToken, now: DateTime<Utc>) -> Vec<String> {
    let FoundToken { token, found_in } = found;
    let name = format!("{} ({})", token.token, token.fingerprint.short());
    let overlap = format_duration(own.retention.overlap);
    let mut consequences = vec![match token.retires_after {
        Some(at) => {
            // The overlap counts from the adoption: a token that is old already is not deleted at
            // once.
            let at = at.max(after(now, own.retention.overlap));
            format!("{name} is deleted {} at the earliest", stamp(at))
        }
        None => format!("{name} is deleted {overlap} after the next rotation at the earliest"),
    }];
    // The dangerous case: the daemon cannot see when the last user of the token has a new one.
    if token.held_by.is_empty() && found_in.is_empty() {
        consequences.push(format!(
            "{name} was found in no sink and in no given file: whatever uses it stops working \
             once it is deleted. Give files that may hold it with --file"
        ));
    }
    for found in found_in.iter().filter(|found| found.sink.is_none()) {
        consequences.push(format!(
            "{} is written by no sink: give the policy one with that path. As long as the file \
             holds {name}, the token stays",
            found.path,
        ));
    }
    consequences
}

/// The question before it is done.
pub fn question(account: &str, count: usize) -> String {
    let what = if count == 1 {
        "this token".to_owned()
    } else {
        format!("these {count} tokens")
    };
    format!("Let {what} of account {account} age by the policy, and be deleted in the end?")
}
