//! A secret in the form in which it is kept: encrypted for this machine by `systemd-creds`, or as
//! it is.
//!
//! The secret goes through a pipe, never through an argument. What was encrypted is decrypted once
//! before it is relied upon. Knows no files.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use secrecy::zeroize::Zeroizing;

use super::Keep;
use rotator_core::secret::Secret;

/// In which form.
pub enum StoredSecret {
    /// What `systemd-creds` made of it.
    Encrypted(String),
    /// As it is.
    Plain {
        /// Why not encrypted, where that was to be tried.
        why: Option<String>,
    },
}

/// Why a secret cannot be encrypted here. Texts of `systemd-creds` name no secret.
#[derive(Debug, thiserror::Error)]
pub enum EncryptError {
    /// It is not there.
    #[error("systemd-creds: {0}")]
    NotThere(#[from] std::io::Error),
    /// It says no.
    #[error("{0}")]
    Refused(String),
    /// It gave back something else than it was given.
    #[error("systemd-creds does not give back what it was given")]
    NotTheSame,
    /// Not systemd's machine.
    #[error("systemd does not run here")]
    NoSystemd,
}

/// The secret as it is to be kept.
pub fn kept(name: &str, secret: &Secret, keep: Keep) -> Result<StoredSecret, EncryptError> {
    match keep {
        Keep::Plain => Ok(StoredSecret::Plain { why: None }),
        Keep::Encrypted => encrypted(name, secret).map(StoredSecret::Encrypted),
        // Where systemd does not run, this may be the making of an image, whose key is not the
        // machine's to be.
        Keep::Auto if !Path::new("/run/systemd/system").exists() => Ok(StoredSecret::Plain {
            why: Some(EncryptError::NoSystemd.to_string()),
        }),
        Keep::Auto => match encrypted(name, secret) {
            Ok(text) => Ok(StoredSecret::Encrypted(text)),
            Err(error) => Ok(StoredSecret::Plain {
                why: Some(error.to_string()),
            }),
        },
    }
}

fn encrypted(name: &str, secret: &Secret) -> Result<String, EncryptError> {
    let made = run("encrypt", name, secret.expose().as_bytes())?;
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
    // It reads all of it before it writes, and a secret fits into a pipe. One that ended early says
    // why.
    let _ended_early = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let done = child.wait_with_output()?;
    let text = Zeroizing::new(done.stdout);
    if !done.status.success() {
        return Err(EncryptError::Refused(
            String::from_utf8_lossy(&done.stderr).trim().to_owned(),
        ));
    }
    Ok(text)
}
