//! One key of a file of assignments, as systemd's `EnvironmentFile=` and a shell's `.` read it.
//!
//! Knows how the file is read, edited and written back without losing what others change in it;
//! what an assignment is, [`text`] knows. If another program edits the file at the same time, this
//! is noticed and our edit is given up; only the instant of the rename itself is not covered.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::zeroize::Zeroizing;

use super::atomic_file::{self, Claim, DirectoryLock, Expect, FileContent, FileRead, Place};
use super::{Delivery, ReadBack, Sink, SinkContext, SinkError, SinkTarget, on_disk};
use rotator_core::config::{EnvFileSink, FileAccess, SinkConfig};
use rotator_core::event::DeliveryReceipt;
use rotator_core::secret::Token;
use text::{TextError, Value};

#[cfg(test)]
mod tests;
pub mod text;

/// A sink of `type = "env-file"`.
pub struct EnvFileTarget(Arc<EnvFileSink>, Arc<Claim>);

impl SinkTarget for EnvFileTarget {
    type Config = EnvFileSink;

    fn new(_name: &str, policy: EnvFileSink) -> Self {
        let claim = Claim::new(&policy.path);
        Self(Arc::new(policy), Arc::new(claim))
    }

    fn of_released(sink_type: &str, target: &str) -> Option<Self> {
        // A path may have spaces, a key has none.
        let (path, key) = target.rsplit_once(' ')?;
        let policy = EnvFileSink {
            path: PathBuf::from(path),
            key: key.to_owned(),
            access: FileAccess::default(),
        };
        (sink_type == policy.type_name()).then(|| Self::new("", policy))
    }
}

impl Sink for EnvFileTarget {
    async fn preflight(&self, _: SinkContext<'_>) -> Result<(), SinkError> {
        let policy = Arc::clone(&self.0);
        let claim = Arc::clone(&self.1);
        on_disk(&self.0.path, move || preflight(&policy, &claim)).await
    }

    async fn deliver(
        &self,
        delivery: &Delivery<'_>,
        _: SinkContext<'_>,
    ) -> Result<DeliveryReceipt, SinkError> {
        let policy = Arc::clone(&self.0);
        let token = delivery.token.clone();
        let claim = Arc::clone(&self.1);
        on_disk(&self.0.path, move || deliver(&policy, &claim, &token)).await?;
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
            // Another account may be writing this very file: its temporary file is in use.
            if let Ok(place) = Place::open(&policy.path)
                && let Ok(lock) = DirectoryLock::acquire(&place)
                && lock.is_exclusive()
            {
                atomic_file::clean_up_at(&place, &policy.access);
            }
            Ok(())
        });
        // Best effort: the preflight reports a directory that does not answer.
        let _hangs = cleaning.await;
    }
}

fn preflight(policy: &EnvFileSink, claim: &Claim) -> Result<(), SinkError> {
    let place = Place::open(&policy.path)?;
    claim.hold(&place)?;
    atomic_file::preflight_at(&place, &policy.access)?;
    let (current, _) = current(policy, &place)?;
    // A text that cannot be edited is found before a token is minted.
    let rehearsed = Token::try_new("preflight").expect("it has the form of a token");
    text::edit(&current, &policy.key, &rehearsed)
        .map(drop)
        .map_err(|error| unfit(policy, &error))
}

fn deliver(policy: &EnvFileSink, claim: &Claim, token: &Token) -> Result<(), SinkError> {
    let place = Place::open(&policy.path)?;
    claim.hold(&place)?;
    // Before the read: an edit by another account between read and rename would be lost.
    let _lock = DirectoryLock::acquire(&place)?;
    let (current, expect) = current(policy, &place)?;
    let edited = text::edit(&current, &policy.key, token).map_err(|error| unfit(policy, &error))?;
    atomic_file::replace_at(&place, &edited, &policy.access, expect)
}

/// What the file holds (a missing file counts as empty), and what must still be true of it at the
/// rename.
fn current(
    policy: &EnvFileSink,
    place: &Place<'_>,
) -> Result<(Zeroizing<Vec<u8>>, Expect), SinkError> {
    match atomic_file::read_at(place, text::LARGEST as u64)? {
        FileRead::File(found) => {
            let stamp = found.stamp();
            Ok((found.bytes, Expect::Unchanged(stamp)))
        }
        FileRead::Absent => Ok((Zeroizing::default(), Expect::Absent)),
        FileRead::TooLarge => Err(unfit(policy, &TextError::TooLarge)),
    }
}

fn look(policy: &EnvFileSink) -> ReadBack {
    // Without the lock, because a rename shows either the old file or the new one.
    match atomic_file::read(&policy.path, text::LARGEST as u64) {
        Ok(FileRead::File(found)) => compare(policy, &found),
        Ok(FileRead::Absent) => ReadBack::Absent,
        Ok(FileRead::TooLarge) => ReadBack::Unreadable(unfit(policy, &TextError::TooLarge)),
        Err(error) => ReadBack::Unreadable(error),
    }
}

fn compare(policy: &EnvFileSink, found: &FileContent) -> ReadBack {
    match text::read(&found.bytes, &policy.key) {
        Ok(Value::Absent) => ReadBack::Absent,
        Ok(Value::Odd(why)) => ReadBack::Other(format!("{} {why}", policy.key)),
        Ok(Value::Token(token)) => match atomic_file::drift(&policy.access, &found.metadata) {
            Ok(None) => ReadBack::Holds(token),
            Ok(Some(why)) => ReadBack::Other(why),
            Err(error) => ReadBack::Unreadable(error),
        },
        // Not `Other`: it is unknown what its readers make of it, and it may be a token.
        Err(error) => ReadBack::Unreadable(unfit(policy, &error)),
    }
}

fn unfit(policy: &EnvFileSink, error: &TextError) -> SinkError {
    SinkError::Unfit {
        path: policy.path.clone(),
        why: error.to_string(),
    }
}
