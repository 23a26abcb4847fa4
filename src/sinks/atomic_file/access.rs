//! Who may read a file: from the names of the policy to the bits on a handle.
//!
//! Does not know where the file is or how it gets there. Names are looked up at each use, so a user
//! that was added while we run is found; the lookup asks the system's name service and blocks.

use std::fs::{File, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use super::{SinkError, io_error};
use rotator_core::config::FileAccess;

/// The mode of a new file where the policy is silent.
const PRIVATE: u32 = 0o600;
const PERMISSIONS: u32 = 0o7777;

/// Mode, owner and group of the file to come. Owner and group are left alone where there is none.
pub(super) struct FileAttrs {
    mode: u32,
    owner: Option<u32>,
    group: Option<u32>,
}

impl FileAttrs {
    /// As the policy says, else as the existing file has it, else 0600 and ours.
    pub(super) fn resolve(
        access: &FileAccess,
        existing: Option<&Metadata>,
    ) -> Result<Self, SinkError> {
        let kept_mode = existing.map(|existing| existing.mode() & PERMISSIONS);
        Ok(Self {
            mode: access.mode.or(kept_mode).unwrap_or(PRIVATE),
            owner: owner_of(access)?.or(existing.map(MetadataExt::uid)),
            group: group_of(access)?.or(existing.map(MetadataExt::gid)),
        })
    }

    /// Gives the open file its mode, owner and group. At no moment may a user read it who may not
    /// in the end: first the bits of the owner alone, then owner and group, then the whole mode.
    /// That comes last also because a change of the owner clears some bits.
    pub(super) fn apply(&self, file: &File, path: &Path) -> Result<(), SinkError> {
        let mode = |mode: u32| {
            file.set_permissions(Permissions::from_mode(mode))
                .map_err(|source| io_error(path, "set its mode", source))
        };
        let now = file
            .metadata()
            .map_err(|source| io_error(path, "look at the new file", source))?;
        mode(self.mode & PRIVATE)?;
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
        mode(self.mode)
    }
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
