//! What one pass has seen of the world: lists, sinks, preflight. Evidence, kept only in memory.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::account::{AccountState, Generation};
use crate::config::PeerSink;
use crate::event::{GenerationNo, PeerToken};
use crate::secret::{Fingerprint, SecretTag};

/// What was seen so far in this pass, and a little of the one before.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What each readable sink holds; `None`: not looked yet, or something was delivered since.
    pub sinks: Option<BTreeMap<String, SinkContent>>,
    /// What the consumers of sinks say they use; those that say nothing are not in it.
    pub claims: BTreeMap<String, ConsumerAck>,
    /// What was seen in the files that are looked through for adopted tokens, by path.
    pub files: BTreeMap<String, FileScan>,
    /// What each sink that was taken out of the policy still holds, where it can be looked at.
    pub released: BTreeMap<String, SinkContent>,
    /// The last list, unless something was changed on the server since.
    pub list: Option<TokenList>,
    /// The sinks that cannot take a token, and why; `None`: not looked yet.
    pub preflight: Option<BTreeMap<String, String>>,
    /// Doubts about the current and the pending token.
    pub doubts: BTreeMap<Fingerprint, Doubt>,
    /// When a list was last had, in this pass or an earlier one.
    pub last_listed_at: Option<DateTime<Utc>>,
    /// The tokens whose text is at hand, so that they can be delivered without asking the server.
    pub values: BTreeSet<Fingerprint>,
    /// The tag of the password, read while a login is held back.
    pub secret_tag: Option<SecretTag>,
    /// The server asked to be left alone until then.
    pub backoff_until: Option<DateTime<Utc>>,
    /// What other accounts tell.
    pub peers: PeerEvidence,
}

/// What other accounts tell: their tokens, and what templates of theirs hold of this account's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerEvidence {
    /// The token of each that is to be used now.
    pub tokens: BTreeMap<String, PeerToken>,
    /// Those whose token's text is at hand.
    pub at_hand: BTreeSet<String>,
    /// What each template of another account holds; one that is not here may hold anything.
    pub held_elsewhere: BTreeMap<PeerSink, BTreeSet<Fingerprint>>,
    /// Another account waits for the text of this one's token.
    pub is_wanted: bool,
}

/// What a sink was seen to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkContent {
    /// A token.
    Token(Fingerprint),
    /// Nothing.
    Absent,
    /// Something else; the text says what.
    Other(String),
    /// It could not be looked at.
    Unreadable(String),
    /// Sinks of this kind cannot be looked at.
    Opaque,
}

/// What a file was seen to hold that is looked through for adopted tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileScan {
    /// These of them; none, where there is no such file any more.
    Holds(BTreeSet<Fingerprint>),
    /// It could not be looked at; the text says why.
    Unknown(String),
}

/// What the consumer of a sink says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerAck {
    /// It uses the token with this fingerprint.
    Uses(Fingerprint),
    /// It uses the token of this generation.
    UsesGeneration(GenerationNo),
    /// Nothing that could be understood; the text says what is wrong with it.
    Odd(String),
}

/// One list of the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenList {
    /// When.
    pub at: DateTime<Utc>,
    /// Every token on it.
    pub tokens: BTreeSet<Fingerprint>,
    /// As whom it was had.
    pub by: ListedBy,
    /// Local minus server time, where the server told its.
    pub skew: Option<TimeDelta>,
}

/// As whom a list was had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedBy {
    /// By logging in.
    Login,
    /// With this token, which thereby was seen to work.
    Token(Fingerprint),
}

/// What speaks against a token that should be alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubt {
    /// Lists had with a login that lack it.
    pub missing_by_login: u8,
    /// Lists had with a token that lack it.
    pub missing_by_token: u8,
    /// How often it was refused.
    pub refused: u8,
    /// A sink inside RingCX was refused when it asked as this token. That may be about the sink as
    /// well, so any list that has the token takes it away.
    pub refused_in_a_sink: bool,
    /// How often a login's list had it all the same.
    pub contradicted: u8,
}

impl Doubt {
    /// Two looks, one of them with a login, agree that it is gone. One alone may have asked a node
    /// of the server that lags behind.
    pub fn is_gone(&self) -> bool {
        self.missing_by_login >= 1
            && (self.missing_by_login >= 2
                || self.missing_by_token >= 1
                || self.refused >= 1
                || self.refused_in_a_sink)
    }

