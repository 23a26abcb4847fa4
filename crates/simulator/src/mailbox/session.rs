//! One SMTP session, from greeting to goodbye.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{MailBehavior, MailStore, ReceivedMail, ScriptedReply, Security};

const LONGEST_LINE: usize = 8 * 1024;
const LARGEST_MAIL: usize = 4 * 1024 * 1024;
const MOST_RECIPIENTS: usize = 100;
/// A client that sends nothing for this long is disconnected.
const PATIENCE: Duration = Duration::from_secs(120);
/// A TLS handshake takes milliseconds; a client that speaks in clear would wait for ever.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves one connection to its end.
pub(super) async fn serve(post: Arc<MailStore>, stream: TcpStream) {
    // Counted before the first byte, so that a connection that is left hanging counts too.
    post.lock().sessions += 1;
    post.changed.send_replace(());
    if post.manner() == MailBehavior::Hang {
        // The stream has to be held: dropping it would close the connection, which is another
        // fault.
        return wait_for_the_end(stream).await;
    }
    match post.security.clone() {
        // However a session ends, the client is the one to complain.
        Security::Plain => drop(
            SmtpConnection::new(&post, stream, Protection::None)
                .run(Greeting::Due)
                .await,
        ),
        Security::Implicit(authority) => {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, authority.acceptor().accept(stream)).await {
                drop(
                    SmtpConnection::new(&post, stream, Protection::Tls)
                        .run(Greeting::Due)
                        .await,
                );
            }
        }
        Security::StartTls(authority) => {
            let session = SmtpConnection::new(&post, stream, Protection::Offered);
            let Ok(ConnectionEnd::Upgrade(stream)) = session.run(Greeting::Due).await else {
                return;
            };
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, authority.acceptor().accept(stream)).await {
                drop(
                    SmtpConnection::new(&post, stream, Protection::Tls)
                        // After STARTTLS the client speaks first (RFC 3207); a second greeting
                        // would confuse it.
                        .run(Greeting::Done)
                        .await,
                );
            }
        }
    }
}

