//! The source of a secret: `{ credential = "…" }`, `{ file = "…" }`, `{ env = "…" }` or
//! `{ command = […] }`.

use rotator_core::secret::{SecretCommand, SecretSource};
use toml::de::DeValue;

use super::{Names, Table};
use crate::defaults;
use crate::source::{At, Span};
use crate::value::{self, ARGUMENT, CREDENTIAL, PATH, TIME_SPAN, VARIABLE};

const KINDS: [&str; 4] = ["credential", "file", "env", "command"];

impl Table<'_> {
    /// Where a secret is. A secret that is written in the policy itself is an error.
    pub fn secret(&mut self, key: &'static str) -> Option<At<SecretSource>> {
        let value = self.take(key)?;
        let span = self.at(value);
        // Not marked as plain, so that no excerpt shows what is written here.
        let entries = match value.get_ref() {
            DeValue::Table(entries) => entries,
            DeValue::String(_) => {
                let message = format!("`{key}` is written in the policy itself");
                self.issues().error(span, message).help(sources(key));
                return None;
            }
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {
                self.wrong_type(key, value, "the source of a secret")
                    .help(sources(key));
                return None;
            }
        };
        let source = Table::read(
            self.reading,
            "the source of a secret",
            span,
            entries,
            // An unknown key here may be a secret that was written in the wrong place.
            Names::Hidden,
            |table| table.source(key, span),
        );
        source.map(|value| At { value, span })
    }

    /// The same, and an error when it is missing.
    pub fn required_secret(&mut self, key: &'static str) -> Option<At<SecretSource>> {
        // Not `require`, whose help does not say how to name a source.
        if !self.has(key) {
            let (span, message) = (self.span, format!("`{key}` is missing in {}", self.place));
            self.issues().error(span, message).help(sources(key));
        }
        self.secret(key)
    }

    /// Reads this table as the source of the secret `secret`.
    fn source(&mut self, secret: &str, span: Span) -> Option<SecretSource> {
        // All are read, so that what is wrong with each is recorded.
        let credential = self.value("credential", &CREDENTIAL);
        let file = self.value("file", &PATH);
        let env = self.value("env", &VARIABLE);
        let command = self.command();
        let fault = match KINDS.iter().filter(|kind| self.has(kind)).count() {
            0 => Some("names no source"),
            1 => None,
            _ => Some("names more than one source"),
        };
        if let Some(fault) = fault {
            let message = format!("`{secret}` {fault}");
            self.issues().error(span, message).help(sources(secret));
            return None;
        }
        let credential = credential.map(|at| SecretSource::Credential(at.value));
        let file = file.map(|at| SecretSource::File(at.value));
        let env = env.map(|at| SecretSource::Env(at.value));
        // At most one of them is there.
        credential.or(file).or(env).or(command)
    }

    /// `command = ["pass", "show", "…"]`, and `timeout` beside it.
    fn command(&mut self) -> Option<SecretSource> {
        let argv = self.list_of_some("command", &ARGUMENT);
        let timeout = self.value("timeout", &TIME_SPAN);
        if let Some(timeout) = timeout.as_ref().filter(|_| !self.has("command")) {
            self.issues()
                .error(timeout.span, "`timeout` is for a `command`")
                .help("remove it".to_owned());
        }
        let At { value: argv, span } = argv?;
        // A list without a good word ends here; its error was recorded as it was read.
        if !value::is_program(argv.first()?) {
            let help = "write its path from / on, or its bare name to have it looked up in PATH";
            self.issues()
                .error(span, "the program of `command` is empty or a relative path")
                .help(help.to_owned());
            return None;
        }
        let timeout = At::or(&timeout, defaults::SECRET_COMMAND_TIMEOUT);
        Some(SecretSource::Command(SecretCommand { argv, timeout }))
    }
}

/// The help for the key of a secret: how to name a source.
pub(crate) fn sources(key: &str) -> String {
    format!(
        "name its source: `{key} = {{ credential = \"NAME\" }}` (systemd), \
         `{{ file = \"/path\" }}`, `{{ env = \"NAME\" }}` or \
         `{{ command = [\"pass\", \"show\", \"NAME\"] }}`"
    )
}
