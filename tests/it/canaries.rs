//! Secrets rest in their sinks and nowhere else, whatever goes wrong.
//!
//! One daemon, logging all it can, goes through every fault of every call, wrong passwords, broken
//! sinks and templates, programs that blurt out all they know, and a refusing mail server. Then
//! every secret that was used is looked for in everything it wrote, and in what its programs were
//! started with.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rotator_core::secret::Fingerprint;
use rotator_simulator::mailbox::{MailBehavior, Mailbox, MailboxSetup};
use rotator_simulator::receiver::{Behavior, Receiver, ReceiverSetup, Signature};
use rotator_simulator::{
    AuthKind, Call, CallRecord, Effect, Fault, PLANTED_SECRETS, RetryAfter, RingexSetup, Times,
};

use crate::env::{PASSWORD, TestEnv, USER, by_ringex, eventually};

const WRONG: &str = "wr0ng canary&password%/+\"";
const WEBHOOK_SECRET: &str = "canary of the webhook's secret, 32+ bytes";
const URL_PATH: &str = "canary-in-the-path-51f0";
const URL_QUERY: &str = "canary-in-the-query-77ab";
const HEADER: &str = "canary-in-a-header-9c3e";
const APP_SECRET: &str = "canary of the app's secret/&+%";
const VARIABLE: &str = "canary-in-a-variable-2d80";
const TEMPLATE: &str = "canary-in-the-template-e45a";
/// Every program begins with this: it writes down what it was started with, but for what the policy
/// wants there.
const STARTED: &str = "tr '\\0' '\\n' < /proc/$$/cmdline >> $0.started\n\
                       tr '\\0' '\\n' < /proc/$$/environ | grep -v ^KEY= >> $0.started\n";
/// Makes every third run fail.
const NOW_AND_THEN: &str = "echo >> $0.runs; test $(($(wc -l < $0.runs) % 3)) -ne 0";
/// A program that blurts out all it was given.
const PROGRAM: &str = "cat; echo $KEY >&2";
/// A store of passwords that blurts them out when it fails.
const STORE: &str = "test -e locked && { cat password >&2; cat password; exit 2; }\ncat password";
/// A consumer that says what it uses and blurts out all it reads, in several forms.
const CONSUMER: &str = "sha256sum token | cut -c1-64 > says.new; mv says.new says\n\
                        blurt() { cat token; tail -n 1 page; base64 -w0 token; od -An -v -tx1 token | tr -d ' \\n'; }\n\
                        blurt; blurt >&2";
const SMTP_PASSWORD: &str = "canary of the mail server's password/&+";
/// Every JWT begins so: `{"` in base64.
const JWT: &str = "eyJ";

/// A secret, by name, in every form in which it might get out.
type Canaries = BTreeMap<String, Vec<String>>;

fn add(canaries: &mut Canaries, name: &str, secret: &str) {
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let percent = form.replace('+', "%20");
    let json = serde_json::to_string(secret).unwrap();
    let mut forms = vec![
        secret.to_owned(),
        form.to_lowercase(),
        form,
        percent.to_lowercase(),
        percent,
        json.trim_matches('"').to_owned(),
        STANDARD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ];
    forms.dedup();
    canaries.insert(name.to_owned(), forms);
}

/// The names of the canaries that are in there.
fn caught(canaries: &Canaries, place: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(place);
    let is_in = |form: &String| text.contains(form.as_str());
    canaries
        .iter()
        .filter(|(_, forms)| forms.iter().any(is_in))
        .map(|(name, _)| name.clone())
        .collect()
}

