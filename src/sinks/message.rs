//! What is said to a receiver that is no file, and how it proves that it heard: the JSON of
//! webhooks and commands.
//!
//! What this does not know: how it gets there.

use chrono::{DateTime, SecondsFormat, Utc};
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Delivery;
use rotator_core::secret::Fingerprint;

/// The order of the fields is that of the documentation, and the same at every try.
#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    account: &'a str,
    sink: &'a str,
    generation: u64,
    token: &'a str,
    fingerprint: Fingerprint,
    previous_fingerprint: Option<Fingerprint>,
    previous_retires_after: Option<String>,
}

/// What an answer must have under `receipt = "fingerprint"`; more does not matter.
#[derive(Deserialize)]
struct ReceiverAnswer {
    fingerprint: String,
}

/// A delivery in the form that webhooks have. `sink` is the sink's name.
pub(super) fn json(sink: &str, delivery: &Delivery<'_>) -> Zeroizing<Vec<u8>> {
    let seconds = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let message = Message {
        kind: "ringcx.token.rotated",
        // Not the time of sending: every try has the same bytes.
        timestamp: seconds(delivery.minted_at),
        data: Data {
            account: delivery.account,
            sink,
            generation: delivery.generation.0,
            token: delivery.token.expose(),
            fingerprint: delivery.token.fingerprint(),
            previous_fingerprint: delivery.previous.map(|previous| previous.fingerprint),
            previous_retires_after: delivery
                .previous
                .map(|previous| seconds(previous.retires_after)),
        },
    };
    Zeroizing::new(serde_json::to_vec(&message).expect("text and numbers always serialize"))
}

/// Whether this answer names the token's fingerprint, or why not.
pub(crate) fn proves(answer: &[u8], expected: &Fingerprint) -> Result<(), &'static str> {
    const NOT_THAT: &str = "its answer is not JSON with a `fingerprint`";
    // serde would also take an array whose first element is the fingerprint.
    if !answer.trim_ascii_start().starts_with(b"{") {
        return Err(NOT_THAT);
    }
    // Other fields are skipped unchecked below, even where they are not valid text.
    serde_json::from_slice::<Value>(answer).map_err(|_| NOT_THAT)?;
    let answer: ReceiverAnswer = serde_json::from_slice(answer).map_err(|_| NOT_THAT)?;
    match answer.fingerprint.parse::<Fingerprint>() {
        Ok(got) if got == *expected => Ok(()),
        Ok(_) => Err("its answer has another fingerprint"),
        Err(_) => Err("the `fingerprint` in its answer is not 64 hex digits"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_not_json_all_through_is_no_receipt() {
        let ours = Fingerprint::of(b"aws80:one");
        let answer = |more: &[u8]| {
            let head = [b"{\"more\":\"".as_slice(), more].concat();
            [
                head,
                format!("\",\"fingerprint\":\"{ours}\"}}").into_bytes(),
            ]
            .concat()
        };
        assert_eq!(proves(&answer("ü\\u00fc".as_bytes()), &ours), Ok(()));
        for more in [b"\xff".as_slice(), br"\ud800"] {
            assert!(proves(&answer(more), &ours).is_err(), "{more:?}");
        }
    }
}
