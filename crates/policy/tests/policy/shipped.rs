//! The shipped policy and the examples: they load, and what they say of defaults is so.

use std::collections::BTreeMap;

use super::{Setup, accepted, repository};
use rotator_core::config::SinkKind;
use rotator_core::event::GenerationNo;
use rotator_core::secret::{SecretSource, Token};
use rotator_core::template::{RenderedToken, Values};

const SHIPPED: &str = include_str!("../../../../config/ringcx-rotator.toml");

/// Options are commented out with a `#` and no blank, explanations with a blank.
fn is_option(line: &str) -> bool {
    line.strip_prefix('#')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
}

/// With every option set.
pub fn uncommented(text: &str) -> String {
    text.lines()
        .map(|line| if is_option(line) { &line[1..] } else { line })
        .map(|line| format!("{line}\n"))
        .collect()
}

#[track_caller]
fn load(text: &str) -> Result<rotator_policy::Loaded, rotator_policy::PolicyErrors> {
    let setup = Setup::new(text);
    std::fs::create_dir(setup.directory.path().join("accounts.d")).unwrap();
    let mut loaded = setup.load()?;
    // The directory is another each time; what is in it is the same.
    loaded.policy.path = "/config.toml".into();
    loaded.policy.daemon.accounts_dir = loaded.policy.daemon.accounts_dir.map(|path| {
        path.strip_prefix(setup.directory.path())
            .unwrap()
            .to_owned()
    });
    for account in &mut loaded.policy.accounts {
        for source in account.login.secrets_mut() {
            if let SecretSource::File(path) = source {
                *path = path.file_name().unwrap().into();
            }
        }
    }
    Ok(loaded)
}

