//! Sends one mail, or only greets the server. Knows SMTP, and nothing of incidents.
//!
//! Every send opens a connection of its own and closes it: alerts are rare, and an idle daemon
//! holds nothing. The password and the CA file are read at each use. Nothing here is tried again;
//! that is the outbox's task. What became of a mail is said by the server's reply codes, for each
//! recipient on its own. Where the answer to the mail's last byte is lost, it is not known whether
//! it was taken: it is sent again under the same Message-ID.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::failpoint;
use crate::secret_source;
use crate::secret_source::SecretError;
use message::PolicyMailbox;
use rotator_core::config::{EmailPolicy, SmtpTls};
use rotator_core::incidents::{Mail, Scope, one_line};
use rotator_core::secret::{Secret, SecretTag};
use session::{Offers, RecipientOutcome, SmtpFailure, SmtpSession};

mod hello;
mod message;
mod reply;
mod session;
mod tls;

/// Addresses of one host name that are tried.
const MOST_ADDRESSES: usize = 8;

/// Why no recipient was even asked for. Texts hold no password.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The policy has no `[alerts.email]`: nothing is ever sent.
    #[error("the policy has no `[alerts.email]`, so no mail is sent")]
    NotConfigured,
    /// The daemon is about to end: ask again when it runs.
    #[error("the daemon is stopping")]
    Stopping,
    /// The password cannot be read: back off.
    #[error("SMTP password: {0}")]
    Password(#[from] SecretError),
    /// An address of the policy is none: back off until the policy changes.
    #[error("`{address}` is no mail address: {source}")]
    Address {
        /// As in the policy.
        address: String,
        /// What is wrong with it.
        source: lettre::address::AddressError,
    },
    /// The sender's address can only be written for a server with SMTPUTF8: back off until the
    /// policy changes.
    #[error("{host} takes no sender beyond ASCII such as {address}; set another `from`")]
    NoUtf8 {
        /// Host and port of the server, for example `smtp.example.com:587`.
        host: String,
        /// As in the policy.
        address: String,
    },
    /// The mail cannot be put into the form of a mail.
    #[error("the mail cannot be written: {0}")]
    Form(#[from] lettre::error::Error),
    /// `ca-file` cannot be used: back off.
    #[error("{why}")]
    CaFile {
        /// Path of the file, as in the policy.
        path: PathBuf,
        /// Reason, which names the file.
        why: String,
    },
    /// No connection, or it broke: back off.
    #[error("{host}: {why}")]
    Connection {
        /// Host and port of the server, for example `smtp.example.com:587`.
        host: String,
        /// Reason, without secrets, as the system or TLS gives it.
        why: String,
    },
    /// The server offers no STARTTLS, so nothing was sent: back off.
    #[error(
        "{host} does not offer STARTTLS: if it wants TLS from the start, set `tls = \"implicit\"`"
    )]
    NoStartTls {
        /// Host and port of the server, for example `smtp.example.com:587`.
        host: String,
    },
    /// The server refused something that it would refuse of any mail: back off.
    #[error("{host} refused {step}: {said}")]
    Refused {
        /// Host and port of the server, for example `smtp.example.com:587`.
        host: String,
        /// At what: the greeting, the sender.
        step: &'static str,
        /// Its answer, cut and without the password.
        said: String,
    },
    /// The server refused user and password for good: leave it alone for hours, since servers lock
    /// out who goes on trying.
    #[error("{host} refused the login: {said}")]
    LoginRejected {
        /// Host and port of the server, for example `smtp.example.com:587`.
        host: String,
        /// Its answer, cut and without the password.
        said: String,
        /// Of the password that was refused.
        tag: SecretTag,
    },
    /// Nothing was sent, because the password is still the one that was refused.
    #[error("the SMTP password is still the one that was refused")]
    SamePassword,
}

impl MailError {
    /// Whom it concerns: every mail, or the one that was sent.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Form(_) => Scope::Mail,
            Self::NotConfigured
            | Self::Stopping
            | Self::Password(_)
            | Self::Address { .. }
            | Self::NoUtf8 { .. }
            | Self::CaFile { .. }
            | Self::Connection { .. }
            | Self::NoStartTls { .. }
            | Self::Refused { .. }
            | Self::LoginRejected { .. }
            | Self::SamePassword => Scope::Server,
        }
    }
}

