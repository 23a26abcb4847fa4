//! The systemd unit that the daemon runs as, read from its files.
//!
//! Either the unit as shipped, or the one installed on this machine with its drop-ins. The files
//! are read without asking systemd, so this works without a bus and inside the sandbox, and finds
//! nothing where there is no systemd. [`requirements`] says what a policy needs of the unit,
//! [`permissions`] whether the unit allows it. Settings of the running manager (`systemctl
//! set-property --runtime` is an exception, as it writes files) are not known.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::cli::DEFAULT_CONFIG;
use settings::ServiceSettings;

pub mod permissions;
pub mod quoting;
pub mod requirements;
mod settings;
#[cfg(test)]
pub mod tests;

/// The name of the unit's file, in each directory where systemd looks.
const NAME: &str = "ringcx-rotator.service";

const SHIPPED: &str = include_str!("../../../systemd/ringcx-rotator.service");
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
/// The `[Service]` section of a unit and its drop-ins.
#[derive(Clone, Debug)]
pub struct Unit {
    settings: ServiceSettings,
}

impl Unit {
    /// As it ships, without any drop-in.
    pub fn shipped() -> Self {
        Self::parse(SHIPPED)
    }

    fn parse(text: &str) -> Self {
        let mut settings = ServiceSettings::default();
        settings.read(text);
        Self { settings }
    }

    /// With one more drop-in.
    #[cfg(test)]
    pub fn with(mut self, dropin: &str) -> Self {
        self.settings.read(dropin);
        self
    }

    /// As it is installed on this machine; `None` if it is not. `SYSTEMD_UNIT_PATH` says where to
    /// look, as it does for systemd.
    pub fn installed() -> Option<Self> {
        let variable = std::env::var_os("SYSTEMD_UNIT_PATH").filter(|path| !path.is_empty());
        let searched: Vec<PathBuf> = match variable {
            Some(path) => std::env::split_paths(&path).collect(),
            None => SEARCHED.iter().map(PathBuf::from).collect(),
        };
        Self::found_in(&searched)
    }

    fn found_in(searched: &[PathBuf]) -> Option<Self> {
        let text = searched
            .iter()
            .find_map(|directory| std::fs::read_to_string(directory.join(NAME)).ok())?;
        let mut unit = Self::parse(&text);
        // Of two drop-ins of the same name the first found counts. All are read in the order of
        // their names, whatever directory they are in.
        let mut dropins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for directory in searched {
            for entry in std::fs::read_dir(directory.join(format!("{NAME}.d")))
                .into_iter()
                .flatten()
                .flatten()
            {
                if entry
                    .path()
                    .extension()
                    .is_some_and(|suffix| suffix == "conf")
                {
                    dropins
                        .entry(entry.file_name())
                        // A drop-in in `/etc` hides one of the same name in `/usr/lib`, as in
                        // systemd.
                        .or_insert_with(|| entry.path());
                }
            }
        }
        for path in dropins.values() {
            unit.settings
                // An unreadable drop-in counts as empty: this is advice, and must not fail.
                .read(&std::fs::read_to_string(path).unwrap_or_default());
        }
        Some(unit)
    }

    /// The user it runs as.
    pub fn user(&self) -> &str {
        let user = self.settings.last("User");
        if user.is_empty() { "root" } else { user }
    }

    /// Its group, and those beside it.
    pub fn groups(&self) -> Vec<String> {
        let own = self.settings.last("Group");
        // Without `Group=` systemd takes the user's own group, which packages name like the user.
        let own = if own.is_empty() { self.user() } else { own };
        std::iter::once(own.to_owned())
            .chain(self.settings.words("SupplementaryGroups"))
            .collect()
    }

    /// The policy that it reads: by `--config`, by the variable, or the default.
    pub fn config(&self) -> PathBuf {
        let start = quoting::split(self.settings.last("ExecStart"));
        let flagged = start
            .iter()
            .position(|word| word == "--config" || word == "-c");
        let flagged = flagged.and_then(|at| start.get(at + 1).cloned());
        let joined = start
            .iter()
            .find_map(|word| word.strip_prefix("--config=").map(str::to_owned));
        let variable = self
            .settings
            .words("Environment")
            .iter()
            .rev()
            .find_map(|word| {
                let (name, value) = word.split_once('=')?;
                (name == "RINGCX_ROTATOR_CONFIG").then(|| value.to_owned())
            });
        flagged
            .or(joined)
            .or(variable)
            .map_or_else(|| DEFAULT_CONFIG.into(), PathBuf::from)
    }

    /// Where the unit gets the credential of this name from.
    pub fn credential(&self, name: &str) -> Option<Credential> {
        let of = |key| {
            let lines = self.settings.lines(key);
            let found = lines.iter().rev().find_map(|line| {
                let (id, rest) = line.split_once(':').unwrap_or((line, line));
                (id == name).then(|| quoting::unspecified(rest))
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
        let given = inline
            .iter()
            .flat_map(|key| self.settings.lines(key))
            .any(|line| {
                let id = line.split_once(':').map_or(line, |(id, _)| id);
                id == name
                    || id
                        .strip_suffix('*')
                        .is_some_and(|begin| name.starts_with(begin))
            });
        given.then_some(Credential::Inline)
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
