//! The form in which a secret is stored: encrypted for this machine by `systemd-creds`, or plain.
//!
//! The secret goes through a pipe, never through an argument. What was encrypted is decrypted once
//! as a test, because the service could not start with a credential that cannot be decrypted.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use secrecy::zeroize::Zeroizing;

use super::options::Keep;
use rotator_core::secret::Secret;

/// A secret as it is stored.
pub enum StoredSecret {
    /// The text that `systemd-creds encrypt` printed.
    Encrypted(String),
    /// The secret as it is, in a file that only root can read.
    Plain {
        /// Why it could not be encrypted, if that was tried.
        why: Option<String>,
    },
}

/// Why a secret cannot be encrypted here. Messages of `systemd-creds` contain no secret.
#[derive(Debug, thiserror::Error)]
pub enum EncryptError {
    /// `systemd-creds` cannot be started.
    #[error("systemd-creds: {0}")]
    NotThere(#[from] std::io::Error),
    /// `systemd-creds` failed with this message.
    #[error("{0}")]
    Refused(String),
    /// The decrypted text differs from what was encrypted.
    #[error("systemd-creds does not give back what it was given")]
    NotTheSame,
    /// Encrypting needs the key of a host that systemd manages.
    #[error("systemd does not run here")]
    NoSystemd,
}

/// Brings the secret into the form that is wanted, or possible.
pub fn kept(name: &str, secret: &Secret, keep: Keep) -> Result<StoredSecret, EncryptError> {
    match keep {
        Keep::Plain => Ok(StoredSecret::Plain { why: None }),
        Keep::Encrypted => encrypted(name, secret).map(StoredSecret::Encrypted),
        // Without systemd this may be the build of an image. A secret encrypted now could not be
        // decrypted on the machine that runs the image, which has another key.
        Keep::Auto if !Path::new("/run/systemd/system").exists() => Ok(StoredSecret::Plain {
            why: Some(EncryptError::NoSystemd.to_string()),
        }),
        Keep::Auto => match encrypted(name, secret) {
            Ok(text) => Ok(StoredSecret::Encrypted(text)),
            // With `auto` a machine without `systemd-creds` or its key still gets a working setup.
            Err(error) => Ok(StoredSecret::Plain {
                why: Some(error.to_string()),
            }),
        },
    }
}

fn encrypted(name: &str, secret: &Secret) -> Result<String, EncryptError> {
    let made = run("encrypt", name, secret.expose().as_bytes())?;
    // With the same name: it is part of what is encrypted, and the unit asks by it.
    let back = run("decrypt", name, &made)?;
    if back.as_slice() != secret.expose().as_bytes() {
        return Err(EncryptError::NotTheSame);
    }
    String::from_utf8(made.to_vec()).map_err(|_| EncryptError::NotTheSame)
}

fn run(verb: &str, name: &str, input: &[u8]) -> Result<Zeroizing<Vec<u8>>, EncryptError> {
    let mut child = Command::new("systemd-creds")
        .args([verb, &format!("--name={name}"), "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // It reads everything before it writes, and a secret fits into a pipe, so this cannot block. If
    // it ended early, its status and message are reported below.
    let _ended_early = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let done = child.wait_with_output()?;
    // Erased when dropped, because after decrypting it holds the secret.
    let text = Zeroizing::new(done.stdout);
    if !done.status.success() {
        return Err(EncryptError::Refused(
            String::from_utf8_lossy(&done.stderr).trim().to_owned(),
        ));
    }
    Ok(text)
}
