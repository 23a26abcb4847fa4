//! `run`

use std::path::Path;
use std::time::Duration;

use super::{context, logging};
use crate::console::{Exit, Screen};
use crate::daemon::{self, Mode};
use rotator_policy::load;

pub fn run(config: &Path, mode: Mode, screen: &Screen) -> Exit {
    let loaded = match load(config) {
        Ok(loaded) => loaded,
        Err(errors) => {
            screen.policy_errors(&errors);
            return Exit::Policy;
        }
    };
    screen.policy_warnings(&loaded);
    let reload_logging = logging::start(&loaded.policy.log);
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

/// A daemon that lost one of its tasks looks alive and does nothing. It ends instead, is started
/// again, and goes on from its journal. What the panic said is not shown: it may quote what must
/// not be.
fn crash_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        tracing::error!(name: "panicked", place, "Panic, ending: this is a defect, please report it");
        std::process::abort();
    }));
}
