//! `simulate`: the RingCX stand-in as a command, which runs until a signal ends it.
//!
//! Prints the addresses, then one line for each call; never a token or a password.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt as _;
use serde_json::json;

use crate::console::{Exit, Screen, block_on};
use rotator_simulator::clock::SimClock;
use rotator_simulator::{
    Authority, CallRecord, RingexSetup, Settings, Setup, Simulator, StartError, User,
};

mod options;

pub use options::SimulateOptions;
use options::{UserFormError, parse_user};

/// Why the command ends with a failure.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A port could not be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A file could not be read or written.
    #[error("{path}", path = path.display())]
    File {
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line of the users file is wrong.
    #[error("{path}, line {line}: {source}", path = path.display())]
    UserLine {
        path: PathBuf,
        /// The number of the line in the file, counted from 1.
        line: usize,
        /// What is wrong with it, without its text: that holds a password.
        source: UserFormError,
    },
    /// Stdout is closed, or signals cannot be caught.
    #[error("{doing}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Runs until interrupted or terminated by a signal.
pub fn simulate(options: SimulateOptions, screen: &Screen) -> Exit {
    match block_on(run(options)) {
        Ok(()) => Exit::Done,
        Err(error) => {
            screen.error(&error);
            Exit::Failing
        }
    }
}

async fn run(options: SimulateOptions) -> Result<(), SimulateError> {
    let signals = signal_hook_tokio::Signals::new([
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
    ]);
    // Caught before anything is started, so that a signal never ends it without closing the ports.
    let mut signals = signals.map_err(|source| SimulateError::System {
        doing: "cannot catch signals",
        source,
    })?;
    run_until(options, async move {
        signals.next().await;
    })
    .await
}

/// Runs until the future is done.
async fn run_until(
    options: SimulateOptions,
    stop: impl Future<Output = ()>,
) -> Result<(), SimulateError> {
    let users = users(&options)?;
    let names: Vec<String> = users.iter().map(|user| user.name.clone()).collect();
    // A function pointer, so that the observer captures nothing and needs no copy of the options.
    let print: fn(&CallRecord) = if options.json { print_json } else { print_text };
    let simulator = Simulator::start(Setup {
        listen: options.listen,
        tls: authority(&options)?,
        users,
        ringex_listen: options.ringex_listen,
        ringex: ringex(&options, &names),
        settings: settings(&options),
        clock: SimClock::system(),
        on_call: (!options.quiet).then(|| Arc::new(print) as rotator_simulator::OnCall),
    })
    .await?;
    // Before the address is printed: a script that waits for that line finds everything in place.
    prepare(&simulator, &options, &names);
    line(&ready(&simulator, &options, &names)).map_err(|source| SimulateError::System {
        doing: "cannot print where it listens",
        source,
    })?;
    stop.await;
    simulator.stop().await;
    Ok(())
}

/// The authority of this run, its certificate written where the flags want it.
fn authority(options: &SimulateOptions) -> Result<Option<Authority>, SimulateError> {
    let Some(path) = &options.ca_out else {
        return Ok(None);
    };
    let authority = Authority::generate();
    let written = authority.write_pem(path);
    written.map_err(|source| SimulateError::File {
        path: path.clone(),
        source,
    })?;
    Ok(Some(authority))
}

/// Sets up tokens, auth configs, refused users and faults, before the address is printed.
fn prepare(simulator: &Simulator, options: &SimulateOptions, names: &[String]) {
    for name in names {
        (0..options.foreign).for_each(|_| drop(simulator.mint_foreign(name)));
    }
    for spec in &options.auth_configs {
        // The other types hold no key that a flow could send.
        let is_key = spec.auth_type == "APIKEY";
        if let Some(every) = options.flows_every.filter(|_| is_key) {
            simulator.start_flow(&spec.config_id, every);
        }
        simulator.add_auth_config(spec.clone());
    }
    for name in &options.disable_access {
        simulator.disable_access(name);
    }
    for fault in &options.faults {
        // Last, so that preparing does not use a fault up.
        simulator.inject_spec(fault.clone());
    }
}

/// The first line that is printed. Scripts wait for it and read the addresses from it.
fn ready(simulator: &Simulator, options: &SimulateOptions, names: &[String]) -> String {
    let (url, ringex_url) = (simulator.base_url(), simulator.ringex_url());
    if options.json {
        return json!({ "base_url": url, "ringex_url": ringex_url, "users": names }).to_string();
    }
    let names = names.join(", ");
    format!("RingCX stand-in for {names} at {url}, RingEX at {ringex_url}")
}

fn users(options: &SimulateOptions) -> Result<Vec<User>, SimulateError> {
    let mut users = options.users.clone();
    if let Some(path) = &options.users_file {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| SimulateError::File {
            path: path.clone(),
            source,
        })?;
        let lines = text.lines().map(str::trim).enumerate();
        for (at, text) in lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#')) {
            // The number is of the file as an editor shows it, with empty lines and comments.
            users.push(parse_user(text).map_err(|source| SimulateError::UserLine {
                path: path.clone(),
                line: at + 1,
                source,
            })?);
        }
    }
    if users.is_empty() {
        // A first try should need no flags; the policy in the documentation uses this user.
        let demo = || "demo".to_owned();
        users.push(User {
            name: demo(),
            password: Some(demo()),
            platform: None,
        });
    }
    Ok(users)
}