    /// The server says now this, now that: neither is to be acted on.
    pub fn is_contradictory(&self) -> bool {
        self.contradicted >= 2 || (self.contradicted >= 1 && self.refused >= 2)
    }

    /// Asked twice with the token itself, both times in vain.
    pub fn wants_second_look(&self) -> bool {
        self.refused.saturating_add(self.missing_by_token) >= 2
    }

    /// Someone should ask with a login.
    pub fn wants_login(&self) -> bool {
        (self.refused > 0 || self.missing_by_token > 0) && self.missing_by_login == 0
    }

    /// In words.
    pub fn evidence(&self) -> String {
        let mut parts = Vec::new();
        if self.refused > 0 || self.refused_in_a_sink {
            parts.push("RingCX refuses it");
        }
        if self.missing_by_login > 0 || self.missing_by_token > 0 {
            parts.push("it is not on the server's list");
        }
        parts.join(" and ")
    }
}

impl Evidence {
    /// Begins a pass: what may have changed meanwhile is to be looked at again.
    pub fn begin_pass(&mut self, now: DateTime<Utc>) {
        let backoff_until = self.backoff_until.filter(|until| *until > now);
        *self = Self {
            last_listed_at: self.last_listed_at,
            backoff_until,
            ..Self::default()
        };
    }

    /// Takes in a list; `watched` are the tokens that should be on it.
    pub fn saw_list(&mut self, list: TokenList, watched: impl IntoIterator<Item = Fingerprint>) {
        for fingerprint in watched {
            let doubt = self.doubts.entry(fingerprint).or_default();
            let listed = list.tokens.contains(&fingerprint);
            match list.by {
                ListedBy::Token(_) if listed => *doubt = Doubt::default(),
                ListedBy::Login if listed => {
                    doubt.refused_in_a_sink = false;
                    let doubted = *doubt != Doubt::default();
                    doubt.contradicted = doubt.contradicted.saturating_add(u8::from(doubted));
                    doubt.missing_by_login = 0;
                    doubt.missing_by_token = 0;
                }
                ListedBy::Token(_) => {
                    doubt.missing_by_token = doubt.missing_by_token.saturating_add(1)
                }
                ListedBy::Login => {
                    doubt.missing_by_login = doubt.missing_by_login.saturating_add(1)
                }
            }
        }
        self.last_listed_at = Some(list.at);
        self.list = Some(list);
    }

    /// Takes in that the server refused this token. A list from before that says nothing of it any
    /// more: whoever took one for the answer would ask with the token again and again.
    pub fn saw_refusal(&mut self, fingerprint: Fingerprint) {
        self.list = None;
        let doubt = self.doubts.entry(fingerprint).or_default();
        doubt.refused = doubt.refused.saturating_add(1);
    }

    /// Takes in that a sink inside RingCX was refused when it asked as this token.
    pub fn saw_refusal_in_a_sink(&mut self, fingerprint: Fingerprint) {
        self.list = None;
        self.doubts
            .entry(fingerprint)
            .or_default()
            .refused_in_a_sink = true;
    }

    /// Something was changed on the server: the last list no longer tells.
    pub fn server_changed(&mut self) {
        self.list = None;
    }

    /// Another user logs in: what was seen as the one before tells nothing.
    pub fn another_login(&mut self) {
        self.list = None;
        self.doubts.clear();
        self.last_listed_at = None;
    }

    /// Something was changed in a sink: what was seen no longer tells.
    pub fn sinks_changed(&mut self) {
        self.sinks = None;
    }

    /// The tokens as which RingCX may be asked what is in it: the current one and the verified one
    /// on its way. One in doubt comes last: who is refused sees nothing, and what cannot be seen is
    /// delivered again.
    pub fn askers<'s>(&self, state: &'s AccountState) -> impl Iterator<Item = &'s Generation> {
        let verified = state.pending().filter(|it| it.verified_at.is_some());
        let mut askers: Vec<_> = [state.current(), verified].into_iter().flatten().collect();
        askers.sort_by_key(|it| self.doubt(&it.fingerprint) != Doubt::default());
        askers.into_iter()
    }

    /// What speaks against this token.
    pub fn doubt(&self, token: &Fingerprint) -> Doubt {
        self.doubts.get(token).copied().unwrap_or_default()
    }

    /// What was seen in this sink.
    pub fn held(&self, sink: &str) -> Option<&SinkContent> {
        self.sinks.as_ref()?.get(sink)
    }
}
