//! What may stand only once, in one file or across all of them: names, and what sinks write to.
//!
//! Looks at what was written, not at what became of it, so that one fault hides no other.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Context;
use crate::source::{At, Span};
use crate::spec::{AccessSpec, AccountSpec, AuthConfigSpec, LoginSpec, SinkKindSpec, TemplateSpec};
use rotator_core::secret::SecretSource;

/// What writes to a path.
enum PathWriter<'s> {
    /// The whole file.
    File,
    /// One key of it.
    EnvFile {
        key: Option<&'s At<String>>,
        access: &'s AccessSpec,
    },
}

/// Records every second of what may stand only once.
pub(super) fn check<'s>(
    main: &Path,
    accounts: impl Iterator<Item = &'s AccountSpec>,
    context: &mut Context<'_>,
) {
    let accounts: Vec<&AccountSpec> = accounts.collect();
    names(
        accounts.iter().filter_map(|account| account.name.as_ref()),
        "account",
        context,
    );
    for account in &accounts {
        names(
            account.sinks.iter().filter_map(|sink| sink.name.as_ref()),
            "sink of this account",
            context,
        );
    }
    let read = read_paths(main, &accounts, context);
    let mut written: HashMap<&Path, Vec<(Span, PathWriter<'_>)>> = HashMap::new();
    let mut configs = HashMap::new();
    for sink in accounts.iter().flat_map(|account| &account.sinks) {
        let (path, writer) = match &sink.kind {
            Some(SinkKindSpec::File(file)) => (&file.path, PathWriter::File),
            Some(SinkKindSpec::Template(file)) => (&file.path, PathWriter::File),
            Some(SinkKindSpec::EnvFile(file)) => (
                &file.path,
                PathWriter::EnvFile {
                    key: file.key.as_ref(),
                    access: &file.access,
                },
            ),
            Some(SinkKindSpec::AuthConfig(config)) => {
                same_config(config, &mut configs, context);
                continue;
            }
            Some(SinkKindSpec::Webhook(_) | SinkKindSpec::Command(_)) | None => continue,
        };
        let Some(At { value: path, span }) = path else {
            continue;
        };
        if let Some(what) = read.get(path.as_path()) {
            context
                .issues
                .error(
                    *span,
                    format!("this file is {what}: a sink would overwrite it"),
                )
                .help("give the token a file of its own".to_owned());
        }
        let earlier = written.entry(path).or_default();
        if let Some((first, other)) = earlier.first() {
            same_path(*span, &writer, *first, other, context);
        }
        same_key(&writer, earlier, context);
        earlier.push((*span, writer));
    }
}

/// Two sinks that put different tokens into one auth config would undo each other's work for ever.
fn same_config<'s>(
    config: &'s AuthConfigSpec,
    seen: &mut HashMap<(&'s str, &'s str), Span>,
    context: &mut Context<'_>,
) {
    let (Some(account), Some(id)) = (&config.account_id, &config.auth_config_id) else {
        return;
    };
    match seen.get(&(account.value.as_str(), id.value.as_str())) {
        Some(first) => {
            context
                .issues
                .error(id.span, "another sink puts its token into this auth config")
                .other("the first is at", *first);
        }
        None => {
            seen.insert((&account.value, &id.value), id.span);
        }
    }
}

fn names<'s>(all: impl Iterator<Item = &'s At<String>>, what: &str, context: &mut Context<'_>) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for At { value: name, span } in all {
        match seen.get(name.as_str()) {
            Some(first) => {
                let message = format!("another {what} is called `{name}`");
                context
                    .issues
                    .error(*span, message)
                    .other("the first is at", *first);
            }
            None => {
                seen.insert(name, *span);
            }
        }
    }
}

