//! What follows from the conditions: incidents that open and end, and the mails that tell of them.
//!
//! How much mail: each incident is mailed when it opens, every `repeat-after` while it is open, and
//! when it is over. A mail waits [`GATHER`] for others, at most [`OWN_MAILS_AN_HOUR`] mails are
//! about one incident each, and what is beyond that goes into one digest every
//! [`BETWEEN_DIGESTS`]. So a RingCX outage that hits a thousand accounts makes a handful of mails,
//! and none of the thousand is left out. With [`OUTBOX`] mails unsent no more are written; what is
//! owed then waits in the state.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::event::{AlertEvent, Announce, Mail, Notice, NoticeKind, Resolution, Scope};
use super::state::{AlertState, OpenIncident, ResolvedIncident, Unsent, live};
use super::text::{self, MailFacts};
use super::{Conditions, DAEMON, IncidentKey};
use crate::config::{AlertsPolicy, EmailPolicy};
use crate::secret::SecretTag;

/// How long the first notice waits for more, so that what fails together shares a mail.
const GATHER: TimeDelta = TimeDelta::seconds(3);

/// Mails about one incident each, within an hour; beyond it there are digests.
const OWN_MAILS_AN_HOUR: usize = 20;

/// The least time between two digests.
const BETWEEN_DIGESTS: TimeDelta = TimeDelta::minutes(10);

/// Unsent mails that are kept; at this number, what is owed waits until one is sent.
const OUTBOX: usize = 100;

/// The first wait after a failed try; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(30);
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(1);

/// The wait after a rejected user and password, as it is for RingCX by default.
const REJECTED_LOGIN: TimeDelta = TimeDelta::hours(6);

/// A mail that the server refuses by itself is given up after this, as mail servers do (RFC 5321,
/// 4.5.4.1).
const GIVE_UP: TimeDelta = TimeDelta::days(5);

/// Whether news may wait for company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// They may: what fails together shares a mail.
    Batch,
    /// It may not: the process is about to end.
    Now,
}

/// What is to be journaled now. `managed` are the accounts of the policy; of these, one that is not
/// in `conditions` has not been looked at yet and keeps its incidents.
pub fn assess(
    policy: &AlertsPolicy,
    state: &AlertState,
    conditions: &Conditions,
    managed: &BTreeSet<String>,
    now: DateTime<Utc>,
    pace: Flush,
) -> Vec<AlertEvent> {
    // Incidents first: the mails tell of what has just opened or ended, so they need the state
    // after it.
    let mut events = compare(policy, state, conditions, managed);
    // Copied only where something happened, because most passes find nothing new.
    let mut state = Cow::Borrowed(state);
    for event in &events {
        state.to_mut().fold(now, event);
    }
    events.extend(mails(policy, &state, conditions, now, pace));
    events
}

/// When [`assess`] or the outbox next has something to do by itself; a time that has come means
/// now.
pub fn next_due(
    policy: &AlertsPolicy,
    state: &AlertState,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    // Without mail nothing here waits for a time: log lines and `status` need no timer.
    policy.email.as_ref()?;
    let retry = match state.next_mail(now) {
        NextMail::Send(_) => Some(now),
        NextMail::Wait(until) => Some(until),
        NextMail::None => None,
    };
    let owed = owed(policy, state, now);
    let ripe = owed.iter().map(|owed| owed.since + GATHER).min();
    let reminders = state
        .open
        .values()
        .filter_map(|open| reminder_at(policy, open));
    // A reminder that is due is in `owed` already. If its mail is in the outbox it is in neither,
    // or we would be woken without end.
    let news = earlier(ripe, reminders.filter(|due| *due > now).min()).map(|next| {
        let digest = state
            .last_digest
            .map_or(next, |last| last + BETWEEN_DIGESTS);
        // Too many for mails of their own: then the digest's interval decides.
        let fits = own_mails(policy, &owed) <= own_mails_left(state, now);
        if fits { next } else { next.max(digest) }
    });
    // A full outbox has room again only after a mail was sent, and that wakes us by itself.
    let news = news.filter(|_| has_room(state));
    earlier(retry, news)
}

