//! Log lines: where they go and how they look.

use std::io::IsTerminal;
use std::sync::Arc;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::daemon::Relog;
use crate::policy::{LogFormat, LogPolicy};

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// The crates whose lines are let through. Lines of libraries can hold an address, a header or a body,
/// whatever the policy's filter says.
const OURS: &str = "ringcx_rotator";

/// Starts logging to stderr or the journal, and answers what changes it later.
pub fn start(policy: &LogPolicy) -> Relog {
    let (layer, handle) = reload::Layer::new(layer(policy));
    // Fails only if logging was started before.
    let _started = tracing_subscriber::registry().with(layer).try_init();
    Arc::new(move |policy: &LogPolicy| {
        if let Err(error) = handle.reload(self::layer(policy)) {
            tracing::error!(%error, "Logging not changed");
        }
    })
}

fn layer(policy: &LogPolicy) -> Boxed {
    let format = match policy.format {
        // Set by systemd for a service whose stderr is the journal.
        LogFormat::Auto if std::env::var_os("JOURNAL_STREAM").is_some() => LogFormat::Journald,
        LogFormat::Auto => LogFormat::Text,
        format @ (LogFormat::Text | LogFormat::Json | LogFormat::Journald) => format,
    };
    let plain = || tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer: Boxed = match format {
        LogFormat::Json => plain().json().flatten_event(true).boxed(),
        LogFormat::Journald => match tracing_journald::layer() {
            Ok(journald) => journald.with_field_prefix(None).boxed(),
            // No journal to speak to: stderr is better than nothing.
            Err(_) => plain().with_ansi(false).boxed(),
        },
        LogFormat::Text | LogFormat::Auto => {
            plain().with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed()
        }
    };
    let ours = tracing_subscriber::filter::filter_fn(|metadata| metadata.target().starts_with(OURS));
    layer.with_filter(ours).with_filter(filter(policy)).boxed()
}

fn filter(policy: &LogPolicy) -> EnvFilter {
    // The policy was checked to parse.
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(&policy.level)
        .unwrap_or_else(|_| EnvFilter::new("info"))
}
