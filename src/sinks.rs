//! Sinks: the places that hold a token for those who use it.
//!
//! A sink does one thing at a time and once: no retries, no waiting, no memory. It does not know
//! when generations are due or retired. A new kind is a file here with its [`Sink`] and
//! [`SinkTarget`], its `mod` line, and its row in `sink_targets!`; its keys are a file of
//! `rotator_core::config` and of the `policy` crate.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub(crate) use crate::process::blocking;
use crate::ringcx::Auth;
use crate::ringcx::auth_config::AuthConfigs;
use rotator_core::config::{SinkKind, SinkPolicy};
use rotator_core::event::{DeliveryReceipt, GenerationNo};
use rotator_core::secret::{Fingerprint, Token};
use rotator_core::template::RenderedToken;
use rotator_policy::files;

pub mod atomic_file;
pub mod auth_config;
pub mod command;
pub mod env_file;
mod error;
pub mod file;
pub(crate) mod message;
pub mod search;
pub mod template;
pub mod webhook;

pub(crate) use error::HOMES;
pub use error::SinkError;

/// How long work on one file may take, from its first look to the last sync.
const DISK_LIMIT: Duration = Duration::from_secs(30);

/// Does work on a file away from the runtime's thread, and gives it up when its file system does
/// not answer. What was given up may still be done late; until then the file is not touched again.
pub(crate) async fn on_disk<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    let path = path.to_owned();
    let worked = {
        let path = path.clone();
        blocking(move || files::within(&path, DISK_LIMIT, work)).await
    };
    worked.unwrap_or_else(|overdue| {
        Err(SinkError::Io {
            path,
            doing: "use it",
            source: std::io::Error::new(std::io::ErrorKind::TimedOut, overdue),
        })
    })
}

/// A token on its way to a sink.
pub struct Delivery<'a> {
    /// Name of the account, as in the policy.
    pub account: &'a str,
    /// Number of the token among that account's.
    pub generation: GenerationNo,
    /// The token itself, to be put into the sink.
    pub token: &'a Token,
    /// When it was minted.
    pub minted_at: DateTime<Utc>,
    /// The token that it replaces.
    pub previous: Option<Previous>,
    /// The time now, for signatures.
    pub now: DateTime<Utc>,
}

/// The token that a delivery replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Identifies it without showing it.
    pub fingerprint: Fingerprint,
    /// The earliest time at which it may be deleted.
    pub retires_after: DateTime<Utc>,
}

/// What a sink may need beside its policy.
#[derive(Clone, Copy)]
pub struct SinkContext<'a> {
    /// The last delivery that it took, and its receipt.
    pub last: Option<(GenerationNo, &'a DeliveryReceipt)>,
    /// A way to ask RingCX; `None` where it may not be asked now.
    pub ringcx: Option<RingcxAccess<'a>>,
    /// The tokens of the other accounts that the sink names, as far as their text is at hand.
    pub peers: &'a BTreeMap<String, RenderedToken>,
}

impl Default for SinkContext<'_> {
    fn default() -> Self {
        static NO_PEERS: BTreeMap<String, RenderedToken> = BTreeMap::new();
        Self {
            last: None,
            ringcx: None,
            peers: &NO_PEERS,
        }
    }
}

/// A way to ask RingCX. The caller has already waited for the limits.
#[derive(Clone, Copy)]
pub struct RingcxAccess<'a> {
    /// The calls about auth configs.
    pub api: &'a dyn AuthConfigs,
    /// What authenticates the calls.
    pub auth: Auth<'a>,
}

impl<'a> SinkContext<'a> {
    /// The way to ask RingCX, for a sink that needs it.
    pub fn ringcx(&self) -> Result<RingcxAccess<'a>, SinkError> {
        self.ringcx.ok_or(SinkError::NotAsked)
    }

    /// Whether its last delivery left it in this state.
    pub fn left_it_as(&self, version: &str) -> bool {
        self.last
            .is_some_and(|(_, receipt)| receipt.version.as_deref() == Some(version))
    }
}

