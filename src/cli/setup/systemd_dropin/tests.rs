//! The drop-in, by policy and machine.

#![expect(
    clippy::disallowed_methods,
    reason = "a policy that a test writes has no reader yet"
)]

use super::*;
use crate::cli::setup::unit::requirements::PathInfo;
use crate::cli::setup::unit::tests::Made;

const DIRECTORY: PathInfo = PathInfo {
    uid: 990,
    gid: 990,
    mode: 0o750,
    is_directory: true,
};

fn machine() -> Made {
    Made {
        groups: [("ringcx-rotator", 990), ("ringcx-token", 991), ("ivr", 700)].into(),
        users: [("ringcx-rotator", 990), ("asterisk", 650)].into(),
        files: [("/srv/ivr", DIRECTORY)].into(),
        ..Made::default()
    }
}

fn policy(account: &str, rest: &str) -> (tempfile::TempDir, Policy) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    std::fs::write(
        &path,
        format!(
            "[[account]]\nname = \"sales\"\nusername = \"u\"\n\
             platform-id = \"aws80\"\n{account}\n{rest}"
        ),
    )
    .unwrap();
    let loaded = rotator_policy::load(&path).unwrap_or_else(|errors| {
        panic!("{}", errors.render(rotator_policy::Color::Never, None));
    });
    let mut policy = loaded.policy;
    policy.path = crate::cli::DEFAULT_CONFIG.into();
    (directory, policy)
}

fn sink(name: &str, more: &str) -> String {
    format!("[[account.sink]]\nname = \"{name}\"\ntype = \"file\"\n{more}\n")
}

const PASSWORD: &str = "password = { file = \"/etc/ringcx-rotator/password\" }";

/// The lines that count, of the drop-in for this.
#[track_caller]
fn check(account: &str, rest: &str, machine: &Made, expected: &[&str]) -> String {
    let (_directory, policy) = policy(account, rest);
    let text = DropIn::of(&policy, machine).text();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("# ") && !line.is_empty())
        .collect();
    assert_eq!(lines, [&["[Service]"], expected].concat(), "{text}");
    text
}

#[test]
fn a_policy_in_the_default_layout_needs_nothing() {
    let account = format!(
        "{PASSWORD}\n{}",
        sink(
            "token",
            "path = \"/run/ringcx-rotator/tokens/sales\"\nmode = \"0640\""
        )
    );
    let text = check(&account, "", &machine(), &[]);
    assert!(text.contains("# Nothing: "), "{text}");
}

#[test]
fn sinks_elsewhere_groups_and_credentials_are_named_each_with_its_reason() {
    let account = format!(
        "password = {{ credential = \"sales\" }}\n{}{}",
        sink(
            "token",
            "path = \"/srv/ivr/token\"\nmode = \"0640\"\ngroup = \"ivr\""
        ),
        sink("other", "path = \"/srv/ivr/other\""),
    );
    let mut machine = machine();
    let file = PathInfo {
        uid: 0,
        gid: 0,
        mode: 0o600,
        is_directory: false,
    };
    machine
        .files
        .insert("/etc/ringcx-rotator/credentials/sales", file);
    let text = check(
        &account,
        "",
        &machine,
        &[
            "ReadWritePaths=-/srv/ivr",
            "SupplementaryGroups=ivr",
            "LoadCredential=sales:/etc/ringcx-rotator/credentials/sales",
        ],
    );
    assert!(
        text.contains("# sales/token, sales/other: files are written there"),
        "{text}"
    );
    // An encrypted one is preferred.
    machine
        .files
        .insert("/etc/ringcx-rotator/credentials/sales.cred", file);
    check(
        &account,
        "",
        &machine,
        &[
            "ReadWritePaths=-/srv/ivr",
            "SupplementaryGroups=ivr",
            "LoadCredentialEncrypted=sales:/etc/ringcx-rotator/credentials/sales.cred",
        ],
    );
}