/// What a try made of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailTry {
    /// Addresses for which the server took it now.
    pub taken: Vec<String>,
    /// Addresses that it refused now for good, each with what it said.
    pub refused: Vec<(String, String)>,
    /// Why the others do not have it yet, if there are others.
    pub failed: Option<FailedTry>,
}

/// Why a try did not reach everyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedTry {
    /// Whether only this mail failed, or the server for all mails.
    pub scope: Scope,
    /// The error as text, without secrets.
    pub error: String,
    /// Where the server rejected user and password: the tag of the password.
    pub rejected: Option<SecretTag>,
}

/// What is to be journaled of a try.
pub fn mail_tried(unsent: &Unsent, tried: MailTry, now: DateTime<Utc>) -> AlertEvent {
    let mail = unsent.mail.id;
    let reached_someone = unsent.has_reached_someone() || !tried.taken.is_empty();
    let words = |(to, said): &(String, String)| format!("{to}: {said}");
    let newly_refused: Vec<String> = tried.refused.iter().map(words).collect();
    let refused = [&unsent.refused[..], &newly_refused].concat();
    let Some(FailedTry {
        scope,
        error,
        rejected,
    }) = tried.failed
    else {
        // Nobody has it, and nobody will: that is not called sent.
        return if reached_someone || refused.is_empty() {
            AlertEvent::MailSent { mail, refused }
        } else {
            let error = refused.join("; ");
            AlertEvent::MailDropped { mail, error }
        };
    };
    let given_up = match scope {
        // The server has not taken this very mail for days: it will not take it any more.
        Scope::Mail => now - unsent.mail.written_at > GIVE_UP,
        // A server that is down will be up again; what waits for it is bounded by the outbox.
        Scope::Server => false,
    };
    if given_up {
        return AlertEvent::MailDropped { mail, error };
    }
    let before = unsent
        .failure
        .as_ref()
        .map_or(0, |failure| failure.failures);
    let wait = match rejected {
        // Servers lock out who goes on trying.
        Some(_) => REJECTED_LOGIN,
        // 16 doublings go beyond `LONGEST_WAIT` and stay within the type of the shift.
        None => FIRST_WAIT
            .checked_mul(1 << before.min(16))
            .unwrap_or(LONGEST_WAIT)
            .min(LONGEST_WAIT),
    };
    let addresses = tried.refused.into_iter().map(|(to, _)| to);
    AlertEvent::MailFailed {
        mail,
        error,
        scope,
        failures: before.saturating_add(1),
        next_attempt_at: now + wait,
        settled: tried.taken.into_iter().chain(addresses).collect(),
        refused: newly_refused,
        rejected,
    }
}

/// What the outbox has to do.
#[derive(Debug, PartialEq)]
pub enum NextMail<'a> {
    /// This mail may be sent.
    Send(&'a Unsent),
    /// No mail may be sent before then.
    Wait(DateTime<Utc>),
    /// The outbox is empty.
    None,
}

impl AlertState {
    /// The first mail that may be sent. Mails go in order: one that waits for the server holds up
    /// those behind it, one that waits for a recipient does not.
    pub fn next_mail(&self, now: DateTime<Utc>) -> NextMail<'_> {
        if let Some((_, until)) = self.rejected_login(now) {
            return NextMail::Wait(until);
        }
        let mut soonest = None;
        for unsent in &self.outbox {
            let Some(failure) = &unsent.failure else {
                return NextMail::Send(unsent);
            };
            // A wait longer than we ever set means that the clock was set back.
            let until = failure.next_attempt_at;
            if until <= now || until - now > LONGEST_WAIT {
                return NextMail::Send(unsent);
            }
            soonest = earlier(soonest, Some(until));
            match failure.scope {
                // This server takes nothing now: the mails behind this one would fail too.
                Scope::Server => return NextMail::Wait(until),
                Scope::Mail => {}
            }
        }
        soonest.map_or(NextMail::None, NextMail::Wait)
    }

    /// The tag of the password that the server rejected, and until when it is not tried again. It
    /// holds back every mail: each would log in with the same one.
    pub fn rejected_login(&self, now: DateTime<Utc>) -> Option<(SecretTag, DateTime<Utc>)> {
        let failures = self.outbox.iter().filter_map(|it| it.failure.as_ref());
        let held =
            failures.filter_map(|failure| Some((failure.rejected?, failure.next_attempt_at)));
        // A much longer wait than we ever set means that the clock was set back.
        held.filter(|(_, until)| *until > now && *until - now <= REJECTED_LOGIN + LONGEST_WAIT)
            .max_by_key(|(_, until)| *until)
    }
}

