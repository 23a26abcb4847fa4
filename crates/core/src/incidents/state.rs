//! The fold of the `@alerts` stream: open incidents, ends not yet told, mails not yet sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::event::{AlertEvent, Announce, Mail, Notice, NoticeKind, Resolution, Scope, Unreadable};
use super::{Condition, Conditions, Incident, IncidentKey, text};
use crate::journal::{Row, Stream, checkpoint};
use crate::secret::SecretTag;

/// Everything the alerts know. A checkpoint keeps it as JSON: any change to what is kept is another
/// [`AlertState::FORM`], and those that were written before must still be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
// An unknown field is of a newer version: without it, what it holds would be lost silently.
#[serde(deny_unknown_fields)]
pub struct AlertState {
    /// The last row folded in.
    pub last_seq: u64,
    /// Incidents that are open, by key.
    pub open: BTreeMap<IncidentKey, OpenIncident>,
    /// Incidents that are over, of which someone is still to be told.
    pub ended: BTreeMap<IncidentKey, ResolvedIncident>,
    /// Mails that no server has taken yet, oldest first.
    pub outbox: VecDeque<Unsent>,
    /// The id of the last mail.
    pub last_mail: u64,
    /// When the mails of the last hour were written.
    pub recent: VecDeque<DateTime<Utc>>,
    /// When the last digest was written.
    pub last_digest: Option<DateTime<Utc>>,
    /// Recipients of the last mail that the server refused for good, with what it said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// An open incident: what was known when it was opened, and what was mailed since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenIncident {
    /// Since when it is wrong.
    pub since: DateTime<Utc>,
    /// When we found it.
    pub opened_at: DateTime<Utc>,
    /// How often it had been seen when it was opened.
    pub count: u32,
    /// The cause when it was opened.
    pub cause: String,
    /// When the daemon was to try again.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// What still worked when it was opened, as a sentence.
    pub still_works: String,
    /// When the last mail about it was written, or sent if that came later.
    pub mailed_at: Option<DateTime<Utc>>,
    /// The Message-ID of the first mail about it.
    pub thread: Option<String>,
}

/// An incident that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolvedIncident {
    /// The incident as it was while it was open.
    pub open: OpenIncident,
    /// When the daemon saw that it was over.
    pub ended_at: DateTime<Utc>,
    /// Whether it works again, or its account left the policy.
    pub over: Resolution,
}

/// A mail that no server has taken yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unsent {
    /// As it will be sent.
    pub mail: Mail,
    /// The incidents it tells of.
    pub about: Vec<IncidentKey>,
    /// What came of the last try, if there was one.
    pub failure: Option<MailFailure>,
    /// Addresses that have it, or were refused for good.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub settled: BTreeSet<String>,
    /// Those of them that were refused, with what the server said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

impl Unsent {
    /// Whether the server took it for anyone.
    pub fn has_reached_someone(&self) -> bool {
        self.settled.len() > self.refused.len()
    }
}

/// A try that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailFailure {
    /// The error as text, without secrets.
    pub error: String,
    /// Whether only this mail failed, or the server for all mails.
    pub scope: Scope,
    /// How many in a row.
    pub failures: u32,
    /// It is not sent again before then.
    pub next_attempt_at: DateTime<Utc>,
    /// Where the server rejected user and password: the tag of the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<SecretTag>,
}

impl AlertState {
    /// The form in which checkpoints keep it. Form 1 knew nothing of single recipients.
    pub const FORM: u32 = 2;

    /// The state after this stream.
    pub fn from_stream(stream: &Stream) -> Result<Self, Unreadable> {
        // The checkpoint stands for rows that the journal no longer has.
        let state = match &stream.checkpoint {
            Some(kept) => checkpoint::read(Self::FORM, &kept.body).map_err(|source| {
                Unreadable::Checkpoint {
                    seq: kept.seq,
                    source,
                }
            })?,
            None => Self::default(),
        };
        state.after(&stream.rows)
    }

    /// The state after these rows more.
    pub fn after(mut self, rows: &[Row]) -> Result<Self, Unreadable> {
        for row in rows {
            self.apply(row.seq, row.entry.at, &AlertEvent::from_row(row)?);
        }
        Ok(self)
    }

    /// Folds one row in.
    pub fn apply(&mut self, seq: u64, at: DateTime<Utc>, event: &AlertEvent) {
        self.fold(at, event);
        // Of every row, as a checkpoint of this state stands for all rows up to here.
        self.last_seq = seq;
    }

    /// The open incidents as `status` shows them, with what is known of them right now.
    pub fn incidents(&self, conditions: &Conditions) -> Vec<Incident> {
        let view = |(key, open): (&IncidentKey, &OpenIncident)| {
            let live = live(conditions, key);
            Incident {
                key: key.clone(),
                kind: key.kind,
                since: open.since,
                count: live.map_or(open.count, |condition| condition.count),
                summary: text::summary(key, live.map_or(&open.cause, |condition| &condition.cause)),
            }
        };
        self.open.iter().map(view).collect()
    }

