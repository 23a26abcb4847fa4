//! Reads one table of a policy file, key by key, and remembers which keys it was asked for.
//!
//! Every accessor records what is wrong and answers `None`, so that one reading finds all faults. A
//! key that no accessor was asked for is unknown; that is recorded once the table has been read.
//! Serde would stop at the first error and lose the places. Knows the shapes of values, not which
//! keys there are.

#[cfg(test)]
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rotator_core::span::quoted;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::did_you_mean::did_you_mean;
use crate::issues::{IssueBuilder, Issues};
use crate::source::{At, FileId, Span};
use crate::value::{ValueError, ValueKind};

mod nested;
mod secret;

pub(crate) use secret::sources;

/// Every key that was asked for, by the kind of table, and whether it was there. For the test that
/// the shipped policy has them all.
#[cfg(test)]
pub(crate) type Known = BTreeMap<&'static str, BTreeMap<&'static str, bool>>;

/// What reading the files of one policy adds to.
#[derive(Default)]
pub(crate) struct Reading {
    pub issues: Issues,
    #[cfg(test)]
    pub known: Known,
}

/// One table, while it is read.
pub(crate) struct Table<'r> {
    reading: &'r mut Reading,
    /// What it is called in messages: `[daemon]`, `retention`.
    place: &'static str,
    span: Span,
    entries: &'r DeTable<'r>,
    known: Vec<&'static str>,
    /// Keys that belong to another table, and the help for each.
    elsewhere: Vec<(&'static str, &'static str)>,
    explain: Option<Explain>,
}

/// The help for an unknown key, if there is one.
type Explain = fn(&str) -> Option<String>;

/// Whether a message about an unknown key may repeat its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Shown,
    Hidden,
}

