//! How the files that hold secrets are kept: what others may read is warned about.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rotator_core::secret::SecretSource;

/// A secret that works but is not kept well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretWarning {
    /// Readable by group or others.
    #[error("{path} is readable by others (mode {mode:04o}): run `chmod 600 {path}`", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// What is wrong with how this secret is kept. systemd's own directory is not looked at.
pub fn warning(source: &SecretSource) -> Option<SecretWarning> {
    let SecretSource::File(path) = source else {
        return None;
    };
    if std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|dir| path.starts_with(dir)) {
        return None;
    }
    let mode = std::fs::metadata(path).ok()?.mode() & 0o7777;
    (mode & 0o077 != 0).then(|| SecretWarning::Exposed {
        path: path.clone(),
        mode,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn source(content: &[u8]) -> (tempfile::NamedTempFile, SecretSource) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let source = SecretSource::File(file.path().to_owned());
        (file, source)
    }

    #[test]
    fn a_secret_that_others_can_read_is_warned_about() {
        use std::os::unix::fs::PermissionsExt;
        let (file, source) = source(b"pass");
        assert_eq!(warning(&source), None);
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o644))
            .unwrap();
        assert!(warning(&source).unwrap().to_string().contains("chmod 600"));
    }
}
