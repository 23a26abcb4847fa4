//! What is refused, what is doubted, and how that reads.

use super::{ACCOUNT, Setup, accepted, check, refused};
use rotator_policy::{Color, DiagnosticSeverity};

/// The account with one more line in it, in the account's table.
fn with(line: &str) -> String {
    ACCOUNT.replace(
        "platform-id = \"aws80\"",
        &format!("platform-id = \"aws80\"\n{line}"),
    )
}

/// The account with another sink below.
fn with_sink(sink: &str) -> String {
    format!("{ACCOUNT}\n[[account.sink]]\n{sink}\n")
}

#[test]
fn all_faults_are_told_at_once_each_with_its_place() {
    let setup = Setup::new(include_str!("many-faults.toml"));
    setup.add(
        "accounts.d/a.toml",
        include_str!("many-faults-a.toml").as_bytes(),
    );
    setup.add("accounts.d/b.toml", b"[log]\nlevel = \"info\"\n");
    setup.add("accounts.d/c.toml", b"[[account]]\nname = \"\xff\"\n");
    insta::assert_snapshot!(setup.shown());
}

#[test]
fn an_error_gives_its_parts_for_json() {
    let setup = Setup::new(&with("retention = { max-aeg = \"14d\" }"));
    let errors = setup.load().unwrap_err();
    assert_eq!(
        errors.to_string(),
        format!("{}: 1 error", setup.path().display())
    );
    let json = serde_json::to_value(errors.diagnostics()).unwrap();
    assert_eq!(
        json,
        serde_json::json!([{
            "severity": "error", "file": setup.path(), "line": 7, "column": 15,
            "message": "unknown key `max-aeg` in retention", "help": "did you mean `max-age`?", "note": null,
        }])
    );
}

#[test]
fn doubts_are_warnings() {
    let setup = Setup::new(include_str!("doubtful.toml"));
    assert!(setup.load().is_ok());
    insta::assert_snapshot!(setup.shown());
}

#[test]
fn a_warning_that_many_accounts_inherit_is_told_once() {
    let second = ACCOUNT.replace("sales-ivr", "b").replace("/token", "/b");
    let text = format!("[defaults]\nretention.max-age = \"1d\"\n{ACCOUNT}{second}");
    assert_eq!(accepted(&text).warnings.len(), 1);
}

#[test]
fn colours_are_had_only_when_asked_for() {
    let errors = Setup::new("").load().unwrap_err();
    assert!(errors.render(Color::Always, Some(80)).contains("\u{1b}["));
    assert!(!errors.render(Color::Never, Some(80)).contains('\u{1b}'));
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let setup = Setup::new("");
    let missing = rotator_policy::load(&setup.directory.path().join("absent.toml")).unwrap_err();
    let text = missing.render(Color::Never, None);
    assert!(
        text.contains("--config") && text.contains("RINGCX_ROTATOR_CONFIG"),
        "{text}"
    );
    assert!(rotator_policy::load(setup.directory.path()).is_err());
    assert!(rotator_policy::load(std::path::Path::new("")).is_err());
    check(
        &format!("# {}\n{ACCOUNT}", "x".repeat(1 << 20)),
        &["the file is larger than 1 MiB"],
    );
    setup.add("config.toml", b"[log]\nlevel = \"in\xfffo\"\n");
    let errors = setup.load().unwrap_err();
    let [only] = errors.diagnostics() else {
        panic!("{errors:?}")
    };
    assert_eq!(
        (only.line, only.column, only.message.as_str()),
        (Some(2), Some(12), "the file is not UTF-8 from here on")
    );
}

#[test]
fn a_policy_without_accounts_is_refused_unless_they_may_yet_come() {
    check("", &["no account: there is nothing to rotate"]);
    let setup = Setup::new("[daemon]\naccounts-dir = \"d\"\n");
    let errors = setup.load().unwrap_err();
    assert!(
        errors
            .diagnostics()
            .iter()
            .any(|d| d.severity == DiagnosticSeverity::Error && d.message.contains("no such file"))
    );
    std::fs::create_dir(setup.directory.path().join("d")).unwrap();
    assert_eq!(setup.load().unwrap().warnings.len(), 1);
}

