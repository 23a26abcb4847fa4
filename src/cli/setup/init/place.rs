//! Puts several files in place: all of them, or none.
//!
//! Each is written beside its place and renamed. If one fails, the files before it are removed, and
//! those that they replaced are restored. Signals wait meanwhile, so that nothing is left half
//! done; a crash can leave whole files only. What is in the files is not known here.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use secrecy::zeroize::Zeroizing;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tempfile::NamedTempFile;

use super::error::InitError;

/// The group that reads the policy.
const SERVICE: &str = "ringcx-rotator";

/// The files written so far. Dropped without [`Placed::keep`], it undoes them.
#[derive(Default)]
pub struct Placed {
    done: Vec<PlacedFile>,
    directories: Vec<PathBuf>,
}

struct PlacedFile {
    path: PathBuf,
    /// What was there before, if anything was.
    before: Option<Before>,
}

type Before = (Zeroizing<Vec<u8>>, Permissions);

impl Placed {
    /// Writes the policy beside its place, so that it can be loaded before it is put in place.
    pub fn draft(&mut self, config: &Path, text: &str) -> Result<NamedTempFile, InitError> {
        self.directory(directory_of(config), 0o750, Whose::TheServices)?;
        written(config, text.as_bytes())
    }

    /// Writes a secret, in a directory that only root can enter, and removes `other`, which held it
    /// in the other form.
    pub fn secret(&mut self, path: &Path, bytes: &[u8], other: &Path) -> Result<(), InitError> {
        self.directory(directory_of(path), 0o700, Whose::Roots)?;
        // The new form is in place before the other is removed: a crash between them leaves both,
        // and the encrypted one counts.
        self.put(path, written(path, bytes)?)?;
        if let Some(before) = before(other)? {
            fs::remove_file(other).map_err(|source| failed(other, source))?;
            self.done.push(PlacedFile {
                path: other.to_owned(),
                before: Some(before),
            });
        }
        Ok(())
    }

    /// Writes a file that everyone may read.
    pub fn open(&mut self, path: &Path, bytes: &[u8]) -> Result<(), InitError> {
        self.directory(directory_of(path), 0o755, Whose::Roots)?;
        let file = written(path, bytes)?;
        mode(file.as_file(), 0o644).map_err(|source| failed(path, source))?;
        self.put(path, file)
    }

    /// Puts the policy in place, readable by the service's group. An existing policy is kept under
    /// [`old_name`].
    pub fn policy(&mut self, config: &Path, draft: NamedTempFile) -> Result<(), InitError> {
        // Group and mode before the rename: under its own name the policy is never unreadable.
        let given = share(draft.as_file()).and_then(|()| draft.as_file().sync_all());
        given.map_err(|source| failed(config, source))?;
        if config.symlink_metadata().is_ok() {
            let old = old_name(config);
            // A hard link cannot replace an existing file.
            match fs::remove_file(&old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&old, error));
                }
                Ok(()) | Err(_) => {}
            }
            // A link and not a rename, so that there is a policy under its name at every moment.
            fs::hard_link(config, &old).map_err(|source| failed(&old, source))?;
        }
        self.put(config, draft)
    }

    /// Keeps the files, and returns the paths of those that exist.
    pub fn keep(mut self) -> Vec<PathBuf> {
        // `Drop` still runs, and finds nothing to undo.
        self.directories.clear();
        std::mem::take(&mut self.done)
            .into_iter()
            .map(|done| done.path)
            .filter(|path| path.exists())
            .collect()
    }

    fn put(&mut self, path: &Path, file: NamedTempFile) -> Result<(), InitError> {
        // Read before the rename, which makes the old content unreachable.
        let before = before(path)?;
        file.persist(path)
            .map_err(|error| failed(path, error.error))?;
        self.done.push(PlacedFile {
            path: path.to_owned(),
            before,
        });
        // The rename itself is on the disk only once the directory is synced.
        File::open(directory_of(path))
            .and_then(|directory| directory.sync_all())
            .map_err(|source| failed(path, source))
    }

    fn directory(&mut self, path: &Path, bits: u32, whose: Whose) -> Result<(), InitError> {
        // Only directories made here get mode and owner; those of the operator stay as they are.
        let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
        for path in missing.into_iter().rev() {
            let made = fs::DirBuilder::new().mode(bits).create(path);
            made.map_err(|source| failed(path, source))?;
            self.directories.push(path.to_owned());
            // Set again, because the umask may have removed bits.
            let opened = File::open(path).and_then(|directory| {
                mode(&directory, bits)?;
                match whose {
                    Whose::Roots => Ok(()),
                    Whose::TheServices => give(&directory),
                }
            });
            opened.map_err(|source| failed(path, source))?;
        }
        Ok(())
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        // What cannot be undone stays: only the error that led here is reported.
        // The last first: a file that was written twice ends with what was there before the first.
        for done in self.done.drain(..).rev() {
            match done.before {
                None => drop(fs::remove_file(&done.path)),
                Some((bytes, permissions)) => {
                    if let Ok(file) = written(&done.path, &bytes)
                        && file.as_file().set_permissions(permissions).is_ok()
                    {
                        drop(file.persist(&done.path));
                    }
                }
            }
        }
        for directory in self.directories.drain(..).rev() {
            // A directory that has other files in it stays.
            let _not_empty = fs::remove_dir(directory);
        }
    }
}

