//! A file of the operator's own shape, with tokens in it: this account's, and those of others that
//! it names.
//!
//! Always rendered whole and written like any file ([`super::atomic_file`]). The token cannot be
//! read out of it, so its content is known by its bytes: as long as they are those of the last
//! rendering, it holds the tokens of that one. What this does not know: which tokens are newer; it
//! writes those that it is given.

use std::sync::Arc;

use super::atomic_file::{self, Expect, FileContent, FileRead};
use super::{Delivery, ReadBack, Sink, SinkContext, SinkError, SinkTarget, on_disk};
use rotator_core::config::TemplateSink;
use rotator_core::event::{DeliveryReceipt, PeerToken};
use rotator_core::secret::Fingerprint;
use rotator_core::template::{LARGEST, RenderedToken, Values};

#[cfg(test)]
mod tests;

/// A sink of `type = "template"`.
pub struct TemplateTarget(Arc<TemplateSink>);

impl SinkTarget for TemplateTarget {
    type Config = TemplateSink;

    fn new(_name: &str, policy: TemplateSink) -> Self {
        Self(Arc::new(policy))
    }
}

impl Sink for TemplateTarget {
    async fn preflight(&self, _: SinkContext<'_>) -> Result<(), SinkError> {
        let policy = Arc::clone(&self.0);
        let path = self.0.path.clone();
        on_disk(&path, move || {
            atomic_file::preflight(&policy.path, &policy.access)
        })
        .await
    }

    async fn deliver(
        &self,
        delivery: &Delivery<'_>,
        context: SinkContext<'_>,
    ) -> Result<DeliveryReceipt, SinkError> {
        let policy = Arc::clone(&self.0);
        let missing = policy
            .accounts
            .iter()
            .find(|name| !context.peers.contains_key(*name));
        // A file with a gap would break its reader, so the delivery waits for all tokens.
        if let Some(account) = missing {
            return Err(SinkError::NoPeer {
                account: account.clone(),
            });
        }
        let own = RenderedToken {
            token: delivery.token.clone(),
            generation: delivery.generation,
            minted_at: delivery.minted_at,
        };
        let values = Values {
            account: delivery.account,
            own: &own,
            others: context.peers,
        };
        let text = policy.template.render(&values);
        let text = text.map_err(|error| SinkError::Template {
            why: error.to_string(),
        })?;
        // The token cannot be read out of the file, so this stands for it when the sink is read.
        let version = Fingerprint::of(&text).to_string();
        // Journaled, because nothing else says which tokens of the others the file holds.
        let peers = context.peers.iter().map(|(name, shown)| {
            let (generation, fingerprint) = (shown.generation, shown.token.fingerprint());
            (
                name.clone(),
                PeerToken {
                    generation,
                    fingerprint,
                },
            )
        });
        let peers = peers.collect();
        let path = self.0.path.clone();
        on_disk(&path, move || {
            atomic_file::replace(&policy.path, &text, &policy.access, Expect::Any)
        })
        .await?;
        Ok(DeliveryReceipt {
            version: Some(version),
            peers,
            ..DeliveryReceipt::default()
        })
    }

    async fn read_back(&self, context: SinkContext<'_>) -> ReadBack {
        let policy = Arc::clone(&self.0);
        let path = self.0.path.clone();
        match on_disk(&path, move || {
            atomic_file::read(&policy.path, LARGEST as u64)
        })
        .await
        {
            Ok(FileRead::File(found)) => compare(&self.0, &found, context),
            Ok(FileRead::Absent) => ReadBack::Absent,
            Ok(FileRead::TooLarge) => ReadBack::Other("a file larger than 1 MiB".to_owned()),
            Err(error) => ReadBack::Unreadable(error),
        }
    }

    async fn clean_up(&self) {
        let policy = Arc::clone(&self.0);
        let path = self.0.path.clone();
        let cleaning = on_disk(&path, move || {
            atomic_file::clean_up(&policy.path, &policy.access);
            Ok(())
        });
        // Best effort: the preflight reports a directory that does not answer.
        let _hangs = cleaning.await;
    }
}

fn compare(policy: &TemplateSink, found: &FileContent, context: SinkContext<'_>) -> ReadBack {
    if !context.left_it_as(&Fingerprint::of(&found.bytes).to_string()) {
        return ReadBack::Other("a file that is not as it was rendered last".to_owned());
    }
    match atomic_file::drift(&policy.access, &found.metadata) {
        Ok(None) => ReadBack::AsDelivered,
        Ok(Some(why)) => ReadBack::Other(why),
        Err(error) => ReadBack::Unreadable(error),
    }
}
