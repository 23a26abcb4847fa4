//! What `[[account.sink]]` looks like. Its `type` says which other keys there are.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::consumer::{CONSUMER_KEYS, ConsumerSpec};
use super::{At, SecretSource, Table, value};
use crate::policy::Receipt;

/// `[[account.sink]]`
pub(in crate::policy) struct SinkSpec {
    pub name: Option<At<String>>,
    pub required: Option<At<bool>>,
    pub kind: Option<SinkKindSpec>,
    pub consumer: ConsumerSpec,
}

/// What follows from `type`.
pub(in crate::policy) enum SinkKindSpec {
    /// `type = "file"`
    File(FileSpec),
    /// `type = "env-file"`
    EnvFile(EnvFileSpec),
    /// `type = "webhook"`
    Webhook(WebhookSpec),
}

#[derive(Clone, Copy)]
enum Type {
    File,
    EnvFile,
    Webhook,
}

const ACCESS_KEYS: [&str; 3] = ["mode", "owner", "group"];
const WEBHOOK_KEYS: [&str; 5] = ["url", "secret", "headers", "timeout", "receipt"];

impl SinkSpec {
    pub fn read(table: &mut Table<'_>) -> Self {
        let span = table.span();
        let name = table.required("name", &value::NAME);
        let required = table.flag("required");
        let types = [("file", Type::File), ("env-file", Type::EnvFile), ("webhook", Type::Webhook)];
        let kind = match table.choice("type", &types).map(|at| at.value) {
            Some(Type::File) => Some(SinkKindSpec::File(FileSpec::read(table))),
            Some(Type::EnvFile) => Some(SinkKindSpec::EnvFile(EnvFileSpec::read(table))),
            Some(Type::Webhook) => Some(SinkKindSpec::Webhook(WebhookSpec::read(table))),
            None => {
                if !table.has("type") {
                    table
                        .faults()
                        .error(span, "`type` is missing in [[account.sink]]")
                        .help("it is one of \"file\", \"env-file\", \"webhook\"".to_owned());
                }
                // Which keys it may have is unknown, so any of any type will do.
                table.ignore(&["path", "key", "trailing-newline"]);
                table.ignore(&ACCESS_KEYS);
                table.ignore(&WEBHOOK_KEYS);
                table.ignore(&CONSUMER_KEYS);
                None
            }
        };
        let consumer = match &kind {
            Some(SinkKindSpec::File(_) | SinkKindSpec::EnvFile(_)) => ConsumerSpec::read(table),
            Some(SinkKindSpec::Webhook(_)) => {
                table.elsewhere(&CONSUMER_KEYS, "it belongs to a sink that is a file");
                ConsumerSpec::default()
            }
            None => ConsumerSpec::default(),
        };
        Self { name, required, kind, consumer }
    }
}

/// `mode`, `owner` and `group`.
pub(in crate::policy) struct AccessSpec {
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
pub(in crate::policy) struct FileSpec {
    pub path: Option<At<PathBuf>>,
    pub access: AccessSpec,
    pub trailing_newline: Option<At<bool>>,
}

impl FileSpec {
    fn read(table: &mut Table<'_>) -> Self {
        table.elsewhere(&["key"], "it belongs to a sink of type \"env-file\"");
        table.elsewhere(&WEBHOOK_KEYS, "it belongs to a sink of type \"webhook\"");
        Self {
            path: table.required("path", &value::FILE_PATH),
            access: AccessSpec::read(table),
            trailing_newline: table.flag("trailing-newline"),
        }
    }
}

/// `type = "env-file"`
pub(in crate::policy) struct EnvFileSpec {
    pub path: Option<At<PathBuf>>,
    pub key: Option<At<String>>,
    pub access: AccessSpec,
}

impl EnvFileSpec {
    fn read(table: &mut Table<'_>) -> Self {
        table.elsewhere(&["trailing-newline"], "it belongs to a sink of type \"file\"");
        table.elsewhere(&WEBHOOK_KEYS, "it belongs to a sink of type \"webhook\"");
        Self {
            path: table.required("path", &value::FILE_PATH),
            key: table.required("key", &value::VARIABLE),
            access: AccessSpec::read(table),
        }
    }
}

/// `type = "webhook"`
pub(in crate::policy) struct WebhookSpec {
    pub url: Option<At<Url>>,
    pub secret: Option<At<SecretSource>>,
    pub headers: Option<At<Vec<(String, String)>>>,
    pub timeout: Option<At<Duration>>,
    pub receipt: Option<At<Receipt>>,
}

impl WebhookSpec {
    fn read(table: &mut Table<'_>) -> Self {
        table.elsewhere(&["path", "key"], "it belongs to a sink that is a file");
        table.elsewhere(&ACCESS_KEYS, "it belongs to a sink that is a file");
        Self {
            url: table.required("url", &value::WEBHOOK_URL),
            secret: table.required_secret("secret"),
            headers: table.pairs("headers", value::header_name, value::header_value),
            timeout: table.value("timeout", &value::TIME_SPAN),
            receipt: table
                .choice("receipt", &[("status", Receipt::Status), ("fingerprint", Receipt::Fingerprint)]),
        }
    }
}
