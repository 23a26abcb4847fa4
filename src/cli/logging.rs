//! Log lines: where they go and how they look.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::console::output::LogWriter;
use crate::daemon::ReloadLogging;
use journald::Journald;
use json::JsonLines;
use rotator_core::config::{LogFormat, LogPolicy};

mod journald;
mod json;
mod kinds;
#[cfg(test)]
mod tests;

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// The crates whose lines are let through. Lines of libraries can hold an address, a header or a
/// body, whatever the policy's filter says.
const OURS: &str = "ringcx_rotator";

/// Starts logging to stderr or the journal, and answers what changes it later.
pub fn start(policy: &LogPolicy) -> ReloadLogging {
    // Layer and filter are exchanged each for itself: a layer that brings a filter of its own is
    // known to its subscriber from the start, and panics when it is put into a running one.
    let (writer, writer_handle) = reload::Layer::new(writer(policy));
    let (filter, filter_handle) = reload::Layer::new(filter(policy));
    let ours = filter_fn(|metadata| metadata.target().starts_with(OURS));
    // Fails only if logging was started before.
    let _started = tracing_subscriber::registry()
        .with(writer.with_filter(ours).with_filter(filter))
        .try_init();
    Arc::new(move |policy: &LogPolicy| {
        let changed = writer_handle.reload(self::writer(policy));
        // What could not be changed stays in force, and this line still goes out.
        if let Err(error) = changed.and_then(|()| filter_handle.reload(self::filter(policy))) {
            tracing::error!(name: "logging-not-changed", %error, "Logging not changed");
        }
    })
}

fn writer(policy: &LogPolicy) -> Boxed {
    let format = match policy.format {
        // As entries and not as text: the journal then knows fields, priority and message id.
        LogFormat::Auto if stderr_is_the_journal() => LogFormat::Journald,
        LogFormat::Auto => LogFormat::Text,
        format @ (LogFormat::Text | LogFormat::Json | LogFormat::Journald) => format,
    };
    let plain = || tracing_subscriber::fmt::layer().with_writer(|| LogWriter);
    match format {
        LogFormat::Json => JsonLines(|| LogWriter).boxed(),
        LogFormat::Journald => match Journald::connect(Path::new(journald::SOCKET)) {
            Ok(journald) => journald.boxed(),
            // No journal to speak to: stderr is better than nothing.
            Err(_) => plain().with_ansi(false).boxed(),
        },
        LogFormat::Text | LogFormat::Auto => plain()
            .with_ansi(std::io::stderr().is_terminal())
            // Every line is of this program, and the module would not help an operator.
            .with_target(false)
            .boxed(),
    }
}

/// Systemd names the stream that it connected to the journal by device and inode. A service that
/// was sent elsewhere with `2>` has the variable too.
fn stderr_is_the_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else {
        return false;
    };
    // A closed stderr is no journal.
    let Ok(stderr) = rustix::fs::fstat(std::io::stderr()) else {
        return false;
    };
    stream == format!("{}:{}", stderr.st_dev, stderr.st_ino)
}

fn filter(policy: &LogPolicy) -> EnvFilter {
    // The policy was checked to parse.
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(&policy.level)
        .unwrap_or_else(|_| EnvFilter::new("info"))
}