#[test]
fn what_is_required_is_named() {
    check(
        "[[account]]\n[[account.sink]]\n",
        &[
            "1:1 `name` is missing in [[account]]",
            "1:1 `password` is missing in [[account]]",
            "1:1 `platform-id` is missing in [[account]]",
            "1:1 `username` is missing in [[account]]",
            "2:1 `name` is missing in [[account.sink]]",
            "2:1 `type` is missing in [[account.sink]]",
        ],
    );
    check(
        &with_sink("name = \"crm\"\ntype = \"webhook\""),
        &[
            "13:1 `secret` is missing in [[account.sink]]",
            "13:1 `url` is missing in [[account.sink]]",
        ],
    );
    check(
        &format!("{ACCOUNT}[alerts.email]\n"),
        &[
            "12:1 `from` is missing in [alerts.email]",
            "12:1 `host` is missing in [alerts.email]",
            "12:1 `to` is missing in [alerts.email]",
        ],
    );
}

#[test]
fn how_a_consumer_is_told_is_said_in_one_way() {
    let sink = |line: &str| format!("{ACCOUNT}\n{line}\n");
    let loaded = accepted(&sink(
        "notify = { unit = \"dialer.service\" }\nacknowledge = { path = \"/run/ack\" }",
    ));
    let told = loaded.policy.accounts[0].sinks[0].notify.clone().unwrap();
    assert_eq!(
        told.argv(),
        [
            "systemctl",
            "--no-ask-password",
            "try-reload-or-restart",
            "--",
            "dialer.service"
        ]
    );
    accepted(&sink(
        "notify = { argv = [\"/bin/true\", \"-x\"], timeout = \"5s\" }",
    ));
    check(
        &sink("notify = {}"),
        &["13:10 `notify` has neither `unit` nor `argv`"],
    );
    check(
        &sink("notify = { unit = \"a.service\", argv = [\"b\"] }"),
        &["13:10 `notify` has both `unit` and `argv`"],
    );
    check(
        &sink("notify = { argv = [\"b\"], action = \"restart\" }"),
        &["13:35 `action` is what systemd does to a `unit`"],
    );
    check(&sink("notify = { argv = [] }"), &["13:19 `argv` is empty"]);
    check(
        &sink("notify = { unit = \"dialer\" }"),
        &["13:19 `unit`: not the name of a unit"],
    );
    check(
        &sink("notify = { unit = \"-x.service\" }"),
        &["13:19 `unit`: not the name of a unit"],
    );
    check(
        &sink("notify = { unit = \"a.service\", action = \"stop\" }"),
        &["13:41 unknown `action`: `stop`"],
    );
    check(
        &sink("acknowledge = {}"),
        &["13:15 `path` is missing in acknowledge"],
    );
    check(
        &sink("acknowledge = { path = \"/run/ivr/token\" }"),
        &["11:8 this file is where a consumer acknowledges its token: a sink would overwrite it"],
    );
    let hook = "name = \"crm\"\ntype = \"webhook\"\nurl = \"https://x.example\"\nsecret = { env = \"X\" }\nnotify = {}";
    check(
        &with_sink(hook),
        &["18:1 unknown key `notify` in [[account.sink]]"],
    );
}

#[test]
fn names_stand_once() {
    check(
        &format!("{ACCOUNT}{}", ACCOUNT.replace("/token", "/b")),
        &["14:8 another account is called `sales-ivr`"],
    );
    check(
        &with_sink("name = \"token-file\"\ntype = \"file\"\npath = \"/b\""),
        &["14:8 another sink of this account is called `token-file`"],
    );
    let setup = Setup::new(&format!("[daemon]\naccounts-dir = \".\"\n{ACCOUNT}"));
    setup.add(
        "config.toml",
        format!("[daemon]\naccounts-dir = \"d\"\n{ACCOUNT}").as_bytes(),
    );
    setup.add("d/x.toml", ACCOUNT.replace("/token", "/b").as_bytes());
    let errors = setup.load().unwrap_err();
    let [only] = errors.diagnostics() else {
        panic!("{errors:?}")
    };
    assert!(only.file.ends_with("d/x.toml"));
    assert_eq!(
        only.note,
        Some(format!("the first is at {}:5:8", setup.path().display()))
    );
}

