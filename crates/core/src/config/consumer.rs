//! Those who read a sink: how they are told of a new token, and how they tell us that they use it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// `notify`: what is run once a sink's file is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// The unit action or the program that is run.
    pub what: NotifyWhat,
    /// How long it may take; then it and all that it started is ended.
    pub timeout: Duration,
}

/// What is run to notify a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifyWhat {
    /// `{ unit = "…", action = "…" }`: systemd is asked.
    Unit {
        /// The unit's name, ending included.
        unit: String,
        /// What is done to it.
        action: UnitAction,
    },
    /// `{ argv = […] }`: a program of the operator's, without a shell.
    Program(Vec<String>),
}

/// What systemd is asked to do, as `systemctl` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnitAction {
    /// Reload if it can and else restart, if it runs at all.
    TryReloadOrRestart,
    /// Reload if it can and else restart; start it if it does not run.
    ReloadOrRestart,
    /// Restart, if it runs at all.
    TryRestart,
    /// Restart; start it if it does not run.
    Restart,
    /// Reload; fails where it does not run or cannot.
    Reload,
    /// Start: for a unit that ends by itself.
    Start,
}

impl UnitAction {
    /// Every word of the policy with its meaning, the default first.
    pub const WORDS: [(&str, Self); 6] = [
        ("try-reload-or-restart", Self::TryReloadOrRestart),
        ("reload-or-restart", Self::ReloadOrRestart),
        ("try-restart", Self::TryRestart),
        ("restart", Self::Restart),
        ("reload", Self::Reload),
        ("start", Self::Start),
    ];

    /// As in the policy, and as `systemctl` takes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::TryReloadOrRestart => "try-reload-or-restart",
            Self::ReloadOrRestart => "reload-or-restart",
            Self::TryRestart => "try-restart",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Start => "start",
        }
    }
}

impl Notify {
    /// The program and its arguments.
    pub fn argv(&self) -> Vec<String> {
        match &self.what {
            NotifyWhat::Unit { unit, action } => {
                // `--no-ask-password`: a daemon has no terminal to ask at, so a refusal must come
                // at once. `--`: a unit's name is never taken for an option.
                ["systemctl", "--no-ask-password", action.word(), "--", unit]
                    .map(str::to_owned)
                    .to_vec()
            }
            NotifyWhat::Program(argv) => argv.clone(),
        }
    }
}

/// The action and its unit, or the program without its arguments: those may be confidential.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            NotifyWhat::Unit { unit, action } => write!(f, "{} of {unit}", action.word()),
            NotifyWhat::Program(argv) => {
                f.write_str(argv.first().map_or("nothing", String::as_str))
            }
        }
    }
}

/// `acknowledge`: where the consumer of a sink writes which token it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledge {
    /// A file that the consumer writes and the daemon reads.
    pub path: PathBuf,
    /// How long after the sink was proved it may take.
    pub within: Duration,
}
