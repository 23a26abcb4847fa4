//! What a journal must survive: two writers, a kill, a full disk, a foreign hand.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use rotator_core::journal::ALERTS;

mod compaction;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds) + TimeDelta::nanoseconds(123_456_789)
}

fn entry(n: usize) -> Entry {
    Entry {
        at: at(1_800_000_000 + n as i64),
        kind: "minted".into(),
        body: format!(r#"{{"n":{n}}}"#),
    }
}

fn entries(n: usize) -> Vec<Entry> {
    (0..n).map(entry).collect()
}

fn append(stream: &str, expected: u64, entries: Vec<Entry>) -> Append {
    Append {
        stream: stream.to_owned(),
        expected,
        entries,
    }
}

fn raw(dir: &Path) -> Connection {
    Connection::open(journal_path(dir)).unwrap()
}

async fn filled(dir: &Path, rows: usize) {
    let journal = SqliteJournal::open(dir).unwrap();
    journal.append("sales-ivr", 0, entries(rows)).await.unwrap();
    journal.close().await.unwrap();
}

#[tokio::test]
async fn what_was_appended_is_loaded_in_order_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).unwrap();
    assert_eq!(journal.load("sales-ivr").await.unwrap(), Stream::default());
    assert_eq!(journal.append("sales-ivr", 0, entries(2)).await.unwrap(), 2);
    assert_eq!(
        journal
            .append("sales-ivr", 2, vec![entry(2)])
            .await
            .unwrap(),
        3
    );
    assert_eq!(journal.append(ALERTS, 0, vec![entry(9)]).await.unwrap(), 1);
    assert_eq!(journal.append("sales-ivr", 3, vec![]).await.unwrap(), 3);
    drop(journal);

    let journal = SqliteJournal::open(dir.path()).unwrap();
    let rows = journal.load("sales-ivr").await.unwrap().rows;
    assert_eq!(
        rows.iter().map(|row| row.seq).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(
        rows.into_iter().map(|row| row.entry).collect::<Vec<_>>(),
        entries(3)
    );
    assert_eq!(journal.streams().await.unwrap(), [ALERTS, "sales-ivr"]);
    assert_eq!(journal.verify("sales-ivr").await.unwrap().rows, 3);
}

// fault: one-writer at store/sqlite insert: a row is appended wherever the stream ends
#[tokio::test]
async fn of_two_writers_one_loses_before_it_acts() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).unwrap();
    let (first, second) = tokio::join!(
        journal.append("a", 0, vec![entry(1)]),
        journal.append("a", 0, vec![entry(2), entry(3)])
    );
    let (won, lost) = if first.is_ok() {
        (first, second)
    } else {
        (second, first)
    };
    let rows = won.unwrap();
    assert!(matches!(lost, Err(JournalError::Conflict { expected: 0, got, .. }) if got == rows));
    assert_eq!(journal.load("a").await.unwrap().rows.len() as u64, rows);
}

#[test]
fn a_refused_append_does_not_fail_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&journal_path(dir.path())).unwrap();
    let results = store.append(vec![
        append("a", 0, entries(2)),
        append("b", 7, entries(1)),
        append("a", 2, entries(1)),
        append("b", u64::MAX, entries(1)),
        append("c", 0, entries(1)),
    ]);
    let seqs: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().ok().copied())
        .collect();
    assert_eq!(seqs, [Some(2), None, Some(3), None, Some(1)]);
    assert!(matches!(
        &results[1],
        Err(JournalError::Conflict {
            expected: 7,
            got: 0,
            ..
        })
    ));
    assert_eq!(
        (
            store.verify("a").unwrap().rows,
            store.verify("b").unwrap().rows,
            store.verify("c").unwrap().rows
        ),
        (3, 0, 1)
    );
}

#[test]
fn when_the_database_is_full_every_waiter_is_told_and_nothing_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&journal_path(dir.path())).unwrap();
    store
        .append(vec![append("a", 0, entries(1))])
        .pop()
        .unwrap()
        .unwrap();
    store.leave_pages(2);
    let large = Entry {
        body: "x".repeat(50_000),
        ..entry(2)
    };
    let results = store.append(vec![
        append("b", 0, entries(1)),
        append("a", 1, vec![large]),
    ]);
    for result in &results {
        assert!(
            result.as_ref().unwrap_err().to_string().contains("full"),
            "{result:?}"
        );
    }
    assert_eq!(store.streams().unwrap(), ["a"]);
    store.leave_pages(1000);
    store
        .append(vec![append("a", 1, entries(1))])
        .pop()
        .unwrap()
        .unwrap();
    assert_eq!(store.verify("a").unwrap().rows, 2);
}

