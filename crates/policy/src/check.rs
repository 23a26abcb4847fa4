//! The last step: what cannot work together, and what can but is hardly meant.
//!
//! Looks at what is written, so that one fault does not hide another, and at the resolved policy
//! where a default counts as much as a written value. Changes nothing; records issues.

use std::path::{Path, PathBuf};

use crate::base_dir::BaseDir;
use crate::issues::Issues;
use crate::parse::PolicySpec;
use crate::resolve::Resolved;

mod accounts;
mod limits;
mod modes;
mod peers;
mod places;
mod read_files;
mod secret_files;
mod settings;
mod unique;
mod writes;

/// Records everything that is wrong with the policy as a whole. `path` is its main file.
///
/// Returns the policy's files that everybody may write to.
pub(crate) fn policy(
    path: &Path,
    spec: &PolicySpec,
    resolved: &Resolved,
    issues: &mut Issues,
) -> Vec<PathBuf> {
    let daemon = &resolved.policy.daemon;
    let base = BaseDir::of(path);
    settings::log(&spec.log, issues);
    settings::ringcx(&spec.ringcx, &resolved.policy.ringcx, issues);
    if let Some(email) = &spec.alerts.email {
        settings::email(email, issues);
    }
    accounts::check(spec, issues);
    // With defaults filled in: a default and a written value may not go together.
    limits::check(&spec.accounts, &resolved.tunings, issues);
    for sink in spec.accounts.iter().flat_map(|account| &account.sinks) {
        if let Some(kind) = &sink.kind {
            kind.check(issues);
        }
    }
    unique::check(&spec.accounts, issues);
    peers::check(&spec.accounts, issues);
    writes::check(path, spec, daemon, base, issues);
    secret_files::check(spec, base, issues);
    modes::check(spec, &daemon.state_dir, issues)
}
