//! Disks that are full or read-only, and targets that become something else while a token is on its
//! way. Each ends in a clear message, with the old token in place and no second mint.
//!
//! What needs a file system of its own is skipped, and says so, where none can be mounted.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rotator_simulator::{Call, Fault, Times};

use crate::env::{TestEnv, eventually, recorded};

/// A small file system of its own, which as a rule only root can make.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it at this path; says so where that cannot be done.
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir(&at).unwrap();
        let mounted = mount(
            &[
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size},mode=0700"),
                "tmpfs",
            ],
            &at,
        );
        if let Err(why) = &mounted {
            eprintln!("skipped: a tmpfs cannot be mounted here: {why}");
        }
        mounted.is_ok().then_some(Self(at))
    }

    /// Takes all the room there is, but for so many bytes.
    fn fill(&self, but: u64) {
        let ballast = std::fs::File::create(self.0.join("ballast")).unwrap();
        let (mut size, mut step) = (0, 1 << 20);
        while step >= 4096 {
            let allocated =
                rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), size, step);
            if allocated.is_ok() {
                size += step
            } else {
                step /= 2
            }
        }
        ballast.set_len(size.saturating_sub(but)).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }

    fn remount(&self, how: &str) {
        mount(&["-o", &format!("remount,{how}")], &self.0).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(args: &[&str], at: &Path) -> Result<(), String> {
    let ran = Command::new("mount")
        .args(args)
        .arg(at)
        .output()
        .map_err(|error| error.to_string())?;
    let told = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    if ran.status.success() {
        Ok(())
    } else {
        Err(told)
    }
}

/// The usual policy, with the sink's file in a directory of its own.
fn policy_with_sink_in(house: &TestEnv, directory: &str) -> String {
    house
        .policy(
            "",
            &house.account("ivr", &[house.file_sink(&format!("{directory}/token"))]),
        )
        .replace(&format!("name = \"{directory}/token\""), "name = \"token\"")
}

/// What `status` says is wrong: the kind of the first incident and the last error.
fn trouble(house: &TestEnv) -> (String, String) {
    let status = house.status();
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    (
        word(&status["incidents"][0]["kind"]),
        word(&status["last_error"]),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_a_sink_stops_the_rotation_before_the_mint() {
    let house = TestEnv::new().await;
    let Some(disk) = SmallDisk::mount(house.path("sink"), "512k") else {
        return;
    };
    house.set_policy(&policy_with_sink_in(&house, "sink"));
    let daemon = house.start_ready().await;
    let before = house.read("sink/token");
    disk.fill(0);

    let ran = house.run(["rotate", "ivr"]);
    assert_eq!(ran.code(), 1, "{}", ran.err);
    assert!(
        ran.err.contains("sink/token") || ran.err.contains("No space left"),
        "{}",
        ran.err
    );
    let (kind, error) = trouble(&house);
    assert_eq!(kind, "preflight-failed", "{error}");
    assert_eq!(
        (house.count(Call::Mint), house.read("sink/token")),
        (1, before.clone())
    );
    assert!(house.record().is_alive(&before));

    disk.make_room();
    eventually("the rotation is made up for", || {
        (house.read("sink/token") != before).then_some(())
    })
    .await;
    assert_eq!(house.count(Call::Mint), 2);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_after_the_preflight_keeps_the_old_token_and_gets_the_same_new_one() {
    let house = TestEnv::new().await;
    let Some(disk) = SmallDisk::mount(house.path("sink"), "512k") else {
        return;
    };
    house.set_policy(&policy_with_sink_in(&house, "sink"));
    let daemon = house.start_ready().await;
    let before = house.read("sink/token");
    house
        .ringcx
        .inject(Call::Mint, Fault::Slow(Duration::from_secs(2)), Times::Once);
    assert_eq!(house.run(["rotate", "ivr", "--no-wait"]).code(), 0);
    recorded(&house.record(), "a second mint", |record| {
        record.count(Call::Mint) == 2
    })
    .await;
    disk.fill(0);
    let error = eventually("the sink fails", || {
        let (kind, error) = trouble(&house);
        (kind == "sink-failed").then_some(error)
    })
    .await;
    assert!(
        error.contains("sink/token") || error.contains("No space left"),
        "{error}"
    );
    assert_eq!(house.read("sink/token"), before, "the old bytes stay");
    assert!(house.record().is_alive(&before));

    disk.make_room();
    eventually("the new token arrives", || {
        (house.read("sink/token") != before).then_some(())
    })
    .await;
    assert_eq!(
        house.count(Call::Mint),
        2,
        "the same token is tried again, never a new one"
    );
    assert!(house.record().is_alive(&house.read("sink/token")));
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_directory_stops_the_rotation_before_the_mint() {
    let house = TestEnv::new().await;
    let Some(disk) = SmallDisk::mount(house.path("sink"), "512k") else {
        return;
    };
    house.set_policy(&policy_with_sink_in(&house, "sink"));
    let daemon = house.start_ready().await;
    let before = house.read("sink/token");
    disk.remount("ro");
    let ran = house.run(["rotate", "ivr"]);
    assert_eq!(ran.code(), 1, "{}", ran.err);
    let (kind, error) = trouble(&house);
    assert_eq!(kind, "preflight-failed");
    assert!(error.contains("Read-only file system"), "{error}");
    assert_eq!(
        (house.count(Call::Mint), house.read("sink/token")),
        (1, before.clone())
    );
    disk.remount("rw");
    eventually("the rotation is made up for", || {
        (house.read("sink/token") != before).then_some(())
    })
    .await;
    daemon.stop();
}

/// What was done on the server, and what the journal announced of it.
fn acts(house: &TestEnv) -> (usize, usize) {
    let history = house.run(["history", "--json"]).out;
    let intents = history
        .lines()
        .filter(|line| line.contains("\"kind\":\"mint-intended\""))
        .count();
    (
        house.record().effects(Call::Mint) + house.record().effects(Call::Delete),
        intents,
    )
}

/// Without the journal nothing is done that cannot be taken back; with room again it goes on by
/// itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_state_directory_stops_every_act_until_there_is_room() {
    let house = TestEnv::new().await;
    let Some(disk) = SmallDisk::mount(house.path("state"), "1m") else {
        return;
    };
    // There is always something to do, so that the room which the journal has of its own is soon
    // used up.
    house.set_policy(&house.usual(
        "schedule = { every = \"1s\", jitter = \"0s\" }\n\
         retention = { max-age = \"20h\", overlap = \"1h\", max-live = 500 }",
    ));
    let daemon = house.start_ready().await;
    disk.fill(0);
    let told = eventually("the log says so", || {
        daemon
            .log()
            .lines()
            .find(|line| line.contains("Journal cannot be used"))
            .map(str::to_owned)
    })
    .await;
    assert!(
        told.contains("disk is full") && told.contains("nothing is done until it can"),
        "{told}"
    );

    let ((done, announced), token) = (acts(&house), house.token());
    for _ in 0..10 {
        daemon.signal("USR1");
        let ran = house.run(["rotate", "ivr"]);
        assert!(ran.code() == 1 && ran.err.contains("full"), "{}", ran.err);
    }
    let (done_since, announced_since) = (acts(&house).0 - done, acts(&house).1 - announced);
    assert!(
        done_since <= announced_since,
        "{done_since} acts with {announced_since} announced"
    );
    assert!(
        house.record().is_alive(&house.token()),
        "the sink holds a token that works"
    );
    let status = house.status();
    assert_eq!(status["state"], "failing", "{status}");
    assert!(
        status["last_error"].as_str().unwrap().contains("full"),
        "{status}"
    );
    let lines = |what: &str| {
        daemon
            .log()
            .lines()
            .filter(|line| line.contains(what))
            .count()
    };
    println!(
        "full state disk: {done_since} acts and {announced_since} intents in 10 passes, {} lines in the log",
        lines("Journal cannot be used")
    );
    assert!(
        lines("Journal cannot be used") <= lines("Journal can be used again") + 1,
        "{}",
        daemon.log()
    );

    disk.make_room();
    eventually("it goes on by itself", || {
        (house.token() != token).then_some(())
    })
    .await;
    assert!(house.record().is_alive(&house.token()));
    eventually("it says so", || {
        (lines("Journal can be used again") > 0).then_some(())
    })
    .await;
    daemon.stop();
    assert_eq!(house.run(["history", "--verify"]).code(), 0);
    // Each mint is in the journal, and none is there that was not made.
    let minted = house.run(["history", "--json"]).out;
    let minted = minted
        .lines()
        .filter(|line| line.contains("\"kind\":\"minted\""))
        .count();
    assert_eq!(minted, house.record().effects(Call::Mint));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_does_not_start_on_a_full_disk_and_says_why() {
    let house = TestEnv::new().await;
    let Some(disk) = SmallDisk::mount(house.path("state"), "512k") else {
        return;
    };
    house.set_policy(&house.usual(""));
    disk.fill(0);
    let ran = house.run(["run", "--once"]);
    assert_eq!(ran.code(), 1, "{}", ran.err);
    assert!(
        ran.err.contains("state/lock") && ran.err.contains("No space left"),
        "{}",
        ran.err
    );
    assert_eq!(house.record().calls().len(), 0);
    disk.make_room();
    assert_eq!(house.run(["run", "--once"]).code(), 0);
    assert!(house.record().is_alive(&house.token()));
}

/// Something is put in the place of a target after the preflight, while the token is being minted.
async fn target_becomes(what: &str, put: impl Fn(&Path), take_away: impl Fn(&Path)) {
    let house = TestEnv::new().await;
    house.set_policy(&house.usual(""));
    let daemon = house.start_ready().await;
    let (target, before) = (house.path("token"), house.token());
    house.write("bystander", "not yours");
    house
        .ringcx
        .inject(Call::Mint, Fault::Slow(Duration::from_secs(2)), Times::Once);
    assert_eq!(house.run(["rotate", "ivr", "--no-wait"]).code(), 0);
    recorded(&house.record(), "a second mint", |record| {
        record.count(Call::Mint) == 2
    })
    .await;
    std::fs::remove_file(&target).unwrap();
    put(&target);
    let error = eventually("the sink fails", || {
        let (kind, error) = trouble(&house);
        (kind == "sink-failed").then_some(error)
    })
    .await;
    assert!(error.contains(&format!("token is {what}")), "{error}");
    assert!(
        house.record().is_alive(&before),
        "who has read the old token can go on"
    );
    assert_eq!(house.read("bystander"), "not yours");
    take_away(&target);
    eventually("the new token arrives", || target.is_file().then_some(())).await;
    assert_ne!(house.token(), before);
    assert!(house.record().is_alive(&house.token()));
    assert_eq!(
        house.count(Call::Mint),
        2,
        "the same token is tried again, never a new one"
    );
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_becomes_a_symlink_is_not_followed() {
    let put = |target: &Path| {
        std::os::unix::fs::symlink(target.with_file_name("bystander"), target).unwrap()
    };
    target_becomes("a symbolic link", put, |target| {
        std::fs::remove_file(target).unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_becomes_a_directory_is_left_alone() {
    let put = |target: &Path| std::fs::create_dir(target).unwrap();
    target_becomes("a directory", put, |target| {
        std::fs::remove_dir(target).unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_group_stops_the_rotation_before_the_mint_and_is_named() {
    let house = TestEnv::new().await;
    let grouped = format!(
        "{}group = \"nobody-has-this-group\"\n",
        house.file_sink("token")
    );
    house.set_policy(&house.policy("", &house.account("ivr", &[grouped])));
    let daemon = house.start_ready().await;
    let (kind, error) = trouble(&house);
    assert_eq!(kind, "preflight-failed");
    assert!(
        error.contains("no group `nobody-has-this-group` on this machine"),
        "{error}"
    );
    assert_eq!(house.count(Call::Mint), 0);
    house.set_policy(&house.usual(""));
    assert_eq!(house.run(["reload"]).code(), 0);
    eventually("the token is there", || {
        house.path("token").exists().then_some(())
    })
    .await;
    daemon.stop();
}
