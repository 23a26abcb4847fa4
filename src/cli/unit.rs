//! The systemd unit that the daemon runs as: what it allows, read off its text.
//!
//! Either the unit as it ships, or the one installed on this machine with its drop-ins. Files are
//! read as systemd reads them, without asking it: so it works without a bus, inside the sandbox,
//! and says nothing where there is no systemd. What a policy needs is in `unit/needs.rs`; here
//! stands whether it is allowed. Not known: what the manager was told while running (`systemctl
//! set-property --runtime` is).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::DEFAULT_CONFIG;
use crate::sinks::HOMES;
use requirements::{Host, Requirement};

pub mod requirements;
#[cfg(test)]
pub mod tests;
pub mod words;

/// The unit's name.
const NAME: &str = "ringcx-rotator.service";

const SHIPPED: &str = include_str!("../../systemd/ringcx-rotator.service");
/// Where systemd looks, most important first.
const SEARCHED: [&str; 8] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// What `PrivateTmp=` replaces.
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

/// The `[Service]` section of a unit and its drop-ins, in the order in which systemd reads them.
#[derive(Clone, Debug)]
pub struct Unit {
    settings: Vec<(String, String)>,
}

/// How a unit keeps the daemon from what its policy needs.
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

/// The capabilities that a policy can make necessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Gives a file to another user.
    Chown,
    /// Sets the mode of a file that was given away.
    Fowner,
    /// Reads back a file that only another user may read.
    DacReadSearch,
}

