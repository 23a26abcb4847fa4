//! Passwords that a command prints: `check` runs none, one that hangs holds up its own account
//! only, and one that fails is an incident that says what the command said, and not what it
//! printed.

use rotator_simulator::Call;

use crate::env::{PASSWORD, TestEnv, USER, eventually, user};

/// A script, and an account whose password it prints.
fn account(house: &TestEnv, name: &str, script: &str, more: &str) -> String {
    house.write(&format!("{name}.sh"), script);
    let command = format!(
        "{{ command = [\"sh\", \"{}\"]{more} }}",
        house.path(&format!("{name}.sh")).display()
    );
    let account = house.account(name, &[house.file_sink(&format!("{name}-token"))]);
    account
        .replace("{ file = \"password\" }", &command)
        .replace(USER, name)
}

fn prints_the_password(house: &TestEnv) -> String {
    format!(
        "touch {0}/ran\ncat {0}/password\n",
        house.dir.path().display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_run_at_a_login_and_by_check_only_online() {
    let house = TestEnv::with_users(vec![user("ivr", PASSWORD)]).await;
    let account = account(&house, "ivr", &prints_the_password(&house), "");
    house.set_policy(&house.policy("", &account));
    assert_eq!(house.run(["check"]).code(), 0);
    house.run(["plan"]);
    assert!(!house.path("ran").exists(), "check or plan ran it");
    let online = house.run(["check", "--online"]);
    assert_eq!(online.code(), 0, "{}", online.err);
    assert!(house.path("ran").exists());
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    assert!(house.record().is_alive(&house.read("ivr-token")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_hangs_delays_only_its_own_account() {
    let house = TestEnv::with_users(vec![user("ivr", PASSWORD), user("slow", PASSWORD)]).await;
    let hangs = format!(
        "echo $$ > {}/hangs\nexec sleep 1000\n",
        house.dir.path().display()
    );
    // First in the policy, and with every place at once but one for the other.
    let accounts = account(&house, "slow", &hangs, ", timeout = \"90s\"")
        + &account(&house, "ivr", &prints_the_password(&house), "");
    house.set_policy(&house.policy("", &accounts));
    let daemon = house.start();
    eventually("the command hangs", || {
        house.path("hangs").exists().then_some(())
    })
    .await;
    eventually("the other account has its token", || {
        house.path("ivr-token").exists().then_some(())
    })
    .await;
    eventually("the other is well", || {
        let status = house.json(&["status", "--json", "ivr"]);
        (status["accounts"][0]["state"] == "ok").then_some(())
    })
    .await;
    assert_eq!(
        house.count(Call::Login),
        1,
        "the slow one has not logged in"
    );
    let pid = house.read("hangs");
    assert!(
        std::path::Path::new("/proc").join(pid.trim()).exists(),
        "it hung all the while"
    );
    daemon.kill();
    // What an ending daemon could not end: the test does.
    let _ended = std::process::Command::new("kill").arg(pid.trim()).status();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_fails_is_an_incident_without_what_it_printed() {
    let house = TestEnv::with_users(vec![user("ivr", PASSWORD)]).await;
    let fails = "echo canary-of-the-store\necho 'gpg: canary-of-the-store: no agent' >&2\nexit 2\n";
    let account = account(&house, "ivr", fails, "");
    house.set_policy(&house.policy("", &account));
    assert_eq!(house.run(["run", "--once"]).code(), 1);
    let status = house.status();
    assert_eq!(status["incidents"][0]["kind"], "login-failed");
    let error = status["last_error"].as_str().unwrap();
    assert_eq!(
        error,
        "password: command `sh`: exit code 2: gpg: [redacted]: no agent"
    );
    let history = house.run(["history", "--json"]);
    let online = house.run(["check", "--online"]);
    assert!(online.err.contains("no agent"), "{}", online.err);
    for said in [&history.out, &online.out, &online.err] {
        assert!(!said.contains("canary"), "{said}");
    }
    // Once it prints the password, all is well.
    house.write("ivr.sh", prints_the_password(&house));
    eventually("all is well", || {
        (house.run(["run", "--once"]).code() == 0).then_some(())
    })
    .await;
    assert!(house.record().is_alive(&house.read("ivr-token")));
}
