//! The kinds of sink beyond files and webhooks, as the policy has them, checked.

use std::time::Duration;

use super::{HeaderSecret, Receipt};
use crate::secret::Fingerprint;

/// `type = "command"`
#[derive(Clone, Debug, PartialEq)]
pub struct CommandSink {
    /// The program, by its absolute path or a name to be found in `PATH`, and its arguments. Never empty.
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

impl CommandSink {
    /// The program, and what tells its arguments apart: they may be many, and hold what is nobody's business.
    pub fn target(&self) -> String {
        let mut parts = Vec::new();
        for argument in &self.argv {
            // With lengths, so that no two lists read the same.
            parts.extend_from_slice(&(argument.len() as u64).to_be_bytes());
            parts.extend_from_slice(argument.as_bytes());
        }
        let whole = Fingerprint::of(&parts).to_string();
        format!("{} ({})", self.argv.first().map_or("", String::as_str), &whole[..8])
    }
}
