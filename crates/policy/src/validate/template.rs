//! Templates, and the accounts that they name.
//!
//! A template is part of the policy: it is read when the policy is, parsed, and tried out with
//! made-up tokens, so that what is wrong with it is told by `check` and not by a rotation.

use std::collections::BTreeSet;
use std::path::Path;

use super::Context;
use super::account::{DEFAULT_MODE, file_access};
use crate::did_you_mean::did_you_mean;
use crate::source::{At, Span};
use crate::spec::{AccountSpec, SinkKindSpec, TemplateSpec};
use rotator_core::config::{AccountPolicy, PeerSink, TemplateSink};
use rotator_core::template::{LARGEST, Template};

pub(super) fn template(
    spec: TemplateSpec,
    account: Option<&str>,
    context: &mut Context<'_>,
) -> Option<TemplateSink> {
    let TemplateSpec {
        span,
        path,
        access,
        template,
        inline,
        accounts,
    } = spec;
    let mut access = file_access(access, context);
    access.mode.get_or_insert(DEFAULT_MODE);
    let accounts = accounts.map(|at| at.value).unwrap_or_default();
    let source = match (template, inline) {
        (Some(At { value: path, span }), None) => {
            let path = context.directory.join(path);
            match read(&path) {
                Ok(source) => Some(At {
                    value: source,
                    span,
                }),
                Err(why) => {
                    context
                        .issues
                        .error(span, format!("the template {}: {why}", path.display()));
                    None
                }
            }
        }
        (None, inline) => inline,
        (Some(_), Some(_)) => None,
    };
    let At {
        value: source,
        span: place,
    } = source?;
    let tried = Template::try_new(source).and_then(|template| {
        template
            .try_out(account.unwrap_or("account"), &accounts)
            .map(|it| (template, it))
    });
    let (template, trial) = match tried {
        Ok(tried) => tried,
        Err(error) => {
            let help = "there are token, account, generation, fingerprint, minted_at, and accounts[\"NAME\"] of \
                        those that `accounts` lists; filters are json, ini, properties, nginx, shell";
            context
                .issues
                .error(place, format!("the template, {error}"))
                .help(help.to_owned());
            return None;
        }
    };
    if trial.lacks_own {
        let message = "the template never writes the account's own token";
        context
            .issues
            .warning(span, message)
            .help("write `{{ token }}` where it belongs".to_owned());
    }
    for name in &trial.lacks {
        context.issues.warning(
            span,
            format!("`accounts` lists {name}, whose token the template never writes"),
        );
    }
    Some(TemplateSink {
        path: path?.value,
        access,
        template,
        accounts,
    })
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(LARGEST as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "not valid UTF-8".to_owned())
}

/// Whom a template names must be there, and be another.
pub(super) fn check_names(accounts: &[&AccountSpec], context: &mut Context<'_>) {
    let known: BTreeSet<&str> = accounts
        .iter()
        .filter_map(|account| account.name.as_ref())
        .map(|name| name.value.as_str())
        .collect();
    for account in accounts {
        let own = account.name.as_ref().map(|name| name.value.as_str());
        for sink in &account.sinks {
            let Some(SinkKindSpec::Template(TemplateSpec {
                accounts: Some(named),
                ..
            })) = &sink.kind
            else {
                continue;
            };
            check_list(named, own, &known, context);
        }
    }
}

fn check_list(
    named: &At<Vec<String>>,
    own: Option<&str>,
    known: &BTreeSet<&str>,
    context: &mut Context<'_>,
) {
    let At { value: names, span } = named;
    let mut seen = BTreeSet::new();
    for name in names {
        if Some(name.as_str()) == own {
            let help = "its own token is `token`, without `accounts`".to_owned();
            context
                .issues
                .error(
                    *span,
                    format!("`{name}` is the account of this sink itself"),
                )
                .help(help);
        } else if !known.contains(name.as_str()) {
            unknown(name, *span, known, context);
        } else if !seen.insert(name) {
            context
                .issues
                .error(*span, format!("`accounts` has `{name}` twice"));
        }
    }
}

fn unknown(name: &str, span: Span, known: &BTreeSet<&str>, context: &mut Context<'_>) {
    let help = did_you_mean(name, known.iter().copied());
    context
        .issues
        .error(span, format!("there is no account `{name}`"))
        .help(help);
}

/// Tells each account which required sinks of others hold a token of it.
pub(super) fn serve_elsewhere(accounts: &mut [AccountPolicy]) {
    let mut served: Vec<(String, PeerSink)> = Vec::new();
    for account in accounts.iter() {
        for sink in account.sinks.iter().filter(|sink| sink.required) {
            let elsewhere = PeerSink {
                account: account.name.clone(),
                sink: sink.name.clone(),
            };
            served.extend(
                sink.kind
                    .peers()
                    .iter()
                    .map(|peer| (peer.clone(), elsewhere.clone())),
            );
        }
    }
    for account in accounts {
        let own = served.iter().filter(|(peer, _)| *peer == account.name);
        account.peer_sinks = own.map(|(_, elsewhere)| elsewhere.clone()).collect();
    }
}
