//! Against a mail server on loopback.

use super::mailbox::{SmtpBehavior, SmtpServer};
use super::*;
use rotator_core::incidents::test_mail;
use rotator_core::secret::SecretSource;

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
        let mut mailbox = SmtpServer::start(SmtpBehavior {
            tls,
            ..SmtpBehavior::default()
        })
        .await;
        let policy = mailbox.policy(tls);
        assert_eq!(send(&policy).await.unwrap(), SmtpReceipt::default());
        let arrived = mailbox.next().await;
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
    let habits = SmtpBehavior {
        login: Some(("mailer", PASSWORD)),
        ..SmtpBehavior::default()
    };
    let mailbox = SmtpServer::start(habits).await;
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
    let mut mailbox = SmtpServer::start(SmtpBehavior {
        offers_starttls: false,
        ..SmtpBehavior::default()
    })
    .await;
    let error = send(&mailbox.policy(SmtpTls::StartTls)).await.unwrap_err();
    assert!(matches!(error, MailError::NoStartTls { .. }), "{error}");
    assert_eq!(mailbox.rest(), 0);
}

#[tokio::test]
async fn a_certificate_of_unknown_origin_is_refused_in_words() {
    let mut mailbox = SmtpServer::start(SmtpBehavior::default()).await;
    let other = SmtpServer::start(SmtpBehavior::default()).await;
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
    let mut mailbox = SmtpServer::start(SmtpBehavior {
        refuses: Some("gone@"),
        ..SmtpBehavior::default()
    })
    .await;
    let mut policy = mailbox.policy(SmtpTls::StartTls);
    policy.to.insert(0, "gone@example.com".into());
    let receipt = send(&policy).await.unwrap();
    assert_eq!(receipt.refused, ["gone@example.com: 550 no such user"]);
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
    for (verdict, scope) in [
        ("554 looks like spam", Scope::Mail),
        ("451 try later", Scope::Server),
    ] {
        let mailbox = SmtpServer::start(SmtpBehavior {
            verdict,
            ..SmtpBehavior::default()
        })
        .await;
        let error = send(&mailbox.policy(SmtpTls::StartTls)).await.unwrap_err();
        assert_eq!(error.scope(), scope, "{error}");
        assert!(error.to_string().contains(verdict), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mailbox = SmtpServer::start(SmtpBehavior::default()).await;
    let mut policy = mailbox.policy(SmtpTls::StartTls);
    policy.port = silent.local_addr().unwrap().port();
    policy.timeout = Duration::from_millis(50);
    let error = send(&policy).await.unwrap_err();
    assert!(matches!(error, MailError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn letters_of_every_script_arrive() {
    let mut mailbox = SmtpServer::start(SmtpBehavior::default()).await;
    let policy = mailbox.policy(SmtpTls::StartTls);
    let mail = Mail {
        subject: "Störung in 東京".into(),
        body: "Grüße\n.\nÜber\n".into(),
        ..mail(&policy)
    };
    Mailer::new(policy).send(&mail).await.unwrap();
    let arrived = mailbox.next().await;
    assert!(
        arrived.is_ascii() && arrived.contains("Subject: =?utf-8?"),
        "{arrived}"
    );
    assert!(
        arrived.contains(&STANDARD.encode("Grüße\r\n.\r\nÜber\r\n")),
        "{arrived}"
    );
}
