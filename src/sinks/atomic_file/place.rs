//! A name in a directory that stays the same directory, whatever happens to its path meanwhile.
//!
//! Every step of a replacement goes through the one handle that is opened here: if a parent of the
//! directory is moved, or becomes a symlink to elsewhere, nothing of ours appears there. Does not
//! know what the file is for.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::rand::{GetRandomFlags, getrandom};

use super::{RANDOM_LENGTH, SinkError, directory_of, io_error, temp_prefix};

/// How often another random name is tried for a temporary file.
const TRIES: usize = 16;

/// A file's name, and a handle of the directory that it is in.
pub struct Place<'a> {
    pub(super) path: &'a Path,
    pub(super) name: &'a OsStr,
    directory: File,
}

impl<'a> Place<'a> {
    /// Opens the directory of `path`. A symlink to a directory is followed here, and only here.
    pub fn open(path: &'a Path) -> Result<Self, SinkError> {
        let parent = directory_of(path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(parent, flags, Mode::empty()).map_err(|error| {
            if fs::metadata(parent).is_ok_and(|found| !found.is_dir()) {
                return SinkError::Target {
                    path: parent.to_owned(),
                    what: "not a directory",
                    help: "name a file in a directory",
                };
            }
            io_error(parent, "open the directory", error.into())
        })?;
        Ok(Self {
            path,
            name: path.file_name().unwrap_or_default(),
            directory: directory.into(),
        })
    }

    /// The directory itself.
    pub(super) fn directory(&self) -> &File {
        &self.directory
    }

    /// What has this name in the directory, without following a symlink.
    pub(super) fn look(&self, name: &OsStr) -> io::Result<Option<Metadata>> {
        // Opened as a mere path: a device or a pipe does not notice.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.directory, name, flags, Mode::empty()) {
            Ok(found) => File::from(found).metadata().map(Some),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the file for reading. Refuses a symlink, does not wait for a pipe, does not take over
    /// a terminal.
    pub(super) fn open_file(&self) -> io::Result<File> {
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, self.name, flags, Mode::empty())?;
        Ok(file.into())
    }

    /// Whether the path still leads to this directory.
    pub(super) fn is_in_place(&self) -> Result<(), SinkError> {
        let parent = directory_of(self.path);
        let failed = |source| io_error(parent, "look at the directory", source);
        let now = fs::metadata(parent).map_err(failed)?;
        let held = self.directory.metadata().map_err(failed)?;
        if (now.dev(), now.ino()) == (held.dev(), held.ino()) {
            return Ok(());
        }
        let source = io::Error::other("it was moved, or another put in its place");
        Err(io_error(parent, "write into the directory", source))
    }

    /// Makes what was done in the directory durable, where its file system can do that.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_directory(&self.directory)
    }

    /// Removes a name from the directory.
    pub(super) fn unlink(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(
            &self.directory,
            name,
            AtFlags::empty(),
        )?)
    }
}

pub(super) fn sync_directory(directory: &File) -> io::Result<()> {
    match rustix::fs::fsync(directory) {
        // Some network file systems have no such thing as syncing a directory: there, a rename is
        // as durable as it gets once it is answered.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A new file of ours beside the target. Dropping it removes it.
pub(super) struct Temp<'p, 'a> {
    place: &'p Place<'a>,
    name: OsString,
    file: File,
}

impl<'p, 'a> Temp<'p, 'a> {
    /// Creates it, for its owner alone.
    pub(super) fn create(place: &'p Place<'a>) -> io::Result<Self> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..TRIES {
            let name = random_name(place.path)?;
            match rustix::fs::openat(&place.directory, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => {
                    return Ok(Self {
                        place,
                        name,
                        file: file.into(),
                    });
                }
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Gives it another random name.
    pub(super) fn rename_aside(&mut self) -> io::Result<()> {
        let other = random_name(self.place.path)?;
        let directory = &self.place.directory;
        rustix::fs::renameat(directory, &self.name, directory, &other)?;
        self.name = other;
        Ok(())
    }

    /// Puts it in the place of the target.
    pub(super) fn persist(mut self) -> io::Result<()> {
        let directory = &self.place.directory;
        rustix::fs::renameat(directory, &self.name, directory, self.place.name)?;
        // Nothing has this name any more.
        self.name.clear();
        Ok(())
    }

    /// Removes it, and says if that cannot be done.
    pub(super) fn remove(mut self) -> io::Result<()> {
        self.place.unlink(&std::mem::take(&mut self.name))
    }
}

impl Drop for Temp<'_, '_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            // What cannot be removed now is removed by the next clean-up.
            let _left_over = self.place.unlink(&self.name);
        }
    }
}

/// A name of a temporary file for this target; see [`super::is_temp_name`].
pub(super) fn random_name(path: &Path) -> io::Result<OsString> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; RANDOM_LENGTH];
    getrandom(&mut random, GetRandomFlags::empty())?;
    let random = random.map(|byte| LETTERS[usize::from(byte) % LETTERS.len()]);
    let mut name = temp_prefix(path);
    name.push(OsStr::from_bytes(&random));
    Ok(name)
}
