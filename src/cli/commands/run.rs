//! `run`: the daemon, in the foreground.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use crate::cli::{context, logging};
use crate::console::{Exit, Screen, output};
use crate::daemon::{self, Mode};
use rotator_policy::{Loaded, load};

/// Arguments of `run`.
#[derive(Args)]
pub struct RunArgs {
    /// One pass over every account, doing all that is due, then exit
    #[arg(long)]
    once: bool,
}

pub fn run(config: &Path, args: &RunArgs, screen: &Screen) -> Exit {
    // Before the first line: a stderr that nobody reads must not stop the daemon.
    output::write_stderr_in_background();
    let mode = if args.once { Mode::Once } else { Mode::Forever };
    let loaded = match load(config).and_then(Loaded::trusted) {
        Ok(loaded) => loaded,
        Err(errors) => {
            screen.policy_errors(&errors);
            return Exit::Policy;
        }
    };
    screen.policy_warnings(&loaded);
    let reload_logging = logging::start(&loaded.policy.log);
    // After logging has started, because the hook logs; before any task could panic.
    crash_on_panic();
    // One thread: a rotation is a few milliseconds of work and much waiting, and files are written,
    // the journal kept, passwords read and names resolved on threads of their own. More threads
    // here would cost most of a megabyte.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs only what every process has");
    let ended = runtime.block_on(daemon::run(loaded.policy, mode, reload_logging));
    // A file sink on a dead mount must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ok(failing) if failing.is_empty() => Exit::Done,
        Ok(failing) => {
            for line in failing {
                screen.error(line);
            }
            Exit::Failing
        }
        Err(error) => context::daemon_error(error, screen),
    }
}

/// A daemon that lost one of its tasks looks alive and does nothing. So it ends instead: systemd
/// starts it again, and it goes on from its journal. The panic's message is not shown, because it
/// may quote a secret.
fn crash_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        tracing::error!(
            name: "panicked",
            place,
            "Panic, ending: this is a defect, please report it"
        );
        output::flush_stderr(Duration::from_secs(1));
        std::process::abort();
    }));
}
