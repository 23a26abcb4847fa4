//! `status`

use std::path::Path;

use chrono::{DateTime, Utc};
use comfy_table::{Table, presets};

use super::context;
use super::tokens::trim;
use crate::clock::Clock;
use crate::console::{Exit, Format, Palette, Screen, Tone, block_on, relative, stamp};
use crate::daemon::supervisor::{of, unmanaged};
use crate::daemon::view::{self, AccountView, DaemonView, GenerationView, StatusView};
use crate::reconcile::load_state;
use crate::reconcile::look_at;
use rotator_core::config::{AccountPolicy, Policy};
use rotator_core::incidents::{AlertState, Conditions, DAEMON};
use rotator_core::journal::{ALERTS, Journal};

pub fn status(config: &Path, accounts: &[String], format: Format, screen: &Screen) -> Exit {
    let view = match block_on(fetch(config, accounts, screen)) {
        Ok(view) => view,
        Err(exit) => return exit,
    };
    match format {
        Format::Json => screen.json(&view),
        Format::Text => {
            let painter = Painter {
                palette: screen.palette(),
                now: Clock::system().now(),
            };
            screen.print(&painter.page(&view, !accounts.is_empty()));
        }
    }
    Exit::Done
}

async fn fetch(config: &Path, accounts: &[String], screen: &Screen) -> Result<StatusView, Exit> {
    match context::running(config, screen)? {
        Some(daemon) => daemon
            .get("/v1/status", accounts)
            .await
            .map_err(|error| context::refused(&error, screen)),
        None => from_journal(&context::policy(config, screen)?, accounts, screen).await,
    }
}

/// No daemon runs: the journal and the sinks themselves are looked at.
async fn from_journal(
    policy: &Policy,
    accounts: &[String],
    screen: &Screen,
) -> Result<StatusView, Exit> {
    let journal = context::read_journal(policy, screen)?;
    let no_journal = |error| context::journal_error(&error, screen);
    let stream = journal.load(ALERTS).await.map_err(no_journal)?;
    let alerts =
        AlertState::from_stream(&stream).map_err(|error| context::failing(error, screen))?;
    let incidents = alerts.incidents(&Conditions::new());
    let mut views = Vec::new();
    let chosen = |it: &&AccountPolicy| accounts.is_empty() || accounts.contains(&it.name);
    for account in policy.accounts.iter().filter(chosen) {
        let state = load_state(&journal, &account.name).await;
        let state = state.map_err(|error| context::failing(error, screen))?;
        let held = look_at(&account.sinks, &state).await;
        views.push(view::account(
            account,
            &state,
            &held,
            of(&incidents, &account.name),
        ));
    }
    for name in unmanaged(&journal, policy).await.map_err(no_journal)? {
        if accounts.is_empty() || accounts.contains(&name) {
            let state = load_state(&journal, &name)
                .await
                .map_err(|error| context::failing(error, screen))?;
            views.push(view::unmanaged(&name, &state, of(&incidents, &name)));
        }
    }
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
        },
        accounts: views,
        incidents: of(&incidents, DAEMON),
    })
}

struct Painter {
    palette: Palette,
    now: DateTime<Utc>,
}

