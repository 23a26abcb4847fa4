//! Searches a file that is not a sink for tokens. It is only read.
//!
//! What this does not know: why they are searched for, and what the file is for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::SinkError;
use super::atomic_file::{self, FileRead};
use rotator_core::secret::Fingerprint;
use rotator_core::secret::find::Wanted;

/// A larger file is not searched; no configuration is as large. In bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Why a file could not be looked through. What it holds is then not known.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] SinkError),
    /// It is too large.
    #[error("{path}: is larger than 4 MiB, so it is not looked through", path = path.display())]
    TooLarge {
        /// Path of the file, as it was named for the search.
        path: PathBuf,
    },
    /// Its directory is not visible: systemd may hide it from the service.
    #[error("{path}: its directory cannot be seen", path = path.display())]
    NoDirectory {
        /// Path of the file, as it was named for the search.
        path: PathBuf,
    },
}

/// Which of the wanted tokens are in this file; none if its directory has no such file. Blocks.
pub fn search(path: &Path, wanted: &Wanted) -> Result<BTreeSet<Fingerprint>, SearchError> {
    match atomic_file::read(path, LARGEST)? {
        FileRead::File(found) => Ok(wanted.in_bytes(&found.bytes)),
        // Not "none found": a token that is still in use could be deleted.
        FileRead::TooLarge => Err(SearchError::TooLarge {
            path: path.to_owned(),
        }),
        // Without the directory this may only mean that we are kept from seeing it.
        FileRead::Absent if path.parent().is_some_and(Path::is_dir) => Ok(BTreeSet::new()),
        FileRead::Absent => Err(SearchError::NoDirectory {
            path: path.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9";

    fn write(path: &Path, bytes: &[u8]) {
        std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), bytes).unwrap();
    }

    fn searched(path: &Path) -> Result<usize, String> {
        let wanted = Wanted::from_iter([(Fingerprint::of(TOKEN.as_bytes()), TOKEN.len())]);
        search(path, &wanted)
            .map(|found| found.len())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_that_holds_the_token_says_so_and_one_that_does_not_or_is_gone_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flow.json");
        assert_eq!(searched(&path), Ok(0));
        write(&path, format!("{{\"header\": \"{TOKEN}\"}}").as_bytes());
        assert_eq!(searched(&path), Ok(1));
        write(
            &path,
            &[b"\xff\0".as_slice(), TOKEN.as_bytes(), b"\0"].concat(),
        );
        assert_eq!(searched(&path), Ok(1));
        write(&path, b"nothing");
        assert_eq!(searched(&path), Ok(0));
    }

    #[test]
    fn what_cannot_be_looked_through_is_not_taken_for_empty() {
        let dir = tempfile::tempdir().unwrap();
        let says = |path: &Path, why: &str| {
            let error = searched(path).unwrap_err();
            assert!(
                error.contains(why) && error.contains(path.to_str().unwrap()),
                "{error}"
            );
        };
        says(dir.path(), "name a file in it");
        says(
            &dir.path().join("no-directory").join("file"),
            "its directory cannot be seen",
        );
        let large = dir.path().join("large");
        std::fs::File::create(&large)
            .unwrap()
            .set_len(LARGEST + 1)
            .unwrap();
        says(&large, "larger than 4 MiB");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&large, &link).unwrap();
        says(&link, "name the file that it points to");
    }
}
