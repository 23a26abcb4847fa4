//! Certificates that are renewed on disk under a running daemon.

use rotator_simulator::receiver::{Receiver, ReceiverSetup};
use rotator_simulator::{Authority, Setup};
use tempfile::TempDir;

use crate::env::{PASSWORD, TestEnv, USER, eventually, user};

/// A daemon that does not trust RingCX and its webhook yet, and the authority that both are of. What
/// failed is tried again after `initial`.
async fn distrustful(initial: &str) -> (TestEnv, Receiver, Authority) {
    let authority = Authority::generate();
    let setup = Setup {
        tls: Some(authority.clone()),
        users: vec![user(USER, PASSWORD)],
        ..Setup::default()
    };
    let house = TestEnv::with_setup(TempDir::new().unwrap(), setup).await;
    let hook = Receiver::start(ReceiverSetup {
        tls: Some(authority.clone()),
        ..ReceiverSetup::default()
    })
    .await
    .unwrap();
    let sink = format!(
        "[[account.sink]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{}\"\n\
         secret = {{ file = \"password\" }}\n",
        hook.url()
    );
    let text = house.policy(
        &format!(
            "retry = {{ initial = \"{initial}\", max = \"{initial}\", rejected-login = \"10h\" }}"
        ),
        &house.account("ivr", &[house.file_sink("token"), sink]),
    );
    house.set_policy(&text.replace("[defaults]", "ca-file = \"ca.pem\"\n[defaults]"));
    let other = Authority::generate();
    for file in ["ca.pem", "store.pem"] {
        other.write_pem(&house.path(file)).unwrap();
    }
    (house, hook, authority)
}

fn store(house: &TestEnv) -> impl FnOnce(&mut std::process::Command) {
    let store = house.path("store.pem");
    move |command| {
        command.env("SSL_CERT_FILE", store);
    }
}

async fn says_unknown_issuer(house: &TestEnv) {
    eventually("a certificate is not trusted", || {
        let text = house.status().to_string();
        text.contains("certificate not trusted").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_certificates_are_read_at_a_reload() {
    let (house, hook, authority) = distrustful("1h").await;
    let daemon = house.start_with(store(&house));
    daemon.ready().await;
    says_unknown_issuer(&house).await;
    authority.write_pem(&house.path("ca.pem")).unwrap();
    assert_eq!(house.run(["reload"]).code(), 0);
    // The webhook is looked up in the system's store, which is renewed only now.
    eventually("the token is in its file", || {
        house.path("token").exists().then_some(())
    })
    .await;
    says_unknown_issuer(&house).await;
    authority.write_pem(&house.path("store.pem")).unwrap();
    assert_eq!(house.run(["reload"]).code(), 0);
    eventually("the webhook has it", || hook.held_token()).await;

    // One that cannot be read is not put into force.
    house.write("ca.pem", "oops");
    let refused = house.run(["reload"]);
    assert_eq!(refused.code(), 78, "{}", refused.err);
    assert!(
        refused
            .err
            .contains("ca.pem is not a list of PEM certificates"),
        "{}",
        refused.err
    );
    assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_certificates_are_read_once_one_was_not_trusted() {
    let (house, hook, authority) = distrustful("100ms").await;
    let daemon = house.start_with(store(&house));
    daemon.ready().await;
    says_unknown_issuer(&house).await;
    for file in ["ca.pem", "store.pem"] {
        authority.write_pem(&house.path(file)).unwrap();
    }
    eventually("the webhook has it", || hook.held_token()).await;
    daemon.stop();
}
