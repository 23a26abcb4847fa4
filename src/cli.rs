//! The command line: all commands with their help, and which function runs each.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rustix::process::DumpableBehavior;

use crate::console::{Exit, Screen, finished, output};
use args::Globals;
#[cfg(feature = "simulate")]
use commands::simulate;
use commands::{
    adopt, auth_configs, check, completions, history, init, man, plan, reload, revoke, rotate, run,
    status, systemd_dropin, test_alert, tokens,
};

mod args;
pub(crate) mod client;
mod commands;
mod context;
mod logging;
mod setup;

/// Path of the policy, unless `--config` or its variable names another.
pub const DEFAULT_CONFIG: &str = "/etc/ringcx-rotator/config.toml";

/// Keeps a valid RingCX API token in every place that needs one.
///
/// A daemon that creates a new permanent token on a schedule, checks that it works, delivers it to
/// files, env-files, templates, webhooks, programs and RingCX's own IVR configuration, and deletes
/// the old token only when the policy allows it and nothing uses it.
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

#[derive(Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    Run(run::RunArgs),
    // Boxed, like `Simulate`: the many options would make every other variant as large.
    /// Set up an account: write a policy, store the password, check that both work
    Init(Box<init::InitOptions>),
    /// Validate the policy
    Check(check::CheckArgs),
    /// Show what would be done now and why, and what is waited for
    Plan(plan::PlanArgs),
    /// Rotate now, and wait for the result of the first try
    Rotate(rotate::RotateArgs),
    /// Make the running daemon read its policy again
    Reload,
    /// Show each account's tokens, sinks, incidents and next times
    Status(status::StatusArgs),
    /// Show the server's tokens joined with the journal
    Tokens(tokens::TokensArgs),
    /// Show the tokens that were not minted by the daemon and what holds them, and put chosen ones
    /// under the policy
    Adopt(adopt::AdoptArgs),
    /// Show the external auth configs of RingCX that an account's login can see, without their
    /// values
    AuthConfigs(auth_configs::AuthConfigsArgs),
    /// Show the journal as an audit trail
    History(history::HistoryArgs),
    /// Delete one token, also one that the daemon did not mint, unless something uses it
    Revoke(revoke::RevokeArgs),
    /// Send a test mail
    TestAlert,
    /// Print the settings that the systemd unit needs for this policy, each with its reason
    SystemdDropin(systemd_dropin::SystemdDropinArgs),
    /// Simulate RingCX on loopback, with faults, for tests
    #[cfg(feature = "simulate")]
    Simulate(Box<simulate::SimulateOptions>),
    /// Show a whole token rotation in under a minute, without an account or any setup
    #[cfg(feature = "demo")]
    Demo(crate::demo::DemoOptions),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
    /// Print the man page
    Man(man::ManArgs),
}

/// Runs the command of this command line.
pub fn main(cli: Cli) -> ExitCode {
    // One provider for everything that speaks TLS here. Fails only if one is installed already.
    let _installed_already = rustls::crypto::ring::default_provider().install_default();
    // Tokens and passwords are in this memory: no other process of the user may read it, and no core
    // dump is made of it. Where it cannot be set nothing else is affected.
    let _kept = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let Cli { globals, command } = cli;
    // Made once, so that every line of a command decides about colours in the same way.
    let screen = Screen::new(globals.color);
    finished(dispatch(command, &globals.config, &screen)).into()
}

/// What clap says instead of a command: the help, the version, or what is wrong with the arguments.
pub fn answer(answer: &clap::Error) -> ExitCode {
    let text = answer.render();
    let on_err = answer.use_stderr();
    let colored = if on_err {
        std::io::stderr().is_terminal()
    } else {
        std::io::stdout().is_terminal()
    };
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let text = if colored && !is_plain {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    if on_err {
        output::stderr(text.as_bytes());
        return Exit::Usage.into();
    }
    output::stdout(text.as_bytes());
    finished(Exit::Done).into()
}

fn dispatch(command: Command, config: &Path, screen: &Screen) -> Exit {
    match command {
        Command::Run(args) => run::run(config, &args, screen),
        Command::Init(options) => init::init(config, *options, screen),
        Command::Check(args) => check::check(config, &args, screen),
        Command::Plan(args) => plan::plan(config, &args, screen),
        Command::Rotate(args) => rotate::rotate(config, args, screen),
        Command::Reload => reload::reload(config, screen),
        Command::Status(args) => status::status(config, &args, screen),
        Command::Tokens(args) => tokens::tokens(config, &args, screen),
        Command::Adopt(args) => adopt::adopt(config, args, screen),
        Command::AuthConfigs(args) => auth_configs::auth_configs(config, &args, screen),
        Command::History(args) => history::history(config, &args, screen),
        Command::Revoke(args) => revoke::revoke(config, args, screen),
        Command::TestAlert => test_alert::test_alert(config, screen),
        Command::SystemdDropin(args) => systemd_dropin::systemd_dropin(config, args, screen),
        #[cfg(feature = "simulate")]
        Command::Simulate(options) => simulate::simulate(*options, screen),
        // The demo prints to stdout by itself: its lines are held back and sorted by time.
        #[cfg(feature = "demo")]
        Command::Demo(options) => crate::demo::demo(options, screen.palette()),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => man::man(&args, screen),
    }
}

/// The whole command line, for completions and the man page.
pub fn command() -> clap::Command {
    use clap::CommandFactory;
    Cli::command()
}
