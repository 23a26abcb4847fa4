//! Randomness for tokens, keys and the order of lists, from the provider that TLS uses anyway.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// `N` random bytes, good enough for keys, from the system's generator.
pub(super) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let provider = rustls::crypto::ring::default_provider();
    provider
        .secure_random
        .fill(&mut bytes)
        .expect("the system has randomness");
    bytes
}

/// A version 4 UUID, the second half of a permanent token.
pub(super) fn uuid() -> String {
    let mut raw = bytes::<16>();
    // The version and variant bits of RFC 9562, so that the text has the form of real tokens.
    raw[6] = (raw[6] & 0x0f) | 0x40;
    raw[8] = (raw[8] & 0x3f) | 0x80;
    let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// 32 random bytes as text that needs no escaping anywhere.
pub(super) fn opaque() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<32>())
}

/// Puts the items in another order. The bias of the remainder is too small to matter here.
pub(super) fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        let draw = u64::from_le_bytes(bytes()) % (last as u64 + 1);
        items.swap(
            last,
            usize::try_from(draw).expect("no larger than an index"),
        );
    }
}
