//! A password that RingCX refuses is sent once: accounts lock.

use rotator_simulator::Call;

use crate::env::{PASSWORD, TestEnv, eventually, recorded};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_password_is_sent_once_across_restarts_and_again_only_for_a_reason() {
    let house = TestEnv::new().await;
    house.write("password", "wrong");
    // A pass every second, and none of them may log in.
    house.set_policy(&house.usual("check-every = \"1s\""));
    let daemon = house.start_ready().await;
    assert_eq!(house.count(Call::Login), 1);
    let status = house.status();
    assert_eq!(
        (&status["state"], &status["incidents"][0]["kind"]),
        (&"parked".into(), &"login-rejected".into())
    );
    assert!(
        status["last_error"].as_str().unwrap().contains("401"),
        "{status}"
    );

    daemon.kill();
    let daemon = house.start_ready().await;
    daemon.stop();
    let daemon = house.start_ready().await;
    assert_eq!(house.count(Call::Login), 1, "a restart is no reason");
    daemon.signal("USR1");
    assert_eq!(house.run(["run", "--once"]).code(), 75);

    assert_eq!(house.run(["reload"]).code(), 0);
    recorded(&house.record(), "a login after the reload", |record| {
        record.count(Call::Login) == 2
    })
    .await;
    let rotated = house.run(["rotate", "ivr"]);
    assert_eq!(rotated.code(), 1);
    assert!(
        rotated
            .err
            .contains("ivr: not rotated yet: login: answered 401"),
        "{}",
        rotated.err
    );
    assert_eq!(house.count(Call::Login), 3, "an operator asked");

    house.write("password", "wrong again");
    recorded(&house.record(), "a login with the new password", |record| {
        record.count(Call::Login) == 4
    })
    .await;
    house.write("password", PASSWORD);
    eventually("all is well", || {
        (house.status()["state"] == "ok").then_some(())
    })
    .await;
    assert_eq!(house.count(Call::Login), 5);
    println!(
        "rejected login: 1 login across 3 starts; 1 each for reload, rotate and two changes of the secret"
    );
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_without_a_daemon_counts_as_well() {
    let house = TestEnv::new().await;
    house.write("password", "wrong");
    house.set_policy(&house.usual(""));
    assert_eq!(house.run(["run", "--once"]).code(), 1);
    assert_eq!(house.run(["run", "--once"]).code(), 1);
    assert_eq!(house.count(Call::Login), 1);
}