impl Capability {
    /// As units name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chown => "CAP_CHOWN",
            Self::Fowner => "CAP_FOWNER",
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
        }
    }
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
    /// As it ships, without any drop-in.
    pub fn shipped() -> Self {
        let mut unit = Self {
            settings: Vec::new(),
        };
        unit.read(SHIPPED);
        unit
    }

    /// With one more drop-in.
    #[cfg(test)]
    pub fn with(mut self, dropin: &str) -> Self {
        self.read(dropin);
        self
    }

    /// As it is installed on this machine; `None` if it is not. `SYSTEMD_UNIT_PATH` says where to
    /// look, as it does for systemd.
    pub fn installed() -> Option<Self> {
        let told = std::env::var_os("SYSTEMD_UNIT_PATH").filter(|path| !path.is_empty());
        let searched: Vec<PathBuf> = match told {
            Some(path) => std::env::split_paths(&path).collect(),
            None => SEARCHED.iter().map(PathBuf::from).collect(),
        };
        Self::found_in(&searched)
    }

    fn found_in(searched: &[PathBuf]) -> Option<Self> {
        let text = searched
            .iter()
            .find_map(|directory| std::fs::read_to_string(directory.join(NAME)).ok())?;
        let mut unit = Self {
            settings: Vec::new(),
        };
        unit.read(&text);
        // Of two drop-ins of one name the first found counts; they are read in the order of their
        // names.
        let mut dropins: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
        for directory in searched {
            for entry in std::fs::read_dir(directory.join(format!("{NAME}.d")))
                .into_iter()
                .flatten()
                .flatten()
            {
                if entry.path().extension().is_some_and(|it| it == "conf") {
                    dropins
                        .entry(entry.file_name())
                        .or_insert_with(|| entry.path());
                }
            }
        }
        for path in dropins.values() {
            unit.read(&std::fs::read_to_string(path).unwrap_or_default());
        }
        Some(unit)
    }

    fn read(&mut self, text: &str) {
        let mut section = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let mut line = line.trim().to_owned();
            if line.starts_with(['#', ';']) {
                continue;
            }
            while line.ends_with('\\') {
                line.pop();
                // A comment between the parts of a line is skipped.
                let Some(next) = lines
                    .by_ref()
                    .map(str::trim)
                    .find(|it| !it.starts_with(['#', ';']))
                else {
                    break;
                };
                line = format!("{} {next}", line.trim_end());
            }
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                section = name.to_owned();
            } else if let Some((key, value)) = line.split_once('=').filter(|_| section == "Service")
            {
                self.settings
                    .push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
    }

    /// What was said last.
    fn last(&self, key: &str) -> &str {
        self.settings
            .iter()
            .rev()
            .find(|(known, _)| known == key)
            .map_or("", |(_, value)| value)
    }

    /// What was said line by line; an empty value forgets what came before.
    fn lines(&self, key: &str) -> Vec<&str> {
        let mut lines = Vec::new();
        for (_, value) in self.settings.iter().filter(|(known, _)| known == key) {
            if value.is_empty() {
                lines.clear()
            } else {
                lines.push(value.as_str())
            }
        }
        lines
    }

    fn words(&self, key: &str) -> Vec<String> {
        self.lines(key).into_iter().flat_map(words::split).collect()
    }

    fn is_on(&self, key: &str) -> bool {
        ["yes", "true", "on", "1"].contains(&self.last(key).to_ascii_lowercase().as_str())
    }

    /// The user it runs as.
    pub fn user(&self) -> &str {
        let user = self.last("User");
        if user.is_empty() { "root" } else { user }
    }

    /// Its group, and those beside it.
    pub fn groups(&self) -> Vec<String> {
        let own = self.last("Group");
        let own = if own.is_empty() { self.user() } else { own };
        std::iter::once(own.to_owned())
            .chain(self.words("SupplementaryGroups"))
            .collect()
    }

    /// The policy that it reads, where that can be told.
    pub fn config(&self) -> PathBuf {
        let start = words::split(self.last("ExecStart"));
        let flagged = start
            .iter()
            .position(|word| word == "--config" || word == "-c");
        let flagged = flagged.and_then(|at| start.get(at + 1).cloned());
        let joined = start
            .iter()
            .find_map(|word| word.strip_prefix("--config=").map(str::to_owned));
        let variable = self.words("Environment").iter().rev().find_map(|word| {
            let (name, value) = word.split_once('=')?;
            (name == "RINGCX_ROTATOR_CONFIG").then(|| value.to_owned())
        });
        flagged
            .or(joined)
            .or(variable)
            .map_or_else(|| DEFAULT_CONFIG.into(), PathBuf::from)
    }

    /// Where the credential of this name comes from, by the unit.
    pub fn credential(&self, name: &str) -> Option<Credential> {
        let of = |key| {
            let lines = self.lines(key);
            let found = lines.iter().rev().find_map(|line| {
                let (id, rest) = line.split_once(':').unwrap_or((line, line));
                (id == name).then(|| words::unspecified(rest))
            });
            found.map(PathBuf::from)
        };
        if let Some(path) = of("LoadCredential") {
            return Some(Credential::Plain(path));
        }
        if let Some(path) = of("LoadCredentialEncrypted") {
            return Some(Credential::Encrypted(path));
        }
        let inline = [
            "SetCredential",
            "SetCredentialEncrypted",
            "ImportCredential",
        ];
        let given = inline.iter().flat_map(|key| self.lines(key)).any(|line| {
            let id = line.split_once(':').map_or(line, |(id, _)| id);
            id == name
                || id
                    .strip_suffix('*')
                    .is_some_and(|begin| name.starts_with(begin))
        });
        given.then_some(Credential::Inline)
    }

    /// How the unit keeps the daemon from this, if it does.
    pub fn lacks(&self, what: &Requirement, machine: &impl Host) -> Vec<MissingPermission> {
        match what {
            Requirement::Write(directory) => self
                .keeps_from_writing(directory, machine)
                .into_iter()
                .collect(),
            Requirement::Read(file) => self.keeps_from_reading(file, machine).into_iter().collect(),
            Requirement::Group(group) => {
                let id = machine.group_id(group);
                let is_it = |member: &String| {
                    member == group || (id.is_some() && machine.group_id(member) == id)
                };
                let member =
                    self.groups().iter().any(is_it) || machine.is_member(self.user(), group);
                (!member)
                    .then(|| MissingPermission::NoMember(group.clone()))
                    .into_iter()
                    .collect()
            }
            Requirement::Capability(capability) => {
                let has = |key| self.words(key).iter().any(|word| word == capability.name());
                let missing = self.user() != "root" && !has("AmbientCapabilities");
                missing
                    .then_some(MissingPermission::Capability(*capability))
                    .into_iter()
                    .collect()
            }
            Requirement::Credential(name) => {
                let missing = self.credential(name).is_none();
                missing
                    .then(|| MissingPermission::Credential(name.clone()))
                    .into_iter()
                    .collect()
            }
            Requirement::Variable(name) => {
                let set = self
                    .words("Environment")
                    .iter()
                    .any(|word| word.split('=').next() == Some(name))
                    || !self.lines("EnvironmentFile").is_empty()
                    || self.words("PassEnvironment").contains(name);
                (!set)
                    .then(|| MissingPermission::Variable(name.clone()))
                    .into_iter()
                    .collect()
            }
            // No unit can grant it: polkit does, see `systemd_dropin/polkit.rs`.
            Requirement::Manage(..) => Vec::new(),
            Requirement::Policy(path) => (self.config() != *path)
                .then(|| MissingPermission::OtherPolicy(path.clone()))
                .into_iter()
                .collect(),
        }
    }

    fn keeps_from_writing(
        &self,
        directory: &Path,
        machine: &impl Host,
    ) -> Option<MissingPermission> {
        let directory = machine.real(directory);
        let bound = self.covers(&["BindPaths"], &directory, machine);
        if bound == 0 && self.hides_homes() && below_any(&directory, &HOMES) {
            return Some(MissingPermission::HiddenDirectory(directory));
        }
        if bound == 0 && self.has_private_tmp() && below_any(&directory, &TEMPORARY) {
            return Some(MissingPermission::PrivateDirectory(directory));
        }
        let mut writable = self
            .covers(&["ReadWritePaths"], &directory, machine)
            .max(bound);
        for (key, base) in OWN {
            for name in self.words(key) {
                // `name:link` also makes a link.
                let name = name.split(':').next().unwrap_or_default().to_owned();
                writable = writable.max(depth_of(
                    &machine.real(&Path::new(base).join(name)),
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
            .covers(&["ReadOnlyPaths", "InaccessiblePaths"], &directory, machine)
            .max(self.protected(&directory));
        (closed > writable).then_some(MissingPermission::ReadOnly(directory))
    }

    fn keeps_from_reading(&self, file: &Path, machine: &impl Host) -> Option<MissingPermission> {
        let file = machine.real(file);
        let open = self.covers(&["BindPaths", "BindReadOnlyPaths"], &file, machine) > 0;
        if !open && self.hides_homes() && below_any(&file, &HOMES) {
            return Some(MissingPermission::HiddenFile(file));
        }
        let private = !open && self.has_private_tmp() && below_any(&file, &TEMPORARY);
        private.then_some(MissingPermission::PrivateFile(file))
    }

    /// How deep the deepest path of these settings is that this one is in; 0 if it is in none.
    fn covers(&self, keys: &[&str], path: &Path, machine: &impl Host) -> usize {
        let named = keys.iter().flat_map(|key| {
            self.words(key).into_iter().map(|word| {
                let word = word.trim_start_matches(['-', '+']).to_owned();
                // `source:destination:options`
                if key.starts_with("Bind") {
                    word.split(':')
                        .take(2)
                        .last()
                        .unwrap_or_default()
                        .to_owned()
                } else {
                    word
                }
            })
        });
        named
            .map(|named| depth_of(&machine.real(Path::new(&named)), path))
            .max()
            .unwrap_or(0)
    }

    /// The same, for what `ProtectSystem=` closes.
    fn protected(&self, path: &Path) -> usize {
        let system = ["/usr", "/boot", "/efi"];
        let closed: &[&str] = match self.last("ProtectSystem").to_ascii_lowercase().as_str() {
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
        self.is_on("ProtectHome") || self.last("ProtectHome").eq_ignore_ascii_case("tmpfs")
    }

    fn has_private_tmp(&self) -> bool {
        self.is_on("PrivateTmp") || self.last("PrivateTmp").eq_ignore_ascii_case("disconnected")
    }
}

/// Where a credential comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A file that holds it as it is.
    Plain(PathBuf),
    /// A file made by `systemd-creds encrypt`.
    Encrypted(PathBuf),
    /// From the unit itself, or from the manager.
    Inline,
}

fn below_any(path: &Path, bases: &[&str]) -> bool {
    bases.iter().any(|base| path.starts_with(base))
}

/// How many parts `base` has, if the path is in it.
fn depth_of(base: &Path, path: &Path) -> usize {
    if path.starts_with(base) {
        base.components().count()
    } else {
        0
    }
}
