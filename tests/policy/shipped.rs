//! The shipped policy and the examples: they load, and what they say of defaults is so.

use super::{Setup, accepted, example};
use ringcx_rotator::policy;
use ringcx_rotator::secret::SecretSource;

const SHIPPED: &str = include_str!("../../config/ringcx-rotator.toml");

/// Options are commented out with a `#` and no blank, explanations with a blank.
fn is_option(line: &str) -> bool {
    line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
}

/// With every option set.
pub fn uncommented(text: &str) -> String {
    text.lines()
        .map(|line| if is_option(line) { &line[1..] } else { line })
        .map(|line| format!("{line}\n"))
        .collect()
}

#[track_caller]
fn load(text: &str) -> Result<policy::Loaded, policy::PolicyErrors> {
    let setup = Setup::new(text);
    std::fs::create_dir(setup.directory.path().join("accounts.d")).unwrap();
    let mut loaded = setup.load()?;
    // The directory is another each time; what is in it is the same.
    loaded.policy.path = "/config.toml".into();
    loaded.policy.daemon.accounts_dir = loaded
        .policy
        .daemon
        .accounts_dir
        .map(|path| path.strip_prefix(setup.directory.path()).unwrap().to_owned());
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
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| is_option(line) && line.contains(" = "))
    {
        let without: String = set
            .lines()
            .enumerate()
            .filter(|(n, _)| *n != number)
            .map(|(_, line)| format!("{line}\n"))
            .collect();
        if load(&without).ok().is_none_or(|loaded| loaded.policy != whole) {
            no_default.push(line.trim_start_matches('#').split(" = ").next().unwrap());
        }
    }
    assert_eq!(
        no_default,
        [
            // Of the daemon and of RingCX.
            "accounts-dir",
            "ca-file",
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
            "name",
            "type",
            "argv",
            "environment",
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
        ]
    );
}

#[test]
fn the_examples_load() {
    for name in [
        "minimal.toml",
        "ringex.toml",
        "sink-auth-config.toml",
        "sink-command.toml",
        "sink-file.toml",
        "sink-template.toml",
        "sink-env-file.toml",
        "sink-webhook.toml",
        "several-accounts.toml",
    ] {
        let loaded = policy::load(&example("examples").join(name)).unwrap_or_else(|errors| {
            panic!("{}", errors.render(policy::Color::Never, None));
        });
        assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
    }
    let several = policy::load(&example("examples/several-accounts.toml")).unwrap().policy;
    let names: Vec<&str> = several.accounts.iter().map(|account| account.name.as_str()).collect();
    assert_eq!(names, ["sales-ivr", "support-ivr", "dialer"]);
}

#[test]
fn every_example_is_tested() {
    let mut found: Vec<String> = std::fs::read_dir(example("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "accounts.d",
            "minimal.toml",
            "ringex.toml",
            "several-accounts.toml",
            "sink-auth-config.toml",
            "sink-command.toml",
            "sink-env-file.toml",
            "sink-file.toml",
            "sink-template.toml",
            "sink-webhook.toml",
            "templates",
        ]
    );
}

#[test]
fn the_least_policy_has_the_stated_defaults() {
    let minimal = super::minimal();
    let shipped = accepted(SHIPPED).policy;
    assert_eq!(minimal.daemon, shipped.daemon);
    assert_eq!(minimal.ringcx, shipped.ringcx);
    assert_eq!(minimal.accounts[0].retention, shipped.accounts[0].retention);
}