async fn wait_for_the_end(mut stream: TcpStream) {
    let mut chunk = [0; 1024];
    while matches!(stream.read(&mut chunk).await, Ok(count) if count > 0) {}
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protection {
    None,
    Offered,
    Tls,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Greeting {
    Due,
    Done,
}

/// How a session ended without an error.
enum ConnectionEnd<S> {
    Closed,
    Upgrade(S),
}

/// What one command leads to.
enum CommandReply {
    Say(&'static str),
    SayText(String),
    Upgrade,
    Close,
    Data,
}

struct SmtpConnection<'a, S> {
    post: &'a MailStore,
    stream: S,
    buffer: Vec<u8>,
    protection: Protection,
    user: Option<String>,
    from: Option<String>,
    to: Vec<String>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> SmtpConnection<'a, S> {
    fn new(post: &'a MailStore, stream: S, protection: Protection) -> Self {
        Self {
            post,
            stream,
            buffer: Vec::new(),
            protection,
            user: None,
            from: None,
            to: Vec::new(),
        }
    }

    async fn run(mut self, greeting: Greeting) -> std::io::Result<ConnectionEnd<S>> {
        if greeting == Greeting::Due && self.greet().await?.is_break() {
            return Ok(ConnectionEnd::Closed);
        }
        loop {
            let line = self.line().await?;
            self.post.heard(&line);
            if let Some(reply) = self.post.scripted(&line) {
                self.take_effect(&line, &reply);
                if self.say_scripted(&reply).await?.is_break() {
                    return Ok(ConnectionEnd::Closed);
                }
                continue;
            }
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let next = match verb.to_ascii_uppercase().as_str() {
                "EHLO" => self.extensions(),
                "HELO" | "NOOP" => CommandReply::Say("250 localhost"),
                // Under TLS it is an unknown command, as RFC 3207 forbids a second one.
                "STARTTLS" if self.protection == Protection::Offered => CommandReply::Upgrade,
                "AUTH" => self.authenticate(rest).await?,
                "MAIL" => self.mail_from(rest),
                "RCPT" => self.recipient(rest),
                // Refused before the mail is sent: a mail without recipients would be kept for
                // none.
                "DATA" if self.to.is_empty() => CommandReply::Say("503 no recipients yet"),
                "DATA" => CommandReply::Data,
                "RSET" => {
                    self.reset();
                    CommandReply::Say("250 forgotten")
                }
                "QUIT" => {
                    self.say("221 goodbye").await?;
                    CommandReply::Close
                }
                _ => CommandReply::Say("502 not known here"),
            };
            match next {
                CommandReply::Say(text) => self.say(text).await?,
                CommandReply::SayText(text) => self.say(&text).await?,
                CommandReply::Data => {
                    if self.data().await?.is_break() {
                        return Ok(ConnectionEnd::Closed);
                    }
                }
                CommandReply::Close => return Ok(ConnectionEnd::Closed),
                CommandReply::Upgrade => {
                    self.say("220 go ahead").await?;
                    // Whatever was sent in clear after STARTTLS is not to be believed; it is
                    // dropped.
                    return Ok(ConnectionEnd::Upgrade(self.stream));
                }
            }
        }
    }

    async fn greet(&mut self) -> std::io::Result<ControlFlow<()>> {
        if let Some(reply) = self.post.scripted("") {
            return self.say_scripted(&reply).await;
        }
        self.say("220 localhost stand-in ESMTP").await?;
        Ok(ControlFlow::Continue(()))
    }

    async fn say_scripted(&mut self, reply: &ScriptedReply) -> std::io::Result<ControlFlow<()>> {
        tokio::time::sleep(reply.after).await;
        self.stream.write_all(&reply.bytes).await?;
        self.stream.flush().await?;
        Ok(if reply.cut {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    /// A sender or recipient that a script accepts is one.
    fn take_effect(&mut self, line: &str, reply: &ScriptedReply) {
        let verb = line.split(' ').next().unwrap_or_default();
        match verb.to_ascii_uppercase().as_str() {
            "MAIL" if reply.is_positive() => self.from = Some(path(line)),
            "RCPT" if reply.is_positive() => self.to.push(path(line)),
            _ => {}
        }
    }

    fn extensions(&self) -> CommandReply {
        match (self.protection, self.post.lock().credentials.is_some()) {
            // AUTH is not offered in clear: a client must not send its password before TLS.
            (Protection::Offered, _) => {
                CommandReply::Say("250-localhost\r\n250-8BITMIME\r\n250 STARTTLS")
            }
            (_, true) => CommandReply::Say("250-localhost\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN"),
            (_, false) => CommandReply::Say("250-localhost\r\n250 8BITMIME"),
        }
    }

    async fn authenticate(&mut self, rest: &str) -> std::io::Result<CommandReply> {
        // Also refused if the client does not keep to what was offered.
        if self.protection == Protection::Offered {
            return Ok(CommandReply::Say("530 must issue a STARTTLS command first"));
        }
        let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
        let pair = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => {
                let answer = self.asked("334 ", initial).await?;
                // The first part is the identity to act for, which is not used here.
                let mut parts = answer.split('\0').skip(1).map(str::to_owned);
                (
                    parts.next().unwrap_or_default(),
                    parts.next().unwrap_or_default(),
                )
            }
            "LOGIN" => {
                let user = self.asked("334 VXNlcm5hbWU6", initial).await?;
                (user, self.asked("334 UGFzc3dvcmQ6", "").await?)
            }
            _ => return Ok(CommandReply::Say("504 no such mechanism")),
        };
        let mut state = self.post.lock();
        if state
            .credentials
            .as_ref()
            // Without configured credentials any login is good.
            .is_none_or(|wanted| *wanted == pair)
        {
            self.user = Some(pair.0);
            Ok(CommandReply::Say("235 welcome"))
        } else {
            state.rejected_logins += 1;
            if state.manner == MailBehavior::EchoLogin {
                // Repeats the encoded password: the daemon must not put this answer into its log.
                return Ok(CommandReply::SayText(format!("535 not you: {rest}")));
            }
            Ok(CommandReply::Say("535 authentication credentials invalid"))
        }
    }

    /// What the client gave at once, or else answers to the challenge; what cannot be read is
    /// empty.
    async fn asked(&mut self, challenge: &str, initial: &str) -> std::io::Result<String> {
        let encoded = if initial.is_empty() {
            self.say(challenge).await?;
            self.line().await?
        } else {
            initial.to_owned()
        };
        let decoded = STANDARD
            .decode(encoded)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(decoded.unwrap_or_default())
    }

    fn mail_from(&mut self, rest: &str) -> CommandReply {
        if self.protection == Protection::Offered {
            return CommandReply::Say("530 must issue a STARTTLS command first");
        }
        if self.user.is_none() && self.post.lock().credentials.is_some() {
            return CommandReply::Say("530 authentication required");
        }
        match self.post.manner() {
            MailBehavior::RefuseForNow => return CommandReply::Say("451 not now"),
            MailBehavior::RefuseForGood => return CommandReply::Say("550 not from you"),
            MailBehavior::Accept
            | MailBehavior::RefuseRecipients
            | MailBehavior::RefuseAfterData
            | MailBehavior::RefuseContent
            | MailBehavior::EchoLogin
            | MailBehavior::Hang
            | MailBehavior::LostAnswer => {}
        }
        // A new sender starts a new transaction: recipients of an unfinished one must not get this
        // mail.
        self.reset();
        self.from = Some(path(rest));
        CommandReply::Say("250 sender ok")
    }

    fn recipient(&mut self, rest: &str) -> CommandReply {
        if self.from.is_none() {
            return CommandReply::Say("503 no sender yet");
        }
        let recipient = path(rest);
        if self.post.manner() == MailBehavior::RefuseRecipients
            || self.post.lock().refused_recipients.contains(&recipient)
        {
            return CommandReply::Say("550 nobody of that name");
        }
        // A temporary refusal, as RFC 5321 asks for: the client may send the rest in another mail.
        if self.to.len() == MOST_RECIPIENTS {
            return CommandReply::Say("452 too many recipients");
        }
        self.to.push(recipient);
        CommandReply::Say("250 recipient ok")
    }

    /// Takes one mail in; breaks where the session ends with it.
    async fn data(&mut self) -> std::io::Result<ControlFlow<()>> {
        self.say("354 end with a dot").await?;
        let mut data = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                break;
            }
            // The session ends with it, because the rest of the mail would be read as commands.
            if data.len() + line.len() > LARGEST_MAIL {
                self.say("552 too much mail").await?;
                return Ok(ControlFlow::Break(()));
            }
            // A line that began with a dot was sent with two.
            data.push_str(line.strip_prefix('.').unwrap_or(&line));
            data.push_str("\r\n");
        }
        let mail = ReceivedMail {
            from: self.from.take().unwrap_or_default(),
            to: std::mem::take(&mut self.to),
            user: self.user.clone(),
            encrypted: self.protection == Protection::Tls,
            data,
        };
        if let Some(reply) = self.post.scripted(".") {
            if reply.is_positive() {
                self.post.keep(mail);
            }
            return self.say_scripted(&reply).await;
        }
        match self.post.manner() {
            MailBehavior::RefuseAfterData => {
                self.say("452 no room").await?;
                Ok(ControlFlow::Continue(()))
            }
            MailBehavior::RefuseContent => {
                self.say("554 looks like spam").await?;
                Ok(ControlFlow::Continue(()))
            }
            MailBehavior::LostAnswer => {
                self.post.keep(mail);
                Ok(ControlFlow::Break(()))
            }
            MailBehavior::Accept
            | MailBehavior::RefuseForNow
            | MailBehavior::RefuseForGood
            | MailBehavior::RefuseRecipients
            | MailBehavior::EchoLogin
            | MailBehavior::Hang => {
                self.post.keep(mail);
                self.say("250 kept").await?;
                Ok(ControlFlow::Continue(()))
            }
        }
    }

    fn reset(&mut self) {
        self.from = None;
        self.to.clear();
    }

    async fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.stream
            .write_all(format!("{text}\r\n").as_bytes())
            .await?;
        self.stream.flush().await
    }

    /// The next line without its end. An error where there is none, or none in time.
    async fn line(&mut self) -> std::io::Result<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            // Without a limit a client that sends no line end would fill the memory.
            if self.buffer.len() > LONGEST_LINE {
                return Err(std::io::ErrorKind::InvalidData.into());
            }
            self.buffer.reserve(4096);
            if timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await?? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The address in `FROM:<a@b> SIZE=1`.
fn path(rest: &str) -> String {
    let inner = rest
        .split_once('<')
        .and_then(|(_, tail)| tail.split_once('>'));
    inner.map_or(String::new(), |(address, _)| address.to_owned())
}