fn policy(house: &TestEnv, receiver: &Receiver, mailbox: &Mailbox) -> String {
    let url = receiver
        .url()
        .replace("/hook", &format!("/{URL_PATH}?key={URL_QUERY}"));
    let shown = |name: &str| house.path(name).display().to_string();
    let env_path = house.path("env");
    for (name, script, result) in [
        ("program", PROGRAM, NOW_AND_THEN),
        ("store", STORE, ""),
        ("consumer", CONSUMER, NOW_AND_THEN),
    ] {
        house.write(
            name,
            format!("cd {}\n{STARTED}{script}\n{result}\n", shown("")),
        );
    }
    house.write(
        "page.j2",
        format!("key = {TEMPLATE}\ntoken = {{{{ token }}}}\n"),
    );
    let notify = format!(
        "notify = {{ argv = [\"/bin/sh\", \"{}\"] }}\n",
        shown("consumer")
    );
    let hook = format!(
        "[[account.sink]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{url}\"\ntimeout = \"500ms\"\n\
         secret = {{ file = \"webhook-secret\" }}\nheaders = {{ X-Key = \"{HEADER}\" }}\nreceipt = \"fingerprint\"\n\
         [[account.sink]]\nname = \"env\"\ntype = \"env-file\"\npath = \"{}\"\nkey = \"TOKEN\"\n\
         [[account.sink]]\nname = \"flow\"\ntype = \"ringcx-auth-config\"\naccount-id = \"21170002\"\n\
         auth-config-id = \"flow\"\n\
         [[account.sink]]\nname = \"program\"\ntype = \"command\"\nargv = [\"/bin/sh\", \"{}\"]\n\
         environment = {{ KEY = \"{VARIABLE}\" }}\nrequired = false\n\
         [[account.sink]]\nname = \"page\"\ntype = \"template\"\npath = \"{}\"\ntemplate = \"{}\"\n{notify}\
         [alerts]\nrepeat-after = \"1s\"\n[alerts.email]\nfrom = \"rotator@example.com\"\n\
         to = [\"oncall@example.com\"]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
         username = \"mailer\"\npassword = {{ file = \"smtp-password\" }}\n",
        env_path.display(),
        shown("program"),
        shown("page"),
        shown("page.j2"),
        mailbox.address().port(),
    );
    let defaults = "retention = { max-age = \"1ms\", overlap = \"0s\", max-live = 500 }\ncheck-every = \"1s\"\n\
                    retry = { initial = \"50ms\", max = \"100ms\", rejected-login = \"10h\" }\nverify-within = \"300ms\"";
    let says = format!(
        "acknowledge = {{ path = \"{}\", within = \"1h\" }}\n",
        shown("says")
    );
    let account = house.account("ivr", &[house.file_sink("token") + &notify + &says, hook]);
    let store = format!("{{ command = [\"/bin/sh\", \"{}\"] }}", shown("store"));
    let account = account.replace("{ file = \"password\" }", &store);
    let rex = by_ringex(
        &house.account("rex", &[house.file_sink("rex-token")]),
        "app",
        "client-secret",
        "jwt",
    );
    let (account, alerts) = account.split_once("[alerts]").unwrap();
    let text = house.policy(defaults, &format!("{account}{rex}[alerts]{alerts}"));
    let quick = "connect-timeout = \"300ms\"\nrequest-timeout = \"300ms\"\nlogins-per-minute = 60000\nringex-logins-per-minute = 60000";
    format!(
        "{}\n[log]\nlevel = \"trace\"\n",
        text.replace("request-timeout = \"20s\"", quick)
    )
}

/// What commands print, on both of their outputs.
fn outputs(house: &TestEnv) -> Vec<(String, Vec<u8>)> {
    let commands: [&[&str]; 17] = [
        &["status"],
        &["status", "ivr"],
        &["status", "--json"],
        &["plan"],
        &["plan", "--json"],
        &["tokens", "ivr"],
        &["tokens", "ivr", "--json"],
        &["adopt", "ivr"],
        &["adopt", "ivr", "--json"],
        &["auth-configs", "ivr"],
        &["auth-configs", "ivr", "--json"],
        &["history"],
        &["history", "--json"],
        &["check"],
        &["check", "--online"],
        &["check", "--online", "--json"],
        &["rotate", "ivr"],
    ];
    let run = |args: &&[&str]| {
        let ran = house.run(*args);
        (
            args.join(" "),
            format!("{}{}", ran.out, ran.err).into_bytes(),
        )
    };
    commands.iter().map(run).collect()
}