#[test]
fn what_a_sink_writes_is_its_own() {
    let other = |sink: &str| {
        format!(
            "{ACCOUNT}{}",
            ACCOUNT
                .replace("sales-ivr", "b")
                .replace("type = \"file\"\npath = \"/run/ivr/token\"", sink)
        )
    };
    check(
        &other("type = \"file\"\npath = \"/run//ivr/token\""),
        &["22:8 another sink writes this file"],
    );
    check(
        &other("type = \"env-file\"\npath = \"/run/ivr/token\"\nkey = \"A\""),
        &["22:8 this is the file of a file sink and of an env-file sink"],
    );
    let env = |key: &str| {
        format!(
            "name = \"{}\"\ntype = \"env-file\"\npath = \"/e\"\nkey = \"{key}\"",
            key.to_lowercase()
        )
    };
    accepted(&with_sink(&format!(
        "{}\n[[account.sink]]\n{}",
        env("A"),
        env("B")
    )));
    check(
        &with_sink(&format!(
            "{}\n[[account.sink]]\n{}",
            env("A"),
            env("A").replace("\"a\"", "\"b\"")
        )),
        &["22:7 another sink writes `A` of this file"],
    );
    check(
        &with("").replace(
            "{ credential = \"sales-ivr\" }",
            "{ file = \"/run/ivr/token\" }",
        ),
        &["12:8 this file is where a secret is read from: a sink would overwrite it"],
    );
}

#[test]
fn impossible_values_are_refused() {
    for (line, why) in [
        (
            "schedule = { every = \"999ms\" }",
            "8:22 `every`: must be a second or longer",
        ),
        (
            "schedule = { every = \"0s\" }",
            "8:22 `every`: must be longer than zero",
        ),
        (
            "schedule = { cron = \"0 0 30 2 *\" }",
            "8:21 `cron`: this never comes due",
        ),
        (
            "schedule = { timezone = \"Mars/Olympus\" }",
            "8:25 `timezone`: unknown time zone `Mars/Olympus`",
        ),
        (
            "schedule = { every = 7 }",
            "8:22 `every`: a duration is a string with a unit, this is an integer",
        ),
        (
            "schedule = \"7d\"",
            "8:12 `schedule` must be a table, not a string",
        ),
        (
            "retention = { max-live = 1 }",
            "8:26 `max-live` is 2 to 1000",
        ),
        (
            "retention = { max-live = -1 }",
            "8:26 `max-live` is 2 to 1000",
        ),
        (
            "retention = { max-live = \"8\" }",
            "8:26 `max-live` must be a whole number, not a string",
        ),
        (
            "retention = { foreign = \"adpot\" }",
            "8:25 unknown `foreign`: `adpot`",
        ),
        (
            "retry = { initial = \"2h\" }",
            "8:21 `retry.max` is shorter than `retry.initial`",
        ),
        (
            "check-every = \"0ms\"",
            "8:15 `check-every`: must be longer than zero",
        ),
        (
            "smoke-test = \"yes\"",
            "8:14 `smoke-test` must be true or false, not a string",
        ),
    ] {
        let text = with(line);
        check(
            &format!("\n{}", text.trim_start()),
            &[].into_iter()
                .chain([why.replacen("8:", "7:", 1).as_str()])
                .collect::<Vec<_>>(),
        );
    }
    for (from, to, why) in [
        (
            "/run/ivr/token",
            "run/ivr/token",
            "`path`: the path is relative",
        ),
        (
            "/run/ivr/token",
            "/run/ivr/",
            "`path`: the path names a directory",
        ),
        ("sales-ivr\"\nuser", "Sales\"\nuser", "`name`: not a name"),
        ("\"aws80\"", "\"aws 80\"", "`platform-id`: not a platform"),
        (
            "\"aws80\"",
            "80",
            "`platform-id` must be a platform such as \"aws80\", not an integer",
        ),
        (
            "type = \"file\"",
            "type = \"flie\"",
            "unknown `type`: `flie`",
        ),
        (
            "[[account.sink]]",
            "[account.sink]",
            "`sink` must be a list of tables, not a table",
        ),
    ] {
        let faults = refused(&ACCOUNT.replace(from, to));
        assert!(
            faults.len() == 1 && faults[0].ends_with(why),
            "{to}: {faults:?}"
        );
    }
    for (table, why) in [
        (
            "[daemon]\nmax-concurrent-accounts = 0",
            "2:27 `max-concurrent-accounts` is 1 to 10000",
        ),
        (
            "[daemon]\nstate-dir = \"var\"",
            "2:13 `state-dir`: the path is relative",
        ),
        (
            "[log]\nlevel = \"info=x=y\"",
            "2:9 `level`: not a log filter",
        ),
        (
            "[ringcx]\nlogins-per-minute = 0",
            "2:21 `logins-per-minute` is 1 to 100000",
        ),
        (
            "[ringcx]\nbase-url = \"http://ringcx.example.com\"",
            "2:12 `base-url`: plain http to another machine",
        ),
        (
            "[ringcx]\nbase-url = \"https://h/?q\"",
            "2:12 `base-url`: the address has a query",
        ),
        (
            "[ringcx]\nbase-url = \"https://h/voice/api/v1\"",
            "2:12 `base-url`: the address goes on to /voice, which each call adds",
        ),
        (
            "[ringcx]\nbase-url = \"https://h/prefix/Voice/\"",
            "2:12 `base-url`: the address goes on to /voice, which each call adds",
        ),
        (
            "[ringcx]\nbase-url = \"https://h/api/auth/login/admin\"",
            "2:12 `base-url`: the address goes on to /api/auth, which each call adds",
        ),
        (
            "[ringcx]\nringex-url = \"https://h/restapi/v1.0\"",
            "2:14 `ringex-url`: the address goes on to /restapi, which each call adds",
        ),
        (
            "[network]\nproxy = \"socks5://h:1080\"",
            "2:9 `proxy`: not an http or https proxy",
        ),
        (
            "[network]\nproxy = \"http://h:3128/path\"",
            "2:9 `proxy`: the proxy's address has more than a host and a port",
        ),
        (
            "[network]\nno-proxy = [\"http://h\"]",
            "2:13 `no-proxy`: not a host, a domain or a network",
        ),
        (
            "[network]\nproxy-username.env = \"U\"",
            "1:1 `proxy-username` without `proxy-password`",
        ),
        ("[[daemon]]", "1:1 `daemon` must be a table, not a list"),
        (
            "[alerts]\nresolved = 1",
            "2:12 `resolved` must be true or false, not an integer",
        ),
    ] {
        check(&format!("{table}\n{ACCOUNT}"), &[why]);
    }
}

