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

/// Two looks that are to agree lie at least this far apart: both may have been answered by one node
/// of the server that lags behind.
pub(super) const LOOKS_APART: TimeDelta = TimeDelta::seconds(2);

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
    /// Old tokens of ours, and foreign ones, that lists lack which have every token in use.
    pub(crate) absent: BTreeMap<Fingerprint, Absence>,
    /// Tokens that a list showed and the journal does not have yet.
    pub(crate) unrecorded: BTreeSet<Fingerprint>,
    /// Tokens whose deletion RingCX accepted in this pass.
    pub(crate) deleted: BTreeSet<Fingerprint>,
    /// A list was had once more in this pass, only to see whether what is absent stays so.
    pub(crate) looked_again: bool,
    /// When a list was last received, in this pass or an earlier one.
    pub(crate) last_listed_at: Option<DateTime<Utc>>,
    /// The tokens whose text is at hand, so that they can be delivered without asking the server.
    pub(crate) values: BTreeSet<Fingerprint>,
    /// The tag of the password, read while a login is held back.
    pub(crate) secret_tag: Option<SecretTag>,
    /// The last list by login lacks every token in use, so the login may be another user's.
    pub(crate) is_strange: bool,
    /// What other accounts report.
    pub(crate) peers: PeerEvidence,
    /// The work that is under way, or was last.
    pub(crate) work: Option<WorkSpan>,
}

/// From when to when there was something to do. What failed within it is held back from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkSpan {
    pub(crate) began: DateTime<Utc>,
    /// `None`: it still goes on.
    pub(crate) ended: Option<DateTime<Utc>>,
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
    /// The tokens on the last list, or recorded as foreign, that belong to another account, and to
    /// which.
    pub owners: BTreeMap<Fingerprint, String>,
    /// The accounts that log in as the same user, and the tokens in their sinks; `None`: they have
    /// not been looked at since the start.
    pub siblings: BTreeMap<String, Option<BTreeSet<Fingerprint>>>,
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
    /// When the first look spoke against it, and when the last did.
    pub looks: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Lists that lack it, had with something else.
    pub missing: u8,
    /// Lists that lack it, had with the token itself: it works, and the list is wrong.
    pub unlisted: u8,
    /// Calls with it that were refused.
    pub refused: u8,
    /// A sink inside RingCX was refused when it asked as this token. That may be about the sink as
    /// well, so any list that has the token takes it away.
    pub refused_in_a_sink: bool,
    /// Lists by login that had it although something spoke against it.
    pub contradicted: u8,
}

impl Doubt {
    /// Whether anything speaks against the token.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }

    /// Two looks agree that it is gone: a list lacks it and RingCX refuses it. Where no call can be
    /// made with it, as its text is not `at_hand`, two lists have to do.
    pub fn agrees(&self, at_hand: bool) -> bool {
        let refused = self.refused >= 1 || self.refused_in_a_sink;
        self.missing >= 1 && (refused || (!at_hand && self.missing >= 2))
    }

    /// The first and the last look lie far enough apart.
    pub fn is_apart(&self) -> bool {
        self.looks
            .is_some_and(|(first, last)| are_apart(first, last))
    }

    /// The server's answers contradict each other, so none of them is acted on.
    pub fn is_contradictory(&self) -> bool {
        self.contradicted >= 2 || (self.contradicted >= 1 && self.refused >= 2)
    }

    /// Whether two calls with the token itself have failed.
    pub fn wants_second_look(&self) -> bool {
        self.refused >= 2 && self.missing == 0
    }

    /// Whether a list by login would tell more than another call with the token.
    pub fn wants_login(&self) -> bool {
        self.refused > 0 && self.missing == 0
    }

    /// What speaks against it, as a message.
    pub fn evidence(&self) -> String {
        let mut parts = Vec::new();
        if self.refused > 0 || self.refused_in_a_sink {
            parts.push("RingCX refuses it");
        }
        if self.missing > 0 || self.unlisted > 0 {
            parts.push("it is not on the server's list");
        }
        parts.join(" and ")
    }

    fn note(&mut self, at: DateTime<Utc>) {
        let first = self.looks.map_or(at, |(first, _)| first);
        self.looks = Some((first, at));
    }

    /// What a next pass goes on from. What is contradictory begins anew.
    fn carried_over(self) -> Option<Self> {
        let carried = Self {
            looks: self.looks,
            missing: self.missing.min(1),
            unlisted: self.unlisted.min(1),
            refused: self.refused.min(1),
            refused_in_a_sink: self.refused_in_a_sink,
            contradicted: 0,
        };
        (self.contradicted == 0 && carried.looks.is_some()).then_some(carried)
    }
}

/// Since when lists have lacked an old token of ours or a foreign one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// When the first look lacked it.
    pub first: DateTime<Utc>,
    /// When the last did.
    pub last: DateTime<Utc>,
    /// A call with it was refused since.
    pub refused: bool,
    /// A call with it was answered since: it is alive, whatever lists say.
    pub alive: bool,
}

