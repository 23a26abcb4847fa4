//! Subjects and texts of mails, for a reader who did not set this up and may be on a phone.
//!
//! Subjects are for filters: `[ringcx-rotator] ACCOUNT: WHAT (FIRING)`, and `(RESOLVED)` when it is
//! over; a reminder says FIRING too and differs in its body. Everything that came from elsewhere
//! passes through [`one_line`], so that no cause can add a header or a line of its own. What is
//! said about each kind of incident is in `incidents/table.rs`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use super::event::{Mail, NoticeKind, Resolution};
use super::{DAEMON, IncidentKey};
use crate::config::EmailPolicy;
use runbook::AdviceSubject;

mod runbook;
mod words;

pub use words::one_line;
use words::{ago, paragraph, span, until};

/// Characters of a cause that are kept.
pub(super) const LONGEST_CAUSE: usize = 600;

/// Characters of a cause in a summary, and in one line of a digest.
const SHORT_CAUSE: usize = 160;

/// Lines of a digest for each kind of news.
const DIGEST_LINES: usize = 50;

const DIGEST_OPENING: &str = "Many things happened in a short time, so they share this mail. \
    Where many accounts fail the same way, look for one cause: the network, a proxy, or RingCX \
    itself.";

const DIGEST_STEPS: [&str; 2] = [
    "- See what is open and when each account is tried again: `ringcx-rotator status`",
    "- Try the login, the list and every sink without changing anything: `ringcx-rotator check \
     --online`",
];

const DIGEST_STILL_WORKS: &str = "Nothing was deleted because of this. What an account's sinks \
    hold stays as it is until a new token is proved.";

/// What a mail about one incident is made of.
#[derive(Clone)]
pub(super) struct MailFacts<'a> {
    pub incident: &'a IncidentKey,
    pub news: NoticeKind,
    pub since: DateTime<Utc>,
    pub ended: Option<(DateTime<Utc>, Resolution)>,
    pub count: u32,
    pub cause: &'a str,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub still_works: &'a str,
    /// The Message-ID of the first mail about it.
    pub thread: Option<&'a str>,
    pub now: DateTime<Utc>,
}

/// `[ringcx-rotator] sales-ivr: sink crm failed (FIRING)`
pub(super) fn subject(facts: &MailFacts<'_>) -> String {
    let state = match facts.news {
        NoticeKind::Opened | NoticeKind::StillOpen | NoticeKind::Passed => "FIRING",
        NoticeKind::Resolved => "RESOLVED",
    };
    let about = AdviceSubject::of(facts.incident);
    one_line(
        &format!(
            "[ringcx-rotator] {}: {} ({state})",
            about.place(),
            about.headline()
        ),
        // Far below the 998 characters that a header line may have (RFC 5322, 2.1.1).
        200,
    )
}

/// The text of a mail about one incident, at most 76 columns wide.
pub(super) fn body(facts: &MailFacts<'_>, repeat_after: Duration) -> String {
    let about = AdviceSubject::of(facts.incident);
    let mut text = String::new();
    paragraph(&mut text, "", &opening(facts, &about));
    text.push('\n');
    head(&mut text, facts);
    let mut section = |title: &str, lines: &[String]| {
        // Writing into a `String` cannot fail; the same holds for the other `_ok` of this file.
        let _ok = write!(text, "\n{title}\n");
        for line in lines {
            paragraph(&mut text, "  ", line);
        }
    };
    let cause = one_line(facts.cause, LONGEST_CAUSE);
    let cause = if cause.is_empty() {
        "not known".to_owned()
    } else {
        cause
    };
    match (facts.news, facts.ended) {
        (NoticeKind::Opened | NoticeKind::StillOpen, _)
        // An end without its time cannot be told as one, so the incident is shown as if it were
        // open.
        | (NoticeKind::Resolved | NoticeKind::Passed, None) => {
            section("What failed", &[about.what()]);
            section("Cause", &[cause]);
            section("What happens next", &[next(facts, &about)]);
            let steps: Vec<_> = about
                .steps()
                .into_iter()
                .map(|step| format!("- {step}"))
                .collect();
            section("What you can do", &steps);
            section(
                "What still works",
                &[sentence(&one_line(facts.still_works, LONGEST_CAUSE))],
            );
            let repeat = TimeDelta::from_std(repeat_after).unwrap_or(TimeDelta::MAX);
            text.push('\n');
            paragraph(
                &mut text,
                "",
                &format!(
                    "While this stays open it is mailed again every {}.",
                    span(repeat)
                ),
            );
        }
        (NoticeKind::Resolved | NoticeKind::Passed, Some((_, over))) => {
            section("What had failed", &[about.what()]);
            section("Cause", &[cause]);
            section("What you can do", &[after(over)]);
        }
    }
    text
}