#[derive(Clone, Copy)]
enum Whose {
    Roots,
    TheServices,
}

/// Where a replaced policy is kept.
pub fn old_name(config: &Path) -> PathBuf {
    let mut name = config.as_os_str().to_owned();
    name.push(".old");
    PathBuf::from(name)
}

/// While this exists, signals do not end the process.
pub struct DeferredSignals(Arc<AtomicBool>);

impl Drop for DeferredSignals {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Ignores SIGINT, SIGTERM and SIGHUP until the result is dropped; then they end the process again.
pub fn hold_signals() -> DeferredSignals {
    let over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Fails only for signals that cannot be caught.
        let _held = signal_hook::flag::register_conditional_shutdown(
            signal,
            // The exit code that shells show for a process that a signal ended.
            128 + signal,
            Arc::clone(&over),
        );
    }
    DeferredSignals(over)
}

/// A file beside the place, with mode 0600.
fn written(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, InitError> {
    let made = tempfile::Builder::new()
        .prefix(".ringcx-rotator.")
        .tempfile_in(directory_of(path));
    let mut file = made.map_err(|source| failed(directory_of(path), source))?;
    let filled = file
        .write_all(bytes)
        .and_then(|()| file.as_file().sync_all());
    filled.map_err(|source| failed(path, source))?;
    Ok(file)
}

fn before(path: &Path) -> Result<Option<Before>, InitError> {
    match fs::read(path) {
        Ok(bytes) => {
            // The permissions too, so that undoing does not open a file that was closed.
            let found = fs::metadata(path).map_err(|source| failed(path, source))?;
            Ok(Some((Zeroizing::new(bytes), found.permissions())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(path, source)),
    }
}

/// Makes the file readable by the service's group, if there is one and this user may do that.
fn share(file: &File) -> io::Result<()> {
    give(file)?;
    mode(
        file,
        if service_group().is_some() {
            0o640
        } else {
            0o600
        },
    )
}

fn give(file: &File) -> io::Result<()> {
    match service_group() {
        Some(group) => fchown(file, None, Some(group)),
        None => Ok(()),
    }
}

fn service_group() -> Option<u32> {
    let root = uzers::get_effective_uid() == 0;
    uzers::get_group_by_name(SERVICE)
        // Only root can give files away; for others it is a trial in their own directory.
        .filter(|_| root)
        .map(|group| group.gid())
}

fn mode(file: &File, bits: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(bits))
}

fn directory_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn failed(path: &Path, source: io::Error) -> InitError {
    InitError::Write {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_takes_back_what_was_done_and_leaves_nothing() {
        let house = tempfile::tempdir().unwrap();
        let config = house.path().join("etc/config.toml");
        let (plain, encrypted) = (
            house.path().join("etc/credentials/a"),
            house.path().join("etc/credentials/a.cred"),
        );
        {
            let mut placed = Placed::default();
            let draft = placed.draft(&config, "policy").unwrap();
            placed.secret(&plain, b"secret", &encrypted).unwrap();
            assert_eq!(fs::read(&plain).unwrap(), b"secret");
            drop(draft);
        }
        assert_eq!(
            fs::read_dir(house.path()).unwrap().count(),
            0,
            "directories too"
        );

        let mut placed = Placed::default();
        let draft = placed.draft(&config, "policy").unwrap();
        placed.secret(&encrypted, b"old", &plain).unwrap();
        placed.policy(&config, draft).unwrap();
        assert_eq!(placed.keep(), [encrypted.clone(), config.clone()]);
        {
            let mut placed = Placed::default();
            let draft = placed.draft(&config, "another").unwrap();
            placed.secret(&plain, b"new", &encrypted).unwrap();
            assert!(!encrypted.exists(), "of two the encrypted one would count");
            placed.policy(&config, draft).unwrap();
            assert_eq!(fs::read_to_string(&config).unwrap(), "another");
        }
        assert_eq!(fs::read_to_string(&config).unwrap(), "policy");
        assert_eq!(fs::read(&encrypted).unwrap(), b"old");
        assert!(!plain.exists());
        let names: Vec<_> = fs::read_dir(house.path().join("etc"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 3, "no temporary file is left: {names:?}");
    }

    #[test]
    fn secrets_are_for_their_owner_alone() {
        let house = tempfile::tempdir().unwrap();
        let path = house.path().join("credentials/a");
        let mut placed = Placed::default();
        placed
            .secret(&path, b"secret", &house.path().join("credentials/a.cred"))
            .unwrap();
        placed.keep();
        let bits = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((bits(&path), bits(path.parent().unwrap())), (0o600, 0o700));
    }
}
