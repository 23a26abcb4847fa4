//! Against the simulator's mail server.

use super::fixture::MailFixture;
use std::time::Duration;

use super::*;
use rotator_core::incidents::test_mail;
use rotator_core::secret::SecretSource;
use rotator_simulator::mailbox::{MailBehavior, ScriptedReply};

const PASSWORD: &str = "hunter2-but-longer";

fn mail(policy: &EmailPolicy) -> Mail {
    let written_at = "2026-11-22T03:30:00Z".parse().unwrap();
    Mail {
        incident: "sales-ivr/sink-failed/crm".parse().ok(),
        ..test_mail(policy, written_at)
    }
}

fn taken(to: &[&str]) -> SmtpReceipt {
    SmtpReceipt {
        taken: to.iter().map(|to| (*to).to_owned()).collect(),
        ..SmtpReceipt::default()
    }
}

async fn send(policy: &EmailPolicy) -> Result<SmtpReceipt, MailError> {
    Mailer::new(policy.clone()).send(&mail(policy)).await
}

#[tokio::test]
async fn a_mail_arrives_over_starttls_and_over_implicit_tls() {
    for tls in [SmtpTls::StartTls, SmtpTls::Implicit, SmtpTls::None] {
        let mut mailbox = MailFixture::start(tls).await;
        let policy = mailbox.policy(tls);
        assert_eq!(send(&policy).await.unwrap(), taken(&["oncall@example.com"]));
        let arrived = mailbox.next().await.data;
        for line in [
            "From: \"RingCX rotator\" <rotator@example.com>\r\n",
            "To: oncall@example.com\r\n",
            "Subject: [ringcx-rotator] test mail (TEST)\r\n",
            "Date: Sun, 22 Nov 2026 03:30:00 +0000\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "MIME-Version: 1.0\r\n",
            "Content-Type: text/plain; charset=utf-8\r\n",
            "X-RingCX-Rotator-Incident: sales-ivr/sink-failed/crm\r\n",
            &format!("Message-ID: {}\r\n", mail(&policy).message_id),
            "Nothing is wrong, and there is nothing to do.\r\n",
        ] {
            assert!(arrived.contains(line), "{line:?} is missing in {arrived}");
        }
        Mailer::new(policy).greet().await.unwrap();
        assert_eq!(mailbox.rest(), 0, "a greeting sends nothing");
    }
}