/// Reads the top-level table of a file.
pub(crate) fn read_file<T>(
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
            explain: None,
        };
        let value = read(&mut table);
        // Only now it is known which keys were asked for.
        table.finish(names);
        value
    }

    /// The table's header, or all of an inline table.
    pub fn span(&self) -> Span {
        self.span
    }

    /// To record what only the caller can see, such as two keys that exclude each other.
    pub fn issues(&mut self) -> &mut Issues {
        &mut self.reading.issues
    }

    /// Accepts these keys without reading them.
    pub fn ignore(&mut self, keys: &[&'static str]) {
        self.known.extend(keys);
    }

    /// Sets the help for these keys, which belong to another table, should they be in this one.
    pub fn elsewhere(&mut self, keys: &[&'static str], help: &'static str) {
        self.elsewhere.extend(keys.iter().map(|key| (*key, help)));
    }

    /// The same for keys that only the caller knows.
    pub fn explain(&mut self, explain: Explain) {
        self.explain = Some(explain);
    }

    /// Whether the key is present, well written or not.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// A value that is written as a string.
    pub fn value<T>(&mut self, key: &'static str, kind: &ValueKind<T>) -> Option<At<T>> {
        let value = self.take(key)?;
        self.one(key, value, kind)
    }

    /// The same, and an error when it is missing.
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
            // A faulty item is recorded, and the items after it are still looked at.
            .filter_map(|item| self.one(key, item, kind))
            .map(|at| at.value)
            .collect();
        Some(At {
            value: values,
            span,
        })
    }

    /// The same, and an error when it is missing or empty.
    pub fn required_list<T>(
        &mut self,
        key: &'static str,
        kind: &ValueKind<T>,
    ) -> Option<At<Vec<T>>> {
        self.require(key);
        self.list_of_some(key, kind)
    }

    /// A list, and an error when it is present and empty.
    fn list_of_some<T>(&mut self, key: &'static str, kind: &ValueKind<T>) -> Option<At<Vec<T>>> {
        let list = self.list(key, kind)?;
        // What is written counts: the list that was read lacks items that are faulty.
        let written = self.entries.get(key);
        let items = written.and_then(|value| value.get_ref().as_array());
        if items.is_some_and(|items| items.is_empty()) {
            self.issues()
                .error(list.span, format!("`{key}` is empty"))
                .help(format!("write `{key} = [\"…\"]`"));
        }
        Some(list)
    }

    /// A value that is `true` or `false`, without quotes.
    pub fn flag(&mut self, key: &'static str) -> Option<At<bool>> {
        let value = self.take(key)?;
        self.mark(key, value);
        let span = self.at(value);
        let Some(value) = value.get_ref().as_bool() else {
            self.wrong_type(key, value, "true or false")
                .help("write it without quotes".to_owned());
            return None;
        };
        Some(At { value, span })
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
        // TOML also writes 0x10 and 0b1; `as_str` has no prefix.
        match u32::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) if bounds.contains(&value) => Some(At { value, span }),
            Ok(_) | Err(_) => {
                let message = format!("`{key}` is {} to {}", bounds.start(), bounds.end());
                self.issues().error(span, message);
                None
            }
        }
    }

    /// One of a few words, each with what it means.
    pub fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<At<T>> {
        let value = self.take(key)?;
        self.mark(key, value);
        let span = self.at(value);
        let listed: Vec<String> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let listed = format!("it is one of {}", listed.join(", "));
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "a string").help(listed);
            return None;
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            let value = *value;
            return Some(At { value, span });
        }
        let help = did_you_mean(text, words.iter().map(|(word, _)| *word));
        self.issues()
            .error(span, format!("unknown `{key}`: {}", quoted(text)))
            .help(help.unwrap_or(listed));
        None
    }

    fn require(&mut self, key: &'static str) {
        if !self.has(key) {
            let (span, message) = (self.span, format!("`{key}` is missing in {}", self.place));
            self.issues()
                .error(span, message)
                .help(format!("add `{key} = …`"));
        }
    }

    /// The value of a key, which counts as known from now on.
    fn take(&mut self, key: &'static str) -> Option<&'r Spanned<DeValue<'r>>> {
        self.known.push(key);
        #[cfg(test)]
        self.remember(key);
        // A copy of the reference, so that the value does not keep `self` borrowed.
        let entries: &'r DeTable<'r> = self.entries;
        entries.get(key)
    }

    #[cfg(test)]
    fn remember(&mut self, key: &'static str) {
        let is_present = self.has(key);
        let keys = self.reading.known.entry(self.place).or_default();
        *keys.entry(key).or_default() |= is_present;
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
        // Before parsing, because a value that is refused may be shown, too.
        self.mark(key, value);
        let span = self.at(value);
        let parsed = match (value.get_ref(), kind.integer) {
            (DeValue::String(text), _) => (kind.parse)(text),
            // `mode = 640`: most kinds refuse it, with a help that says how to write it.
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
    ) -> IssueBuilder<'_> {
        // The type only: the value itself may be a secret in the wrong place.
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

    /// Allows an excerpt to show this value, because its key was read as an ordinary option. A
    /// value that looks as if it held a password stays hidden: one with an `@` that is neither a
    /// mail address nor a user, or a web address with a query or a fragment.
    fn mark(&mut self, key: &str, value: &Spanned<DeValue<'_>>) {
        let holds_addresses = ["from", "to", "username"].contains(&key);
        let is_suspect = |text: &str| {
            let has_query = text.contains("://") && text.contains(['?', '#']);
            !holds_addresses && (text.contains('@') || has_query)
        };
        // By its start, because the survey finds values by that.
        let start = value.span().start;
        let file = self.reading.issues.file(self.span.file);
        match value.get_ref().as_str() {
            Some(text) if is_suspect(text) => file.mark_secret(start),
            Some(_) | None => file.mark_plain(start),
        }
    }

    /// Records the keys that no accessor was asked for.
    fn finish(self, names: Names) {
        for key in self.entries.keys() {
            if self.known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let message = match names {
                Names::Shown => format!("unknown key {} in {}", quoted(key.get_ref()), self.place),
                Names::Hidden => format!("unknown key in {}", self.place),
            };
            let help = self.help_for(key.get_ref());
            let span = Span::new(self.span.file, key.span());
            self.reading.issues.error(span, message).help(help);
        }
    }

    /// The most specific help for an unknown key: where it belongs, a known key that resembles it,
    /// or all known keys.
    fn help_for(&self, key: &str) -> Option<String> {
        let mut elsewhere = self.elsewhere.iter();
        if let Some((_, help)) = elsewhere.find(|(name, _)| *name == key) {
            return Some((*help).to_owned());
        }
        let explained = self.explain.and_then(|explain| explain(key));
        let near = || did_you_mean(key, self.known.iter().copied());
        explained.or_else(near).or_else(|| {
            let mut known = self.known.clone();
            known.sort_unstable();
            (!known.is_empty()).then(|| format!("known keys are {}", known.join(", ")))
        })
    }
}
