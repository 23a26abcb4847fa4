//! Loads a policy: runs the steps of the pipeline one after the other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rotator_core::config::Policy;

use crate::diagnostic::{Diagnostic, PolicyErrors};
use crate::table::Reading;
use crate::{check, defaults, files, parse, resolve};

/// How long all files of a policy together may take.
const LOAD_LIMIT: Duration = Duration::from_secs(60);

/// A policy that can be used, and what its operator should know about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The policy, defaults filled in.
    pub policy: Policy,
    /// Warnings only: a policy with an error is not loaded.
    pub warnings: Vec<Diagnostic>,
    writable_by_all: Vec<PathBuf>,
}

impl Loaded {
    /// The same, for a daemon that acts on it: refused where everybody may write to one of its
    /// files.
    pub fn trusted(self) -> Result<Self, PolicyErrors> {
        let errors = self.writable_by_all.iter().map(|path| {
            let help = format!(
                "look at what it says, then run `chmod go-w {}`",
                path.display()
            );
            let message = "everybody may change this file, so the daemon does not follow it";
            Diagnostic::error(path, message.to_owned(), help)
        });
        let errors: Vec<Diagnostic> = errors.collect();
        if errors.is_empty() {
            Ok(self)
        } else {
            Err(PolicyErrors::new(self.policy.path, errors))
        }
    }
}

/// Reads and checks the policy in this file and, if it names one, in its `accounts-dir`.
///
/// ```no_run
/// match rotator_policy::load("/etc/ringcx-rotator/config.toml".as_ref()) {
///     Ok(loaded) => println!("{} accounts", loaded.policy.accounts.len()),
///     Err(errors) => eprint!("{}", errors.render(rotator_policy::Color::Never, None)),
/// }
/// ```
pub fn load(path: &Path) -> Result<Loaded, PolicyErrors> {
    // Only an empty path cannot be made absolute, and that is reported as a file that is missing.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let of = path.clone();
    // Each file that is read has a limit of its own; this one is for what is only looked at.
    files::within(&path, LOAD_LIMIT, move || load_now(of)).unwrap_or_else(|overdue| {
        let message = format!("the policy or a file that it names {overdue}");
        let help = "look at the mounts of the policy's files".to_owned();
        let error = Diagnostic::error(&path, message, help);
        Err(PolicyErrors::new(path, vec![error]))
    })
}

fn load_now(path: PathBuf) -> Result<Loaded, PolicyErrors> {
    let mut reading = Reading::default();
    let spec = parse::policy(&path, &mut reading);
    let mut issues = reading.issues;
    let mut writable_by_all = Vec::new();
    let policy = spec.map(|spec| {
        let resolved = resolve::policy(&path, &spec, &mut issues);
        writable_by_all = check::policy(&path, &spec, &resolved, &mut issues);
        // An account or a sink that could not be resolved is not in the policy. Without an error
        // that refuses the policy, the daemon would silently not rotate it.
        debug_assert!(
            issues.is_fatal() || resolved.is_complete(&spec),
            "something was left out of the policy without an error"
        );
        resolved.policy
    });
    let refused = issues.is_fatal();
    let diagnostics = issues.into_diagnostics();
    match policy {
        Some(policy) if !refused => Ok(Loaded {
            policy,
            warnings: diagnostics,
            writable_by_all,
        }),
        Some(_) | None => Err(PolicyErrors::new(path, diagnostics)),
    }
}

/// The control socket of the daemon with this policy.
///
/// The file may have errors: after a bad edit, a daemon that still runs with the policy before the
/// edit must be reachable. So only this key is read, and the default is used where it cannot be.
pub fn control_socket_of(path: &Path) -> PathBuf {
    written_control_socket(path).unwrap_or_else(|| defaults::CONTROL_SOCKET.into())
}

fn written_control_socket(path: &Path) -> Option<PathBuf> {
    // Not `parse::policy`: that would also read accounts, templates and the whole directory.
    let text = String::from_utf8(files::read(path, parse::LARGEST_FILE).ok()?).ok()?;
    let table: toml::Table = text.parse().ok()?;
    let socket = table.get("daemon")?.get("control-socket")?.as_str()?;
    Some(PathBuf::from(socket))
}
