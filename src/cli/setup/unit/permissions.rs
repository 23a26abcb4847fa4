//! What a unit does not permit of what a policy needs.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Unit;
use super::requirements::{Capability, Host, Requirement};
use crate::sinks::HOMES;

/// The directories that `PrivateTmp=` replaces by empty ones of the service.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];
/// What `ProtectSystem=` never makes read-only.
const KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];
/// Settings that name directories below a fixed one, all of them writable.
const OWN: [(&str, &str); 5] = [
    ("StateDirectory", "/var/lib"),
    ("RuntimeDirectory", "/run"),
    ("CacheDirectory", "/var/cache"),
    ("LogsDirectory", "/var/log"),
    ("ConfigurationDirectory", "/etc"),
];

/// Why the service cannot do what its policy needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MissingPermission {
    /// Mounted read-only for the service.
    ReadOnly(PathBuf),
    /// Hidden by `ProtectHome=`; the daemon writes below.
    HiddenDirectory(PathBuf),
    /// Hidden by `ProtectHome=`; the daemon reads it.
    HiddenFile(PathBuf),
    /// In a directory of the service's own that others do not see; the daemon writes below.
    PrivateDirectory(PathBuf),
    /// In a directory of the service's own, so what others put there is not seen.
    PrivateFile(PathBuf),
    /// Files go to a group that the service is no member of.
    NoMember(String),
    /// A capability it does not have.
    Capability(Capability),
    /// A credential it is not given.
    Credential(String),
    /// An environment variable it is not given.
    Variable(String),
    /// It reads another policy.
    OtherPolicy(PathBuf),
}

impl fmt::Display for MissingPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadOnly(path) => write!(f, "{} is read-only for the service", path.display()),
            Self::HiddenDirectory(path) | Self::HiddenFile(path) => {
                write!(
                    f,
                    "{} is hidden from the service by ProtectHome=",
                    path.display()
                )
            }
            Self::PrivateDirectory(path) => write!(
                f,
                "{} is the service's own by PrivateTmp=, so no reader sees what is written there",
                path.display()
            ),
            Self::PrivateFile(path) => {
                write!(
                    f,
                    "{} is not seen by the service, which has a /tmp of its own by PrivateTmp=",
                    path.display()
                )
            }
            Self::NoMember(group) => {
                write!(
                    f,
                    "the service is not in group {group}, so it cannot give files to it"
                )
            }
            Self::Capability(capability) => {
                write!(
                    f,
                    "giving files to another user takes {}",
                    capability.name()
                )
            }
            Self::Credential(name) => write!(f, "the service is not given the credential {name}"),
            Self::Variable(name) => {
                write!(
                    f,
                    "the service is not given the environment variable {name}"
                )
            }
            Self::OtherPolicy(path) => {
                write!(
                    f,
                    "the service reads another policy than {}",
                    path.display()
                )
            }
        }
    }
}

impl Unit {
    /// The permissions that the unit does not give and this requirement needs; mostly one or none.
    pub fn missing(&self, requirement: &Requirement, host: &impl Host) -> Vec<MissingPermission> {
        let missing = match requirement {
            Requirement::Write(directory) => self.missing_to_write(directory, host),
            Requirement::Read(file) => self.missing_to_read(file, host),
            Requirement::Group(group) => {
                (!self.is_in(group, host)).then(|| MissingPermission::NoMember(group.clone()))
            }
            Requirement::Capability(capability) => {
                let ambient = self.settings.words("AmbientCapabilities");
                let has =
                    // Root has every capability that the bounding set leaves it.
                    self.user() == "root" || ambient.iter().any(|word| word == capability.name());
                (!has).then_some(MissingPermission::Capability(*capability))
            }
            Requirement::Credential(name) => {
                let has = self.credential(name).is_some();
                (!has).then(|| MissingPermission::Credential(name.clone()))
            }
            Requirement::Variable(name) => {
                (!self.has_variable(name)).then(|| MissingPermission::Variable(name.clone()))
            }
            // No unit can grant it: polkit does, see `systemd_dropin/polkit.rs`.
            Requirement::Manage(..) => None,
            Requirement::Policy(path) => {
                (self.config() != *path).then(|| MissingPermission::OtherPolicy(path.clone()))
            }
        };
        missing.into_iter().collect()
    }

    fn is_in(&self, group: &str, host: &impl Host) -> bool {
        let id = host.group_id(group);
        let is_it =
            |member: &String| member == group || (id.is_some() && host.group_id(member) == id);
        self.groups().iter().any(is_it) || host.is_member(self.user(), group)
    }

