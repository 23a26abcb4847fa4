//! What a file has beside its mode and owner: access control lists, labels, other attributes.
//!
//! They are kept, or the replacement is refused: a reader that an ACL lets in must not find itself
//! shut out by the next token, and nobody may be let in by a copy of half of it. An ACL is one of
//! the attributes (`system.posix_acl_access`); see acl(5) and xattr(7).

use std::ffi::{CStr, CString};
use std::fs::File;
use std::path::Path;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

use super::{SinkError, io_error};

/// The kernel's limit for a list of names and for a value. In bytes.
const LARGEST: usize = 64 * 1024;
const ACL: &CStr = c"system.posix_acl_access";
/// What others keep in a namespace of the file system itself, such as ACLs of NFSv4.
const SYSTEM: &[u8] = b"system.";
/// These speak of the bytes that the file had, so a file with new bytes must not have them.
const OF_CONTENT: [&CStr; 3] = [c"security.capability", c"security.ima", c"security.evm"];

/// The attributes that a new file is to have.
pub(super) struct Extended {
    acl: Option<Acl>,
    others: Vec<(CString, Vec<u8>)>,
}

impl Extended {
    /// Those of an open file.
    pub(super) fn of(file: &File, path: &Path) -> Result<Self, SinkError> {
        let failed = |error: Errno| io_error(path, "read its extended attributes", error.into());
        let mut others = Vec::new();
        let mut acl = None;
        for name in names(file).map_err(failed)? {
            let Some(value) = value(file, &name).map_err(failed)? else {
                continue;
            };
            if name.as_c_str() == ACL {
                acl = Some(Acl::parse(value).ok_or_else(|| {
                    SinkError::Unfit {
                        path: path.to_owned(),
                        why:
                            "has an access control list of an unknown form: run `setfacl -b` on it"
                                .to_owned(),
                    }
                })?);
            } else if !OF_CONTENT.contains(&name.as_c_str()) {
                others.push((name, value));
            }
        }
        Ok(Self { acl, others })
    }

    /// An error where this mode would shut out whom the ACL lets in.
    pub(super) fn fits(&self, mode: u32, path: &Path) -> Result<(), SinkError> {
        let Some(mask) = self.acl.as_ref().and_then(Acl::mask) else {
            return Ok(());
        };
        if mask & !group_bits(mode) == 0 {
            return Ok(());
        }
        let wider = mode | u32::from(mask) << 3;
        Err(SinkError::Unfit {
            path: path.to_owned(),
            why: format!(
                "has an access control list, which the mode {mode:04o} would cut off: set \
                 `mode = \"{wider:04o}\"` in the policy to keep it, or run `setfacl -b` on the file"
            ),
        })
    }

    /// Sets all but the ACL, while only we have the new file.
    pub(super) fn apply_labels(&self, file: &File, path: &Path) -> Result<(), SinkError> {
        self.set(file, path, |name| !name.to_bytes().starts_with(SYSTEM))
    }

    /// Sets the ACL, cut to fit this mode. Without one, the file gets none either, although its
    /// directory may give one to new files.
    pub(super) fn apply_acl(&self, file: &File, mode: u32, path: &Path) -> Result<(), SinkError> {
        let failed = |error: Errno| io_error(path, "keep its access control list", error.into());
        match &self.acl {
            Some(acl) => {
                fsetxattr(file, ACL, &acl.with_mode(mode), XattrFlags::empty()).map_err(failed)
            }
            None => match fremovexattr(file, ACL) {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
                Err(error) => Err(failed(error)),
            },
        }
    }

