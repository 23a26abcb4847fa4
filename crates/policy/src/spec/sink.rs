//! What `[[account.sink]]` looks like. Its `type` says which other keys there are.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::consumer::ConsumerSpec;
use super::{At, SecretSource, Span, Table, value};
use rotator_core::config::{CommandInput, Receipt};

/// `[[account.sink]]`
pub(crate) struct SinkSpec {
    pub name: Option<At<String>>,
    pub required: Option<At<bool>>,
    pub kind: Option<SinkKindSpec>,
    pub consumer: ConsumerSpec,
}

/// What follows from `type`.
pub(crate) enum SinkKindSpec {
    /// `type = "file"`
    File(FileSpec),
    /// `type = "env-file"`
    EnvFile(EnvFileSpec),
    /// `type = "webhook"`
    Webhook(WebhookSpec),
    /// `type = "command"`
    Command(CommandSpec),
    /// `type = "ringcx-auth-config"`
    AuthConfig(AuthConfigSpec),
    /// `type = "template"`
    Template(TemplateSpec),
}

/// One type of sink: all that tells it from the others.
struct Type {
    name: &'static str,
    /// Beside `name`, `type` and `required`.
    keys: &'static [&'static str],
    /// What is said of its keys where they stand in a sink of another type.
    belongs: &'static str,
    read: fn(&mut Table<'_>) -> SinkKindSpec,
}

/// In the order in which they are named to people.
const TYPES: [Type; 6] = [
    Type {
        name: "file",
        keys: &[
            "path",
            "mode",
            "owner",
            "group",
            "trailing-newline",
            "notify",
            "acknowledge",
        ],
        belongs: "it belongs to a sink of type \"file\"",
        read: |table| SinkKindSpec::File(FileSpec::read(table)),
    },
    Type {
        name: "env-file",
        keys: &[
            "path",
            "mode",
            "owner",
            "group",
            "key",
            "notify",
            "acknowledge",
        ],
        belongs: "it belongs to a sink of type \"env-file\"",
        read: |table| SinkKindSpec::EnvFile(EnvFileSpec::read(table)),
    },
    Type {
        name: "webhook",
        keys: &["url", "secret", "headers", "timeout", "receipt"],
        belongs: "it belongs to a sink of type \"webhook\"",
        read: |table| SinkKindSpec::Webhook(WebhookSpec::read(table)),
    },
    Type {
        name: "command",
        keys: &["argv", "stdin", "environment", "timeout", "receipt"],
        belongs: "it belongs to a sink of type \"command\"",
        read: |table| SinkKindSpec::Command(CommandSpec::read(table)),
    },
    Type {
        name: "ringcx-auth-config",
        keys: &["account-id", "auth-config-id"],
        belongs: "it belongs to a sink of type \"ringcx-auth-config\"",
        read: |table| SinkKindSpec::AuthConfig(AuthConfigSpec::read(table)),
    },
    Type {
        name: "template",
        keys: &[
            "path",
            "mode",
            "owner",
            "group",
            "template",
            "inline",
            "accounts",
            "notify",
            "acknowledge",
        ],
        belongs: "it belongs to a sink of type \"template\"",
        read: |table| SinkKindSpec::Template(TemplateSpec::read(table)),
    },
];

/// Keys that several types have, and what is said of them where none of those is meant.
const SHARED: [(&[&str], &str); 2] = [
    (
        &["path", "mode", "owner", "group", "notify", "acknowledge"],
        "it belongs to a sink that is a file",
    ),
    (
        &["timeout", "receipt"],
        "it belongs to a sink of type \"webhook\" or \"command\"",
    ),
];

const RECEIPTS: [(&str, Receipt); 2] = [
    ("status", Receipt::Status),
    ("fingerprint", Receipt::Fingerprint),
];

