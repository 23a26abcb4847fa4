//! Reads one table of a policy file, key by key, and remembers which keys it was asked for.
//!
//! Every accessor records what is wrong and answers `None`, so that one reading finds all faults;
//! what nobody asked for is an unknown key when the table has been read. Serde stops at the first
//! error and loses places; this does neither. Knows the shapes of values, not which keys there are.

#[cfg(test)]
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::did_you_mean::did_you_mean;
use super::issues::Issues;
use super::source::{At, FileId, Span};
use super::value::{ARGUMENT, CREDENTIAL, PATH, TIME_SPAN, VARIABLE, ValueError, ValueKind};
use rotator_core::secret::{SecretCommand, SecretSource};
use rotator_core::span::quoted;

/// How long a command that prints a secret may take where the policy is silent.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// Every key that was asked for, by the kind of table, and whether it was there: for the test of
/// the shipped file.
#[cfg(test)]
pub(super) type Known = BTreeMap<&'static str, BTreeMap<&'static str, bool>>;

/// What a reading adds to.
#[derive(Default)]
pub(super) struct Reading {
    pub issues: Issues,
    #[cfg(test)]
    pub known: Known,
}

/// One table, while it is read.
pub(super) struct Table<'r> {
    reading: &'r mut Reading,
    /// What it is called in messages: `[daemon]`, `retention`.
    place: &'static str,
    span: Span,
    entries: &'r DeTable<'r>,
    known: Vec<&'static str>,
    elsewhere: Vec<(&'static str, &'static str)>,
}

/// Whether an unknown key's name may be repeated in a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Shown,
    Hidden,
}

