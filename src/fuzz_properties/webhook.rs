//! What the receiver of a webhook or a command answers, as any bytes: only our fingerprint is a
//! receipt.

use serde_json::Value;

use crate::sinks::message;
use rotator_core::secret::Fingerprint;

/// The token of the seeds, whose fingerprint is a receipt.
pub const TOKEN: &str = "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9";

/// An answer under `receipt = "fingerprint"`.
pub fn receipt(body: &[u8]) {
    let ours = Fingerprint::of(TOKEN.as_bytes());
    let proved = match message::proves(body, &ours) {
        Ok(()) => true,
        Err(why) => {
            super::is_one_short_line(why);
            false
        }
    };
    let object: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
    let told = object
        .as_ref()
        .and_then(|answer| answer.get("fingerprint"))
        .and_then(Value::as_str);
    let is_ours = told.is_some_and(|told| told.eq_ignore_ascii_case(&ours.to_string()));
    assert!(
        !proved || is_ours,
        "taken for a receipt: {:?}",
        String::from_utf8_lossy(body)
    );
}
