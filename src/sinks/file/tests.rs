//! The file sink on real files: exact bytes, modes and what is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chrono::DateTime;

use super::*;
use rotator_core::config::FileAccess;
use rotator_core::event::GenerationNo;

const TOKEN: &str = "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9";

fn sink(path: &Path, trailing_newline: bool) -> FileTarget {
    FileTarget::new(
        "ivr",
        FileSink {
            path: path.to_owned(),
            access: FileAccess::default(),
            trailing_newline,
        },
    )
}

async fn deliver(sink: &FileTarget) {
    let token = Token::try_new(TOKEN).unwrap();
    let delivery = Delivery {
        account: "sales-ivr",
        generation: GenerationNo(1),
        token: &token,
        minted_at: DateTime::UNIX_EPOCH,
        previous: None,
        now: DateTime::UNIX_EPOCH,
    };
    sink.deliver(&delivery, SinkContext::default())
        .await
        .unwrap();
}

#[expect(clippy::disallowed_methods, reason = "puts a file in place for a test")]
fn put(path: &Path, content: &[u8]) {
    std::fs::write(path, content).unwrap();
    chmod(path, 0o600);
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn words(seen: ReadBack) -> String {
    match seen {
        ReadBack::Holds(token) => format!("holds {}", token.expose()),
        ReadBack::Absent => "absent".to_owned(),
        ReadBack::Other(why) => format!("other: {why}"),
        ReadBack::Unreadable(error) => format!("unreadable: {error}"),
        ReadBack::AsDelivered => "as delivered".to_owned(),
        ReadBack::Shows(_) | ReadBack::Opaque => "opaque".to_owned(),
    }
}

#[tokio::test]
async fn the_file_holds_the_token_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    for (trailing_newline, content) in [(false, TOKEN.to_owned()), (true, format!("{TOKEN}\n"))] {
        let sink = sink(&path, trailing_newline);
        sink.preflight(SinkContext::default()).await.unwrap();
        deliver(&sink).await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        assert_eq!(
            words(sink.read_back(SinkContext::default()).await),
            format!("holds {TOKEN}")
        );
    }
}

#[tokio::test]
async fn whatever_differs_from_a_delivery_is_no_delivery() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    let newline = |text: &str| format!("{text}\n").into_bytes();
    let long = vec![b'a'; 64 * 1024 + 1];
    assert_eq!(
        words(sink(&path, false).read_back(SinkContext::default()).await),
        "absent"
    );
    for (trailing_newline, content, why) in [
        (false, b"".to_vec(), "is empty"),
        (
            false,
            newline(TOKEN),
            "line end that the policy does not ask for",
        ),
        (true, TOKEN.into(), "lacks the line end"),
        (true, newline(&format!("{TOKEN}\n")), "is no token"),
        (true, newline(&format!("{TOKEN}\r")), "is no token"),
        (false, format!(" {TOKEN}").into(), "is no token"),
        (false, b"<html>canary</html>".to_vec(), "is no token"),
        (false, b"aws80:canary\xff".to_vec(), "not valid UTF-8"),
        (false, long, "larger than 64 KiB"),
    ] {
        put(&path, &content);
        let seen = words(
            sink(&path, trailing_newline)
                .read_back(SinkContext::default())
                .await,
        );
        assert!(
            seen.starts_with("other: ") && seen.contains(why),
            "{seen:?} lacks {why:?}"
        );
        assert!(!seen.contains("canary") && !seen.contains(TOKEN), "{seen}");
    }
}

#[tokio::test]
async fn a_changed_mode_is_drift_and_the_next_delivery_mends_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    let sink = sink(&path, false);
    deliver(&sink).await;
    chmod(&path, 0o644);
    assert_eq!(
        words(sink.read_back(SinkContext::default()).await),
        "other: its mode is 0644, the policy says 0600"
    );
    deliver(&sink).await;
    assert_eq!(
        words(sink.read_back(SinkContext::default()).await),
        format!("holds {TOKEN}")
    );
}

#[tokio::test]
async fn a_changed_owner_or_group_is_drift() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    put(&path, TOKEN.as_bytes());
    let ours = (uzers::get_effective_uid(), uzers::get_effective_gid());
    for (owner, group, seen) in [
        (Some(ours.0), Some(ours.1), format!("holds {TOKEN}")),
        (
            Some(12345),
            None,
            format!(
                "other: its owner has the id {}, the policy says 12345",
                ours.0
            ),
        ),
        (
            None,
            Some(54321),
            format!(
                "other: its group has the id {}, the policy says 54321",
                ours.1
            ),
        ),
    ] {
        let access = FileAccess {
            mode: None,
            owner: owner.map(|id| id.to_string()),
            group: group.map(|id| id.to_string()),
        };
        let sink = FileTarget::new(
            "ivr",
            FileSink {
                path: path.clone(),
                access,
                trailing_newline: false,
            },
        );
        assert_eq!(words(sink.read_back(SinkContext::default()).await), seen);
    }
}

#[tokio::test]
async fn a_file_behind_a_symlink_is_not_looked_at() {
    let home = tempfile::tempdir().unwrap();
    put(&home.path().join("real"), TOKEN.as_bytes());
    std::os::unix::fs::symlink("real", home.path().join("token")).unwrap();
    let seen = words(
        sink(&home.path().join("token"), false)
            .read_back(SinkContext::default())
            .await,
    );
    assert!(
        seen.starts_with("unreadable: ") && seen.contains("a symbolic link"),
        "{seen}"
    );
}

// fault: whole-file at sinks/atomic_file clean_up: what a crash left is not removed
#[tokio::test]
async fn what_a_crash_left_is_cleaned_up() {
    let home = tempfile::tempdir().unwrap();
    let left = home.path().join(".token.ringcx-rotator.Ab3dEf6hIj1k");
    put(&left, TOKEN.as_bytes());
    sink(&home.path().join("token"), false).clean_up().await;
    assert!(!left.exists());
}
