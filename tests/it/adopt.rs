//! A token that somebody pasted somewhere: found, adopted, replaced and retired in order.

use std::collections::BTreeSet;

use rotator_core::secret::Fingerprint;
use rotator_simulator::{Call, DeletedBy};
use serde_json::{Value, json};

use crate::env::{PASSWORD, TestEnv, USER, eventually, recorded};

/// Everything ages at once, and what is to happen happens soon.
const FAST: &str = "retention = { max-age = \"1ms\", overlap = \"1ms\" }\ncheck-every = \"200ms\"";

fn print_of(token: &str) -> String {
    Fingerprint::of(token.as_bytes()).to_string()
}

fn is_dead(house: &TestEnv, token: &str) -> bool {
    house.record().dead_since(token).is_some()
}

/// Runs a command that must print neither a token nor the password.
#[track_caller]
fn run(house: &TestEnv, args: &[&str]) -> (i32, String, String) {
    let ran = house.run(args);
    let secrets = house
        .record()
        .tokens()
        .iter()
        .map(|it| it.fingerprint)
        .collect::<BTreeSet<_>>();
    for text in [&ran.out, &ran.err] {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "._~:-".contains(c)));
        for word in words.filter(|word| word.len() > 20) {
            assert!(
                !secrets.contains(&Fingerprint::of(word.as_bytes())),
                "{args:?} prints a token"
            );
        }
        assert!(!text.contains(PASSWORD), "{args:?} prints the password");
    }
    (ran.code(), ran.out, ran.err)
}

#[track_caller]
fn adopt_json(house: &TestEnv, args: &[&str]) -> Value {
    let (code, out, err) = run(house, args);
    assert_eq!(code, 0, "{args:?}: {err}");
    serde_json::from_str(&out).unwrap()
}

