//! That no secret is ever shown, wherever in a faulty policy it stands.

use std::time::Duration;

use super::{ACCOUNT, Setup};
use rotator_core::config::LoginPolicy;
use rotator_core::secret::SecretSource;
use rotator_policy::Color;

/// Loads a faulty policy that holds the canary, and looks for it in everything that comes back.
#[track_caller]
fn check(text: &str) -> String {
    assert!(text.contains("canary"), "there must be something to leak");
    let setup = Setup::new(text);
    let errors = setup
        .load()
        .map(|_| ())
        .expect_err("the policy should be refused");
    let json = serde_json::to_string(errors.diagnostics()).unwrap();
    for told in [
        errors.render(Color::Never, None),
        errors.render(Color::Always, Some(300)),
        json,
        format!("{errors:?}"),
    ] {
        assert!(!told.contains("canary"), "{told}");
    }
    for diagnostic in errors.diagnostics() {
        assert!(
            diagnostic.line.is_some() && diagnostic.column.is_some(),
            "{diagnostic:?}"
        );
    }
    setup.shown()
}

/// The account, its password written so.
fn password(written: &str) -> String {
    ACCOUNT.replace("{ credential = \"sales-ivr\" }", written)
}

fn webhook(lines: &str) -> String {
    format!("{ACCOUNT}[[account.sink]]\nname = \"crm\"\ntype = \"webhook\"\n{lines}\n")
}

// proves: no-leak
#[test]
fn secrets_on_faulty_lines_are_not_shown() {
    let shown = check(include_str!("secrets.toml"));
    insta::assert_snapshot!(shown);
}

#[test]
fn a_syntax_error_shows_no_line() {
    let shown = check(&password("\"canary\" oops"));
    insta::assert_snapshot!(shown);
}

#[test]
fn a_password_in_the_policy_is_refused_in_any_guise() {
    for written in [
        "\"canary\"",
        "'canary'",
        "\"\"\"\ncanary\n\"\"\"",
        "'''canary\nsecond line'''",
        "[\"canary\"]",
        "{ value = \"canary\" }",
        "{ canary = \"x\" }",
        "{ file = \"/p\", env = \"canary\" }",
        "{ env = \"canary!\" }",
        "{ credential = \"canary/canary\" }",
        "{ credential = 5, canary = 6 }",
        "\"canary\" # canary",
        "7 # canary",
        "{ command = \"canary\" }",
        "{ command = [] } # canary",
        "{ command = [\"\", \"canary\"] }",
        "{ command = [\"./canary\"] }",
        "{ command = [\"pass\", 5, \"canary\"] }",
        "{ command = [\"pass\", \"canary\"], timeout = \"soon\" }",
        "{ command = [\"pass\", \"canary\"], timeout = \"0s\" }",
        "{ command = [\"pass\", \"canary\"], env = \"X\" }",
        "{ file = \"/canary\", timeout = \"5s\" }",
        "{ timeout = \"5s\" } # canary",
    ] {
        let shown = check(&password(written));
        assert!(shown.contains("config.toml:5:"), "{shown}");
    }
}

#[test]
fn the_four_sources_are_named() {
    let shown = check(&password("\"canary\""));
    for source in ["credential", "file", "env", "command"] {
        assert!(shown.contains(&format!("{{ {source} = ")), "{shown}");
    }
}

#[test]
fn a_syntax_error_anywhere_leaks_nothing() {
    for text in [
        password("\"canary"),
        password("canary"),
        password("{ file = \"canary\""),
        password("\"\"\"canary"),
        password("\"ca\\qcanary\""),
        ACCOUNT.replace("password = ", "password canary "),
        format!("{}canary = [\n", password("\"canary\"")),
        format!("{}\u{0}canary", password("\"canary\"")),
        password("\"canary\"\npassword = \"canary2\""),
        password("{ file = \"/p\", file = \"canary\" }"),
    ] {
        check(&text);
    }
}

#[test]
fn the_login_of_a_proxy_is_never_shown() {
    for lines in [
        "proxy = \"http://user:canary@proxy.example.com:3128\"",
        "proxy = \"canary@proxy.example.com\"",
        "proxy = \"socks5://user:canary@proxy.example.com\"",
        "proxy-username = \"canary\"",
        "proxy-username.env = \"U\"\nproxy-password = \"canary\"",
        "no-proxy = [\"http://user:canary@h\"]",
    ] {
        check(&format!("[network]\n{lines}\n{ACCOUNT}"));
    }
    check(&webhook(
        "url = \"https://h\"\nsecret.env = \"S\"\nproxy = \"http://u:canary@p:3128\"",
    ));
}

