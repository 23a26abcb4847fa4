//! From a missing permission to the settings that give it.

use std::path::Path;

use serde::Serialize;

use super::places;
use crate::cli::setup::unit::permissions::MissingPermission;
use crate::cli::setup::unit::quoting::{quote, quote_bind};
use crate::cli::setup::unit::requirements::{Capability, Host};
use rotator_core::config::Policy;

/// One setting of the drop-in.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct DropInLine {
    /// The key, such as `ReadWritePaths`.
    pub setting: &'static str,
    /// The value, quoted for systemd.
    pub value: String,
    /// The reason, as a comment.
    pub because: String,
    /// What must be done first; until then the line is a comment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// What else must be done for the line to be of use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also: Option<String>,
}

impl DropInLine {
    fn new(setting: &'static str, value: String, because: String) -> Self {
        Self {
            setting,
            value,
            because,
            first: None,
            also: None,
        }
    }
}

/// Writes the lines for a policy.
pub struct DropInWriter<'w, H> {
    pub policy: &'w Policy,
    pub host: &'w H,
    pub user: &'w str,
    /// The groups, by number, that the service will be in.
    pub groups: Vec<u32>,
}

impl<H: Host> DropInWriter<'_, H> {
    /// The lines that give a permission. `users` are the parts of the policy that need it.
    pub fn lines(&self, missing: &MissingPermission, users: &str) -> Vec<DropInLine> {
        match missing {
            MissingPermission::ReadOnly(directory) => {
                let because = format!(
                    "{users}: files are written there, and ProtectSystem=strict makes it \
                     read-only."
                );
                vec![self.directory("ReadWritePaths", directory, because)]
            }
            MissingPermission::HiddenDirectory(directory) => {
                let because = format!("{users}: files are written there.");
                vec![
                    open_homes(),
                    self.directory("BindPaths", directory, because),
                ]
            }
            MissingPermission::HiddenFile(file) => {
                let because = format!("{users}: is read from there.");
                vec![open_homes(), visible_file(file, because)]
            }
            MissingPermission::PrivateDirectory(directory) => {
                vec![self.temporary_directory(directory, users)]
            }
            MissingPermission::PrivateFile(file) => {
                let because = format!(
                    "{users}: is read from there, and PrivateTmp=yes gives the service a /tmp of \
                     its own."
                );
                vec![visible_file(file, because)]
            }
            MissingPermission::NoMember(group) => vec![self.group(group, users)],
            MissingPermission::Capability(capability) => capability_lines(*capability, users),
            MissingPermission::Credential(name) => vec![self.credential(name, users)],
            MissingPermission::Variable(name) => vec![variable(name, users)],
            MissingPermission::OtherPolicy(path) => vec![DropInLine::new(
                "Environment",
                quote(&format!("RINGCX_ROTATOR_CONFIG={}", path.display())),
                "The policy is not where the unit looks for it.".to_owned(),
            )],
        }
    }

    fn directory(&self, setting: &'static str, directory: &Path, because: String) -> DropInLine {
        DropInLine {
            also: self.directory_advice(directory),
            ..DropInLine::new(setting, optional(setting, directory), because)
        }
    }

    fn temporary_directory(&self, directory: &Path, users: &str) -> DropInLine {
        // /tmp itself cannot be bound into a private /tmp.
        if [Path::new("/tmp"), Path::new("/var/tmp")].contains(&directory) {
            let because = format!(
                "{users}: files are written straight into {}, and PrivateTmp=yes gives the \
                 service one of its own that no reader sees. A directory of its own, such as \
                 /run/ringcx-rotator/tokens, is safer.",
                directory.display()
            );
            return DropInLine::new("PrivateTmp", "no".to_owned(), because);
        }
        let because = format!(
            "{users}: files are written there, and PrivateTmp=yes gives the service a /tmp of its \
             own that no reader sees."
        );
        self.directory("BindPaths", directory, because)
    }

    fn group(&self, group: &str, users: &str) -> DropInLine {
        // systemd refuses to start a unit that names an unknown group.
        let missing = self.host.group_id(group).is_none().then(|| {
            format!(
                "There is no group {group}, and with this line the service would not start: run \
                 `groupadd --system {group}`, then print this again."
            )
        });
        let because = format!(
            "{users}: gives files to this group. Members may do so, so it takes no capability."
        );
        DropInLine {
            first: missing,
            ..DropInLine::new("SupplementaryGroups", quote(group), because)
        }
    }

    /// The encrypted file if there is one, else the plain one.
    fn credential(&self, name: &str, users: &str) -> DropInLine {
        let (plain, encrypted) = places(&self.policy.path, name);
        // No quoting but the percent sign: systemd takes the rest of this line as it is.
        let value = |path: &Path| format!("{name}:{}", path.display()).replace('%', "%%");
        let because =
            format!("{users}: systemd reads it as root and hands it to the service alone.");
        // Of two forms the encrypted one counts, as `init` removes the plain one.
        if self.host.look(&encrypted).is_some() {
            return DropInLine::new("LoadCredentialEncrypted", value(&encrypted), because);
        }
        // The same for a credential whose file is missing.
        let first = self.host.look(&plain).is_none().then(|| {
            format!(
                "There is no {path}, and with this line the service would not start. As root: \
                 `install -m 0600 /dev/stdin {path}`, type the secret, Enter, Ctrl-D; then print \
                 this again.",
                path = plain.display()
            )
        });
        DropInLine {
            first,
            ..DropInLine::new("LoadCredential", value(&plain), because)
        }
    }

    /// What is to be done about a directory that the unit makes writable but that is missing, or
    /// whose mode does not let the service write.
    fn directory_advice(&self, directory: &Path) -> Option<String> {
        let path = directory.display();
        let user = self.user;
        let Some(found) = self.host.look(directory) else {
            return Some(format!(
                "There is no {path}: run `install -d -o {user} -g {user} -m 0750 {path}` (or with \
                 the readers' group instead), then restart the service."
            ));
        };
        // A user that does not exist yet is made by the package; then nothing can be said.
        let uid = self.host.user_id(user)?;
        let may = match () {
            () if found.uid == uid => found.mode & 0o300 == 0o300,
            () if self.groups.contains(&found.gid) => found.mode & 0o030 == 0o030,
            () => found.mode & 0o003 == 0o003,
        };
        // Only advice: an access list, which is not read here, may allow it.
        (!may).then(|| {
            format!(
                "By its mode ({mode:04o}) {user} may not write to {path}: run \
                 `setfacl -m u:{user}:rwx {path}`, or give it a group that the service is in.",
                mode = found.mode
            )
        })
    }
}

