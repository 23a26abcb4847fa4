//! The stand-in as a command: its flags, and running it until told to stop.
//!
//! Prints where it listens, then a line for each call; never a token or a password.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::StreamExt as _;
use serde_json::json;

use rotator_core::span::parse_duration;
use rotator_simulator::clock::SimClock;
use rotator_simulator::{
    Authority, CallRecord, ConfigAccess, ConfigSpec, DeleteForm, FaultSpec, KeyForm, ListForm,
    MintForm, RingexSetup, Settings, Setup, Simulator, StartError, User,
};

/// Flags of `simulate`.
#[derive(Args, Clone)]
pub struct SimulateOptions {
    /// Loopback address and port to listen on; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8480")]
    pub listen: SocketAddr,
    /// Who may log in; without any, demo with the password demo. Others on this machine can see it
    /// here
    #[arg(long = "user", value_name = "NAME:PASSWORD[:PLATFORM]", value_parser = parse_user)]
    pub users: Vec<User>,
    /// File with one NAME:PASSWORD[:PLATFORM] a line; empty lines and those beginning with # do not
    /// count
    #[arg(long, value_name = "FILE")]
    pub users_file: Option<PathBuf>,
    /// Loopback address and port for RingEX, where a login by JWT begins; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub ringex_listen: SocketAddr,
    /// A RingEX app; without any, every app is taken. Others on this machine can see it here
    #[arg(long = "ringex-app", value_name = "CLIENT_ID:SECRET", value_parser = parse_pair)]
    pub ringex_apps: Vec<(String, String)>,
    /// A JWT, any text, and the user it logs in; without any, `NAME-jwt` for each user
    #[arg(long = "jwt", value_name = "NAME:JWT", value_parser = parse_pair)]
    pub jwts: Vec<(String, String)>,
    /// Serve HTTPS under a certificate authority made for this run
    #[arg(long, requires = "ca_out")]
    pub tls: bool,
    /// Where to write the authority's certificate, for the policy's ca-file
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub ca_out: Option<PathBuf>,
    /// How long an access token lives
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    pub access_token_ttl: Duration,
    /// How many tokens each user has that nobody knows of
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub foreign: u16,
    /// Make something go wrong (repeatable): mint=lost-answer:2, list=status-429-retry-after-5,
    /// delete@demo=silence:always
    #[arg(long = "fault", value_name = "CALL[@USER]=FAULT[:TIMES]")]
    pub faults: Vec<FaultSpec>,
    /// Form of the list: a JSON array, or the braces of the old documentation
    #[arg(long, value_enum, default_value_t = ListForm::Array)]
    pub list_form: ListForm,
    /// Form of a mint's answer
    #[arg(long, value_enum, default_value_t = MintForm::Bare)]
    pub mint_form: MintForm,
    /// Status of a mint's answer
    #[arg(long, value_name = "STATUS", default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=201))]
    pub mint_status: u16,
    /// What a delete answers; lie says true and deletes nothing
    #[arg(long, value_enum, default_value_t = DeleteForm::True)]
    pub delete_form: DeleteForm,
    /// A new token is listed and works only so long after its mint
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    pub visible_after: Duration,
    /// How many seconds the server's clock is ahead; negative is behind
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub date_skew: i64,
    /// More logins a minute and user are answered 429; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub logins_per_minute: u32,
    /// More requests to RingEX a minute and app are answered 429; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub ringex_logins_per_minute: u32,
    /// How long an access token of RingEX lives
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    pub ringex_token_ttl: Duration,
    /// Let no RingEX app log in with a JWT: as if it had no JWT auth flow
    #[arg(long)]
    pub no_jwt_flow: bool,
    /// Let RingEX know this user and RingCX refuse it; may be given more than once
    #[arg(long = "shut-out", value_name = "NAME")]
    pub disable_access: Vec<String>,
    /// More other calls a minute and user are answered 429; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub requests_per_minute: u32,
    /// How long a user over a limit stays refused
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub penalty: Duration,
    /// Lock a user after so many wrong passwords in a row
    #[arg(long, value_name = "N")]
    pub lockout_after: Option<u32>,
    /// An external auth config that flows take their credential from (repeatable); TYPE is APIKEY,
    /// JWT, BASIC, OAUTH or CUSTOM_AUTH
    #[arg(long = "auth-config", value_name = "ACCOUNT/CONFIG[=TYPE]")]
    pub auth_configs: Vec<ConfigSpec>,
    /// How an auth config shows its key
    #[arg(long, value_enum, default_value_t = KeyForm::Whole)]
    pub key_form: KeyForm,
    /// What users may do with auth configs
    #[arg(long, value_enum, default_value_t = ConfigAccess::Full)]
    pub config_access: ConfigAccess,
    /// Let an IVR flow call with the key of each auth config, so often; the record says whether one
    /// failed
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub flows_every: Option<Duration>,
    /// Say at login that the password must be changed
    #[arg(long)]
    pub password_reset: bool,
    /// Print JSON lines
    #[arg(long)]
    pub json: bool,
    /// Print only where it listens
    #[arg(long, short)]
    pub quiet: bool,
}

