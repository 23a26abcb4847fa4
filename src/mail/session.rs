//! One SMTP conversation, from the greeting to the mail, over any stream.
//!
//! Each phase has the time that RFC 5321, 4.5.3.2 gives it: a server may look for spam or viruses
//! for minutes after the mail's last byte, and giving up earlier has it take the mail twice.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::reply::{ReplyReader, SmtpReply};
use crate::failpoint;
use rotator_core::secret::Secret;

const MINUTE: Duration = Duration::from_secs(60);
/// For the greeting, and for each command up to the recipients.
const COMMAND: Duration = Duration::from_secs(5 * 60);
const DATA: Duration = Duration::from_secs(2 * 60);
const BLOCK: Duration = Duration::from_secs(3 * 60);
const AFTER_THE_DOT: Duration = Duration::from_secs(10 * 60);
/// The farewell changes nothing any more.
const QUIT: Duration = Duration::from_secs(1);
/// Bytes of the mail that are written under one time limit.
const BLOCK_SIZE: usize = 16 * 1024;

/// Why a step was not done.
#[derive(Debug)]
pub(super) enum SmtpFailure {
    /// The server said no, or something that does not belong here.
    Reply(SmtpReply),
    /// The connection broke.
    Broken(io::Error),
    /// No answer in this time.
    Late(Duration),
}

impl std::fmt::Display for SmtpFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reply(reply) => f.write_str(&reply.said()),
            Self::Broken(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the server closed the connection")
            }
            Self::Broken(error) => error.fmt(f),
            Self::Late(after) => write!(f, "no answer within {} s", after.as_secs()),
        }
    }
}

/// What the server says that it can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offers {
    pub starttls: bool,
    /// Addresses beyond ASCII (RFC 6531).
    pub smtputf8: bool,
    pub plain: bool,
    pub login: bool,
}

/// What became of the mail for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecipientOutcome {
    Taken,
    /// 5xx: never again.
    Refused(String),
    /// 4xx, or no answer: again later.
    Deferred(String),
}

/// A conversation with one server.
pub(super) struct SmtpSession<S> {
    stream: S,
    reader: ReplyReader,
}

