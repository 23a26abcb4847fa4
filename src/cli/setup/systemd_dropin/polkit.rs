//! The polkit rule that lets the daemon restart or reload *other* units, which no unit file can
//! allow.
//!
//! systemd asks polkit, and polkit evaluates its rules. The rule of a policy names each unit with
//! the verbs that `notify` uses, and no more. Whether polkit is installed, or another rule allows
//! the same, is not known here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::cli::setup::unit::requirements::{Needs, Requirement};
use rotator_core::config::UnitAction;

/// Where the rule goes.
pub const PLACE: &str = "/etc/polkit-1/rules.d/50-ringcx-rotator.rules";

/// As packaged, with an empty list of units.
const SHIPPED: &str = include_str!("../../../../systemd/ringcx-rotator.rules");
/// The line of it after which the units go.
const ALLOWED: &str = "    var allowed = {\n";
/// The user in it.
const USER: &str = "\"ringcx-rotator\"";

/// What the service may do to other units.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Rule {
    grants: Vec<Grant>,
    #[serde(skip)]
    user: String,
}

/// What it may do to one unit.
#[derive(Debug, Serialize)]
struct Grant {
    unit: String,
    verbs: Vec<&'static str>,
    because: String,
}

impl Rule {
    /// For a daemon that runs as this user.
    pub fn of(needs: &Needs, user: &str) -> Self {
        let mut units: BTreeMap<&str, (Vec<&'static str>, Vec<&str>)> = BTreeMap::new();
        for (requirement, users) in needs.iter() {
            let Requirement::Manage(unit, action) = requirement else {
                continue;
            };
            let (verbs, all) = units.entry(unit).or_default();
            verbs.push(verb(*action));
            all.extend(users.iter().map(String::as_str));
        }
        let grant = |(unit, (verbs, users)): (&str, (Vec<_>, Vec<&str>))| Grant {
            unit: unit.to_owned(),
            verbs,
            because: users.join(", "),
        };
        Self {
            grants: units.into_iter().map(grant).collect(),
            user: user.to_owned(),
        }
    }

    /// Whether the policy needs no rule.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// The text of the file of rules.
    pub fn text(&self, policy: &Path) -> String {
        // Without its head, which describes the empty rule.
        let (_, code) = SHIPPED.split_once("\n\n").unwrap_or_default();
        let (begin, end) = code.split_once(ALLOWED).unwrap_or_default();
        let mut text = format!(
            "// What `notify` in {} has the service do to other units, and no more. Print it \
             again after each\n\
             // change of the policy; polkit takes it up by itself:\n\
             //   ringcx-rotator systemd-dropin --polkit --write\n\n{begin}{ALLOWED}",
            policy.display()
        );
        for Grant {
            unit,
            verbs,
            because,
        } in &self.grants
        {
            // A JSON string is also a JavaScript string, so nothing in a unit's name ends it.
            let (unit, verbs) = (serde_json::json!(unit), serde_json::json!(verbs));
            let _ok = write!(text, "        // {because}\n        {unit}: {verbs},\n");
        }
        // A unit that runs as another user asks polkit as that user.
        text.push_str(&end.replace(USER, &serde_json::json!(self.user).to_string()));
        text
    }

    /// A sentence for the drop-in.
    pub fn besides(&self) -> Option<String> {
        let units: Vec<String> = self
            .grants
            .iter()
            .map(|grant| format!("{} ({})", grant.unit, grant.because))
            .collect();
        (!units.is_empty()).then(|| {
            format!(
                "Besides, polkit must let the service restart or reload other units, which no \
                 line here can do: {}. Run `ringcx-rotator systemd-dropin --polkit --write`, and \
                 again after each change of the policy.",
                units.join(", ")
            )
        })
    }

    /// The same as a note, unless an installed rule names each unit. A user who cannot read the
    /// rules gets the note.
    pub fn advice(&self) -> Option<String> {
        // The directory is readable by root and polkit only, so an error is usual here.
        let installed = std::fs::read_to_string(PLACE).unwrap_or_default();
        let named = |grant: &Grant| installed.contains(&serde_json::json!(grant.unit).to_string());
        self.besides().filter(|_| !self.grants.iter().all(named))
    }
}

/// The verb that systemd passes to polkit.
fn verb(action: UnitAction) -> &'static str {
    match action {
        UnitAction::TryReloadOrRestart => "reload-or-try-restart",
        UnitAction::ReloadOrRestart => "reload-or-restart",
        UnitAction::TryRestart => "try-restart",
        UnitAction::Restart => "restart",
        UnitAction::Reload => "reload",
        UnitAction::Start => "start",
    }
}
