//! A policy of any bytes: taken, or refused with everything that is wrong, in bounded words without
//! secrets.

use std::path::Path;

use rotator_core::fuzz_properties::is_one_short_line;

use crate::{Color, Severity};

/// What stands in every place of a policy that is for a secret.
const CANARY: &str = "canary-1d55a371c0a9";

/// Put behind a policy: each secret written where it does not belong, or in a line that is faulty.
const PLANTED: &str = r#"
[[account]]
name = "planted"
username = "planted@example.com"
password = "canary-1d55a371c0a9"
passwort = "canary-1d55a371c0a9"
platform-id = 80 # canary-1d55a371c0a9

[[account.sink]]
name = "hook"
type = "webhook"
url = "ftp://canary-1d55a371c0a9"
secret = { value = "canary-1d55a371c0a9" }
headers = { "X A" = "canary-1d55a371c0a9" }

[[account.sink]]
name = "hook"
type = "webhook"
url = "https://example.com/canary-1d55a371c0a9"
secret = ["canary-1d55a371c0a9"]
headers = { "X-A" = "canary-1d55a371c0a9", "webhook-id" = "canary-1d55a371c0a9" }
"#;

/// The most faults that are told.
const MOST_FAULTS: usize = 500;

/// What one fault may come to when it is drawn for a terminal.
const LARGEST_DRAWING: usize = 16 * 1024;

/// Reads these bytes as a policy, once as they are and once with secrets in wrong places behind
/// them.
pub fn loading(bytes: &[u8]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("config.toml");
    load(&path, bytes);
    let said = load(&path, &[bytes, PLANTED.as_bytes()].concat());
    // What names the canary itself shows it where it is no secret.
    if !String::from_utf8_lossy(bytes).contains(CANARY) {
        assert!(!said.contains(CANARY), "{said}");
    }
}

/// Everything that comes back, in every form.
fn load(path: &Path, bytes: &[u8]) -> String {
    put(path, bytes);
    let loaded = crate::load(path);
    let (diagnostics, debug) = match &loaded {
        Ok(loaded) => (&loaded.warnings[..], format!("{:?}", loaded.warnings)),
        Err(errors) => (errors.diagnostics(), format!("{errors:?}")),
    };
    let fatal = diagnostics.iter().any(|it| it.severity == Severity::Error);
    assert_eq!(
        fatal,
        loaded.is_err(),
        "it is refused for a reason, and taken only without one"
    );
    assert!(
        diagnostics.len() <= MOST_FAULTS,
        "{} faults",
        diagnostics.len()
    );
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    assert!(
        debug.len() <= MOST_FAULTS * LARGEST_DRAWING,
        "{} bytes are kept",
        debug.len()
    );
    let mut said = debug;
    for it in diagnostics {
        assert!(
            it.line.is_none_or(|line| (1..=lines).contains(&line)),
            "{it:?} is outside of the file"
        );
        for text in std::iter::once(&it.message).chain(&it.help).chain(&it.note) {
            // A help line may list every key that is known.
            is_one_short_line(text);
        }
        for drawing in [
            it.render(Color::Never, None),
            it.render(Color::Always, Some(60)),
        ] {
            assert!(
                drawing.len() <= LARGEST_DRAWING,
                "{} bytes are drawn",
                drawing.len()
            );
            said.push_str(&drawing);
        }
    }
    assert!(
        said.len() <= MOST_FAULTS * 4 * LARGEST_DRAWING,
        "{} bytes are said",
        said.len()
    );
    // What a running daemon is asked by must be had from any file, too.
    let socket = crate::control_socket_of(path);
    assert!(!socket.as_os_str().is_empty(), "no socket");
    said.push_str(&serde_json::to_string(diagnostics).expect("diagnostics are plain data"));
    said
}

/// A file of a test, which nobody reads while it is written.
pub fn put(path: &std::path::Path, bytes: impl AsRef<[u8]>) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).expect("it can be made");
    file.write_all(bytes.as_ref()).expect("it can be written");
}