    /// A file of variables may set any of them, so it counts.
    fn has_variable(&self, name: &str) -> bool {
        let set = self.settings.words("Environment");
        set.iter().any(|word| word.split('=').next() == Some(name))
            || !self.settings.lines("EnvironmentFile").is_empty()
            || self
                .settings
                .words("PassEnvironment")
                .iter()
                .any(|passed| passed == name)
    }

    fn missing_to_write(&self, directory: &Path, host: &impl Host) -> Option<MissingPermission> {
        // systemd mounts what a link leads to, so paths are compared without links.
        let directory = host.real(directory);
        let bound = self.depth_in(&["BindPaths"], &directory, host);
        if bound == 0 && self.hides_homes() && below_any(&directory, &HOMES) {
            return Some(MissingPermission::HiddenDirectory(directory));
        }
        if bound == 0 && self.has_private_tmp() && below_any(&directory, &TEMPORARY) {
            return Some(MissingPermission::PrivateDirectory(directory));
        }
        let mut writable = self
            .depth_in(&["ReadWritePaths"], &directory, host)
            .max(bound);
        for (key, base) in OWN {
            for name in self.settings.words(key) {
                // `name:link` also creates a symbolic link.
                let name = name.split(':').next().unwrap_or_default().to_owned();
                writable = writable.max(depth_of(
                    &host.real(&Path::new(base).join(name)),
                    &directory,
                ));
            }
        }
        if below_any(&directory, &KERNEL)
            || (self.has_private_tmp() && below_any(&directory, &TEMPORARY))
        {
            writable = writable.max(1);
        }
        let closed = self
            .depth_in(&["ReadOnlyPaths", "InaccessiblePaths"], &directory, host)
            .max(self.protected_depth(&directory));
        // Not `>=`: what `ProtectSystem=strict` leaves out has the depth of `/` itself.
        (closed > writable).then_some(MissingPermission::ReadOnly(directory))
    }

    fn missing_to_read(&self, file: &Path, host: &impl Host) -> Option<MissingPermission> {
        let file = host.real(file);
        let open = self.depth_in(&["BindPaths", "BindReadOnlyPaths"], &file, host) > 0;
        if !open && self.hides_homes() && below_any(&file, &HOMES) {
            return Some(MissingPermission::HiddenFile(file));
        }
        let private = !open && self.has_private_tmp() && below_any(&file, &TEMPORARY);
        private.then_some(MissingPermission::PrivateFile(file))
    }

    /// The depth of the deepest path in these settings that contains `path`; 0 if none does. Of two
    /// settings that contradict each other, systemd applies the one with the deeper path.
    fn depth_in(&self, keys: &[&str], path: &Path, host: &impl Host) -> usize {
        let named = keys.iter().flat_map(|key| {
            let words: Vec<String> = if key.starts_with("Bind") {
                let binds = self.settings.binds(key).into_iter();
                // `source:destination:options`: the destination is what the service sees; without
                // one it is the source.
                let seen = |parts: Vec<String>| parts.into_iter().take(2).next_back();
                binds.filter_map(seen).collect()
            } else {
                self.settings.words(key)
            };
            // The prefixes say how a missing path is treated, not which path it is.
            words
                .into_iter()
                .map(|word| word.trim_start_matches(['-', '+']).to_owned())
        });
        named
            .map(|named| depth_of(&host.real(Path::new(&named)), path))
            .max()
            .unwrap_or(0)
    }

    /// The same for the directories that `ProtectSystem=` makes read-only.
    fn protected_depth(&self, path: &Path) -> usize {
        let system = ["/usr", "/boot", "/efi"];
        let closed: &[&str] = match self
            .settings
            .last("ProtectSystem")
            .to_ascii_lowercase()
            .as_str()
        {
            "strict" => &["/"],
            "full" => &["/usr", "/boot", "/efi", "/etc"],
            "yes" | "true" | "on" | "1" => &system,
            _off => &[],
        };
        closed
            .iter()
            .map(|closed| depth_of(Path::new(closed), path))
            .max()
            .unwrap_or(0)
    }

    fn hides_homes(&self) -> bool {
        self.settings.is_on("ProtectHome")
            || self
                .settings
                .last("ProtectHome")
                .eq_ignore_ascii_case("tmpfs")
    }

    fn has_private_tmp(&self) -> bool {
        self.settings.is_on("PrivateTmp")
            || self
                .settings
                .last("PrivateTmp")
                .eq_ignore_ascii_case("disconnected")
    }
}

fn below_any(path: &Path, bases: &[&str]) -> bool {
    bases.iter().any(|base| path.starts_with(base))
}

/// The number of components of `base` if it contains `path`, else 0.
fn depth_of(base: &Path, path: &Path) -> usize {
    if path.starts_with(base) {
        base.components().count()
    } else {
        0
    }
}
