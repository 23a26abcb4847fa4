//! A file of the operator's own shape with the tokens of two accounts in it, read all the time.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringcx_rotator::clock::monotonic;
use rotator_core::secret::Fingerprint;
use rotator_simulator::{Call, Record};

use crate::env::{PASSWORD, TestEnv, USER, eventually, recorded, user};

const OTHER: &str = "crm-bot@example.com";

/// Rotations to read through, of both accounts together. `RINGCX_ROTATOR_TEST_ROTATIONS` makes it
/// more or fewer.
fn rotations() -> usize {
    std::env::var("RINGCX_ROTATOR_TEST_ROTATIONS")
        .ok()
        .map_or(50, |text| text.parse().unwrap())
}

fn template(house: &TestEnv, name: &str, other: &str) -> String {
    let path = house.path(name);
    format!(
        "[[account.sink]]\nname = \"{name}\"\ntype = \"template\"\npath = \"{}\"\naccounts = [\"{other}\"]\n\
         inline = \"{{{{ account }}}} {{{{ token }}}}\\n{other} {{{{ accounts['{other}'].token }}}}\\n\"\n",
        path.display()
    )
}

/// Two accounts, each with a template that names the other.
async fn house(defaults: &str) -> TestEnv {
    let house = TestEnv::with_users(vec![user(USER, PASSWORD), user(OTHER, PASSWORD)]).await;
    let ivr = house.account("ivr", &[template(&house, "ivr-file", "crm")]);
    let crm = house
        .account("crm", &[template(&house, "crm-file", "ivr")])
        .replace(USER, OTHER);
    house.set_policy(&house.policy(defaults, &format!("{ivr}{crm}")));
    house
}

/// The tokens in a rendering of two lines.
fn tokens(text: &str) -> Option<[String; 2]> {
    let lines: Vec<&str> = text.lines().collect();
    let [first, second] = lines.as_slice() else {
        return None;
    };
    let token = |line: &str| line.split_once(' ').map(|(_, token)| token.to_owned());
    text.ends_with('\n')
        .then_some([token(first)?, token(second)?])
}

#[derive(Default)]
struct Found {
    reads: usize,
    renderings: BTreeSet<String>,
    wrong: Vec<String>,
}

