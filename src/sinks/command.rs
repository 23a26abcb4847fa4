//! A token given to a program of the operator's, on its standard input.
//!
//! Knows what the program reads, what its exit code means, and what of its output may be kept;
//! [`crate::process`] runs and ends it. What this does not know: whether the program did with the
//! token what it claims. Where the policy names a second program that looks at what is there, that
//! is the proof; else it is the receipt, as it is for a webhook.

use std::sync::Arc;

use secrecy::zeroize::Zeroizing;

use super::{Delivery, ReadBack, Sink, SinkContext, SinkError, SinkTarget, blocking, message};
use crate::process::{self, Ended, ProcessError, Program};
use rotator_core::config::{CommandInput, CommandSink, Receipt};
use rotator_core::event::DeliveryReceipt;
use rotator_core::secret::{Fingerprint, Token, redact};

#[cfg(test)]
mod tests;

/// A shorter value of the environment is not taken for a secret: redacting it would hide plain
/// words. In bytes.
const SHORTEST_SECRET: usize = 8;

/// No more of an output is looked at, in bytes: the first lines say what went wrong.
const LONGEST_LOOK: usize = 4 * 1024;

/// A sink of `type = "command"`.
pub struct CommandTarget(Arc<CommandInner>);

struct CommandInner {
    name: String,
    policy: CommandSink,
}

impl SinkTarget for CommandTarget {
    type Config = CommandSink;

    fn new(name: &str, policy: CommandSink) -> Self {
        let name = name.to_owned();
        Self(Arc::new(CommandInner { name, policy }))
    }
}

impl Sink for CommandTarget {
    async fn preflight(&self, _: SinkContext<'_>) -> Result<(), SinkError> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let looks = inner.policy.read_back.iter().flat_map(|argv| argv.first());
            let mut programs = std::iter::once(inner.program()).chain(looks.map(String::as_str));
            match programs.find(|program| process::find(program).is_none()) {
                None => Ok(()),
                Some(program) => Err(SinkError::NoProgram {
                    program: program.to_owned(),
                }),
            }
        })
        .await
    }

    async fn deliver(
        &self,
        delivery: &Delivery<'_>,
        _: SinkContext<'_>,
    ) -> Result<DeliveryReceipt, SinkError> {
        let stdin = match self.0.policy.stdin {
            CommandInput::Json => message::json(&self.0.name, delivery),
            CommandInput::Token => Zeroizing::new(delivery.token.expose().as_bytes().to_vec()),
        };
        let (inner, token) = (Arc::clone(&self.0), delivery.token.clone());
        blocking(move || inner.deliver(stdin, &token)).await
    }

    async fn read_back(&self, _: SinkContext<'_>) -> ReadBack {
        let inner = Arc::clone(&self.0);
        blocking(move || match &inner.policy.read_back {
            Some(argv) => inner.look(argv),
            None => ReadBack::Opaque,
        })
        .await
    }
}

impl CommandInner {
    fn program(&self) -> &str {
        self.policy.argv.first().map_or("", String::as_str)
    }

    /// Runs it to its end. Blocks.
    fn deliver(
        &self,
        stdin: Zeroizing<Vec<u8>>,
        token: &Token,
    ) -> Result<DeliveryReceipt, SinkError> {
        match self.run(&self.policy.argv, stdin) {
            Ok(ended) => self.compare(&ended, token),
            Err(error) => {
                let note = match &error {
                    ProcessError::TimedOut { stderr, .. } => {
                        self.note([stderr.as_slice(), &[]], token)
                    }
                    ProcessError::Nothing
                    | ProcessError::Start { .. }
                    | ProcessError::Lost { .. } => None,
                };
                Err(SinkError::NotRun {
                    source: error,
                    note,
                })
            }
        }
    }

