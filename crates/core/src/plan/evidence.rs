//! What one pass has seen of the world: lists, sinks, preflight. Kept in memory only.
//!
//! The reconciler reports what it saw (`saw_list`, `saw_sinks`, …) and what it changed
//! (`server_changed`, `sinks_changed`); the plan reads. Only this file writes the fields, so that
//! what one observation says about another is decided in one place: for example, a refused token
//! makes the last list useless, because a list from before the refusal says nothing about it.

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
    pub(crate) sinks: Option<BTreeMap<String, SinkContent>>,
    /// What the consumers of sinks say they use; those that say nothing are not in it.
    pub(crate) claims: BTreeMap<String, ConsumerAck>,
    /// What was seen in the files that are looked through for adopted tokens, by path.
    pub(crate) files: BTreeMap<String, FileScan>,
    /// What each sink that was taken out of the policy still holds, where it can be looked at.
    pub(crate) released: BTreeMap<String, SinkContent>,
    /// The last list, unless something was changed on the server since.
    pub(crate) list: Option<TokenList>,
    /// The sinks that cannot take a token, and why; `None`: not looked yet.
    pub(crate) preflight: Option<BTreeMap<String, String>>,
    /// Doubts about the current and the pending token.
    pub(crate) doubts: BTreeMap<Fingerprint, Doubt>,
    /// When a list was last received, in this pass or an earlier one.
    pub(crate) last_listed_at: Option<DateTime<Utc>>,
    /// The tokens whose text is at hand, so that they can be delivered without asking the server.
    pub(crate) values: BTreeSet<Fingerprint>,
    /// The tag of the password, read while a login is held back.
    pub(crate) secret_tag: Option<SecretTag>,
    /// The server asked for no calls until then.
    pub(crate) backoff_until: Option<DateTime<Utc>>,
    /// What other accounts report.
    pub(crate) peers: PeerEvidence,
}

/// One look at everything that may hold a token of this account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinksLook {
    /// What each sink of the policy holds.
    pub sinks: BTreeMap<String, SinkContent>,
    /// What the consumers of sinks say they use; those that say nothing are not in it.
    pub claims: BTreeMap<String, ConsumerAck>,
    /// What the files hold that are looked through for adopted tokens, by path.
    pub files: BTreeMap<String, FileScan>,
    /// What each sink that was taken out of the policy still holds, where it can be looked at.
    pub released: BTreeMap<String, SinkContent>,
}

/// What other accounts report: their tokens, and what templates of theirs hold of this account's.
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
    /// A well-formed token, by its fingerprint; it may be ours or foreign.
    Token(Fingerprint),
    /// No token: the file, or the key in it, does not exist.
    Absent,
    /// Something else; the text says what.
    Other(String),
    /// It could not be looked at.
    Unreadable(String),
    /// Sinks of this kind cannot be looked at.
    Opaque,
}

/// What a file that is looked through for adopted tokens was seen to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileScan {
    /// These of the wanted tokens; none, where the file does not exist any more.
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

/// One list from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenList {
    /// When it was received, by our clock.
    pub at: DateTime<Utc>,
    /// Every token on it.
    pub tokens: BTreeSet<Fingerprint>,
    /// What authenticated the call.
    pub by: ListedBy,
    /// Local minus server time, if the answer had a `Date` header.
    pub skew: Option<TimeDelta>,
}

/// What authenticated the call that listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedBy {
    /// A login's access token: such a list does not show that any API token works.
    Login,
    /// This token, which was thereby seen to work.
    Token(Fingerprint),
}

/// What speaks against a token that should be alive, counted over lists and refusals.
///
/// For example, a list by login without the token and a refusal of the token itself: together they
/// say that it is gone. One of them alone may come from a node of the server that lags behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubt {
    /// Lists by login that lack it.
    pub missing_by_login: u8,
    /// Lists by token that lack it.
    pub missing_by_token: u8,
    /// Calls with it that were refused.
    pub refused: u8,
    /// A sink inside RingCX was refused when it asked as this token. That may be about the sink as
    /// well, so any list that has the token takes it away.
    pub refused_in_a_sink: bool,
    /// Lists by login that had it although something spoke against it.
    pub contradicted: u8,
}

impl Doubt {
    /// Two looks, one of them with a login, agree that it is gone.
    pub fn is_gone(&self) -> bool {
        // Calls with the token alone are not enough: one node that lags may have answered all.
        self.missing_by_login >= 1
            && (self.missing_by_login >= 2
                || self.missing_by_token >= 1
                || self.refused >= 1
                || self.refused_in_a_sink)
    }

    /// The server's answers contradict each other, so none of them is acted on.
    pub fn is_contradictory(&self) -> bool {
        self.contradicted >= 2 || (self.contradicted >= 1 && self.refused >= 2)
    }

    /// Whether two calls with the token itself have failed.
    pub fn wants_second_look(&self) -> bool {
        self.refused.saturating_add(self.missing_by_token) >= 2
    }

    /// Whether a list by login would tell more than another one by token.
    pub fn wants_login(&self) -> bool {
        (self.refused > 0 || self.missing_by_token > 0) && self.missing_by_login == 0
    }

