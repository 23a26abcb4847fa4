//! Accounts that lack something, or whose tokens are not delivered.

use crate::issues::{IssuePlace, Issues};
use crate::parse::{AccountSpec, LoginSpec, OwnSecret, PolicySpec};
use crate::sinks::SinkSpec;
use crate::table::sources;

pub(super) fn check(spec: &PolicySpec, issues: &mut Issues) {
    if spec.accounts.is_empty() {
        no_account(spec, issues);
    }
    for account in &spec.accounts {
        if spec.defaults.passwords_dir.is_none() {
            missing_password(account, issues);
        }
        timezone_without_cron(account, issues);
        delivery(account, issues);
    }
}

/// Only a warning where `accounts-dir` is set: a directory that is still empty may be meant, and
/// one that cannot be read has been recorded as an error.
fn no_account(spec: &PolicySpec, issues: &mut Issues) {
    let message = "no account: there is nothing to rotate";
    let issue = match &spec.daemon.accounts_dir {
        Some(directory) => issues.warning(directory.span, message),
        None => issues.error(IssuePlace::File(spec.file), message),
    };
    issue.help("add an [[account]] table, or a file with one in accounts-dir".to_owned());
}

/// Where there is no `passwords-dir`, an account names the source of its password.
fn missing_password(account: &AccountSpec, issues: &mut Issues) {
    let password = match &account.login {
        Some(LoginSpec::Admin { password, .. }) => password,
        // RingEX has no password, and a login that could not be read has its error already.
        Some(LoginSpec::RingEx { .. }) | None => return,
    };
    match password {
        OwnSecret::Absent => {
            issues
                .error(account.span, "`password` is missing in [[account]]")
                .help(sources("password"));
        }
        // A faulty source has its error since it was read.
        OwnSecret::Faulty | OwnSecret::Source(_) => {}
    }
}

/// `every` counts from the last rotation, so a time zone beside it is a misunderstanding.
fn timezone_without_cron(account: &AccountSpec, issues: &mut Issues) {
    let schedule = &account.tuning.schedule;
    // With `cron` beside `every` in one table there is an error already.
    if let (None, Some(_), Some(timezone)) = (&schedule.cron, &schedule.every, &schedule.timezone) {
        issues.warning(timezone.span, "`timezone` has no effect on `every`");
    }
}

/// An account whose tokens are delivered nowhere, or not for certain.
fn delivery(account: &AccountSpec, issues: &mut Issues) {
    let is_optional = |sink: &SinkSpec| {
        // Required is the default, so only a written `false` makes a sink optional.
        let required = sink.required.as_ref();
        required.is_some_and(|required| !required.value)
    };
    if account.sinks.is_empty() {
        let message = "no sink: the tokens of this account are not delivered anywhere";
        issues
            .warning(account.span, message)
            .help("add an [[account.sink]] table".to_owned());
    } else if account.sinks.iter().all(is_optional) {
        let message =
            "no sink is required: a token counts as delivered even if no sink has received it";
        issues
            .warning(account.span, message)
            .help("leave `required = false` out of one sink".to_owned());
    }
}
