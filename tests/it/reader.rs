//! A reader of the token file, all the time, while the daemon rotates every two seconds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ringcx_rotator::clock::monotonic;
use rotator_simulator::{Call, Record};

use crate::env::{TestEnv, install_tls, recorded};

/// What a reader found.
#[derive(Default)]
struct Found {
    reads: usize,
    tokens: BTreeSet<String>,
    wrong: Vec<String>,
}

/// `RINGCX_ROTATOR_TEST_READER_SECONDS` makes it longer or shorter.
fn length() -> Duration {
    let seconds = std::env::var("RINGCX_ROTATOR_TEST_READER_SECONDS").ok();
    Duration::from_secs(seconds.map_or(60, |text| text.parse().unwrap()))
}

// proves: never-zero
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_never_meets_anything_but_a_whole_token_that_works() {
    let house = TestEnv::new().await;
    let policy = house.usual(
        "schedule = { every = \"2s\", jitter = \"0s\" }\nretention = { max-age = \"3s\", overlap = \"1s\" }\n\
         check-every = \"1s\"",
    );
    house.set_policy(&policy);
    let daemon = house.start_ready().await;

    let stop = Arc::new(AtomicBool::new(false));
    let (path, record, stopped) = (house.path("token"), house.record(), Arc::clone(&stop));
    let reader = std::thread::spawn(move || read_all_the_time(&path, &record, &stopped));
    let user = tokio::spawn(use_all_the_time(
        house.path("token"),
        format!("{}/voice/api/v1/admin/token", house.ringcx.base_url()),
        house.record(),
        Arc::clone(&stop),
    ));

    // What the test is about is a time, so a time is waited for; a crash in the middle must not
    // show either.
    tokio::time::sleep(length() / 2).await;
    daemon.kill();
    let daemon = house.start_ready().await;
    tokio::time::sleep(length() / 2).await;
    recorded(&house.record(), "two deletes", |record| {
        record.effects(Call::Delete) >= 2
    })
    .await;

    stop.store(true, Ordering::Relaxed);
    let read = reader.join().unwrap();
    let used = user.await.unwrap();
    daemon.stop();
    println!(
        "reader: {} reads of {} tokens and {} calls with what was read in {} s; {} minted, {} deleted; {} wrong",
        read.reads,
        read.tokens.len(),
        used.reads,
        length().as_secs(),
        house.record().effects(Call::Mint),
        house.record().effects(Call::Delete),
        read.wrong.len() + used.wrong.len(),
    );
    assert_eq!(
        (read.wrong, used.wrong),
        (Vec::<String>::new(), Vec::<String>::new())
    );
    assert!(read.tokens.len() >= 3, "the token hardly changed");
    assert!(read.reads > 100 && used.reads > 10);
}

fn read_all_the_time(path: &std::path::Path, record: &Record, stop: &AtomicBool) -> Found {
    let mut found = Found::default();
    while !stop.load(Ordering::Relaxed) {
        let before = monotonic();
        match std::fs::read(path) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                found.wrong.extend(what_is_wrong(&text, before, record));
                found.tokens.insert(text);
            }
            Err(error) => found.wrong.push(format!("not read: {error}")),
        }
        found.reads += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    found
}

/// Only a token that was deleted before it was read was ever wrong to be there.
fn what_is_wrong(text: &str, before: Instant, record: &Record) -> Option<String> {
    match (record.alive_since(text), record.dead_since(text)) {
        (None, _) => Some(format!(
            "{} bytes that are no token there ever was",
            text.len()
        )),
        (Some(_), Some(dead)) if dead <= before => Some("a token deleted before".to_owned()),
        (Some(_), Some(_) | None) => None,
    }
}

async fn use_all_the_time(
    path: std::path::PathBuf,
    url: String,
    record: Record,
    stop: Arc<AtomicBool>,
) -> Found {
    install_tls();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap();
    let mut found = Found::default();
    while !stop.load(Ordering::Relaxed) {
        let before = monotonic();
        let token = std::fs::read_to_string(&path).unwrap_or_default();
        let answer = client
            .get(&url)
            .header("x-auth-token", &token)
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let listed: Vec<String> =
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        if !(status.is_success() && listed.contains(&token)) {
            // It may have been deleted between reading and using, once its overlap was over.
            found
                .wrong
                .extend(what_is_wrong(&token, before, &record).map(|it| format!("{status}: {it}")));
        }
        found.reads += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    found
}
