//! `systemd-dropin`: what the unit as shipped must be told so that it can do what the policy wants.
//!
//! It starts from the unit as shipped and not from what is installed, so that printing it again
//! over itself loses nothing. Whatever would keep the service from starting (a group that does not
//! exist, a credential without a file) is written as a comment, and said on stderr: one thing that
//! is missing must not stop the accounts that miss nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::context;
use super::unit::requirements::{Host, Needs, RealHost, Requirement};
use super::unit::{MissingPermission, Unit, words};
use crate::console::{Exit, Screen};
use polkit::Rule;
use rotator_core::config::Policy;

mod polkit;
#[cfg(test)]
mod tests;

/// Where the drop-in goes.
pub const PLACE: &str = "/etc/systemd/system/ringcx-rotator.service.d/policy.conf";

/// What is asked for.
#[derive(Clone, Copy)]
pub enum DropInFile {
    /// What the unit must be told.
    DropIn,
    /// What polkit must be told.
    Rule,
}

impl DropInFile {
    /// Where it goes.
    pub fn place(self) -> &'static str {
        match self {
            Self::DropIn => PLACE,
            Self::Rule => polkit::PLACE,
        }
    }
}

/// What to do with it.
pub enum DropInOutput {
    /// Show it.
    Stdout,
    /// The same, as JSON.
    Json,
    /// Write it there, as a whole.
    File(PathBuf),
}

/// One line of the drop-in, or of what takes its place.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct DropInLine {
    /// `ReadWritePaths`
    pub setting: &'static str,
    /// As it is written.
    pub value: String,
    /// Why.
    pub because: String,
    /// What must be done first; until then the line is a comment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// What else must be so for this to be of use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also: Option<String>,
}

/// The drop-in of a policy.
#[derive(Debug, Serialize)]
pub struct DropIn {
    policy: PathBuf,
    lines: Vec<DropInLine>,
    /// What no unit can grant.
    #[serde(rename = "polkit", skip_serializing_if = "Rule::is_empty")]
    rule: Rule,
}

pub fn systemd_dropin(config: &Path, which: DropInFile, to: DropInOutput, screen: &Screen) -> Exit {
    let policy = match context::policy(config, screen) {
        Ok(policy) => policy,
        Err(exit) => return exit,
    };
    let dropin = DropIn::of(&policy, &RealHost);
    let (text, next) = match which {
        DropInFile::DropIn => {
            dropin
                .notes()
                .into_iter()
                .chain(dropin.rule.advice())
                .for_each(|note| screen.note(note));
            (
                dropin.text(),
                "\nnow: systemctl daemon-reload && systemctl restart ringcx-rotator",
            )
        }
        DropInFile::Rule => (dropin.rule.text(&dropin.policy), ""),
    };
    match to {
        DropInOutput::Stdout => screen.print(&text),
        DropInOutput::Json => screen.json(&dropin),
        DropInOutput::File(path) => {
            if let Err(error) = write(&path, &text) {
                return context::failing(format!("{}: {error}", path.display()), screen);
            }
            screen.print(&format!("written: {}{next}", path.display()));
        }
    }
    Exit::Done
}