/// A small file system of its own, which only root can make.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then(|| Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path())
            .status();
    }
}

// proves: intent-first
#[tokio::test]
async fn a_full_disk_loses_no_row_and_heals_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: a tmpfs cannot be mounted here");
        return;
    };
    let state_dir = disk.0.path().join("state");
    let journal = SqliteJournal::open(&state_dir).unwrap();
    let ballast = disk.0.path().join("ballast");
    std::fs::File::create(&ballast)
        .unwrap()
        .write_all(&[0; 100_000])
        .unwrap();
    let mut written = 0;
    let refused = loop {
        match journal
            .append(
                "a",
                written,
                vec![Entry {
                    body: "x".repeat(3_000),
                    ..entry(0)
                }],
            )
            .await
        {
            Ok(seq) => written = seq,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, JournalError::Database(_)), "{refused}");
    assert_eq!(journal.verify("a").await.unwrap().rows, written);
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(
        journal.append("a", written, entries(1)).await.unwrap(),
        written + 1
    );
    journal.close().await.unwrap();
    assert_eq!(
        SqliteJournal::open(&state_dir)
            .unwrap()
            .verify("a")
            .await
            .unwrap()
            .rows,
        written + 1
    );
}

// fault: one-writer at store/sqlite lock: the lock is not taken
#[tokio::test]
async fn a_second_instance_is_kept_out_until_the_first_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let first = SqliteJournal::open(dir.path()).unwrap();
    let refused = SqliteJournal::open(dir.path()).err().expect("locked");
    assert!(
        matches!(&refused, JournalError::Locked { state_dir } if state_dir == dir.path()),
        "{refused}"
    );
    let pid = std::fs::read_to_string(dir.path().join("lock")).unwrap();
    assert_eq!(pid.trim(), std::process::id().to_string());

    let clone = first.clone();
    first.close().await.unwrap();
    SqliteJournal::open(dir.path())
        .unwrap()
        .close()
        .await
        .unwrap();
    assert!(matches!(
        clone.append("a", 0, entries(1)).await,
        Err(JournalError::Closed)
    ));
    assert!(matches!(clone.close().await, Err(JournalError::Closed)));
}

#[test]
fn only_we_may_read_the_state_directory() {
    let parent = tempfile::tempdir().unwrap();
    let state_dir = parent.path().join("state");
    let _journal = SqliteJournal::open(&state_dir).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&state_dir), 0o700);
    for name in [
        "lock",
        "journal.sqlite",
        "journal.sqlite-wal",
        "journal.sqlite-shm",
    ] {
        assert_eq!(mode(&state_dir.join(name)), 0o600, "{name}");
    }
}

#[test]
fn a_state_directory_that_cannot_be_made_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let deep = parent.path().join("missing/state");
    let error = SqliteJournal::open(&deep)
        .err()
        .expect("refused")
        .to_string();
    assert!(error.contains("missing/state"), "{error}");
    let error = SqliteJournal::open_read_only(&deep)
        .err()
        .expect("refused")
        .to_string();
    assert!(error.contains("missing/state"), "{error}");
}

#[test]
fn a_journal_from_a_newer_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(SqliteJournal::open(dir.path()).unwrap());
    raw(dir.path())
        .pragma_update(None, "user_version", 99)
        .unwrap();
    for opened in [
        SqliteJournal::open(dir.path()),
        SqliteJournal::open_read_only(dir.path()),
    ] {
        let error = opened.err().expect("refused");
        assert!(
            matches!(error, JournalError::Newer { got: 99, known: 2 }),
            "{error}"
        );
    }
}