/// A recipient that did not get the mail, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTaken {
    /// Its address, as in the policy.
    pub to: String,
    /// The server's answer, cut and without the password, or what happened instead of one.
    pub why: String,
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.to, self.why)
    }
}

/// What became of a mail, for each recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmtpReceipt {
    /// Those for whom the server took it.
    pub taken: Vec<String>,
    /// Those that it refused for good.
    pub refused: Vec<NotTaken>,
    /// Those that it wants to be asked for again later, or did not answer for.
    pub deferred: Vec<NotTaken>,
}

impl SmtpReceipt {
    /// Who did not get it, in words, unless everyone did: an alert that misses one is a failure.
    pub fn complaint(&self) -> Option<String> {
        let missed: Vec<_> = self.refused.iter().chain(&self.deferred).collect();
        let words: Vec<String> = missed.iter().map(ToString::to_string).collect();
        let sent = if self.taken.is_empty() {
            "not sent"
        } else {
            "sent, but not to everyone"
        };
        (!missed.is_empty()).then(|| format!("{sent}: {}", words.join("; ")))
    }

    fn note(&mut self, to: String, outcome: RecipientOutcome) {
        match outcome {
            RecipientOutcome::Taken => self.taken.push(to),
            RecipientOutcome::Refused(why) => self.refused.push(NotTaken { to, why }),
            RecipientOutcome::Deferred(why) => self.deferred.push(NotTaken { to, why }),
        }
    }
}

/// What a send leaves out.
#[derive(Clone, Debug, Default)]
pub struct Except {
    /// Addresses that have the mail, or were refused for good.
    pub settled: Vec<String>,
    /// The tag of a password that was refused: with this one nothing is sent.
    pub password: Option<SecretTag>,
}

/// Sends mail by one `[alerts.email]`. A TLS provider must have been installed for the process.
#[derive(Clone)]
pub struct Mailer {
    policy: EmailPolicy,
}

/// TCP, with TLS on it or without.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

type WireSession = SmtpSession<Box<dyn Wire>>;

impl Mailer {
    /// Reads nothing and connects to nothing yet.
    pub fn new(policy: EmailPolicy) -> Self {
        Self { policy }
    }

    /// Sends this mail to every recipient of the policy. An error concerns them all; what the
    /// server says of one recipient does not keep the mail from the others.
    pub async fn send(&self, mail: &Mail) -> Result<SmtpReceipt, MailError> {
        self.send_except(mail, &Except::default()).await
    }

    /// Sends this mail to those who are not settled.
    pub async fn send_except(
        &self,
        mail: &Mail,
        except: &Except,
    ) -> Result<SmtpReceipt, MailError> {
        let from = PolicyMailbox::parse(&self.policy.from)?;
        let everyone: Result<Vec<_>, _> = self
            .policy
            .to
            .iter()
            .map(|to| PolicyMailbox::parse(to))
            .collect();
        let everyone = everyone?;
        let mut open: Vec<&PolicyMailbox> = Vec::new();
        for to in &everyone {
            let address = to.address();
            let is_new = open.iter().all(|known| known.address() != address);
            if is_new && !except.settled.contains(&address) {
                open.push(to);
            }
        }
        // Those who were still to get it have left the policy.
        if open.is_empty() {
            return Ok(SmtpReceipt::default());
        }
        let password = self.password(except).await?;
        let connecting = self.connect(password.as_ref());
        let (mut session, offers) = failpoint::around_async("mail-connect", connecting).await?;
        let needs_utf8 = from.needs_utf8() || open.iter().any(|to| to.needs_utf8());
        // Asked for only where an address needs it, because many servers do not offer it.
        let utf8 = needs_utf8 && offers.smtputf8;
        let written = message::formatted(&self.policy, &from, &everyone, mail, utf8);
        let sent = match written {
            Ok(text) => {
                self.hand_over(&mut session, &from, &open, &text, utf8)
                    .await
            }
            Err(error) => Err(error),
        };
        session.quit().await;
        sent
    }