/// Replaces the file as a whole.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let directory = path
        .parent()
        .filter(|it| !it.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

impl DropIn {
    /// What this policy needs beyond what the unit as shipped allows.
    pub fn of(policy: &Policy, machine: &impl Host) -> Self {
        let unit = Unit::shipped();
        let needs = Needs::of(policy, unit.user(), machine);
        let mut lacks: BTreeMap<MissingPermission, Vec<String>> = BTreeMap::new();
        for (what, whose) in needs.iter() {
            for lack in unit.lacks(what, machine) {
                lacks.entry(lack).or_default().extend(whose.iter().cloned());
            }
        }
        let groups = needs.iter().filter_map(|(what, _)| match what {
            Requirement::Group(group) => machine.group_id(group),
            Requirement::Write(_)
            | Requirement::Read(_)
            | Requirement::Capability(_)
            | Requirement::Credential(_)
            | Requirement::Variable(_)
            | Requirement::Manage(..)
            | Requirement::Policy(_) => None,
        });
        let groups = groups
            .chain(
                unit.groups()
                    .iter()
                    .filter_map(|group| machine.group_id(group)),
            )
            .collect();
        let writer = DropInWriter {
            policy,
            machine,
            user: unit.user(),
            groups,
        };
        let mut lines = Vec::new();
        for (lack, whose) in &lacks {
            for line in writer.lines(lack, &whose.join(", ")) {
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
        Self {
            policy: policy.path.clone(),
            lines,
            rule: Rule::of(&needs, unit.user()),
        }
    }

    /// What an operator should not overlook.
    pub fn notes(&self) -> Vec<String> {
        let missing = self
            .lines
            .iter()
            .filter_map(|line| line.first.as_ref().or(line.also.as_ref()));
        missing.cloned().collect()
    }

    /// As a unit file.
    pub fn text(&self) -> String {
        let mut text = format!(
            "# What {} needs of the unit. Print it again after each change of the policy:\n\
             #   ringcx-rotator systemd-dropin --write\n\
             #   systemctl daemon-reload && systemctl restart ringcx-rotator\n\
             \n[Service]\n",
            self.policy.display()
        );
        if self.lines.is_empty() {
            text.push_str("# Nothing: the unit as shipped allows all of it.\n");
        }
        for line in &self.lines {
            text.push('\n');
            comment(&mut text, &line.because);
            for more in [&line.also, &line.first].into_iter().flatten() {
                comment(&mut text, more);
            }
            let off = if line.first.is_some() { "#" } else { "" };
            let _ok = writeln!(text, "{off}{}={}", line.setting, line.value);
        }
        if let Some(besides) = self.rule.besides() {
            text.push('\n');
            comment(&mut text, &besides);
        }
        text
    }
}

/// Comment lines of a width that can be read. What stands between backticks is a command to be
/// copied, so it stays on one line.
fn comment(text: &mut String, sentence: &str) {
    const WIDTH: usize = 100;
    let mut line = String::from("#");
    let mut command = String::new();
    for word in sentence.split(' ') {
        command.push_str(word);
        if command.matches('`').count() % 2 == 1 {
            command.push(' ');
            continue;
        }
        let word = std::mem::take(&mut command);
        if line.len() > 1 && line.chars().count() + word.chars().count() >= WIDTH {
            let _ok = writeln!(text, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(&word);
    }
    let _ok = writeln!(text, "{line}");
}

/// From what is lacking to what must be written.
struct DropInWriter<'w, M> {
    policy: &'w Policy,
    machine: &'w M,
    user: &'w str,
    /// Those that the service will be in.
    groups: Vec<u32>,
}

impl<M: Host> DropInWriter<'_, M> {
    fn lines(&self, lack: &MissingPermission, whose: &str) -> Vec<DropInLine> {
        let line = |setting, value: String, because: String| DropInLine {
            setting,
            value,
            because,
            first: None,
            also: None,
        };
        // The minus: a directory that is missing one day must not keep the whole service from
        // starting.
        let lenient = |path: &Path| words::quote(&format!("-{}", path.display()));
        let open_homes = || {
            line(
                "ProtectHome",
                "tmpfs".to_owned(),
                "ProtectHome=yes closes /home, /root and /run/user. This leaves them empty, but for what is \
                 named below."
                    .to_owned(),
            )
        };
        match lack {
            MissingPermission::ReadOnly(directory) => vec![DropInLine {
                also: self.directory_advice(directory),
                ..line(
                    "ReadWritePaths",
                    lenient(directory),
                    format!(
                        "{whose}: files are written there, and ProtectSystem=strict makes it read-only."
                    ),
                )
            }],
            MissingPermission::HiddenDirectory(directory) => vec![
                open_homes(),
                DropInLine {
                    also: self.directory_advice(directory),
                    ..line(
                        "BindPaths",
                        lenient(directory),
                        format!("{whose}: files are written there."),
                    )
                },
            ],
            MissingPermission::HiddenFile(file) => {
                vec![
                    open_homes(),
                    line(
                        "BindReadOnlyPaths",
                        lenient(file),
                        format!("{whose}: is read from there."),
                    ),
                ]
            }
            MissingPermission::PrivateDirectory(directory) if is_temporary(directory) => {
                vec![line(
                    "PrivateTmp",
                    "no".to_owned(),
                    format!(
                        "{whose}: files are written straight into {}, and PrivateTmp=yes gives the service one of its own \
                     that no reader sees. A directory of its own, such as /run/ringcx-rotator/tokens, is safer.",
                        directory.display()
                    ),
                )]
            }
            MissingPermission::PrivateDirectory(directory) => vec![DropInLine {
                also: self.directory_advice(directory),
                ..line(
                    "BindPaths",
                    lenient(directory),
                    format!(
                        "{whose}: files are written there, and PrivateTmp=yes gives the service a /tmp of its own that no \
                         reader sees."
                    ),
                )
            }],
            MissingPermission::PrivateFile(file) => vec![line(
                "BindReadOnlyPaths",
                lenient(file),
                format!(
                    "{whose}: is read from there, and PrivateTmp=yes gives the service a /tmp of its own."
                ),
            )],
            MissingPermission::NoMember(group) => {
                let missing = self.machine.group_id(group).is_none().then(|| {
                    format!(
                        "There is no group {group}, and with this line the service would not start: run `groupadd --system \
                         {group}`, then print this again."
                    )
                });
                let because = format!(
                    "{whose}: gives files to this group. Members may do so, so it takes no capability."
                );
                vec![DropInLine {
                    first: missing,
                    ..line("SupplementaryGroups", words::quote(group), because)
                }]
            }
            MissingPermission::Capability(capability) => {
                let because = match capability {
                    super::unit::Capability::Chown => {
                        format!("{whose}: giving a file to another user takes this.")
                    }
                    super::unit::Capability::Fowner => {
                        format!(
                            "{whose}: setting the mode of a file that was given away takes this."
                        )
                    }
                    super::unit::Capability::DacReadSearch => format!(
                        "{whose}: the file is read back to prove it, and only its owner may read it. Not needed where the \
                         sink has a group and mode 0640."
                    ),
                };
                let name = capability.name().to_owned();
                vec![
                    line("CapabilityBoundingSet", name.clone(), because.clone()),
                    line("AmbientCapabilities", name, because),
                ]
            }
            MissingPermission::Credential(name) => vec![self.credential(name, whose)],
            MissingPermission::Variable(name) => vec![DropInLine {
                first: Some(format!(
                    "Put {name}=… into a file of mode 0600 and name it here, or better: use {{ credential = \"…\" }} in the \
                     policy, as every process of the same user can read another's environment."
                )),
                ..line(
                    "EnvironmentFile",
                    "/etc/ringcx-rotator/environment".to_owned(),
                    format!("{whose}: is read from the environment variable {name}."),
                )
            }],
            MissingPermission::OtherPolicy(path) => vec![line(
                "Environment",
                words::quote(&format!("RINGCX_ROTATOR_CONFIG={}", path.display())),
                "The policy is not where the unit looks for it.".to_owned(),
            )],
        }
    }

    /// Encrypted if there is such a file, else plain.
    fn credential(&self, name: &str, whose: &str) -> DropInLine {
        let (plain, encrypted) = places(&self.policy.path, name);
        let value = |path: &Path| format!("{name}:{}", path.display()).replace('%', "%%");
        let because =
            format!("{whose}: systemd reads it as root and hands it to the service alone.");
        if self.machine.look(&encrypted).is_some() {
            return DropInLine {
                setting: "LoadCredentialEncrypted",
                value: value(&encrypted),
                because,
                first: None,
                also: None,
            };
        }
        let first = self.machine.look(&plain).is_none().then(|| {
            format!(
                "There is no {}, and with this line the service would not start. As root: `install -m 0600 /dev/stdin {}`, \
                 type the secret, Enter, Ctrl-D; then print this again.",
                plain.display(),
                plain.display()
            )
        });
        DropInLine {
            setting: "LoadCredential",
            value: value(&plain),
            because,
            first,
            also: None,
        }
    }

    /// What is wrong with a directory that will be writable as far as the unit goes.
    fn directory_advice(&self, directory: &Path) -> Option<String> {
        let path = directory.display();
        let user = self.user;
        let Some(found) = self.machine.look(directory) else {
            return Some(format!(
                "There is no {path}: run `install -d -o {user} -g {user} -m 0750 {path}` (or with the readers' group \
                 instead), then restart the service."
            ));
        };
        let us = self.machine.user_id(user)?;
        let may = match () {
            () if found.uid == us => found.mode & 0o300 == 0o300,
            () if self.groups.contains(&found.gid) => found.mode & 0o030 == 0o030,
            () => found.mode & 0o003 == 0o003,
        };
        // An access list may say otherwise.
        (!may).then(|| {
            format!(
                "By its mode ({:04o}) {user} may not write to {path}: run `setfacl -m u:{user}:rwx {path}`, or give it a \
                 group that the service is in.",
                found.mode
            )
        })
    }
}

/// Where the credential of this name is kept beside the policy: as it is, and encrypted.
pub fn places(policy: &Path, name: &str) -> (PathBuf, PathBuf) {
    let directory = policy
        .parent()
        .unwrap_or(Path::new("/"))
        .join("credentials");
    (directory.join(name), directory.join(format!("{name}.cred")))
}

fn is_temporary(directory: &Path) -> bool {
    [Path::new("/tmp"), Path::new("/var/tmp")].contains(&directory)
}