#[test]
fn the_shipped_policy_loads_as_it_is() {
    let loaded = accepted(SHIPPED);
    assert_eq!(loaded.policy.accounts.len(), 1);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn the_shipped_policy_loads_with_every_option_set() {
    let loaded = load(&uncommented(SHIPPED)).unwrap();
    let policy = &loaded.policy;
    assert_eq!(policy.accounts.len(), 3);
    assert_eq!(policy.accounts[0].sinks.len(), 6);
    assert!(policy.alerts.email.is_some());
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn what_the_shipped_policy_calls_a_default_is_one() {
    let set = uncommented(SHIPPED);
    let whole = load(&set).unwrap().policy;
    let lines: Vec<&str> = SHIPPED.lines().collect();
    let mut no_default = Vec::new();
    for (number, line) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| is_option(line) && line.contains(" = "))
    {
        let without: String = set
            .lines()
            .enumerate()
            .filter(|(n, _)| *n != number)
            .map(|(_, line)| format!("{line}\n"))
            .collect();
        if load(&without)
            .ok()
            .is_none_or(|loaded| loaded.policy != whole)
        {
            no_default.push(line.trim_start_matches('#').split(" = ").next().unwrap());
        }
    }
    assert_eq!(
        no_default,
        [
            // Of the daemon and of RingCX.
            "accounts-dir",
            "ca-file",
            // Of the way to all of them.
            "proxy",
            "proxy-username",
            "proxy-password",
            "no-proxy",
            // Of the sinks.
            "owner",
            "group",
            "notify",
            "acknowledge",
            "name",
            "type",
            "path",
            "key",
            "name",
            "type",
            "url",
            "secret",
            "headers",
            "proxy",
            "name",
            "type",
            "argv",
            "environment",
            "read-back",
            "name",
            "type",
            "account-id",
            "auth-config-id",
            "name",
            "type",
            "path",
            "inline",
            // Of the second account.
            "name",
            "username",
            "password",
            "platform-id",
            "schedule.every",
            "name",
            "type",
            "path",
            // Of the third account.
            "name",
            "login",
            "client-id",
            "client-secret",
            "jwt",
            "name",
            "type",
            "path",
            // Of mail.
            "from",
            "to",
            "host",
            "username",
            "password",
            "ca-file",
            "helo",
        ]
    );
}

/// A policy for each use, the page that goes through it, and its accounts.
const EXAMPLES: [(&str, &str, &[&str]); 10] = [
    (
        "accounts.toml",
        "example-accounts.md",
        &["sales-ivr", "support-ivr", "dialer"],
    ),
    ("crm.toml", "example-crm.md", &["crm"]),
    ("dialer.toml", "example-dialer.md", &["dialer"]),
    ("ivr.toml", "example-ivr.md", &["sales-ivr", "support-ivr"]),
    ("minimal.toml", "../README.md", &["sales-ivr"]),
    ("nginx.toml", "example-nginx.md", &["gateway"]),
    ("script.toml", "reading-the-token.md", &["sales-ivr"]),
    (
        "services.toml",
        "example-services.md",
        &["dialer", "ivr", "loader"],
    ),
    ("store.toml", "commands.md", &["dialer"]),
    (
        "templates.toml",
        "templates.md",
        &["sales-ivr", "support-ivr"],
    ),
];

#[test]
fn every_example_loads_without_a_warning_and_has_the_accounts_that_it_shows() {
    for (name, _, accounts) in EXAMPLES {
        let loaded = rotator_policy::load(&repository("config/examples").join(name))
            .unwrap_or_else(|errors| {
                panic!("{}", errors.render(rotator_policy::Color::Never, None));
            });
        assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
        let names: Vec<&str> = loaded
            .policy
            .accounts
            .iter()
            .map(|account| account.name.as_str())
            .collect();
        assert_eq!(names, accounts, "{name}");
    }
}

/// What a token of each account looks like, and nobody else's.
fn shown(account: &str, number: u64) -> RenderedToken {
    RenderedToken {
        token: Token::try_new(&format!("aws80:{account}-2353445-bc74-af1a")).unwrap(),
        generation: GenerationNo(number),
        minted_at: "2026-03-29T02:30:00Z".parse().unwrap(),
    }
}

#[test]
fn every_template_of_the_examples_makes_a_file_with_the_tokens_in_it() {
    let mut rendered = 0;
    for (name, ..) in EXAMPLES {
        let policy = rotator_policy::load(&repository("config/examples").join(name))
            .unwrap()
            .policy;
        for account in &policy.accounts {
            for sink in &account.sinks {
                let SinkKind::Template(file) = &sink.kind else {
                    continue;
                };
                let own = shown(&account.name, 1);
                let others: BTreeMap<_, _> = file
                    .accounts
                    .iter()
                    .map(|other| (other.clone(), shown(other, 2)))
                    .collect();
                let values = Values {
                    account: &account.name,
                    own: &own,
                    others: &others,
                };
                let bytes = file
                    .template
                    .render(&values)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                for token in others.values().chain([&own]) {
                    // A Java properties file has its colons escaped.
                    let plain = text.replace("\\:", ":");
                    assert!(
                        plain.contains(token.token.expose()),
                        "{name}, {}: {text}",
                        sink.name
                    );
                }
                if file
                    .path
                    .extension()
                    .is_some_and(|extension| extension == "json")
                {
                    serde_json::from_str::<serde_json::Value>(&text).unwrap();
                }
                rendered += 1;
            }
        }
    }
    assert_eq!(rendered, 5, "a template was added or is gone");
}

#[test]
fn every_example_is_tested_and_has_a_page_that_leads_to_it() {
    let entries = std::fs::read_dir(repository("config/examples")).unwrap();
    let mut found: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let beside = ["accounts.d", "templates"];
    let mut known: Vec<&str> = EXAMPLES
        .iter()
        .map(|(name, ..)| *name)
        .chain(beside)
        .collect();
    known.sort_unstable();
    assert_eq!(found, known);
    let docs = repository("docs");
    for (name, page, _) in EXAMPLES {
        let text = std::fs::read_to_string(docs.join(page)).unwrap();
        assert!(
            text.contains(&format!("config/examples/{name}")),
            "{page} does not lead to {name}"
        );
    }
    // A template that no policy names is dead.
    for entry in std::fs::read_dir(repository("config/examples/templates")).unwrap() {
        let name = format!("templates/{}", entry.unwrap().file_name().to_str().unwrap());
        let named = |(policy, ..): &(&str, &str, &[&str])| {
            std::fs::read_to_string(repository("config/examples").join(policy))
                .unwrap()
                .contains(&name)
        };
        assert!(EXAMPLES.iter().any(named), "no policy names {name}");
    }
}

#[test]
fn the_least_policy_has_the_stated_defaults() {
    let minimal = super::minimal();
    let shipped = accepted(SHIPPED).policy;
    assert_eq!(minimal.daemon, shipped.daemon);
    assert_eq!(minimal.ringcx, shipped.ringcx);
    assert_eq!(minimal.accounts[0].retention, shipped.accounts[0].retention);
}
