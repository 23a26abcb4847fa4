//! Signals: SIGTERM and SIGINT end the process, SIGHUP reloads, SIGUSR1 starts a pass.

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook_tokio::Signals;
use tokio::sync::mpsc;

use crate::clock::monotonic;
use crate::console::output;

/// One press of Ctrl-C, or one `timeout`, may reach the process twice within this time.
const ONE_PRESS: Duration = Duration::from_millis(500);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAction {
    /// SIGTERM, SIGINT: finish what is under way and end. A second one ends at once.
    Stop,
    /// SIGHUP: read the policy again.
    Reload,
    /// SIGUSR1: a pass over every account now.
    PassNow,
}

/// Installs the handlers. Signals that came before are lost.
pub fn listen() -> io::Result<mpsc::Receiver<SignalAction>> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])?;
    let (sender, receiver) = mpsc::channel(8);
    tokio::spawn(async move {
        let mut first_stop = None;
        while let Some(signal) = signals.next().await {
            let action = match signal {
                SIGHUP => SignalAction::Reload,
                SIGUSR1 => SignalAction::PassNow,
                // SIGTERM or SIGINT.
                _ => {
                    let first = *first_stop.get_or_insert_with(monotonic);
                    if first.elapsed() > ONE_PRESS {
                        tracing::warn!(name: "stopped-at-once", "Second signal, ending at once");
                        // Safe at any moment: the journal has the intent of the step that is
                        // interrupted.
                        output::flush_stderr(Duration::from_millis(200));
                        std::process::exit(1);
                    }
                    SignalAction::Stop
                }
            };
            // A full queue holds this action already, and one of each is enough.
            let _full = sender.try_send(action);
        }
    });
    Ok(receiver)
}
