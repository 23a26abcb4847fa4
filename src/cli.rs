//! The command line: what can be typed, and where it goes.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::console::{self, ColorChoice, Exit, Format};
use clap::{Args, Parser, Subcommand};

use crate::daemon::Mode;

mod adopt;
mod auth_configs;
mod check;
pub(crate) mod client;
mod context;
mod credentials;
mod generate;
mod history;
mod init;
mod logging;
mod plan;
mod reload;
mod revoke;
mod rotate;
mod run;
#[cfg(feature = "simulate")]
mod simulate;
mod status;
mod systemd_dropin;
mod test_alert;
mod tokens;
mod unit;

/// Where the policy is looked for.
pub const DEFAULT_CONFIG: &str = "/etc/ringcx-rotator/config.toml";

/// Keeps one living RingCX API token in every place that needs it.
///
/// A daemon that mints a fresh permanent token on a schedule, proves that it works, delivers it to
/// files, env-files and webhooks, and deletes the old one only when policy says so and nothing uses
/// it.
#[derive(Parser)]
#[command(name = "ringcx-rotator", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0   done
  1   something is failing; it is named on stderr
  2   the command line is wrong
  75  another instance holds the state directory
  78  the policy is wrong";

/// What every command takes.
#[derive(Args)]
struct Globals {
    /// The policy file
    #[arg(long, short, global = true, env = "RINGCX_ROTATOR_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Use colours
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto)]
    color: ColorChoice,
}

