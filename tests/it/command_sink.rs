//! A program as a sink, from end to end: what others can see of it while it runs, and what becomes
//! of one that is at work when the daemon ends.

use std::os::unix::fs::PermissionsExt;

use crate::env::{TestEnv, eventually};

/// It says that it has begun, waits for leave to go on, and then keeps what it was given.
const PATIENT: &str = "#!/bin/sh\ncd \"$1\"\ntoken=$(cat)\necho $$ > pid.new; mv pid.new pid\necho run >> runs\n\
                       until test -e go; do sleep 0.02; done\nprintf '%s' \"$token\" > kept\necho kept it\n";

/// A house whose one sink is that program.
async fn house() -> TestEnv {
    let house = TestEnv::new().await;
    house.write("take", PATIENT);
    std::fs::set_permissions(house.path("take"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let (take, dir) = (house.path("take"), house.path(""));
    let sink = format!(
        "[[account.sink]]\nname = \"take\"\ntype = \"command\"\nargv = [\"{}\", \"{}\"]\nstdin = \"token\"\n\
         environment = {{ COLOUR = \"blue\" }}\n",
        take.display(),
        dir.display(),
    );
    house.set_policy(&house.policy("", &house.account("ivr", &[sink])));
    house
}

async fn begun(house: &TestEnv) -> String {
    eventually("the program has begun", || {
        std::fs::read_to_string(house.path("pid")).ok()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_at_work_when_the_daemon_is_told_to_end_is_let_finish() {
    let house = house().await;
    let mut daemon = house.start();
    let pid = begun(&house).await;
    let seen = ["cmdline", "environ"].map(|it| {
        let bytes = std::fs::read(format!("/proc/{}/{it}", pid.trim())).unwrap();
        String::from_utf8_lossy(&bytes).replace('\0', "\n")
    });
    daemon.signal("TERM");
    house.write("go", "");
    assert_eq!(daemon.ended().code(), Some(0), "{}", daemon.log());
    let token = house.read("kept");
    assert!(house.record().is_alive(&token), "it did not finish");
    let delivered = house.run(["history"]).out;
    assert!(delivered.contains("delivered"), "{delivered}");

    // Whoever looks at the process while it runs sees no token.
    assert!(
        seen[0].contains("/take\n") && seen[1].contains("COLOUR=blue"),
        "{seen:?}"
    );
    let tail = &token[token.len() - 12..];
    assert!(seen.iter().all(|text| !text.contains(tail)), "{seen:?}");
    let environment: Vec<&str> = seen[1]
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    assert!(
        environment
            .iter()
            .all(|it| ["PATH", "HOME", "LANG", "COLOUR"].contains(it)),
        "{environment:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_a_crash_cut_off_is_run_again_with_the_same_token() {
    let house = house().await;
    let daemon = house.start();
    let pid = begun(&house).await;
    daemon.kill();
    // As the service manager would: it ends the whole group of the service.
    let left = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process_group(left, rustix::process::Signal::KILL).unwrap();
    house.write("go", "");
    let daemon = house.start_ready().await;
    eventually("all is well", || {
        (house.status()["state"] == "ok").then_some(())
    })
    .await;
    daemon.stop();
    assert_eq!(house.read("runs"), "run\nrun\n");
    assert_eq!(house.alive(), 1, "another token was minted");
    assert!(house.record().is_alive(&house.read("kept")));
    let sink = &house.status()["sinks"][0];
    assert_eq!(
        (sink["state"].as_str(), sink["note"].as_str()),
        (Some("delivered"), Some("kept it"))
    );
}