/// `sink crm failed: connection refused`, for `status`.
pub(super) fn summary(incident: &IncidentKey, cause: &str) -> String {
    let headline = AdviceSubject::of(incident).headline();
    let cause = one_line(cause, SHORT_CAUSE);
    if cause.is_empty() {
        headline
    } else {
        format!("{headline}: {cause}")
    }
}

/// `[ringcx-rotator] 998 incidents: 990 new, 8 over (FIRING)`
pub(super) fn digest_subject(items: &[MailFacts<'_>]) -> String {
    let count = |news: &[NoticeKind]| {
        items
            .iter()
            .filter(|facts| news.contains(&facts.news))
            .count()
    };
    let (new, still) = (
        count(&[NoticeKind::Opened]),
        count(&[NoticeKind::StillOpen]),
    );
    let over = count(&[NoticeKind::Resolved, NoticeKind::Passed]);
    let parts = [(new, "new"), (still, "still open"), (over, "over")];
    let parts: Vec<_> = parts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    let state = if new + still > 0 {
        "FIRING"
    } else {
        "RESOLVED"
    };
    let noun = if items.len() == 1 {
        "incident"
    } else {
        "incidents"
    };
    format!(
        "[ringcx-rotator] {} {noun}: {} ({state})",
        items.len(),
        parts.join(", ")
    )
}

/// The text of one mail about many incidents.
pub(super) fn digest_body(items: &[MailFacts<'_>], now: DateTime<Utc>) -> String {
    let mut text = String::new();
    paragraph(&mut text, "", DIGEST_OPENING);
    // Sorted, so that the same incidents always make the same text.
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for facts in items {
        *kinds.entry(facts.incident.kind.name()).or_default() += 1;
    }
    text.push_str("\nBy kind\n");
    for (kind, count) in kinds {
        let _ok = writeln!(text, "  {count:>5}  {kind}");
    }
    for (title, news) in [
        ("New", &[NoticeKind::Opened][..]),
        ("Still open", &[NoticeKind::StillOpen]),
        ("Over", &[NoticeKind::Resolved, NoticeKind::Passed]),
    ] {
        let listed: Vec<_> = items
            .iter()
            .filter(|facts| news.contains(&facts.news))
            .collect();
        digest_section(&mut text, title, &listed);
    }
    text.push_str("\nWhat you can do\n");
    for step in DIGEST_STEPS {
        paragraph(&mut text, "  ", step);
    }
    text.push_str("\nWhat still works\n");
    paragraph(&mut text, "  ", DIGEST_STILL_WORKS);
    let _ok = write!(text, "\nWritten at {}.\n", stamp(now));
    text
}

/// One line for each incident, up to [`DIGEST_LINES`].
fn digest_section(text: &mut String, title: &str, listed: &[&MailFacts<'_>]) {
    if listed.is_empty() {
        return;
    }
    let _ok = write!(text, "\n{title}\n");
    for facts in listed.iter().take(DIGEST_LINES) {
        let about = AdviceSubject::of(facts.incident);
        let (place, headline) = (about.place(), about.headline());
        let cause = one_line(facts.cause, SHORT_CAUSE);
        let when = match facts.ended {
            Some((ended, _)) => format!("from {} to {}", stamp(facts.since), stamp(ended)),
            None => format!("since {}", stamp(facts.since)),
        };
        let line = format!("- {place}: {headline}, {when}: {cause}");
        paragraph(text, "  ", &line);
    }
    if listed.len() > DIGEST_LINES {
        let _ok = writeln!(text, "  … and {} more", listed.len() - DIGEST_LINES);
    }
}

/// The mail of `test-alert`. It is sent at once and never kept.
pub fn test_mail(email: &EmailPolicy, now: DateTime<Utc>) -> Mail {
    let subject = "[ringcx-rotator] test mail (TEST)".to_owned();
    let mut body = String::new();
    paragraph(
        &mut body,
        "",
        "Somebody ran `ringcx-rotator test-alert`. Mail about incidents will arrive the same way, \
         with (FIRING) in the subject when something fails and (RESOLVED) when it is over.",
    );
    let _ok = write!(
        body,
        "\nNothing is wrong, and there is nothing to do.\n\nWritten at {}.\n",
        stamp(now)
    );
    // Number 0 is free: mails about incidents count from 1.
    let message_id = message_id(&email.from, 0, now, &subject, &body);
    Mail {
        id: 0,
        message_id,
        references: None,
        written_at: now,
        incident: None,
        subject,
        body,
    }
}

/// Unique without chance or clock: the mail's number, its time and the hash of what it says.
pub(super) fn message_id(
    from: &str,
    id: u64,
    now: DateTime<Utc>,
    subject: &str,
    body: &str,
) -> String {
    let domain = from
        .rsplit_once('@')
        .map_or("", |(_, domain)| domain.trim_end_matches(['>', ' ']));
    // A character that is special in a header could break it, so the domain is not used then.
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let domain = if !domain.is_empty() && domain.chars().all(plain) {
        domain
    } else {
        // `.invalid` is reserved and names no host (RFC 2606).
        "ringcx-rotator.invalid"
    };
    let mut hash = Sha256::new();
    hash.update(subject);
    // The NUL keeps the two apart: a subject never holds one.
    hash.update([0]);
    hash.update(body);
    let hash: String = hash
        .finalize()
        .iter()
        // 48 bits are enough beside the number and the time.
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("<{}.{id}.{hash}@{domain}>", now.timestamp_millis())
}

fn opening(facts: &MailFacts<'_>, about: &AdviceSubject<'_>) -> String {
    let headline = format!("{}: {}", about.place(), about.headline());
    match facts.news {
        NoticeKind::Opened => format!("{headline}."),
        NoticeKind::StillOpen => {
            format!(
                "{headline}. This is still open, {} after it began.",
                span(facts.now - facts.since)
            )
        }
        NoticeKind::Resolved => format!("{headline}: this is over."),
        NoticeKind::Passed => {
            format!("{headline}. It was over again before this mail could be sent.")
        }
    }
}

fn head(text: &mut String, facts: &MailFacts<'_>) {
    let now = facts.now;
    let incident = facts.incident;
    let mut line = |name: &str, value: String| {
        let _ok = writeln!(text, "{name:<10}{value}");
    };
    // An incident of the daemon has no account to name.
    if incident.account != DAEMON {
        line("Account", incident.account.clone());
    }
    line("Incident", incident.to_string());
    line(
        "Since",
        format!("{} ({})", stamp(facts.since), ago(facts.since, now)),
    );
    match facts.ended {
        // The first mail of a pair tells of the opening only; see `expand`.
        Some((ended, _)) if facts.news != NoticeKind::Opened => {
            line(
                "Until",
                format!("{} (after {})", stamp(ended), span(ended - facts.since)),
            );
        }
        _ if facts.count == 1 => line("Seen", "once".to_owned()),
        _ => line("Seen", format!("{} times in a row", facts.count)),
    }
}

fn next(facts: &MailFacts<'_>, about: &AdviceSubject<'_>) -> String {
    match facts.next_attempt_at {
        // A time that has come is not shown as "in 0 seconds".
        Some(at) if at <= facts.now => about.retried("now"),
        Some(at) => about.retried(&format!("at {} ({})", stamp(at), until(at, facts.now))),
        None => about.not_retried(),
    }
}

fn after(over: Resolution) -> String {
    match over {
        Resolution::Gone => "Nothing needs to be done.".to_owned(),
        Resolution::Unmanaged => {
            "The account is no longer in the policy, so this is no longer looked at. Nothing was \
             deleted: its tokens stay valid until somebody deletes them."
                .to_owned()
        }
    }
}

/// With a capital and a full stop, as it stands alone.
fn sentence(text: &str) -> String {
    let text = if text.is_empty() { "not known" } else { text };
    let mut chars = text.chars();
    let first: String = chars
        .next()
        .map(|c| c.to_uppercase().collect())
        .unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?', '…']) {
        ""
    } else {
        "."
    };
    format!("{first}{}{end}", chars.as_str())
}

fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