    /// Connects, protects the connection, logs in and leaves.
    pub async fn greet(&self) -> Result<(), MailError> {
        let password = self.password(&Except::default()).await?;
        let (mut session, _) = self.connect(password.as_ref()).await?;
        session.quit().await;
        Ok(())
    }

    async fn password(&self, except: &Except) -> Result<Option<Secret>, MailError> {
        let Some(source) = &self.policy.password else {
            return Ok(None);
        };
        let password = secret_source::read_async(source).await?;
        if except.password == Some(self.tag(&password)) {
            return Err(MailError::SamePassword);
        }
        Ok(Some(password))
    }

    /// The user is part of it: the same password for another user is another login.
    fn tag(&self, password: &Secret) -> SecretTag {
        let username = self.policy.username.as_deref().unwrap_or_default();
        SecretTag::of(&format!("{} {username}", self.policy.host), password)
    }

    async fn connect(&self, password: Option<&Secret>) -> Result<(WireSession, Offers), MailError> {
        let tcp = self.tcp().await?;
        let local = tcp.local_addr().map_err(|error| self.unreachable(&error))?;
        let name = match &self.policy.helo {
            Some(name) => name.clone(),
            None => hello::name(local.ip()).await,
        };
        let stream: Box<dyn Wire> = match self.policy.tls {
            SmtpTls::Implicit => Box::new(self.handshake("TLS", tcp).await?),
            SmtpTls::StartTls | SmtpTls::None => Box::new(tcp),
        };
        let mut session = SmtpSession::new(stream);
        let greeted = session.greeting().await;
        greeted.map_err(|failure| self.failed("the greeting", failure))?;
        let offers = self.hello(&mut session, &name).await?;
        let (mut session, offers) = match self.policy.tls {
            SmtpTls::StartTls => {
                let mut session = self.start_tls(session, offers).await?;
                // What was said in plain text may have been changed on the way.
                let offers = self.hello(&mut session, &name).await?;
                (session, offers)
            }
            SmtpTls::Implicit | SmtpTls::None => (session, offers),
        };
        if let Err(error) = self.log_in(&mut session, offers, password).await {
            session.quit().await;
            return Err(error);
        }
        Ok((session, offers))
    }

    async fn tcp(&self) -> Result<TcpStream, MailError> {
        let limit = self.policy.timeout;
        let late = || self.connection(format!("no connection within {} s", limit.as_secs_f32()));
        let server = (self.policy.host.as_str(), self.policy.port);
        let found = timeout(limit, lookup_host(server)).await;
        let found = found.map_err(|_| late())?;
        let addresses: Vec<SocketAddr> = found
            .map_err(|error| self.unreachable(&error))?
            .take(MOST_ADDRESSES)
            .collect();
        let mut failed = self.connection("the name has no address".to_owned());
        // Each has its time: one that swallows everything must not hide one that answers.
        for address in addresses {
            match timeout(limit, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failed = self.unreachable(&error),
                Err(_) => failed = late(),
            }
        }
        Err(failed)
    }

    async fn hello(&self, session: &mut WireSession, name: &str) -> Result<Offers, MailError> {
        let offers = session.hello(name).await;
        offers.map_err(|failure| self.failed("the host name of this machine (EHLO)", failure))
    }

    async fn start_tls(
        &self,
        mut session: WireSession,
        offers: Offers,
    ) -> Result<WireSession, MailError> {
        // Never in plain text instead: an attacker in between could hide the offer to get just
        // that.
        if !offers.starttls {
            session.quit().await;
            return Err(MailError::NoStartTls { host: self.host() });
        }
        let asked = session.starttls().await;
        asked.map_err(|failure| self.failed("STARTTLS", failure))?;
        let Some(stream) = session.into_stream() else {
            return Err(self.connection("STARTTLS: the server sent more than its answer".into()));
        };
        let stream: Box<dyn Wire> = Box::new(self.handshake("STARTTLS", stream).await?);
        Ok(SmtpSession::new(stream))
    }

