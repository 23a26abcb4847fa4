//! Compaction: what is cut off leaves a checkpoint, the chain holds from there on, and whatever
//! happens in the middle of it, the journal is the one before or the one after.

use std::io::Write;

use super::*;
use rotator_core::journal::{Checkpoint, Row};

/// What stands behind `entries(upto)` compacted.
fn checkpoint(upto: usize, body: &str) -> Checkpoint {
    let time = |n| entry(n).at;
    Checkpoint {
        seq: upto as u64,
        since: time(0),
        until: time(upto - 1),
        body: body.to_owned(),
    }
}

fn rows(range: std::ops::Range<usize>) -> Vec<Row> {
    range
        .map(|n| Row {
            seq: n as u64 + 1,
            entry: entry(n),
        })
        .collect()
}

#[tokio::test]
async fn the_oldest_rows_give_way_to_a_checkpoint_and_the_stream_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 10).await;
    let journal = SqliteJournal::open(dir.path()).unwrap();
    journal.append("other", 0, entries(2)).await.unwrap();
    journal
        .compact("sales-ivr", 4, "{\"first\":1}".into())
        .await
        .unwrap();
    let first = Stream {
        checkpoint: Some(checkpoint(4, "{\"first\":1}")),
        rows: rows(4..10),
    };
    assert_eq!(journal.load("sales-ivr").await.unwrap(), first);
    assert_eq!(
        journal.verify("sales-ivr").await.unwrap(),
        VerifiedStream {
            rows: 6,
            compacted: 4
        }
    );

    assert_eq!(
        journal
            .append("sales-ivr", 10, vec![entry(10)])
            .await
            .unwrap(),
        11
    );
    // Once more, up to the very last row: the next one follows the checkpoint.
    journal
        .compact("sales-ivr", 11, "{\"second\":2}".into())
        .await
        .unwrap();
    assert_eq!(
        journal
            .append("sales-ivr", 11, vec![entry(11)])
            .await
            .unwrap(),
        12
    );
    journal.close().await.unwrap();

    let reader = SqliteJournal::open_read_only(dir.path()).unwrap();
    let second = Stream {
        checkpoint: Some(checkpoint(11, "{\"second\":2}")),
        rows: rows(11..12),
    };
    assert_eq!(second.last(), 12);
    assert_eq!(reader.load("sales-ivr").await.unwrap(), second);
    assert_eq!(
        reader.verify("sales-ivr").await.unwrap(),
        VerifiedStream {
            rows: 1,
            compacted: 11
        }
    );
    assert_eq!(
        reader.verify("other").await.unwrap(),
        VerifiedStream {
            rows: 2,
            compacted: 0
        }
    );
    assert_eq!(reader.streams().await.unwrap(), ["other", "sales-ivr"]);
    assert!(
        reader.compact("sales-ivr", 12, "{}".into()).await.is_err(),
        "a reader changes nothing"
    );
}

#[tokio::test]
async fn only_rows_that_are_there_can_be_compacted() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3).await;
    let journal = SqliteJournal::open(dir.path()).unwrap();
    journal.compact("sales-ivr", 2, "{}".into()).await.unwrap();
    let before = journal.load("sales-ivr").await.unwrap();
    for (stream, upto) in [
        ("sales-ivr", 0),
        ("sales-ivr", 2),
        ("sales-ivr", 4),
        ("nobody", 1),
    ] {
        let refused = journal
            .compact(stream, upto, "{\"wrong\":1}".into())
            .await
            .unwrap_err();
        assert!(
            matches!(refused, JournalError::NoSuchRow { seq, .. } if seq == upto),
            "{refused}"
        );
    }
    assert_eq!(journal.load("sales-ivr").await.unwrap(), before);
}

