//! A file of the operator's own shape, with tokens in it: this account's, and those of others that
//! it names.
//!
//! Always rendered whole and written like any file ([`super::atomic_file`]). The token cannot be
//! read out of it, so its content is known by its bytes: as long as they are those of the last
//! rendering, it holds the tokens of that one. What this does not know: which tokens are newer; it
//! writes those that it is given.

use std::sync::Arc;

use secrecy::zeroize::Zeroizing;

use super::atomic_file::{self, Claim, Expect, FileContent, FileRead, Place};
use super::{Delivery, ReadBack, Sink, SinkContext, SinkError, SinkTarget, on_disk};
use rotator_core::config::TemplateSink;
use rotator_core::event::{DeliveryReceipt, PeerToken};
use rotator_core::secret::Fingerprint;
use rotator_core::template::{LARGEST, RenderedToken, Values};

#[cfg(test)]
mod tests;

/// A sink of `type = "template"`.
pub struct TemplateTarget(Arc<TemplateSink>, Arc<Claim>);

impl SinkTarget for TemplateTarget {
    type Config = TemplateSink;

    fn new(_name: &str, policy: TemplateSink) -> Self {
        let claim = Claim::new(&policy.path);
        Self(Arc::new(policy), Arc::new(claim))
    }
}

impl Sink for TemplateTarget {
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
        context: SinkContext<'_>,
    ) -> Result<DeliveryReceipt, SinkError> {
        let policy = Arc::clone(&self.0);
        let text = render(&policy, delivery, context)?;
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
        let claim = Arc::clone(&self.1);
        on_disk(&self.0.path, move || {
            let place = Place::open(&policy.path)?;
            claim.hold(&place)?;
            atomic_file::replace_at(&place, &text, &policy.access, Expect::Any)
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
        match on_disk(&self.0.path, move || {
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
        let cleaning = on_disk(&self.0.path, move || {
            atomic_file::clean_up(&policy.path, &policy.access);
            Ok(())
        });
        // Best effort: the preflight reports a directory that does not answer.
        let _hangs = cleaning.await;
    }
}

/// The file's text, with every token that it stands for.
fn render(
    policy: &TemplateSink,
    delivery: &Delivery<'_>,
    context: SinkContext<'_>,
) -> Result<Zeroizing<Vec<u8>>, SinkError> {
    let mut named = policy.accounts.iter();
    // A file with a gap would break its reader, so the delivery waits for all tokens.
    if let Some(account) = named.find(|name| !context.peers.contains_key(*name)) {
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
    let unfit = |why| SinkError::Template { why };
    let text = policy.template.render(&values);
    let text = text.map_err(|error| unfit(error.to_string()))?;
    // What is delivered counts as proved, so a text that lacks a token must not get there.
    let others = context
        .peers
        .iter()
        .map(|(name, shown)| (name.as_str(), shown));
    let mut all = std::iter::once((delivery.account, &own)).chain(others);
    let lacks = |shown: &RenderedToken| {
        let token = shown.token.expose().as_bytes();
        !text.windows(token.len()).any(|window| window == token)
    };
    match all.find(|(_, shown)| lacks(shown)) {
        Some((whose, _)) => Err(unfit(format!(
            "its text lacks the token of {whose}, or has it in another form"
        ))),
        None => Ok(text),
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
