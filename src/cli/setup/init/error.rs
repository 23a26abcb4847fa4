//! Why `init` fails.

use std::path::PathBuf;

use super::encrypt::EncryptError;

/// Why `init` wrote nothing.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// These flags are required where there is no terminal to ask on.
    #[error("not given, and there is no terminal to ask on: {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// The terminal was closed, or Ctrl-C or Ctrl-D was typed.
    #[error("stopped: nothing was written")]
    Stopped,
    /// There is a policy already.
    #[error(
        "{there} is there already: give --force to replace it (it is kept as {old}), or edit it \
         and run `ringcx-rotator check --online`",
        there = .there.display(),
        old = .old.display()
    )]
    There {
        /// The existing policy, which was not touched.
        there: PathBuf,
        /// Where it will be kept.
        old: PathBuf,
    },
    /// A password could not be read.
    #[error("{place}: {why}")]
    Secret {
        /// The file, or `stdin`.
        place: String,
        /// The error, without the secret.
        why: String,
    },
    /// Encrypting was asked for and cannot be done.
    #[error(
        "secrets cannot be encrypted on this machine: {0}: leave --credential encrypted out to \
         keep it as a file that only root can read"
    )]
    Encrypt(#[from] EncryptError),
    /// A file could not be written. All files are as they were before.
    #[error("{path}: {source}{}", hint(source), path = path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

fn hint(error: &std::io::Error) -> &'static str {
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        ": run this as root, with sudo"
    } else {
        ""
    }
}
