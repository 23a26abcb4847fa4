//! Sends one mail, or only greets the server. Knows SMTP, and nothing of incidents.
//!
//! Every send opens a connection of its own and closes it: alerts are rare, and an idle daemon
//! holds nothing. The password and the CA file are read at each use. Nothing here is tried again;
//! that is the outbox's task. A time-out after the mail's last byte leaves open whether it was
//! taken: it is sent again under the same Message-ID.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, References};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};

use crate::failpoint;
use crate::process::blocking;
use crate::secret_source;
use crate::secret_source::SecretError;
use rotator_core::config::{EmailPolicy, SmtpTls};
use rotator_core::incidents::{Mail, Scope, one_line};
use rotator_core::secret::Secret;
use rotator_policy::files;

/// Bytes of a `ca-file`.
const LARGEST_CA_FILE: u64 = 1024 * 1024;

/// Characters of a server's answer that are kept.
const LONGEST_ANSWER: usize = 300;

/// Why a mail was not taken. Texts hold no password.
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
    /// The mail cannot be put into the form of a mail.
    #[error("the mail cannot be written: {0}")]
    Form(#[from] lettre::error::Error),
    /// `ca-file` cannot be used: back off.
    #[error("{path}: {why}", path = path.display())]
    CaFile {
        /// Path of the file, as in the policy.
        path: PathBuf,
        /// Reason, without secrets, as the system or TLS gives it.
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
        /// At what: the login, the sender, a recipient.
        step: &'static str,
        /// Its answer, cut and without the password.
        said: String,
    },
    /// The server refused the text of this mail for good: the others may go past it.
    #[error("{host} refused the mail: {said}")]
    Content {
        /// Host and port of the server, for example `smtp.example.com:587`.
        host: String,
        /// Its answer, cut and without the password.
        said: String,
    },
    /// Not done in time: back off.
    #[error("{host}: not done within {} s", after.as_secs())]
    TimedOut {
        /// Host and port of the server, for example `smtp.example.com:587`.
        host: String,
        /// The `timeout` of the policy.
        after: Duration,
    },
}

impl MailError {
    /// Whom it concerns: every mail, or the one that was sent.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Content { .. } | Self::Form(_) => Scope::Mail,
            Self::NotConfigured
            | Self::Stopping
            | Self::Password(_)
            | Self::Address { .. }
            | Self::CaFile { .. }
            | Self::Connection { .. }
            | Self::NoStartTls { .. }
            | Self::Refused { .. }
            | Self::TimedOut { .. } => Scope::Server,
        }
    }
}

/// What the server took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmtpReceipt {
    /// Recipients that it refused, with its answers; it took at least one other.
    pub refused: Vec<String>,
}

/// Sends mail by one `[alerts.email]`. A TLS provider must have been installed for the process.
#[derive(Clone)]
pub struct Mailer {
    policy: EmailPolicy,
}

impl Mailer {
    /// Reads nothing and connects to nothing yet.
    pub fn new(policy: EmailPolicy) -> Self {
        Self { policy }
    }

    /// Sends this mail. One recipient that the server refuses does not keep it from the others.
    pub async fn send(&self, mail: &Mail) -> Result<SmtpReceipt, MailError> {
        // Built first: a mail that cannot be written needs no connection.
        let message = self.message(mail)?;
        self.in_time(async {
            let mut connection = failpoint::around_async("mail-connect", self.connect()).await?;
            let sent = self.hand_over(&mut connection, &message).await;
            // The mail is taken or refused by now; how the farewell goes changes nothing.
            connection.abort().await;
            sent
        })
        .await
    }