#[tokio::test]
async fn the_password_is_read_at_each_use_and_never_shown() {
    let mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let credentials = ("mailer".to_owned(), PASSWORD.to_owned());
    mailbox.mailbox.set_credentials(Some(credentials));
    // The answer repeats the password, which must not be shown even then.
    mailbox.mailbox.answer(MailBehavior::EchoLogin);
    let mut policy = mailbox.policy(SmtpTls::StartTls);
    policy.username = Some("mailer".into());
    policy.password = Some(mailbox.password("wrong-password"));
    let mailer = Mailer::new(policy.clone());
    let error = mailer.greet().await.unwrap_err();
    assert!(matches!(&error, MailError::LoginRejected { .. }), "{error}");
    let repeated = STANDARD.encode("\0mailer\0wrong-password");
    let shown = format!("{error} {error:?}");
    assert!(
        !shown.contains("wrong-password") && !shown.contains(&repeated),
        "{shown}"
    );
    mailbox.password(PASSWORD);
    mailer.greet().await.unwrap();
    policy.password = Some(SecretSource::File("/nonexistent/smtp".into()));
    let error = send(&policy).await.unwrap_err().to_string();
    assert!(
        error.starts_with("SMTP password: /nonexistent/smtp"),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_is_sent_where_starttls_is_not_offered() {
    let mailbox = MailFixture::start(SmtpTls::None).await;
    let error = send(&mailbox.policy(SmtpTls::StartTls)).await.unwrap_err();
    assert!(matches!(error, MailError::NoStartTls { .. }), "{error}");
    assert_eq!(mailbox.rest(), 0);
}

#[tokio::test]
async fn a_certificate_of_unknown_origin_is_refused_in_words() {
    let mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let other = MailFixture::start(SmtpTls::StartTls).await;
    let mut policy = mailbox.policy(SmtpTls::StartTls);
    policy.ca_file = other.policy(SmtpTls::StartTls).ca_file;
    let error = send(&policy).await.unwrap_err().to_string();
    assert!(
        error.contains("STARTTLS: invalid peer certificate"),
        "{error}"
    );
    policy.ca_file = Some(
        other
            .policy(SmtpTls::StartTls)
            .ca_file
            .unwrap()
            .with_file_name("missing.pem"),
    );
    let error = send(&policy).await.unwrap_err();
    assert!(matches!(error, MailError::CaFile { .. }), "{error}");
    policy.ca_file = None;
    let error = send(&policy).await.unwrap_err().to_string();
    assert!(
        error.contains("is `ca-file` set?") || error.contains("No CA certificates"),
        "{error}"
    );
    assert_eq!(mailbox.rest(), 0);
}

#[tokio::test]
async fn one_recipient_that_is_gone_keeps_no_mail_from_the_others() {
    let mut mailbox = MailFixture::start(SmtpTls::StartTls).await;
    mailbox.mailbox.refuse_recipient("gone@example.com");
    let mut policy = mailbox.policy(SmtpTls::StartTls);
    policy.to.insert(0, "gone@example.com".into());
    let receipt = send(&policy).await.unwrap();
    assert_eq!(receipt.taken, ["oncall@example.com"]);
    assert_eq!(
        receipt.complaint().unwrap(),
        "sent, but not to everyone: gone@example.com: 550 nobody of that name"
    );
    mailbox.next().await;
    policy.to.truncate(1);
    let nobody = send(&policy).await.unwrap();
    assert_eq!(
        nobody.complaint().unwrap(),
        "not sent: gone@example.com: 550 nobody of that name"
    );
    assert_eq!(mailbox.rest(), 0);
}

#[tokio::test]
async fn who_has_the_mail_is_not_asked_for_again() {
    let mut mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let mut policy = mailbox.policy(SmtpTls::StartTls);
    policy.to = ["a", "b", "b", "gone"]
        .map(|name| format!("{name}@example.com"))
        .to_vec();
    mailbox.mailbox.script(vec![
        ScriptedReply::line("RCPT TO:<b@", "450 greylisted"),
        ScriptedReply::line("RCPT TO:<gone@", "550 nobody"),
    ]);
    let first = send(&policy).await.unwrap();
    assert_eq!(first.taken, ["a@example.com"]);
    assert_eq!(
        first.deferred[0].to_string(),
        "b@example.com: 450 greylisted"
    );
    assert_eq!((first.deferred.len(), first.refused.len()), (1, 1));
    mailbox.mailbox.script(vec![]);
    let except = Except {
        settled: vec!["a@example.com".into(), "gone@example.com".into()],
        password: None,
    };
    let mailer = Mailer::new(policy.clone());
    let again = mailer.send_except(&mail(&policy), &except).await;
    assert_eq!(again.unwrap(), taken(&["b@example.com"]));
    assert_eq!(mailbox.next().await.to, ["a@example.com"]);
    assert_eq!(mailbox.next().await.to, ["b@example.com"]);
    policy.to.truncate(1);
    let mailer = Mailer::new(policy.clone());
    let nobody = mailer.send_except(&mail(&policy), &except).await;
    assert_eq!(nobody.unwrap(), SmtpReceipt::default());
    assert_eq!(mailbox.rest(), 0);
}

#[tokio::test]
async fn the_machine_is_introduced_by_the_name_of_the_policy_or_a_full_one() {
    let mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let mut policy = mailbox.policy(SmtpTls::StartTls);
    send(&policy).await.unwrap();
    policy.helo = Some("rotator.example.com".into());
    send(&policy).await.unwrap();
    let commands = mailbox.mailbox.commands();
    let names: Vec<_> = commands
        .iter()
        .filter_map(|line| line.strip_prefix("EHLO "))
        .collect();
    // Each mail has two: before and after STARTTLS.
    assert_eq!(names[2..], ["rotator.example.com"; 2]);
    assert!(names[0].contains('.'), "{names:?}");
}

#[tokio::test]
async fn addresses_beyond_ascii_go_only_to_a_server_that_takes_them() {
    let mut mailbox = MailFixture::start(SmtpTls::None).await;
    let mut policy = mailbox.policy(SmtpTls::None);
    policy.from = "Störung <rotator@bücher.example>".into();
    policy.to = ["jörg@example.com", "Büro <b@münchen.example>"]
        .map(str::to_owned)
        .to_vec();
    let receipt = send(&policy).await.unwrap();
    assert_eq!(receipt.taken, ["b@münchen.example"]);
    assert!(
        receipt.refused[0].why.contains("no SMTPUTF8"),
        "{receipt:?}"
    );
    let arrived = mailbox.next().await;
    assert_eq!(arrived.to, ["b@xn--mnchen-3ya.example"]);
    assert_eq!(arrived.from, "rotator@xn--bcher-kva.example");
    assert!(arrived.data.is_ascii(), "{}", arrived.data);

    let offer = ScriptedReply::line("EHLO", "250-localhost\r\n250 SMTPUTF8");
    mailbox.mailbox.script(vec![offer]);
    let receipt = send(&policy).await.unwrap();
    assert_eq!((receipt.taken.len(), receipt.refused.len()), (2, 0));
    let arrived = mailbox.next().await;
    assert_eq!(arrived.to, ["jörg@example.com", "b@xn--mnchen-3ya.example"]);
    let commands = mailbox.mailbox.commands();
    assert!(
        commands.iter().any(|line| line.ends_with("> SMTPUTF8")),
        "{commands:?}"
    );

    mailbox.mailbox.script(vec![]);
    policy.from = "störung@example.com".into();
    let error = send(&policy).await.unwrap_err();
    assert!(matches!(error, MailError::NoUtf8 { .. }), "{error}");
}

#[tokio::test]
async fn a_password_that_was_rejected_is_not_sent_again() {
    let mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let credentials = ("mailer".to_owned(), PASSWORD.to_owned());
    mailbox.mailbox.set_credentials(Some(credentials));
    let mut policy = mailbox.policy(SmtpTls::StartTls);
    policy.username = Some("mailer".into());
    policy.password = Some(mailbox.password("wrong-password"));
    let error = send(&policy).await.unwrap_err();
    let MailError::LoginRejected { tag, .. } = error else {
        panic!("{error}");
    };
    let except = Except {
        settled: vec![],
        password: Some(tag),
    };
    let mailer = Mailer::new(policy.clone());
    let same = mailer.send_except(&mail(&policy), &except).await;
    assert!(matches!(same, Err(MailError::SamePassword)));
    assert_eq!(mailbox.mailbox.sessions(), 1);
    mailbox.password(PASSWORD);
    mailer.send_except(&mail(&policy), &except).await.unwrap();
    // Only for now: back off as for anything else.
    mailbox
        .mailbox
        .script(vec![ScriptedReply::line("AUTH", "454 try later")]);
    let error = send(&policy).await.unwrap_err();
    assert!(matches!(error, MailError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_refusal_of_the_text_is_final_and_one_for_now_is_not() {
    for (behavior, answer, is_final) in [
        (MailBehavior::RefuseContent, "554 looks like spam", true),
        (MailBehavior::RefuseAfterData, "452 no room", false),
    ] {
        let mailbox = MailFixture::start(SmtpTls::StartTls).await;
        mailbox.mailbox.answer(behavior);
        let receipt = send(&mailbox.policy(SmtpTls::StartTls)).await.unwrap();
        let (kind, other) = if is_final {
            (&receipt.refused, &receipt.deferred)
        } else {
            (&receipt.deferred, &receipt.refused)
        };
        assert_eq!(kind[0].why, answer);
        assert!(other.is_empty() && receipt.taken.is_empty());
        assert_eq!(mailbox.rest(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let mut policy = mailbox.policy(SmtpTls::StartTls);
    policy.host = "127.0.0.1".into();
    policy.port = silent.local_addr().unwrap().port();
    // No real time passes while nothing can happen, so only an endless limit would hang here.
    policy.timeout = Duration::from_secs(1_000_000);
    let error = send(&policy).await.unwrap_err().to_string();
    assert!(
        error.contains("the greeting: no answer within 300 s"),
        "{error}"
    );
}

#[tokio::test]
async fn letters_of_every_script_arrive() {
    let mut mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let policy = mailbox.policy(SmtpTls::StartTls);
    let mail = Mail {
        subject: "Störung in 東京".into(),
        body: "Grüße\n.\nÜber\n".into(),
        ..mail(&policy)
    };
    Mailer::new(policy).send(&mail).await.unwrap();
    let arrived = mailbox.next().await.data;
    assert!(
        arrived.is_ascii() && arrived.contains("Subject: =?utf-8?"),
        "{arrived}"
    );
    assert!(
        arrived.contains(&STANDARD.encode("Grüße\r\n.\r\nÜber\r\n")),
        "{arrived}"
    );
}