    async fn handshake<S: Wire>(
        &self,
        step: &'static str,
        stream: S,
    ) -> Result<tokio_rustls::client::TlsStream<S>, MailError> {
        let limit = self.policy.timeout;
        let late =
            |_| self.connection(format!("{step}: not done within {} s", limit.as_secs_f32()));
        timeout(limit, tls::handshake(&self.policy, step, stream))
            .await
            .map_err(late)?
    }

    async fn log_in(
        &self,
        session: &mut WireSession,
        offers: Offers,
        password: Option<&Secret>,
    ) -> Result<(), MailError> {
        let (Some(username), Some(password)) = (&self.policy.username, password) else {
            return Ok(());
        };
        if !offers.plain && !offers.login {
            return Err(MailError::Refused {
                host: self.host(),
                step: "the login",
                said: "it offers neither AUTH PLAIN nor AUTH LOGIN".to_owned(),
            });
        }
        match session.log_in(offers, username, password).await {
            Ok(()) => Ok(()),
            Err(SmtpFailure::Reply(reply)) if reply.is_final_refusal() => {
                Err(MailError::LoginRejected {
                    host: self.host(),
                    said: scrub(reply.said(), username, password),
                    tag: self.tag(password),
                })
            }
            Err(SmtpFailure::Reply(reply)) => Err(MailError::Refused {
                host: self.host(),
                step: "the login",
                said: scrub(reply.said(), username, password),
            }),
            Err(failure) => Err(self.failed("the login", failure)),
        }
    }

    async fn hand_over(
        &self,
        session: &mut WireSession,
        from: &PolicyMailbox,
        open: &[&PolicyMailbox],
        text: &[u8],
        utf8: bool,
    ) -> Result<SmtpReceipt, MailError> {
        let mut receipt = SmtpReceipt::default();
        let (mut envelopes, mut addresses) = (Vec::new(), Vec::new());
        for to in open {
            if let Some(envelope) = to.envelope(utf8) {
                envelopes.push(envelope);
                addresses.push(to.address());
            } else {
                let why = "the server takes no address beyond ASCII (no SMTPUTF8)".to_owned();
                receipt.note(to.address(), RecipientOutcome::Refused(why));
            }
        }
        if envelopes.is_empty() {
            return Ok(receipt);
        }
        // The mail could not be written without it.
        let from = from.envelope(utf8).unwrap_or_default();
        let parameters = if utf8 { " SMTPUTF8" } else { "" };
        let accepted = session.sender(&from, parameters).await;
        accepted.map_err(|failure| self.failed("the sender", failure))?;
        let outcomes = session.hand_over(&envelopes, text).await;
        for (address, outcome) in addresses.into_iter().zip(outcomes) {
            receipt.note(address, outcome);
        }
        Ok(receipt)
    }

    fn failed(&self, step: &'static str, failure: SmtpFailure) -> MailError {
        match failure {
            SmtpFailure::Reply(reply) => MailError::Refused {
                host: self.host(),
                step,
                said: reply.said(),
            },
            SmtpFailure::Broken(_) | SmtpFailure::Late(_) => {
                self.connection(format!("{step}: {failure}"))
            }
        }
    }

    fn unreachable(&self, error: &std::io::Error) -> MailError {
        self.connection(error.to_string())
    }

    fn connection(&self, why: String) -> MailError {
        MailError::Connection {
            host: self.host(),
            why: one_line(&why, 300),
        }
    }

    fn host(&self) -> String {
        host_and_port(&self.policy)
    }
}

fn host_and_port(policy: &EmailPolicy) -> String {
    format!("{}:{}", policy.host, policy.port)
}

/// Drops an answer that repeats the password, which would end up in our logs.
fn scrub(said: String, username: &str, password: &Secret) -> String {
    let plain = password.expose();
    // A server may repeat the login as it came: in base64, alone or with the user name.
    let secrets = [
        STANDARD.encode(plain),
        STANDARD.encode(format!("\0{username}\0{plain}")),
        plain.to_owned(),
    ];
    if plain.is_empty() || !secrets.iter().any(|secret| said.contains(secret.as_str())) {
        return said;
    }
    "(the answer repeats the password)".to_owned()
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