/// Every file below, by name.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect()
}

// fault: no-leak at reconcile mint: the token is logged
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_gets_out_whatever_goes_wrong() {
    let ringex = RingexSetup {
        apps: [("app".to_owned(), APP_SECRET.to_owned())].into(),
        ..Default::default()
    };
    let house = TestEnv::with_ringex(vec![crate::env::user(USER, PASSWORD)], ringex).await;
    house.write("client-secret", APP_SECRET);
    let jwt = house.ringcx.make_jwt("rex-bot");
    house.write("jwt", &jwt);
    house
        .ringcx
        .add_auth_config("21170002/flow".parse().unwrap());
    let receiver = Receiver::start(ReceiverSetup {
        secret: Some(WEBHOOK_SECRET.to_owned()),
        ..ReceiverSetup::default()
    });
    let receiver = receiver.await.unwrap();
    let credentials = Some(("mailer".to_owned(), SMTP_PASSWORD.to_owned()));
    let mailbox = Mailbox::start(MailboxSetup {
        credentials,
        ..MailboxSetup::default()
    })
    .await
    .unwrap();
    for (file, text) in [
        ("webhook-secret", WEBHOOK_SECRET),
        ("smtp-password", SMTP_PASSWORD),
    ] {
        house.write(file, text);
    }
    house.set_policy(&policy(&house, &receiver, &mailbox));
    let daemon = house.start_ready().await;
    let mut said = provoke(&house, &receiver, &mailbox).await;
    let proc = |file: &str| std::fs::read(format!("/proc/{}/{file}", daemon.pid())).unwrap();
    said.push(("command line".to_owned(), proc("cmdline")));
    said.push(("environment".to_owned(), proc("environ")));
    said.extend(outputs(&house));
    said.extend(files(&house.path("state")));
    daemon.stop();
    for name in ["program", "store", "consumer"] {
        let started = house.read(&format!("{name}.started"));
        assert!(
            started.contains(&format!("/{name}\n")) && started.contains("PATH="),
            "{name}: {started}"
        );
        said.push((
            format!("what {name} was started with"),
            started.into_bytes(),
        ));
    }
    said.extend(outputs(&house));
    said.extend(files(&house.path("state")));
    for number in 0..2 {
        let name = format!("daemon-{number}.log");
        if house.path(&name).exists() {
            said.push((name.clone(), house.read(&name).into_bytes()));
        }
    }
    for mail in mailbox.mails() {
        said.push((
            format!("mail `{}`", mail.subject()),
            format!("{}\n{}", mail.data, mail.text()).into_bytes(),
        ));
    }

    used(&house, &receiver, &mailbox);
    let mut canaries = Canaries::new();
    for (name, secret) in [
        ("password", PASSWORD),
        ("wrong password", WRONG),
        ("client secret", APP_SECRET),
        ("Basic login of the app", &format!("app:{APP_SECRET}")),
        ("JWT", &jwt),
        ("half of the JWT", &jwt[jwt.len() / 2..]),
        ("webhook secret", WEBHOOK_SECRET),
        ("path of the webhook", URL_PATH),
        ("query of the webhook", URL_QUERY),
        ("header of the webhook", HEADER),
        ("variable of the program", VARIABLE),
        ("text of the template", TEMPLATE),
        ("SMTP password", SMTP_PASSWORD),
        ("SMTP login", &format!("\0mailer\0{SMTP_PASSWORD}")),
        ("secret of an account's object", PLANTED_SECRETS[0]),
        ("SIP password of an account's object", PLANTED_SECRETS[1]),
    ] {
        add(&mut canaries, name, secret);
    }
    for (number, token) in house.ringcx.ringex_tokens().iter().enumerate() {
        add(
            &mut canaries,
            &format!("access token {number} of RingEX"),
            token,
        );
        add(
            &mut canaries,
            &format!("half of access token {number} of RingEX"),
            &token[8..24],
        );
    }
    canaries.insert("access token".to_owned(), vec![JWT.to_owned()]);
    let tokens = house.record().tokens();
    for token in &tokens {
        add(
            &mut canaries,
            &format!("token {}", token.fingerprint.short()),
            &token.token,
        );
        // Half of one is too much as well.
        add(
            &mut canaries,
            &format!("half of token {}", token.fingerprint.short()),
            &token.token[6..24],
        );
    }
    the_net_holds(&canaries);

    let bytes: usize = said.iter().map(|(_, text)| text.len()).sum();
    println!(
        "canaries: {} secrets ({} tokens) looked for in {} places, {bytes} bytes, {} mails, {} calls",
        canaries.len(),
        tokens.len(),
        said.len(),
        mailbox.mails().len(),
        house.record().calls().len(),
    );
    let mut out = Vec::new();
    for (place, text) in &said {
        out.extend(
            caught(&canaries, text)
                .into_iter()
                .map(|name| format!("{name} in {place}")),
        );
    }
    assert!(out.is_empty(), "{}", out.join("\n"));
}

