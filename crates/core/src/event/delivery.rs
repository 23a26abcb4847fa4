//! What a sink answered to a delivery.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::GenerationNo;
use crate::secret::Fingerprint;

/// What a sink answered when it took a token. The journal remembers it for the sink, which has no
/// memory of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryReceipt {
    /// The state that it left its target in, for a sink that can tell that state again but not read
    /// the token out of it: the SHA-256 of a rendered file, the `updatedTime` of an auth config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How it is known that the token is there, where a sink has more than one way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// What a program printed, cut short and without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The tokens of other accounts that went there with it, by account.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub peers: BTreeMap<String, PeerToken>,
}

impl DeliveryReceipt {
    /// Whether the sink said nothing beyond that it took the token.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// Another account's token in a sink of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerToken {
    /// Its generation, counted in that account.
    pub generation: GenerationNo,
    /// The fingerprint by which that account knows it.
    pub fingerprint: Fingerprint,
}
