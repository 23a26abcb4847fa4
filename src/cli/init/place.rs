//! Puts several files in place: all of them, or none.
//!
//! Each is written beside its place and renamed. What fails takes back what was put there before
//! it; what was replaced comes back. A signal waits meanwhile, so that nothing is left half done; a
//! crash can leave whole files only. Knows nothing of what is in the files.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use secrecy::zeroize::Zeroizing;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tempfile::NamedTempFile;

use super::{InitError, SERVICE};

/// Files that were put in place. Dropped before [`Placed::keep`], it takes them back.
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
    /// The policy as a file beside its place, for its own reader to judge.
    pub fn draft(&mut self, config: &Path, text: &str) -> Result<NamedTempFile, InitError> {
        self.directory(directory_of(config), 0o750, Whose::TheServices)?;
        written(config, text.as_bytes())
    }

    /// A secret, in a directory that only root enters. What else held it before goes.
    pub fn secret(&mut self, path: &Path, bytes: &[u8], other: &Path) -> Result<(), InitError> {
        self.directory(directory_of(path), 0o700, Whose::Roots)?;
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

    /// A file for everyone to read.
    pub fn open(&mut self, path: &Path, bytes: &[u8]) -> Result<(), InitError> {
        self.directory(directory_of(path), 0o755, Whose::Roots)?;
        let file = written(path, bytes)?;
        mode(file.as_file(), 0o644).map_err(|source| failed(path, source))?;
        self.put(path, file)
    }

    /// The policy, for the service's group to read. One that is there is kept under [`old_name`].
    pub fn policy(&mut self, config: &Path, draft: NamedTempFile) -> Result<(), InitError> {
        let given = share(draft.as_file()).and_then(|()| draft.as_file().sync_all());
        given.map_err(|source| failed(config, source))?;
        if config.symlink_metadata().is_ok() {
            let old = old_name(config);
            match fs::remove_file(&old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&old, error));
                }
                Ok(()) | Err(_) => {}
            }
            fs::hard_link(config, &old).map_err(|source| failed(&old, source))?;
        }
        self.put(config, draft)
    }

    /// They stay. Answers which, those that hold something.
    pub fn keep(mut self) -> Vec<PathBuf> {
        self.directories.clear();
        std::mem::take(&mut self.done)
            .into_iter()
            .map(|done| done.path)
            .filter(|path| path.exists())
            .collect()
    }

    fn put(&mut self, path: &Path, file: NamedTempFile) -> Result<(), InitError> {
        let before = before(path)?;
        file.persist(path)
            .map_err(|error| failed(path, error.error))?;
        self.done.push(PlacedFile {
            path: path.to_owned(),
            before,
        });
        File::open(directory_of(path))
            .and_then(|directory| directory.sync_all())
            .map_err(|source| failed(path, source))
    }

    fn directory(&mut self, path: &Path, bits: u32, whose: Whose) -> Result<(), InitError> {
        let missing: Vec<&Path> = path.ancestors().take_while(|it| !it.exists()).collect();
        for path in missing.into_iter().rev() {
            let made = fs::DirBuilder::new().mode(bits).create(path);
            made.map_err(|source| failed(path, source))?;
            self.directories.push(path.to_owned());
            // Not left to the umask.
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
        // Whatever cannot be taken back stays; the error that led here is the one that is told.
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
            let _not_empty = fs::remove_dir(directory);
        }
    }
}

#[derive(Clone, Copy)]
enum Whose {
    Roots,
    TheServices,
}

/// Where a policy that was replaced is kept.
pub fn old_name(config: &Path) -> PathBuf {
    let mut name = config.as_os_str().to_owned();
    name.push(".old");
    PathBuf::from(name)
}

/// Signals end the process only once this is dropped.
pub struct DeferredSignals(Arc<AtomicBool>);

impl Drop for DeferredSignals {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// From now on SIGINT, SIGTERM and SIGHUP are let pass by, for the moment that it takes.
pub fn hold_signals() -> DeferredSignals {
    let over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Fails only for signals that cannot be caught.
        let _held = signal_hook::flag::register_conditional_shutdown(
            signal,
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
            let found = fs::metadata(path).map_err(|source| failed(path, source))?;
            Ok(Some((Zeroizing::new(bytes), found.permissions())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(path, source)),
    }
}

/// For the service's group to read, where there is one and we may give to it.
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
        .filter(|_| root)
        .map(|group| group.gid())
}

fn mode(file: &File, bits: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(bits))
}

fn directory_of(path: &Path) -> &Path {
    path.parent()
        .filter(|it| !it.as_os_str().is_empty())
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
            .map(|it| it.unwrap().file_name())
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
