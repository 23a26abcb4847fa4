//! The webhook receiver and the mailbox, against the libraries that will talk to them.

use std::future::Future;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, Error};
use lettre::{AsyncTransport as _, Message, Tokio1Executor};

use super::*;
use crate::mailbox::{MailBehavior, Mailbox, MailboxSetup, Security};
use crate::receiver::{Behavior, Receiver, ReceiverSetup, Signature};

const BODY: &str = r#"{"data":{"token":"aws80:one-token"}}"#;

fn signed(receiver: &Receiver, key: &[u8], timestamp: i64, body: &str) -> RequestBuilder {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(format!("msg-1.{timestamp}.{body}").as_bytes());
    client()
        .post(receiver.url())
        .header("webhook-id", "msg-1")
        .header("webhook-timestamp", timestamp)
        .header(
            "webhook-signature",
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())),
        )
        .body(BODY)
}

#[tokio::test]
async fn a_receiver_believes_only_what_is_signed_with_its_secret_now() {
    let secret = Some(format!("whsec_{}", STANDARD.encode("the key")));
    let receiver = Receiver::start(ReceiverSetup {
        secret,
        ..ReceiverSetup::default()
    })
    .await
    .unwrap();
    let now = SimClock::system().now().timestamp();
    for (request, expected) in [
        (signed(&receiver, b"the key", now, BODY), Signature::Valid),
        (signed(&receiver, b"another", now, BODY), Signature::Invalid),
        (
            signed(&receiver, b"the key", now, "other text"),
            Signature::Invalid,
        ),
        (
            signed(&receiver, b"the key", now - 3600, BODY),
            Signature::Stale,
        ),
        (client().post(receiver.url()).body(BODY), Signature::Invalid),
    ] {
        let answer = read(request).await;
        let fingerprint = Fingerprint::of(b"aws80:one-token").to_string();
        assert_eq!(answer.json()["fingerprint"], fingerprint);
        let delivery = receiver.deliveries().pop().unwrap();
        assert_eq!(delivery.signature, expected);
        assert_eq!(
            (delivery.token().as_deref(), delivery.status),
            (Some("aws80:one-token"), Some(200))
        );
    }
    assert_eq!(receiver.deliveries()[0].id(), Some("msg-1"));
    assert_eq!(receiver.held_token().as_deref(), Some("aws80:one-token"));
}

#[tokio::test]
async fn a_receiver_answers_as_told() {
    let receiver = Receiver::start(ReceiverSetup::default()).await.unwrap();
    let post = || client().post(receiver.url()).body(BODY);
    receiver.answer_next([
        Behavior::Status(410),
        Behavior::Busy(503, 7),
        Behavior::WrongReceipt,
        Behavior::Redirect,
    ]);
    assert_eq!(read(post()).await.status, 410);
    assert_eq!(read(post()).await.header("retry-after"), Some("7"));
    assert_ne!(
        read(post()).await.json()["fingerprint"],
        Fingerprint::of(b"aws80:one-token").to_string()
    );
    assert_eq!(read(post()).await.header("location"), Some("/elsewhere"));
    assert_eq!(read(post()).await.status, 200, "then as before");
    receiver.answer(Behavior::Hang);
    assert!(
        post()
            .timeout(Duration::from_millis(100))
            .send()
            .await
            .unwrap_err()
            .is_timeout()
    );
    receiver.answer(Behavior::LostAnswer);
    assert!(post().send().await.is_err());
    assert_eq!(receiver.deliveries().len(), 7);
    receiver.answer(Behavior::CutBefore);
    assert!(post().send().await.is_err());
    assert_eq!(receiver.deliveries().len(), 7, "as if it had never come");
}

fn message() -> Message {
    Message::builder()
        .from("rotator@example.com".parse().unwrap())
        .to("oncall@example.com".parse().unwrap())
        .subject("[ringcx-rotator] grüße: sink crm failed (FIRING)")
        .header(ContentType::TEXT_PLAIN)
        .body("What failed: …\n.a line that begins with a dot\n".to_owned())
        .unwrap()
}

/// How the client goes about TLS.
type Wrapped = fn(TlsParameters) -> Tls;

struct Sender<'a> {
    authority: Option<&'a Authority>,
    login: Option<(&'a str, &'a str)>,
}

impl Sender<'_> {
    fn send(
        &self,
        mailbox: &Mailbox,
        wrapped: Wrapped,
    ) -> impl Future<Output = Result<(), Error>> + use<> {
        // Whichever test comes first installs it for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = self.authority.map_or(Tls::None, |authority| {
            let root = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
            wrapped(
                TlsParameters::builder("localhost".to_owned())
                    .add_root_certificate(root)
                    .build()
                    .unwrap(),
            )
        });
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("localhost")
            .port(mailbox.address().port())
            .tls(tls)
            .timeout(Some(Duration::from_secs(10)));
        if let Some((user, password)) = self.login {
            transport =
                transport.credentials(Credentials::new(user.to_owned(), password.to_owned()));
        }
        let transport = transport.build();
        async move { transport.send(message()).await.map(drop) }
    }
}

