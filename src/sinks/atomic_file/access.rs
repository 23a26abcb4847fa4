//! Who may read a file: from the names of the policy to the bits on a handle.
//!
//! Does not know where the file is or how it gets there. Names are looked up at each use, so a user
//! that was added while we run is found; the lookup asks the system's name service and blocks.

use std::fs::{File, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use super::extended::Extended;
use super::place::Place;
use super::{SinkError, io_error, target};
use rotator_core::config::FileAccess;

/// The mode of a new file where the policy is silent.
const PRIVATE: u32 = 0o600;
const PERMISSIONS: u32 = 0o7777;

/// Mode, owner, group and further attributes of the file to come. Owner and group are left alone
/// where there is none.
pub(super) struct FileAttrs {
    mode: u32,
    owner: Option<u32>,
    group: Option<u32>,
    /// None where there is no file to keep them from.
    extended: Option<Extended>,
}

impl FileAttrs {
    /// As the policy says, else as the existing file has it, else 0600 and ours.
    pub(super) fn resolve(
        access: &FileAccess,
        place: &Place<'_>,
        existing: Option<&Metadata>,
    ) -> Result<Self, SinkError> {
        let owner = owner_of(access)?;
        // Of a file that somebody may have planted, nothing is kept that lets its planter read.
        let kept = existing.filter(|existing| {
            owner == Some(existing.uid()) || target::is_trusted(place, existing)
        });
        let kept_mode = kept.map(|existing| existing.mode() & PERMISSIONS);
        let mode = access.mode.or(kept_mode).unwrap_or(PRIVATE);
        let extended = match kept {
            Some(existing) => Some(kept_extended(place, existing, mode)?),
            None => None,
        };
        Ok(Self {
            mode,
            owner: owner.or(existing.map(MetadataExt::uid)),
            group: group_of(access)?.or(kept.map(MetadataExt::gid)),
            extended,
        })
    }

    /// Gives the open file its mode, owner, group and attributes, and looks at what it got. At no
    /// moment may a user read it who may not in the end: first the bits of the owner alone, then
    /// owner and group, then the access control list, then the whole mode. That comes last also
    /// because a change of the owner clears some bits.
    pub(super) fn apply(&self, file: &File, path: &Path) -> Result<(), SinkError> {
        let mode = |mode: u32| {
            file.set_permissions(Permissions::from_mode(mode))
                .map_err(|source| io_error(path, "set its mode", source))
        };
        let now = file
            .metadata()
            .map_err(|source| io_error(path, "look at the new file", source))?;
        mode(self.mode & PRIVATE)?;
        if let Some(extended) = &self.extended {
            extended.apply_labels(file, path)?;
        }
        // The group first: once the file is given away, its group is not ours to set.
        if let Some(group) = self.group.filter(|group| *group != now.gid()) {
            fchown(file, None, Some(group)).map_err(|source| {
                io_error(
                    path,
                    "set its group (only root, or a member of that group, may)",
                    source,
                )
            })?;
        }
        if let Some(owner) = self.owner.filter(|owner| *owner != now.uid()) {
            fchown(file, Some(owner), None)
                .map_err(|source| io_error(path, "set its owner (only root may)", source))?;
        }
        if let Some(extended) = &self.extended {
            extended.apply_acl(file, self.mode, path)?;
        }
        mode(self.mode)?;
        if let Some(extended) = &self.extended {
            extended.finish(file, self.mode, path)?;
        }
        self.verify(file, path)
    }

    /// A mount may take a mode or an owner, say so, and ignore it.
    pub(super) fn verify(&self, file: &File, path: &Path) -> Result<(), SinkError> {
        let got = file
            .metadata()
            .map_err(|source| io_error(path, "look at the new file", source))?;
        let ignored = |what: &str, got: String, wanted: String| SinkError::Unfit {
            path: path.to_owned(),
            why: format!(
                "a new file got the {what} {got} instead of {wanted}: its mount ignores it; use \
                 a directory on another file system, or mount this one with the {what}"
            ),
        };
        let mode = got.mode() & PERMISSIONS;
        if mode != self.mode {
            let (got, wanted) = (format!("{mode:04o}"), format!("{:04o}", self.mode));
            return Err(ignored("mode", got, wanted));
        }
        for (what, wanted, got) in [
            ("owner", self.owner, got.uid()),
            ("group", self.group, got.gid()),
        ] {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != got) {
                return Err(ignored(what, got.to_string(), wanted.to_string()));
            }
        }
        Ok(())
    }
}

/// What the existing file has beside mode and owner. An error if it cannot be kept.
fn kept_extended(place: &Place<'_>, existing: &Metadata, mode: u32) -> Result<Extended, SinkError> {
    let failed = |source| io_error(place.path, "open it to see who may read it", source);
    let file = place.open_file().map_err(failed)?;
    let opened = file.metadata().map_err(failed)?;
    if (opened.dev(), opened.ino()) != (existing.dev(), existing.ino()) {
        return Err(super::changed(place.path));
    }
    let extended = Extended::of(&file, place.path)?;
    extended.fits(mode, place.path)?;
    Ok(extended)
}

/// How the file differs from what the policy sets, for example `its mode is 0644, the policy says
/// 0600`. What the policy leaves open is no drift.
pub fn drift(access: &FileAccess, metadata: &Metadata) -> Result<Option<String>, SinkError> {
    let got = metadata.mode() & PERMISSIONS;
    if let Some(expected) = access.mode.filter(|expected| *expected != got) {
        return Ok(Some(format!(
            "its mode is {got:04o}, the policy says {expected:04o}"
        )));
    }
    // The first difference is enough: a delivery sets all of them.
    for (what, expected, got) in [
        ("owner", owner_of(access)?, metadata.uid()),
        ("group", group_of(access)?, metadata.gid()),
    ] {
        if let Some(expected) = expected.filter(|expected| *expected != got) {
            return Ok(Some(format!(
                "its {what} has the id {got}, the policy says {expected}"
            )));
        }
    }
    Ok(None)
}

/// The policy's owner, where it sets one that this machine knows.
pub(super) fn policy_owner(access: &FileAccess) -> Option<u32> {
    // An unknown name is an error of the delivery; for a clean-up it only names no owner.
    owner_of(access).ok().flatten()
}

fn owner_of(access: &FileAccess) -> Result<Option<u32>, SinkError> {
    access
        .owner
        .as_deref()
        .map(|name| {
            id("user", name, |name| {
                uzers::get_user_by_name(name).map(|user| user.uid())
            })
        })
        .transpose()
}

fn group_of(access: &FileAccess) -> Result<Option<u32>, SinkError> {
    access
        .group
        .as_deref()
        .map(|name| {
            id("group", name, |name| {
                uzers::get_group_by_name(name).map(|group| group.gid())
            })
        })
        .transpose()
}

/// A name wins over a number, as with `chown`. The highest number means "unchanged" to the system,
/// so it is not an id.
fn id(
    what: &'static str,
    name: &str,
    find: impl Fn(&str) -> Option<u32>,
) -> Result<u32, SinkError> {
    find(name)
        .or_else(|| name.parse().ok().filter(|id| *id != u32::MAX))
        .ok_or_else(|| SinkError::UnknownName {
            what,
            name: name.to_owned(),
        })
}
