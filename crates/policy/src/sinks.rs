//! The sinks of an account, as they are written. Each kind has a file of its own, with its keys and
//! its checks.
//!
//! To add a kind, write that file and add it to [`TYPES`]. The common keys, the hints about keys
//! that belong to another kind, and the rule that no two sinks write to the same place apply to it
//! without another line here.

use std::path::PathBuf;

use rotator_core::config::{HeaderSecret, NetworkPolicy, Receipt, SinkKind, SinkPolicy};
use rotator_core::secret::SecretSource;

use crate::access::AccessSpec;
use crate::base_dir::BaseDir;
use crate::defaults;
use crate::issues::Issues;
use crate::source::At;
use crate::table::Table;
use crate::value;

mod auth_config;
mod command;
mod consumer;
mod env_file;
mod file;
mod template;
mod webhook;

pub(crate) use consumer::ConsumerSpec;

/// In the order in which messages list them.
static TYPES: &[SinkType] = &[
    file::TYPE,
    env_file::TYPE,
    webhook::TYPE,
    command::TYPE,
    auth_config::TYPE,
    template::TYPE,
];

/// One kind of sink: what tells it from the others.
struct SinkType {
    /// The value of `type`.
    name: &'static str,
    form: SinkForm,
    /// Beside `name`, `type`, `required` and those of its form.
    keys: &'static [&'static str],
    read: fn(&mut Table<'_>) -> Box<dyn SinkKindSpec>,
}

/// Whether the sink is a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SinkForm {
    /// It has the keys of [`FILE_KEYS`], and consumers who can be notified.
    File,
    /// It is an entry elsewhere, or a server or a program that is called.
    Other,
}

/// The keys of every sink that is a file.
const FILE_KEYS: [&str; 6] = ["path", "mode", "owner", "group", "notify", "acknowledge"];

/// One sink of some kind, as it was written.
///
/// `Option` is a key that is absent or faulty. What is wrong with a single key has been recorded
/// when it was read.
pub(crate) trait SinkKindSpec {
    /// Fills in defaults. Records why not, where something cannot be made of keys that are each
    /// well written.
    fn resolve(&self, place: &SinkPlace<'_>, issues: &mut Issues) -> Option<SinkKind>;

    /// Records what is wrong with its keys together.
    fn check(&self, _issues: &mut Issues) {}

    /// What it writes, as far as that is well written. No two sinks may write the same.
    fn writes(&self) -> Option<SinkWrites<'_>> {
        None
    }

    /// The secret that it needs beside the token.
    fn secret(&self) -> Option<&At<SecretSource>> {
        None
    }

    /// A file that is read with the policy, and what it is in a message: `a template`.
    fn input(&self) -> Option<(&At<PathBuf>, &'static str)> {
        None
    }

    /// The other accounts whose tokens it holds too.
    fn peers(&self) -> Option<&At<Vec<String>>> {
        None
    }
}

/// What a sink's keys are resolved with.
pub(crate) struct SinkPlace<'p> {
    pub base: BaseDir<'p>,
    /// The name of the account that the sink belongs to, where it is well written.
    pub account: Option<&'p str>,
    /// `[network]`, for a sink that is called.
    pub network: &'p NetworkPolicy,
}

