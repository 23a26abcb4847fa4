//! The directory of the demo: removed at its end, and readable by its owner only.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::Leftovers;
use super::StageError;
use rotator_core::secret::Fingerprint;

/// The longest path that the system takes for a Unix socket, without the zero at its end.
const LONGEST_SOCKET_PATH: usize = 107;

/// A directory under TMPDIR, and the secrets that were written into it.
pub(super) struct StageDirectory {
    guard: TempDir,
    secrets: Vec<String>,
}

impl StageDirectory {
    /// Makes it, with room for secrets in it.
    pub(super) fn create() -> Result<Self, StageError> {
        let parent = std::env::temp_dir();
        let made = tempfile::Builder::new()
            .prefix("ringcx-demo-")
            .tempdir_in(&parent);
        let guard = made.map_err(|source| StageError::File {
            path: parent,
            source,
        })?;
        let root = guard.path();
        // The daemon binds its socket under a longer name first, and renames it then.
        if root.as_os_str().as_bytes().len() + "/control.4194304.new".len() > LONGEST_SOCKET_PATH {
            return Err(StageError::TooLong {
                path: root.to_owned(),
            });
        }
        let directory = Self {
            guard,
            secrets: Vec::new(),
        };
        directory.make("secrets")?;
        Ok(directory)
    }

    pub(super) fn root(&self) -> &Path {
        self.guard.path()
    }

    /// Makes up a secret and writes it into a file of this name. It begins with `canary`, so that
    /// one that turns up elsewhere is known by sight, and is another in each demo.
    pub(super) fn secret(&mut self, name: &str) -> Result<String, StageError> {
        // The directory's name is random, so the secrets of two demos differ.
        let seed = format!("{}/{name}", self.root().display());
        let secret = format!("canary-{name}-{}", Fingerprint::of(seed.as_bytes()).short());
        self.keep_secret(name, secret.clone())?;
        Ok(secret)
    }

    /// Writes a secret into a file of this name.
    pub(super) fn keep_secret(&mut self, name: &str, secret: String) -> Result<(), StageError> {
        write(&self.root().join("secrets").join(name), &secret)?;
        self.secrets.push(secret);
        Ok(())
    }

    /// Makes a directory in it.
    pub(super) fn make(&self, name: &str) -> Result<(), StageError> {
        let path = self.root().join(name);
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|source| StageError::File { path, source })
    }

    /// Writes a file into it.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), StageError> {
        write(&self.root().join(name), text)
    }

    /// Its path, its secrets, and what removes it when dropped, if it is to be removed.
    pub(super) fn finish(self, leftovers: Leftovers) -> (PathBuf, Vec<String>, Option<TempDir>) {
        match leftovers {
            Leftovers::Remove => (self.guard.path().to_owned(), self.secrets, Some(self.guard)),
            Leftovers::Keep => (self.guard.keep(), self.secrets, None),
        }
    }
}

/// Writes a new file that its owner alone can read.
pub(super) fn write(path: &Path, text: &str) -> Result<(), StageError> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| StageError::File {
        path: path.to_owned(),
        source,
    })
}