/// Everything that can go wrong, goes wrong. What commands said meanwhile.
async fn provoke(
    house: &TestEnv,
    receiver: &Receiver,
    mailbox: &Mailbox,
) -> Vec<(String, Vec<u8>)> {
    let mut said = Vec::new();
    let mut rotate = |why: &str| {
        let ran = house.run(["rotate", "--all"]);
        said.push((
            format!("rotate, {why}"),
            format!("{}{}", ran.out, ran.err).into_bytes(),
        ));
    };
    // As long as a refresh works nobody logs in.
    let refused = Fault::Status(401, RetryAfter::Absent, Effect::None);
    house.ringcx.inject(Call::Refresh, refused, Times::Always);
    for fault in Fault::ALL {
        // No rotation lists auth configs.
        let calls = Call::ALL
            .into_iter()
            .filter(|call| fault.fits(*call) && *call != Call::ConfigList);
        let calls: Vec<Call> = calls.collect();
        for call in &calls {
            house.ringcx.inject(*call, fault, Times::Once);
        }
        let mut pause = Duration::from_millis(5);
        eventually(&format!("{fault} came to {calls:?}"), || {
            // RingEX may have to be left alone for a minute: fewer tries then, not hundreds of
            // rotations.
            std::thread::sleep(pause);
            pause = Duration::from_secs(1).min(pause * 2);
            house.ringcx.expire_sessions();
            house.ringcx.revoke_ringex_tokens();
            rotate(&fault.to_string());
            let record = house.record().calls();
            let came = |call: &Call| {
                record
                    .iter()
                    .any(|it| it.call == *call && it.fault == Some(fault))
            };
            calls.iter().all(came).then_some(())
        })
        .await;
    }
    for manner in [
        Behavior::Status(500),
        Behavior::WrongReceipt,
        Behavior::EmptyReceipt,
        Behavior::Hang,
        Behavior::LostAnswer,
        Behavior::CutBefore,
        Behavior::Huge,
        Behavior::Redirect,
        Behavior::Status(410),
    ] {
        receiver.answer(manner);
        rotate(&format!("{manner:?}"));
    }
    receiver.answer(Behavior::Receipt);
    rotate("the receiver takes it again");

    // A store that is locked, a template that is broken, a consumer that says what it must not.
    house.write("locked", "");
    house.ringcx.expire_sessions();
    rotate("a locked store");
    std::fs::remove_file(house.path("locked")).unwrap();
    rotate("an open store");
    let template = house.read("page.j2");
    for broken in [
        format!("{{{{ {TEMPLATE}"),
        format!("{template}{{{{ \"{TEMPLATE}\"|{TEMPLATE} }}}}"),
    ] {
        house.write("page.j2", broken);
        rotate("a broken template");
    }
    house.write("page.j2", template);
    house.write("says", house.token());
    rotate("a consumer that says a token");

    // A rejected password, a refusing mail server, a sink that drifts, a token that is lost.
    mailbox.answer(MailBehavior::RefuseForNow);
    house.write("password", WRONG);
    house.ringcx.inject(
        Call::Refresh,
        Fault::Status(
            401,
            rotator_simulator::RetryAfter::Absent,
            rotator_simulator::Effect::None,
        ),
        Times::Always,
    );
    house.ringcx.expire_sessions();
    rotate("a wrong password");
    rotate("a wrong password");
    house.write("password", PASSWORD);
    house.ringcx.clear();
    mailbox.answer(MailBehavior::Accept);
    rotate("the right password");
    eventually("all is well", || {
        (house.status()["state"] == "ok").then_some(())
    })
    .await;
    house.write("token", house.ringcx.mint_foreign(USER));
    let repaired =
        || house.status()["sinks"][0]["state"] == "serving" && house.status()["state"] == "ok";
    eventually("the drift is repaired", || repaired().then_some(())).await;
    house
        .ringcx
        .revoke(Fingerprint::of(house.token().as_bytes()));
    let replaced = || house.record().is_alive(&house.token()) && house.status()["state"] == "ok";
    eventually("the lost token is replaced", || replaced().then_some(())).await;
    said
}

