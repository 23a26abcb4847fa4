//! Real scripts that are given real deliveries.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::*;
use rotator_core::config::HeaderSecret;
use rotator_core::event::{GenerationNo, Outcome};

const TOKEN: &str = "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9";
const VALUE: &str = "canary-in-the-environment";

struct Bench {
    dir: TempDir,
    policy: CommandSink,
}

impl Bench {
    fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("take");
        crate::sinks::atomic_file::replace(
            &program,
            format!("#!/bin/sh\ncd {}\n{script}\n", dir.path().display()).as_bytes(),
            &rotator_core::config::FileAccess {
                mode: Some(0o700),
                ..Default::default()
            },
            crate::sinks::atomic_file::Expect::Absent,
        )
        .unwrap();
        let policy = CommandSink {
            argv: vec![program.display().to_string(), "an argument".to_owned()],
            stdin: CommandInput::Json,
            environment: vec![("KEY".to_owned(), HeaderSecret::new(VALUE.to_owned()))],
            timeout: Duration::from_secs(20),
            receipt: Receipt::Status,
            read_back: None,
        };
        Self { dir, policy }
    }

    fn with(mut self, change: impl FnOnce(&mut CommandSink)) -> Self {
        change(&mut self.policy);
        self
    }

    fn sink(&self) -> CommandTarget {
        CommandTarget::new("push", self.policy.clone())
    }

    async fn deliver(&self) -> Result<DeliveryReceipt, SinkError> {
        let at = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let token = Token::try_new(TOKEN).unwrap();
        let delivery = Delivery {
            account: "ivr",
            generation: GenerationNo(7),
            token: &token,
            minted_at: at,
            previous: None,
            now: at,
        };
        // A file that was written a moment ago may still be open for writing in a child that
        // another test is just starting: then the system is asked again.
        loop {
            match self.sink().deliver(&delivery, SinkContext::default()).await {
                Err(SinkError::NotRun {
                    source: ProcessError::Start { source, .. },
                    ..
                }) if source.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
                outcome => return outcome,
            }
        }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    #[track_caller]
    fn refused(outcome: Result<DeliveryReceipt, SinkError>) -> (String, Outcome, Option<String>) {
        let error = outcome.expect_err("it is not taken");
        (error.to_string(), error.outcome(), error.note())
    }
}

#[tokio::test]
async fn a_program_gets_the_webhooks_json_and_its_end_is_the_receipt() {
    let bench = Bench::new("cat > got; printf '%s' \"$1\" > argument; echo took it");
    let taken = bench.deliver().await.unwrap();
    assert_eq!(taken.note.as_deref(), Some("took it"));
    let got: serde_json::Value = serde_json::from_str(&bench.read("got")).unwrap();
    assert_eq!(got["type"], "ringcx.token.rotated");
    assert_eq!(
        (&got["data"]["account"], &got["data"]["sink"]),
        (&"ivr".into(), &"push".into())
    );
    assert_eq!(
        (&got["data"]["token"], &got["data"]["generation"]),
        (&TOKEN.into(), &7.into())
    );
    assert_eq!(bench.read("argument"), "an argument");
}

#[tokio::test]
async fn a_program_that_wants_the_token_alone_gets_its_bytes_and_nothing_else() {
    let bench = Bench::new("cat > got").with(|policy| policy.stdin = CommandInput::Token);
    assert_eq!(bench.deliver().await.unwrap(), DeliveryReceipt::default());
    assert_eq!(bench.read("got"), TOKEN);
}