const IN_CLEAR: Sender<'_> = Sender {
    authority: None,
    login: None,
};

#[tokio::test]
async fn a_mail_is_kept_as_it_was_written() {
    let mailbox = Mailbox::start(MailboxSetup::default()).await.unwrap();
    IN_CLEAR.send(&mailbox, Tls::Required).await.unwrap();
    let mail = mailbox.mails().pop().unwrap();
    assert_eq!(
        (mail.from.as_str(), mail.to[0].as_str()),
        ("rotator@example.com", "oncall@example.com")
    );
    assert_eq!(
        mail.subject(),
        "[ringcx-rotator] grüße: sink crm failed (FIRING)"
    );
    assert_eq!(
        mail.text().trim_end(),
        "What failed: …\n.a line that begins with a dot"
    );
    assert!(!mail.encrypted);
}

#[tokio::test]
async fn mail_under_tls_needs_the_authority_and_the_password() {
    let authority = Authority::generate();
    let ways: [(Security, Wrapped); 2] = [
        (Security::StartTls(authority.clone()), Tls::Required),
        (Security::Implicit(authority.clone()), Tls::Wrapper),
    ];
    for (security, wrapped) in ways {
        let credentials = Some(("mailer".to_owned(), "pw".to_owned()));
        let setup = MailboxSetup {
            security,
            credentials,
            ..MailboxSetup::default()
        };
        let mailbox = Mailbox::start(setup).await.unwrap();
        let stranger = Authority::generate();
        let right = Some(("mailer", "pw"));
        for (authority, login) in [
            (&stranger, right),
            (&authority, None),
            (&authority, Some(("mailer", "no"))),
        ] {
            assert!(
                Sender {
                    authority: Some(authority),
                    login
                }
                .send(&mailbox, wrapped)
                .await
                .is_err()
            );
        }
        assert_eq!((mailbox.mails().len(), mailbox.rejected_logins()), (0, 1));
        Sender {
            authority: Some(&authority),
            login: right,
        }
        .send(&mailbox, wrapped)
        .await
        .unwrap();
        let mail = mailbox.mails().pop().unwrap();
        assert_eq!(
            (mail.encrypted, mail.user.as_deref()),
            (true, Some("mailer"))
        );
    }
}

#[tokio::test]
async fn a_mailbox_that_wants_starttls_takes_nothing_in_clear() {
    let security = Security::StartTls(Authority::generate());
    let mailbox = Mailbox::start(MailboxSetup {
        security,
        ..MailboxSetup::default()
    })
    .await
    .unwrap();
    let error = IN_CLEAR.send(&mailbox, Tls::Required).await.unwrap_err();
    assert_eq!(error.status().map(u16::from), Some(530));
    assert_eq!(mailbox.mails().len(), 0);
}

#[tokio::test]
async fn a_mailbox_refuses_as_told() {
    let mailbox = Mailbox::start(MailboxSetup::default()).await.unwrap();
    for (manner, code) in [
        (MailBehavior::RefuseForNow, 451),
        (MailBehavior::RefuseForGood, 550),
        (MailBehavior::RefuseRecipients, 550),
        (MailBehavior::RefuseAfterData, 452),
        (MailBehavior::RefuseContent, 554),
    ] {
        mailbox.answer(manner);
        let error = IN_CLEAR.send(&mailbox, Tls::Required).await.unwrap_err();
        assert_eq!(error.status().map(u16::from), Some(code), "{manner:?}");
    }
    assert_eq!(mailbox.mails().len(), 0);
    mailbox.answer(MailBehavior::LostAnswer);
    assert!(
        IN_CLEAR
            .send(&mailbox, Tls::Required)
            .await
            .unwrap_err()
            .status()
            .is_none()
    );
    assert_eq!(mailbox.mails().len(), 1);
}

#[tokio::test]
async fn a_mailbox_that_was_down_is_up_again_with_its_mails() {
    let mailbox = Mailbox::start(MailboxSetup::default()).await.unwrap();
    IN_CLEAR.send(&mailbox, Tls::Required).await.unwrap();
    mailbox.stop().await;
    assert!(IN_CLEAR.send(&mailbox, Tls::Required).await.is_err());
    let port = mailbox.address();
    let mailbox = mailbox.restart().await.unwrap();
    assert_eq!(mailbox.address(), port);
    IN_CLEAR.send(&mailbox, Tls::Required).await.unwrap();
    assert_eq!(mailbox.mails().len(), 2);
}

#[tokio::test]
async fn a_mailbox_that_hangs_greets_nobody() {
    use tokio::io::AsyncReadExt as _;
    let mailbox = Mailbox::start(MailboxSetup::default()).await.unwrap();
    mailbox.answer(MailBehavior::Hang);
    let mut stream = tokio::net::TcpStream::connect(mailbox.address())
        .await
        .unwrap();
    let greeting =
        tokio::time::timeout(Duration::from_millis(100), stream.read(&mut [0; 16])).await;
    assert!(greeting.is_err(), "{greeting:?}");
    mailbox.stop().await;
    assert!(matches!(stream.read(&mut [0; 16]).await, Ok(0) | Err(_)));
}