    /// Connects, protects the connection, logs in and leaves.
    pub async fn greet(&self) -> Result<(), MailError> {
        self.in_time(async {
            let mut connection = self.connect().await?;
            connection.abort().await;
            Ok(())
        })
        .await
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, MailError>>,
    ) -> Result<T, MailError> {
        // One limit for the whole conversation: many short steps could add up without an end.
        let after = self.policy.timeout;
        let late = |_| MailError::TimedOut {
            host: self.host(),
            after,
        };
        tokio::time::timeout(after, work).await.map_err(late)?
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, MailError> {
        let EmailPolicy {
            host,
            port,
            tls,
            username,
            password,
            timeout,
            ..
        } = &self.policy;
        let hello = ClientId::default();
        let wrapper = match tls {
            SmtpTls::Implicit => Some(self.tls().await?),
            SmtpTls::StartTls | SmtpTls::None => None,
        };
        let server = (host.as_str(), *port);
        let connected =
            AsyncSmtpConnection::connect_tokio1(server, Some(*timeout), &hello, wrapper, None);
        let mut connection = connected
            .await
            .map_err(|error| self.failed("the greeting", &error))?;
        match tls {
            // Never in plain text instead: an attacker in between could hide the offer to get just
            // that.
            SmtpTls::StartTls if !connection.can_starttls() => {
                connection.abort().await;
                return Err(MailError::NoStartTls { host: self.host() });
            }
            SmtpTls::StartTls => {
                let upgraded = connection.starttls(self.tls().await?, &hello).await;
                upgraded.map_err(|error| self.failed("STARTTLS", &error))?;
            }
            SmtpTls::Implicit | SmtpTls::None => {}
        }
        if let Some(username) = username {
            let password = match password {
                Some(source) => secret_source::read_async(source).await?,
                None => Secret::new(""),
            };
            let credentials = Credentials::new(username.clone(), password.expose().to_owned());
            if let Err(error) = connection.auth(DEFAULT_MECHANISMS, &credentials).await {
                connection.abort().await;
                return Err(scrub(self.failed("the login", &error), username, &password));
            }
        }
        Ok(connection)
    }

    async fn hand_over(
        &self,
        connection: &mut AsyncSmtpConnection,
        message: &Message,
    ) -> Result<SmtpReceipt, MailError> {
        let envelope = message.envelope();
        let everyone = || envelope.to().iter().chain(envelope.from());
        // Asked for only where an address needs it, because many servers do not offer it.
        let wide = everyone().any(|address| !AsRef::<str>::as_ref(address).is_ascii());
        let wide = wide
            && connection
                .server_info()
                .supports_feature(Extension::SmtpUtfEight);
        let options = if wide {
            vec![MailParameter::SmtpUtfEight]
        } else {
            vec![]
        };
        let from = MailFrom::new(envelope.from().cloned(), options);
        connection
            .command(from)
            .await
            .map_err(|error| self.failed("the sender", &error))?;
        let mut refused = Vec::new();
        let mut last = None;
        for to in envelope.to() {
            match connection.command(Rcpt::new(to.clone(), vec![])).await {
                Ok(_) => {}
                // The server answered: it may still take the other recipients.
                Err(error) if error.status().is_some() => {
                    refused.push(format!("{to}: {}", said(&error)));
                    last = Some(self.failed("every recipient", &error));
                }
                Err(error) => return Err(self.failed("a recipient", &error)),
            }
        }
        // Without a recipient the server would refuse the mail with a less useful text.
        if let Some(error) = last.filter(|_| refused.len() == envelope.to().len()) {
            return Err(error);
        }
        connection
            .command(Data)
            .await
            .map_err(|error| self.failed("the mail", &error))?;
        match failpoint::around_async("mail", connection.message(&message.formatted())).await {
            Ok(_) => Ok(SmtpReceipt { refused }),
            // A refusal of this very text comes again at each try; the mails behind it need not
            // wait.
            Err(error) if error.is_permanent() => Err(MailError::Content {
                host: self.host(),
                said: said(&error),
            }),
            Err(error) => Err(self.failed("the mail", &error)),
        }
    }

    fn message(&self, mail: &Mail) -> Result<Message, MailError> {
        let header = |name, value: &str| {
            HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
        };
        let mut message = Message::builder()
            .from(mailbox(&self.policy.from)?)
            .date(SystemTime::from(mail.written_at))
            // The same at each try, so that a mail that came twice can be recognized.
            .message_id(Some(mail.message_id.clone()))
            .subject(one_line(&mail.subject, 200))
            // RFC 3834: keeps automatic replies, for example of a holiday, from answering.
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.policy.to {
            message = message.to(mailbox(to)?);
        }
        if let Some(references) = &mail.references {
            message = message.header(References::from(references.clone()));
        }
        if let Some(incident) = &mail.incident {
            let key = one_line(&incident.to_string(), 200);
            message = message.raw_header(header("X-RingCX-Rotator-Incident", &key));
        }
        Ok(message.body(mail.body.clone())?)
    }

    async fn tls(&self) -> Result<TlsParameters, MailError> {
        let mut builder = TlsParameters::builder(self.policy.host.clone());
        if let Some(path) = &self.policy.ca_file {
            let unusable = |why| MailError::CaFile {
                path: path.clone(),
                why,
            };
            let from = path.clone();
            let pem = blocking(move || files::read(&from, LARGEST_CA_FILE)).await;
            let pem = pem.map_err(|error| unusable(error.to_string()))?;
            // A file without a certificate parses as an empty list: the handshake would fail,
            // without a hint at the file.
            if !pem
                .windows(27)
                .any(|window| window == b"-----BEGIN CERTIFICATE-----")
            {
                return Err(unusable("holds no certificate in PEM form".to_owned()));
            }
            let certificate =
                Certificate::from_pem(&pem).map_err(|error| unusable(innermost(&error)))?;
            builder = builder.add_root_certificate(certificate);
        }
        builder.build().map_err(|error| MailError::Connection {
            host: self.host(),
            why: innermost(&error),
        })
    }

    fn failed(&self, step: &'static str, error: &lettre::transport::smtp::Error) -> MailError {
        let host = self.host();
        if error.status().is_some() {
            return MailError::Refused {
                host,
                step,
                said: said(error),
            };
        }
        let mut why = innermost(error);
        // The words of the TLS library do not tell an operator what to set.
        if why.contains("UnknownIssuer") {
            why = format!(
                "{why}: not signed by an authority that this machine trusts; is `ca-file` set?"
            );
        }
        MailError::Connection {
            host,
            why: format!("{step}: {why}"),
        }
    }

    fn host(&self) -> String {
        format!("{}:{}", self.policy.host, self.policy.port)
    }
}

fn mailbox(address: &str) -> Result<Mailbox, MailError> {
    address.parse().map_err(|source| MailError::Address {
        address: address.to_owned(),
        source,
    })
}

/// The server's answer with its code.
fn said(error: &lettre::transport::smtp::Error) -> String {
    let code = error
        .status()
        .map(|code| code.to_string())
        .unwrap_or_default();
    one_line(&format!("{code} {}", innermost(error)), LONGEST_ANSWER)
}

/// The innermost cause, which says what went wrong: the outer errors only name the layer.
fn innermost(error: &lettre::transport::smtp::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    one_line(&error.to_string(), LONGEST_ANSWER)
}

/// Drops an answer that repeats the password, which would end up in our logs.
fn scrub(error: MailError, username: &str, password: &Secret) -> MailError {
    let plain = password.expose();
    // A server may repeat the login as it came: in base64, alone or with the user name.
    let secrets = [
        STANDARD.encode(plain),
        STANDARD.encode(format!("\0{username}\0{plain}")),
        plain.to_owned(),
    ];
    let text = error.to_string();
    if plain.is_empty() || !secrets.iter().any(|secret| text.contains(secret.as_str())) {
        return error;
    }
    match error {
        MailError::Refused { host, step, .. } => MailError::Refused {
            host,
            step,
            said: "(the answer repeats the password)".to_owned(),
        },
        other => other,
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