/// The minus: a directory that is missing one day must not keep the whole service from starting.
fn optional(setting: &str, path: &Path) -> String {
    let path = format!("-{}", path.display());
    if setting.starts_with("Bind") {
        quote_bind(&path)
    } else {
        quote(&path)
    }
}

fn open_homes() -> DropInLine {
    DropInLine::new(
        "ProtectHome",
        "tmpfs".to_owned(),
        "ProtectHome=yes closes /home, /root and /run/user. This leaves them empty, but for what \
         is named below."
            .to_owned(),
    )
}

fn visible_file(file: &Path, because: String) -> DropInLine {
    DropInLine::new(
        "BindReadOnlyPaths",
        optional("BindReadOnlyPaths", file),
        because,
    )
}

/// A capability has to be in both sets: the first limits, the second gives.
fn capability_lines(capability: Capability, users: &str) -> Vec<DropInLine> {
    let because = match capability {
        Capability::Chown => format!("{users}: giving a file to another user takes this."),
        Capability::Fowner => {
            format!("{users}: setting the mode of a file that was given away takes this.")
        }
        Capability::DacReadSearch => format!(
            "{users}: the file is read back to prove it, and only its owner may read it. Not \
             needed where the sink has a group and mode 0640."
        ),
    };
    // The unit as shipped has an empty bounding set, which would take the ambient one away.
    ["CapabilityBoundingSet", "AmbientCapabilities"]
        .map(|set| DropInLine::new(set, capability.name().to_owned(), because.clone()))
        .into()
}

fn variable(name: &str, users: &str) -> DropInLine {
    let first = format!(
        "Put {name}=… into a file of mode 0600 and name it here, or better: use \
         {{ credential = \"…\" }} in the policy, as every process of the same user can read \
         another's environment."
    );
    DropInLine {
        first: Some(first),
        ..DropInLine::new(
            "EnvironmentFile",
            "/etc/ringcx-rotator/environment".to_owned(),
            format!("{users}: is read from the environment variable {name}."),
        )
    }
}