#[test]
fn addresses_and_headers_are_never_shown() {
    for lines in [
        "url = \"ftp://canary\"\nsecret.env = \"S\"",
        "url = \"https://user:canary@h/\"\nsecret.env = \"S\"",
        "url = 5 # canary\nsecret.env = \"S\"",
        "url = \"https://h/canary\"\nsecret = \"canary\"",
        "url = \"https://h/canary\"\nsecret.env = \"S\"\nheaders = \"canary\"",
        "url = \"https://h/canary\"\nsecret.env = \"S\"\nheaders = { \"X-A\" = 5, \"Webhook-Id\" = \"canary\" }",
        "url = \"https://h/canary\"\nsecret.env = \"S\"\nheaders = { \"canary canary\" = \"x\" }",
        "url = \"https://h/canary\"\nsecret.env = \"S\"\nheaders = { \"X-A\" = \"canary\\n\" }",
        "url = \"https://h/canary\"\nsecret.env = \"S\"\nheaders.X-A = [\"canary\"]",
    ] {
        check(&webhook(lines));
    }
    let ringcx = |url: &str| check(&format!("[ringcx]\nbase-url = \"{url}\"\n{ACCOUNT}"));
    for url in [
        "https://u:canary@h",
        "https://h/?canary",
        "https://h/#canary",
        "//u:canary@h",
    ] {
        ringcx(url);
    }
    check(&format!("{ACCOUNT}[alerts.email]\nhost = \"u:canary@h\"\n"));
}

#[test]
fn what_nobody_asked_for_is_not_shown() {
    for text in [
        ACCOUNT.replace("platform-id", "passwort = \"canary\"\nplatform-id"),
        ACCOUNT.replace("platform-id", "jwt = \"canary\"\nplatform-id"),
        ACCOUNT.replace(
            "platform-id",
            "retention = { pin = \"canary\", max-live = 1 }\nplatform-id",
        ),
        ACCOUNT.replace("platform-id", "max-live = 1 # canary\nplatform-id"),
        format!("{ACCOUNT}[pass.deep]\nword = \"canary\"\n"),
        // The rest of a sink whose type is unknown, on one line with the fault.
        ACCOUNT
            .replace(
                "platform-id",
                "sink = [{ secret = \"canary\", type = \"hook\" }]\nplatform-id",
            )
            .split("[[account.sink]]")
            .next()
            .unwrap()
            .to_owned(),
        ACCOUNT
            .replace(
                "platform-id",
                "sink = [{ type = \"hook\", url = \"canary\" }]\nplatform-id",
            )
            .split("[[account.sink]]")
            .next()
            .unwrap()
            .to_owned(),
        ACCOUNT.replace(
            "username = \"ivr-bot@example.com\"",
            "username = { password = \"canary\" }",
        ),
        ACCOUNT.replace(
            "username = \"ivr-bot@example.com\"",
            "username = [\"canary\"]",
        ),
    ] {
        check(&text);
    }
}

#[test]
fn a_secret_others_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let setup = Setup::new(&password("{ file = \"pw\" }"));
    let secret = setup.add("pw", b"canary");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    insta::assert_snapshot!(setup.shown());
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(setup.shown(), "");
}

#[test]
fn a_policy_in_debug_shows_no_address_and_no_header() {
    let text =
        webhook("url = \"https://h/canary\"\nsecret.env = \"S\"\nheaders = { X-A = \"canary\" }");
    let policy = super::accepted(&text).policy;
    assert!(!format!("{policy:?}").contains("canary"));
}

#[test]
fn a_command_is_taken_as_it_is_written_and_not_run() {
    let marker = tempfile::tempdir().unwrap();
    let touched = marker.path().join("touched");
    let written = format!(
        "{{ command = [\"touch\", \"{}\"], timeout = \"3s\" }}",
        touched.display()
    );
    let policy = super::accepted(&password(&written)).policy;
    let LoginPolicy::Admin(login) = &policy.accounts[0].login else {
        panic!("another login")
    };
    let SecretSource::Command(command) = &login.password else {
        panic!("{:?}", login.password)
    };
    assert_eq!(command.argv, ["touch", touched.to_str().unwrap()]);
    assert_eq!(command.timeout, Duration::from_secs(3));
    assert!(!touched.exists(), "loading ran it");
    assert!(
        !format!("{policy:?}").contains("touched"),
        "arguments may say too much"
    );
    let usual = super::accepted(&password("{ command = [\"/usr/bin/pass\", \"show\"] }")).policy;
    assert_eq!(
        usual.accounts[0].login.longest_read(),
        Duration::from_secs(10)
    );
    let slow = super::accepted(&password("{ command = [\"pass\"], timeout = \"90s\" }")).policy;
    assert_eq!(
        slow.longest_call(),
        Duration::from_secs(90),
        "the watchdog must let it run"
    );
}

/// The account without a password, and where passwords are.
fn from_directory(more: &str) -> String {
    let account = ACCOUNT.replace("password = { credential = \"sales-ivr\" }\n", "");
    format!("[defaults]\npasswords-dir = \"pws\"\n{account}{more}")
}

