//! Files that are not what the policy takes them for: pipes where a file should be, modes that let
//! others in, one file under two names. Each is told in time, and nothing waits for it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringcx_rotator::clock::Clock;
use ringcx_rotator::daemon::supervisor::Supervisor;
use rotator_core::event::IncidentKind;
use rotator_simulator::Call;

use crate::env::{Ran, TestEnv, eventually};

fn pipe(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
}

/// Replaces a file by a pipe that nobody writes to.
fn pipe_instead(path: &Path) {
    std::fs::remove_file(path).unwrap();
    pipe(path);
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn says(ran: &Ran, code: i32, words: &[&str]) {
    let said = format!("{}{}", ran.out, ran.err);
    assert_eq!(ran.code(), code, "{said}");
    for word in words {
        assert!(said.contains(word), "lacks {word:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_a_pipe_is_an_incident_and_the_daemon_goes_on() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    pipe_instead(&house.path("password"));
    let mut daemon = house.start();
    // Ready, although the first pass could not log in.
    daemon.ready().await;
    says(&house.run(["rotate", "ivr"]), 1, &["named pipe"]);
    let status = house.status();
    assert_eq!(status["state"], "failing", "{status}");
    assert_eq!(house.count(Call::Login), 0);
    daemon.signal("TERM");
    assert_eq!(daemon.ended().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_in_place_of_any_file_of_the_policy_is_refused_at_once() {
    let house = TestEnv::new().await;
    let template = format!(
        "[[account.sink]]\nname = \"t\"\ntype = \"template\"\npath = \"{}\"\ntemplate = \"t.j2\"\n",
        house.path("t").display()
    );
    house.write("t.j2", "{{ token }}");
    let usual = house.policy("", &house.account("ivr", &[template]));
    house.write("ca.pem", "no certificate");
    // Where nothing is encrypted, nobody reads it.
    let with_ca = usual
        .replace(&house.ringcx.base_url(), "https://127.0.0.1:1")
        .replace("[ringcx]\n", "[ringcx]\nca-file = \"ca.pem\"\n");
    for (name, policy) in [
        ("t.j2", &usual),
        ("config.toml", &usual),
        ("ca.pem", &with_ca),
    ] {
        house.set_policy(policy);
        let kept = std::fs::read(house.path(name)).unwrap();
        pipe_instead(&house.path(name));
        let ran = house.run(["check", "--online"]);
        assert_ne!(ran.code(), 0, "{name}");
        assert!(ran.err.contains("named pipe"), "{name}: {}", ran.err);
        std::fs::remove_file(house.path(name)).unwrap();
        house.write(name, kept);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_of_a_policy_that_is_a_pipe_fails_and_the_daemon_still_obeys() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let mut daemon = house.start_ready().await;
    let before = house.token();
    let text = house.read("config.toml");
    pipe_instead(&house.config());
    daemon.signal("HUP");
    eventually("an error in the log", || {
        daemon.log().contains("Policy not reloaded").then_some(())
    })
    .await;
    std::fs::remove_file(house.config()).unwrap();
    house.set_policy(&text);
    daemon.signal("HUP");
    eventually("the new policy", || {
        daemon.log().contains("Policy reloaded").then_some(())
    })
    .await;
    daemon.signal("TERM");
    assert_eq!(daemon.ended().code(), Some(0));
    assert_eq!(house.token(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_overdue_is_told_while_a_pass_hangs() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    assert_eq!(house.run(["run", "--once"]).code(), 0);

    // From now on the password comes from a program that does not end, and a rotation is due.
    let begun = house.path("begun");
    let hangs = format!(
        "password = {{ command = [\"sh\", \"-c\", \"touch {0}; while [ -e {0} ]; do sleep 0.05; done\"], timeout = \"1m\" }}",
        begun.display()
    );
    let usual = house.usual("schedule = { every = \"1s\", jitter = \"0s\" }");
    let usual = usual.replace("password = { file = \"password\" }", &hangs);
    house.set_policy(&format!("{usual}\n[alerts]\noverdue-after = \"1s\"\n"));
    let policy = rotator_policy::load(&house.config());
    let policy = policy.map_err(|error| error.to_string()).unwrap().policy;
    let supervisor = Supervisor::open(policy, Clock::system(), Arc::new(|_| {}));
    let supervisor = supervisor.await.unwrap();
    let first_passes = supervisor.start_accounts().await;
    eventually("the program", || begun.exists().then_some(())).await;
    let mut found = false;
    for _ in 0..200 {
        supervisor.report_late(Duration::ZERO).await;
        let open = supervisor.alerts().snapshot().await.incidents;
        found = open
            .iter()
            .any(|incident| incident.key.kind == IncidentKind::RotationOverdue);
        if found {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(found, "nobody was told");
    std::fs::remove_file(begun).unwrap();
    drop(first_passes);
    supervisor.close(Duration::from_millis(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_everybody_may_change_is_not_followed() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    chmod(&house.config(), 0o666);
    let mends = format!("chmod go-w {}", house.config().display());
    says(&house.run(["check"]), 0, &["(mode 0666)", &mends]);
    says(
        &house.run(["run", "--once"]),
        78,
        &["does not follow it", &mends],
    );
    assert_eq!(house.count(Call::Login), 0);

    chmod(&house.config(), 0o644);
    let daemon = house.start_ready().await;
    chmod(&house.config(), 0o666);
    says(&house.run(["reload"]), 78, &["does not follow it"]);
    assert!(
        daemon.log().contains("Policy not reloaded"),
        "{}",
        daemon.log()
    );
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_with_something_odd_in_it_burns_no_login() {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let password = house.read("password");
    let plain = password.trim_end();
    for (odd, named) in [
        (format!("\u{feff}{plain}\n"), "U+FEFF"),
        (format!("{plain}\n\n"), "line"),
        (format!("{plain}\nuser: x\n"), "more than one line"),
    ] {
        house.write("password", odd);
        says(&house.run(["check"]), 0, &[named]);
        let ran = house.run(["run", "--once"]);
        assert!(
            ran.err.contains(named) && !ran.err.contains(plain),
            "{}",
            ran.err
        );
    }
    assert_eq!(house.count(Call::Login), 0);
    // Of what a password manager prints, the first line counts.
    house.write("entry", format!("{plain}\nuser: x\nurl: y\n"));
    let entry = house.path("entry");
    let by_command = format!(
        "password = {{ command = [\"cat\", \"{}\"] }}",
        entry.display()
    );
    let usual = house.usual("");
    house.set_policy(&usual.replace("password = { file = \"password\" }", &by_command));
    // Else the attempts that failed would still be backed off from.
    std::fs::remove_dir_all(house.path("state")).unwrap();
    assert_eq!(house.run(["run", "--once"]).code(), 0);
}