#[test]
fn what_would_keep_the_service_from_starting_is_a_comment_and_a_note() {
    let account = format!(
        "password = {{ credential = \"sales\" }}\n{}",
        sink(
            "token",
            "path = \"/srv/new/token\"\nmode = \"0640\"\ngroup = \"nobody-has-it\""
        )
    );
    let text = check(
        &account,
        "",
        &machine(),
        &[
            "ReadWritePaths=-/srv/new",
            "#SupplementaryGroups=nobody-has-it",
            "#LoadCredential=sales:/etc/ringcx-rotator/credentials/sales",
        ],
    );
    for said in [
        "install -d -o ringcx-rotator",
        "groupadd --system",
        "install -m 0600 /dev/stdin",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let (_directory, policy) = policy(&account, "");
    assert_eq!(DropIn::of(&policy, &machine()).notes().len(), 3);
}

#[test]
fn an_owner_takes_capabilities_and_a_group_takes_none() {
    let group = format!(
        "{PASSWORD}\n{}",
        sink(
            "token",
            "path = \"/run/ringcx-rotator/t\"\nmode = \"0640\"\ngroup = \"ivr\""
        )
    );
    let text = check(&group, "", &machine(), &["SupplementaryGroups=ivr"]);
    assert!(!text.contains("CAP_"), "{text}");

    let owner = |more: &str| {
        format!(
            "{PASSWORD}\n{}",
            sink(
                "token",
                &format!("path = \"/run/ringcx-rotator/t\"\nowner = \"asterisk\"\n{more}")
            )
        )
    };
    let given = [
        "CapabilityBoundingSet=CAP_CHOWN",
        "AmbientCapabilities=CAP_CHOWN",
        "CapabilityBoundingSet=CAP_FOWNER",
        "AmbientCapabilities=CAP_FOWNER",
    ];
    let read = [
        "CapabilityBoundingSet=CAP_DAC_READ_SEARCH",
        "AmbientCapabilities=CAP_DAC_READ_SEARCH",
    ];
    check(&owner(""), "", &machine(), &[&given[..], &read].concat());
    check(
        &owner("mode = \"0640\"\ngroup = \"ivr\""),
        "",
        &machine(),
        &[&["SupplementaryGroups=ivr"][..], &given].concat(),
    );
    check(&owner("mode = \"0644\""), "", &machine(), &given);
    let us = owner("").replace("asterisk", "ringcx-rotator");
    check(&us, "", &machine(), &[]);
    check(
        &us.replace("ringcx-rotator\"\n", "990\"\n"),
        "",
        &machine(),
        &[],
    );
}

#[test]
fn homes_a_private_tmp_and_other_places_are_opened_as_little_as_can_be() {
    let account = format!(
        "password = {{ file = \"/root/password\" }}\n{}{}{}",
        sink("home", "path = \"/home/ivr/token dir/token\""),
        sink("tmp", "path = \"/tmp/ivr/token\""),
        sink("straight", "path = \"/tmp/token\""),
    ) + &sink("colon", "path = \"/home/ivr:2/token\"");
    check(
        &account,
        "[daemon]\nstate-dir = \"/srv/ivr\"",
        &machine(),
        &[
            "ReadWritePaths=-/srv/ivr",
            "ProtectHome=tmpfs",
            "BindPaths=\"-/home/ivr/token dir\"",
            "BindPaths=\"-/home/ivr:2\"",
            "BindReadOnlyPaths=-/root/password",
            "PrivateTmp=no",
            "BindPaths=-/tmp/ivr",
        ],
    );
}

#[test]
fn a_directory_that_the_service_may_not_write_to_is_told_of() {
    let account = format!(
        "{PASSWORD}\n{}",
        sink(
            "token",
            "path = \"/srv/ivr/token\"\nmode = \"0640\"\ngroup = \"ivr\""
        )
    );
    for (found, may) in [
        (DIRECTORY, true),
        (
            PathInfo {
                uid: 0,
                gid: 0,
                mode: 0o755,
                ..DIRECTORY
            },
            false,
        ),
        (
            PathInfo {
                uid: 0,
                gid: 700,
                mode: 0o2770,
                ..DIRECTORY
            },
            true,
        ),
        (
            PathInfo {
                uid: 0,
                gid: 701,
                mode: 0o2770,
                ..DIRECTORY
            },
            false,
        ),
        (
            PathInfo {
                uid: 0,
                gid: 0,
                mode: 0o777,
                ..DIRECTORY
            },
            true,
        ),
        (
            PathInfo {
                mode: 0o550,
                ..DIRECTORY
            },
            false,
        ),
    ] {
        let mut machine = machine();
        machine.files.insert("/srv/ivr", found);
        let (_directory, policy) = policy(&account, "");
        let notes = DropIn::of(&policy, &machine).notes();
        assert_eq!(
            notes.iter().any(|note| note.contains("setfacl")),
            !may,
            "{found:?}: {notes:?}"
        );
    }
}

#[test]
fn printed_over_itself_it_loses_nothing_and_then_nothing_is_lacking() {
    let account = format!(
        "password = {{ credential = \"sales\" }}\n{}{}",
        sink(
            "token",
            "path = \"/srv/ivr/token\"\nmode = \"0640\"\ngroup = \"ivr\"\nowner = \"asterisk\""
        ),
        sink("home", "path = \"/home/ivr/100% of it/token\""),
    );
    let mut machine = machine();
    let file = PathInfo {
        uid: 0,
        gid: 0,
        mode: 0o600,
        is_directory: false,
    };
    machine
        .files
        .insert("/etc/ringcx-rotator/credentials/sales", file);
    let (_directory, policy) = policy(
        &account,
        "[alerts.email]\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n\
         host = \"h\"\nca-file = \"/tmp/ca.pem\"",
    );
    let dropin = DropIn::of(&policy, &machine);
    assert!(dropin.lines.len() >= 7);
    let unit = Unit::shipped().with(&dropin.text());
    for (what, whose) in Needs::of(&policy, unit.user(), &machine).iter() {
        assert_eq!(unit.missing(what, &machine), [], "{whose:?}");
    }
}

#[test]
fn it_is_written_as_a_whole_and_for_all_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory
        .path()
        .join("ringcx-rotator.service.d/policy.conf");
    write(&path, "old and longer").unwrap();
    write(&path, "new").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o644
    );
    assert_eq!(
        std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
        1
    );
}

