//! One account and its sinks.

use super::tuning::Tuning;
use super::{Context, doubt, or, secs};
use crate::policy::source::At;
use crate::policy::spec::{
    AccessSpec, AccountSpec, CommandSpec, EnvFileSpec, FileSpec, SinkKindSpec, SinkSpec, WebhookSpec,
};
use crate::policy::{
    AccountPolicy, AdminLogin, CommandInput, CommandSink, EnvFileSink, FileAccess, FileSink, HeaderSecret,
    LoginPolicy, Receipt, SinkKind, SinkPolicy, WebhookSink, WebhookUrl,
};

/// A new file's mode where the policy is silent.
const DEFAULT_MODE: u32 = 0o600;

pub(super) fn account(
    spec: AccountSpec,
    defaults: &Tuning,
    context: &mut Context<'_>,
) -> Option<AccountPolicy> {
    doubt::every_sets_no_timezone(&spec, context);
    doubt::sinks(&spec, context);
    let AccountSpec { span, name, username, password, platform_id, tuning, sinks } = spec;
    let tuning = defaults.clone().with(tuning);
    doubt::tuning(&tuning, span, context);
    // Every part is looked at before one that is absent ends it: they have more to say.
    let file = name.as_ref().map(|name| name.value.clone());
    let password = context.own_secret(password, "password", file, span);
    let sinks = sinks.into_iter().filter_map(|spec| sink(spec, context)).collect();
    Some(AccountPolicy {
        name: name?.value,
        login: LoginPolicy::Admin(AdminLogin {
            username: username?.value,
            password: password?,
            platform_id: platform_id?.value,
        }),
        schedule: tuning.schedule(),
        retention: tuning.retention(),
        retry: tuning.retry(),
        check_every: tuning.check_every.value,
        verify_within: tuning.verify_within.value,
        smoke_test: tuning.smoke_test.value,
        sinks,
    })
}

fn sink(spec: SinkSpec, context: &mut Context<'_>) -> Option<SinkPolicy> {
    let SinkSpec { name, required, kind } = spec;
    let kind = match kind? {
        SinkKindSpec::File(spec) => SinkKind::File(file(spec, context)?),
        SinkKindSpec::EnvFile(spec) => SinkKind::EnvFile(env_file(spec, context)?),
        SinkKindSpec::Webhook(spec) => SinkKind::Webhook(webhook(spec, context)?),
        SinkKindSpec::Command(spec) => SinkKind::Command(command(spec, context)?),
    };
    Some(SinkPolicy { name: name?.value, required: or(required, true), kind })
}

fn file(spec: FileSpec, context: &mut Context<'_>) -> Option<FileSink> {
    let FileSpec { path, access, trailing_newline } = spec;
    let mut access = file_access(access, context);
    access.mode.get_or_insert(DEFAULT_MODE);
    Some(FileSink { path: path?.value, access, trailing_newline: or(trailing_newline, false) })
}

fn env_file(spec: EnvFileSpec, context: &mut Context<'_>) -> Option<EnvFileSink> {
    let EnvFileSpec { path, key, access } = spec;
    let access = file_access(access, context);
    Some(EnvFileSink { path: path?.value, key: key?.value, access })
}

fn file_access(spec: AccessSpec, context: &mut Context<'_>) -> FileAccess {
    let AccessSpec { mode, owner, group } = spec;
    if let Some(At { value: mode, span }) = mode
        && mode & 0o004 != 0
    {
        context
            .faults
            .warning(span, "everyone on this machine could read the token")
            .help(format!("use \"{:04o}\" and set `group`", (mode | 0o040) & 0o770));
    }
    FileAccess {
        mode: mode.map(|at| at.value),
        owner: owner.map(|at| at.value),
        group: group.map(|at| at.value),
    }
}

fn webhook(spec: WebhookSpec, context: &mut Context<'_>) -> Option<WebhookSink> {
    let WebhookSpec { url, secret, headers, timeout, receipt } = spec;
    let secret = secret.map(|at| context.secret(at));
    let headers = or(headers, Vec::new());
    Some(WebhookSink {
        url: WebhookUrl::new(url?.value),
        secret: secret?,
        headers: hidden(headers),
        timeout: or(timeout, secs(10)),
        receipt: or(receipt, Receipt::Status),
    })
}

fn command(spec: CommandSpec, context: &mut Context<'_>) -> Option<CommandSink> {
    let CommandSpec { argv, stdin, environment, timeout, receipt } = spec;
    let At { value: argv, span } = argv?;
    let program = argv.first()?;
    if program.is_empty() || (program.contains('/') && !program.starts_with('/')) {
        let help = "write its whole path, such as \"/usr/local/bin/push-token\"; there is no shell";
        context.faults.error(span, "the program of `argv` has no absolute path").help(help.to_owned());
        return None;
    }
    Some(CommandSink {
        argv,
        stdin: or(stdin, CommandInput::Json),
        environment: hidden(or(environment, Vec::new())),
        timeout: or(timeout, secs(30)),
        receipt: or(receipt, Receipt::Status),
    })
}

fn hidden(pairs: Vec<(String, String)>) -> Vec<(String, HeaderSecret)> {
    pairs.into_iter().map(|(name, value)| (name, HeaderSecret::new(value))).collect()
}
