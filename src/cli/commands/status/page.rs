//! The text of `status`: a table with a line for each account, then what is wrong.

use chrono::{DateTime, Utc};
use comfy_table::{Table, presets};

use crate::console::{Palette, Tone, relative, stamp, trim_lines};
use crate::daemon::view::{
    AccountHealth, AccountView, DaemonView, GenerationView, SinkHealth, SinkView, StatusView,
};

/// How much is shown below the table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StatusDetail {
    /// What is wrong, of accounts that have an incident or an error.
    Troubled,
    /// Every token, sink and time.
    Whole,
}

/// Writes a status for people.
pub struct Page {
    pub palette: Palette,
    pub now: DateTime<Utc>,
}

impl Page {
    pub fn text(&self, view: &StatusView, detail: StatusDetail) -> String {
        let mut parts = vec![self.head(&view.daemon)];
        if view.accounts.is_empty() {
            parts.push("no accounts".to_owned());
        } else {
            parts.push(self.table(&view.accounts));
        }
        for incident in &view.incidents {
            parts.push(
                self.palette
                    .paint(Tone::Bad, &format!("! {}", incident.summary)),
            );
        }
        for account in &view.accounts {
            let is_troubled = !account.incidents.is_empty() || account.last_error.is_some();
            if detail == StatusDetail::Whole || is_troubled {
                parts.push(self.detail(account, detail));
            }
        }
        parts.join("\n\n")
    }

    fn head(&self, daemon: &DaemonView) -> String {
        let running = match (daemon.running, daemon.started_at) {
            (true, Some(since)) => self
                .palette
                .paint(Tone::Good, &format!("running, up {}", age(since, self.now))),
            (true, None) => self.palette.paint(Tone::Good, "running"),
            (false, _) => self
                .palette
                .paint(Tone::Bad, "not running: this is what the journal says"),
        };
        // In the first line: an operator who relies on mail must see that it is not sent.
        let mails = match (daemon.unsent_mails, &daemon.mail_error) {
            (0, _) => String::new(),
            (count, None) => format!(" · {count} mails on their way"),
            (count, Some(why)) => format!(" · {count} mails not sent yet: {why}"),
        };
        let refused = match daemon.mail_refused.as_slice() {
            [] => String::new(),
            refused => format!(" · last mail refused for {}", refused.join("; ")),
        };
        format!(
            "ringcx-rotator {} · {running}{mails}{refused}",
            daemon.version
        )
    }

