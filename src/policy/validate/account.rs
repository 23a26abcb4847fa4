//! One account and its sinks.

use super::tuning::Tuning;
use super::{Context, doubt, or, secs};
use crate::policy::source::At;
use crate::policy::spec::{
    AccessSpec, AccountSpec, AcknowledgeSpec, ConsumerSpec, EnvFileSpec, FileSpec, NotifySpec, SinkKindSpec,
    SinkSpec, WebhookSpec,
};
use crate::policy::{
    AccountPolicy, Acknowledge, EnvFileSink, FileAccess, FileSink, HeaderSecret, Notify, NotifyWhat, Receipt,
    SinkKind, SinkPolicy, UnitAction, WebhookSink, WebhookUrl,
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
    let password = password.map(|at| context.secret(at));
    let sinks = sinks.into_iter().filter_map(|spec| sink(spec, context)).collect();
    Some(AccountPolicy {
        name: name?.value,
        username: username?.value,
        password: password?,
        platform_id: platform_id?.value,
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
    let SinkSpec { name, required, kind, consumer } = spec;
    let ConsumerSpec { notify: told, acknowledge: heard } = consumer;
    // Looked at before a kind that is absent ends it.
    let (told, heard) = (told.map(notify), heard.map(acknowledge));
    let kind = match kind? {
        SinkKindSpec::File(spec) => SinkKind::File(file(spec, context)?),
        SinkKindSpec::EnvFile(spec) => SinkKind::EnvFile(env_file(spec, context)?),
        SinkKindSpec::Webhook(spec) => SinkKind::Webhook(webhook(spec, context)?),
    };
    // What is there but wrong was told; without it the sink would be another one.
    let (notify, acknowledge) =
        (told.map_or(Some(None), |it| it.map(Some))?, heard.map_or(Some(None), |it| it.map(Some))?);
    Some(SinkPolicy { name: name?.value, required: or(required, true), kind, notify, acknowledge })
}

fn notify(spec: NotifySpec) -> Option<Notify> {
    let NotifySpec { unit, action, argv, timeout } = spec;
    let what = match (unit, argv) {
        (Some(unit), None) => {
            NotifyWhat::Unit { unit: unit.value, action: or(action, UnitAction::TryReloadOrRestart) }
        }
        (None, Some(argv)) => NotifyWhat::Program(argv.value),
        (Some(_), Some(_)) | (None, None) => return None,
    };
    Some(Notify { what, timeout: or(timeout, secs(60)) })
}

fn acknowledge(spec: AcknowledgeSpec) -> Option<Acknowledge> {
    let AcknowledgeSpec { path, within } = spec;
    Some(Acknowledge { path: path?.value, within: or(within, secs(2 * 60 * 60)) })
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
        headers: headers.into_iter().map(|(name, value)| (name, HeaderSecret::new(value))).collect(),
        timeout: or(timeout, secs(10)),
        receipt: or(receipt, Receipt::Status),
    })
}
