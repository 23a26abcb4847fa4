//! The env-file sink on real files: modes, owners, two accounts in one file.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use chrono::DateTime;

use super::*;
use rotator_core::config::FileAccess;
use rotator_core::event::GenerationNo;

const TOKEN: &str = "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9";

fn sink(path: &Path, key: &str) -> EnvFileTarget {
    EnvFileTarget::new(
        "ivr",
        EnvFileSink {
            path: path.to_owned(),
            key: key.to_owned(),
            access: FileAccess::default(),
        },
    )
}

async fn deliver(sink: &EnvFileTarget, token: &str) -> Result<(), SinkError> {
    let token = Token::try_new(token).unwrap();
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
        .map(drop)
}

#[expect(clippy::disallowed_methods, reason = "puts a file in place for a test")]
fn put(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
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
async fn a_delivery_changes_the_value_and_keeps_the_mode() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("dialer.env");
    let sink = sink(&path, "RINGCX_API_TOKEN");
    put(&path, "# dialer\r\nRINGCX_API_TOKEN=old\r\nPORT=1");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    sink.preflight(SinkContext::default()).await.unwrap();
    deliver(&sink, TOKEN).await.unwrap();
    let content = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        content,
        format!("# dialer\r\nRINGCX_API_TOKEN={TOKEN}\nPORT=1")
    );
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(
        words(sink.read_back(SinkContext::default()).await),
        format!("holds {TOKEN}")
    );
}

#[tokio::test]
async fn a_missing_file_is_made_and_private() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("dialer.env");
    let sink = sink(&path, "KEY");
    sink.preflight(SinkContext::default()).await.unwrap();
    assert_eq!(
        words(sink.read_back(SinkContext::default()).await),
        "absent"
    );
    assert!(!path.exists(), "preflight or reading made it");
    deliver(&sink, TOKEN).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        format!("KEY={TOKEN}\n")
    );
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
}

#[tokio::test]
async fn what_the_file_holds_is_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("dialer.env");
    let with_mode = |mode| {
        let access = FileAccess {
            mode: Some(mode),
            ..FileAccess::default()
        };
        EnvFileTarget::new(
            "ivr",
            EnvFileSink {
                path: path.clone(),
                key: "KEY".to_owned(),
                access,
            },
        )
    };
    for (content, seen) in [
        ("A=1\n".to_owned(), "absent"),
        ("KEY=\n".to_owned(), "other: KEY is set to nothing"),
        (
            format!("KEY={TOKEN}\n"),
            "other: its mode is 0600, the policy says 0644",
        ),
    ] {
        put(&path, &content);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(
            words(with_mode(0o644).read_back(SinkContext::default()).await),
            seen
        );
    }
    assert_eq!(
        words(with_mode(0o600).read_back(SinkContext::default()).await),
        format!("holds {TOKEN}")
    );
    put(&path, "KEY='aws80:canary\n");
    let seen = words(with_mode(0o600).read_back(SinkContext::default()).await);
    assert!(
        seen.starts_with("unreadable: ") && seen.contains("line 1"),
        "{seen}"
    );
    assert!(!seen.contains("canary"), "{seen}");
}

#[tokio::test]
async fn a_file_that_cannot_be_edited_is_refused_before_anything_is_minted() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("dialer.env");
    let large = "#".repeat(text::LARGEST + 1);
    for (content, why) in [
        ("KEY=old # canary\n", "something follows the value"),
        (large.as_str(), "larger than 1 MiB"),
    ] {
        put(&path, content);
        let sink = sink(&path, "KEY");
        for result in [
            sink.preflight(SinkContext::default()).await,
            deliver(&sink, TOKEN).await,
        ] {
            let error = result.expect_err("unfit").to_string();
            assert!(error.contains(why) && !error.contains("canary"), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_accounts_in_one_file_lose_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("both.env");
    put(&path, "# both\n");
    let run = |key: &'static str| {
        let path = path.clone();
        tokio::spawn(async move {
            // Sinks of two accounts share nothing but the path.
            let sink = sink(&path, key);
            for round in 0..100 {
                let token = format!("aws80:{key}-{round:03}");
                deliver(&sink, &token).await.unwrap();
                assert_eq!(
                    words(sink.read_back(SinkContext::default()).await),
                    format!("holds {token}")
                );
                sink.clean_up().await;
            }
        })
    };
    let (one, two) = (run("ONE"), run("TWO"));
    one.await.unwrap();
    two.await.unwrap();
    let content = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = content.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["# both", "ONE=aws80:ONE-099", "TWO=aws80:TWO-099"]);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn of_a_released_sink_the_path_may_have_spaces_in_it_and_the_key_has_none() {
    let released = |target: &str| EnvFileTarget::of_released("env-file", target);
    let sink = released("/srv/two words/env RINGCX_TOKEN").unwrap();
    assert_eq!(sink.0.path, Path::new("/srv/two words/env"));
    assert_eq!(sink.0.key, "RINGCX_TOKEN");
    assert!(released("/srv/env").is_none());
    assert!(EnvFileTarget::of_released("file", "/srv/env KEY").is_none());
    assert!(EnvFileTarget::of_released("a-type-of-tomorrow", "/srv/x y").is_none());
}