impl<S: AsyncRead + AsyncWrite + Unpin> SmtpSession<S> {
    /// Nothing is read or written yet.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            reader: ReplyReader::default(),
        }
    }

    /// The stream, for TLS to be spoken on it. None where the server sent something unasked: it
    /// would be taken for a reply that came under TLS.
    pub fn into_stream(self) -> Option<S> {
        (!self.reader.has_unread()).then_some(self.stream)
    }

    /// Waits for the server's first word.
    pub async fn greeting(&mut self) -> Result<(), SmtpFailure> {
        let reply = self.reply(COMMAND).await?;
        positive(reply).map(drop)
    }

    /// Introduces this machine by this name or address literal.
    pub async fn hello(&mut self, name: &str) -> Result<Offers, SmtpFailure> {
        let reply = self.command(&format!("EHLO {name}"), COMMAND).await?;
        // A server of before 1995 knows no EHLO, and has nothing to offer.
        if matches!(reply.code, 500 | 502 | 504) {
            let reply = self.command(&format!("HELO {name}"), COMMAND).await?;
            return positive(reply).map(|_| Offers::default());
        }
        positive(reply).map(|reply| offers(&reply))
    }

    /// Asks for TLS; the handshake is next.
    pub async fn starttls(&mut self) -> Result<(), SmtpFailure> {
        let reply = self.command("STARTTLS", COMMAND).await?;
        positive(reply).map(drop)
    }

    /// Logs in, by PLAIN where that is offered, else by LOGIN.
    pub async fn log_in(
        &mut self,
        offers: Offers,
        username: &str,
        password: &Secret,
    ) -> Result<(), SmtpFailure> {
        let encoded = |text: &str| Secret::new(STANDARD.encode(text));
        if offers.plain {
            let both = Secret::new(format!("\0{username}\0{}", password.expose()));
            let line = Secret::new(format!("AUTH PLAIN {}", encoded(both.expose()).expose()));
            let reply = self.command(line.expose(), COMMAND).await?;
            return positive(reply).map(drop);
        }
        let mut reply = self.command("AUTH LOGIN", COMMAND).await?;
        for answer in [encoded(username), encoded(password.expose())] {
            if !reply.is_intermediate() {
                return Err(SmtpFailure::Reply(reply));
            }
            reply = self.command(answer.expose(), COMMAND).await?;
        }
        positive(reply).map(drop)
    }

    /// Names the sender. `parameters` stand behind the address, each with a space before it.
    pub async fn sender(&mut self, from: &str, parameters: &str) -> Result<(), SmtpFailure> {
        let line = format!("MAIL FROM:<{from}>{parameters}");
        let reply = self.command(&line, COMMAND).await?;
        positive(reply).map(drop)
    }

    /// Hands the mail over, and answers for each recipient what became of it, in their order.
    pub async fn hand_over(&mut self, to: &[String], mail: &[u8]) -> Vec<RecipientOutcome> {
        let mut outcomes: Vec<Option<RecipientOutcome>> = vec![None; to.len()];
        let mut broken = None;
        for (recipient, outcome) in to.iter().zip(&mut outcomes) {
            match self
                .command(&format!("RCPT TO:<{recipient}>"), COMMAND)
                .await
            {
                // The server is about to hang up.
                Ok(reply) if reply.code == 421 => broken = Some(reply.said()),
                Ok(reply) if reply.is_positive() => {}
                Ok(reply) => *outcome = Some(verdict(&reply)),
                Err(failure) => broken = Some(failure.to_string()),
            }
            if broken.is_some() {
                break;
            }
        }
        // Whom no verdict concerns yet shares that of the mail.
        let rest = match broken {
            Some(why) => RecipientOutcome::Deferred(why),
            None if outcomes.iter().all(Option::is_some) => RecipientOutcome::Taken,
            None => failpoint::around_async("mail", self.content(mail)).await,
        };
        let settle = |outcome: Option<_>| outcome.unwrap_or_else(|| rest.clone());
        outcomes.into_iter().map(settle).collect()
    }

    /// Says goodbye, and does not wait for the answer.
    pub async fn quit(&mut self) {
        let farewell = async {
            self.stream.write_all(b"QUIT\r\n").await?;
            self.stream.flush().await?;
            self.stream.shutdown().await
        };
        // What was sent is taken or refused by now.
        let _ended = timeout(QUIT, farewell).await;
    }

    async fn content(&mut self, mail: &[u8]) -> RecipientOutcome {
        match self.command("DATA", DATA).await {
            Ok(reply) if reply.is_intermediate() => {}
            Ok(reply) if reply.is_positive() => {
                return RecipientOutcome::Deferred(reply.said());
            }
            Ok(reply) => return verdict(&reply),
            Err(failure) => return RecipientOutcome::Deferred(failure.to_string()),
        }
        for block in dotted(mail).chunks(BLOCK_SIZE) {
            if let Err(failure) = self.write(block, BLOCK).await {
                // A server that has read enough may have said why before it hung up.
                return match self.reply(MINUTE).await {
                    Ok(reply) if !reply.is_positive() => verdict(&reply),
                    Ok(_) | Err(_) => RecipientOutcome::Deferred(failure.to_string()),
                };
            }
        }
        match self.reply(AFTER_THE_DOT).await {
            Ok(reply) => verdict(&reply),
            // Whether it was taken is not known: it is sent again under the same Message-ID.
            Err(failure) => {
                RecipientOutcome::Deferred(format!("after the mail's last line: {failure}"))
            }
        }
    }

    async fn command(&mut self, line: &str, limit: Duration) -> Result<SmtpReply, SmtpFailure> {
        let line = Secret::new(format!("{line}\r\n"));
        match self.write(line.expose().as_bytes(), limit).await {
            Ok(()) => self.reply(limit).await,
            // The reason may have come before the connection broke, as 421 does.
            Err(failure) => self.reply(MINUTE).await.or(Err(failure)),
        }
    }

    async fn write(&mut self, bytes: &[u8], limit: Duration) -> Result<(), SmtpFailure> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(limit, written).await {
            Ok(written) => written.map_err(SmtpFailure::Broken),
            Err(_) => Err(SmtpFailure::Late(limit)),
        }
    }

    async fn reply(&mut self, limit: Duration) -> Result<SmtpReply, SmtpFailure> {
        match timeout(limit, self.reader.read(&mut self.stream)).await {
            Ok(reply) => reply.map_err(SmtpFailure::Broken),
            Err(_) => self.reader.partial().ok_or(SmtpFailure::Late(limit)),
        }
    }
}

fn positive(reply: SmtpReply) -> Result<SmtpReply, SmtpFailure> {
    if reply.is_positive() {
        Ok(reply)
    } else {
        Err(SmtpFailure::Reply(reply))
    }
}

fn verdict(reply: &SmtpReply) -> RecipientOutcome {
    if reply.is_positive() {
        RecipientOutcome::Taken
    } else if reply.is_final_refusal() {
        RecipientOutcome::Refused(reply.said())
    } else {
        RecipientOutcome::Deferred(reply.said())
    }
}

fn offers(reply: &SmtpReply) -> Offers {
    let mut offers = Offers::default();
    // The first line is the server's name.
    for line in reply.lines.iter().skip(1) {
        // `AUTH=LOGIN` is how it was written before there was a standard.
        let line = line.to_ascii_uppercase().replacen("AUTH=", "AUTH ", 1);
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("STARTTLS") => offers.starttls = true,
            Some("SMTPUTF8") => offers.smtputf8 = true,
            Some("AUTH") => {
                for mechanism in words {
                    offers.plain |= mechanism == "PLAIN";
                    offers.login |= mechanism == "LOGIN";
                }
            }
            Some(_) | None => {}
        }
    }
    offers
}

/// The mail as it is sent: a dot before each that begins a line, and one alone at the end.
fn dotted(mail: &[u8]) -> Vec<u8> {
    let mut sent = Vec::with_capacity(mail.len() + 64);
    for line in mail.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            sent.push(b'.');
        }
        sent.extend_from_slice(line);
    }
    if !sent.ends_with(b"\r\n") {
        sent.extend_from_slice(b"\r\n");
    }
    sent.extend_from_slice(b".\r\n");
    sent
}

#[cfg(test)]
mod tests;
