//! The commands around the systemd unit: what it must be told, what `check` says of the one
//! installed, and where credentials come from for a command that systemd did not start.

use std::os::unix::fs::PermissionsExt;

use crate::env::{PASSWORD, Ran, TestEnv};

/// A unit for this house's policy, where `SYSTEMD_UNIT_PATH` will point.
fn install(house: &TestEnv, service: &str) {
    std::fs::create_dir_all(house.path("units")).unwrap();
    let config = house.config();
    house.write(
        "units/ringcx-rotator.service",
        format!(
            "[Service]\nExecStart=/usr/bin/ringcx-rotator run --config {}\nUser=ringcx-rotator\n{service}",
            config.display()
        ),
    );
}

fn run(house: &TestEnv, args: &[&str]) -> Ran {
    let mut command = house.command();
    command
        .args(args)
        .env("SYSTEMD_UNIT_PATH", house.path("units"));
    house.finish(command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_warns_of_what_the_installed_unit_keeps_it_from() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let dir = house.dir.path().display().to_string();

    let without = run(&house, &["check"]);
    assert_eq!(
        (without.code(), without.err.as_str()),
        (0, ""),
        "no unit, no warning"
    );

    install(&house, "ProtectSystem=strict\n");
    let warned = run(&house, &["check"]);
    assert_eq!(warned.code(), 0, "a warning is no error");
    for said in [
        "ivr/token",
        &format!("{dir} is read-only for the service"),
        "systemd-dropin --write",
    ] {
        assert!(warned.err.contains(said), "{said}: {}", warned.err);
    }
    let json = run(&house, &["check", "--json"]);
    assert!(
        json.out.contains("is read-only for the service") && json.out.contains("\"ok\": true"),
        "{}",
        json.out
    );

    std::fs::create_dir(house.path("units/ringcx-rotator.service.d")).unwrap();
    house.write(
        "units/ringcx-rotator.service.d/x.conf",
        format!("[Service]\nReadWritePaths={dir}\n"),
    );
    let open = run(&house, &["check"]);
    assert_eq!((open.code(), open.err.as_str()), (0, ""));

    // A unit for another policy says nothing about this one.
    std::fs::remove_dir_all(house.path("units/ringcx-rotator.service.d")).unwrap();
    house.write(
        "units/ringcx-rotator.service",
        "[Service]\nExecStart=/usr/bin/ringcx-rotator run\nProtectSystem=strict\n",
    );
    assert_eq!(run(&house, &["check"]).err, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drop_in_is_printed_or_written_and_then_check_is_content() {
    let house = TestEnv::new().await;
    house.set_policy(
        &house
            .usual("")
            .replace("{ file = \"password\" }", "{ credential = \"sales-ivr\" }"),
    );
    std::fs::create_dir(house.path("credentials")).unwrap();
    house.write("credentials/sales-ivr", PASSWORD);
    install(&house, "ProtectSystem=strict\nPrivateTmp=yes\n");
    assert!(
        run(&house, &["check"])
            .err
            .contains("not given the credential sales-ivr")
    );

    let printed = run(&house, &["systemd-dropin"]);
    assert_eq!(printed.code(), 0, "{}", printed.err);
    let credential = format!(
        "LoadCredential=sales-ivr:{}/sales-ivr",
        house.path("credentials").display()
    );
    assert!(
        printed.out.lines().any(|line| line == credential),
        "{}",
        printed.out
    );
    assert!(!printed.out.contains(PASSWORD) && !printed.err.contains(PASSWORD));

    let json = house.json(&["systemd-dropin", "--json"]);
    let lines = json["lines"].as_array().unwrap();
    assert!(
        lines.iter().any(|line| line["setting"] == "LoadCredential"),
        "{json}"
    );
    assert!(
        lines
            .iter()
            .all(|line| line["because"].as_str().is_some_and(|it| it.len() > 10)),
        "{json}"
    );

    let place = house.path("units/ringcx-rotator.service.d/policy.conf");
    let written = run(
        &house,
        &["systemd-dropin", "--write", place.to_str().unwrap()],
    );
    assert_eq!(written.code(), 0, "{}", written.err);
    assert_eq!(std::fs::read_to_string(&place).unwrap(), printed.out);
    assert_eq!(
        place.metadata().unwrap().permissions().mode() & 0o7777,
        0o644
    );
    let content = run(&house, &["check"]);
    assert_eq!((content.code(), content.err.as_str()), (0, ""));
    assert_eq!(
        run(&house, &["systemd-dropin"]).out,
        printed.out,
        "printed again it is the same"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_reads_a_credential_where_the_unit_takes_it_from() {
    let house = TestEnv::new().await;
    house.set_policy(
        &house
            .usual("")
            .replace("{ file = \"password\" }", "{ credential = \"pass\" }"),
    );
    let nowhere = run(&house, &["check", "--online"]);
    assert_eq!(nowhere.code(), 1);
    for said in [
        "credential `pass`",
        "as root",
        "LoadCredential=pass:",
        "systemd-dropin",
    ] {
        assert!(nowhere.err.contains(said), "{said}: {}", nowhere.err);
    }

    // Beside the policy, as `init` leaves it.
    std::fs::create_dir(house.path("credentials")).unwrap();
    house.write("credentials/pass", PASSWORD);
    let beside = run(&house, &["check", "--online"]);
    assert_eq!(beside.code(), 0, "{}", beside.err);

    // Where an installed unit says.
    house.write("credentials/pass", "wrong");
    install(
        &house,
        &format!("LoadCredential=pass:{}\n", house.path("password").display()),
    );
    let by_unit = run(&house, &["check", "--online"]);
    assert!(
        by_unit.out.contains("logged in as"),
        "{}\n{}",
        by_unit.out,
        by_unit.err
    );

    // What systemd handed over counts above all.
    let mut command = house.command();
    std::fs::create_dir(house.path("handed")).unwrap();
    house.write("handed/pass", "wrong too");
    command
        .args(["check", "--online"])
        .env("CREDENTIALS_DIRECTORY", house.path("handed"));
    let handed = house.finish(command);
    assert!(
        handed.code() == 1 && handed.err.contains("401"),
        "{}",
        handed.err
    );
}
