//! The flags of `simulate`, and how their values are parsed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use rotator_core::span::parse_duration;
use rotator_simulator::{
    ConfigAccess, ConfigSpec, DeleteForm, FaultSpec, KeyForm, ListForm, MintForm, User,
};

/// Flags of `simulate`.
#[derive(Args, Clone)]
pub struct SimulateOptions {
    /// Loopback address and port to listen on; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8480")]
    pub listen: SocketAddr,
    /// A user who may log in (repeatable); without any, demo with the password demo. Visible to
    /// other local users in `ps`: prefer --users-file
    #[arg(long = "user", value_name = "NAME:PASSWORD[:PLATFORM]", value_parser = parse_user)]
    pub users: Vec<User>,
    /// File of users, one NAME:PASSWORD[:PLATFORM] per line; empty lines and lines that begin with
    /// # are ignored
    #[arg(long, value_name = "FILE")]
    pub users_file: Option<PathBuf>,
    /// Loopback address and port for RingEX, where a login by JWT starts; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub ringex_listen: SocketAddr,
    /// A RingEX app (repeatable); without any, every app is accepted. Visible to other local users
    /// in `ps`
    #[arg(long = "ringex-app", value_name = "CLIENT_ID:SECRET", value_parser = parse_pair)]
    pub ringex_apps: Vec<(String, String)>,
    /// A JWT, which may be any text, and the user that it logs in (repeatable); without any,
    /// `NAME-jwt` for each user. Visible to other local users in `ps`
    #[arg(long = "jwt", value_name = "NAME:JWT", value_parser = parse_pair)]
    pub jwts: Vec<(String, String)>,
    /// Serve HTTPS, with a certificate authority generated for this run
    #[arg(long, requires = "ca_out")]
    pub tls: bool,
    /// Where to write the authority's certificate, for the policy's ca-file
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub ca_out: Option<PathBuf>,
    /// Lifetime of an access token
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    pub access_token_ttl: Duration,
    /// Number of tokens that each user has from the start
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub foreign: u16,
    /// Inject a fault (repeatable): mint=lost-answer:2, list=status-429-retry-after-5,
    /// delete@demo=silence:always
    #[arg(long = "fault", value_name = "CALL[@USER]=FAULT[:TIMES]")]
    pub faults: Vec<FaultSpec>,
    /// Form of the list: a JSON array, or the braces of the old documentation
    #[arg(long, value_enum, default_value_t = ListForm::Array)]
    pub list_form: ListForm,
    /// Show only the first N tokens of each list, the oldest, as if it were one page of more; 0
    /// shows all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub list_first: u32,
    /// Show lists as they were so long ago, as from a node that lags behind
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    pub list_lag: Duration,
    /// Limit of tokens of each user; a mint beyond it deletes the oldest; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub tokens_per_user: u32,
    /// Form of the answer to a mint; half is a part of the token
    #[arg(long, value_enum, default_value_t = MintForm::Bare)]
    pub mint_form: MintForm,
    /// Status of the answer to a mint
    #[arg(long, value_name = "STATUS", default_value_t = 200,
        value_parser = clap::value_parser!(u16).range(200..=201))]
    pub mint_status: u16,
    /// Answer to a delete; lie answers true and deletes nothing
    #[arg(long, value_enum, default_value_t = DeleteForm::True)]
    pub delete_form: DeleteForm,
    /// Delay before a new token is listed and works
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    pub visible_after: Duration,
    /// Seconds by which the server's clock is ahead; a negative number puts it behind
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub date_skew: i64,
    /// Seconds by which the clock that issues access tokens is ahead of the server's
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub issuer_skew: i64,
    /// Limit of logins per minute and user; more are answered 429; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub logins_per_minute: u32,
    /// Limit of requests to RingEX per minute and app; more are answered 429; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub ringex_logins_per_minute: u32,
    /// Lifetime of an access token of RingEX
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    pub ringex_token_ttl: Duration,
    /// Refuse every login by JWT, as if the RingEX apps had no JWT auth flow
    #[arg(long)]
    pub no_jwt_flow: bool,
    /// A user that RingEX accepts and RingCX refuses (repeatable)
    #[arg(long = "shut-out", value_name = "NAME")]
    pub disable_access: Vec<String>,
    /// Limit of other calls per minute and user; more are answered 429; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub requests_per_minute: u32,
    /// How long a user who exceeded a limit is refused
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub penalty: Duration,
    /// Make a penalty twice as long with each request in it
    #[arg(long)]
    pub penalty_doubles: bool,
    /// Lock a user after this number of wrong passwords in a row
    #[arg(long, value_name = "N")]
    pub lockout_after: Option<u32>,
    /// An external auth config, from which flows take their credential (repeatable); TYPE is
    /// APIKEY, JWT, BASIC, OAUTH or CUSTOM_AUTH
    #[arg(long = "auth-config", value_name = "ACCOUNT/CONFIG[=TYPE]")]
    pub auth_configs: Vec<ConfigSpec>,
    /// How an auth config shows its key
    #[arg(long, value_enum, default_value_t = KeyForm::Whole)]
    pub key_form: KeyForm,
    /// What users may do with auth configs
    #[arg(long, value_enum, default_value_t = ConfigAccess::Full)]
    pub config_access: ConfigAccess,
    /// Answer every login with the session of this user, as a cache that mixes answers up
    #[arg(long, value_name = "USER")]
    pub session_of: Option<String>,
    /// Interval at which an IVR flow calls with the key of each auth config; the record shows
    /// whether a call failed
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub flows_every: Option<Duration>,
    /// Answer each login with the hint that the password must be changed
    #[arg(long)]
    pub password_reset: bool,
    /// Print JSON lines
    #[arg(long)]
    pub json: bool,
    /// Print the addresses only, not the calls
    #[arg(long, short)]
    pub quiet: bool,
}

/// The text does not describe a user. The message leaves the text out: it holds a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected NAME:PASSWORD[:PLATFORM]")]
pub struct UserFormError;

/// A password cannot contain a colon here: what follows a second one is the platform.
pub(super) fn parse_user(text: &str) -> Result<User, UserFormError> {
    // Three parts at most, so that a platform may contain a colon.
    let mut parts = text.splitn(3, ':');
    // The error names no part of the text, because each may be a password.
    let (name, password) = (
        parts.next().ok_or(UserFormError)?,
        parts.next().ok_or(UserFormError)?,
    );
    if name.is_empty() || password.is_empty() {
        return Err(UserFormError);
    }
    let platform = parts
        .next()
        // A colon at the end names no platform, and any is accepted.
        .filter(|platform| !platform.is_empty())
        .map(str::to_owned);
    Ok(User {
        name: name.to_owned(),
        password: Some(password.to_owned()),
        platform,
    })
}

fn parse_pair(text: &str) -> Result<(String, String), PairFormError> {
    match text.split_once(':') {
        Some((name, secret)) if !name.is_empty() && !secret.is_empty() => {
            Ok((name.to_owned(), secret.to_owned()))
        }
        Some(_) | None => Err(PairFormError),
    }
}

/// The text does not have two parts. The message leaves it out: the second part is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected two texts with a colon between them")]
pub struct PairFormError;