    /// What this event makes of the state, wherever it stands in the journal.
    pub(super) fn fold(&mut self, at: DateTime<Utc>, event: &AlertEvent) {
        match event {
            AlertEvent::IncidentOpened {
                incident,
                since,
                count,
                cause,
                next_attempt_at,
                still_works,
            } => {
                let open = OpenIncident {
                    since: *since,
                    opened_at: at,
                    count: *count,
                    cause: cause.clone(),
                    next_attempt_at: *next_attempt_at,
                    still_works: still_works.clone(),
                    // None yet: that is what makes the state owe one.
                    mailed_at: None,
                    thread: None,
                };
                self.opened(incident, open);
            }
            AlertEvent::IncidentResolved {
                incident,
                over,
                announce,
            } => self.resolved(at, incident, *over, *announce),
            AlertEvent::MailQueued { mail, notices } => self.queue(at, mail, notices),
            AlertEvent::MailSent { mail, refused } => {
                self.refused.clone_from(refused);
                self.sent(at, *mail);
            }
            AlertEvent::MailDropped { mail, error } => {
                self.refused = vec![error.clone()];
                // An incident that is still open is mailed again by its next reminder.
                self.take_out(*mail);
            }
            AlertEvent::MailFailed { .. } => self.failed(event),
            AlertEvent::MailHoldsLifted => {
                self.refused.clear();
                let unsent = self.outbox.iter_mut();
                for failure in unsent.filter_map(|unsent| unsent.failure.as_mut()) {
                    // The number of failures stays, so that the waits do not start from the
                    // shortest again.
                    failure.next_attempt_at = at;
                }
            }
        }
    }

    fn opened(&mut self, incident: &IncidentKey, open: OpenIncident) {
        // An end that no mail told of is overtaken: the next mail tells of the new opening.
        if self
            .ended
            .get(incident)
            .is_some_and(|ended| ended.open.mailed_at.is_none())
        {
            self.ended.remove(incident);
        }
        self.open.insert(incident.clone(), open);
    }

    fn resolved(
        &mut self,
        at: DateTime<Utc>,
        incident: &IncidentKey,
        over: Resolution,
        announce: Announce,
    ) {
        match (self.open.remove(incident), announce) {
            (Some(open), Announce::Mail) => {
                let ended = ResolvedIncident {
                    open,
                    ended_at: at,
                    over,
                };
                self.ended.insert(incident.clone(), ended);
            }
            // Without its opening an end has nothing to tell; without a mail it is simply over.
            (None, Announce::Mail) | (_, Announce::Nobody) => {}
        }
    }

    fn sent(&mut self, at: DateTime<Utc>, mail: u64) {
        // A mail that was held up starts the wait for its reminder when it leaves.
        for incident in self.take_out(mail).iter().flat_map(|sent| &sent.about) {
            if let Some(open) = self.open.get_mut(incident) {
                open.mailed_at = open.mailed_at.map(|_| at);
            }
        }
    }

    fn failed(&mut self, event: &AlertEvent) {
        let AlertEvent::MailFailed {
            mail,
            error,
            scope,
            failures,
            next_attempt_at,
            settled,
            refused,
            rejected,
        } = event
        else {
            return;
        };
        let mut unsent = self.outbox.iter_mut();
        if let Some(unsent) = unsent.find(|unsent| unsent.mail.id == *mail) {
            unsent.failure = Some(MailFailure {
                error: error.clone(),
                scope: *scope,
                failures: *failures,
                next_attempt_at: *next_attempt_at,
                rejected: *rejected,
            });
            unsent.settled.extend(settled.iter().cloned());
            unsent.refused.extend(refused.iter().cloned());
        }
    }

    fn take_out(&mut self, mail: u64) -> Option<Unsent> {
        let place = self
            .outbox
            .iter()
            .position(|unsent| unsent.mail.id == mail)?;
        self.outbox.remove(place)
    }

    fn queue(&mut self, at: DateTime<Utc>, mail: &Mail, notices: &[Notice]) {
        for Notice { incident, news } in notices {
            match news {
                NoticeKind::Opened | NoticeKind::StillOpen => {
                    // The opening of an incident that ended meanwhile is mailed too: see `expand`.
                    let ended = self.ended.get_mut(incident).map(|ended| &mut ended.open);
                    if let Some(open) = self.open.get_mut(incident).or(ended) {
                        open.mailed_at = Some(at);
                        // The first one stays: all later mails of the incident refer to it.
                        open.thread.get_or_insert_with(|| mail.message_id.clone());
                    }
                }
                // Its end is told, so nothing is owed any more.
                NoticeKind::Resolved | NoticeKind::Passed => drop(self.ended.remove(incident)),
            }
        }
        let about = notices
            .iter()
            .map(|notice| notice.incident.clone())
            .collect();
        self.outbox.push_back(Unsent {
            mail: mail.clone(),
            about,
            failure: None,
            settled: BTreeSet::new(),
            refused: Vec::new(),
        });
        self.last_mail = self.last_mail.max(mail.id);
        self.recent.push_back(at);
        // Only the last hour counts for the limit of mails; the list must not grow for ever.
        while self
            .recent
            .front()
            .is_some_and(|oldest| at - oldest > TimeDelta::hours(1))
        {
            self.recent.pop_front();
        }
        // Only a digest is about no single incident.
        if mail.incident.is_none() {
            self.last_digest = Some(at);
        }
    }
}

/// The condition behind an incident, if its account was looked at.
pub(super) fn live<'a>(conditions: &'a Conditions, key: &IncidentKey) -> Option<&'a Condition> {
    conditions
        .get(&key.account)?
        .iter()
        .find(|condition| condition.kind == key.kind && condition.sink == key.sink)
}

#[cfg(test)]
mod tests;
