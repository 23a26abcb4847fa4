//! One account and its sinks.

use super::limits::Tuning;
use super::{Context, consumer, lints, or, secs, template};
use crate::source::{At, Span};
use crate::spec::{
    AccessSpec, AccountSpec, AuthConfigSpec, CommandSpec, EnvFileSpec, FileSpec, LoginSpec,
    SinkKindSpec, SinkSpec, WebhookSpec,
};
use rotator_core::config::{
    AccountPolicy, AdminLogin, AuthConfigSink, CommandInput, CommandSink, EnvFileSink, FileAccess,
    FileSink, HeaderSecret, LoginPolicy, Receipt, RingExLogin, SinkKind, SinkPolicy, WebhookSink,
    WebhookUrl,
};

/// A new file's mode where the policy is silent.
pub(super) const DEFAULT_MODE: u32 = 0o600;

pub(super) fn account(
    spec: AccountSpec,
    defaults: &Tuning,
    context: &mut Context<'_>,
) -> Option<AccountPolicy> {
    lints::every_sets_no_timezone(&spec, context);
    lints::sinks(&spec, context);
    let AccountSpec {
        span,
        name,
        login,
        tuning,
        sinks,
    } = spec;
    let tuning = defaults.clone().with(tuning);
    lints::tuning(&tuning, span, context);
    // Every part is looked at before one that is absent ends it: they have more to say.
    let login = login.and_then(|spec| self::login(spec, name.as_ref(), span, context));
    let own = name.as_ref().map(|name| name.value.as_str());
    let sinks = sinks
        .into_iter()
        .filter_map(|spec| sink(spec, own, context))
        .collect();
    Some(AccountPolicy {
        name: name?.value,
        login: login?,
        schedule: tuning.schedule(),
        retention: tuning.retention(),
        retry: tuning.retry(),
        check_every: tuning.check_every.value,
        verify_within: tuning.verify_within.value,
        smoke_test: tuning.smoke_test.value,
        sinks,
        peer_sinks: Vec::new(),
    })
}

fn login(
    spec: LoginSpec,
    account: Option<&At<String>>,
    span: Span,
    context: &mut Context<'_>,
) -> Option<LoginPolicy> {
    match spec {
        LoginSpec::Admin {
            username,
            password,
            platform_id,
        } => {
            let file = account.map(|name| name.value.clone());
            let password = context.own_secret(password, "password", file, span);
            Some(LoginPolicy::Admin(AdminLogin {
                username: username?.value,
                password: password?,
                platform_id: platform_id?.value,
            }))
        }
        LoginSpec::RingEx {
            client_id,
            client_secret,
            jwt,
        } => {
            let client_secret = client_secret.map(|at| context.secret(at));
            let jwt = jwt.map(|at| context.secret(at));
            Some(LoginPolicy::RingEx(RingExLogin {
                client_id: client_id?.value,
                client_secret: client_secret?,
                jwt: jwt?,
            }))
        }
    }
}

fn sink(spec: SinkSpec, account: Option<&str>, context: &mut Context<'_>) -> Option<SinkPolicy> {
    let SinkSpec {
        name,
        required,
        kind,
        consumer,
    } = spec;
    let kind = match kind? {
        SinkKindSpec::File(spec) => SinkKind::File(file(spec, context)?),
        SinkKindSpec::EnvFile(spec) => SinkKind::EnvFile(env_file(spec, context)?),
        SinkKindSpec::Webhook(spec) => SinkKind::Webhook(webhook(spec, context)?),
        SinkKindSpec::Command(spec) => SinkKind::Command(command(spec, context)?),
        SinkKindSpec::AuthConfig(AuthConfigSpec {
            account_id,
            auth_config_id,
        }) => {
            let (account_id, auth_config_id) = (account_id?.value, auth_config_id?.value);
            SinkKind::AuthConfig(AuthConfigSink {
                account_id,
                auth_config_id,
            })
        }
        SinkKindSpec::Template(spec) => {
            SinkKind::Template(template::template(spec, account, context)?)
        }
    };
    let (notify, acknowledge) = consumer::consumer(consumer)?;
    Some(SinkPolicy {
        name: name?.value,
        required: or(required, true),
        kind,
        notify,
        acknowledge,
    })
}

fn file(spec: FileSpec, context: &mut Context<'_>) -> Option<FileSink> {
    let FileSpec {
        path,
        access,
        trailing_newline,
    } = spec;
    let mut access = file_access(access, context);
    access.mode.get_or_insert(DEFAULT_MODE);
    Some(FileSink {
        path: path?.value,
        access,
        trailing_newline: or(trailing_newline, false),
    })
}

fn env_file(spec: EnvFileSpec, context: &mut Context<'_>) -> Option<EnvFileSink> {
    let EnvFileSpec { path, key, access } = spec;
    let access = file_access(access, context);
    Some(EnvFileSink {
        path: path?.value,
        key: key?.value,
        access,
    })
}

pub(super) fn file_access(spec: AccessSpec, context: &mut Context<'_>) -> FileAccess {
    let AccessSpec { mode, owner, group } = spec;
    if let Some(At { value: mode, span }) = mode
        && mode & 0o004 != 0
    {
        context
            .issues
            .warning(span, "everyone on this machine could read the token")
            .help(format!(
                "use \"{:04o}\" and set `group`",
                (mode | 0o040) & 0o770
            ));
    }
    FileAccess {
        mode: mode.map(|at| at.value),
        owner: owner.map(|at| at.value),
        group: group.map(|at| at.value),
    }
}

fn webhook(spec: WebhookSpec, context: &mut Context<'_>) -> Option<WebhookSink> {
    let WebhookSpec {
        url,
        secret,
        headers,
        timeout,
        receipt,
    } = spec;
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
    let CommandSpec {
        argv,
        stdin,
        environment,
        timeout,
        receipt,
    } = spec;
    let At { value: argv, span } = argv?;
    let program = argv.first()?;
    if program.is_empty() || (program.contains('/') && !program.starts_with('/')) {
        let help = "write its whole path, such as \"/usr/local/bin/push-token\"; there is no shell";
        context
            .issues
            .error(span, "the program of `argv` has no absolute path")
            .help(help.to_owned());
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
    pairs
        .into_iter()
        .map(|(name, value)| (name, HeaderSecret::new(value)))
        .collect()
}
