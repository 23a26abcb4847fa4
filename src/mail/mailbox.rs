//! A mail server for tests: as much SMTP as a mail needs, with a certificate of its own making.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use rotator_core::config::{EmailPolicy, SmtpTls};
use rotator_core::secret::SecretSource;

/// How the server behaves.
#[derive(Clone)]
pub(crate) struct SmtpBehavior {
    pub tls: SmtpTls,
    /// Offered on plain connections that could be upgraded.
    pub offers_starttls: bool,
    /// The one login that is let in.
    pub login: Option<(&'static str, &'static str)>,
    /// Answered to `RCPT` of this address.
    pub refuses: Option<&'static str>,
    /// Answered to the text of a mail.
    pub verdict: &'static str,
}

impl Default for SmtpBehavior {
    fn default() -> Self {
        Self {
            tls: SmtpTls::StartTls,
            offers_starttls: true,
            login: None,
            refuses: None,
            verdict: "250 taken",
        }
    }
}

/// A running server; it is down once this is dropped.
pub(crate) struct SmtpServer {
    mails: mpsc::UnboundedReceiver<String>,
    task: JoinHandle<()>,
    pub port: u16,
    authority: Arc<SmtpAuthority>,
}

/// Signs the server's certificate, and stands in a file for `ca-file`.
pub(crate) struct SmtpAuthority {
    acceptor: TlsAcceptor,
    directory: tempfile::TempDir,
}

impl SmtpAuthority {
    pub fn new() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(vec![]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &Issuer::new(ca, ca_key))
            .unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let pem = ca_certificate.pem();
        std::io::Write::write_all(
            &mut std::fs::File::create(directory.path().join("ca.pem")).unwrap(),
            pem.as_bytes(),
        )
        .unwrap();
        Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            directory,
        }
    }

    pub fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }
}

impl SmtpServer {
    pub async fn start(habits: SmtpBehavior) -> Self {
        Self::start_at(0, habits, Arc::new(SmtpAuthority::new())).await
    }

    pub async fn start_at(port: u16, habits: SmtpBehavior, authority: Arc<SmtpAuthority>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, mails) = mpsc::unbounded_channel();
        let for_task = authority.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let session = SmtpSession {
                    habits: habits.clone(),
                    mails: sender.clone(),
                };
                tokio::spawn(session.serve(socket, for_task.acceptor.clone()));
            }
        });
        Self {
            mails,
            task,
            port,
            authority,
        }
    }

    /// Stops listening; the same port and authority can be started again.
    pub async fn stop(mut self) -> (u16, Arc<SmtpAuthority>) {
        self.task.abort();
        drop((&mut self.task).await);
        (self.port, self.authority.clone())
    }

    pub fn policy(&self, tls: SmtpTls) -> EmailPolicy {
        EmailPolicy {
            from: "RingCX rotator <rotator@example.com>".into(),
            to: vec!["oncall@example.com".into()],
            host: "127.0.0.1".into(),
            port: self.port,
            tls,
            username: None,
            password: None,
            ca_file: Some(self.authority.file()),
            timeout: Duration::from_secs(20),
        }
    }

    /// A file that holds this password.
    pub fn password(&self, password: &str) -> SecretSource {
        let path = self.authority.directory.path().join("password");
        std::io::Write::write_all(
            &mut std::fs::File::create(&path).unwrap(),
            password.as_bytes(),
        )
        .unwrap();
        SecretSource::File(path)
    }

    /// The next mail, as it came.
    pub async fn next(&mut self) -> String {
        let mail = tokio::time::timeout(Duration::from_secs(30), self.mails.recv()).await;
        mail.expect("a mail comes").expect("the server runs")
    }

    /// Every mail that has come and was not looked at.
    pub fn rest(&mut self) -> usize {
        std::iter::from_fn(|| self.mails.try_recv().ok()).count()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct SmtpSession {
    habits: SmtpBehavior,
    mails: mpsc::UnboundedSender<String>,
}

enum SmtpEnd {
    Quit,
    WantsTls,
}

impl SmtpSession {
    async fn serve(
        self,
        socket: tokio::net::TcpStream,
        acceptor: TlsAcceptor,
    ) -> std::io::Result<()> {
        let greeting = "220 mailbox ready\r\n";
        if self.habits.tls == SmtpTls::Implicit {
            return self
                .talk(acceptor.accept(socket).await?, greeting, "")
                .await
                .map(drop);
        }
        let starttls = if self.habits.offers_starttls {
            "250-STARTTLS\r\n"
        } else {
            ""
        };
        let mut socket = socket;
        match self.talk(&mut socket, greeting, starttls).await? {
            SmtpEnd::Quit => Ok(()),
            SmtpEnd::WantsTls => self
                .talk(acceptor.accept(socket).await?, "", "")
                .await
                .map(drop),
        }
    }

    async fn talk<S>(&self, stream: S, greeting: &str, starttls: &str) -> std::io::Result<SmtpEnd>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stream = BufStream::new(stream);
        say(&mut stream, greeting).await?;
        let mut logged_in = self.habits.login.is_none();
        loop {
            let line = hear(&mut stream).await?;
            let (verb, rest) = line
                .trim_end()
                .split_once([' ', ':'])
                .unwrap_or((line.trim_end(), ""));
            let answer = match verb.to_ascii_uppercase().as_str() {
                "EHLO" => format!("250-mailbox\r\n{starttls}250-8BITMIME\r\n250 AUTH PLAIN\r\n"),
                "STARTTLS" => {
                    say(&mut stream, "220 go ahead\r\n").await?;
                    return Ok(SmtpEnd::WantsTls);
                }
                "AUTH" => {
                    let (user, password) = self.habits.login.unwrap_or_default();
                    logged_in = rest
                        == format!("PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}")));
                    if logged_in {
                        "235 in\r\n".into()
                    } else {
                        format!("535 not you: {rest}\r\n")
                    }
                }
                "MAIL" if !logged_in => "530 log in first\r\n".into(),
                "RCPT"
                    if self
                        .habits
                        .refuses
                        .is_some_and(|refused| line.contains(refused)) =>
                {
                    "550 no such user\r\n".into()
                }
                "MAIL" | "RCPT" => "250 fine\r\n".into(),
                "DATA" => {
                    say(&mut stream, "354 go ahead\r\n").await?;
                    let mut mail = String::new();
                    while !mail.ends_with("\r\n.\r\n") {
                        mail.push_str(&hear(&mut stream).await?);
                    }
                    if self.habits.verdict.starts_with('2') {
                        drop(self.mails.send(mail));
                    }
                    format!("{}\r\n", self.habits.verdict)
                }
                "QUIT" => {
                    say(&mut stream, "221 bye\r\n").await?;
                    return Ok(SmtpEnd::Quit);
                }
                _ => "500 what?\r\n".into(),
            };
            say(&mut stream, &answer).await?;
        }
    }
}

async fn hear(stream: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<String> {
    let mut line = String::new();
    match stream.read_line(&mut line).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), text: &str) -> std::io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await
}