// fault: audit at store/sqlite checkpoint: a checkpoint is not held against its hash
#[tokio::test]
async fn a_row_or_a_checkpoint_that_was_changed_is_found_after_compaction_too() {
    for (change, found_at) in [
        ("UPDATE checkpoints SET body = '{}'", 4),
        ("UPDATE checkpoints SET since = '2020-01-01T00:00:00Z'", 4),
        ("UPDATE checkpoints SET until = '2020-01-01T00:00:00Z'", 4),
        ("UPDATE checkpoints SET last_hash = zeroblob(32)", 4),
        ("UPDATE checkpoints SET hash = zeroblob(32)", 4),
        ("UPDATE checkpoints SET hash = zeroblob(5)", 0),
        ("UPDATE checkpoints SET seq = 5", 5),
        ("UPDATE checkpoints SET seq = 3", 3),
        ("UPDATE checkpoints SET seq = -1", 0),
        ("UPDATE checkpoints SET stream = 'other'", 1),
        ("DELETE FROM checkpoints", 1),
        ("DELETE FROM rows WHERE seq = 5", 5),
        ("DELETE FROM rows", 5),
        ("DELETE FROM heads", 1),
        ("UPDATE rows SET body = '{}' WHERE seq = 5", 6),
        ("UPDATE rows SET body = '{}' WHERE seq = 8", 8),
        // As if it stood for more than it does.
        (
            "DELETE FROM rows WHERE seq = 5; UPDATE checkpoints SET seq = 5",
            5,
        ),
        (
            "UPDATE checkpoints SET body = (SELECT body FROM rows WHERE seq = 5)",
            4,
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), 8).await;
        let journal = SqliteJournal::open(dir.path()).unwrap();
        journal
            .compact("sales-ivr", 4, "{\"state\":1}".into())
            .await
            .unwrap();
        journal.close().await.unwrap();
        raw(dir.path()).execute_batch(change).unwrap();
        let journal = SqliteJournal::open(dir.path()).unwrap();
        let found = [
            journal.verify("sales-ivr").await.err(),
            journal.load("sales-ivr").await.err(),
            // What was changed is not swept away.
            journal.compact("sales-ivr", 6, "{}".into()).await.err(),
        ];
        for damaged in found {
            assert!(
                matches!(&damaged, Some(JournalError::Damaged { seq, .. }) if *seq == found_at),
                "{change}: {damaged:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_journal_from_before_checkpoints_opens_and_can_be_compacted() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 5).await;
    raw(dir.path())
        .execute_batch("DROP TABLE checkpoints; PRAGMA user_version = 1")
        .unwrap();
    // Read only, it stays as it is.
    let reader = SqliteJournal::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.load("sales-ivr").await.unwrap().rows, rows(0..5));
    assert_eq!(reader.streams().await.unwrap(), ["sales-ivr"]);
    drop(reader);
    let version =
        |dir: &Path| raw(dir).pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    assert_eq!(version(dir.path()), Ok(1));

    let journal = SqliteJournal::open(dir.path()).unwrap();
    assert_eq!(journal.verify("sales-ivr").await.unwrap().rows, 5);
    journal.compact("sales-ivr", 3, "{}".into()).await.unwrap();
    assert_eq!(journal.load("sales-ivr").await.unwrap().rows, rows(3..5));
    journal.close().await.unwrap();
    assert_eq!(version(dir.path()), Ok(2));
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::File::create(path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

/// What a power cut leaves is some beginning of the write-ahead log. Every one of them is tried.
#[tokio::test]
async fn a_crash_at_any_point_of_a_compaction_leaves_the_journal_before_or_after() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 300).await;
    let journal = SqliteJournal::open(dir.path()).unwrap();
    let before = journal.load("sales-ivr").await.unwrap();
    journal
        .compact("sales-ivr", 250, "{\"state\":1}".into())
        .await
        .unwrap();
    let after = journal.load("sales-ivr").await.unwrap();
    let database = std::fs::read(journal_path(dir.path())).unwrap();
    let log = std::fs::read(dir.path().join("journal.sqlite-wal")).unwrap();
    let (mut as_before, mut as_after) = (0, 0);
    for cut in (0..=log.len()).step_by(512).chain([log.len()]) {
        let copy = tempfile::tempdir().unwrap();
        write(&journal_path(copy.path()), &database);
        write(&copy.path().join("journal.sqlite-wal"), &log[..cut]);
        let found = SqliteJournal::open(copy.path())
            .unwrap()
            .load("sales-ivr")
            .await
            .unwrap();
        if found == before {
            as_before += 1;
        } else {
            assert!(found == after, "half a compaction after {cut} bytes");
            as_after += 1;
        }
    }
    println!(
        "compaction: {as_before} cuts of its log leave the journal before it, {as_after} the one after"
    );
    assert!(as_before > 5 && as_after >= 1);
}

#[test]
fn a_compaction_without_room_changes_nothing_and_is_done_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&journal_path(dir.path())).unwrap();
    store
        .append(vec![append("a", 0, entries(50))])
        .pop()
        .unwrap()
        .unwrap();
    let before = store.load("a").unwrap();
    store.leave_pages(0);
    let large = format!("{{\"state\":\"{}\"}}", "x".repeat(500_000));
    let refused = store.compact("a", 40, &large).unwrap_err();
    assert!(refused.to_string().contains("full"), "{refused}");
    assert_eq!(store.load("a").unwrap(), before);
    store.leave_pages(1000);
    store.compact("a", 40, &large).unwrap();
    assert_eq!(
        store.verify("a").unwrap(),
        VerifiedStream {
            rows: 10,
            compacted: 40
        }
    );
}

/// Pages that compaction frees are used again, so the file stays about as large as what it ever
/// held at once.
#[test]
fn the_file_stops_growing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&journal_path(dir.path())).unwrap();
    let (mut seq, mut sizes) = (0, Vec::new());
    for _ in 0..20 {
        let rows = vec![
            Entry {
                body: format!("{{\"x\":\"{}\"}}", "y".repeat(200)),
                ..entry(1)
            };
            1_000
        ];
        seq = store
            .append(vec![append("a", seq, rows)])
            .pop()
            .unwrap()
            .unwrap();
        if seq > 1_000 {
            store
                .compact(
                    "a",
                    seq - 1_000,
                    &format!("{{\"state\":\"{}\"}}", "z".repeat(20_000)),
                )
                .unwrap();
        }
        sizes.push(store.pages());
    }
    println!("compaction: 20,000 rows written, pages after each 1,000 of them: {sizes:?}");
    assert_eq!(
        store.verify("a").unwrap(),
        VerifiedStream {
            rows: 1_000,
            compacted: 19_000
        }
    );
    let (early, late) = (sizes[3], sizes[19]);
    assert!(
        late <= early + early / 10,
        "it grew from {early} to {late} pages"
    );
}