impl Painter {
    fn page(&self, view: &StatusView, in_detail: bool) -> String {
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
            if in_detail || !account.incidents.is_empty() || account.last_error.is_some() {
                parts.push(self.detail(account, in_detail));
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
        let mails = match (daemon.unsent_mails, &daemon.mail_error) {
            (0, _) => String::new(),
            (count, None) => format!(" · {count} mails on their way"),
            (count, Some(why)) => format!(" · {count} mails not sent yet: {why}"),
        };
        format!("ringcx-rotator {} · {running}{mails}", daemon.version)
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
                .filter(|sink| sink.state == "serving")
                .count();
            let next = match (account.next_rotation_at, &account.pending) {
                (Some(at), _) if at <= self.now => "due".to_owned(),
                (Some(at), _) => relative(at, self.now),
                (None, Some(_)) => "under way".to_owned(),
                (None, None) => "-".to_owned(),
            };
            let current = account.current.as_ref();
            table.add_row([
                account.name.clone(),
                if account.managed {
                    account.state.clone()
                } else {
                    "not managed".to_owned()
                },
                current.map_or_else(
                    || "-".to_owned(),
                    |it| format!("#{} {}", it.generation, it.fingerprint.short()),
                ),
                current.map_or_else(|| "-".to_owned(), |it| age(it.minted_at, self.now)),
                format!("{serving}/{}", account.sinks.len()),
                account.previous.len().to_string(),
                account.foreign.to_string(),
                next,
            ]);
        }
        // Coloured after the layout, which must not count the colour codes.
        let text = trim(&table.to_string());
        let mut lines = text.lines().map(str::to_owned);
        let head = lines
            .next()
            .map(|line| self.palette.paint(Tone::Dim, &line))
            .into_iter();
        let rows = lines.zip(accounts).map(|(line, account)| {
            let painted = self.palette.paint(tone(&account.state), &account.state);
            line.replacen(&format!(" {} ", account.state), &format!(" {painted} "), 1)
        });
        head.chain(rows).collect::<Vec<_>>().join("\n")
    }

    fn detail(&self, account: &AccountView, whole: bool) -> String {
        let mut lines = vec![self.palette.paint(Tone::Strong, &account.name)];
        if whole {
            lines.extend(
                account
                    .pending
                    .iter()
                    .map(|it| self.generation("pending", it)),
            );
            lines.extend(
                account
                    .current
                    .iter()
                    .map(|it| self.generation("current", it)),
            );
            lines.extend(
                account
                    .previous
                    .iter()
                    .map(|it| self.generation("previous", it)),
            );
            for (what, at) in [
                ("next rotation", account.next_rotation_at),
                ("next retirement", account.next_retirement_at),
            ] {
                if let Some(at) = at {
                    lines.push(format!(
                        "  {what}: {} ({})",
                        relative(at, self.now),
                        stamp(at)
                    ));
                }
            }
        }
        for sink in account
            .sinks
            .iter()
            .filter(|sink| whole || sink.state != "serving")
        {
            let holds = sink.generation.map_or_else(
                || "no token of ours".to_owned(),
                |it| format!("generation {it}"),
            );
            let error = sink
                .last_error
                .as_ref()
                .map(|it| format!(": {it}"))
                .unwrap_or_default();
            let state = self.palette.paint(tone(&sink.state), &sink.state);
            let proof = sink
                .proof
                .as_ref()
                .map(|it| format!(", proved by {it}"))
                .unwrap_or_default();
            let note = sink
                .note
                .as_ref()
                .map(|it| format!(", said: {it}"))
                .unwrap_or_default();
            let optional = if sink.required { "" } else { ", optional" };
            let told = if sink.notified == Some(false) {
                ", consumer not told"
            } else {
                ""
            };
            let uses = sink
                .acknowledged
                .map(|it| format!(", consumer uses generation {it}"));
            let uses = uses.unwrap_or_default();
            lines.push(format!(
                "  sink {} ({}{optional}): {state}, {holds}{told}{uses}{proof}{note}{error}",
                sink.name, sink.sink_type
            ));
        }
        for incident in &account.incidents {
            let since = relative(incident.since, self.now);
            let text = format!(
                "  ! {} (since {since}, seen {} times)",
                incident.summary, incident.count
            );
            lines.push(self.palette.paint(Tone::Bad, &text));
        }
        if let (Some(error), true) = (&account.last_error, account.incidents.is_empty()) {
            lines.push(format!("  last error: {error}"));
        }
        if let Some(at) = account.next_attempt_at {
            lines.push(format!(
                "  next attempt: {} ({})",
                relative(at, self.now),
                stamp(at)
            ));
        }
        lines.join("\n")
    }

    fn generation(&self, stage: &str, of: &GenerationView) -> String {
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
            "  {stage}: #{} {}, minted {} ({}){end}",
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

fn tone(state: &str) -> Tone {
    match state {
        "ok" | "serving" => Tone::Good,
        "rotating" | "stale" => Tone::Busy,
        _ => Tone::Bad,
    }
}
