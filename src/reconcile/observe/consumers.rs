//! Reading which token the consumers of sinks say they use.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::reconcile::state::{Observer, Reconciler};
use crate::ringcx::TokenApi;
use crate::sinks::{SinkError, atomic_file, on_disk};
use rotator_core::event::GenerationNo;
use rotator_core::journal::Journal;
use rotator_core::plan::evidence::ConsumerAck;

/// Room for a fingerprint or a number, and for the white space that people put around it. In bytes.
const LARGEST_CLAIM: u64 = 1024;

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// What the consumers of sinks say they use, by sink.
    pub(super) async fn hear_consumers(&self) -> BTreeMap<String, ConsumerAck> {
        let sinks = self.config.account.sinks.iter();
        let claims = join_all(sinks.filter_map(|sink| {
            let path = sink.acknowledge.as_ref()?.path.clone();
            Some(async move {
                let from = path.clone();
                let found = on_disk(&path, move || atomic_file::read(&from, LARGEST_CLAIM)).await;
                Some((sink.name.clone(), claim(found)?))
            })
        }))
        .await;
        claims.into_iter().flatten().collect()
    }
}

/// Reads a fingerprint or a generation's number. The file may hold anything, even a secret, so what
/// is not understood is never shown.
fn claim(found: Result<atomic_file::FileRead, SinkError>) -> Option<ConsumerAck> {
    let found = match found {
        Ok(atomic_file::FileRead::Absent) => return None,
        Ok(atomic_file::FileRead::File(found)) => found,
        Ok(atomic_file::FileRead::TooLarge) => {
            return Some(ConsumerAck::Odd(format!(
                "acknowledges with more than {LARGEST_CLAIM} bytes"
            )));
        }
        // Not `None`: a consumer whose file cannot be read has to be seen by the operator.
        Err(error) => return Some(ConsumerAck::Odd(format!("cannot be heard: {error}"))),
    };
    let text = std::str::from_utf8(&found.bytes)
        .map(str::trim)
        // Parses as neither form, so bytes that are not text are reported as odd.
        .unwrap_or("?");
    if text.is_empty() {
        // As with an absent file: nothing was acknowledged yet.
        return None;
    }
    // Many digits are a mistyped fingerprint rather than a generation.
    let number = || {
        text.parse()
            .ok()
            .filter(|_| text.len() <= 12)
            .map(|number| ConsumerAck::UsesGeneration(GenerationNo(number)))
    };
    let claim = text.parse().ok().map(ConsumerAck::Uses).or_else(number);
    claim.or_else(|| {
        Some(ConsumerAck::Odd(
            "acknowledges with neither a fingerprint nor a generation".to_owned(),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> Option<ConsumerAck> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("acknowledged");
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), bytes).unwrap();
        claim(atomic_file::read(&path, LARGEST_CLAIM))
    }

    #[test]
    fn a_consumer_says_a_fingerprint_or_a_number_and_anything_else_is_told() {
        let fingerprint = rotator_core::secret::Fingerprint::of(b"token");
        assert_eq!(
            written(format!("{fingerprint}\n").as_bytes()),
            Some(ConsumerAck::Uses(fingerprint))
        );
        assert_eq!(
            written(b" 7 \r\n"),
            Some(ConsumerAck::UsesGeneration(GenerationNo(7)))
        );
        assert_eq!(written(b"\n"), None);
        for odd in [
            &b"seven"[..],
            b"-1",
            b"\xff\xfe",
            b"1 2",
            &[b'1'; 2000],
            &[b'1'; 63],
        ] {
            assert!(matches!(written(odd), Some(ConsumerAck::Odd(_))), "{odd:?}");
        }
        let absent = tempfile::tempdir().unwrap().path().join("nothing");
        assert_eq!(claim(atomic_file::read(&absent, LARGEST_CLAIM)), None);
    }

    #[test]
    fn what_is_said_is_never_shown() {
        let Some(ConsumerAck::Odd(text)) = written(b"canary") else {
            panic!("it is odd")
        };
        assert!(!text.contains("canary"), "{text}");
    }
}