// fault: audit at store/sqlite walk: the chain of hashes is not followed
// fault: audit at store/sqlite walk: the last row is not held against the head
#[tokio::test]
async fn a_row_that_was_changed_is_found() {
    for (change, found_at) in [
        ("UPDATE rows SET body = '{}' WHERE seq = 2", 3),
        ("UPDATE rows SET kind = 'promoted' WHERE seq = 4", 4),
        (
            "UPDATE rows SET at = '2020-01-01T00:00:00Z' WHERE seq = 1",
            2,
        ),
        ("UPDATE rows SET at = 'yesterday' WHERE seq = 1", 1),
        ("DELETE FROM rows WHERE seq = 2", 2),
        ("DELETE FROM rows WHERE seq = 4", 4),
        ("UPDATE heads SET seq = 3", 4),
        ("DELETE FROM heads", 1),
        // Two rows that changed places, and a tail cut off with the head put right.
        (
            "UPDATE rows SET seq = 9 WHERE seq = 2; UPDATE rows SET seq = 2 WHERE seq = 3;
          UPDATE rows SET seq = 3 WHERE seq = 9",
            2,
        ),
        (
            "DELETE FROM rows WHERE seq > 2; UPDATE heads SET seq = 2",
            2,
        ),
        ("UPDATE rows SET stream = 'other' WHERE seq = 4", 4),
    ] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), 4).await;
        raw(dir.path()).execute_batch(change).unwrap();
        let journal = SqliteJournal::open(dir.path()).unwrap();
        assert!(
            journal
                .streams()
                .await
                .unwrap()
                .contains(&"sales-ivr".to_owned()),
            "{change}: not looked at"
        );
        for damaged in [
            journal.verify("sales-ivr").await.err(),
            journal.load("sales-ivr").await.err(),
        ] {
            assert!(
                matches!(&damaged, Some(JournalError::Damaged { seq, .. }) if *seq == found_at),
                "{change}: {damaged:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_file_that_is_no_journal_is_refused_and_left_as_it_is() {
    let garbage = b"this is not a database at all, but it is long enough to look at".repeat(100);
    let whole = tempfile::tempdir().unwrap();
    filled(whole.path(), 2_000).await;
    let bytes = std::fs::read(journal_path(whole.path())).unwrap();
    let truncated = bytes[..bytes.len() / 2].to_vec();
    let mut scribbled = bytes;
    let middle = scribbled.len() / 2;
    scribbled[middle..middle + 4096].fill(0xa5);
    for content in [garbage, truncated, scribbled] {
        let dir = tempfile::tempdir().unwrap();
        let path = journal_path(dir.path());
        std::fs::File::create(&path)
            .unwrap()
            .write_all(&content)
            .unwrap();
        for opened in [
            SqliteJournal::open(dir.path()),
            SqliteJournal::open_read_only(dir.path()),
        ] {
            let error = opened.err().expect("refused");
            assert!(matches!(&error, JournalError::Unreadable { .. }), "{error}");
            assert!(error.to_string().contains("journal.sqlite"), "{error}");
        }
        assert!(
            std::fs::read(&path).unwrap() == content,
            "the file was written to"
        );
    }
}

#[test]
fn a_database_of_another_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    raw(dir.path())
        .execute_batch("CREATE TABLE bookmarks (url TEXT)")
        .unwrap();
    let error = SqliteJournal::open(dir.path()).err().expect("refused");
    assert!(
        matches!(error, JournalError::Foreign { got: 0, .. }),
        "{error}"
    );
}

// proves: intent-first
#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = SqliteJournal::open(dir.path()).unwrap();
    journal.append("a", 0, entries(5)).await.unwrap();
    // What a killed process leaves behind is what lies on the disk now, nothing closed or folded
    // in.
    for name in ["journal.sqlite", "journal.sqlite-wal"] {
        std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let journal = SqliteJournal::open(copy.path()).unwrap();
    assert_eq!(journal.verify("a").await.unwrap().rows, 5);
    assert_eq!(journal.append("a", 5, entries(1)).await.unwrap(), 6);
}

#[tokio::test]
async fn a_reader_sees_a_running_daemons_rows_and_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = SqliteJournal::open(dir.path()).unwrap();
    daemon.append("a", 0, entries(1)).await.unwrap();
    let reader = SqliteJournal::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.load("a").await.unwrap().rows.len(), 1);
    daemon.append("a", 1, entries(1)).await.unwrap();
    assert_eq!(reader.load("a").await.unwrap().rows.len(), 2);
    assert!(matches!(
        reader.append("a", 2, entries(1)).await,
        Err(JournalError::Database(_))
    ));
    daemon.close().await.unwrap();
    assert_eq!(reader.verify("a").await.unwrap().rows, 2);
}