/// What a sink writes.
pub(crate) enum SinkWrites<'s> {
    /// A whole file, shared with no other sink.
    File(&'s At<PathBuf>),
    /// One variable of a file. Other sinks may have other variables of it.
    Variable {
        path: &'s At<PathBuf>,
        name: Option<&'s At<String>>,
        access: &'s AccessSpec,
    },
    /// An entry that is not a file, but has ids.
    Entry {
        /// What it is in a message: `auth config`.
        what: &'static str,
        /// From the widest to the narrowest. The last one's place is that of a message.
        ids: [&'s At<String>; 2],
    },
}

/// One `[[account.sink]]`, as it is written.
pub(crate) struct SinkSpec {
    pub name: Option<At<String>>,
    pub required: Option<At<bool>>,
    pub kind: Option<Box<dyn SinkKindSpec>>,
    pub consumer: ConsumerSpec,
}

impl SinkSpec {
    pub fn read(table: &mut Table<'_>) -> Self {
        let name = table.required("name", &value::NAME);
        let required = table.flag("required");
        let (kind, consumer) = match sink_type(table) {
            Some(sink_type) => {
                // Only now: without a type it is unknown which keys belong elsewhere.
                table.explain(belongs_to);
                let consumer = match sink_type.form {
                    SinkForm::File => ConsumerSpec::read(table),
                    SinkForm::Other => ConsumerSpec::default(),
                };
                (Some((sink_type.read)(table)), consumer)
            }
            None => {
                // Which keys it may have is unknown, so those of every type are accepted; those
                // that mean the same everywhere are judged.
                let _path = table.value("path", &value::FILE_PATH);
                AccessSpec::read(table).check(table.issues());
                let _consumer = ConsumerSpec::read(table);
                TYPES.iter().for_each(|other| table.ignore(other.keys));
                (None, ConsumerSpec::default())
            }
        };
        Self {
            name,
            required,
            kind,
            consumer,
        }
    }

    /// The sink; none where it is incomplete.
    pub fn resolve(&self, place: &SinkPlace<'_>, issues: &mut Issues) -> Option<SinkPolicy> {
        let Self {
            name,
            required,
            kind,
            consumer,
        } = self;
        // Before a key that is absent ends it, because a template may have more to report.
        let kind = kind.as_ref()?.resolve(place, issues)?;
        Some(SinkPolicy {
            name: name.as_ref()?.value.clone(),
            required: At::or(required, defaults::REQUIRED),
            kind,
            notify: consumer.notify()?,
            acknowledge: consumer.acknowledge()?,
        })
    }

    /// The secret that it needs beside the token.
    pub fn secret(&self) -> Option<&At<SecretSource>> {
        self.kind.as_ref()?.secret()
    }
}

/// The kind of sink that `type` names.
fn sink_type(table: &mut Table<'_>) -> Option<&'static SinkType> {
    let words: Vec<(&str, &SinkType)> = TYPES.iter().map(|known| (known.name, known)).collect();
    let found = table.choice("type", &words);
    // Asked of the table, because `choice` has reported a `type` that is there and faulty.
    if !table.has("type") {
        let names = words.iter().map(|(name, _)| format!("\"{name}\""));
        let names = names.collect::<Vec<_>>().join(", ");
        let span = table.span();
        table
            .issues()
            .error(span, "`type` is missing in [[account.sink]]")
            .help(format!("it is one of {names}"));
    }
    found.map(|at| at.value)
}

/// The help for a key that this sink does not have, but another one does.
fn belongs_to(key: &str) -> Option<String> {
    // Before the types, which do not list the keys that all files have in common.
    if FILE_KEYS.contains(&key) {
        return Some("it belongs to a sink that is a file".to_owned());
    }
    let types = TYPES.iter().filter(|known| known.keys.contains(&key));
    let names: Vec<String> = types.map(|known| format!("\"{}\"", known.name)).collect();
    let is_known = !names.is_empty();
    is_known.then(|| format!("it belongs to a sink of type {}", names.join(" or ")))
}

/// `receipt = "…"`
fn receipt(table: &mut Table<'_>) -> Option<At<Receipt>> {
    let receipts = [
        ("status", Receipt::Status),
        ("fingerprint", Receipt::Fingerprint),
    ];
    table.choice("receipt", &receipts)
}

/// Names and values, the values kept from `Debug`: each may be a secret.
fn hidden(pairs: &Option<At<Vec<(String, String)>>>) -> Vec<(String, HeaderSecret)> {
    let pairs = pairs.as_ref().map_or(&[][..], |at| &at.value);
    pairs
        .iter()
        .map(|(name, value)| (name.clone(), HeaderSecret::new(value.clone())))
        .collect()
}