    fn table(&self, accounts: &[AccountView]) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "ACCOUNT",
            "STATE",
            "CURRENT",
            "AGE",
            "SINKS",
            "OLD",
            "FOREIGN",
            "NEXT ROTATION",
        ]);
        for account in accounts {
            let serving = account
                .sinks
                .iter()
                .filter(|sink| is_well(&sink.state))
                .count();
            let next = match (account.next_rotation_at, &account.pending) {
                (Some(at), _) if at <= self.now => "due".to_owned(),
                (Some(at), _) => relative(at, self.now),
                // While a token is pending no next rotation is planned.
                (None, Some(_)) => "under way".to_owned(),
                (None, None) => "-".to_owned(),
            };
            let current = account.current.as_ref();
            table.add_row([
                account.name.clone(),
                if account.managed {
                    account.state.to_string()
                } else {
                    "not managed".to_owned()
                },
                current.map_or_else(
                    || "-".to_owned(),
                    |token| format!("#{} {}", token.generation, token.fingerprint.short()),
                ),
                current.map_or_else(|| "-".to_owned(), |token| age(token.minted_at, self.now)),
                format!("{serving}/{}", account.sinks.len()),
                account.previous.len().to_string(),
                account.foreign.to_string(),
                next,
            ]);
        }
        // Coloured after the layout, which must not count the colour codes.
        let text = trim_lines(&table.to_string());
        let mut lines = text.lines().map(str::to_owned);
        let head = lines
            .next()
            .map(|line| self.palette.paint(Tone::Dim, &line))
            .into_iter();
        let rows = lines.zip(accounts).map(|(line, account)| {
            let state = account.state.to_string();
            let painted = self.palette.paint(account_tone(&account.state), &state);
            // With its blanks, so that an account of the same name is not coloured instead.
            line.replacen(&format!(" {state} "), &format!(" {painted} "), 1)
        });
        head.chain(rows).collect::<Vec<_>>().join("\n")
    }

    fn detail(&self, account: &AccountView, detail: StatusDetail) -> String {
        let mut lines = vec![self.palette.paint(Tone::Strong, &account.name)];
        if detail == StatusDetail::Whole {
            lines.extend(self.tokens_and_times(account));
        }
        for sink in &account.sinks {
            // In the short page a sink is shown only if something is wrong with it.
            if detail == StatusDetail::Whole || !is_well(&sink.state) {
                lines.push(self.sink(sink));
            }
        }
        for incident in &account.incidents {
            let since = relative(incident.since, self.now);
            let text = format!(
                "  ! {} (since {since}, seen {} times)",
                incident.summary, incident.count
            );
            lines.push(self.palette.paint(Tone::Bad, &text));
        }
        // An incident says it already, and better.
        if let (Some(error), true) = (&account.last_error, account.incidents.is_empty()) {
            lines.push(format!("  last error: {error}"));
        }
        lines.extend(self.time("next attempt", account.next_attempt_at));
        lines.join("\n")
    }

    fn tokens_and_times(&self, account: &AccountView) -> Vec<String> {
        let in_role = |role| move |token| self.generation(role, token);
        let pending = account.pending.iter().map(in_role("pending"));
        let current = account.current.iter().map(in_role("current"));
        let previous = account.previous.iter().map(in_role("previous"));
        let times = [
            self.time("next rotation", account.next_rotation_at),
            self.time("next retirement", account.next_retirement_at),
        ];
        pending
            .chain(current)
            .chain(previous)
            .chain(times.into_iter().flatten())
            .collect()
    }

    fn time(&self, what: &str, at: Option<DateTime<Utc>>) -> Option<String> {
        let at = at?;
        let gap = relative(at, self.now);
        Some(format!("  {what}: {gap} ({})", stamp(at)))
    }

    fn sink(&self, sink: &SinkView) -> String {
        let state = sink.state.to_string();
        let state = self.palette.paint(sink_tone(&sink.state), &state);
        let optional = if sink.required { "" } else { ", optional" };
        let mut line = format!(
            "  sink {} ({}{optional}): {state}, ",
            sink.name, sink.sink_type
        );
        line.push_str(&sink.generation.map_or_else(
            || "no token of ours".to_owned(),
            |generation| format!("generation {generation}"),
        ));
        if sink.notified == Some(false) {
            line.push_str(", consumer not told");
        }
        let parts = [
            sink.acknowledged
                .map(|generation| format!(", consumer uses generation {generation}")),
            sink.proof.as_ref().map(|way| format!(", proved by {way}")),
            sink.note.as_ref().map(|note| format!(", said: {note}")),
            sink.last_error.as_ref().map(|error| format!(": {error}")),
        ];
        line.extend(parts.into_iter().flatten());
        line
    }

    fn generation(&self, role: &str, of: &GenerationView) -> String {
        let end = of
            .retires_after
            .map(|at| {
                format!(
                    ", may be deleted {} ({})",
                    relative(at, self.now),
                    stamp(at)
                )
            })
            .unwrap_or_default();
        format!(
            "  {role}: #{} {}, minted {} ({}){end}",
            of.generation,
            of.fingerprint.short(),
            relative(of.minted_at, self.now),
            stamp(of.minted_at),
        )
    }
}

fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> String {
    relative(since, now).trim_end_matches(" ago").to_owned()
}

fn account_tone(state: &AccountHealth) -> Tone {
    match state {
        AccountHealth::Ok => Tone::Good,
        AccountHealth::Rotating => Tone::Busy,
        AccountHealth::Failing | AccountHealth::Parked | AccountHealth::Other(_) => Tone::Bad,
    }
}

fn is_well(state: &SinkHealth) -> bool {
    matches!(state, SinkHealth::Serving | SinkHealth::Delivered)
}

fn sink_tone(state: &SinkHealth) -> Tone {
    match state {
        SinkHealth::Serving | SinkHealth::Delivered => Tone::Good,
        SinkHealth::Stale => Tone::Busy,
        SinkHealth::Failing | SinkHealth::Unknown | SinkHealth::Other(_) => Tone::Bad,
    }
}
