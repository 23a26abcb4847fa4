//! A program that is run with each token on its standard input.

use std::time::Duration;

use super::kind::{Claims, SinkConfig};
use super::receipt::{HeaderSecret, Receipt};
use crate::secret::Fingerprint;

/// `type = "command"`: a program that gets each token on its standard input.
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
    /// A program that prints the token it holds, or its fingerprint, and its arguments; `None`:
    /// what was delivered cannot be looked at. It has the same time and environment.
    pub read_back: Option<Vec<String>>,
}

/// What a command's standard input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandInput {
    /// The JSON that a webhook gets.
    Json,
    /// The token and nothing else.
    Token,
}

impl SinkConfig for CommandSink {
    fn type_name(&self) -> &'static str {
        "command"
    }

    fn target(&self) -> String {
        // Arguments may be long or confidential, so only the start of their fingerprint is shown.
        let mut parts = Vec::new();
        for argument in &self.argv {
            // The lengths keep `["ab", "c"]` and `["a", "bc"]` apart.
            parts.extend_from_slice(&(argument.len() as u64).to_be_bytes());
            parts.extend_from_slice(argument.as_bytes());
        }
        let whole = Fingerprint::of(&parts).to_string();
        let program = self.argv.first().map_or("", String::as_str);
        format!("{program} ({})", &whole[..8])
    }

    fn can_be_read(&self) -> bool {
        // Where the program puts the token is not known here: without another one that looks
        // there, its receipt is the only proof.
        self.read_back.is_some()
    }

    fn claims(&self) -> Claims<'_> {
        // Two sinks may run the same program: what it writes is its own business.
        Claims::Nothing
    }

    fn longest_call(&self) -> Option<Duration> {
        Some(self.timeout)
    }
}
