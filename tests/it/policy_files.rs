//! Policies as an operator gives them to the program: the shipped examples, and one with many
//! accounts. What the policy crate says about single options is tested there.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The policies of `config/examples`; a test of the policy crate compares them with the docs.
fn examples() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect()
}

#[test]
fn every_example_is_accepted_by_check_as_an_operator_runs_it() {
    let examples = examples();
    assert_eq!(examples.len(), 10, "an example was added or is gone");
    for path in examples {
        let name = path.display();
        let run = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ringcx-rotator"));
            let ran = command
                .arg("--config")
                .arg(&path)
                .args(args)
                .env_clear()
                .output()
                .unwrap();
            assert_eq!(
                ran.status.code(),
                Some(0),
                "{name}: {}",
                String::from_utf8_lossy(&ran.stderr)
            );
            String::from_utf8(ran.stdout).unwrap()
        };
        let report: serde_json::Value = serde_json::from_str(&run(&["check", "--json"])).unwrap();
        assert_eq!(report["ok"], true, "{name}: {report}");
        // What the unit needs for it can be derived, too.
        assert!(run(&["systemd-dropin"]).contains("[Service]"), "{name}");
    }
}

#[test]
fn a_thousand_accounts_load_quickly() {
    let text: String = (0..1000)
        .map(|n| {
            format!(
                r#"
[[account]]
name = "a{n}"
username = "ivr-bot@example.com"
password = {{ credential = "a{n}" }}
platform-id = "aws80"

[[account.sink]]
name = "token-file"
type = "file"
path = "/run/ivr/{n}"
"#
            )
        })
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    crate::env::write(&path, text.as_bytes());
    // Generous: this is about quadratic blow-ups, on a busy machine and without optimisation.
    let watch = ringcx_rotator::clock::monotonic();
    assert_eq!(
        rotator_policy::load(&path).unwrap().policy.accounts.len(),
        1000
    );
    assert!(watch.elapsed().as_secs() < 10);
}