/// Two sinks that have units told, and one that has a program run.
fn telling() -> String {
    let place = "path = \"/run/ringcx-rotator";
    format!(
        "{PASSWORD}\n{}{}{}{}",
        sink(
            "one",
            &format!("{place}/1\"\nnotify = {{ unit = \"dialer.service\" }}")
        ),
        sink(
            "two",
            &format!("{place}/2\"\nnotify = {{ unit = \"dialer.service\", action = \"restart\" }}")
        ),
        sink(
            "three",
            &format!(
                "{place}/3\"\nnotify = {{ unit = \"a\\\\x2db@1.timer\", action = \"start\" }}"
            )
        ),
        sink(
            "four",
            &format!("{place}/4\"\nnotify = {{ argv = [\"/usr/local/bin/new-token\"] }}")
        ),
    )
}

#[test]
fn units_that_are_to_be_told_take_a_rule_that_names_each_with_its_verbs_and_the_drop_in_says_so() {
    let text = check(&telling(), "", &machine(), &[]);
    for said in [
        "polkit must let",
        "dialer.service (sales/one, sales/two)",
        "systemd-dropin --polkit --write",
    ] {
        assert!(text.replace("\n#", "").contains(said), "{said}: {text}");
    }
    let (_directory, policy) = policy(&telling(), "");
    let dropin = DropIn::of(&policy, &machine());
    let rule = dropin.rule.text(&policy.path);
    let allowed = "    var allowed = {\n\
        \x20       // sales/three\n        \"a\\\\x2db@1.timer\": [\"start\"],\n\
        \x20       // sales/one, sales/two\n\
        \x20       \"dialer.service\": [\"reload-or-try-restart\",\"restart\"],\n    };\n";
    assert!(rule.contains(allowed), "{rule}");
    assert!(
        rule.contains("subject.user == \"ringcx-rotator\""),
        "{rule}"
    );
    assert_eq!(rule.matches("polkit.Result.YES").count(), 1, "{rule}");
    assert!(!rule.contains("new-token"), "{rule}");
    let json = serde_json::to_value(&dropin).unwrap();
    assert_eq!(
        json["polkit"][1]["verbs"][0], "reload-or-try-restart",
        "{json}"
    );
}

#[test]
fn a_policy_that_has_no_unit_told_takes_no_rule_and_the_packaged_one_allows_nothing() {
    let (_directory, policy) = policy(
        &format!(
            "{PASSWORD}\n{}",
            sink("t", "path = \"/run/ringcx-rotator/t\"")
        ),
        "",
    );
    let dropin = DropIn::of(&policy, &machine());
    assert!(dropin.rule.is_empty() && !dropin.text().contains("polkit"));
    assert_eq!(serde_json::to_value(&dropin).unwrap().get("polkit"), None);
    let code = |text: &str| {
        text.split_once("polkit.addRule")
            .map(|(_, code)| code.to_owned())
            .unwrap()
    };
    let packaged = include_str!("../../../../systemd/ringcx-rotator.rules");
    assert_eq!(code(&dropin.rule.text(&policy.path)), code(packaged));
    assert!(packaged.contains("var allowed = {\n    };\n"), "{packaged}");
}

#[test]
fn what_a_consumer_acknowledges_in_must_be_seen() {
    let heard = "path = \"/run/ringcx-rotator/t\"\nacknowledge = { path = \"/home/ivr/used\" }";
    check(
        &format!("{PASSWORD}\n{}", sink("t", heard)),
        "",
        &machine(),
        &["ProtectHome=tmpfs", "BindReadOnlyPaths=-/home/ivr"],
    );
}
