//! What the journal of a made-up world says so far, kept apart from the fold that is under test:
//! what the invariants compare the state and the steps with.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Event, GenerationNo};
use crate::secret::Fingerprint;

/// A short account of the journal.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Ledger {
    pub verified: BTreeSet<GenerationNo>,
    /// Those that any sink was ever sent.
    pub published: BTreeSet<GenerationNo>,
    /// The newest that was ever promoted.
    pub promoted: Option<GenerationNo>,
    /// The sinks as they are bound now.
    pub sinks: BTreeMap<String, SinkEntry>,
    /// The mint whose intent has no outcome.
    pub open_mint: Option<GenerationNo>,
    /// A login's list was had since that intent.
    pub looked_since_mint: bool,
    /// The tokens that were called retired.
    pub retired: BTreeSet<Fingerprint>,
    /// The tokens whose deletion was announced.
    pub deletes: BTreeSet<Fingerprint>,
    /// The tokens that an operator put under the policy, and whether the flow was named as holding
    /// them.
    pub adopted: BTreeMap<Fingerprint, bool>,
}

/// One sink, since it was bound.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct SinkEntry {
    /// The newest it was sent.
    pub sent: Option<GenerationNo>,
    /// What it was sent last has no outcome.
    pub open: bool,
    pub proved: BTreeSet<GenerationNo>,
    /// What its consumer is to be told of.
    pub owed: Option<GenerationNo>,
    /// What its consumer says that it uses.
    pub said: Option<GenerationNo>,
}

impl Ledger {
    pub fn enter(&mut self, event: &Event) {
        match event {
            Event::LineStarted { .. } => self.open_mint = None,
            Event::MintIntended { generation, .. } => {
                (self.open_mint, self.looked_since_mint) = (Some(*generation), false);
            }
            Event::Minted { generation, .. }
            | Event::MintFailed { generation, .. }
            | Event::MintMissing { generation, .. }
            | Event::MintAmbiguous { generation, .. } => {
                self.open_mint.take_if(|open| open == generation);
            }
            Event::Verified { generation } => _ = self.verified.insert(*generation),
            Event::SinkBound { sink, .. } => {
                _ = self.sinks.insert(sink.clone(), SinkEntry::default())
            }
            Event::SinkReleased { sink } => _ = self.sinks.remove(sink),
            Event::DeliveryIntended { sink, generation } => {
                self.published.insert(*generation);
                let entry = self.sinks.entry(sink.clone()).or_default();
                (entry.sent, entry.open) = (entry.sent.max(Some(*generation)), true);
            }
            Event::Delivered { sink, .. } | Event::DeliveryFailed { sink, .. } => {
                self.sinks.entry(sink.clone()).or_default().open = false;
            }
            Event::Proved { sink, generation } => {
                let entry = self.sinks.entry(sink.clone()).or_default();
                entry.open = false;
                entry.proved.insert(*generation);
            }
            Event::NotifyOwed { sink, generation } => {
                self.sinks.entry(sink.clone()).or_default().owed = Some(*generation);
            }
            Event::Notified { sink, .. } => self.sinks.entry(sink.clone()).or_default().owed = None,
            Event::Acknowledged { sink, generation } => {
                self.sinks.entry(sink.clone()).or_default().said = Some(*generation);
            }
            Event::Promoted { generation } => self.promoted = self.promoted.max(Some(*generation)),
            Event::DeleteIntended { fingerprint, .. } => _ = self.deletes.insert(*fingerprint),
            Event::Retired { fingerprint, .. } => _ = self.retired.insert(*fingerprint),
            Event::Adopted {
                fingerprint, files, ..
            } => {
                self.adopted.insert(*fingerprint, !files.is_empty());
            }
            Event::Disowned { fingerprint } => _ = self.adopted.remove(fingerprint),
            Event::ForeignGone { fingerprints } | Event::ForeignClaimed { fingerprints, .. } => {
                self.adopted
                    .retain(|fingerprint, _| !fingerprints.contains(fingerprint));
            }
            Event::RotationAsked
            | Event::RingexAttempted { .. }
            | Event::RingexQuiet { .. }
            | Event::ServerQuiet { .. }
            | Event::SecretAccepted { .. }
            | Event::LoginAttempted
            | Event::PasswordReset { .. }
            | Event::ForeignSeen { .. }
            | Event::AdoptedHeld { .. }
            | Event::MintUnknown { .. }
            | Event::LostMintClosed { .. }
            | Event::Abandoned { .. }
            | Event::Drifted { .. }
            | Event::TokenLost { .. }
            | Event::Reappeared { .. }
            | Event::ListDisagreed { .. }
            | Event::ListAgreed { .. }
            | Event::AttemptFailed { .. }
            | Event::LaneCleared { .. }
            | Event::HoldLifted { .. }
            | Event::ClockDisagreed { .. }
            | Event::ClockAgreed
            | Event::ClockStepped { .. } => {}
        }
    }
}