    /// Asks the program that looks at what is there. Blocks.
    fn look(&self, argv: &[String]) -> ReadBack {
        let ended = match self.run(argv, Zeroizing::default()) {
            Ok(ended) => ended,
            Err(source) => return ReadBack::Unreadable(SinkError::NotRun { source, note: None }),
        };
        if !ended.status.success() {
            // Without what it printed: that may be a token, which is not known here.
            return ReadBack::Unreadable(SinkError::Program {
                program: argv.first().cloned().unwrap_or_default(),
                how: format!("ended with {}", process::ending(ended.status)),
                note: None,
            });
        }
        let printed = ended.stdout.trim_ascii();
        if printed.is_empty() {
            return ReadBack::Absent;
        }
        let text = std::str::from_utf8(printed).unwrap_or_default();
        if let Ok(fingerprint) = text.parse::<Fingerprint>() {
            return ReadBack::Shows(fingerprint);
        }
        match Token::try_new(text) {
            Ok(token) => ReadBack::Holds(token),
            Err(_) => ReadBack::Other("something that is no token".to_owned()),
        }
    }

    fn run(&self, argv: &[String], stdin: Zeroizing<Vec<u8>>) -> Result<Ended, ProcessError> {
        let environment: Vec<(String, String)> = self
            .policy
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect();
        process::run(Program {
            argv,
            environment: &environment,
            stdin,
            timeout: self.policy.timeout,
        })
    }

    fn compare(&self, ended: &Ended, token: &Token) -> Result<DeliveryReceipt, SinkError> {
        // Kept after a success as well: the history shows what the program said.
        let note = self.note([ended.stderr.as_slice(), ended.stdout.as_slice()], token);
        let refused = |how: String, note| SinkError::Program {
            program: self.program().to_owned(),
            how,
            note,
        };
        if !ended.status.success() {
            return Err(refused(
                format!("ended with {}", process::ending(ended.status)),
                note,
            ));
        }
        let proof = match self.policy.receipt {
            Receipt::Status => Ok(()),
            Receipt::Fingerprint => proves(&ended.stdout, &token.fingerprint()),
        };
        match proof {
            Ok(()) => Ok(DeliveryReceipt {
                note,
                ..DeliveryReceipt::default()
            }),
            Err(why) => Err(refused(format!("ended well, but {why}"), note)),
        }
    }

    /// What it printed that may be kept, in one line: nothing that is or looks like a secret, and
    /// no more than a few hundred characters.
    fn note(&self, outputs: [&[u8]; 2], token: &Token) -> Option<String> {
        let text = token.expose();
        // Programs also print what they send, for example the token in base64.
        let encoded = redact::encoded(text);
        let values = self
            .policy
            .environment
            .iter()
            .map(|(_, value)| value.expose());
        let secrets: Vec<&str> = std::iter::once(text)
            .chain(encoded.iter().map(|text| text.as_str()))
            .chain(values.filter(|value| value.len() >= SHORTEST_SECRET))
            .collect();
        let said = outputs.map(|output| {
            let beginning = &output[..output.len().min(LONGEST_LOOK)];
            redact::line(&String::from_utf8_lossy(beginning), &secrets)
        });
        let said: Vec<String> = said.into_iter().filter(|text| !text.is_empty()).collect();
        (!said.is_empty()).then(|| said.join(" | "))
    }
}

/// The fingerprint as JSON, as webhooks answer, or alone.
fn proves(output: &[u8], expected: &Fingerprint) -> Result<(), &'static str> {
    let output = output.trim_ascii();
    // An object is held to the rules of webhooks; anything else must be the bare fingerprint.
    if output.first() == Some(&b'{') {
        return message::proves(output, expected);
    }
    match std::str::from_utf8(output).map(str::parse::<Fingerprint>) {
        Ok(Ok(got)) if got == *expected => Ok(()),
        Ok(Ok(_)) => Err("it printed another fingerprint"),
        Ok(Err(_)) | Err(_) => Err("it did not print the token's fingerprint, and nothing else"),
    }
}
