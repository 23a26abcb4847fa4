//! The alert task with a real journal and a mail server on loopback; only its clock is set by hand.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::*;
use crate::mail::fixture::MailFixture;
use crate::store::SqliteJournal;
use rotator_core::config::{EmailPolicy, SmtpTls};
use rotator_core::event::IncidentKind;
use rotator_core::incidents::{Condition, DAEMON};
use rotator_core::journal::{Entry, Stream};
use rotator_simulator::mailbox::ScriptedReply;

const FIRING: &str = "Subject: [ringcx-rotator] sales-ivr: sink crm failed (FIRING)\r\n";
const RESOLVED: &str = "Subject: [ringcx-rotator] sales-ivr: sink crm failed (RESOLVED)\r\n";

fn start() -> DateTime<Utc> {
    "2026-11-22T03:30:00Z".parse().unwrap()
}

fn policy(email: Option<EmailPolicy>) -> AlertsPolicy {
    let day = Duration::from_secs(24 * 3600);
    AlertsPolicy {
        repeat_after: day,
        resolved: true,
        overdue_after: day,
        email,
    }
}

fn managed() -> BTreeSet<String> {
    ["sales-ivr".to_owned()].into()
}

fn sink_failed() -> Vec<Condition> {
    vec![Condition {
        account: "sales-ivr".into(),
        kind: IncidentKind::SinkFailed,
        sink: Some("crm".into()),
        since: start(),
        count: 1,
        cause: "connection refused".into(),
        next_attempt_at: None,
        still_works: "the previous token stays valid".into(),
    }]
}

struct Desk {
    handle: AlertHandle,
    clock: Clock,
}

impl Desk {
    async fn open(state_dir: &Path, email: Option<EmailPolicy>) -> Self {
        Self::on(SqliteJournal::open(state_dir).unwrap(), email).await
    }

    async fn on(journal: impl Journal + 'static, email: Option<EmailPolicy>) -> Self {
        let clock = Clock::manual(start());
        let handle = AlertTask::start(journal, policy(email), managed(), clock.clone())
            .await
            .unwrap();
        Self { handle, clock }
    }

    /// Moves the clock and has the task look at it.
    async fn pass(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
        // A report of the daemon's own health wakes the task and changes nothing.
        self.handle.report(DAEMON, vec![]).await;
    }

    async fn until(&self, what: impl Fn(&AlertSnapshot) -> bool) -> AlertSnapshot {
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                let snapshot = self.handle.snapshot().await;
                if what(&snapshot) {
                    return snapshot;
                }
                tokio::task::yield_now().await;
            }
        });
        waited.await.expect("it comes to pass")
    }
}

/// What a killed daemon leaves: everything journaled, nothing closed in good order.
async fn kill(alerts: Desk, state_dir: &Path) {
    drop(alerts);
    let freed = async {
        while let Err(JournalError::Locked { .. }) = SqliteJournal::open(state_dir).map(drop) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), freed)
        .await
        .expect("the task ends with its last handle");
}

async fn kinds(state_dir: &Path) -> Vec<String> {
    let rows = SqliteJournal::open_read_only(state_dir)
        .unwrap()
        .load(ALERTS)
        .await
        .unwrap()
        .rows;
    rows.into_iter().map(|row| row.entry.kind).collect()
}

#[tokio::test]
async fn an_incident_is_mailed_when_it_opens_and_when_it_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let alerts = Desk::open(dir.path(), Some(mailbox.policy(SmtpTls::StartTls))).await;
    alerts.handle.report("sales-ivr", sink_failed()).await;
    assert_eq!(
        kinds(dir.path()).await,
        ["incident-opened"],
        "journaled once the report returns"
    );
    for _ in 0..5 {
        alerts.handle.report("sales-ivr", sink_failed()).await;
    }
    assert_eq!(kinds(dir.path()).await.len(), 1, "and only once");
    alerts.pass(5).await;
    assert!(mailbox.next().await.data.contains(FIRING));
    let open = alerts.until(|snapshot| snapshot.unsent == 0).await;
    assert_eq!(
        open.incidents[0].key.to_string(),
        "sales-ivr/sink-failed/crm"
    );
    alerts.handle.report("sales-ivr", vec![]).await;
    alerts.pass(5).await;
    assert!(mailbox.next().await.data.contains(RESOLVED));
    assert_eq!(
        alerts.until(|snapshot| snapshot.unsent == 0).await,
        AlertSnapshot::default()
    );
    let written = [
        "incident-opened",
        "mail-queued",
        "mail-sent",
        "incident-resolved",
        "mail-queued",
        "mail-sent",
    ];
    assert_eq!(kinds(dir.path()).await, written);
    assert_eq!(mailbox.rest(), 0);
}