    /// What speaks against it, as a message.
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
    /// Knows what these sinks hold and nothing else, for a plan without a daemon.
    pub fn of_sinks(sinks: BTreeMap<String, SinkContent>) -> Self {
        Self {
            sinks: Some(sinks),
            ..Self::default()
        }
    }

    /// Begins a pass: what may have changed since the last one is to be looked at again.
    pub fn begin_pass(&mut self, now: DateTime<Utc>) {
        *self = Self {
            // These two outlast a pass: `check-every` and the server's pause do not begin anew with
            // it.
            last_listed_at: self.last_listed_at,
            backoff_until: self.backoff_until(now),
            ..Self::default()
        };
    }

    /// Takes in a list; `watched` are the tokens that should be on it.
    pub fn saw_list(&mut self, list: TokenList, watched: impl IntoIterator<Item = Fingerprint>) {
        for fingerprint in watched {
            let doubt = self.doubts.entry(fingerprint).or_default();
            let listed = list.tokens.contains(&fingerprint);
            match list.by {
                // It has just authenticated a call and is listed: nothing is left to doubt.
                ListedBy::Token(_) if listed => *doubt = Doubt::default(),
                // A login's list does not show that the token works, so refusals stay counted.
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

    /// Takes in that the server refused this token. A list from before that says nothing about the
    /// token any more: kept, it would be taken for the answer, and the plan would ask with the
    /// token again and again.
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

    /// Takes in what sinks, their consumers and other files hold.
    pub fn saw_sinks(&mut self, look: SinksLook) {
        let SinksLook {
            sinks,
            claims,
            files,
            released,
        } = look;
        self.sinks = Some(sinks);
        self.claims = claims;
        self.files = files;
        self.released = released;
    }

    /// Takes in which sinks cannot take a token, and why.
    pub fn saw_preflight(&mut self, unfit: BTreeMap<String, String>) {
        self.preflight = Some(unfit);
    }

    /// Takes in what other accounts report.
    pub fn saw_peers(&mut self, peers: PeerEvidence) {
        self.peers = peers;
    }

    /// Takes in the tag of the login's secrets; `None` where they were not read.
    pub fn saw_secret(&mut self, tag: Option<SecretTag>) {
        self.secret_tag = tag;
    }

    /// Takes in of which tokens the text is at hand.
    pub fn has_texts_of(&mut self, tokens: impl IntoIterator<Item = Fingerprint>) {
        self.values = tokens.into_iter().collect();
    }

    /// The server asked for no calls until then. A later time that it asked for before stays.
    pub fn back_off(&mut self, until: DateTime<Utc>) {
        // A later answer may ask for less: it must not shorten a pause that still runs.
        self.backoff_until = self.backoff_until.max(Some(until));
    }

    /// The local clock was set by so much: what was seen before was seen as long ago as ever.
    pub fn clock_stepped(&mut self, by: TimeDelta) {
        let move_time = |at: &mut DateTime<Utc>| *at = at.checked_add_signed(by).unwrap_or(*at);
        // Only the server can tell whether time has passed: it is asked at once.
        self.last_listed_at = None;
        self.backoff_until.iter_mut().for_each(move_time);
        if let Some(list) = &mut self.list {
            move_time(&mut list.at);
            list.skew = list.skew.and_then(|skew| skew.checked_add(&by));
        }
    }

    /// Something was changed on the server: the last list is out of date.
    pub fn server_changed(&mut self) {
        self.list = None;
    }

    /// Another user logs in: what was seen as the one before does not apply.
    pub fn another_login(&mut self) {
        // Each user has tokens and a list of its own.
        self.list = None;
        self.doubts.clear();
        self.last_listed_at = None;
    }

    /// Something was changed in a sink: what was seen in them is out of date.
    pub fn sinks_changed(&mut self) {
        self.sinks = None;
    }

    /// The tokens as which RingCX may be asked: the current one and the pending one once it is
    /// verified. One in doubt comes last: a refused caller sees nothing, and what cannot be seen
    /// is delivered again.
    pub fn askers<'s>(&self, state: &'s AccountState) -> impl Iterator<Item = &'s Generation> {
        let verified = state
            .pending()
            .filter(|pending| pending.verified_at.is_some());
        let mut askers: Vec<_> = [state.current(), verified].into_iter().flatten().collect();
        // `false` sorts first and the sort is stable: the current token, unless it alone is in
        // doubt.
        askers.sort_by_key(|token| self.doubt(&token.fingerprint) != Doubt::default());
        askers.into_iter()
    }

    /// What speaks against this token.
    pub fn doubt(&self, token: &Fingerprint) -> Doubt {
        self.doubts.get(token).copied().unwrap_or_default()
    }

    /// What every sink was seen to hold, unless something was delivered since.
    pub fn sinks(&self) -> Option<&BTreeMap<String, SinkContent>> {
        self.sinks.as_ref()
    }

    /// What was seen in this sink.
    pub fn held(&self, sink: &str) -> Option<&SinkContent> {
        self.sinks.as_ref()?.get(sink)
    }

    /// The last list, unless something was changed on the server since.
    pub fn list(&self) -> Option<&TokenList> {
        self.list.as_ref()
    }

    /// Until when the server asked for no calls, if that is not over.
    pub fn backoff_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.backoff_until.filter(|until| *until > now)
    }
}