/// What a sink was seen to hold.
pub enum ReadBack {
    /// This token, in the form that the policy asks for.
    Holds(Token),
    /// The token of this fingerprint; its text is not shown.
    Shows(Fingerprint),
    /// What the last delivery left there, unchanged. The token itself cannot be read out of it.
    AsDelivered,
    /// There is no such file, or no such key in it.
    Absent,
    /// Something that is not a token, or several different ones. The text says what, without
    /// showing it.
    Other(String),
    /// It could not be looked at.
    Unreadable(SinkError),
    /// A sink of this kind cannot be looked at: its receipt is the only proof.
    Opaque,
}

/// What every sink can do.
pub trait Sink: Send + Sync {
    /// Whether a delivery can be expected to work, found out without changing anything.
    fn preflight(
        &self,
        context: SinkContext<'_>,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Puts the token there. Doing it twice is the same as doing it once.
    fn deliver(
        &self,
        delivery: &Delivery<'_>,
        context: SinkContext<'_>,
    ) -> impl Future<Output = Result<DeliveryReceipt, SinkError>> + Send;

    /// Looks at what is there.
    fn read_back(&self, context: SinkContext<'_>) -> impl Future<Output = ReadBack> + Send;

    /// Removes left-over temporary files of ours.
    fn clean_up(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// How a sink of one kind is made.
pub trait SinkTarget: Sink + Sized {
    /// Its keys in the policy.
    type Config;

    /// Builds what the policy describes. Touches nothing yet. `name` is the sink's.
    fn new(name: &str, config: Self::Config) -> Self;

    /// A sink that is no longer in the policy, from its `type` and target as the journal has them.
    /// `None`: it is of another kind, or what it holds cannot be read without the policy.
    fn of_released(_sink_type: &str, _target: &str) -> Option<Self> {
        None
    }
}

/// Declares [`AnySink`] with one variant a row, its constructors and its dispatch.
macro_rules! sink_targets {
    ($($kind:ident => $target:ty,)+) => {
        /// A sink of any kind.
        pub enum AnySink {
            $(
                #[doc = concat!("See [`", stringify!($target), "`].")]
                $kind($target),
            )+
        }

        impl AnySink {
            /// Builds what the policy describes. Touches nothing yet.
            pub fn new(policy: &SinkPolicy) -> Self {
                match policy.kind.clone() {
                    $(SinkKind::$kind(config) => {
                        Self::$kind(<$target as SinkTarget>::new(&policy.name, config))
                    })+
                }
            }

            /// A sink that is no longer in the policy, from what the journal has of it, if it can
            /// still be read.
            pub fn of_released(sink_type: &str, target: &str) -> Option<Self> {
                $(
                    // A kind compares the `type` with its own, so one of them answers at most.
                    if let Some(sink) = <$target as SinkTarget>::of_released(sink_type, target) {
                        return Some(Self::$kind(sink));
                    }
                )+
                None
            }
        }

        impl Sink for AnySink {
            async fn preflight(&self, context: SinkContext<'_>) -> Result<(), SinkError> {
                match self {
                    $(Self::$kind(sink) => sink.preflight(context).await,)+
                }
            }

            async fn deliver(
                &self,
                delivery: &Delivery<'_>,
                context: SinkContext<'_>,
            ) -> Result<DeliveryReceipt, SinkError> {
                match self {
                    $(Self::$kind(sink) => sink.deliver(delivery, context).await,)+
                }
            }

            async fn read_back(&self, context: SinkContext<'_>) -> ReadBack {
                match self {
                    $(Self::$kind(sink) => sink.read_back(context).await,)+
                }
            }

            async fn clean_up(&self) {
                match self {
                    $(Self::$kind(sink) => sink.clean_up().await,)+
                }
            }
        }
    };
}

sink_targets! {
    File => file::FileTarget,
    EnvFile => env_file::EnvFileTarget,
    Webhook => webhook::WebhookTarget,
    Command => command::CommandTarget,
    AuthConfig => auth_config::AuthConfigTarget,
    Template => template::TemplateTarget,
}