#[tokio::test]
async fn a_mail_server_that_was_down_gets_the_mail_once() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let email = mailbox.policy(SmtpTls::StartTls);
    mailbox.mailbox.stop().await;
    let alerts = Desk::open(dir.path(), Some(email)).await;
    alerts.handle.report("sales-ivr", sink_failed()).await;
    alerts.pass(5).await;
    let down = alerts.until(|snapshot| snapshot.mail_error.is_some()).await;
    assert!(down.mail_error.unwrap().contains("refused"));
    let mut mailbox = mailbox.restart().await;
    alerts.pass(10).await;
    assert_eq!(
        alerts.handle.snapshot().await.unsent,
        1,
        "the back-off is not over"
    );
    alerts.pass(30).await;
    assert!(mailbox.next().await.data.contains(FIRING));
    alerts.until(|snapshot| snapshot.unsent == 0).await;
    alerts.pass(4000).await;
    alerts.handle.shutdown(Duration::from_secs(30)).await;
    assert_eq!(mailbox.rest(), 0);
}

#[tokio::test]
async fn a_killed_daemon_leaves_its_mail_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let email = mailbox.policy(SmtpTls::StartTls);
    mailbox.mailbox.stop().await;
    let alerts = Desk::open(dir.path(), Some(email.clone())).await;
    alerts.handle.report("sales-ivr", sink_failed()).await;
    alerts.pass(5).await;
    alerts.until(|snapshot| snapshot.mail_error.is_some()).await;
    kill(alerts, dir.path()).await;

    let mut mailbox = mailbox.restart().await;
    let alerts = Desk::open(dir.path(), Some(email)).await;
    alerts.pass(60).await;
    assert!(mailbox.next().await.data.contains(FIRING));
    let snapshot = alerts.until(|snapshot| snapshot.unsent == 0).await;
    assert_eq!(
        snapshot.incidents.len(),
        1,
        "not looked at yet, so it stays open"
    );
    alerts.handle.report("sales-ivr", sink_failed()).await;
    alerts.pass(60).await;
    assert_eq!(mailbox.rest(), 0);
}

#[tokio::test]
async fn stopping_sends_what_is_owed_and_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let alerts = Desk::open(dir.path(), Some(mailbox.policy(SmtpTls::StartTls))).await;
    alerts.handle.report("sales-ivr", sink_failed()).await;
    alerts.handle.shutdown(Duration::from_secs(30)).await;
    assert!(mailbox.next().await.data.contains(FIRING));
    assert_eq!(kinds(dir.path()).await.last().unwrap(), "mail-sent");
    alerts.handle.report("sales-ivr", vec![]).await;
    assert!(matches!(
        alerts.handle.test_mail().await,
        Err(MailError::Stopping)
    ));
}

#[tokio::test]
async fn stopping_does_not_wait_longer_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut email = MailFixture::start(SmtpTls::StartTls)
        .await
        .policy(SmtpTls::None);
    email.port = silent.local_addr().unwrap().port();
    email.ca_file = None;
    let alerts = Desk::open(dir.path(), Some(email)).await;
    alerts.handle.report("sales-ivr", sink_failed()).await;
    alerts.handle.shutdown(Duration::from_millis(50)).await;
    assert_eq!(
        kinds(dir.path()).await,
        ["incident-opened", "mail-queued"],
        "kept for the next start"
    );
}

#[tokio::test]
async fn new_mail_settings_are_tried_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let good = mailbox.policy(SmtpTls::StartTls);
    let wrong = EmailPolicy {
        ca_file: Some("/nonexistent/ca.pem".into()),
        ..good.clone()
    };
    let alerts = Desk::open(dir.path(), Some(wrong)).await;
    alerts.handle.report("sales-ivr", sink_failed()).await;
    alerts.pass(5).await;
    alerts.until(|snapshot| snapshot.mail_error.is_some()).await;
    alerts
        .handle
        .policy_changed(policy(Some(good)), managed())
        .await;
    assert!(mailbox.next().await.data.contains(FIRING));
}

#[tokio::test]
async fn an_account_taken_out_closes_its_incidents_and_late_reports_open_none() {
    let dir = tempfile::tempdir().unwrap();
    let alerts = Desk::open(dir.path(), None).await;
    alerts.handle.report("sales-ivr", sink_failed()).await;
    alerts
        .handle
        .policy_changed(policy(None), BTreeSet::new())
        .await;
    alerts.handle.report("sales-ivr", sink_failed()).await;
    assert_eq!(alerts.handle.snapshot().await.incidents, []);
    assert_eq!(
        kinds(dir.path()).await,
        ["incident-opened", "incident-resolved"]
    );
}

