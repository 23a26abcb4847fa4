//! `tokens --json` and `adopt --json`: the server's tokens, joined with the journal and the sinks.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{HeldBySink, TokenStage};
use crate::reconcile::ListedToken;
use rotator_core::account::AccountState;
use rotator_core::config::AccountPolicy;
use rotator_core::event::GenerationNo;
use rotator_core::plan::adopted_retires_after;
use rotator_core::plan::evidence::SinkContent;
use rotator_core::secret::Fingerprint;

/// The answer of `tokens --json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokensView {
    /// The account's name in the policy.
    pub account: String,
    /// Every token on the server, and those of ours that should be.
    pub tokens: Vec<TokenView>,
}

/// One token of the server or of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenView {
    /// SHA-256 of the token, as hex digits.
    pub fingerprint: Fingerprint,
    /// Its text, masked; `None` where the server did not list it.
    pub token: Option<String>,
    /// Its stage, for example `previous`.
    pub stage: TokenStage,
    /// Its number, where it is ours.
    pub generation: Option<GenerationNo>,
    /// When it was minted, where it is ours.
    pub minted_at: Option<DateTime<Utc>>,
    /// When a list first showed it, where it is foreign.
    pub first_seen_at: Option<DateTime<Utc>>,
    /// When an operator put it under the policy, where it is foreign.
    #[serde(default)]
    pub adopted_at: Option<DateTime<Utc>>,
    /// The other account of the policy whose token it is; its user is that account's too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The sinks that hold it.
    pub held_by: Vec<String>,
}

/// The server's tokens that are not ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForeignView {
    /// The account's name in the policy.
    pub account: String,
    /// The foreign tokens, those seen first before the others.
    pub tokens: Vec<ForeignTokenView>,
}

/// One token that is not ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForeignTokenView {
    /// SHA-256 of the token, as hex digits.
    pub fingerprint: Fingerprint,
    /// Its text, masked, so that an operator can recognize it.
    pub token: String,
    /// How many bytes it has.
    pub length: usize,
    /// When a list first showed it. RingCX does not tell when it was made.
    pub first_seen_at: Option<DateTime<Utc>>,
    /// When an operator put it under the policy.
    pub adopted_at: Option<DateTime<Utc>>,
    /// When it may be deleted, as far as time goes, if it is under the policy and its successor is
    /// promoted.
    pub retires_after: Option<DateTime<Utc>>,
    /// The sinks that hold it.
    pub held_by: Vec<String>,
    /// The files that are looked through for it.
    pub files: Vec<String>,
}

/// The server's list joined with the journal.
pub fn tokens(
    account: &str,
    state: &AccountState,
    held: &HeldBySink,
    listed: &[ListedToken],
) -> TokensView {
    let listed: BTreeMap<Fingerprint, &ListedToken> = listed
        .iter()
        .map(|token| (token.fingerprint, token))
        .collect();
    let ours = state
        .own()
        .filter(|own| own.is_alive())
        .map(|own| own.fingerprint);
    let all: BTreeSet<Fingerprint> = ours.chain(listed.keys().copied()).collect();
    let mut tokens: Vec<TokenView> = all
        .into_iter()
        .map(|fingerprint| {
            let known = state.by_fingerprint(&fingerprint);
            let by_look = holders(held, fingerprint);
            let foreign = state.foreign.get(&fingerprint);
            let by_receipt = known.map(|own| by_receipt(state, held, own.number));
            TokenView {
                fingerprint,
                token: listed.get(&fingerprint).map(|token| token.masked.clone()),
                stage: known.map_or(TokenStage::Foreign, |own| own.stage().into()),
                generation: known.map(|own| own.number),
                minted_at: known.map(|own| own.minted_at),
                first_seen_at: foreign.map(|token| token.first_seen_at),
                adopted_at: foreign
                    .and_then(|token| token.adoption.as_ref())
                    .map(|adoption| adoption.at),
                owner: listed
                    .get(&fingerprint)
                    .and_then(|token| token.owner.clone()),
                held_by: by_look.chain(by_receipt.into_iter().flatten()).collect(),
            }
        })
        .collect();
    // Ours by number, then the foreign ones by the time they were first seen.
    tokens.sort_by_key(|token| {
        (
            token.generation.is_none(),
            token.generation,
            token.first_seen_at,
        )
    });
    TokensView {
        account: account.to_owned(),
        tokens,
    }
}

/// The sinks that were seen to hold this token.
fn holders(held: &HeldBySink, fingerprint: Fingerprint) -> impl Iterator<Item = String> {
    let holding = held
        .iter()
        .filter(move |(_, held)| **held == SinkContent::Token(fingerprint));
    holding.map(|(sink, _)| sink.clone())
}

/// The sinks that cannot be read and whose receipt says that they hold this generation.
fn by_receipt(
    state: &AccountState,
    held: &HeldBySink,
    number: GenerationNo,
) -> impl Iterator<Item = String> {
    let sinks = state.sinks.iter().filter(move |(sink, record)| {
        let is_opaque = !matches!(
            held.get(*sink),
            Some(SinkContent::Token(_) | SinkContent::Absent | SinkContent::Other(_))
        );
        is_opaque && record.proved.is_some_and(|(proved, _)| proved == number)
    });
    sinks.map(|(sink, _)| sink.clone())
}

/// Those on the server's list that are not ours.
pub fn foreign(
    policy: &AccountPolicy,
    state: &AccountState,
    held: &HeldBySink,
    listed: &[ListedToken],
) -> ForeignView {
    let foreign = listed
        .iter()
        .filter(|token| state.by_fingerprint(&token.fingerprint).is_none())
        .filter(|token| token.owner.is_none());
    let mut tokens: Vec<ForeignTokenView> = foreign
        .map(|listed| {
            let known = state.foreign.get(&listed.fingerprint);
            let adoption = known.and_then(|token| token.adoption.as_ref());
            let retires_after = known.and_then(|token| adopted_retires_after(policy, token));
            ForeignTokenView {
                fingerprint: listed.fingerprint,
                token: listed.masked.clone(),
                length: listed.length,
                first_seen_at: known.map(|token| token.first_seen_at),
                adopted_at: adoption.map(|adoption| adoption.at),
                retires_after,
                held_by: holders(held, listed.fingerprint).collect(),
                files: adoption
                    .iter()
                    .flat_map(|adoption| adoption.files.iter().cloned())
                    .collect(),
            }
        })
        .collect();
    tokens.sort_by_key(|token| {
        (
            token.first_seen_at.is_none(),
            token.first_seen_at,
            token.fingerprint,
        )
    });
    ForeignView {
        account: policy.name.clone(),
        tokens,
    }
}