fn ringex(options: &SimulateOptions, names: &[String]) -> RingexSetup {
    let mut jwts: BTreeMap<String, String> = options
        .jwts
        .iter()
        .map(|(name, jwt)| (jwt.clone(), name.clone()))
        .collect();
    if jwts.is_empty() {
        jwts.extend(
            names
                .iter()
                .map(|name| (format!("{name}-jwt"), name.clone())),
        );
    }
    RingexSetup {
        apps: options.ringex_apps.iter().cloned().collect(),
        jwts,
    }
}

fn settings(options: &SimulateOptions) -> Settings {
    // On the command line 0 means no limit, and the settings say so by `None`.
    let limit = |number: u32| (number > 0).then_some(number);
    Settings {
        access_token_ttl: options.access_token_ttl,
        admin_password_reset: options.password_reset,
        lockout_after: options.lockout_after,
        mint_form: options.mint_form,
        mint_status: options.mint_status,
        list_form: options.list_form,
        list_first: limit(options.list_first),
        list_lag: options.list_lag,
        tokens_per_user: limit(options.tokens_per_user),
        delete_form: options.delete_form,
        listed_after: options.visible_after,
        // One flag for both delays, because clients see them as one.
        usable_after: options.visible_after,
        date_skew_seconds: options.date_skew,
        issuer_skew_seconds: options.issuer_skew,
        logins_per_minute: limit(options.logins_per_minute),
        ringex_logins_per_minute: limit(options.ringex_logins_per_minute),
        jwt_flow: !options.no_jwt_flow,
        ringex_token_ttl: options.ringex_token_ttl,
        requests_per_minute: limit(options.requests_per_minute),
        penalty: options.penalty,
        penalty_doubles: options.penalty_doubles,
        key_form: options.key_form,
        config_access: options.config_access,
        session_of: options.session_of.clone(),
        ..Settings::default()
    }
}

fn print_json(call: &CallRecord) {
    if let Ok(text) = serde_json::to_string(call) {
        // A reader that went away stops the printing, not the server.
        let _ = line(&text);
    }
}

fn print_text(call: &CallRecord) {
    // A name comes from outside: it must not be able to write a line of its own.
    let user = call.user.as_deref().unwrap_or("-").escape_debug();
    let status = call
        .status
        .map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let fault = call
        .fault
        .map(|fault| format!("  ({fault})"))
        .unwrap_or_default();
    let at = call.at.format("%H:%M:%S%.3f");
    let _ = line(&format!(
        "{at}  {user}  {call}  {status}{fault}",
        call = call.call
    ));
}

fn line(text: &str) -> io::Result<()> {
    // One lock for a line: calls are printed from several connections.
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    // A script that reads from a pipe must see each line at once.
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;
    use rotator_simulator::DeleteForm;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: SimulateOptions,
    }

    fn parsed(flags: &[&str]) -> Result<SimulateOptions, clap::Error> {
        let command =
            Command::try_parse_from(std::iter::once("simulate").chain(flags.iter().copied()));
        command.map(|command| command.options)
    }

    #[test]
    fn flags_become_users_and_settings() {
        let options = parsed(&[
            "--user=ann:pw:aws80",
            "--user=bob:pw",
            "--delete-form=204",
            "--date-skew",
            "-600",
            "--visible-after=2s",
            "--fault=mint=lost-answer:2",
        ]);
        let options = options.ok().unwrap();
        let named = users(&options).unwrap();
        assert_eq!(named[0].platform.as_deref(), Some("aws80"));
        assert_eq!((named[1].name.as_str(), &named[1].platform), ("bob", &None));
        let settings = settings(&options);
        assert_eq!(
            (settings.delete_form, settings.date_skew_seconds),
            (DeleteForm::NoContent, -600)
        );
        assert_eq!(settings.usable_after, Duration::from_secs(2));
        assert_eq!(options.faults.len(), 1);
    }

    #[test]
    fn a_users_file_says_which_line_is_wrong_and_not_what_it_holds() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"# users\nann:pw:aws80\n\ncanary\n")
            .unwrap();
        let options = parsed(&["--users-file", file.path().to_str().unwrap()])
            .ok()
            .unwrap();
        let error = users(&options)
            .err()
            .expect("a line without a password")
            .to_string();
        assert!(
            error.contains("line 4") && !error.contains("canary"),
            "{error}"
        );
    }

    #[test]
    fn flags_that_make_no_sense_are_refused() {
        for flags in [
            &["--tls"][..],
            &["--ca-out=x"],
            &["--user=ann"],
            &["--mint-status=500"],
            &["--fault=list=late-effect-1s"],
            &["--listen=nowhere"],
        ] {
            assert!(parsed(flags).is_err(), "{flags:?}");
        }
    }

    #[tokio::test]
    async fn the_command_ends_when_told_and_leaves_the_authority_where_asked() {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        let flags = [
            "--listen=127.0.0.1:0",
            "--tls",
            "--ca-out",
            ca.to_str().unwrap(),
            "--foreign=2",
        ];
        run_until(parsed(&flags).ok().unwrap(), std::future::ready(()))
            .await
            .unwrap();
        assert!(
            std::fs::read_to_string(ca)
                .unwrap()
                .starts_with("-----BEGIN CERTIFICATE-----")
        );
        let outside = run_until(
            parsed(&["--listen=0.0.0.0:0"]).ok().unwrap(),
            std::future::pending(),
        )
        .await;
        assert!(matches!(
            outside,
            Err(SimulateError::Start(StartError::NotLoopback { .. }))
        ));
    }
}