#[tokio::test]
async fn a_state_directory_without_a_journal_reads_as_empty() {
    let dir = tempfile::tempdir().unwrap();
    let reader = SqliteJournal::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.streams().await.unwrap(), [""; 0]);
    assert_eq!(reader.load("a").await.unwrap(), Stream::default());
    assert!(reader.append("a", 0, entries(1)).await.is_err());
    assert!(!journal_path(dir.path()).exists());
}

#[test]
fn an_unreadable_journal_names_the_file_and_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    drop(SqliteJournal::open(dir.path()).unwrap());
    let path = journal_path(dir.path());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(&path).is_ok() {
        eprintln!("skipped: root may read everything");
        return;
    }
    let error = SqliteJournal::open_read_only(dir.path())
        .err()
        .expect("refused")
        .to_string();
    assert!(
        error.contains("journal.sqlite: Permission denied"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_at_once_all_get_their_rows() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).unwrap();
    let writers: Vec<_> = (0..600)
        .map(|n| {
            let journal = journal.clone();
            tokio::spawn(
                async move { journal.append(&format!("account-{n}"), 0, entries(3)).await },
            )
        })
        .collect();
    for writer in writers {
        assert_eq!(writer.await.unwrap().unwrap(), 3);
    }
    assert_eq!(journal.streams().await.unwrap().len(), 600);
    assert_eq!(journal.verify("account-599").await.unwrap().rows, 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_comes_back_as_it_was(
        rows in prop::collection::vec((any::<String>(), any::<String>(), 0..4_000_000_000i64), 1..20),
        stream in any::<String>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let written: Vec<_> =
            rows.into_iter().map(|(kind, body, second)| Entry { at: at(second), kind, body }).collect();
        let mut store = Store::open(&journal_path(dir.path())).unwrap();
        for (n, entry) in written.iter().enumerate() {
            store.append(vec![append(&stream, n as u64, vec![entry.clone()])]).pop().unwrap().unwrap();
        }
        let read: Vec<_> = store.load(&stream).unwrap().rows.into_iter().map(|row| row.entry).collect();
        prop_assert_eq!(read, written);
    }
}

/// Older ones can corrupt a database in WAL mode when a write and a checkpoint meet.
#[test]
fn the_bundled_sqlite_has_no_known_corruption_of_a_wal() {
    assert!(
        rusqlite::version_number() >= 3_051_003,
        "it is {}, older than 3.51.3",
        rusqlite::version()
    );
}

#[test]
fn a_file_that_was_planted_in_the_state_directory_is_neither_followed_nor_written_to() {
    let home = tempfile::tempdir().unwrap();
    let victim = home.path().join("victim");
    for name in [
        "lock",
        "journal.sqlite",
        "journal.sqlite-wal",
        "journal.sqlite-shm",
        "journal.sqlite-journal",
    ] {
        for plant in [
            std::os::unix::fs::symlink as fn(PathBuf, PathBuf) -> io::Result<()>,
            std::fs::hard_link,
        ] {
            let state = tempfile::tempdir_in(home.path()).unwrap();
            std::io::Write::write_all(&mut File::create(&victim).unwrap(), b"precious").unwrap();
            plant(victim.clone(), state.path().join(name)).unwrap();
            let error = SqliteJournal::open(state.path()).err().expect(name);
            let error = error.to_string();
            assert!(error.contains(name) && error.contains("link"), "{error}");
            if name == "journal.sqlite" {
                assert!(SqliteJournal::open_read_only(state.path()).is_err());
            }
            assert_eq!(std::fs::read(&victim).unwrap(), b"precious", "{name}");
        }
    }
}

#[test]
fn a_pipe_in_place_of_a_file_of_ours_is_not_waited_for() {
    for name in ["lock", "journal.sqlite"] {
        let state = tempfile::tempdir().unwrap();
        let pipe = state.path().join(name);
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let error = SqliteJournal::open(state.path()).err().expect(name);
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}

#[tokio::test]
async fn a_state_directory_may_be_reached_through_a_symlink() {
    let home = tempfile::tempdir().unwrap();
    let (real, link) = (home.path().join("real"), home.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let journal = SqliteJournal::open(&link).unwrap();
    journal.close().await.unwrap();
    assert!(real.join("journal.sqlite").is_file());
}
