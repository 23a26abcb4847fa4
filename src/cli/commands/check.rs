//! `check`: is the policy valid, and with `--online`, would it work.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use crate::cli::args::Json;
use crate::cli::context;
use crate::cli::setup::credentials;
use crate::cli::setup::unit::Unit;
use crate::cli::setup::unit::requirements::{Needs, RealHost};
use crate::clock::Clock;
use crate::console::{Exit, Format, Screen, Tone, block_on};
use crate::mail::Mailer;
use crate::outbound::{OutboundRoute, RouteError};
use crate::ringcx::http::HttpApi;
use crate::ringcx::{Auth, TokenApi};
use crate::sinks::{AnySink, RingcxAccess, Sink, SinkContext};
use rotator_core::config::{AccountPolicy, LoginPolicy, Policy};
use rotator_core::secret::Secret;
use rotator_policy::{Diagnostic, Loaded, load};

mod login;
use login::LogIn;

/// Arguments of `check`.
#[derive(Args)]
pub struct CheckArgs {
    /// Also log in, list the tokens, check that every sink can be written, and connect to the SMTP
    /// server; changes nothing
    #[arg(long)]
    online: bool,
    #[command(flatten)]
    json: Json,
}

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Only the policy and the files that it names.
    File,
    /// RingCX, sinks and the SMTP server too.
    Online,
}

/// What `check --json` prints. Its fields are a promise to scripts.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    diagnostics: &'a [Diagnostic],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    probes: Vec<Probe>,
}

/// The result of one check.
#[derive(Serialize)]
struct Probe {
    /// The part of the policy: `sales-ivr`, `sales-ivr/token-file` or `alerts.email`.
    what: String,
    ok: bool,
    /// What was found, or the error.
    found: String,
}

pub fn check(config: &Path, args: &CheckArgs, screen: &Screen) -> Exit {
    let reach = if args.online {
        Reach::Online
    } else {
        Reach::File
    };
    check_policy(config, reach, args.json.format(), screen)
}

/// Checks a policy and shows what was found.
pub fn check_policy(config: &Path, reach: Reach, format: Format, screen: &Screen) -> Exit {
    let mut loaded = match load(config) {
        Ok(loaded) => loaded,
        Err(errors) => {
            match format {
                Format::Text => screen.policy_errors(&errors),
                // Also as JSON on stdout: a script reads one document whatever the result is.
                Format::Json => screen.json(&Report {
                    ok: false,
                    diagnostics: errors.diagnostics(),
                    probes: Vec::new(),
                }),
            }
            return Exit::Policy;
        }
    };
    // Added to the policy's own warnings, so that `--json` has them too.
    loaded.warnings.extend(unit_warnings(&loaded.policy));
    // Before the probes, which may take a while.
    if format == Format::Text {
        screen.policy_warnings(&loaded);
    }
    let probes = match reach {
        Reach::File => Vec::new(),
        Reach::Online => match probe_with_credentials(&mut loaded, screen) {
            Ok(probes) => probes,
            Err(exit) => return exit,
        },
    };
    let ok = probes.iter().all(|probe| probe.ok);
    match format {
        Format::Text => show(config, &loaded.policy, &probes, screen),
        Format::Json => screen.json(&Report {
            ok,
            diagnostics: &loaded.warnings,
            probes,
        }),
    }
    if ok { Exit::Done } else { Exit::Failing }
}

fn show(config: &Path, policy: &Policy, probes: &[Probe], screen: &Screen) {
    for probe in probes {
        if probe.ok {
            let ok = screen.palette().paint(Tone::Good, "ok");
            screen.print(&format!("{ok} {}: {}", probe.what, probe.found));
        } else {
            screen.error(format!("{}: {}", probe.what, probe.found));
        }
    }
    let accounts = match policy.accounts.len() {
        1 => "1 account".to_owned(),
        count => format!("{count} accounts"),
    };
    let valid = screen.palette().paint(Tone::Good, "is valid");
    screen.print(&format!("{} {valid}: {accounts}", config.display()));
}

/// Warnings where the installed unit does not allow what the policy needs. None if no unit is
/// installed, or if it reads another policy.
fn unit_warnings(policy: &Policy) -> Vec<Diagnostic> {
    let Some(unit) = Unit::installed().filter(|unit| unit.config() == policy.path) else {
        return Vec::new();
    };
    let needs = Needs::of(policy, unit.user(), &RealHost);
    let missing = needs.iter().flat_map(|(requirement, users)| {
        unit.missing(requirement, &RealHost)
            .into_iter()
            .map(move |missing| format!("{}: {missing}", users.join(", ")))
    });
    let help = "run `ringcx-rotator systemd-dropin --write`, then `systemctl daemon-reload` and \
                `systemctl restart ringcx-rotator`";
    missing
        .map(|message| Diagnostic::warning(&policy.path, message, help.to_owned()))
        .collect()
}

