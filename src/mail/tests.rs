//! Against the simulator's mail server.

use super::fixture::MailFixture;
use super::*;
use rotator_core::incidents::test_mail;
use rotator_core::secret::SecretSource;
use rotator_simulator::mailbox::MailBehavior;

const PASSWORD: &str = "hunter2-but-longer";

fn mail(policy: &EmailPolicy) -> Mail {
    let written_at = "2026-11-22T03:30:00Z".parse().unwrap();
    Mail {
        incident: "sales-ivr/sink-failed/crm".parse().ok(),
        ..test_mail(policy, written_at)
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
        assert_eq!(send(&policy).await.unwrap(), SmtpReceipt::default());
        let arrived = mailbox.next().await.data;
        for line in [
            "From: \"RingCX rotator\" <rotator@example.com>\r\n",
            "To: oncall@example.com\r\n",
            "Subject: [ringcx-rotator] test mail (TEST)\r\n",
            "Date: Sun, 22 Nov 2026 03:30:00 +0000\r\n",
            "Auto-Submitted: auto-generated\r\n",
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
    assert!(
        matches!(
            &error,
            MailError::Refused {
                step: "the login",
                ..
            }
        ),
        "{error}"
    );
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
    assert_eq!(
        receipt.refused,
        ["gone@example.com: 550 nobody of that name"]
    );
    mailbox.next().await;
    policy.to.truncate(1);
    let error = send(&policy).await.unwrap_err();
    assert!(
        matches!(
            &error,
            MailError::Refused {
                step: "every recipient",
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn what_the_server_says_of_one_mail_is_told_from_what_it_says_of_all() {
    for (behavior, answer, scope) in [
        (
            MailBehavior::RefuseContent,
            "554 looks like spam",
            Scope::Mail,
        ),
        (MailBehavior::RefuseAfterData, "452 no room", Scope::Server),
    ] {
        let mailbox = MailFixture::start(SmtpTls::StartTls).await;
        mailbox.mailbox.answer(behavior);
        let error = send(&mailbox.policy(SmtpTls::StartTls)).await.unwrap_err();
        assert_eq!(error.scope(), scope, "{error}");
        assert!(error.to_string().contains(answer), "{error}");
        assert_eq!(mailbox.rest(), 0);
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mailbox = MailFixture::start(SmtpTls::StartTls).await;
    let mut policy = mailbox.policy(SmtpTls::StartTls);
    policy.port = silent.local_addr().unwrap().port();
    policy.timeout = Duration::from_millis(50);
    let error = send(&policy).await.unwrap_err();
    assert!(matches!(error, MailError::TimedOut { .. }), "{error}");
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
