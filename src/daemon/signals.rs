//! What the process is told by signals.

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook_tokio::Signals;
use tokio::sync::mpsc;

use crate::clock::monotonic;

/// One press of Ctrl-C, or one `timeout`, may reach the process twice.
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

/// Begins to listen. Signals that came before are not seen.
pub fn listen() -> io::Result<mpsc::Receiver<SignalAction>> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])?;
    let (sender, receiver) = mpsc::channel(8);
    tokio::spawn(async move {
        let mut first_stop = None;
        while let Some(signal) = signals.next().await {
            let told = match signal {
                SIGHUP => SignalAction::Reload,
                SIGUSR1 => SignalAction::PassNow,
                _ => {
                    let first = *first_stop.get_or_insert_with(monotonic);
                    if first.elapsed() > ONE_PRESS {
                        tracing::warn!(name: "stopped-at-once", "Second signal, ending at once");
                        std::process::exit(1);
                    }
                    SignalAction::Stop
                }
            };
            // A full queue already holds as much as anyone can do.
            let _full = sender.try_send(told);
        }
    });
    Ok(receiver)
}