fn probe_with_credentials(loaded: &mut Loaded, screen: &Screen) -> Result<Vec<Probe>, Exit> {
    // Holds the decrypted credentials until the probes are done.
    let _decrypted = credentials::resolve_unit_credentials(&mut loaded.policy)
        .map_err(|error| context::failing(error, screen))?;
    block_on(probe(loaded, screen))
}

async fn probe(loaded: &Loaded, screen: &Screen) -> Result<Vec<Probe>, Exit> {
    let policy = &loaded.policy;
    let api = HttpApi::try_new(&policy.ringcx, Clock::system());
    let api = api.map_err(|error| context::failing(error, screen))?;
    let mut probes = Vec::new();
    let logins = LogIn::new(&api, policy, screen).await;
    // One after the other: logins share limits, and the output keeps the order of the policy.
    for account in &policy.accounts {
        let (login_probes, access) = probe_login(&logins, &api, account).await;
        probes.extend(login_probes);
        // Without a login the sinks inside RingCX report that they could not be checked.
        let ringcx = access.as_ref().map(|access| RingcxAccess {
            api: &api,
            auth: Auth::Bearer(access),
        });
        for sink in &account.sinks {
            let checked = AnySink::new(sink)
                .preflight(SinkContext {
                    ringcx,
                    ..SinkContext::default()
                })
                .await;
            let error = checked.as_ref().err().map(ToString::to_string);
            probes.push(Probe {
                what: format!("{}/{}", account.name, sink.name),
                ok: checked.is_ok(),
                found: error.unwrap_or_else(|| format!("can be written: {}", sink.kind.target())),
            });
        }
    }
    if let Some(email) = &policy.alerts.email {
        let greeted = Mailer::new(email.clone()).greet().await;
        let error = greeted.as_ref().err().map(ToString::to_string);
        probes.push(Probe {
            what: "alerts.email".to_owned(),
            ok: greeted.is_ok(),
            found: error.unwrap_or_else(|| {
                format!(
                    "{}:{} answers and accepts the connection",
                    email.host, email.port
                )
            }),
        });
    }
    probes.extend(routes(&api, policy));
    Ok(probes)
}

/// The way to each host that is called over HTTP.
fn routes(api: &HttpApi, policy: &Policy) -> Vec<Probe> {
    let [ringcx, ringex] = api.routes();
    let by_ringex = policy
        .accounts
        .iter()
        .any(|account| matches!(account.login, LoginPolicy::RingEx(_)));
    let mut routes = vec![ringcx];
    routes.extend(by_ringex.then_some(ringex));
    let probe = |host: &str, way: Result<String, String>| Probe {
        what: host.to_owned(),
        ok: way.is_ok(),
        found: way.map_or_else(|error| error, |way| format!("is reached {way}")),
    };
    let shown = |way: Result<&OutboundRoute, &RouteError>| {
        way.map(ToString::to_string).map_err(ToString::to_string)
    };
    let mut probes: Vec<Probe> = routes
        .into_iter()
        .map(|(host, way)| probe(host, shown(way)))
        .collect();
    for account in &policy.accounts {
        for sink in &account.sinks {
            if let Some((url, network)) = sink.kind.calls() {
                let way = OutboundRoute::by_environment(url, network);
                let what = format!("{}/{}", account.name, sink.name);
                probes.push(probe(&what, shown(way.as_ref())));
            }
        }
    }
    probes
}

/// Logs in once, lists the tokens and the RingCX accounts that this login can see. Also returns the
/// access token, for the sinks that write into RingCX.
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
    // The login worked, but this is the warning that precedes a refusal of the password.
    if login.password_reset {
        probes.push(probe(
            false,
            "RingCX wants the password changed: it may stop working soon".to_owned(),
        ));
    }
    probes.push(match api.list(Auth::Bearer(&login.access)).await {
        Ok(listing) => {
            let mut found = format!("{} tokens on the server", listing.tokens.len());
            if listing.odd > 0 {
                found.push_str(&format!(
                    "; entries of its list that are not tokens: {}",
                    listing.odd
                ));
            }
            probe(true, found)
        }
        Err(error) => probe(false, format!("list: {error}")),
    });
    probes.push(match api.accounts(Auth::Bearer(&login.access)).await {
        Ok(seen) if seen.is_empty() => {
            probe(true, "this login can see no RingCX account".to_owned())
        }
        Ok(seen) => {
            let names: Vec<String> = seen
                .iter()
                .map(|account| format!("{} ({})", account.name, account.id))
                .collect();
            probe(true, format!("sees {}", names.join(", ")))
        }
        Err(error) => probe(false, format!("accounts: {error}")),
    });
    // Returned even if a list failed: the sinks can be checked with it.
    (probes, Some(login.access))
}
