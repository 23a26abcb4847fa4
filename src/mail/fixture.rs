//! The simulator's mailbox with an `[alerts.email]` that fits, for tests.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rotator_simulator::Authority;
use rotator_simulator::mailbox::{Mailbox, MailboxSetup, ReceivedMail, Security};

use rotator_core::config::{EmailPolicy, SmtpTls};
use rotator_core::secret::SecretSource;

/// A mail server on loopback, and the files that a policy for it names.
pub(crate) struct MailFixture {
    pub mailbox: Mailbox,
    directory: tempfile::TempDir,
    /// How many mails [`MailFixture::next`] has returned.
    read: usize,
}

impl MailFixture {
    /// A server that connections to are protected like this.
    pub async fn start(tls: SmtpTls) -> Self {
        // The process has no TLS provider of its own in unit tests.
        drop(rustls::crypto::ring::default_provider().install_default());
        let authority = Authority::generate();
        let directory = tempfile::tempdir().unwrap();
        authority.write_pem(&ca_file(directory.path())).unwrap();
        let setup = MailboxSetup {
            security: match tls {
                SmtpTls::StartTls => Security::StartTls(authority),
                SmtpTls::Implicit => Security::Implicit(authority),
                SmtpTls::None => Security::Plain,
            },
            ..MailboxSetup::default()
        };
        Self {
            mailbox: Mailbox::start(setup).await.unwrap(),
            directory,
            read: 0,
        }
    }

    /// Takes connections again after [`Mailbox::stop`], on the same port.
    pub async fn restart(self) -> Self {
        Self {
            mailbox: self.mailbox.restart().await.unwrap(),
            ..self
        }
    }

    pub fn policy(&self, tls: SmtpTls) -> EmailPolicy {
        EmailPolicy {
            from: "RingCX rotator <rotator@example.com>".into(),
            to: vec!["oncall@example.com".into()],
            host: "127.0.0.1".into(),
            port: self.mailbox.address().port(),
            tls,
            username: None,
            password: None,
            ca_file: Some(ca_file(self.directory.path())),
            timeout: Duration::from_secs(20),
            helo: None,
        }
    }

    /// A file that holds this password.
    pub fn password(&self, password: &str) -> SecretSource {
        let path = self.directory.path().join("password");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(password.as_bytes()).unwrap();
        SecretSource::File(path)
    }

    /// The next mail, as it came.
    pub async fn next(&mut self) -> ReceivedMail {
        let arrived = self.mailbox.until(|mails| mails.len() > self.read);
        tokio::time::timeout(Duration::from_secs(30), arrived)
            .await
            .expect("a mail comes");
        self.read += 1;
        self.mailbox.mails().swap_remove(self.read - 1)
    }

    /// How many mails came that [`MailFixture::next`] has not returned.
    pub fn rest(&self) -> usize {
        self.mailbox.mails().len() - self.read
    }
}

fn ca_file(directory: &Path) -> PathBuf {
    directory.join("ca.pem")
}