/// Reads the table a whole file is.
pub(super) fn read_file<T>(
    reading: &mut Reading,
    file: FileId,
    place: &'static str,
    root: &DeTable<'_>,
    read: impl FnOnce(&mut Table<'_>) -> T,
) -> T {
    let span = Span::new(file, 0..0);
    Table::read(reading, place, span, root, Names::Shown, read)
}

impl<'r> Table<'r> {
    fn read<T>(
        reading: &mut Reading,
        place: &'static str,
        span: Span,
        entries: &DeTable<'_>,
        names: Names,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> T {
        let mut table = Table {
            reading,
            place,
            span,
            entries,
            known: Vec::new(),
            elsewhere: Vec::new(),
        };
        let value = read(&mut table);
        table.finish(names);
        value
    }

    /// Where the table stands: its header, or all of an inline table.
    pub fn span(&self) -> Span {
        self.span
    }

    /// To record what only the caller can see.
    pub fn issues(&mut self) -> &mut Issues {
        &mut self.reading.issues
    }

    /// These keys are no mistake, though nobody reads them.
    pub fn ignore(&mut self, keys: &[&'static str]) {
        self.known.extend(keys);
    }

    /// These keys, should they stand here, belong elsewhere, and the help says where.
    pub fn elsewhere(&mut self, keys: &[&'static str], help: &'static str) {
        self.elsewhere.extend(keys.iter().map(|key| (*key, help)));
    }

    /// A value that is written as a string.
    pub fn value<T>(&mut self, key: &'static str, kind: &ValueKind<T>) -> Option<At<T>> {
        let value = self.take(key)?;
        self.one(key, value, kind)
    }

    /// The same, and a fault when it is missing.
    pub fn required<T>(&mut self, key: &'static str, kind: &ValueKind<T>) -> Option<At<T>> {
        self.require(key);
        self.value(key, kind)
    }

    /// A list of such values.
    pub fn list<T>(&mut self, key: &'static str, kind: &ValueKind<T>) -> Option<At<Vec<T>>> {
        let value = self.take(key)?;
        let span = self.at(value);
        let Some(items) = value.get_ref().as_array() else {
            let help = format!("write `{key} = [\"…\"]`");
            self.wrong_type(key, value, "a list of strings").help(help);
            return None;
        };
        let values = items
            .iter()
            .filter_map(|item| self.one(key, item, kind))
            .map(|at| at.value)
            .collect();
        Some(At {
            value: values,
            span,
        })
    }

    /// The same, and a fault when it is missing or empty.
    pub fn required_list<T>(
        &mut self,
        key: &'static str,
        kind: &ValueKind<T>,
    ) -> Option<At<Vec<T>>> {
        self.require(key);
        self.list_of_some(key, kind)
    }

    /// A list, and a fault when it is there and empty.
    fn list_of_some<T>(&mut self, key: &'static str, kind: &ValueKind<T>) -> Option<At<Vec<T>>> {
        let list = self.list(key, kind)?;
        let written = self
            .entries
            .get(key)
            .and_then(|value| value.get_ref().as_array());
        if written.is_some_and(|items| items.is_empty()) {
            self.issues()
                .error(list.span, format!("`{key}` is empty"))
                .help(format!("write `{key} = [\"…\"]`"));
        }
        Some(list)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &'static str) -> Option<At<bool>> {
        let value = self.take(key)?;
        self.mark(key, value);
        let span = self.at(value);
        match value.get_ref().as_bool() {
            Some(flag) => Some(At { value: flag, span }),
            None => {
                self.wrong_type(key, value, "true or false")
                    .help("write it without quotes".to_owned());
                None
            }
        }
    }

    /// A whole number within bounds.
    pub fn number(&mut self, key: &'static str, bounds: RangeInclusive<u32>) -> Option<At<u32>> {
        let value = self.take(key)?;
        self.mark(key, value);
        let span = self.at(value);
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(key, value, "a whole number")
                .help("write it without quotes".to_owned());
            return None;
        };
        match u32::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if bounds.contains(&number) => Some(At {
                value: number,
                span,
            }),
            Ok(_) | Err(_) => {
                let message = format!("`{key}` is {} to {}", bounds.start(), bounds.end());
                self.issues().error(span, message);
                None
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<At<T>> {
        let value = self.take(key)?;
        self.mark(key, value);
        let span = self.at(value);
        let listed: Vec<String> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let listed = listed.join(", ");
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "a string")
                .help(format!("it is one of {listed}"));
            return None;
        };
        if let Some((_, choice)) = words.iter().find(|(word, _)| *word == text) {
            return Some(At {
                value: *choice,
                span,
            });
        }
        let help = did_you_mean(text, words.iter().map(|(word, _)| *word));
        let help = help.unwrap_or_else(|| format!("it is one of {listed}"));
        self.issues()
            .error(span, format!("unknown `{key}`: {}", quoted(text)))
            .help(help);
        None
    }

    /// Where a secret is. Never the secret itself.
    pub fn secret(&mut self, key: &'static str) -> Option<At<SecretSource>> {
        let value = self.take(key)?;
        let span = self.at(value);
        let sources = sources(key);
        let entries = match value.get_ref() {
            DeValue::Table(entries) => entries,
            DeValue::String(_) => {
                let message = format!("`{key}` is written in the policy itself");
                self.issues().error(span, message).help(sources);
                return None;
            }
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {
                self.wrong_type(key, value, "the source of a secret")
                    .help(sources);
                return None;
            }
        };
        let source = Table::read(
            self.reading,
            "the source of a secret",
            span,
            entries,
            Names::Hidden,
            |table| {
                let credential = table.value("credential", &CREDENTIAL);
                let file = table.value("file", &PATH);
                let env = table.value("env", &VARIABLE);
                let command = table.command();
                let named = ["credential", "file", "env", "command"]
                    .iter()
                    .filter(|key| table.has(key))
                    .count();
                if named != 1 {
                    let message = match named {
                        0 => format!("`{key}` names no source"),
                        _ => format!("`{key}` names more than one source"),
                    };
                    table.issues().error(span, message).help(sources);
                    return None;
                }
                let credential = credential.map(|at| SecretSource::Credential(at.value));
                let file = file.map(|at| SecretSource::File(at.value));
                credential
                    .or(file)
                    .or(env.map(|at| SecretSource::Env(at.value)))
                    .or(command)
            },
        );
        source.map(|value| At { value, span })
    }

    /// `command = ["pass", "show", "…"]`, and `timeout` beside it.
    fn command(&mut self) -> Option<SecretSource> {
        let argv = self.list_of_some("command", &ARGUMENT);
        let timeout = self.value("timeout", &TIME_SPAN);
        if let Some(timeout) = timeout.as_ref().filter(|_| !self.has("command")) {
            self.issues()
                .error(timeout.span, "`timeout` is for a `command`")
                .help("take it out".to_owned());
        }
        let At { value: argv, span } = argv?;
        let program = argv.first()?;
        if program.is_empty() || (program.contains('/') && !program.starts_with('/')) {
            self.issues()
                .error(span, "the program of `command` is empty or a relative path")
                .help(
                    "write its path from / on, or its bare name to have it looked up in PATH"
                        .to_owned(),
                );
            return None;
        }
        let timeout = timeout.map_or(COMMAND_TIMEOUT, |at| at.value);
        Some(SecretSource::Command(SecretCommand { argv, timeout }))
    }

    /// The same, and a fault when it is missing.
    pub fn required_secret(&mut self, key: &'static str) -> Option<At<SecretSource>> {
        if !self.has(key) {
            let (span, message) = (self.span, format!("`{key}` is missing in {}", self.place));
            self.issues().error(span, message).help(sources(key));
        }
        self.secret(key)
    }

    /// Names and values of the operator's choice, all of which may be secret: nothing is repeated.
    pub fn pairs(
        &mut self,
        key: &'static str,
        name: fn(&str) -> Result<String, ValueError>,
        content: fn(&str) -> Result<String, ValueError>,
    ) -> Option<At<Vec<(String, String)>>> {
        let value = self.take(key)?;
        let span = self.at(value);
        let Some(entries) = value.get_ref().as_table() else {
            let help = format!("write `{key} = {{ \"Name\" = \"value\" }}`");
            self.wrong_type(key, value, "a table").help(help);
            return None;
        };
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name_at, content_at) in entries {
            let (name_span, content_span) = (
                Span::new(span.file, name_at.span()),
                Span::new(span.file, content_at.span()),
            );
            let name = name(name_at.get_ref())
                .map_err(|refusal| self.refuse(key, name_span, refusal))
                .ok();
            let content = match content_at.get_ref().as_str() {
                Some(text) => content(text)
                    .map_err(|refusal| self.refuse(key, content_span, refusal))
                    .ok(),
                None => {
                    self.wrong_type(key, content_at, "a string");
                    None
                }
            };
            if let (Some(name), Some(content)) = (name, content) {
                if pairs.iter().any(|(other, _)| *other == name) {
                    self.issues()
                        .error(name_span, format!("`{key}` has one name twice"));
                }
                pairs.push((name, content));
            }
        }
        Some(At { value: pairs, span })
    }

    /// A table within this one, or nothing said.
    pub fn table<T: Default>(
        &mut self,
        key: &'static str,
        place: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> T {
        self.optional_table(key, place, read).unwrap_or_default()
    }

    /// A table within this one.
    pub fn optional_table<T>(
        &mut self,
        key: &'static str,
        place: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> Option<T> {
        let value = self.take(key)?;
        let span = self.at(value);
        match value.get_ref().as_table() {
            Some(entries) => Some(Table::read(
                self.reading,
                place,
                span,
                entries,
                Names::Shown,
                read,
            )),
            None => {
                let help = match value.get_ref().as_array() {
                    Some(_) => format!("there is only one: write {place} with single brackets"),
                    None => format!("write it as a table: `{key} = {{ … }}`"),
                };
                self.wrong_type(key, value, "a table").help(help);
                None
            }
        }
    }

    /// Every `[[key]]` table.
    pub fn tables<T>(
        &mut self,
        key: &'static str,
        place: &'static str,
        read: impl Fn(&mut Table<'_>) -> T,
    ) -> Vec<T> {
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let help = format!("there can be several: write {place} with double brackets");
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "a list of tables").help(help);
            return Vec::new();
        };
        let mut values = Vec::with_capacity(items.len());
        for item in items.iter() {
            let span = self.at(item);
            match item.get_ref().as_table() {
                Some(entries) => {
                    values.push(Table::read(
                        self.reading,
                        place,
                        span,
                        entries,
                        Names::Shown,
                        &read,
                    ));
                }
                None => {
                    self.wrong_type(key, item, "a table").help(help.clone());
                }
            }
        }
        values
    }

    /// Whether the key is there, well or badly written.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    fn require(&mut self, key: &'static str) {
        if !self.has(key) {
            let (span, message) = (self.span, format!("`{key}` is missing in {}", self.place));
            self.issues()
                .error(span, message)
                .help(format!("add `{key} = …`"));
        }
    }

    fn take(&mut self, key: &'static str) -> Option<&'r Spanned<DeValue<'r>>> {
        self.known.push(key);
        #[cfg(test)]
        self.reading
            .known
            .entry(self.place)
            .or_default()
            .entry(key)
            .or_default();
        let entries: &'r DeTable<'r> = self.entries;
        let value = entries.get(key)?;
        #[cfg(test)]
        self.reading
            .known
            .entry(self.place)
            .or_default()
            .insert(key, true);
        Some(value)
    }

    fn at(&self, value: &Spanned<DeValue<'_>>) -> Span {
        Span::new(self.span.file, value.span())
    }

    fn one<T>(
        &mut self,
        key: &'static str,
        value: &Spanned<DeValue<'_>>,
        kind: &ValueKind<T>,
    ) -> Option<At<T>> {
        self.mark(key, value);
        let span = self.at(value);
        let parsed = match (value.get_ref(), kind.integer) {
            (DeValue::String(text), _) => (kind.parse)(text),
            (DeValue::Integer(integer), Some(from_integer)) => from_integer(integer.as_str()),
            (_, _) => {
                self.wrong_type(key, value, kind.expected);
                return None;
            }
        };
        match parsed {
            Ok(value) => Some(At { value, span }),
            Err(refusal) => {
                self.refuse(key, span, refusal);
                None
            }
        }
    }

    fn refuse(&mut self, key: &str, span: Span, ValueError { message, help }: ValueError) {
        self.issues()
            .error(span, format!("`{key}`: {message}"))
            .help(help);
    }

    fn wrong_type(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
    ) -> super::issues::IssueBuilder<'_> {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let span = self.at(value);
        self.issues()
            .error(span, format!("`{key}` must be {expected}, not {found}"))
    }

    /// This option is an ordinary one and may be shown, unless it looks as if it held a password:
    /// an `@` in what is no mail address and no user, or an address with a query.
    fn mark(&mut self, key: &str, value: &Spanned<DeValue<'_>>) {
        let addressee = ["from", "to", "username"].contains(&key);
        let odd = |text: &str| {
            !addressee
                && (text.contains('@') || (text.contains("://") && text.contains(['?', '#'])))
        };
        let start = value.span().start;
        let file = self.reading.issues.file(self.span.file);
        match value.get_ref().as_str() {
            Some(text) if odd(text) => file.mark_secret(start),
            Some(_) | None => file.mark_plain(start),
        }
    }

    fn finish(self, names: Names) {
        let Self {
            reading,
            place,
            span,
            entries,
            known,
            elsewhere,
        } = self;
        for key in entries.keys() {
            if known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let at = Span::new(span.file, key.span());
            let message = match names {
                Names::Shown => format!("unknown key {} in {place}", quoted(key.get_ref())),
                Names::Hidden => format!("unknown key in {place}"),
            };
            let belongs = elsewhere.iter().find(|(name, _)| key.get_ref() == name);
            let help = belongs.map(|(_, help)| (*help).to_owned());
            let help = help
                .or_else(|| did_you_mean(key.get_ref(), known.iter().copied()))
                .or_else(|| {
                    let mut known = known.clone();
                    known.sort_unstable();
                    Some(format!("known keys are {}", known.join(", ")))
                        .filter(|_| !known.is_empty())
                });
            reading.issues.error(at, message).help(help);
        }
    }
}

/// How to say where a secret is.
pub(super) fn sources(key: &str) -> String {
    format!(
        "name its source: `{key} = {{ credential = \"NAME\" }}` (systemd), `{{ file = \"/path\" }}`, `{{ env = \"NAME\" }}` or `{{ command = [\"pass\", \"show\", \"NAME\"] }}`"
    )
}