#[tokio::test]
async fn one_recipient_that_waits_holds_up_neither_the_others_nor_other_mails() {
    let dir = tempfile::tempdir().unwrap();
    let mut mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let mut email = mailbox.policy(SmtpTls::StartTls);
    email.to = ["a", "slow", "gone"]
        .map(|name| format!("{name}@example.com"))
        .to_vec();
    mailbox.mailbox.script(vec![
        ScriptedReply::line("RCPT TO:<slow@", "450 greyl\u{e9}sted"),
        ScriptedReply::line("RCPT TO:<gone@", "550 nobody"),
        ScriptedReply {
            // The mail is taken, in words that are not UTF-8.
            bytes: b"250 2.0.0 accept\xe9\r\n".to_vec(),
            ..ScriptedReply::line(".", "")
        },
    ]);
    let alerts = Desk::open(dir.path(), Some(email)).await;
    alerts.handle.report("sales-ivr", sink_failed()).await;
    alerts.pass(5).await;
    let waits = alerts.until(|snapshot| snapshot.mail_error.is_some()).await;
    let error = waits.mail_error.unwrap();
    assert!(error.starts_with("slow@example.com: 450"), "{error}");
    // The next mail goes past it.
    alerts.handle.report("sales-ivr", vec![]).await;
    alerts.pass(5).await;
    alerts.until(|snapshot| snapshot.unsent == 2).await;
    assert!(mailbox.next().await.data.contains(FIRING));
    assert!(mailbox.next().await.data.contains(RESOLVED));
    mailbox.mailbox.script(vec![ScriptedReply::line(
        "RCPT TO:<gone@",
        "550 asked again",
    )]);
    let done = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let snapshot = alerts.handle.snapshot().await;
            if snapshot.unsent == 0 {
                return snapshot;
            }
            // Past the back-off of both, whenever that began.
            alerts.pass(60).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let done = done.await.expect("both go to the one who waits");
    assert_eq!(done.refused, ["gone@example.com: 550 nobody"]);
    let mut late = [mailbox.next().await, mailbox.next().await];
    late.sort_by_key(|mail| !mail.data.contains(FIRING));
    for (mail, subject) in late.iter().zip([FIRING, RESOLVED]) {
        assert_eq!(mail.to, ["slow@example.com"]);
        assert!(mail.data.contains(subject));
    }
    alerts.handle.shutdown(Duration::from_secs(30)).await;
    assert_eq!(mailbox.rest(), 0);
}

#[tokio::test]
async fn a_rejected_password_is_tried_once_and_another_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let credentials = ("mailer".to_owned(), "right".to_owned());
    mailbox.mailbox.set_credentials(Some(credentials));
    let email = EmailPolicy {
        username: Some("mailer".into()),
        password: Some(mailbox.password("wrong")),
        ..mailbox.policy(SmtpTls::StartTls)
    };
    let alerts = Desk::open(dir.path(), Some(email.clone())).await;
    alerts.handle.report("sales-ivr", sink_failed()).await;
    alerts.pass(5).await;
    alerts.until(|snapshot| snapshot.mail_error.is_some()).await;
    for _ in 0..60 {
        alerts.pass(300).await;
    }
    alerts.handle.shutdown(Duration::from_secs(30)).await;
    assert_eq!(
        mailbox.mailbox.rejected_logins(),
        1,
        "in five hours, and at the stop"
    );

    // The hold outlives the process; its clock starts where it began.
    drop(alerts);
    let alerts = Desk::open(dir.path(), Some(email.clone())).await;
    alerts.pass(100).await;
    alerts.pass(100).await;
    assert_eq!(mailbox.mailbox.rejected_logins(), 1);
    alerts
        .handle
        .policy_changed(policy(Some(email)), managed())
        .await;
    alerts
        .until(|_| mailbox.mailbox.rejected_logins() == 2)
        .await;
    alerts.until(|snapshot| snapshot.mail_error.is_some()).await;
    mailbox.password("right");
    alerts.pass(61).await;
    assert!(mailbox.next().await.data.contains(FIRING));
    alerts.until(|snapshot| snapshot.unsent == 0).await;
}

#[tokio::test]
async fn a_test_mail_that_arrives_lets_the_others_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut mailbox = MailFixture::start(SmtpTls::StartTls).await;
    mailbox
        .mailbox
        .script(vec![ScriptedReply::line("MAIL", "550 not from you")]);
    let alerts = Desk::open(dir.path(), Some(mailbox.policy(SmtpTls::StartTls))).await;
    alerts.handle.report("sales-ivr", sink_failed()).await;
    alerts.pass(5).await;
    alerts.until(|snapshot| snapshot.mail_error.is_some()).await;
    mailbox.mailbox.script(vec![]);
    alerts.handle.test_mail().await.unwrap();
    assert!(mailbox.next().await.data.contains("test mail"));
    assert!(mailbox.next().await.data.contains(FIRING));
}

