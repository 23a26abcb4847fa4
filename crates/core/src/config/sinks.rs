//! The kinds of sink beyond files and webhooks, as the policy has them, checked.

use std::path::PathBuf;
use std::time::Duration;

use super::{FileAccess, HeaderSecret, Receipt};
use crate::template::Template;

/// The mode of a file that holds a token and nothing else, where the policy is silent.
pub const DEFAULT_MODE: u32 = 0o600;

/// `type = "command"`
#[derive(Clone, Debug, PartialEq)]
pub struct CommandSink {
    /// The program, by its absolute path or a name to be found in `PATH`, and its arguments. Never
    /// empty.
    pub argv: Vec<String>,
    /// What its standard input holds.
    pub stdin: CommandInput,
    /// Beside `PATH`, `HOME` and `LANG`. Values may be secret: never shown.
    pub environment: Vec<(String, HeaderSecret)>,
    /// For a whole run; then its process group is ended.
    pub timeout: Duration,
    /// What counts as having taken the token.
    pub receipt: Receipt,
}

/// What a command's standard input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandInput {
    /// The JSON that a webhook gets.
    Json,
    /// The token and nothing else.
    Token,
}

/// `type = "ringcx-auth-config"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfigSink {
    /// The RingCX account that has it.
    pub account_id: String,
    /// Which of that account's auth configs.
    pub auth_config_id: String,
}

/// `type = "template"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateSink {
    /// Absolute.
    pub path: PathBuf,
    /// `mode` is 0600 where the policy is silent.
    pub access: FileAccess,
    /// Parsed, and tried out with made-up tokens.
    pub template: Template,
    /// The other accounts whose tokens it may name.
    pub accounts: Vec<String>,
}

/// A template sink of another account that names this one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerSink {
    /// The account whose sink it is.
    pub account: String,
    /// Its name.
    pub sink: String,
}

impl std::fmt::Display for PeerSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.account, self.sink)
    }
}
