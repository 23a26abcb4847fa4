//! A mail server on loopback that keeps what it is given, and fails as told.
//!
//! Real SMTP (EHLO, STARTTLS, AUTH PLAIN and LOGIN, one transaction after another), so that what a
//! mail library does with it is what it does with any server. It relays nothing and knows no other
//! domain.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;

use super::ANY_PORT;
use super::authority::Authority;
use super::listener::{self, Background, Listener, StartError};

mod mail;
mod session;

pub use mail::ReceivedMail;

/// More mails than this are not kept.
const MOST_MAILS: usize = 10_000;

/// How a connection is protected.
#[derive(Clone)]
pub enum Security {
    /// In clear from the first byte to the last; a password can still be asked for.
    Plain,
    /// In clear until the client asks for TLS; no mail and no password before.
    StartTls(Authority),
    /// TLS from the first byte.
    Implicit(Authority),
}

/// What a mailbox is started with.
#[derive(Clone)]
pub struct MailboxSetup {
    /// A loopback address; port 0 is any free one.
    pub listen: SocketAddr,
    /// How connections are protected.
    pub security: Security,
    /// User and password without which no mail is taken.
    pub credentials: Option<(String, String)>,
}

impl Default for MailboxSetup {
    fn default() -> Self {
        Self {
            listen: ANY_PORT,
            security: Security::Plain,
            credentials: None,
        }
    }
}

/// How mails are dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailBehavior {
    /// Each mail is taken and kept.
    Accept,
    /// Each sender is refused with 451: try again later.
    RefuseForNow,
    /// Each sender is refused with 550: do not try again.
    RefuseForGood,
    /// Each recipient is refused with 550.
    RefuseRecipients,
    /// The mail is refused with 452 once it has been sent: try again later.
    RefuseAfterData,
    /// The mail is refused with 554 once it has been sent: its content is not wanted.
    RefuseContent,
    /// Taken. But the answer to a refused login repeats what was sent, as some servers do.
    EchoLogin,
    /// Not even a greeting.
    Hang,
    /// The mail is taken and kept; the connection ends without saying so.
    LostAnswer,
}

/// A reply that replaces the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptedReply {
    /// To which command: how the line begins, in any case, for example `RCPT TO:<a@example.com>`.
    /// A single dot is the end of a mail, and the empty text the greeting.
    pub to: String,
    /// What is sent, as it is: any bytes, with its line end, or nothing.
    pub bytes: Vec<u8>,
    /// How long the server thinks first.
    pub after: Duration,
    /// Whether it hangs up then.
    pub cut: bool,
    /// How many times it does so.
    pub times: u32,
}

impl ScriptedReply {
    /// This line, each time.
    pub fn line(to: &str, line: &str) -> Self {
        Self {
            to: to.to_owned(),
            bytes: format!("{line}\r\n").into_bytes(),
            after: Duration::ZERO,
            cut: false,
            times: u32::MAX,
        }
    }

    /// Whether its code is one of success, so that the command takes effect.
    fn is_positive(&self) -> bool {
        self.bytes.first() == Some(&b'2')
    }
}

/// A running mail server. Dropping it closes its port; [`Mailbox::stop`] also waits.
pub struct Mailbox {
    post: Arc<MailStore>,
    listener: Listener,
}

/// What all sessions share, also across a restart.
struct MailStore {
    security: Security,
    state: Mutex<MailboxState>,
    changed: watch::Sender<()>,
}

struct MailboxState {
    credentials: Option<(String, String)>,
    refused_recipients: BTreeSet<String>,
    script: Vec<ScriptedReply>,
    commands: Vec<String>,
    manner: MailBehavior,
    mails: Vec<ReceivedMail>,
    sessions: u64,
    rejected_logins: u64,
}

impl Mailbox {
    /// Starts it; mails are taken until told otherwise.
    pub async fn start(setup: MailboxSetup) -> Result<Self, StartError> {
        let state = MailboxState {
            credentials: setup.credentials,
            refused_recipients: BTreeSet::new(),
            script: Vec::new(),
            commands: Vec::new(),
            manner: MailBehavior::Accept,
            mails: Vec::new(),
            sessions: 0,
            rejected_logins: 0,
        };
        let post = MailStore {
            security: setup.security,
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
        };
        Self::open(Arc::new(post), setup.listen).await
    }