/// Two sinks on one path: only env-files can share it.
fn same_path(
    span: Span,
    writer: &PathWriter<'_>,
    first: Span,
    other: &PathWriter<'_>,
    context: &mut Context<'_>,
) {
    let issues = &mut *context.issues;
    match (writer, other) {
        (PathWriter::File, PathWriter::File) => {
            issues
                .error(span, "another sink writes this file")
                .other("the first is at", first);
        }
        (PathWriter::File, PathWriter::EnvFile { .. })
        | (PathWriter::EnvFile { .. }, PathWriter::File) => {
            issues
                .error(
                    span,
                    "this is the file of a file sink and of an env-file sink",
                )
                .other("the first is at", first);
        }
        (
            PathWriter::EnvFile { access, .. },
            PathWriter::EnvFile {
                access: first_access,
                ..
            },
        ) => {
            if shape(access) != shape(first_access) {
                issues
                    .warning(
                        span,
                        "two sinks give this file another mode, owner or group",
                    )
                    .help("write the same in both, or the last to deliver has it".to_owned())
                    .other("the first is at", first);
            }
        }
    }
}

fn shape(access: &AccessSpec) -> (Option<u32>, Option<&str>, Option<&str>) {
    let AccessSpec { mode, owner, group } = access;
    (
        mode.as_ref().map(|at| at.value),
        owner.as_ref().map(|at| at.value.as_str()),
        group.as_ref().map(|at| at.value.as_str()),
    )
}

fn same_key(
    writer: &PathWriter<'_>,
    earlier: &[(Span, PathWriter<'_>)],
    context: &mut Context<'_>,
) {
    let PathWriter::EnvFile { key: Some(key), .. } = writer else {
        return;
    };
    let first = earlier.iter().find_map(|(_, other)| match other {
        PathWriter::EnvFile {
            key: Some(other), ..
        } if other.value == key.value => Some(other.span),
        PathWriter::EnvFile { .. } | PathWriter::File => None,
    });
    if let Some(first) = first {
        context
            .issues
            .error(
                key.span,
                format!("another sink writes `{}` of this file", key.value),
            )
            .other("the first is at", first);
    }
}

/// Files that the daemon reads, and must not write.
fn read_paths(
    main: &Path,
    accounts: &[&AccountSpec],
    context: &Context<'_>,
) -> HashMap<PathBuf, &'static str> {
    let mut read = HashMap::from([(main.to_owned(), "the policy")]);
    let secrets = accounts.iter().flat_map(|account| {
        let sinks = account.sinks.iter().filter_map(|sink| match &sink.kind {
            Some(SinkKindSpec::Webhook(hook)) => hook.secret.as_ref(),
            Some(
                SinkKindSpec::File(_)
                | SinkKindSpec::EnvFile(_)
                | SinkKindSpec::Command(_)
                | SinkKindSpec::AuthConfig(_)
                | SinkKindSpec::Template(_),
            )
            | None => None,
        });
        account
            .login
            .iter()
            .flat_map(LoginSpec::sources)
            .chain(sinks)
    });
    for sink in accounts.iter().flat_map(|account| &account.sinks) {
        if let Some(SinkKindSpec::Template(TemplateSpec {
            template: Some(path),
            ..
        })) = &sink.kind
        {
            read.insert(context.directory.join(&path.value), "a template");
        }
        if let Some(path) = sink
            .consumer
            .acknowledge
            .as_ref()
            .and_then(|it| it.path.as_ref())
        {
            read.insert(
                path.value.clone(),
                "where a consumer acknowledges its token",
            );
        }
    }
    for secret in secrets {
        match &secret.value {
            SecretSource::File(path) => {
                read.insert(context.directory.join(path), "where a secret is read from");
            }
            SecretSource::Credential(_) | SecretSource::Env(_) | SecretSource::Command(_) => {}
        }
    }
    if let Some(directory) = &context.passwords_dir {
        for account in accounts {
            let Some((name, login)) = account.name.as_ref().zip(account.login.as_ref()) else {
                continue;
            };
            if login.leaves_password_to_the_directory() {
                read.insert(
                    directory.value.join(&name.value),
                    "where a secret is read from",
                );
            }
        }
    }
    read
}
