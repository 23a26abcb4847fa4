//! The signature of the Standard Webhooks specification, version 1 with a shared key:
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
//!
//! Pure. Does not know where keys come from.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;

use rotator_core::secret::Secret;

const PREFIX: &str = "whsec_";

/// Reads keys with and without the padding at the end: both are handed out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A signing key, as bytes; wiped when dropped.
pub(super) struct Key(Zeroizing<Vec<u8>>);

/// Why a secret is no key. Never says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the secret begins with `whsec_`, but what follows is not base64")]
    NotBase64,
    #[error("the secret begins with `whsec_`, and nothing follows")]
    Empty,
    #[error("the secret is in quotes: take them off, they are no part of it")]
    Quoted,
    #[error("something stands before the `whsec_` of the secret: take it out")]
    Preceded,
}

impl Key {
    /// `whsec_<base64>`, or the bytes as they are.
    pub(super) fn try_new(secret: &Secret) -> Result<Self, KeyError> {
        let text = secret.expose();
        if ['"', '\'', '`']
            .iter()
            .any(|quote| text.starts_with(*quote) && text.ends_with(*quote))
        {
            return Err(KeyError::Quoted);
        }
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            // Few bytes before it are a slip; a long text may hold it by chance.
            if text.find(PREFIX).is_some_and(|at| at <= 4) {
                return Err(KeyError::Preceded);
            }
            return Ok(Self(Zeroizing::new(secret.expose().as_bytes().to_vec())));
        };
        let key = LENIENT
            .decode(encoded)
            .map(Zeroizing::new)
            .map_err(|_| KeyError::NotBase64)?;
        if key.is_empty() {
            Err(KeyError::Empty)
        } else {
            Ok(Self(key))
        }
    }

    /// The header's value: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
    pub(super) fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        // The time is signed as well, so that a receiver can refuse an old request that is
        // replayed.
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", LENIENT.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_is_signed_as_published() {
        let key = Key::try_new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signature = key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_taken_as_base64_only_after_its_prefix() {
        for (secret, key) in [
            ("whsec_AAEC", Ok(&[0, 1, 2][..])),
            ("whsec_AAE=", Ok(&[0, 1])),
            ("whsec_AAE", Ok(&[0, 1])),
            ("AAEC", Ok(b"AAEC")),
            ("a \" quote", Ok(b"a \" quote")),
            (" whsec_AAEC", Err(KeyError::Preceded)),
            ("\u{feff}whsec_AAEC", Err(KeyError::Preceded)),
            ("\"whsec_AAEC\"", Err(KeyError::Quoted)),
            ("'AAEC'", Err(KeyError::Quoted)),
            ("whsec_", Err(KeyError::Empty)),
            ("whsec_canary!", Err(KeyError::NotBase64)),
        ] {
            let got = Key::try_new(&Secret::new(secret));
            assert_eq!(
                got.as_ref()
                    .map(|got| got.0.as_slice())
                    .map_err(|error| *error),
                key,
                "{secret:?}"
            );
        }
    }
}