    async fn open(post: Arc<MailStore>, listen: SocketAddr) -> Result<Self, StartError> {
        let socket = listener::bind(listen).await?;
        let served = Arc::clone(&post);
        let listener = Listener::spawn(socket, Background::new(), move |stream| {
            session::serve(Arc::clone(&served), stream)
        });
        Ok(Self { post, listener })
    }

    /// The address and port of the mail server, for `host` and `port` of the policy.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Treats all mails in this way from now on, for example [`MailBehavior::RefuseForNow`].
    pub fn answer(&self, manner: MailBehavior) {
        self.post.lock().manner = manner;
    }

    /// Wants another user and password from now on.
    pub fn set_credentials(&self, credentials: Option<(String, String)>) {
        self.post.lock().credentials = credentials;
    }

    /// Refuses this recipient with 550 from now on, and no other.
    pub fn refuse_recipient(&self, address: &str) {
        self.post
            .lock()
            .refused_recipients
            .insert(address.to_owned());
    }

    /// Replies as written here from now on, by the first that fits.
    pub fn script(&self, script: Vec<ScriptedReply>) {
        self.post.lock().script = script;
    }

    /// Every command that came, without logins.
    pub fn commands(&self) -> Vec<String> {
        self.post.lock().commands.clone()
    }

    /// Every mail kept, oldest first.
    pub fn mails(&self) -> Vec<ReceivedMail> {
        self.post.lock().mails.clone()
    }

    /// How many connections were greeted or hung up on.
    pub fn sessions(&self) -> u64 {
        self.post.lock().sessions
    }

    /// How many times a user and password were not those wanted.
    pub fn rejected_logins(&self) -> u64 {
        self.post.lock().rejected_logins
    }

    /// Waits until the closure returns true for the mails kept, for example until there are two.
    pub async fn until(&self, mut as_asked: impl FnMut(&[ReceivedMail]) -> bool) {
        let mut changes = self.post.changed.subscribe();
        // An error means there is nothing left to wait for; the post we hold keeps it from
        // happening.
        let _ = changes
            .wait_for(|()| as_asked(&self.post.lock().mails))
            .await;
    }

    /// Closes the port and every connection: the server is down. The mails stay.
    pub async fn stop(&self) {
        self.listener.stop().await;
    }

    /// Is up again on the same port, with the mails it had.
    pub async fn restart(self) -> Result<Self, StartError> {
        // Mails, counters and behaviour are in the store, which outlives the listener.
        let Self { post, listener } = self;
        // The old port has to be free before it is bound again.
        listener.stop().await;
        Self::open(post, listener.address()).await
    }
}

impl MailStore {
    fn lock(&self) -> MutexGuard<'_, MailboxState> {
        self.state
            .lock()
            .expect("nothing panics while it holds the post")
    }

    fn manner(&self) -> MailBehavior {
        self.lock().manner
    }

    /// The scripted reply to this command, where there is one.
    fn scripted(&self, line: &str) -> Option<ScriptedReply> {
        let mut state = self.lock();
        let fits = |reply: &&mut ScriptedReply| {
            let begins = line
                .get(..reply.to.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(&reply.to));
            // The greeting answers no line, and a dot is a whole one.
            let is_whole = !matches!(&*reply.to, "" | ".") || line == reply.to;
            reply.times > 0 && begins && is_whole
        };
        let reply = state.script.iter_mut().find(fits)?;
        reply.times -= 1;
        Some(reply.clone())
    }

    /// Notes a command, up to a number that no test needs.
    fn heard(&self, line: &str) {
        let mut state = self.lock();
        let is_login = line
            .get(..4)
            .is_none_or(|verb| verb.eq_ignore_ascii_case("AUTH"));
        if !is_login && state.commands.len() < MOST_MAILS {
            state.commands.push(line.to_owned());
        }
    }

    fn keep(&self, mail: ReceivedMail) {
        {
            let mut state = self.lock();
            // Only dropped and not refused: the client must not see an error that no test asked
            // for.
            if state.mails.len() < MOST_MAILS {
                state.mails.push(mail);
            }
        }
        // After the lock is released: the waiter takes it to look at the mails.
        self.changed.send_replace(());
    }
}