/// Why the command ends with a failure.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// Choose another address.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Correct the path.
    #[error("{path}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Correct the line.
    #[error("{path}, line {line}: {source}", path = path.display())]
    UserLine {
        /// The users file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it; the line itself holds a password.
        source: UserFormError,
    },
    /// Nothing can be printed, or no signal be caught.
    #[error("{doing}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// The text is no user. Never says what the text was: it holds a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected NAME:PASSWORD[:PLATFORM]")]
pub struct UserFormError;

/// A password holds no colon here; what follows a second one is the platform.
fn parse_user(text: &str) -> Result<User, UserFormError> {
    let mut parts = text.splitn(3, ':');
    let (name, password) = (
        parts.next().ok_or(UserFormError)?,
        parts.next().ok_or(UserFormError)?,
    );
    if name.is_empty() || password.is_empty() {
        return Err(UserFormError);
    }
    let platform = parts
        .next()
        .filter(|platform| !platform.is_empty())
        .map(str::to_owned);
    Ok(User {
        name: name.to_owned(),
        password: Some(password.to_owned()),
        platform,
    })
}

/// Two texts with a colon between them. Never says what they were: the second is a secret.
fn parse_pair(text: &str) -> Result<(String, String), PairFormError> {
    match text.split_once(':') {
        Some((name, secret)) if !name.is_empty() && !secret.is_empty() => {
            Ok((name.to_owned(), secret.to_owned()))
        }
        Some(_) | None => Err(PairFormError),
    }
}

/// The text has no two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected two texts with a colon between them")]
pub struct PairFormError;

/// Runs until interrupted or terminated by a signal.
pub async fn run(options: SimulateOptions) -> Result<(), SimulateError> {
    let signals = signal_hook_tokio::Signals::new([
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
    ]);
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
pub async fn run_until(
    options: SimulateOptions,
    stop: impl Future<Output = ()>,
) -> Result<(), SimulateError> {
    let users = users(&options)?;
    let tls = match &options.ca_out {
        Some(path) => {
            let authority = Authority::generate();
            let written = authority.write_pem(path);
            written.map_err(|source| SimulateError::File {
                path: path.clone(),
                source,
            })?;
            Some(authority)
        }
        None => None,
    };
    let names: Vec<_> = users.iter().map(|user| user.name.clone()).collect();
    let print: fn(&CallRecord) = if options.json { print_json } else { print_text };
    let simulator = Simulator::start(Setup {
        listen: options.listen,
        tls,
        users,
        ringex_listen: options.ringex_listen,
        ringex: ringex(&options, &names),
        settings: settings(&options),
        clock: SimClock::system(),
        on_call: (!options.quiet).then(|| Arc::new(print) as rotator_simulator::OnCall),
    })
    .await?;
    for name in &names {
        (0..options.foreign).for_each(|_| drop(simulator.mint_foreign(name)));
    }
    for spec in options.auth_configs {
        if let Some(every) = options.flows_every.filter(|_| spec.auth_type == "APIKEY") {
            simulator.start_flow(&spec.config_id, every);
        }
        simulator.add_auth_config(spec);
    }
    options
        .disable_access
        .iter()
        .for_each(|name| simulator.disable_access(name));
    options
        .faults
        .into_iter()
        .for_each(|fault| simulator.inject_spec(fault));

    let url = simulator.base_url();
    let ready = match (options.json, names.as_slice()) {
        (true, _) => {
            json!({ "base_url": url, "ringex_url": simulator.ringex_url(), "users": names })
                .to_string()
        }
        (false, names) => {
            format!(
                "RingCX stand-in for {} at {url}, RingEX at {}",
                names.join(", "),
                simulator.ringex_url()
            )
        }
    };
    let said = line(&ready);
    said.map_err(|source| SimulateError::System {
        doing: "cannot print where it listens",
        source,
    })?;
    stop.await;
    simulator.stop().await;
    Ok(())
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
            users.push(parse_user(text).map_err(|source| SimulateError::UserLine {
                path: path.clone(),
                line: at + 1,
                source,
            })?);
        }
    }
    if users.is_empty() {
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
    let limit = |number: u32| (number > 0).then_some(number);
    Settings {
        access_token_ttl: options.access_token_ttl,
        admin_password_reset: options.password_reset,
        lockout_after: options.lockout_after,
        mint_form: options.mint_form,
        mint_status: options.mint_status,
        list_form: options.list_form,
        delete_form: options.delete_form,
        listed_after: options.visible_after,
        usable_after: options.visible_after,
        date_skew_seconds: options.date_skew,
        logins_per_minute: limit(options.logins_per_minute),
        ringex_logins_per_minute: limit(options.ringex_logins_per_minute),
        jwt_flow: !options.no_jwt_flow,
        ringex_token_ttl: options.ringex_token_ttl,
        requests_per_minute: limit(options.requests_per_minute),
        penalty: options.penalty,
        key_form: options.key_form,
        config_access: options.config_access,
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
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

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