#[tokio::test]
async fn a_program_that_fails_may_have_taken_it_all_the_same() {
    let bench = Bench::new("cat > /dev/null; echo the disk is full >&2; exit 3");
    let (error, outcome, note) = Bench::refused(bench.deliver().await);
    assert!(
        error.ends_with("/take ended with exit code 3: the disk is full"),
        "{error}"
    );
    assert_eq!(
        (outcome, note.as_deref()),
        (Outcome::Unknown, Some("the disk is full"))
    );
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_ended_and_may_have_taken_it() {
    let bench = Bench::new("cat > /dev/null; echo begun >&2; sleep 60")
        .with(|policy| policy.timeout = Duration::from_millis(300));
    let (error, outcome, note) = Bench::refused(bench.deliver().await);
    assert!(
        error.contains("took longer than 300ms and was ended"),
        "{error}"
    );
    assert_eq!(
        (outcome, note.as_deref()),
        (Outcome::Unknown, Some("begun"))
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_was_given_nothing() {
    let bench = Bench::new("").with(|policy| policy.argv[0].push_str("-not"));
    let (error, outcome, _) = Bench::refused(bench.deliver().await);
    assert!(error.contains("cannot run"), "{error}");
    assert_eq!(outcome, Outcome::NotDone);
}

#[tokio::test]
async fn a_fingerprint_asked_for_is_read_from_what_it_prints() {
    let fingerprint = Token::try_new(TOKEN).unwrap().fingerprint();
    for (printed, why) in [
        (format!("{fingerprint}"), None),
        (
            format!("{{\"stored\":true,\"fingerprint\":\"{fingerprint}\"}}"),
            None,
        ),
        (
            format!("{}", Fingerprint::of(b"another")),
            Some("it printed another fingerprint"),
        ),
        (
            format!("{{\"fingerprint\":\"{}\"}}", Fingerprint::of(b"another")),
            Some("another fingerprint"),
        ),
        (
            "ok".to_owned(),
            Some("did not print the token's fingerprint"),
        ),
        (String::new(), Some("did not print the token's fingerprint")),
    ] {
        let bench = Bench::new(&format!("cat > /dev/null; echo '{printed}'"));
        let outcome = bench
            .with(|policy| policy.receipt = Receipt::Fingerprint)
            .deliver()
            .await;
        match why {
            None => assert!(outcome.is_ok(), "{printed}"),
            Some(why) => {
                let (error, outcome, _) = Bench::refused(outcome);
                assert!(error.contains(why), "{error}");
                assert_eq!(outcome, Outcome::Unknown);
            }
        }
    }
}

#[tokio::test]
async fn what_it_prints_is_kept_without_secrets_and_short() {
    let spell = "t=$(cat); echo \"token $t\"; printf '%s' \"$t\" | base64 -w0; echo; \
                 printf '%s' \"$t\" | od -An -v -tx1 | tr -d ' \\n'; echo \" $KEY\" >&2; echo \"$t\" >&2; \
                 head -c 100000 /dev/zero | tr '\\0' x";
    for end in ["exit 0", "exit 1"] {
        let bench = Bench::new(&format!("{spell}; {end}"))
            .with(|policy| policy.stdin = CommandInput::Token);
        let (told, note) = match bench.deliver().await {
            Ok(taken) => (String::new(), taken.note.unwrap()),
            Err(error) => (error.to_string(), error.note().unwrap()),
        };
        assert!(
            note.contains("[redacted]") && note.chars().count() < 500,
            "{note}"
        );
        let hex: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
        for secret in [TOKEN, VALUE, &STANDARD.encode(TOKEN), &hex] {
            assert!(!note.contains(secret) && !told.contains(secret), "{note}");
        }
    }
}

#[tokio::test]
async fn the_token_is_in_neither_its_arguments_nor_its_environment() {
    // It looks at itself as any user of the machine could while it runs.
    let look = "token=$(cat); tr '\\0' '\\n' < /proc/$$/cmdline > cmdline; tr '\\0' '\\n' < /proc/$$/environ > environ";
    let bench = Bench::new(look);
    bench.deliver().await.unwrap();
    let (cmdline, environ) = (bench.read("cmdline"), bench.read("environ"));
    assert!(
        cmdline.contains("an argument") && environ.contains(VALUE),
        "{cmdline}\n{environ}"
    );
    assert!(
        ![cmdline, environ]
            .iter()
            .any(|text| text.contains("c2353445"))
    );
}

#[tokio::test]
async fn before_a_mint_it_is_seen_whether_the_program_can_be_run() {
    let bench = Bench::new("");
    bench
        .sink()
        .preflight(SinkContext::default())
        .await
        .unwrap();
    let program = std::path::PathBuf::from(&bench.policy.argv[0]);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o600)).unwrap();
    let directory = bench.dir.path().display().to_string();
    for unfit in [
        program.display().to_string(),
        format!("{}x", program.display()),
        directory,
    ] {
        let sink = Bench::new("")
            .with(|policy| policy.argv[0].clone_from(&unfit))
            .sink();
        let error = sink
            .preflight(SinkContext::default())
            .await
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            format!("{unfit}: no such program, or it may not be run")
        );
    }
}

#[tokio::test]
async fn it_cannot_be_looked_at() {
    assert!(matches!(
        Bench::new("")
            .sink()
            .read_back(SinkContext::default())
            .await,
        ReadBack::Opaque
    ));
}

#[tokio::test]
async fn a_program_that_looks_shows_what_is_there() {
    let look = async |script: &str| {
        let bench = Bench::new(script);
        let bench = bench.with(|policy| policy.read_back = Some(policy.argv.clone()));
        bench.sink().read_back(SinkContext::default()).await
    };
    let fingerprint = Fingerprint::of(TOKEN.as_bytes());
    let holds = look(&format!("echo {TOKEN}")).await;
    assert!(matches!(holds, ReadBack::Holds(token) if token.fingerprint() == fingerprint));
    let shows = look(&format!("printf ' %s\\n' {fingerprint}")).await;
    assert!(matches!(shows, ReadBack::Shows(seen) if seen == fingerprint));
    assert!(matches!(look("true").await, ReadBack::Absent));
    let odd = look("echo not a token; head -c 10000000 /dev/zero").await;
    assert!(matches!(odd, ReadBack::Other(_)));
    let ReadBack::Unreadable(error) = look(&format!("echo {TOKEN}; exit 3")).await else {
        panic!("an exit code is an answer");
    };
    let error = error.to_string();
    assert!(
        error.contains("exit code 3") && !error.contains(TOKEN),
        "{error}"
    );
    let bench = Bench::new("sleep 60").with(|policy| {
        policy.read_back = Some(policy.argv.clone());
        policy.timeout = Duration::from_millis(100);
    });
    let late = bench.sink().read_back(SinkContext::default()).await;
    assert!(matches!(
        late,
        ReadBack::Unreadable(SinkError::NotRun { .. })
    ));
    let missing = Bench::new("true")
        .with(|policy| policy.read_back = Some(vec!["/nonexistent/look".to_owned()]));
    let refused = missing.sink().preflight(SinkContext::default()).await;
    assert!(matches!(refused, Err(SinkError::NoProgram { .. })));
    let opaque = Bench::new("true").sink();
    let opaque = opaque.read_back(SinkContext::default()).await;
    assert!(matches!(opaque, ReadBack::Opaque));
}
