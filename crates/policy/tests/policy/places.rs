//! What is looked at on this machine: where paths lead, who may change or read a file.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn sink(name: &str, keys: &str) -> String {
    format!("[[account.sink]]\nname = \"{name}\"\n{keys}\n")
}

/// The minimal policy with these sinks instead of its own; `@` is its directory.
fn with_sinks(setup: &Setup, sinks: &[String]) {
    let at = ACCOUNT.find("[[account.sink]]").unwrap();
    let text = format!("{}{}", &ACCOUNT[..at], sinks.concat());
    let directory = setup.directory.path().to_str().unwrap();
    setup.add("config.toml", text.replace('@', directory).as_bytes());
}

#[track_caller]
fn says(setup: &Setup, words: &[&str]) {
    let shown = setup.shown();
    for word in words {
        assert!(shown.contains(word), "lacks {word:?}: {shown}");
    }
}

#[test]
fn one_file_under_two_names_is_one_file() {
    let setup = Setup::new(ACCOUNT);
    std::fs::create_dir(setup.directory.path().join("run")).unwrap();
    let link = setup.directory.path().join("var-run");
    symlink(setup.directory.path().join("run"), link).unwrap();
    let file = |name: &str, path: &str| sink(name, &format!("type = \"file\"\npath = \"{path}\""));
    let both = ["@/run/token", "@/var-run/token"];
    with_sinks(&setup, &[file("a", both[0]), file("b", both[1])]);
    says(&setup, &["another sink writes this file"]);
    // Also below a directory that is still to be made.
    let both = ["@/run/new/token", "@/var-run/new/token"];
    with_sinks(&setup, &[file("a", both[0]), file("b", both[1])]);
    says(&setup, &["another sink writes this file"]);
    with_sinks(&setup, &[file("a", "@/run/a"), file("b", "@/var-run/b")]);
    assert_eq!(setup.shown(), "");
}

#[test]
fn a_sink_never_overwrites_what_the_daemon_has_open() {
    let setup = Setup::new(ACCOUNT);
    std::fs::create_dir(setup.directory.path().join("state")).unwrap();
    let link = setup.directory.path().join("link");
    symlink(setup.directory.path().join("state"), link).unwrap();
    for name in ["lock", "journal.sqlite", "journal.sqlite-wal"] {
        let text = format!("type = \"file\"\npath = \"@/link/{name}\"");
        with_sinks(&setup, &[sink("a", &text)]);
        let text = std::fs::read_to_string(setup.path()).unwrap();
        let state = setup.directory.path().join("state");
        let daemon = format!("[daemon]\nstate-dir = \"{}\"\n{text}", state.display());
        setup.add("config.toml", daemon.as_bytes());
        says(&setup, &["the daemon's own, in state-dir"]);
    }
    // What a symlink of the policy leads to.
    setup.add("real-password", b"pass");
    chmod(&setup.directory.path().join("real-password"), 0o600);
    let password = setup.directory.path().join("password");
    symlink(setup.directory.path().join("real-password"), password).unwrap();
    with_sinks(
        &setup,
        &[sink("a", "type = \"file\"\npath = \"@/real-password\"")],
    );
    let text = std::fs::read_to_string(setup.path()).unwrap();
    let text = text.replace("credential = \"sales-ivr\"", "file = \"password\"");
    setup.add("config.toml", text.as_bytes());
    says(&setup, &["where a secret is read from"]);
}

#[test]
fn loose_modes_are_warned_about_with_what_mends_them() {
    let setup = Setup::new(ACCOUNT);
    let env = setup.add("x.env", b"A=b\n");
    with_sinks(
        &setup,
        &[sink(
            "a",
            "type = \"env-file\"\npath = \"@/x.env\"\nkey = \"TOKEN\"",
        )],
    );
    chmod(&env, 0o600);
    chmod(&setup.path(), 0o644);
    assert_eq!(setup.shown(), "");
    assert!(setup.load().unwrap().trusted().is_ok());

    chmod(&env, 0o666);
    says(
        &setup,
        &[
            "x.env receives a token and is open to everyone (mode 0666)",
            "chmod o-rwx",
        ],
    );
    chmod(&env, 0o600);
    chmod(setup.directory.path(), 0o777);
    says(
        &setup,
        &["others may exchange the policy's files", "chmod go-w"],
    );
    chmod(setup.directory.path(), 0o1777);
    assert_eq!(setup.shown(), "");
    chmod(setup.directory.path(), 0o700);
    chmod(&setup.path(), 0o666);
    says(&setup, &["others may change", "(mode 0666)", "chmod go-w"]);
    let refused = setup.load().unwrap().trusted().expect_err("refused");
    assert!(
        refused
            .render(Color::Never, None)
            .contains("does not follow it")
    );
}

#[test]
fn a_state_directory_and_a_policy_of_others_are_warned_about() {
    let setup = Setup::new(ACCOUNT);
    let state = setup.directory.path().join("state");
    std::fs::create_dir(&state).unwrap();
    chmod(&state, 0o777);
    let text = format!("[daemon]\nstate-dir = \"{}\"\n{ACCOUNT}", state.display());
    setup.add("config.toml", text.as_bytes());
    says(&setup, &["others may change the journal", "chmod 700"]);
    chmod(&state, 0o700);
    if std::os::unix::fs::chown(setup.path(), Some(12345), None).is_err() {
        return eprintln!("skipped: only root can give files away");
    }
    says(
        &setup,
        &["belongs to another user (uid 12345)", "chown root"],
    );
}

#[test]
fn the_common_keys_of_a_sink_of_unknown_type_are_judged() {
    let setup = Setup::new(ACCOUNT);
    let keys = "type = \"flie\"\npath = \"relative\"\nmode = \"0999\"\nnotify = { unit = \"\" }";
    with_sinks(&setup, &[sink("a", keys)]);
    let shown = setup.shown();
    assert!(shown.matches("error:").count() >= 4, "{shown}");
    says(&setup, &["flie", "relative", "0999"]);
}

#[test]
fn a_template_must_write_each_token_as_it_is() {
    for text in [
        "{{ tokn|default('') }}",
        "nothing",
        "{{ token|upper }}",
        "{{ token|lower }}",
        "{{ token[:20] }}",
        "{{ token|replace('-', '') }}",
        "{% if generation > 0 %}{{ token }}{% endif %}",
    ] {
        let setup = Setup::new(ACCOUNT);
        let keys = format!("type = \"template\"\npath = \"@/out\"\ninline = \"{text}\"");
        with_sinks(&setup, &[sink("a", &keys)]);
        assert!(setup.load().is_err(), "{text}");
    }
    for text in [
        "{{ token }}",
        "{{ token|json }}",
        "{{ token|shell }}",
        "a={{ token|properties }}",
    ] {
        let setup = Setup::new(ACCOUNT);
        let keys = format!("type = \"template\"\npath = \"@/out\"\ninline = \"{text}\"");
        with_sinks(&setup, &[sink("a", &keys)]);
        assert_eq!(setup.shown(), "", "{text}");
    }
}
