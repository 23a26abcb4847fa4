//! A file that holds the token and nothing else.
//!
//! Knows what belongs in the file; [`super::atomic_file`] knows how it gets there.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::zeroize::Zeroizing;

use super::atomic_file::{self, Claim, Expect, FileContent, FileRead, Place};
use super::{Delivery, ReadBack, Sink, SinkContext, SinkError, SinkTarget, on_disk};
use rotator_core::config::{FileAccess, FileSink, SinkConfig};
use rotator_core::event::DeliveryReceipt;
use rotator_core::secret::{Token, TokenFormError};

#[cfg(test)]
mod tests;

/// More than any token, even with text around it by mistake. In bytes.
const LARGEST: u64 = 64 * 1024;

/// A sink of `type = "file"`.
pub struct FileTarget(Arc<FileSink>, Arc<Claim>);

impl SinkTarget for FileTarget {
    type Config = FileSink;

    fn new(_name: &str, mut policy: FileSink) -> Self {
        // The mode where the policy is silent: an existing file's wider one is not kept.
        policy.access = policy.access();
        let claim = Claim::new(&policy.path);
        Self(Arc::new(policy), Arc::new(claim))
    }

    fn of_released(sink_type: &str, target: &str) -> Option<Self> {
        let policy = FileSink {
            path: PathBuf::from(target),
            access: FileAccess::default(),
            trailing_newline: false,
        };
        (sink_type == policy.type_name()).then(|| Self::new("", policy))
    }
}

impl Sink for FileTarget {
    async fn preflight(&self, _: SinkContext<'_>) -> Result<(), SinkError> {
        let (policy, claim) = (Arc::clone(&self.0), Arc::clone(&self.1));
        on_disk(&self.0.path, move || {
            let place = Place::open(&policy.path)?;
            claim.hold(&place)?;
            atomic_file::preflight_at(&place, &policy.access)
        })
        .await
    }

    async fn deliver(
        &self,
        delivery: &Delivery<'_>,
        _: SinkContext<'_>,
    ) -> Result<DeliveryReceipt, SinkError> {
        let policy = Arc::clone(&self.0);
        let token = delivery.token.expose();
        // Room for all of it at once: a buffer that grows leaves copies of the token.
        let mut content = Zeroizing::new(Vec::with_capacity(token.len() + 1));
        content.extend_from_slice(token.as_bytes());
        if policy.trailing_newline {
            content.push(b'\n');
        }
        // Any file is replaced, because nothing of the old one is kept.
        let claim = Arc::clone(&self.1);
        on_disk(&self.0.path, move || {
            let place = Place::open(&policy.path)?;
            claim.hold(&place)?;
            atomic_file::replace_at(&place, &content, &policy.access, Expect::Any)
        })
        .await?;
        Ok(DeliveryReceipt::default())
    }

    async fn read_back(&self, _: SinkContext<'_>) -> ReadBack {
        let policy = Arc::clone(&self.0);
        let looked = on_disk(&self.0.path, move || Ok(look(&policy))).await;
        looked.unwrap_or_else(ReadBack::Unreadable)
    }

    async fn clean_up(&self) {
        let policy = Arc::clone(&self.0);
        let cleaning = on_disk(&self.0.path, move || {
            atomic_file::clean_up(&policy.path, &policy.access);
            Ok(())
        });
        // Best effort: the preflight reports a directory that does not answer.
        let _hangs = cleaning.await;
    }
}

fn look(policy: &FileSink) -> ReadBack {
    match atomic_file::read(&policy.path, LARGEST) {
        Ok(FileRead::File(found)) => compare(policy, &found),
        Ok(FileRead::Absent) => ReadBack::Absent,
        Ok(FileRead::TooLarge) => {
            ReadBack::Other("is larger than 64 KiB, so it is no token".to_owned())
        }
        Err(error) => ReadBack::Unreadable(error),
    }
}

/// The bytes must be those that we would write, and so must mode, owner and group where the policy
/// sets them: a file that differs is delivered again.
fn compare(policy: &FileSink, found: &FileContent) -> ReadBack {
    let token = match content(&found.bytes, policy) {
        Ok(token) => token,
        Err(why) => return ReadBack::Other(why),
    };
    match atomic_file::drift(&policy.access, &found.metadata) {
        Ok(None) => ReadBack::Holds(token),
        Ok(Some(why)) => ReadBack::Other(why),
        Err(error) => ReadBack::Unreadable(error),
    }
}

/// The token of a file that holds nothing else.
pub(crate) fn content(bytes: &[u8], policy: &FileSink) -> Result<Token, String> {
    if bytes.is_empty() {
        return Err("is empty".to_owned());
    }
    let (body, ended) = match bytes.strip_suffix(b"\n") {
        Some(body) => (body, true),
        None => (bytes, false),
    };
    let text = std::str::from_utf8(body).map_err(|_| "is no token: not valid UTF-8".to_owned())?;
    let token =
        Token::try_new(text).map_err(|error: TokenFormError| format!("is no token: {error}"))?;
    match (ended, policy.trailing_newline) {
        (true, true) | (false, false) => Ok(token),
        (true, false) => Err("ends with a line end that the policy does not ask for".to_owned()),
        (false, true) => Err("lacks the line end that the policy asks for".to_owned()),
    }
}
