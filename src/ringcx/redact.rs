//! What an error's body says, fit to be shown.
//!
//! How secrets are blotted out of it is `secret/redact.rs`; this file knows the forms in which
//! RingCX and RingEX say what went wrong.

use serde_json::Value;

#[cfg(test)]
use rotator_core::secret::redact::{BLOT, MAX_SAID};
pub use rotator_core::secret::redact::{line, plain};

#[cfg(test)]
mod tests;

/// Bytes of a plain text body that are looked at: its first words say what went wrong.
const MAX_LOOKED_AT: usize = 4 * 1024;

/// What is said of a body that is an HTML page.
pub const PAGE: &str = "an HTML page";

/// Whether RingCX or RingEX may have written this error themselves: their JSON, or nothing at all.
pub fn is_own(body: &[u8]) -> bool {
    const NAMES: [&str; 4] = ["errorCode", "generalMessage", "error", "message"];
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => NAMES.iter().any(|name| fields.contains_key(*name)),
        Ok(_) | Err(_) => body.trim_ascii().is_empty(),
    }
}

/// What an error's body says, in one line: the JSON error of RingCX (`errorCode`, `generalMessage`)
/// or of RingEX (`error`, `error_description`), any of them missing, or the text as it is.
/// `secrets` are those of the call that was made.
pub fn said(body: &[u8], secrets: &[&str]) -> String {
    if let Ok(Value::Object(fields)) = serde_json::from_slice(body) {
        let field = |name| {
            fields
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        // RingCX; OAuth, which RingEX speaks at its login; RingEX elsewhere.
        let code = field("errorCode")
            .filter(|_| field("error").is_none())
            .or(field("error"));
        let text = field("generalMessage")
            .or(field("error_description"))
            .or(field("message"));
        let parts: Vec<&str> = [code, text].into_iter().flatten().collect();
        if !parts.is_empty() {
            return line(&parts.join(": "), secrets);
        }
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_LOOKED_AT)]);
    let start = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    // A proxy's page: markup tells an operator nothing.
    if start.starts_with('<') {
        return PAGE.to_owned();
    }
    line(start, secrets)
}