/// For commands that print.
#[derive(Args)]
struct Json {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Json {
    fn format(&self) -> Format {
        if self.json {
            Format::Json
        } else {
            Format::Text
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    Run {
        /// One pass over every account, doing all that is due, then exit
        #[arg(long)]
        once: bool,
    },
    /// Set it up: write a policy, keep the password, try both
    Init(Box<init::InitOptions>),
    /// Validate the policy
    Check {
        /// Also log in, list, look at every sink and greet the SMTP server; changes nothing
        #[arg(long)]
        online: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Show what would be done now and why, and what is waited for
    Plan {
        /// Only these accounts
        accounts: Vec<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Rotate now, and wait for the outcome of the first try
    #[command(group = clap::ArgGroup::new("which").required(true).args(["accounts", "all"]))]
    Rotate {
        /// These accounts
        accounts: Vec<String>,
        /// Every account
        #[arg(long)]
        all: bool,
        /// Do not wait for the outcome
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Let the running daemon read its policy again
    Reload,
    /// Show each account's tokens, sinks, incidents and next times
    Status {
        /// Only these accounts, in detail
        accounts: Vec<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Show the server's tokens joined with the journal
    Tokens {
        /// The account
        account: String,
        #[command(flatten)]
        json: Json,
    },
    /// Show the tokens that are not ours and what holds them, and put chosen ones under the policy
    Adopt {
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
        /// Do not ask first
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Show the external auth configs of RingCX that an account's login can see, without their
    /// values
    AuthConfigs {
        /// The account
        account: String,
        #[command(flatten)]
        json: Json,
    },
    /// Show the journal as an audit trail
    History {
        /// Only these accounts
        accounts: Vec<String>,
        /// Only the last N events
        #[arg(long, short = 'n', value_name = "N")]
        last: Option<usize>,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
        /// Only see whether every row is as it was written
        #[arg(long, conflicts_with_all = ["accounts", "last", "json"])]
        verify: bool,
    },
    /// Delete one token, foreign ones too, unless something uses it
    Revoke {
        /// The account
        account: String,
        /// The token's fingerprint, or the beginning of it, as `tokens` shows it
        fingerprint: String,
        /// Do not ask first
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Send a test mail
    TestAlert,
    /// Print what the systemd unit must be told so that it can do what the policy wants, and why
    SystemdDropin {
        /// Write it instead, for systemd to find
        #[arg(long, value_name = "FILE", num_args = 0..=1)]
        write: Option<Option<PathBuf>>,
        /// The polkit rule instead, by which the service may restart the units of `notify`
        #[arg(long)]
        polkit: bool,
        /// Print JSON
        #[arg(long, conflicts_with_all = ["write", "polkit"])]
        json: bool,
    },
    /// Stand in for RingCX on loopback, with faults, for trying things out
    Simulate(Box<simulate::SimulateOptions>),
    /// Show the whole story in under a minute: no account, no set-up
    Demo(crate::demo::DemoOptions),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man {
        /// Write one page for each command into this directory
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// Runs what was asked for.
pub fn main(cli: Cli) -> ExitCode {
    // One provider for everything that speaks TLS here. Fails only if one is installed already.
    let _installed_already = rustls::crypto::ring::default_provider().install_default();
    let Cli { globals, command } = cli;
    let screen = console::Screen::new(globals.color);
    let exit = match command {
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { dir } => generate::man(dir.as_deref()),
        Command::Run { once } => run::run(
            &globals.config,
            if once { Mode::Once } else { Mode::Forever },
            &screen,
        ),
        Command::Init(options) => init::init(&globals.config, *options, &screen),
        Command::Check { online, json } => {
            let reach = if online {
                check::Reach::Online
            } else {
                check::Reach::File
            };
            check::check(&globals.config, reach, json.json, &screen)
        }
        Command::Plan { accounts, json } => {
            plan::plan(&globals.config, &accounts, json.format(), &screen)
        }
        Command::Rotate {
            accounts,
            all: _,
            no_wait,
            json,
        } => rotate::rotate(
            &globals.config,
            rotate::RotateArgs {
                accounts,
                no_wait,
                json: json.json,
            },
            &screen,
        ),
        Command::Reload => reload::reload(&globals.config, &screen),
        Command::Status { accounts, json } => {
            status::status(&globals.config, &accounts, json.format(), &screen)
        }
        Command::Tokens { account, json } => {
            tokens::tokens(&globals.config, &account, json.format(), &screen)
        }
        Command::Adopt {
            account,
            fingerprints,
            files,
            undo,
            yes,
            json,
        } => {
            let wish = if undo {
                adopt::AdoptAction::Leave
            } else {
                adopt::AdoptAction::Take
            };
            let asked = adopt::AdoptArgs {
                account,
                fingerprints,
                files,
                wish,
                yes,
                json: json.json,
            };
            adopt::adopt(&globals.config, asked, &screen)
        }
        Command::AuthConfigs { account, json } => {
            auth_configs::auth_configs(&globals.config, &account, json.format(), &screen)
        }
        Command::History {
            accounts,
            last,
            json,
            verify,
        } => history::history(
            &globals.config,
            history::HistoryArgs {
                accounts,
                last,
                format: Json { json }.format(),
                verify,
            },
            &screen,
        ),
        Command::Revoke {
            account,
            fingerprint,
            yes,
            json,
        } => {
            let asked = revoke::RevokeArgs {
                account,
                fingerprint,
                yes,
                json: json.json,
            };
            revoke::revoke(&globals.config, asked, &screen)
        }
        Command::SystemdDropin {
            write,
            polkit,
            json,
        } => {
            let what = if polkit {
                systemd_dropin::DropInFile::Rule
            } else {
                systemd_dropin::DropInFile::DropIn
            };
            let to = match write {
                Some(path) => {
                    systemd_dropin::DropInOutput::File(path.unwrap_or_else(|| what.place().into()))
                }
                None if json => systemd_dropin::DropInOutput::Json,
                None => systemd_dropin::DropInOutput::Stdout,
            };
            systemd_dropin::systemd_dropin(&globals.config, what, to, &screen)
        }
        Command::TestAlert => test_alert::test_alert(&globals.config, &screen),
        Command::Simulate(options) => console::block_on(simulate::run(*options)).map_or_else(
            |error| {
                screen.error(&error);
                Exit::Failing
            },
            |()| Exit::Done,
        ),
        Command::Demo(options) => crate::demo::demo(options, screen.palette()),
    };
    exit.into()
}

/// The whole command line, for completions and the man page.
pub fn command() -> clap::Command {
    use clap::CommandFactory;
    Cli::command()
}