impl SinkSpec {
    pub fn read(table: &mut Table<'_>) -> Self {
        let span = table.span();
        let name = table.required("name", &value::NAME);
        let required = table.flag("required");
        let words: [(&'static str, usize); TYPES.len()] =
            std::array::from_fn(|at| (TYPES[at].name, at));
        let mut consumer = ConsumerSpec::default();
        let kind = match table.choice("type", &words).map(|at| at.value) {
            Some(at) => {
                // What it does have is known by then, so only what it has not is told to be
                // elsewhere.
                SHARED
                    .iter()
                    .for_each(|(keys, help)| table.elsewhere(keys, help));
                TYPES
                    .iter()
                    .for_each(|other| table.elsewhere(other.keys, other.belongs));
                if TYPES[at].keys.contains(&"notify") {
                    consumer = ConsumerSpec::read(table);
                }
                Some((TYPES[at].read)(table))
            }
            None => {
                if !table.has("type") {
                    let names = TYPES.map(|it| format!("\"{}\"", it.name)).join(", ");
                    table
                        .issues()
                        .error(span, "`type` is missing in [[account.sink]]")
                        .help(format!("it is one of {names}"));
                }
                // Which keys it may have is unknown, so any of any type will do.
                TYPES.iter().for_each(|it| table.ignore(it.keys));
                None
            }
        };
        Self {
            name,
            required,
            kind,
            consumer,
        }
    }
}

/// `mode`, `owner` and `group`.
pub(crate) struct AccessSpec {
    pub mode: Option<At<u32>>,
    pub owner: Option<At<String>>,
    pub group: Option<At<String>>,
}

impl AccessSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            mode: table.value("mode", &value::MODE),
            owner: table.value("owner", &value::PRINCIPAL),
            group: table.value("group", &value::PRINCIPAL),
        }
    }
}

/// `type = "file"`
pub(crate) struct FileSpec {
    pub path: Option<At<PathBuf>>,
    pub access: AccessSpec,
    pub trailing_newline: Option<At<bool>>,
}

impl FileSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            path: table.required("path", &value::FILE_PATH),
            access: AccessSpec::read(table),
            trailing_newline: table.flag("trailing-newline"),
        }
    }
}

/// `type = "env-file"`
pub(crate) struct EnvFileSpec {
    pub path: Option<At<PathBuf>>,
    pub key: Option<At<String>>,
    pub access: AccessSpec,
}

impl EnvFileSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            path: table.required("path", &value::FILE_PATH),
            key: table.required("key", &value::VARIABLE),
            access: AccessSpec::read(table),
        }
    }
}

/// `type = "webhook"`
pub(crate) struct WebhookSpec {
    pub url: Option<At<Url>>,
    pub secret: Option<At<SecretSource>>,
    pub headers: Option<At<Vec<(String, String)>>>,
    pub timeout: Option<At<Duration>>,
    pub receipt: Option<At<Receipt>>,
}

impl WebhookSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            url: table.required("url", &value::WEBHOOK_URL),
            secret: table.required_secret("secret"),
            headers: table.pairs("headers", value::header_name, value::header_value),
            timeout: table.value("timeout", &value::TIME_SPAN),
            receipt: table.choice("receipt", &RECEIPTS),
        }
    }
}

/// `type = "command"`
pub(crate) struct CommandSpec {
    pub argv: Option<At<Vec<String>>>,
    pub stdin: Option<At<CommandInput>>,
    pub environment: Option<At<Vec<(String, String)>>>,
    pub timeout: Option<At<Duration>>,
    pub receipt: Option<At<Receipt>>,
}

impl CommandSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            argv: table.required_list("argv", &value::ARGUMENT),
            stdin: table.choice(
                "stdin",
                &[("json", CommandInput::Json), ("token", CommandInput::Token)],
            ),
            environment: table.pairs(
                "environment",
                value::VARIABLE.parse,
                value::environment_value,
            ),
            timeout: table.value("timeout", &value::TIME_SPAN),
            receipt: table.choice("receipt", &RECEIPTS),
        }
    }
}

/// `type = "ringcx-auth-config"`
pub(crate) struct AuthConfigSpec {
    pub account_id: Option<At<String>>,
    pub auth_config_id: Option<At<String>>,
}

impl AuthConfigSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            account_id: table.required("account-id", &value::ID),
            auth_config_id: table.required("auth-config-id", &value::ID),
        }
    }
}

/// `type = "template"`
pub(crate) struct TemplateSpec {
    pub span: Span,
    pub path: Option<At<PathBuf>>,
    pub access: AccessSpec,
    pub template: Option<At<PathBuf>>,
    pub inline: Option<At<String>>,
    pub accounts: Option<At<Vec<String>>>,
}

impl TemplateSpec {
    fn read(table: &mut Table<'_>) -> Self {
        let span = table.span();
        match (table.has("template"), table.has("inline")) {
            (true, false) | (false, true) => {}
            (false, false) => {
                table.issues().error(span, "the sink has no template").help(
                    "add `template = \"/path/to/file.j2\"`, or `inline = \"…\"` with its text"
                        .to_owned(),
                );
            }
            (true, true) => {
                table
                    .issues()
                    .error(span, "`template` and `inline` exclude each other")
                    .help("keep the one that is meant".to_owned());
            }
        }
        Self {
            span,
            path: table.required("path", &value::FILE_PATH),
            access: AccessSpec::read(table),
            template: table.value("template", &value::PATH),
            inline: table.value("inline", &value::TEXT),
            accounts: table.list("accounts", &value::NAME),
        }
    }
}
