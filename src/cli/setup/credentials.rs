//! Systemd credentials for a command that systemd did not start.
//!
//! The service gets its credentials from systemd; a command that root types does not. So that
//! `check --online` tries the password that the service will use, it is read from where the
//! installed unit takes it, or else from where `init` and `systemd-dropin` put it: beside the
//! policy. Encrypted credentials are decrypted by `systemd-creds` into a directory in memory
//! (`/run`) that only root can read and that is removed when the command ends.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::systemd_dropin::places;
use super::unit::{Credential, Unit};
use rotator_core::config::Policy;
use rotator_core::secret::SecretSource;

/// Where `LoadCredential=NAME` without a path looks.
const STORES: [&str; 3] = ["/etc/credstore", "/run/credstore", "/usr/lib/credstore"];
const ENCRYPTED_STORES: [&str; 3] = [
    "/etc/credstore.encrypted",
    "/run/credstore.encrypted",
    "/usr/lib/credstore.encrypted",
];

/// Why a credential could not be decrypted.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// `systemd-creds` is missing or failed. Its messages contain no secret.
    #[error("{path}: cannot be decrypted: {why}", path = path.display())]
    Decrypt {
        /// The encrypted file, such as `/etc/credstore.encrypted/sales-ivr`.
        path: PathBuf,
        /// The message of `systemd-creds`.
        why: String,
    },
    /// The directory for decrypted credentials could not be created.
    #[error("/run: {0}: run this as root")]
    View(std::io::Error),
}

/// Replaces every `{ credential = … }` of the policy by the file from which the unit takes it. A
/// process that systemd started has its credentials already, so nothing changes there, nor for a
/// credential that is not found. Returns the directory of decrypted credentials: dropping it
/// removes them.
pub fn resolve_unit_credentials(policy: &mut Policy) -> Result<Option<TempDir>, CredentialError> {
    // Started by systemd: the sources resolve by themselves, and root's files may not be readable.
    if std::env::var_os("CREDENTIALS_DIRECTORY").is_some() {
        return Ok(None);
    }
    // A unit that reads another policy may have a different credential of the same name.
    let unit = Unit::installed().filter(|unit| unit.config() == policy.path);
    let path = policy.path.clone();
    // Made only for the first encrypted credential, because it needs root.
    let mut view = None;
    for source in sources(policy) {
        let SecretSource::Credential(name) = source else {
            continue;
        };
        match find(name, unit.as_ref(), &path) {
            Some(CredentialFile::Plain(path)) => *source = SecretSource::File(path),
            Some(CredentialFile::Encrypted(path)) => {
                let view = match &mut view {
                    Some(view) => view,
                    none => none.insert(open_view()?),
                };
                *source = SecretSource::File(decrypt(name, &path, view.path())?);
            }
            // Left as it is: reading it later names the credential in its error.
            None => {}
        }
    }
    Ok(view)
}

enum CredentialFile {
    Plain(PathBuf),
    Encrypted(PathBuf),
}

fn find(name: &str, unit: Option<&Unit>, policy: &Path) -> Option<CredentialFile> {
    let stored = |path: PathBuf, stores: &[&str]| {
        if path.is_absolute() {
            return path.exists().then_some(path);
        }
        stores
            .iter()
            .map(|store| Path::new(store).join(&path))
            .find(|path| path.exists())
    };
    // What the unit names comes first, because that is what the service gets.
    let by_unit = match unit.and_then(|unit| unit.credential(name)) {
        Some(Credential::Plain(path)) => stored(path, &STORES).map(CredentialFile::Plain),
        Some(Credential::Encrypted(path)) => {
            stored(path, &ENCRYPTED_STORES).map(CredentialFile::Encrypted)
        }
        Some(Credential::Inline) | None => None,
    };
    by_unit.or_else(|| {
        let (plain, encrypted) = places(policy, name);
        // The same order as in `systemd-dropin`, which prefers the encrypted file.
        if encrypted.exists() {
            return Some(CredentialFile::Encrypted(encrypted));
        }
        plain.exists().then_some(CredentialFile::Plain(plain))
    })
}

fn open_view() -> Result<TempDir, CredentialError> {
    tempfile::Builder::new()
        .prefix("ringcx-rotator-")
        .tempdir_in("/run")
        .map_err(CredentialError::View)
}

fn decrypt(name: &str, path: &Path, view: &Path) -> Result<PathBuf, CredentialError> {
    let refused = |why: String| CredentialError::Decrypt {
        path: path.to_owned(),
        why,
    };
    let done = Command::new("systemd-creds")
        .arg("decrypt")
        .arg(format!("--name={name}"))
        .arg(path)
        .arg("-")
        // So that it cannot take the answers that the operator types for this command.
        .stdin(Stdio::null())
        .output()
        .map_err(|error| refused(format!("systemd-creds: {error}")))?;
    // Wrapped before anything can fail, so that the memory is erased on every path.
    let text = secrecy::zeroize::Zeroizing::new(done.stdout);
    if !done.status.success() {
        return Err(refused(
            String::from_utf8_lossy(&done.stderr).trim().to_owned(),
        ));
    }
    let place = view.join(name);
    let mut options = std::fs::File::options();
    options
        .write(true)
        // Never through a link that was put there meanwhile.
        .create_new(true)
        .mode(0o600)
        .open(&place)
        .and_then(|mut file| file.write_all(&text))
        .map_err(CredentialError::View)?;
    Ok(place)
}

/// Every place of the policy that names a secret.
fn sources(policy: &mut Policy) -> Vec<&mut SecretSource> {
    let mut sources = policy.ringcx.network.secrets_mut();
    for account in &mut policy.accounts {
        sources.extend(account.login.secrets_mut());
        for sink in &mut account.sinks {
            sources.extend(sink.kind.secrets_mut());
        }
    }
    if let Some(email) = &mut policy.alerts.email {
        sources.extend(&mut email.password);
    }
    sources
}
