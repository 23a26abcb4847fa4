//! The kinds of sink that a policy can have.
//!
//! A new kind is a file in `sinks/` that holds its keys, checked, and its [`SinkConfig`]; its `mod`
//! line; and its row in `sink_kinds!`.

use std::ops::{Deref, DerefMut};

use super::consumer::{Acknowledge, Notify};

mod access;
mod auth_config;
mod command;
mod env_file;
mod file;
mod kind;
mod receipt;
mod template;
mod webhook;

pub use access::{DEFAULT_MODE, FileAccess};
pub use command::CommandInput;
pub use kind::{Claims, SinkConfig};
pub use receipt::{HeaderSecret, Receipt};
pub use template::PeerSink;
pub use webhook::WebhookUrl;

/// One `[[account.sink]]`: a place that is to hold the token of its account.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkPolicy {
    /// Unique in its account, `[a-z0-9][a-z0-9-]{0,62}`.
    pub name: String,
    /// Whether promotion and retirement wait for it.
    pub required: bool,
    /// What follows from its `type`.
    pub kind: SinkKind,
    /// What is run once its file is proved.
    pub notify: Option<Notify>,
    /// Where its consumer says which token it uses.
    pub acknowledge: Option<Acknowledge>,
}

/// Declares [`SinkKind`] with one variant a row, and makes each usable as a [`SinkConfig`].
macro_rules! sink_kinds {
    ($($kind:ident => $module:ident::$sink:ident,)+) => {
        $(pub use $module::$sink;)+

        /// The kinds of sink. Used as a [`SinkConfig`].
        #[derive(Clone, Debug, PartialEq)]
        pub enum SinkKind {
            $(
                #[doc = concat!("See [`", stringify!($sink), "`].")]
                $kind($sink),
            )+
        }

        // `Deref` instead of a match at every caller: a new kind adds a row and no arm elsewhere.
        impl Deref for SinkKind {
            type Target = dyn SinkConfig;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(SinkKind::$kind(sink) => sink,)+
                }
            }
        }

        impl DerefMut for SinkKind {
            fn deref_mut(&mut self) -> &mut Self::Target {
                match self {
                    $(SinkKind::$kind(sink) => sink,)+
                }
            }
        }
    };
}

sink_kinds! {
    File => file::FileSink,
    EnvFile => env_file::EnvFileSink,
    Webhook => webhook::WebhookSink,
    Command => command::CommandSink,
    AuthConfig => auth_config::AuthConfigSink,
    Template => template::TemplateSink,
}
