//! The commands as an operator meets them: exit codes, what they print, what they leave alone.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use rotator_core::secret::Fingerprint;
use rotator_simulator::mailbox::{MailBehavior, Mailbox, MailboxSetup};
use rotator_simulator::{Call, Fault, Times};
use serde_json::Value;

use crate::env::{PASSWORD, TestEnv, USER, eventually, recorded};

fn print_of(token: &str) -> String {
    Fingerprint::of(token.as_bytes()).to_string()
}

/// The names in an object, sorted.
fn keys(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap_or_else(|| panic!("no object: {object}"))
        .keys()
        .map(String::as_str)
        .collect()
}

#[track_caller]
fn has_keys(object: &Value, expected: &[&str]) {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    let mut found = keys(object);
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_policy_ends_every_command_with_78_and_all_its_faults() {
    let house = TestEnv::new().await;
    let wrong = house
        .usual("")
        .replace("aws80\"", "aws80\"\ncheck-evry = \"1h\"")
        .replace("\"10h\"", "\"10 parsecs\"");
    house.set_policy(&wrong);
    let commands: [&[&str]; 10] = [
        &["run"],
        &["run", "--once"],
        &["check"],
        &["check", "--online"],
        &["plan"],
        &["rotate", "--all"],
        &["status"],
        &["tokens", "ivr"],
        &["history"],
        &["reload"],
    ];
    for args in commands {
        let ran = house.run(args);
        assert_eq!(ran.code(), 78, "{args:?}: {}", ran.err);
        for fault in ["check-evry", "check-every", "10 parsecs", "config.toml:"] {
            assert!(
                ran.err.contains(fault),
                "{args:?} does not tell of {fault}: {}",
                ran.err
            );
        }
    }
    assert_eq!(house.record().calls().len(), 0);
    assert!(!house.path("state").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_command_line_ends_with_2() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    let wrong: [&[&str]; 9] = [
        &[],
        &["rotat"],
        &["rotate"],
        &["rotate", "nobody"],
        &["plan", "nobody"],
        &["status", "nobody"],
        &["tokens", "nobody"],
        &["revoke", "nobody", "abcd", "--yes"],
        &["revoke", "ivr", "no-hex", "--yes"],
    ];
    for args in wrong {
        let ran = house.run(args);
        assert_eq!(ran.code(), 2, "{args:?}: {}{}", ran.out, ran.err);
        assert!(!ran.err.is_empty(), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_instance_ends_with_75_and_disturbs_nothing() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let daemon = house.start_ready().await;
    let calls = house.record().calls().len();
    for args in [&["run"][..], &["run", "--once"]] {
        let ran = house.run(args);
        assert_eq!(ran.code(), 75, "{}", ran.err);
        assert!(
            ran.err.contains("another ringcx-rotator holds"),
            "{}",
            ran.err
        );
    }
    assert_eq!(house.record().calls().len(), calls);
    assert_eq!(house.json(&["status", "--json"])["daemon"]["running"], true);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotate_works_through_the_daemon_and_without_one() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let alone = house.run(["rotate", "ivr"]);
    assert_eq!(alone.code(), 0, "{}", alone.err);
    assert!(alone.out.contains("is current"), "{}", alone.out);
    let mints = house.count(Call::Mint);
    assert_eq!(mints, 1, "one rotation is one mint, the first one too");
    let before = house.token();

    let daemon = house.start_ready().await;
    let told = house.run(["rotate", "ivr", "--json"]);
    assert_eq!(told.code(), 0, "{}", told.err);
    let outcome: Value = serde_json::from_str(&told.out).unwrap();
    has_keys(&outcome[0], &["account", "outcome", "generation", "error"]);
    assert_eq!(
        (&outcome[0]["outcome"], house.count(Call::Mint)),
        (&"promoted".into(), mints + 1)
    );
    assert_ne!(house.token(), before);

    // One that cannot be done now is failing, and the daemon goes on by itself.
    house
        .ringcx
        .inject(Call::Mint, Fault::CutBefore, Times::Once);
    let failing = house.run(["rotate", "--all"]);
    assert_eq!(failing.code(), 1, "{}", failing.out);
    assert!(
        failing
            .err
            .contains("ivr: not rotated yet: mint: no answer"),
        "{}",
        failing.err
    );
    recorded(&house.record(), "the daemon minted", |record| {
        record.effects(Call::Mint) == mints + 2
    })
    .await;
    eventually("all is well", || {
        (house.status()["state"] == "ok").then_some(())
    })
    .await;

    // And one that nobody waits for is asked for, no more.
    let asked = house.json(&["rotate", "ivr", "--no-wait", "--json"]);
    assert_eq!(asked[0]["outcome"], "asked", "{asked}");
    recorded(&house.record(), "it is minted", |record| {
        record.effects(Call::Mint) == mints + 3
    })
    .await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_policy_is_not_reloaded_and_the_old_one_stays() {
    let house = TestEnv::new().await;
    let right = house.usual("check-every = \"1s\"");
    house.set_policy(&right);
    let daemon = house.start_ready().await;
    house.set_policy(
        &right
            .replace("path =", "pfad =")
            .replace("platform-id", "platform"),
    );
    let refused = house.run(["reload"]);
    assert_eq!(refused.code(), 78, "{}", refused.err);
    assert!(
        refused.err.contains("pfad") && refused.err.contains("platform"),
        "{}",
        refused.err
    );
    assert!(
        refused.err.contains("the old policy stays in force"),
        "{}",
        refused.err
    );

    let status = house.json(&["status", "--json"]);
    assert_eq!(status["incidents"][0]["kind"], "reload-failed");
    assert_eq!(house.run(["history"]).code(), 0);
    assert_eq!(status["accounts"][0]["state"], "ok");
    let lists = house.count(Call::List);
    recorded(&house.record(), "the old policy's checks", |record| {
        record.count(Call::List) >= lists + 2
    })
    .await;

    house.set_policy(&right);
    assert_eq!(house.run(["reload"]).code(), 0);
    assert_eq!(
        house.json(&["status", "--json"])["incidents"],
        Value::Array(Vec::new())
    );
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_has_the_documented_shape() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    house.ringcx.mint_foreign(USER);
    let daemon = house.start_ready().await;
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    std::fs::remove_file(house.path("token")).unwrap();
    std::fs::create_dir(house.path("token")).unwrap();
    daemon.signal("USR1");
    eventually("an incident", || {
        house.status()["incidents"][0]["key"]
            .as_str()
            .map(str::to_owned)
    })
    .await;
    shapes(&house);
    daemon.stop();
    shapes(&house);
}

/// Once asked of the daemon, and once of the journal.
fn shapes(house: &TestEnv) {
    let status = house.json(&["status", "--json"]);
    has_keys(&status, &["daemon", "accounts", "incidents"]);
    has_keys(
        &status["daemon"],
        &[
            "running",
            "version",
            "started_at",
            "unsent_mails",
            "mail_error",
        ],
    );
    let account = &status["accounts"][0];
    has_keys(
        account,
        &[
            "name",
            "state",
            "managed",
            "current",
            "pending",
            "previous",
            "foreign",
            "next_rotation_at",
            "next_retirement_at",
            "next_attempt_at",
            "consecutive_failures",
            "last_error",
            "sinks",
            "incidents",
        ],
    );
    has_keys(
        &account["current"],
        &["generation", "fingerprint", "minted_at", "promoted_at"],
    );
    assert_eq!(
        account["current"]["fingerprint"].as_str().unwrap().len(),
        64
    );
    let previous = &account["previous"][0];
    has_keys(
        previous,
        &[
            "generation",
            "fingerprint",
            "minted_at",
            "promoted_at",
            "retires_after",
        ],
    );
    has_keys(
        &account["sinks"][0],
        &[
            "name",
            "type",
            "required",
            "state",
            "generation",
            "fingerprint",
            "last_error",
        ],
    );
    let incident = &account["incidents"][0];
    has_keys(incident, &["key", "kind", "since", "count", "summary"]);
    assert_eq!(account["foreign"], 1);
    for time in [
        &account["current"]["minted_at"],
        &incident["since"],
        &account["next_rotation_at"],
    ] {
        let text = time.as_str().unwrap();
        assert!(
            chrono::DateTime::parse_from_rfc3339(text).is_ok() && text.ends_with('Z'),
            "{text}"
        );
    }

    let plan = house.json(&["plan", "--json"]);
    has_keys(&plan, &["accounts"]);
    has_keys(
        &plan["accounts"][0],
        &["name", "steps", "waiting", "notices"],
    );
    has_keys(
        &plan["accounts"][0]["steps"][0],
        &["action", "target", "because"],
    );
    has_keys(&plan["accounts"][0]["waiting"][0], &["for", "until"]);

    let tokens = house.json(&["tokens", "ivr", "--json"]);
    has_keys(&tokens, &["account", "tokens"]);
    for token in tokens["tokens"].as_array().unwrap() {
        has_keys(
            token,
            &[
                "fingerprint",
                "token",
                "stage",
                "generation",
                "minted_at",
                "first_seen_at",
                "adopted_at",
                "held_by",
            ],
        );
        let shown = token["token"].as_str().unwrap();
        assert!(
            shown.starts_with("aws80:…") && shown.chars().count() == 11,
            "{shown}"
        );
    }
    let stages: Vec<&str> = tokens["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["stage"].as_str().unwrap())
        .collect();
    assert_eq!(stages, ["previous", "current", "foreign"]);

    let history = house.run(["history", "--json"]);
    for (line, seq) in history.out.lines().zip(1_u64..) {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&event["seq"], &event["account"]),
            (&seq.into(), &"ivr".into())
        );
        assert!(
            event["at"].is_string() && event["kind"].is_string(),
            "{line}"
        );
    }
    assert!(house.run(["history", "--verify"]).out.contains("ivr: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_deletes_what_may_go_and_refuses_what_is_used() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let daemon = house.start_ready().await;
    revoking(&house);
    daemon.stop();
    revoking(&house);
}

/// Once through the daemon, and once without.
fn revoking(house: &TestEnv) {
    let record = house.record();
    let foreign = house.ringcx.mint_foreign(USER);
    let print = print_of(&foreign);
    let asked = house.run(["revoke", "ivr", &print]);
    assert_eq!(asked.code(), 1, "nobody can answer: {}", asked.out);
    assert!(asked.err.contains("nothing was deleted"), "{}", asked.err);
    assert!(record.is_alive(&foreign));

    let current = house.run(["revoke", "ivr", &print_of(&house.token()), "--yes"]);
    assert_eq!(current.code(), 1);
    assert!(
        current
            .err
            .contains("it is the current or the pending token"),
        "{}",
        current.err
    );
    assert!(record.is_alive(&house.token()));

    let nothing = house.run(["revoke", "ivr", "00000000000000", "--yes"]);
    assert!(
        nothing.code() == 1 && nothing.err.contains("no token on the server"),
        "{}",
        nothing.err
    );

    let gone = house.run(["revoke", "ivr", &print[..12], "--yes"]);
    assert_eq!(gone.code(), 0, "{}", gone.err);
    assert!(
        gone.out.contains("is gone") && !record.is_alive(&foreign),
        "{}",
        gone.out
    );

    // Of many, two begin alike.
    let mut begins: Vec<String> = Vec::new();
    let twice = loop {
        let begin = print_of(&house.ringcx.mint_foreign(USER))[..4].to_owned();
        if begins.contains(&begin) {
            break begin;
        }
        begins.push(begin);
    };
    let deletes = house.count(Call::Delete);
    let ambiguous = house.run(["revoke", "ivr", &twice, "--yes"]);
    assert!(
        ambiguous.code() == 1 && ambiguous.err.contains("give more of it"),
        "{}",
        ambiguous.err
    );
    assert_eq!(house.count(Call::Delete), deletes);
    for token in record
        .alive(USER)
        .iter()
        .filter(|it| it.token != house.token())
    {
        house.ringcx.revoke(token.fingerprint);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_alert_sends_a_mail_or_says_why_not() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let nowhere = house.run(["test-alert"]);
    assert!(
        nowhere.code() == 1 && nowhere.err.contains("[alerts.email]"),
        "{}",
        nowhere.err
    );

    let mailbox = Mailbox::start(MailboxSetup::default()).await.unwrap();
    let port = mailbox.address().port();
    house.set_policy(&format!(
        "{}[alerts.email]\nfrom = \"rotator@example.com\"\nto = [\"oncall@example.com\"]\n\
         host = \"localhost\"\nport = {port}\ntls = \"none\"\n",
        house.usual("")
    ));
    let alone = house.run(["test-alert"]);
    assert_eq!(alone.code(), 0, "{}", alone.err);
    let daemon = house.start_ready().await;
    assert_eq!(house.run(["test-alert"]).code(), 0);
    mailbox.answer(MailBehavior::RefuseForGood);
    let refused = house.run(["test-alert"]);
    assert!(
        refused.code() == 1 && refused.err.contains("550"),
        "{}",
        refused.err
    );
    let subjects: Vec<String> = mailbox.mails().iter().map(|mail| mail.subject()).collect();
    assert_eq!(subjects.len(), 2, "{subjects:?}");
    assert!(subjects[0].starts_with("[ringcx-rotator] "), "{subjects:?}");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_touches_nothing_and_online_only_looks() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    assert_eq!(house.run(["check"]).code(), 0);
    assert_eq!(house.record().calls().len(), 0);

    house.ringcx.mint_foreign(USER);
    let online = house.run(["check", "--online"]);
    assert_eq!(online.code(), 0, "{}", online.err);
    for found in [
        "logged in as",
        "1 tokens on the server",
        "Stand-in Contact Centre",
        "can be written",
    ] {
        assert!(online.out.contains(found), "{found}: {}", online.out);
    }
    let calls: Vec<Call> = house.record().calls().iter().map(|it| it.call).collect();
    assert_eq!(calls, [Call::Login, Call::List, Call::Accounts]);
    assert!(!house.path("state").exists() && !house.path("token").exists());

    house.write("password", "wrong");
    let refused = house.run(["check", "--online", "--json"]);
    assert_eq!(refused.code(), 1);
    let report: Value = serde_json::from_str(&refused.out).unwrap();
    assert!(
        report["ok"] == false
            && report["probes"][0]["found"]
                .as_str()
                .unwrap()
                .contains("401"),
        "{report}"
    );
    house.write("password", PASSWORD);
    house.ringcx.stop().await;
    let down = house.run(["check", "--online"]);
    assert!(
        down.code() == 1 && down.err.contains("cannot reach"),
        "{}",
        down.err
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_once_does_what_is_due_and_ends() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    let token = house.token();
    assert!(house.record().is_alive(&token));
    assert!(!house.path("control.sock").exists());
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    assert_eq!((house.token(), house.count(Call::Mint)), (token, 1));
    house.ringcx.stop().await;
    let down = house.run(["run", "--once"]);
    assert_eq!(down.code(), 1);
    assert!(
        down.err.contains("error: ivr: list: cannot reach"),
        "{}",
        down.err
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completions_and_man_are_printed_and_a_closed_pipe_is_no_error() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    for shell in ["bash", "zsh", "fish"] {
        let ran = house.run(["completions", shell]);
        assert!(
            ran.code() == 0 && ran.out.contains("ringcx-rotator"),
            "{shell}"
        );
    }
    let man = house.run(["man"]);
    assert!(
        man.code() == 0 && man.out.contains(".TH ringcx-rotator 1"),
        "{}",
        man.out
    );
    assert_eq!(house.run(["run", "--once"]).code(), 0);

    let commands: [&[&str]; 6] = [
        &["man"],
        &["completions", "bash"],
        &["history"],
        &["status"],
        &["plan", "--json"],
        &["--help"],
    ];
    for args in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = house.command();
        let err = tempfile::NamedTempFile::new().unwrap();
        let child = command
            .args(args)
            .stdout(writer)
            .stderr(err.reopen().unwrap())
            .spawn();
        let status = child.unwrap().wait().unwrap();
        let said = std::fs::read_to_string(err.path()).unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_socket_is_for_its_group_and_a_left_over_one_is_replaced() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let daemon = house.start_ready().await;
    let socket = house.path("control.sock");
    let kind = socket.metadata().unwrap();
    assert_eq!(
        (
            kind.permissions().mode() & 0o7777,
            kind.file_type().is_socket()
        ),
        (0o660, true)
    );
    daemon.kill();
    assert!(socket.exists(), "a daemon that is killed leaves it");
    assert_eq!(
        house.json(&["status", "--json"])["daemon"]["running"],
        false
    );

    let daemon = house.start_ready().await;
    assert_eq!(house.json(&["status", "--json"])["daemon"]["running"], true);
    assert_eq!(
        socket.metadata().unwrap().permissions().mode() & 0o7777,
        0o660
    );
    daemon.stop();
    assert!(!socket.exists());
}
