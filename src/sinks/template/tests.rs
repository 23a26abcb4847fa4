//! Files rendered from tokens, and what is seen of them afterwards.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use chrono::DateTime;
use tempfile::TempDir;

use super::*;
use rotator_core::config::FileAccess;
use rotator_core::event::GenerationNo;
use rotator_core::secret::Token;
use rotator_core::template;

const TOKEN: &str = "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9";
const OTHER: &str = "aws80:0ff1ce00-bc74-af1a-2850-1d55a371beef";
const SOURCE: &str =
    "{\n  \"ivr\": {{ token|json }},\n  \"crm\": {{ accounts.crm.token|json }}\n}\n";

struct Bench {
    dir: TempDir,
    peers: BTreeMap<String, RenderedToken>,
    sink: TemplateTarget,
}

fn shown(token: &str, generation: u64) -> RenderedToken {
    RenderedToken {
        token: Token::try_new(token).unwrap(),
        generation: GenerationNo(generation),
        minted_at: DateTime::UNIX_EPOCH,
    }
}

impl Bench {
    fn new() -> Self {
        Self::of(SOURCE)
    }

    fn of(source: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sink = TemplateTarget::new(
            "ivr",
            TemplateSink {
                path: dir.path().join("tokens.json"),
                access: FileAccess {
                    mode: Some(0o640),
                    ..FileAccess::default()
                },
                template: template::Template::try_new(source.to_owned()).unwrap(),
                accounts: vec!["crm".to_owned()],
            },
        );
        Self {
            dir,
            peers: [("crm".to_owned(), shown(OTHER, 3))].into(),
            sink,
        }
    }

    async fn deliver(&self) -> Result<DeliveryReceipt, SinkError> {
        let token = Token::try_new(TOKEN).unwrap();
        let delivery = Delivery {
            account: "ivr",
            generation: GenerationNo(7),
            token: &token,
            minted_at: DateTime::UNIX_EPOCH,
            previous: None,
            now: DateTime::UNIX_EPOCH,
        };
        self.sink
            .deliver(
                &delivery,
                SinkContext {
                    peers: &self.peers,
                    ..SinkContext::default()
                },
            )
            .await
    }

    async fn look(&self, taken: &DeliveryReceipt) -> String {
        let context = SinkContext {
            last: Some((GenerationNo(7), taken)),
            ..SinkContext::default()
        };
        match self.sink.read_back(context).await {
            ReadBack::AsDelivered => "as delivered".to_owned(),
            ReadBack::Absent => "absent".to_owned(),
            ReadBack::Other(what) => what,
            ReadBack::Unreadable(error) => error.to_string(),
            ReadBack::Holds(_) | ReadBack::Shows(_) | ReadBack::Opaque => {
                unreachable!("it shows no token")
            }
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("tokens.json")
    }
}

#[tokio::test]
async fn a_file_is_rendered_whole_and_known_again_by_its_bytes() {
    let bench = Bench::new();
    assert_eq!(bench.look(&DeliveryReceipt::default()).await, "absent");
    let taken = bench.deliver().await.unwrap();
    let text = std::fs::read_to_string(bench.path()).unwrap();
    assert_eq!(
        text,
        format!("{{\n  \"ivr\": \"{TOKEN}\",\n  \"crm\": \"{OTHER}\"\n}}\n")
    );
    assert_eq!(
        std::fs::metadata(bench.path())
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o640
    );
    assert_eq!(
        taken.version.as_deref(),
        Some(Fingerprint::of(text.as_bytes()).to_string().as_str())
    );
    let peer = PeerToken {
        generation: GenerationNo(3),
        fingerprint: Fingerprint::of(OTHER.as_bytes()),
    };
    assert_eq!(taken.peers, [("crm".to_owned(), peer)].into());
    assert_eq!(bench.look(&taken).await, "as delivered");
    assert_eq!(
        bench.look(&DeliveryReceipt::default()).await,
        "a file that is not as it was rendered last"
    );
}

#[tokio::test]
async fn a_file_changed_by_another_is_not_taken_for_ours() {
    let bench = Bench::new();
    let taken = bench.deliver().await.unwrap();
    let file = std::fs::OpenOptions::new()
        .append(true)
        .open(bench.path())
        .unwrap();
    std::io::Write::write_all(&mut &file, b"\n").unwrap();
    assert_eq!(
        bench.look(&taken).await,
        "a file that is not as it was rendered last"
    );
    bench.deliver().await.unwrap();
    assert_eq!(bench.look(&taken).await, "as delivered");
    std::fs::set_permissions(bench.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(
        bench.look(&taken).await.contains("mode"),
        "{}",
        bench.look(&taken).await
    );
}

#[tokio::test]
async fn without_a_token_of_another_account_nothing_is_written() {
    let mut bench = Bench::new();
    bench.peers.clear();
    let error = bench.deliver().await.unwrap_err();
    assert_eq!(error.to_string(), "there is no token of account crm yet");
    assert_eq!(error.outcome(), rotator_core::event::Outcome::NotDone);
    assert!(!bench.path().exists());
}

#[tokio::test]
async fn a_text_that_lacks_a_token_is_not_delivered() {
    for (source, whose) in [
        (
            "{% if generation < 5 %}{{ token }}{% endif %}{{ accounts.crm.token }}",
            "of ivr",
        ),
        ("{{ token|upper }}{{ accounts.crm.token }}", "of ivr"),
        ("{{ token }}", "of crm"),
    ] {
        let bench = Bench::of(source);
        let error = bench.deliver().await.expect_err("it lacks one").to_string();
        assert!(error.contains(whose) && !error.contains(TOKEN), "{error}");
        assert!(!bench.dir.path().join("tokens.json").exists());
    }
}