fn read_all_the_time(paths: [PathBuf; 2], record: &Record, stop: &AtomicBool) -> Found {
    let mut found = Found::default();
    while !stop.load(Ordering::Relaxed) {
        // Whose token stands first differs between the two.
        for (path, users) in paths.iter().zip([[USER, OTHER], [OTHER, USER]]) {
            let before = monotonic();
            let text = match std::fs::read_to_string(path) {
                Ok(text) => text,
                Err(error) => {
                    found.wrong.push(format!("not read: {error}"));
                    continue;
                }
            };
            found.reads += 1;
            match tokens(&text) {
                None => found.wrong.push(format!("torn: {} bytes", text.len())),
                Some(tokens) => {
                    found
                        .wrong
                        .extend(tokens.iter().zip(users).filter_map(|(token, user)| {
                            let dead = record.dead_since(token).is_some_and(|dead| dead <= before);
                            match record.token(Fingerprint::of(token.as_bytes())) {
                                None => Some("a token there never was".to_owned()),
                                Some(known) if known.user != user => {
                                    Some("the token of the other account".to_owned())
                                }
                                Some(_) if dead => Some("a token deleted before".to_owned()),
                                Some(_) => None,
                            }
                        }))
                }
            }
            found.renderings.insert(text);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    found
}

// proves: serve-live
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rendering_ever_mixes_a_dead_token_in() {
    let house = house(
        "schedule = { every = \"1s\", jitter = \"0s\" }\nretention = { max-age = \"1s\", overlap = \"0s\" }\n\
         check-every = \"500ms\"",
    )
    .await;
    let daemon = house.start_ready().await;
    let paths = [house.path("ivr-file"), house.path("crm-file")];
    eventually("both files are there", || {
        paths.iter().all(|path| path.exists()).then_some(())
    })
    .await;

    let stop = Arc::new(AtomicBool::new(false));
    let (record, stopped) = (house.record(), Arc::clone(&stop));
    let reader = std::thread::spawn(move || read_all_the_time(paths, &record, &stopped));
    let wanted = rotations();
    recorded(&house.record(), "half of the rotations", |it| {
        it.effects(Call::Mint) >= wanted / 2
    })
    .await;
    // A crash in the middle must not show either.
    daemon.kill();
    let daemon = house.start_ready().await;
    recorded(&house.record(), "all rotations", |it| {
        it.effects(Call::Mint) >= wanted
    })
    .await;
    let deleted = house.record().effects(Call::Delete);
    recorded(&house.record(), "more deletes", |it| {
        it.effects(Call::Delete) > deleted
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let read = reader.join().unwrap();
    daemon.stop();
    println!(
        "templates: {} reads of {} renderings in {} rotations with {} deletes; {} wrong",
        read.reads,
        read.renderings.len(),
        house.record().effects(Call::Mint),
        house.record().effects(Call::Delete),
        read.wrong.len(),
    );
    assert_eq!(read.wrong, Vec::<String>::new());
    assert!(
        read.reads > 500 && read.renderings.len() > wanted,
        "the reader saw little"
    );
    assert!(
        house.record().effects(Call::Delete) > wanted / 3,
        "hardly anything was deleted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_accounts_that_name_each_other_begin_in_one_run() {
    let house = house("").await;
    let ran = house.run(["run", "--once"]);
    assert_eq!(ran.code(), 0, "{}", ran.err);
    let [ivr, crm] = tokens(&house.read("ivr-file")).unwrap();
    assert_eq!(
        tokens(&house.read("crm-file")).unwrap(),
        [crm.clone(), ivr.clone()]
    );
    assert!(house.record().is_alive(&ivr) && house.record().is_alive(&crm));
    assert_eq!(house.count(Call::Mint), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_without_a_daemon_renders_the_files_of_both() {
    let house = house("").await;
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    let before = tokens(&house.read("ivr-file")).unwrap();
    let ran = house.run(["rotate", "crm"]);
    assert_eq!(ran.code(), 0, "{}", ran.err);
    let [ivr, crm] = tokens(&house.read("ivr-file")).unwrap();
    assert_eq!(
        (&ivr, crm == before[1]),
        (&before[0], false),
        "the other's file has the new token"
    );
    assert_eq!(tokens(&house.read("crm-file")).unwrap(), [crm, ivr]);
    assert_eq!(house.count(Call::Mint), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_anothers_file_is_kept_until_that_has_the_new_one() {
    let house =
        house("retention = { max-age = \"1ms\", overlap = \"0s\" }\ncheck-every = \"200ms\"").await;
    let daemon = house.start_ready().await;
    eventually("all is well", || {
        (house.status()["state"] == "ok").then_some(())
    })
    .await;
    let old = tokens(&house.read("ivr-file")).unwrap()[1].clone();
    // The owner's file can no longer be written: its directory takes nothing.
    let aside = house.path("aside");
    std::fs::rename(house.path("ivr-file"), &aside).unwrap();
    std::os::unix::fs::symlink(&aside, house.path("ivr-file")).unwrap();
    assert_eq!(house.run(["rotate", "crm"]).code(), 0);
    let plan = || house.run(["plan", "crm"]).out;
    let waits = || plan().contains("ivr/ivr-file").then_some(());
    eventually("its deletion waits for the other's file", waits).await;
    assert!(house.record().is_alive(&old));
    std::fs::remove_file(house.path("ivr-file")).unwrap();
    assert_eq!(house.run(["reload"]).code(), 0);
    eventually("the old token goes", || house.record().dead_since(&old)).await;
    // A file that is not there holds nothing, so the token may have gone before there is a new one.
    eventually("the file is there again", || {
        house.path("ivr-file").exists().then_some(())
    })
    .await;
    let now = tokens(&house.read("ivr-file")).unwrap();
    assert!(now.iter().all(|token| house.record().is_alive(token)));
    daemon.stop();
}
