//! Reading a secret from where the policy says it is.
//!
//! Read again at each use, so that a changed password needs no restart.

use std::io;
use std::path::{Path, PathBuf};

use crate::process::blocking;
use rotator_core::secret::{Secret, SecretSource};
use rotator_policy::files::{self, FileError};

mod command;

pub use command::CommandError;

/// No secret is longer than this; a larger file is not a secret but a mistake.
const LARGEST: u64 = 64 * 1024;

/// Why a secret could not be read. Never says what it is.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The policy names a systemd credential, and systemd did not pass it.
    #[error(
        "credential `{name}` was not handed to this process: a command that needs it is run as root; the service has it by `LoadCredential={name}:…`, which `ringcx-rotator systemd-dropin` prints"
    )]
    NoCredentials {
        /// Name of the credential, as in `LoadCredential=NAME:…`.
        name: String,
    },
    /// The file is missing or may not be read.
    #[error("{path}: {source}", path = path.display())]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Larger than 64 KiB.
    #[error("{path}: larger than 64 KiB, that is no secret", path = path.display())]
    TooLarge {
        /// Path of the file.
        path: PathBuf,
    },
    /// The secret is not valid UTF-8.
    #[error("{place}: not valid UTF-8")]
    NotText {
        /// The file, variable or command.
        place: String,
    },
    /// The secret is empty once its line end is removed.
    #[error("{place}: is empty")]
    Empty {
        /// The file, variable or command.
        place: String,
    },
    /// It has something in it that no secret has.
    #[error("{place}: {what}")]
    Odd {
        /// The file, variable or command.
        place: String,
        /// What, without the secret.
        what: &'static str,
    },
    /// The command gave no secret.
    #[error("command `{program}`: {source}")]
    Command {
        /// The program's name, without its arguments.
        program: String,
        /// What went wrong with the command.
        source: CommandError,
    },
    /// The environment variable is not set.
    #[error("environment variable {name} is not set")]
    NoVariable {
        /// Name of the variable.
        name: String,
    },
}

/// Reads the secret. One trailing `\n` or `\r\n` is taken off; of what a command prints, the first
/// line counts. What has more lines, or a byte order mark, is refused: with it a login would fail,
/// and be held back for hours.
pub fn read(source: &SecretSource) -> Result<Secret, SecretError> {
    match source {
        SecretSource::Credential(name) => match read_file(&credential_path(name)?) {
            // systemd passed other credentials, but not this one.
            Err(SecretError::Unreadable { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Err(SecretError::NoCredentials { name: name.clone() })
            }
            read => read,
        },
        SecretSource::File(path) => read_file(path),
        SecretSource::Env(name) => {
            let text = std::env::var_os(name)
                .ok_or_else(|| SecretError::NoVariable { name: name.clone() })?;
            let text = text.into_string().map_err(|_| SecretError::NotText {
                place: name.clone(),
            })?;
            non_empty(text, name)
        }
        SecretSource::Command(command) => {
            let program = command.program().to_owned();
            let place = format!("command `{program}`");
            let printed =
                command::run(command).map_err(|source| SecretError::Command { program, source })?;
            let text = std::str::from_utf8(&printed);
            let text = text.map_err(|_| SecretError::NotText {
                place: place.clone(),
            })?;
            // Password managers print notes below the password.
            let first = text.split_inclusive('\n').next().unwrap_or_default();
            non_empty(first.to_owned(), &place)
        }
    }
}

/// The same, away from the runtime's thread: on a mount or a command that hangs, only the caller
/// waits.
pub async fn read_async(source: &SecretSource) -> Result<Secret, SecretError> {
    let source = source.clone();
    blocking(move || read(&source)).await
}

fn credential_path(name: &str) -> Result<PathBuf, SecretError> {
    let directory =
        std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| SecretError::NoCredentials {
            name: name.to_owned(),
        })?;
    Ok(Path::new(&directory).join(name))
}

fn read_file(path: &Path) -> Result<Secret, SecretError> {
    let unreadable = |source| SecretError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let bytes = files::read(path, LARGEST).map_err(|error| match error {
        FileError::TooLarge(_) => SecretError::TooLarge {
            path: path.to_owned(),
        },
        FileError::Io(source) => unreadable(source),
        error @ (FileError::NotRegular(_) | FileError::Overdue(_)) => {
            unreadable(io::Error::other(error))
        }
    })?;
    let place = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|_| SecretError::NotText {
        place: place.clone(),
    })?;
    non_empty(text, &place)
}

fn non_empty(mut text: String, place: &str) -> Result<Secret, SecretError> {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    let odd = |what| {
        Err(SecretError::Odd {
            place: place.to_owned(),
            what,
        })
    };
    if text.is_empty() {
        Err(SecretError::Empty {
            place: place.to_owned(),
        })
    } else if text.starts_with('\u{feff}') {
        odd("begins with a byte order mark (U+FEFF): save it without")
    } else if text.contains(['\n', '\r']) {
        odd("has more than one line: keep the secret alone in it, with one line end at most")
    } else {
        Ok(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn source(content: &[u8]) -> (tempfile::NamedTempFile, SecretSource) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let source = SecretSource::File(file.path().to_owned());
        (file, source)
    }

    #[test]
    fn one_line_end_is_not_part_of_a_secret() {
        for (content, secret) in [
            (&b"pass\n"[..], "pass"),
            (b"pass\r\n", "pass"),
            (b"pass", "pass"),
            (b"pa ss \n", "pa ss "),
        ] {
            let (_file, source) = source(content);
            assert_eq!(read(&source).ok().unwrap().expose(), secret);
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_shown() {
        for content in [
            &b""[..],
            b"\n",
            b"\xff\xfecanary",
            b"\xef\xbb\xbfcanary\n",
            b"canary\n\n",
            b"canary\ruser\n",
            b"canary\nuser: x\n",
            &[b'x'; 70_000],
        ] {
            let (_file, source) = source(content);
            let error = read(&source).err().expect("refused").to_string();
            assert!(
                !error.contains("canary") && !error.contains("xxxx"),
                "{error}"
            );
        }
    }
}
