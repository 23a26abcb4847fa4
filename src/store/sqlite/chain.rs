//! The hashes that chain the rows of a stream, so that a changed row is found.

use sha2::{Digest, Sha256};

/// A SHA-256, in its 32 bytes.
pub(super) type Hash = [u8; 32];

/// What the first row of a stream follows.
pub(super) const NO_HASH: Hash = [0; 32];

/// The SHA-256 of a row and, through `before`, of every row before it.
pub(super) fn link(
    before: &Hash,
    stream: &str,
    seq: u64,
    at: &str,
    kind: &str,
    body: &str,
) -> Hash {
    digest(&[
        before,
        stream.as_bytes(),
        &seq.to_be_bytes(),
        at.as_bytes(),
        kind.as_bytes(),
        body.as_bytes(),
    ])
}

/// The SHA-256 of a checkpoint and, through `last`, of every row that it replaces.
pub(super) fn seal(
    last: &Hash,
    stream: &str,
    seq: u64,
    since: &str,
    until: &str,
    body: &str,
) -> Hash {
    let (since, until, body) = (since.as_bytes(), until.as_bytes(), body.as_bytes());
    digest(&[
        // Keeps the hash of a checkpoint apart from that of any row.
        b"checkpoint",
        last,
        stream.as_bytes(),
        &seq.to_be_bytes(),
        since,
        until,
        body,
    ])
}

fn digest(fields: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new();
    // Lengths first: otherwise `kind` "a" with `body` "bc" would hash like "ab" with "c".
    for field in fields {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}