#[tokio::test]
async fn a_test_mail_goes_past_the_outbox() {
    let dir = tempfile::tempdir().unwrap();
    let mut mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let alerts = Desk::open(dir.path(), Some(mailbox.policy(SmtpTls::StartTls))).await;
    alerts.handle.test_mail().await.unwrap();
    assert!(mailbox.next().await.data.contains("test mail"));
    assert_eq!(kinds(dir.path()).await, [""; 0]);
    alerts.handle.policy_changed(policy(None), managed()).await;
    assert!(matches!(
        alerts.handle.test_mail().await,
        Err(MailError::NotConfigured)
    ));
}

/// A journal whose disk is full whenever the test says so.
#[derive(Clone)]
struct FailingJournal {
    inner: SqliteJournal,
    refuses: Arc<AtomicBool>,
    /// Set once it has refused to note that a mail was sent.
    refused_a_sent_mail: Arc<AtomicBool>,
}

impl FailingJournal {
    fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, SeqCst);
    }
}

impl Journal for FailingJournal {
    async fn load(&self, stream: &str) -> Result<Stream, JournalError> {
        self.inner.load(stream).await
    }

    async fn compact(&self, stream: &str, upto: u64, body: String) -> Result<(), JournalError> {
        self.inner.compact(stream, upto, body).await
    }

    async fn append(
        &self,
        stream: &str,
        expected: u64,
        entries: Vec<Entry>,
    ) -> Result<u64, JournalError> {
        if self.refuses.load(SeqCst) {
            self.refused_a_sent_mail.fetch_or(
                entries.iter().any(|entry| entry.kind == "mail-sent"),
                SeqCst,
            );
            return Err(JournalError::Closed);
        }
        self.inner.append(stream, expected, entries).await
    }

    async fn streams(&self) -> Result<Vec<String>, JournalError> {
        self.inner.streams().await
    }
}

#[tokio::test]
async fn a_journal_that_refuses_loses_no_condition_and_doubles_no_mail() {
    let dir = tempfile::tempdir().unwrap();
    let mut mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let journal = FailingJournal {
        inner: SqliteJournal::open(dir.path()).unwrap(),
        refuses: Arc::default(),
        refused_a_sent_mail: Arc::default(),
    };
    let alerts = Desk::on(journal.clone(), Some(mailbox.policy(SmtpTls::StartTls))).await;
    journal.refuse(true);
    alerts.handle.report("sales-ivr", sink_failed()).await;
    assert_eq!(alerts.handle.snapshot().await.incidents, []);
    journal.refuse(false);
    alerts.pass(0).await;
    assert_eq!(alerts.handle.snapshot().await.incidents.len(), 1);

    alerts.pass(5).await;
    journal.refuse(true);
    assert!(mailbox.next().await.data.contains(FIRING));
    alerts
        .until(|_| journal.refused_a_sent_mail.load(SeqCst))
        .await;
    for _ in 0..5 {
        alerts.pass(7200).await;
    }
    journal.refuse(false);
    alerts.pass(0).await;
    alerts.until(|snapshot| snapshot.unsent == 0).await;
    alerts.handle.shutdown(Duration::from_secs(30)).await;
    let kinds = kinds(dir.path()).await;
    assert_eq!(kinds, ["incident-opened", "mail-queued", "mail-sent"]);
    assert_eq!(
        mailbox.rest(),
        0,
        "a mail that was sent is remembered, though not yet on disk"
    );
}

#[tokio::test]
async fn another_writer_is_noticed_and_its_rows_are_taken_in() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).unwrap();
    let alerts = Desk::on(journal.clone(), None).await;
    let lifted = AlertEvent::MailHoldsLifted.to_entry(start());
    journal.append(ALERTS, 0, vec![lifted]).await.unwrap();
    alerts.handle.report("sales-ivr", sink_failed()).await;
    alerts.pass(0).await;
    assert_eq!(
        kinds(dir.path()).await,
        ["mail-holds-lifted", "incident-opened"]
    );
}

#[tokio::test]
async fn a_row_that_is_no_alert_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).unwrap();
    let odd = Entry {
        at: start(),
        kind: "from-the-future".into(),
        body: "{}".into(),
    };
    journal.append(ALERTS, 0, vec![odd]).await.unwrap();
    let refused = AlertTask::start(journal, policy(None), managed(), Clock::manual(start()))
        .await
        .err();
    assert!(
        matches!(refused, Some(JournalError::Damaged { seq: 1, .. })),
        "{refused:?}"
    );
}
