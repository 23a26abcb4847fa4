//! What a policy needs of the unit that runs the daemon.
//!
//! For example, a sink that gives its file to a group needs [`Requirement::Group`]. Everything that
//! has to be looked up on the machine goes through [`Host`]. A new requirement does not compile
//! until `permissions.rs` says when it is missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cli::DEFAULT_CONFIG;
use rotator_core::config::{AccountPolicy, FileAccess, NotifyWhat, Policy, UnitAction};
use rotator_core::secret::SecretSource;

/// One thing that the daemon must be able to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// Make files in this directory.
    Write(PathBuf),
    /// Read this file or directory.
    Read(PathBuf),
    /// Give files to this group, by name or number.
    Group(String),
    /// Do what only this capability allows.
    Capability(Capability),
    /// Have this systemd credential.
    Credential(String),
    /// Have this environment variable.
    Variable(String),
    /// Read its policy here.
    Policy(PathBuf),
    /// Have systemd do this to another unit.
    Manage(String, UnitAction),
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

/// Everything that a policy needs, and which part of it does: `sales-ivr/token-file`,
/// `alerts.email`, with a reason where that is not obvious.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs(BTreeMap<Requirement, Vec<String>>);

/// What has to be asked of the host.
pub trait Host {
    /// The number of this group, by name or number.
    fn group_id(&self, group: &str) -> Option<u32>;
    /// The number of this user, by name or number.
    fn user_id(&self, user: &str) -> Option<u32>;
    /// Whether the group has this user in it.
    fn is_member(&self, user: &str, group: &str) -> bool;
    /// Owner and mode of what is at this path, if something is.
    fn look(&self, path: &Path) -> Option<PathInfo>;
    /// The path without symbolic links, as far as it exists.
    fn real(&self, path: &Path) -> PathBuf;
}

/// Owner and mode of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// Number of the user that owns it.
    pub uid: u32,
    /// Number of the group that it belongs to.
    pub gid: u32,
    /// Permission bits, such as `0o750`, with the set-id and sticky bits.
    pub mode: u32,
    /// Whether it is a directory.
    pub is_directory: bool,
}

impl Needs {
    /// What this policy needs, for a service that runs as this user.
    pub fn of(policy: &Policy, user: &str, host: &impl Host) -> Self {
        let mut needs = Self::default();
        // The unit as shipped reads the default path already.
        if policy.path != Path::new(DEFAULT_CONFIG) {
            needs.add(
                Requirement::Policy(policy.path.clone()),
                "the policy stands there",
            );
            needs.add(
                Requirement::Read(policy.path.clone()),
                "the policy stands there",
            );
        }
        needs.add(
            Requirement::Write(policy.daemon.state_dir.clone()),
            "daemon.state-dir",
        );
        if let Some(directory) = policy.daemon.control_socket.parent() {
            needs.add(
                Requirement::Write(directory.to_owned()),
                "daemon.control-socket",
            );
        }
        if let Some(directory) = &policy.daemon.accounts_dir {
            needs.add(Requirement::Read(directory.clone()), "daemon.accounts-dir");
        }
        if let Some(file) = &policy.ringcx.ca_file {
            needs.add(Requirement::Read(file.clone()), "ringcx.ca-file");
        }
        for secret in policy.ringcx.network.secrets() {
            needs.secret(secret, "network");
        }
        for account in &policy.accounts {
            needs.account(account, user, host);
        }
        if let Some(email) = &policy.alerts.email {
            if let Some(password) = &email.password {
                needs.secret(password, "alerts.email");
            }
            if let Some(file) = &email.ca_file {
                needs.add(Requirement::Read(file.clone()), "alerts.email");
            }
        }
        needs
    }