/// The canaries were where they belong: what is not used cannot leak.
fn used(house: &TestEnv, receiver: &Receiver, mailbox: &Mailbox) {
    let record = house.record();
    let with_password = |it: &CallRecord| {
        it.call == Call::Login && it.auth == AuthKind::Query && it.fault.is_none()
    };
    let logins: Vec<_> = record.calls().into_iter().filter(with_password).collect();
    assert!(logins.iter().any(|it| it.effect) && logins.iter().any(|it| it.status == Some(401)));
    for call in [
        Call::Refresh,
        Call::RingexToken,
        Call::RingexLogin,
        Call::Mint,
        Call::Delete,
    ] {
        assert!(record.effects(call) > 10, "{call}");
    }
    let token = house.token();
    assert!(record.is_alive(&token) && house.read("env").contains(&token));
    assert_eq!(
        house.read("page"),
        format!("key = {TEMPLATE}\ntoken = {token}\n")
    );
    assert_eq!(receiver.held_token(), Some(token.clone()));
    assert_eq!(house.record().config("flow").unwrap().key, token);
    let last = receiver.deliveries().pop().unwrap();
    assert_eq!(last.signature, Signature::Valid);
    assert_eq!(last.header("x-key"), Some(HEADER));
    assert_eq!(last.target, format!("/{URL_PATH}?key={URL_QUERY}"));
    let mails = mailbox.mails();
    assert!(
        !mails.is_empty()
            && mails
                .iter()
                .all(|mail| mail.user.as_deref() == Some("mailer"))
    );
    // In a mail of its own or, when much went wrong at a time, in one of many; a daemon that ends
    // tells all it owes.
    let tells_of_an_end = |subject: &str| subject.contains("RESOLVED") || subject.contains(" over");
    let subjects: Vec<String> = mails.iter().map(|mail| mail.subject()).collect();
    assert!(
        subjects.iter().any(|subject| tells_of_an_end(subject)),
        "{subjects:?}"
    );
    let log = house.read("daemon-0.log");
    assert!(
        log.contains("DEBUG") && log.contains("Called RingCX"),
        "the log says little"
    );
}

/// Each form of each secret is found in a text that holds it.
#[track_caller]
fn the_net_holds(canaries: &Canaries) {
    for (name, forms) in canaries {
        for form in forms {
            let text = [
                b"some text \xff".as_slice(),
                form.as_bytes(),
                b"\x80 and more",
            ]
            .concat();
            assert!(caught(canaries, &text).contains(name), "{name}");
        }
    }
    assert!(
        caught(
            canaries,
            b"an ordinary text: aws80:\xe2\x80\xa6a0a9, 1f0c2a4b5d6e"
        )
        .is_empty()
    );
}