fn compare(
    policy: &AlertsPolicy,
    state: &AlertState,
    conditions: &Conditions,
    managed: &BTreeSet<String>,
) -> Vec<AlertEvent> {
    // The daemon is in no policy, and its incidents are always wanted.
    let is_managed = |account: &str| account == DAEMON || managed.contains(account);
    let mut events = Vec::new();
    for (incident, open) in &state.open {
        // An account that was not looked at yet has no conditions: its incidents stay open.
        let over = if !is_managed(&incident.account) {
            Resolution::Unmanaged
        } else if conditions.contains_key(&incident.account) && live(conditions, incident).is_none()
        {
            Resolution::Gone
        } else {
            continue;
        };
        let announce = announce(policy, open, over);
        events.push(AlertEvent::IncidentResolved {
            incident: incident.clone(),
            over,
            announce,
        });
    }
    // One incident for each key, even where two conditions share it.
    let mut opened = BTreeSet::new();
    for condition in conditions
        .iter()
        .filter(|(account, _)| is_managed(account))
        .flat_map(|(_, all)| all)
    {
        let incident = condition.key();
        if state.open.contains_key(&incident) || !opened.insert(incident.clone()) {
            continue;
        }
        events.push(AlertEvent::IncidentOpened {
            incident,
            since: condition.since,
            count: condition.count,
            // Cut here, because the journal keeps it and every mail repeats it.
            cause: text::one_line(&condition.cause, text::LONGEST_CAUSE),
            next_attempt_at: condition.next_attempt_at,
            still_works: text::one_line(&condition.still_works, text::LONGEST_CAUSE),
        });
    }
    events
}

/// Whether the end of this incident is mailed. Where its opening was not mailed yet, both are,
/// unless the operator has taken the account out; else its end only where the policy wants it.
fn announce(policy: &AlertsPolicy, open: &OpenIncident, over: Resolution) -> Announce {
    let told = open.mailed_at.is_some();
    let tell = match over {
        Resolution::Gone => policy.resolved || !told,
        Resolution::Unmanaged => policy.resolved && told,
    };
    // Without mail settings an end that is owed would stay in the state for ever.
    if policy.email.is_some() && tell {
        Announce::Mail
    } else {
        Announce::Nobody
    }
}

/// A notice that is in no mail yet.
struct PendingNotice<'a> {
    incident: &'a IncidentKey,
    news: NoticeKind,
    /// Since when it is owed: the opening, the end, or the time of the reminder.
    since: DateTime<Utc>,
    open: &'a OpenIncident,
    ended: Option<&'a ResolvedIncident>,
}

