//! Where relative paths of a policy start.

use std::path::{Path, PathBuf};

use rotator_core::secret::SecretSource;

/// The directory of the main file.
#[derive(Clone, Copy)]
pub(crate) struct BaseDir<'p>(&'p Path);

impl<'p> BaseDir<'p> {
    /// The directory of this file. A symbolic link is not followed, so that a link and the files
    /// beside it belong together.
    pub fn of(main: &'p Path) -> Self {
        // Of absolute paths only `/` has no parent.
        Self(main.parent().unwrap_or(Path::new("/")))
    }

    /// An absolute path stays as it is.
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    /// The same source; its path, if it has one, made absolute.
    pub fn secret(&self, source: &SecretSource) -> SecretSource {
        match source {
            SecretSource::File(path) => SecretSource::File(self.join(path)),
            SecretSource::Credential(_) | SecretSource::Env(_) | SecretSource::Command(_) => {
                source.clone()
            }
        }
    }
}