    /// In a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&Requirement, &[String])> {
        self.0.iter().map(|(what, whose)| (what, whose.as_slice()))
    }

    fn account(&mut self, account: &AccountPolicy, user: &str, host: &impl Host) {
        for source in account.login.secrets() {
            self.secret(source, &account.name);
        }
        for sink in &account.sinks {
            let whose = format!("{}/{}", account.name, sink.name);
            // A sink that runs a program needs what the program needs, which is not known here.
            if let Some(path) = sink.kind.path() {
                self.file(path, &sink.kind.access(), &whose, user, host);
            }
            if let Some(secret) = sink.kind.secret() {
                self.secret(secret, &whose);
            }
            match sink.notify.as_ref().map(|notify| &notify.what) {
                Some(NotifyWhat::Unit { unit, action }) => {
                    self.add(Requirement::Manage(unit.clone(), *action), &whose);
                }
                // What the program needs is not known here.
                Some(NotifyWhat::Program(_)) | None => {}
            }
            // The directory and not the file: the consumer may replace the file, and a file that is
            // mounted alone would stay the old one.
            if let Some(directory) = sink.acknowledge.as_ref().and_then(|ack| ack.path.parent()) {
                self.add(Requirement::Read(directory.to_owned()), &whose);
            }
        }
    }

    /// A file that is replaced as a whole, and read back.
    fn file(
        &mut self,
        path: &Path,
        access: &FileAccess,
        whose: &str,
        user: &str,
        host: &impl Host,
    ) {
        if let Some(directory) = path.parent() {
            self.add(Requirement::Write(directory.to_owned()), whose);
        }
        if let Some(group) = &access.group {
            self.add(Requirement::Group(group.clone()), whose);
        }
        let us = host.user_id(user);
        let Some(owner) = &access.owner else { return };
        // A file that stays with the service's own user takes no capability.
        if owner == user || (us.is_some() && host.user_id(owner) == us) {
            return;
        }
        let whose = format!("{whose} (owner {owner})");
        self.add(Requirement::Capability(Capability::Chown), &whose);
        self.add(Requirement::Capability(Capability::Fowner), &whose);
        // An existing env-file keeps its mode where the policy is silent.
        let mode = access
            .mode
            .or(host.look(path).map(|found| found.mode))
            .unwrap_or(0o600);
        // Neither everyone nor a group of the service may read it back.
        if mode & 0o004 == 0 && (mode & 0o040 == 0 || access.group.is_none()) {
            self.add(Requirement::Capability(Capability::DacReadSearch), &whose);
        }
    }

    fn secret(&mut self, source: &SecretSource, whose: &str) {
        let what = match source {
            SecretSource::Credential(name) => Requirement::Credential(name.clone()),
            SecretSource::File(path) => Requirement::Read(path.clone()),
            SecretSource::Env(name) => Requirement::Variable(name.clone()),
            // What the command needs is not known here.
            SecretSource::Command(_) => return,
        };
        self.add(what, whose);
    }

    fn add(&mut self, what: Requirement, whose: &str) {
        let all = self.0.entry(what).or_default();
        // One sink can need the same thing twice, and is named once.
        if !all.iter().any(|known| known == whose) {
            all.push(whose.to_owned());
        }
    }
}

/// The host that this process runs on: its users, groups and files.
pub struct RealHost;

impl Host for RealHost {
    fn group_id(&self, group: &str) -> Option<u32> {
        uzers::get_group_by_name(group)
            .map(|group| group.gid())
            // Names first: a group may have a name of digits.
            .or_else(|| group.parse().ok())
    }

    fn user_id(&self, user: &str) -> Option<u32> {
        uzers::get_user_by_name(user)
            .map(|user| user.uid())
            .or_else(|| user.parse().ok())
    }

    fn is_member(&self, user: &str, group: &str) -> bool {
        let (Some(user), Some(group)) = (uzers::get_user_by_name(user), self.group_id(group))
        else {
            return false;
        };
        let groups =
            uzers::get_user_groups(user.name(), user.primary_group_id()).unwrap_or_default();
        groups.iter().any(|member| member.gid() == group)
    }

    fn look(&self, path: &Path) -> Option<PathInfo> {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata(path).ok()?;
        Some(PathInfo {
            uid: found.uid(),
            gid: found.gid(),
            mode: found.mode() & 0o7777,
            is_directory: found.is_dir(),
        })
    }

    fn real(&self, path: &Path) -> PathBuf {
        let existing = path
            .ancestors()
            .find_map(|begin| Some((begin, std::fs::canonicalize(begin).ok()?)));
        match existing {
            Some((begin, real)) => {
                let rest = path.strip_prefix(begin).unwrap_or(Path::new(""));
                // Joining an empty path would add a slash at the end.
                if rest.as_os_str().is_empty() {
                    real
                } else {
                    real.join(rest)
                }
            }
            None => path.to_owned(),
        }
    }
}