fn owed<'a>(
    policy: &AlertsPolicy,
    state: &'a AlertState,
    now: DateTime<Utc>,
) -> Vec<PendingNotice<'a>> {
    let ends = state.ended.iter().map(|(incident, ended)| {
        let news = if ended.open.mailed_at.is_some() {
            NoticeKind::Resolved
        } else {
            NoticeKind::Passed
        };
        PendingNotice {
            incident,
            news,
            since: ended.ended_at,
            open: &ended.open,
            ended: Some(ended),
        }
    });
    let open = state.open.iter().filter_map(|(incident, open)| {
        let owed = |news, since| {
            Some(PendingNotice {
                incident,
                news,
                since,
                open,
                ended: None,
            })
        };
        let Some(mailed_at) = open.mailed_at else {
            return owed(NoticeKind::Opened, open.opened_at);
        };
        let due = reminder_at(policy, open)?;
        // A mail from the future means that the clock was set back: remind, and count from now.
        let is_due = due <= now || mailed_at - now > TimeDelta::hours(1);
        // Nobody is helped by a reminder of a mail that has not left yet.
        let waiting = || {
            state
                .outbox
                .iter()
                .any(|unsent| unsent.about.contains(incident) && !unsent.has_reached_someone())
        };
        if is_due && !waiting() {
            // Counted as if it had waited already: a reminder needs no time to gather others.
            owed(NoticeKind::StillOpen, due - GATHER)
        } else {
            None
        }
    });
    let mut owed: Vec<_> = ends.chain(open).collect();
    // The oldest first, so that what waited longest is told first.
    owed.sort_by_key(|owed| owed.since);
    owed
}

fn reminder_at(policy: &AlertsPolicy, open: &OpenIncident) -> Option<DateTime<Utc>> {
    open.mailed_at?
        .checked_add_signed(TimeDelta::from_std(policy.repeat_after).ok()?)
}

fn own_mails_left(state: &AlertState, now: DateTime<Utc>) -> usize {
    let recent = state
        .recent
        .iter()
        // By distance in both directions: after the clock was set back, a mail from the future must
        // not count for longer than an hour.
        .filter(|at| (now - **at).abs() < TimeDelta::hours(1))
        .count();
    OWN_MAILS_AN_HOUR.saturating_sub(recent)
}

fn mails(
    policy: &AlertsPolicy,
    state: &AlertState,
    conditions: &Conditions,
    now: DateTime<Utc>,
    pace: Flush,
) -> Vec<AlertEvent> {
    // Without mail settings incidents are only logged and shown.
    let Some(email) = &policy.email else {
        return Vec::new();
    };
    let owed = owed(policy, state, now);
    let ripe = match pace {
        // By distance, so that news from before a clock was set back are not held up.
        Flush::Batch => owed.iter().any(|owed| (now - owed.since).abs() >= GATHER),
        // The process ends: what is not written now waits for its next start.
        Flush::Now => !owed.is_empty(),
    };
    // With a full outbox what is owed stays in the state, so nothing is lost by waiting.
    if !ripe || !has_room(state) {
        return Vec::new();
    }
    let items: Vec<_> = owed
        .iter()
        .map(|owed| MailFacts::of(owed, conditions, now))
        .collect();
    let mut writer = MailWriter {
        email,
        now,
        last_id: state.last_mail,
    };
    let mut events = make_room(state);
    if own_mails(policy, &owed) <= own_mails_left(state, now) {
        let own = items.iter().flat_map(|facts| expand(policy, facts));
        events.extend(own.map(|facts| writer.own(&facts, policy.repeat_after)));
        return events;
    }
    let rested = state
        .last_digest
        .is_none_or(|last| (now - last).abs() >= BETWEEN_DIGESTS);
    // At the end of the process the interval is not waited for: there is no later pass.
    if rested || pace == Flush::Now {
        events.push(writer.digest(&items));
        events
    } else {
        Vec::new()
    }
}

/// Whether another mail may be written. A mail that most have and one does not is in nobody's way.
fn has_room(state: &AlertState) -> bool {
    state.outbox.len() < OUTBOX || state.outbox.iter().any(Unsent::has_reached_someone)
}

