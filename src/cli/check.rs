//! `check`: is the policy valid, and with `--online`, would it work.

use std::path::Path;

use serde::Serialize;

use super::unit::Unit;
use super::unit::requirements::{Needs, RealHost};
use super::{context, credentials};
use crate::clock::Clock;
use crate::console::{Exit, Palette, Screen, Tone, block_on};
use crate::mail::Mailer;
use crate::ringcx::http::HttpApi;
use crate::ringcx::{Auth, TokenApi};
use crate::sinks::{AnySink, RingcxAccess, Sink, SinkContext};
use rotator_core::config::{AccountPolicy, Policy};
use rotator_core::secret::Secret;
use rotator_policy::{Diagnostic, Loaded, load};

mod login;
use login::LogIn;

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Only the policy's files.
    File,
    /// RingCX, sinks and the SMTP server too.
    Online,
}

/// `check --json`
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    diagnostics: &'a [Diagnostic],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    probes: Vec<Probe>,
}

/// One thing that was tried.
#[derive(Serialize)]
struct Probe {
    /// `sales-ivr`, `sales-ivr/token-file`, `alerts.email`.
    what: String,
    ok: bool,
    /// What was found, or what is wrong.
    found: String,
}

pub fn check(config: &Path, reach: Reach, json: bool, screen: &Screen) -> Exit {
    let mut loaded = match load(config) {
        Ok(loaded) => loaded,
        Err(errors) => {
            if json {
                screen.json(&Report {
                    ok: false,
                    diagnostics: errors.diagnostics(),
                    probes: Vec::new(),
                });
            } else {
                screen.policy_errors(&errors);
            }
            return Exit::Policy;
        }
    };
    loaded.warnings.extend(unit_warnings(&loaded.policy));
    if !json {
        screen.policy_warnings(&loaded);
    }
    let probes = match reach {
        Reach::File => Vec::new(),
        Reach::Online => {
            // What was decrypted for this lasts as long as this.
            let _view = match credentials::resolve_unit_credentials(&mut loaded.policy) {
                Ok(view) => view,
                Err(error) => return context::failing(error, screen),
            };
            match block_on(probe(&loaded, screen)) {
                Ok(probes) => probes,
                Err(exit) => return exit,
            }
        }
    };
    let ok = probes.iter().all(|probe| probe.ok);
    if json {
        screen.json(&Report {
            ok,
            diagnostics: &loaded.warnings,
            probes,
        });
    } else {
        for probe in &probes {
            tell(probe, screen);
        }
        let accounts = match loaded.policy.accounts.len() {
            1 => "1 account".to_owned(),
            count => format!("{count} accounts"),
        };
        let valid = screen.palette().paint(Tone::Good, "is valid");
        screen.print(&format!("{} {valid}: {accounts}", config.display()));
    }
    if ok { Exit::Done } else { Exit::Failing }
}

/// What the installed unit keeps this policy from doing; nothing where there is none, or where it
/// is about another policy.
fn unit_warnings(policy: &Policy) -> Vec<Diagnostic> {
    let Some(unit) = Unit::installed().filter(|unit| unit.config() == policy.path) else {
        return Vec::new();
    };
    let needs = Needs::of(policy, unit.user(), &RealHost);
    let lacks = needs.iter().flat_map(|(what, whose)| {
        unit.lacks(what, &RealHost)
            .into_iter()
            .map(move |lack| format!("{}: {lack}", whose.join(", ")))
    });
    let help = "run `ringcx-rotator systemd-dropin --write`, then `systemctl daemon-reload` and \
                `systemctl restart ringcx-rotator`";
    lacks
        .map(|message| Diagnostic::warning(&policy.path, message, help.to_owned()))
        .collect()
}

fn tell(probe: &Probe, screen: &Screen) {
    let palette: Palette = screen.palette();
    if probe.ok {
        screen.print(&format!(
            "{} {}: {}",
            palette.paint(Tone::Good, "ok"),
            probe.what,
            probe.found
        ));
    } else {
        screen.error(format!("{}: {}", probe.what, probe.found));
    }
}

async fn probe(loaded: &Loaded, screen: &Screen) -> Result<Vec<Probe>, Exit> {
    let policy = &loaded.policy;
    let api = HttpApi::try_new(&policy.ringcx, Clock::system());
    let api = api.map_err(|error| context::failing(error, screen))?;
    let mut probes = Vec::new();
    let logins = LogIn::new(&api, policy, screen).await;
    for account in &policy.accounts {
        let (said, access) = probe_login(&logins, &api, account).await;
        probes.extend(said);
        let ringcx = access.as_ref().map(|access| RingcxAccess {
            api: &api,
            auth: Auth::Bearer(access),
        });
        for sink in &account.sinks {
            let looked = AnySink::new(sink)
                .preflight(SinkContext {
                    ringcx,
                    ..SinkContext::default()
                })
                .await;
            let found = looked.as_ref().err().map(ToString::to_string);
            probes.push(Probe {
                what: format!("{}/{}", account.name, sink.name),
                ok: looked.is_ok(),
                found: found.unwrap_or_else(|| format!("can be written: {}", sink.kind.target())),
            });
        }
    }
    if let Some(email) = &policy.alerts.email {
        let greeted = Mailer::new(email.clone()).greet().await;
        let found = greeted.as_ref().err().map(ToString::to_string);
        probes.push(Probe {
            what: "alerts.email".to_owned(),
            ok: greeted.is_ok(),
            found: found
                .unwrap_or_else(|| format!("{}:{} answers and lets us in", email.host, email.port)),
        });
    }
    Ok(probes)
}

/// Logs in, lists, and shows the RingCX accounts this login can see. One login, whatever comes of
/// it; what it gave is for the sinks that are inside RingCX.
async fn probe_login(
    logins: &LogIn<'_, HttpApi>,
    api: &HttpApi,
    account: &AccountPolicy,
) -> (Vec<Probe>, Option<Secret>) {
    let probe = |ok, found: String| Probe {
        what: account.name.clone(),
        ok,
        found,
    };
    let (login, who) = match logins.attempt(account).await {
        Ok(opened) => opened,
        Err(error) => return (vec![probe(false, error)], None),
    };
    let mut probes = vec![probe(true, format!("logged in as {who}"))];
    if login.password_reset {
        probes.push(probe(
            false,
            "RingCX wants the password changed: it may stop working soon".to_owned(),
        ));
    }
    probes.push(match api.list(Auth::Bearer(&login.access)).await {
        Ok(listing) => probe(
            true,
            format!("{} tokens on the server", listing.tokens.len()),
        ),
        Err(error) => probe(false, format!("list: {error}")),
    });
    probes.push(match api.accounts(Auth::Bearer(&login.access)).await {
        Ok(seen) if seen.is_empty() => {
            probe(true, "this login can see no RingCX account".to_owned())
        }
        Ok(seen) => {
            let names: Vec<String> = seen
                .iter()
                .map(|it| format!("{} ({})", it.name, it.id))
                .collect();
            probe(true, format!("sees {}", names.join(", ")))
        }
        Err(error) => probe(false, format!("accounts: {error}")),
    });
    (probes, Some(login.access))
}