#[test]
fn an_account_without_a_password_reads_the_file_of_its_name() {
    use std::os::unix::fs::PermissionsExt;
    let setup = Setup::new(&from_directory(""));
    let file = setup.add("pws/sales-ivr", b"canary");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let policy = setup.load().unwrap().policy;
    let LoginPolicy::Admin(login) = &policy.accounts[0].login else {
        panic!("another login")
    };
    assert_eq!(login.password, SecretSource::File(file.clone()));
    assert_eq!(setup.shown(), "");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let shown = setup.shown();
    assert!(
        shown.contains("pws/sales-ivr is readable by others (mode 0644)"),
        "{shown}"
    );
    assert!(shown.contains("config.toml:2:17"), "{shown}");
    // One that names its own keeps it.
    let named = format!("[defaults]\npasswords-dir = \"pws\"\n{ACCOUNT}");
    let LoginPolicy::Admin(login) = &super::accepted(&named).policy.accounts[0].login else {
        panic!("another login")
    };
    assert_eq!(
        login.password,
        SecretSource::Credential("sales-ivr".to_owned())
    );
}

#[test]
fn a_directory_of_passwords_is_no_place_for_a_token_and_not_an_accounts_own() {
    let sink = |setup: &Setup| {
        let path = setup.directory.path().join("pws/sales-ivr");
        format!(
            "[[account.sink]]\nname = \"again\"\ntype = \"file\"\npath = \"{}\"\n",
            path.display()
        )
    };
    let setup = Setup::new("");
    setup.add("config.toml", from_directory(&sink(&setup)).as_bytes());
    let shown = setup.shown();
    assert!(
        shown.contains("this file is where a secret is read from"),
        "{shown}"
    );
    let own = ACCOUNT.replace("platform-id", "passwords-dir = \"pws\"\nplatform-id");
    let shown = Setup::new(&own).shown();
    assert!(
        shown.contains("it is for all accounts: write it in [defaults]"),
        "{shown}"
    );
}

/// An account that logs in so, with these keys.
fn logs_in(keys: &str) -> String {
    format!(
        "[[account]]\nname = \"ivr\"\n{keys}\n[[account.sink]]\nname = \"f\"\ntype = \"file\"\npath = \"/run/x\"\n"
    )
}

const APP: &str = "client-id = \"app\"\nclient-secret.env = \"S\"\njwt.env = \"J\"";

#[test]
fn a_login_by_ringex_has_its_own_keys_and_no_others() {
    let policy = super::accepted(&logs_in(&format!("login = \"ringex\"\n{APP}"))).policy;
    let LoginPolicy::RingEx(login) = &policy.accounts[0].login else {
        panic!("another login")
    };
    assert_eq!(
        (login.client_id.as_str(), &login.jwt),
        ("app", &SecretSource::Env("J".to_owned()))
    );
    assert_eq!(
        policy.ringcx.ringex_url.as_str(),
        "https://platform.ringcentral.com/"
    );
    for (keys, faults) in [
        (
            "login = \"ringex\"\nusername = \"u\"\npassword = \"canary\"\nplatform-id = \"aws80\"".to_owned(),
            &[
                "`client-id` is missing in [[account]]",
                "`client-secret` is missing in [[account]]",
                "`jwt` is missing in [[account]]",
                "unknown key `username` in [[account]]",
                "unknown key `password` in [[account]]",
                "unknown key `platform-id` in [[account]]",
                "here the JWT says who logs in",
            ][..],
        ),
        (
            format!("username = \"u\"\n{APP} # canary"),
            &[
                "`password` is missing in [[account]]",
                "`platform-id` is missing in [[account]]",
                "unknown key `client-id` in [[account]]",
                "unknown key `client-secret` in [[account]]",
                "unknown key `jwt` in [[account]]",
                "it belongs to an account with `login = \"ringex\"`",
            ],
        ),
        (
            format!("{APP} # canary"),
            &["`login` is missing: the keys are those of a login by RingEX", "add `login = \"ringex\"`"],
        ),
        (
            format!("login = \"ringexx\" # canary\n{APP}\nusername = \"u\""),
            &["unknown `login`: `ringexx`", "did you mean `ringex`?"],
        ),
        (
            "login = \"ringex\"\nclient-id = \"a:b\"\nclient-secret = \"canary\"\njwt = \"eyJcanary\""
                .to_owned(),
            &[
                "not a client id",
                "`client-secret` is written in the policy itself",
                "`jwt` is written in the policy itself",
            ],
        ),
    ] {
        let shown = check(&logs_in(&keys));
        for fault in faults {
            assert!(shown.contains(fault), "{fault}:\n{shown}");
        }
        let errors = shown.lines().filter(|line| line.starts_with("error")).count();
        let told = faults
            .iter()
            .filter(|it| it.starts_with('`') || it.starts_with("un") || it.starts_with("not"))
            .count();
        assert_eq!(errors, told, "{shown}");
    }
    let plain = format!("[ringcx]\nringex-url = \"http://ringex.example.com\" # canary\n{ACCOUNT}");
    assert!(check(&plain).contains("plain http to another machine"));
}

#[test]
fn a_password_from_the_directory_is_never_taken_for_a_jwt() {
    let keys = "login = \"ringex\"\nclient-id = \"app\"\nclient-secret.env = \"S\" # canary";
    let shown = check(&format!(
        "[defaults]\npasswords-dir = \"/pws\"\n{}",
        logs_in(keys)
    ));
    assert!(shown.contains("`jwt` is missing in [[account]]"), "{shown}");
}