/// Of a full outbox the oldest mail that reached someone gives way: the recipient that does not
/// take it must not cost the others their mail.
fn make_room(state: &AlertState) -> Vec<AlertEvent> {
    let mut reached = state.outbox.iter().filter(|it| it.has_reached_someone());
    let oldest = reached.next().filter(|_| state.outbox.len() >= OUTBOX);
    let given_up = oldest.map(|unsent| {
        let failed = unsent.failure.as_ref().map(|failure| &*failure.error);
        AlertEvent::MailDropped {
            mail: unsent.mail.id,
            error: failed.unwrap_or_default().to_owned(),
        }
    });
    given_up.into_iter().collect()
}

/// How many mails it takes to tell each of these by itself.
fn own_mails(policy: &AlertsPolicy, owed: &[PendingNotice<'_>]) -> usize {
    // Opened and over before any mail: `expand` makes two mails of it.
    let twice = owed
        .iter()
        .filter(|owed| owed.news == NoticeKind::Passed && policy.resolved)
        .count();
    owed.len() + twice
}

/// What opened and ended before any mail makes two, where the policy wants ends mailed at all.
fn expand<'a>(policy: &AlertsPolicy, facts: &MailFacts<'a>) -> Vec<MailFacts<'a>> {
    let as_news = |news| MailFacts {
        news,
        ..facts.clone()
    };
    match facts.news {
        NoticeKind::Opened | NoticeKind::StillOpen | NoticeKind::Resolved => vec![facts.clone()],
        NoticeKind::Passed if policy.resolved => {
            vec![as_news(NoticeKind::Opened), as_news(NoticeKind::Resolved)]
        }
        NoticeKind::Passed => vec![facts.clone()],
    }
}

impl<'a> MailFacts<'a> {
    fn of(owed: &PendingNotice<'a>, conditions: &'a Conditions, now: DateTime<Utc>) -> Self {
        // What is over has no condition: one under the same key belongs to a new incident.
        let live = if owed.ended.is_some() {
            None
        } else {
            live(conditions, owed.incident)
        };
        Self {
            incident: owed.incident,
            news: owed.news,
            since: owed.open.since,
            ended: owed.ended.map(|ended| (ended.ended_at, ended.over)),
            // As it is now where the condition is still there, else as it was at the opening.
            count: live.map_or(owed.open.count, |live| live.count),
            cause: live.map_or(&owed.open.cause, |live| &live.cause),
            next_attempt_at: live.map_or(owed.open.next_attempt_at, |live| live.next_attempt_at),
            still_works: live.map_or(&owed.open.still_works, |live| &live.still_works),
            thread: owed.open.thread.as_deref(),
            now,
        }
    }
}

struct MailWriter<'a> {
    email: &'a EmailPolicy,
    now: DateTime<Utc>,
    last_id: u64,
}

impl MailWriter<'_> {
    fn own(&mut self, facts: &MailFacts<'_>, repeat_after: Duration) -> AlertEvent {
        let mut mail = self.mail(text::subject(facts), text::body(facts, repeat_after));
        mail.incident = Some(facts.incident.clone());
        // By this header mail programs show the mails of one incident as one thread.
        mail.references = facts.thread.map(str::to_owned);
        AlertEvent::MailQueued {
            mail,
            notices: vec![notice(facts)],
        }
    }

    fn digest(&mut self, items: &[MailFacts<'_>]) -> AlertEvent {
        let mail = self.mail(
            text::digest_subject(items),
            text::digest_body(items, self.now),
        );
        AlertEvent::MailQueued {
            mail,
            notices: items.iter().map(notice).collect(),
        }
    }

    fn mail(&mut self, subject: String, body: String) -> Mail {
        // The state keeps the last id, so that a restart never gives one out twice.
        self.last_id += 1;
        let id = self.last_id;
        let message_id = text::message_id(&self.email.from, id, self.now, &subject, &body);
        Mail {
            id,
            message_id,
            references: None,
            written_at: self.now,
            incident: None,
            subject,
            body,
        }
    }
}

fn notice(facts: &MailFacts<'_>) -> Notice {
    Notice {
        incident: facts.incident.clone(),
        news: facts.news,
    }
}

fn earlier(a: Option<DateTime<Utc>>, b: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    a.into_iter().chain(b).min()
}
