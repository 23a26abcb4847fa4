//! Finds known tokens in any bytes, by their fingerprints: their texts need not be at hand.
//!
//! A token is told by its length and its hash, so every stretch of that length is tried, whatever
//! stands around it. Its colon may be percent-encoded. What this does not see: a token that is
//! spelled in another way, such as base64, or broken over two lines.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::zeroize::Zeroizing;

use super::{Fingerprint, is_of_a_token};

/// The tokens that are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted(BTreeMap<usize, BTreeSet<Fingerprint>>);

impl FromIterator<(Fingerprint, usize)> for Wanted {
    /// From fingerprints and the lengths of the tokens that have them, in bytes.
    fn from_iter<I: IntoIterator<Item = (Fingerprint, usize)>>(tokens: I) -> Self {
        let mut by_length: BTreeMap<usize, BTreeSet<Fingerprint>> = BTreeMap::new();
        // `windows` panics on a length of 0, which a damaged journal could name.
        for (fingerprint, length) in tokens.into_iter().filter(|(_, length)| *length > 0) {
            by_length.entry(length).or_default().insert(fingerprint);
        }
        Self(by_length)
    }
}

impl Wanted {
    /// Those of them that are in these bytes. Takes one hash for each byte and each length there
    /// is.
    pub fn in_bytes(&self, bytes: &[u8]) -> BTreeSet<Fingerprint> {
        let mut found = self.as_written(bytes);
        let decoded = with_plain_colons(bytes);
        // Each decoded colon makes it shorter: without one, the first search was enough.
        if decoded.len() < bytes.len() {
            found.extend(self.as_written(&decoded));
        }
        found
    }

    fn as_written(&self, bytes: &[u8]) -> BTreeSet<Fingerprint> {
        let mut found = BTreeSet::new();
        // A token cannot reach over a byte that no token has.
        for run in bytes.split(|byte| !is_of_a_token(*byte)) {
            for (length, wanted) in &self.0 {
                let hashes = run.windows(*length).map(Fingerprint::of);
                found.extend(hashes.filter(|hash| wanted.contains(hash)));
            }
        }
        found
    }
}

/// The only character of a token that is ever percent-encoded.
fn with_plain_colons(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    // At its full size at once: a vector that grows leaves copies behind that are not wiped.
    let mut decoded = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut rest = bytes;
    while let Some((first, others)) = rest.split_first() {
        let is_colon = rest
            .get(..3)
            .is_some_and(|colon| colon.eq_ignore_ascii_case(b"%3a"));
        decoded.push(if is_colon { b':' } else { *first });
        rest = if is_colon { &rest[3..] } else { others };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9";
    const OTHER: &str = "aws80:00000000-bc74-af1a-2850-1d55a371c0a9";

    fn print(text: &str) -> Fingerprint {
        Fingerprint::of(text.as_bytes())
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let wanted: Wanted = [TOKEN, OTHER]
            .map(|token| (print(token), token.len()))
            .into_iter()
            .collect();
        let expected = expected.iter().map(|token| print(token)).collect();
        assert_eq!(wanted.in_bytes(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn a_token_is_found_whatever_stands_around_it() {
        for around in [
            "TOKEN",
            "RINGCX_TOKEN=TOKEN\n",
            "{\"x-auth-token\":\"TOKEN\"}",
            "{\"text\":\"one line\\nTOKEN\\n\"}",
            "key:TOKEN.",
            "xTOKENx",
            "<token>TOKEN</token>",
        ] {
            check(&around.replace("TOKEN", TOKEN), &[TOKEN]);
        }
        check(&format!("{TOKEN},{OTHER}"), &[TOKEN, OTHER]);
        check(
            &format!(
                "https://example.com/hook?token={}",
                TOKEN.replace(':', "%3A")
            ),
            &[TOKEN],
        );
        check(
            &format!("?a={}&b={OTHER}", TOKEN.replace(':', "%3a")),
            &[TOKEN, OTHER],
        );
    }

    #[test]
    fn nothing_else_is_taken_for_one() {
        for text in [
            "",
            ":",
            &TOKEN[1..],
            &TOKEN[..41],
            &TOKEN.to_uppercase(),
            &TOKEN.replace('-', " "),
        ] {
            check(text, &[]);
        }
        let wanted = Wanted::from_iter([(print(""), 0)]);
        assert_eq!(wanted.in_bytes(b"anything"), BTreeSet::new());
    }
}