#[test]
fn mail_that_cannot_be_sent_is_refused() {
    let mail = |lines: &str| {
        format!(
            "{}\n[alerts.email]\nfrom = \"a@example.com\"\n{lines}\n",
            ACCOUNT.trim()
        )
    };
    for (lines, why) in [
        ("to = []\nhost = \"h\"", "13:6 `to` is empty"),
        (
            "to = [\"b\"]\nhost = \"h\"",
            "13:7 `to`: not a mail address",
        ),
        (
            "to = \"b@c\"\nhost = \"h\"",
            "13:6 `to` must be a list of strings, not a string",
        ),
        ("to = [\"b@c\"]\nhost = \"h:25\"", "14:8 `host`: not a host"),
        (
            "to = [\"b@c\"]\nhost = \"h\"\ntls = \"none\"",
            "15:7 `tls = \"none\"` is only for a server on loopback",
        ),
        (
            "to = [\"b@c\"]\nhost = \"h\"\nport = 65536",
            "15:8 `port` is 1 to 65535",
        ),
        (
            "to = [\"b@c\"]\nhost = \"h\"\nusername = \"u\"",
            "11:1 `username` without `password`",
        ),
        (
            "to = [\"b@c\"]\nhost = \"h\"\npassword.env = \"P\"",
            "11:1 `password` without `username`",
        ),
    ] {
        check(&mail(lines), &[why]);
    }
    let port = |tls: &str| {
        let text = mail(&format!("to = [\"b@c\"]\nhost = \"::1\"\ntls = \"{tls}\""));
        accepted(&text).policy.alerts.email.unwrap().port
    };
    assert_eq!(["starttls", "implicit", "none"].map(port), [587, 465, 25]);
}

#[test]
fn headers_that_are_ours_are_refused() {
    for header in ["Content-Type", "webhook-id", "Webhook-Signature", "a b"] {
        let sink = format!(
            "name = \"crm\"\ntype = \"webhook\"\nurl = \"https://h\"\nsecret = {{ env = \"S\" }}\nheaders = {{ \"{header}\" = \"x\" }}"
        );
        let faults = refused(&with_sink(&sink));
        assert!(
            faults.len() == 1 && faults[0].starts_with("18:13 `headers`: "),
            "{faults:?}"
        );
    }
}