impl Absence {
    /// The first and the last look lie far enough apart.
    pub fn is_apart(&self) -> bool {
        are_apart(self.first, self.last)
    }
}

fn are_apart(first: DateTime<Utc>, last: DateTime<Utc>) -> bool {
    // Where the clock was set between the two, nothing better is known.
    (last - first).abs() >= LOOKS_APART
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
    pub fn begin_pass(&mut self) {
        let doubts = std::mem::take(&mut self.doubts).into_iter();
        let absent = std::mem::take(&mut self.absent).into_iter();
        *self = Self {
            // This outlasts a pass: `check-every` does not begin anew with it.
            last_listed_at: self.last_listed_at,
            // So do these: the second look at what is missing may be that of the next pass.
            doubts: doubts
                .filter_map(|(token, doubt)| Some((token, doubt.carried_over()?)))
                .collect(),
            absent: absent
                .filter(|(_, absence)| !absence.alive)
                .map(|(token, absence)| {
                    let refused = false;
                    (token, Absence { refused, ..absence })
                })
                .collect(),
            unrecorded: std::mem::take(&mut self.unrecorded),
            // The login outlasts a pass as well.
            is_strange: self.is_strange,
            ..Self::default()
        };
    }

    /// Work begins: what fails from here on is held back from the end of this work.
    pub fn begin_work(&mut self, now: DateTime<Utc>) {
        self.work = Some(WorkSpan {
            began: now,
            ended: None,
        });
    }

    /// Nothing is left to do for now.
    pub fn end_work(&mut self, now: DateTime<Utc>) {
        if let Some(work) = &mut self.work {
            work.ended.get_or_insert(now);
        }
    }

    /// Takes in a list, had while the journal said this.
    pub fn saw_list(&mut self, list: TokenList, state: &AccountState) {
        let in_use = state.in_use();
        // What brought a token back that was in doubt ends the doubt: it must not be lost again by
        // what spoke against it before.
        self.doubts.retain(|token, _| in_use.contains(token));
        for generation in in_use
            .iter()
            .filter_map(|token| state.by_fingerprint(token))
        {
            self.weigh(&list, generation);
        }
        self.note_login(&list, state);
        // What may be another user's list says nothing about this one's tokens.
        if !self.is_strange_list(&list) {
            self.note_absences(&list, state);
            let is_unknown = |token: &Fingerprint| {
                state.by_fingerprint(token).is_none() && !state.foreign.contains_key(token)
            };
            self.unrecorded.retain(is_unknown);
            let unknown = list.tokens.iter().filter(|token| is_unknown(token));
            self.unrecorded.extend(unknown);
        }
        self.last_listed_at = Some(list.at);
        self.list = Some(list);
    }

    /// What a list says of the login: one server answered with another user's session.
    fn note_login(&mut self, list: &TokenList, state: &AccountState) {
        match list.by {
            ListedBy::Login => {
                let verified = state.pending().filter(|it| it.verified_at.is_some());
                let used = state.current().into_iter().chain(verified);
                // One that lists lack whoever asks says nothing of the login.
                let mut used = used.filter(|it| it.unlisted_since.is_none()).peekable();
                self.is_strange =
                    used.peek().is_some() && !used.any(|it| list.tokens.contains(&it.fingerprint));
            }
            // Lists lack it whoever asks, which says nothing of the login.
            ListedBy::Token(token) if !list.tokens.contains(&token) => self.is_strange = false,
            ListedBy::Token(_) => {}
        }
    }

    /// Whether this list is that of a login that may be another user's.
    pub(crate) fn is_strange_list(&self, list: &TokenList) -> bool {
        self.is_strange && list.by == ListedBy::Login
    }

    /// Whether the login may be another user's, so that the next list begins with a new one.
    pub fn is_strange(&self) -> bool {
        self.is_strange
    }

    /// What a list says for or against a token in use.
    fn weigh(&mut self, list: &TokenList, generation: &Generation) {
        let token = generation.fingerprint;
        let (listed, its_own) = (
            list.tokens.contains(&token),
            list.by == ListedBy::Token(token),
        );
        let at_hand = self.values.contains(&token);
        let doubt = self.doubts.entry(token).or_default();
        match (listed, list.by) {
            // A call with a token has just been answered, and it is listed: nothing is left to
            // doubt.
            (true, ListedBy::Token(_)) => *doubt = Doubt::default(),
            // A login's list does not show that the token works, so refusals stay counted.
            (true, ListedBy::Login) => {
                doubt.refused_in_a_sink = false;
                let doubted = doubt.missing.max(doubt.unlisted).max(doubt.refused);
                if doubted.max(doubt.contradicted) == 0 {
                    *doubt = Doubt::default();
                } else {
                    doubt.contradicted = doubt.contradicted.saturating_add(1);
                    doubt.missing = 0;
                    doubt.unlisted = 0;
                }
            }
            // It works, whatever spoke against it before. That the list disagrees is known already,
            // or is to be seen once more.
            (false, _) if its_own => {
                let earlier = std::mem::take(doubt);
                if generation.unlisted_since.is_none() {
                    doubt.looks = earlier.looks.filter(|_| earlier.unlisted > 0);
                    doubt.note(list.at);
                    doubt.unlisted = earlier.unlisted.saturating_add(1);
                }
            }
            // Lists without it are nothing new, as long as calls with it work.
            (false, _) if generation.unlisted_since.is_some() && at_hand && doubt.refused == 0 => {}
            (false, _) => {
                doubt.note(list.at);
                doubt.missing = doubt.missing.saturating_add(1);
            }
        }
    }

    /// What is not on a list is absent only if that list has every token in use: one that lacks a
    /// token that works is a part, or old, and lacks others as well.
    fn note_absences(&mut self, list: &TokenList, state: &AccountState) {
        let in_use = [state.current(), state.pending()].into_iter().flatten();
        let is_whole = in_use
            .filter(|generation| generation.verified_at.is_some())
            .all(|generation| list.tokens.contains(&generation.fingerprint));
        let mut expected: BTreeSet<Fingerprint> = state.foreign.keys().copied().collect();
        expected.extend(state.waits_for_its_end().map(|own| own.fingerprint));
        self.absent.retain(|token, _| expected.contains(token));
        for token in expected {
            if list.tokens.contains(&token) {
                self.absent.remove(&token);
                continue;
            }
            let absence = Absence {
                first: list.at,
                last: list.at,
                refused: false,
                alive: false,
            };
            if is_whole {
                self.absent.entry(token).or_insert(absence).last = list.at;
            }
            if list.by == ListedBy::Token(token) {
                self.absent.entry(token).or_insert(absence).alive = true;
            }
        }
    }

    /// Takes in that the server refused this token. A list from before that says nothing about the
    /// token any more: kept, it would be taken for the answer, and the plan would ask with the
    /// token again and again.
    pub fn saw_refusal(&mut self, fingerprint: Fingerprint, at: DateTime<Utc>) {
        self.list = None;
        if let Some(absence) = self.absent.get_mut(&fingerprint) {
            absence.refused = true;
            absence.last = at;
        }
        let doubt = self.doubts.entry(fingerprint).or_default();
        if doubt.unlisted > 0 {
            *doubt = Doubt::default();
        }
        doubt.note(at);
        doubt.refused = doubt.refused.saturating_add(1);
    }

    /// Takes in that a sink inside RingCX was refused when it asked as this token.
    pub fn saw_refusal_in_a_sink(&mut self, fingerprint: Fingerprint, at: DateTime<Utc>) {
        self.list = None;
        let doubt = self.doubts.entry(fingerprint).or_default();
        doubt.note(at);
        doubt.refused_in_a_sink = true;
    }

    /// Takes in that RingCX accepted the deletion of this token.
    pub fn saw_deletion(&mut self, fingerprint: Fingerprint) {
        self.deleted.insert(fingerprint);
    }

    /// Takes in that the next list is had only to see whether what is absent stays so.
    pub fn looks_again(&mut self) {
        self.looked_again = true;
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
        // What an earlier list showed of other accounts is theirs to record.
        self.unrecorded
            .retain(|token| !peers.owners.contains_key(token));
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

    /// The local clock was set by so much: what was seen before was seen as long ago as ever.
    pub fn clock_stepped(&mut self, by: TimeDelta) {
        let move_time = |at: &mut DateTime<Utc>| *at = at.checked_add_signed(by).unwrap_or(*at);
        // Only the server can tell whether time has passed: it is asked at once.
        self.last_listed_at = None;
        if let Some(list) = &mut self.list {
            move_time(&mut list.at);
            list.skew = list.skew.and_then(|skew| skew.checked_add(&by));
        }
        if let Some(work) = &mut self.work {
            move_time(&mut work.began);
            work.ended.iter_mut().for_each(move_time);
        }
        for doubt in self.doubts.values_mut() {
            if let Some((first, last)) = &mut doubt.looks {
                move_time(first);
                move_time(last);
            }
        }
        for absence in self.absent.values_mut() {
            move_time(&mut absence.first);
            move_time(&mut absence.last);
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
        self.is_strange = false;
        self.absent.clear();
        self.unrecorded.clear();
        self.deleted.clear();
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
        askers.sort_by_key(|token| self.doubt(&token.fingerprint).is_any());
        askers.into_iter()
    }

    /// The other account that this token belongs to, if it does.
    pub fn owner(&self, token: &Fingerprint) -> Option<&String> {
        self.peers.owners.get(token)
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

    /// The tokens on the last list, and those that only an earlier list showed.
    pub fn listed_tokens(&self) -> impl Iterator<Item = &Fingerprint> {
        let last = self.list.iter().flat_map(|list| &list.tokens);
        last.chain(&self.unrecorded)
    }

    /// The last list, unless something was changed on the server since.
    pub fn list(&self) -> Option<&TokenList> {
        self.list.as_ref()
    }
}