/// The daemon's next look at sinks and files has come and gone.
async fn a_check_passes(house: &TestEnv) {
    let lists = house.count(Call::List);
    recorded(&house.record(), "two checks", |it| {
        it.count(Call::List) >= lists + 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_pasted_into_a_file_is_adopted_replaced_and_retired_in_order() {
    let house = TestEnv::new().await;
    let (pasted, unknown) = (
        house.ringcx.mint_foreign(USER),
        house.ringcx.mint_foreign(USER),
    );
    // Today's mess: somebody's token in the configuration of a dialler.
    let config = house.path("dialler.ini");
    house.write(
        "dialler.ini",
        format!("[ringcx]\nheader = \"X-Auth-Token: {pasted}\"\n"),
    );
    house.set_policy(&house.usual(FAST));
    let daemon = house.start_ready().await;

    let path = config.to_str().unwrap();
    let (code, out, _) = run(&house, &["adopt", "ivr", "--file", path]);
    assert_eq!(code, 0);
    let row = |token: &str| {
        out.lines()
            .find(|it| it.contains(&print_of(token)[..12]))
            .unwrap()
            .to_owned()
    };
    assert!(row(&pasted).contains(path), "{out}");
    assert!(row(&unknown).ends_with('-'), "{out}");

    // It is said that no sink writes there, and not done without a word of consent.
    let (code, _, err) = run(
        &house,
        &["adopt", "ivr", &print_of(&pasted)[..12], "--file", path],
    );
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("is written by no sink") && err.contains("nothing was adopted"),
        "{err}"
    );
    let told = adopt_json(
        &house,
        &[
            "adopt",
            "ivr",
            &print_of(&pasted)[..8],
            "--file",
            path,
            "--yes",
            "--json",
        ],
    );
    assert_eq!(told["adopted"], json!([print_of(&pasted)]));

    // Long ripe, it stays as long as the file holds it.
    a_check_passes(&house).await;
    assert!(!is_dead(&house, &pasted));
    let (_, plan, _) = run(&house, &["plan", "ivr"]);
    assert!(plan.contains(&format!("it is still in {path}")), "{plan}");
    let (code, _, err) = run(
        &house,
        &["revoke", "ivr", &print_of(&pasted)[..12], "--yes"],
    );
    assert_eq!(code, 1);
    assert!(
        err.contains(&format!("not deleted: it is still in {path}")),
        "{err}"
    );

    // A crash forgets nothing of it.
    daemon.kill();
    let daemon = house.start_ready().await;
    a_check_passes(&house).await;
    assert!(!is_dead(&house, &pasted));

    // A sink takes the file over; then the token goes, and it alone.
    let sink = format!(
        "[[account.sink]]\nname = \"dialler\"\ntype = \"template\"\npath = \"{path}\"\n\
         inline = \"[ringcx]\\nheader = \\\"X-Auth-Token: {{{{ token }}}}\\\"\\n\"\n"
    );
    house.set_policy(&house.policy(
        FAST,
        &house.account("ivr", &[house.file_sink("token"), sink]),
    ));
    assert_eq!(house.run(["reload"]).code(), 0);
    eventually("the adopted token goes", || {
        house.record().dead_since(&pasted)
    })
    .await;
    assert!(house.read("dialler.ini").contains(&house.token()));
    a_check_passes(&house).await;
    assert!(!is_dead(&house, &unknown), "nobody adopted that one");
    let record = house.record();
    let token = record.token(Fingerprint::of(pasted.as_bytes())).unwrap();
    assert_eq!(token.deleted_by, Some(DeletedBy::Api));

    let (_, history, _) = run(&house, &["history", "ivr"]);
    for told in [
        format!("adopted  files=[\"{path}\"]"),
        "adopted-held".to_owned(),
        "retired".to_owned(),
    ] {
        assert!(history.contains(&told), "{told}: {history}");
    }
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_a_file_that_becomes_a_sink_is_found_there_without_being_told() {
    let house = TestEnv::new().await;
    let pasted = house.ringcx.mint_foreign(USER);
    house.write("app.env", format!("# by hand\nTOKEN={pasted}\n"));
    // Not required, and its directory is fine: it would be overwritten at once, were it not for the
    // key.
    let sink = format!(
        "[[account.sink]]\nname = \"app\"\ntype = \"env-file\"\nkey = \"OTHER\"\nrequired = false\npath = \"{}\"\n",
        house.path("app.env").display()
    );
    house.set_policy(&house.policy("", &house.account("ivr", &[house.file_sink("token"), sink])));
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    // And it works without a daemon.
    let told = adopt_json(&house, &["adopt", "ivr", "--json"]);
    assert_eq!(told["tokens"][0]["found_in"][0]["sink"], "ivr/app");
    assert_eq!(told["adopted"], json!([]));
    let (code, out, err) = run(&house, &["adopt", "ivr", &print_of(&pasted)[..12], "--yes"]);
    assert_eq!((code, out.contains("is adopted")), (0, true), "{err}");
    let told = adopt_json(&house, &["adopt", "ivr", "--json"]);
    assert!(told["tokens"][0]["adopted_at"].is_string(), "{told}");
    let (_, tokens, _) = run(&house, &["tokens", "ivr"]);
    assert!(tokens.contains("foreign, adopted"), "{tokens}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adopted_token_is_left_alone_again_and_what_is_not_foreign_is_not_taken() {
    let house = TestEnv::new().await;
    let (foreign, other) = (
        house.ringcx.mint_foreign(USER),
        house.ringcx.mint_foreign(USER),
    );
    house.set_policy(
        &house
            .usual("retention = { max-age = \"1ms\", overlap = \"2s\" }\ncheck-every = \"200ms\""),
    );
    let daemon = house.start_ready().await;
    let print = print_of(&foreign);
    let (code, out, err) = run(&house, &["adopt", "ivr", &print, "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        err.contains("was found in no sink and in no given file"),
        "{err}"
    );
    let (code, out, _) = run(&house, &["adopt", "ivr", &print, "--undo"]);
    assert_eq!((code, out.contains("is left alone")), (0, true));
    // One that was adopted later goes, so its own overlap would be over, too.
    assert_eq!(
        run(&house, &["adopt", "ivr", &print_of(&other), "--yes"]).0,
        0
    );
    eventually("the other one goes", || house.record().dead_since(&other)).await;
    assert!(!is_dead(&house, &foreign));

    let current = print_of(&house.token());
    house.write("large", vec![b'x'; 5 * 1024 * 1024]);
    let (large, absent) = (house.path("large"), house.path("absent"));
    for (args, code, why) in [
        (vec!["adopt", "nobody"], 2, "no account `nobody`"),
        (vec!["adopt", "ivr", "no-hex"], 2, "is not a fingerprint"),
        (
            vec!["adopt", "ivr", &current, "--yes"],
            1,
            "no foreign token has a fingerprint",
        ),
        (
            vec!["adopt", "ivr", "--file", large.to_str().unwrap()],
            1,
            "larger than 4 MiB",
        ),
        (
            vec!["adopt", "ivr", "--file", absent.to_str().unwrap()],
            1,
            "there is no such file",
        ),
        (
            vec!["adopt", "ivr", "--file", house.dir.path().to_str().unwrap()],
            1,
            "name a file in it",
        ),
        (
            vec!["adopt", "ivr", &print, "--undo", "--file", "x"],
            2,
            "cannot be used with",
        ),
    ] {
        let (got, _, err) = run(&house, &args);
        assert_eq!(got, code, "{args:?}: {err}");
        assert!(err.contains(why), "{args:?}: {err}");
    }
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_the_daemon_cannot_see_is_not_taken_on_trust() {
    let house = TestEnv::new().await;
    let foreign = house.ringcx.mint_foreign(USER);
    house.set_policy(&house.usual(FAST));
    let daemon = house.start_ready().await;
    let request =
        json!({"account": "ivr", "take": {print_of(&foreign): [house.path("nothing/flow.json")]}});
    let socket = house.path("control.sock");
    let client = reqwest::Client::builder()
        .unix_socket(socket)
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap();
    let answer = client
        .post("http://daemon/v1/adopt")
        .header("content-type", "application/json")
        .body(request.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 409);
    let told = answer.text().await.unwrap();
    assert!(
        told.contains("its directory cannot be seen: let ringcx-rotator read it"),
        "{told}"
    );
    a_check_passes(&house).await;
    assert!(!is_dead(&house, &foreign), "nothing was adopted");
    daemon.stop();
}
