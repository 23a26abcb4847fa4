//! What holds for a policy of any bytes: it is accepted, or refused with diagnostics that are
//! bounded in number and size and show no secret.

use std::path::Path;

use rotator_core::fuzz_properties::is_one_short_line;

use crate::{Color, Diagnostic, DiagnosticSeverity};

/// Takes the place of every secret.
const CANARY: &str = "canary-1d55a371c0a9";

/// Appended to a policy: secrets where they do not belong, or in a line that is faulty.
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

/// The largest number of diagnostics.
const MOST: usize = 500;

/// The largest rendering of one diagnostic, in bytes.
const LARGEST_RENDERING: usize = 16 * 1024;

/// Loads these bytes as a policy, once as they are and once with secrets in wrong places after
/// them.
pub fn loading(bytes: &[u8]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("config.toml");
    load(&path, bytes);
    let shown = load(&path, &[bytes, PLANTED.as_bytes()].concat());
    // An input that has the canary in it may show it where it is not a secret.
    if !String::from_utf8_lossy(bytes).contains(CANARY) {
        assert!(!shown.contains(CANARY), "{shown}");
    }
}

/// Everything that loading returns, in every form in which it can be shown.
fn load(path: &Path, bytes: &[u8]) -> String {
    put(path, bytes);
    let loaded = crate::load(path);
    let (diagnostics, debug) = match &loaded {
        Ok(loaded) => (&loaded.warnings[..], format!("{:?}", loaded.warnings)),
        Err(errors) => (errors.diagnostics(), format!("{errors:?}")),
    };
    let is_error = |diagnostic: &Diagnostic| diagnostic.severity == DiagnosticSeverity::Error;
    let fatal = diagnostics.iter().any(is_error);
    let is_refused = loaded.is_err();
    assert_eq!(fatal, is_refused, "only an error refuses, and each does");
    let count = diagnostics.len();
    assert!(count <= MOST, "{count} diagnostics");
    let size = debug.len();
    assert!(size <= MOST * LARGEST_RENDERING, "{size} bytes are kept");
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    let mut shown = debug;
    for diagnostic in diagnostics {
        shown.push_str(&renderings(diagnostic, lines));
    }
    let size = shown.len();
    let most = MOST * 4 * LARGEST_RENDERING;
    assert!(size <= most, "{size} bytes are shown");
    // The commands find the control socket of a running daemon with any file.
    let socket = crate::control_socket_of(path);
    assert!(!socket.as_os_str().is_empty(), "there is no control socket");
    shown.push_str(&serde_json::to_string(diagnostics).expect("diagnostics are plain data"));
    shown
}

/// One diagnostic of a file with this many lines, for a terminal with colours and without.
fn renderings(diagnostic: &Diagnostic, lines: usize) -> String {
    let is_inside = |line| (1..=lines).contains(&line);
    assert!(
        diagnostic.line.is_none_or(is_inside),
        "{diagnostic:?} is outside of the file"
    );
    let Diagnostic {
        message,
        help,
        note,
        ..
    } = diagnostic;
    for text in [Some(message), help.as_ref(), note.as_ref()] {
        // A help line may list every key that is known.
        text.into_iter().for_each(|text| is_one_short_line(text));
    }
    let mut shown = String::new();
    for (color, width) in [(Color::Never, None), (Color::Always, Some(60))] {
        let rendering = diagnostic.render(color, width);
        let size = rendering.len();
        assert!(size <= LARGEST_RENDERING, "{size} bytes are rendered");
        shown.push_str(&rendering);
    }
    shown
}

/// Writes a file of a test. In place, because no other program reads it.
pub fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).expect("it can be made");
    file.write_all(bytes.as_ref()).expect("it can be written");
}
