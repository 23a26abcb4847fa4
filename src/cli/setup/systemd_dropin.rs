//! The drop-in that lets the unit as shipped do what a policy needs.
//!
//! It starts from the unit as shipped and not from what is installed, so that generating it again
//! over itself loses nothing. A line that would keep the service from starting (a group that does
//! not exist, a credential without a file) is written as a comment and shown as a note: one missing
//! thing must not stop the accounts that do not need it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::unit::Unit;
use super::unit::permissions::MissingPermission;
use super::unit::requirements::{Host, Needs, Requirement};
use lines::{DropInLine, DropInWriter};
use polkit::Rule;
use rotator_core::config::Policy;

mod lines;
pub mod polkit;
#[cfg(test)]
mod tests;

/// Where the drop-in goes.
pub const PLACE: &str = "/etc/systemd/system/ringcx-rotator.service.d/policy.conf";

/// The drop-in of a policy.
#[derive(Debug, Serialize)]
pub struct DropIn {
    policy: PathBuf,
    lines: Vec<DropInLine>,
    /// What a unit file cannot allow.
    #[serde(rename = "polkit", skip_serializing_if = "Rule::is_empty")]
    rule: Rule,
}

impl DropIn {
    /// The settings that this policy needs beyond those of the unit as shipped.
    pub fn of(policy: &Policy, host: &impl Host) -> Self {
        // Not the installed one: its drop-in may be the one that this replaces.
        let unit = Unit::shipped();
        let needs = Needs::of(policy, unit.user(), host);
        let mut missing: BTreeMap<MissingPermission, Vec<String>> = BTreeMap::new();
        for (requirement, users) in needs.iter() {
            for permission in unit.missing(requirement, host) {
                let all = missing.entry(permission).or_default();
                all.extend(users.iter().cloned());
            }
        }
        let writer = DropInWriter {
            policy,
            host,
            user: unit.user(),
            groups: service_groups(&unit, &needs, host),
        };
        let mut lines = Vec::new();
        for (permission, users) in &missing {
            // Several permissions may need the same line, such as the one that opens /home.
            for line in writer.lines(permission, &users.join(", ")) {
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

    /// The polkit rule for what no unit file can allow.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The polkit rule as a file.
    pub fn rule_text(&self) -> String {
        self.rule.text(&self.policy)
    }

    /// What the operator has to do besides.
    pub fn notes(&self) -> Vec<String> {
        let missing = self
            .lines
            .iter()
            // `first` is the more urgent of the two: without it the line does nothing.
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
            // Written but switched off: the service has to start for the accounts that need nothing
            // of this.
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

/// Wraps a sentence into comment lines. A command in backticks stays on one line, so that it can be
/// copied.
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

/// The groups, by number, that the service is in with the drop-in.
fn service_groups(unit: &Unit, needs: &Needs, host: &impl Host) -> Vec<u32> {
    let needed = needs
        .iter()
        .filter_map(|(requirement, _)| match requirement {
            Requirement::Group(group) => host.group_id(group),
            Requirement::Write(_)
            | Requirement::Read(_)
            | Requirement::Capability(_)
            | Requirement::Credential(_)
            | Requirement::Variable(_)
            | Requirement::Manage(..)
            | Requirement::Policy(_) => None,
        });
    let own = unit.groups().into_iter();
    needed
        .chain(own.filter_map(|group| host.group_id(&group)))
        .collect()
}

/// Replaces the file as a whole: systemd must never read half of it.
pub fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        // A temporary file has mode 0600, and `systemctl cat` as another user could not read it.
        .set_permissions(std::fs::Permissions::from_mode(0o644))?;
    // Before the rename: after a crash there must be no empty drop-in under this name.
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The files beside the policy that can hold the credential of this name: plain, and encrypted.
pub fn places(policy: &Path, name: &str) -> (PathBuf, PathBuf) {
    let directory = policy
        .parent()
        .unwrap_or(Path::new("/"))
        .join("credentials");
    (directory.join(name), directory.join(format!("{name}.cred")))
}