    /// Sets what the file system keeps for itself, and says if the ACL is not as it was set.
    pub(super) fn finish(&self, file: &File, mode: u32, path: &Path) -> Result<(), SinkError> {
        self.set(file, path, |name| name.to_bytes().starts_with(SYSTEM))?;
        let got = value(file, ACL)
            .map_err(|error| io_error(path, "look at its access control list", error.into()))?;
        // Without an extended list, some file systems show the mode as one.
        let got = got.and_then(Acl::parse).filter(|got| got.mask().is_some());
        let wanted = self.acl.as_ref().filter(|acl| acl.mask().is_some());
        if got.as_ref().map(|acl| &acl.0) == wanted.map(|acl| acl.with_mode(mode)).as_ref() {
            return Ok(());
        }
        Err(SinkError::Unfit {
            path: path.to_owned(),
            why: "its access control list cannot be kept by this file system: run `setfacl -b` \
                  on it, or name another directory"
                .to_owned(),
        })
    }

    fn set(
        &self,
        file: &File,
        path: &Path,
        wanted: impl Fn(&CStr) -> bool,
    ) -> Result<(), SinkError> {
        for (name, kept) in self.others.iter().filter(|(name, _)| wanted(name)) {
            // Not set again where the directory gave it already: setting a label is a right of its
            // own, which the service need not have then.
            if value(file, name).is_ok_and(|now| now.as_ref() == Some(kept)) {
                continue;
            }
            fsetxattr(file, name.as_c_str(), kept, XattrFlags::empty()).map_err(|error| {
                let name = name.to_string_lossy();
                SinkError::Unfit {
                    path: path.to_owned(),
                    why: format!(
                        "has the extended attribute {name}, which cannot be kept ({}): run \
                         `setfattr -x {name}` on it, or let the service set it",
                        std::io::Error::from(error)
                    ),
                }
            })?;
        }
        Ok(())
    }
}

/// An access control list as the kernel has it: a version, then entries of tag, permissions and id.
struct Acl(Vec<u8>);

impl Acl {
    const VERSION: [u8; 4] = 2_u32.to_le_bytes();
    const ENTRY: usize = 8;
    const OWNER: u16 = 0x01;
    const GROUP: u16 = 0x04;
    const MASK: u16 = 0x10;
    const OTHER: u16 = 0x20;

    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let entries = bytes.strip_prefix(&Self::VERSION)?;
        (entries.len() % Self::ENTRY == 0 && !entries.is_empty()).then_some(Self(bytes))
    }

    fn mask(&self) -> Option<u16> {
        let mut entries = self.0[Self::VERSION.len()..].chunks_exact(Self::ENTRY);
        let mask = entries.find(|entry| tag(entry) == Self::MASK)?;
        Some(u16::from_le_bytes([mask[2], mask[3]]))
    }

    /// The same, with the permissions that a mode has a say in.
    fn with_mode(&self, mode: u32) -> Vec<u8> {
        let has_mask = self.mask().is_some();
        let mut bytes = self.0.clone();
        for entry in bytes[Self::VERSION.len()..].chunks_exact_mut(Self::ENTRY) {
            let bits = match tag(entry) {
                Self::OWNER => mode >> 6 & 7,
                Self::MASK => mode >> 3 & 7,
                // With a mask, the group's own permissions are not in the mode.
                Self::GROUP if !has_mask => mode >> 3 & 7,
                Self::OTHER => mode & 7,
                _named => continue,
            };
            entry[2..4].copy_from_slice(&(bits as u16).to_le_bytes());
        }
        bytes
    }
}

fn tag(entry: &[u8]) -> u16 {
    u16::from_le_bytes([entry[0], entry[1]])
}

fn group_bits(mode: u32) -> u16 {
    (mode >> 3 & 7) as u16
}

/// The names of a file's attributes; none where its file system has no such thing.
fn names(file: &File) -> Result<Vec<CString>, Errno> {
    let mut list = vec![0; LARGEST];
    let length = match flistxattr(file, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => 0,
        Err(error) => return Err(error),
    };
    let names = list[..length].split(|byte| *byte == 0);
    Ok(names
        .filter(|name| !name.is_empty())
        .filter_map(|name| CString::new(name).ok())
        .collect())
}

/// None if it has been removed, or cannot exist.
fn value(file: &File, name: &CStr) -> Result<Option<Vec<u8>>, Errno> {
    let mut value = vec![0; LARGEST];
    match fgetxattr(file, name, &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error),
    }
}
