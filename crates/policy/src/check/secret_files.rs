//! The files that hold secrets: a file that others can read is warned about.
//!
//! Only the metadata of a file is looked at. A file that is not there yet is not an issue of the
//! policy: it may be written later, or on the machine that the policy is for.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rotator_core::secret::SecretSource;

use crate::base_dir::BaseDir;
use crate::issues::Issues;
use crate::parse::PolicySpec;
use crate::source::At;

pub(super) fn check(spec: &PolicySpec, base: BaseDir<'_>, issues: &mut Issues) {
    let mut check = |at: &At<SecretSource>| {
        if let Some(warning) = warning(&base.secret(&at.value)) {
            issues.warning(at.span, warning.to_string());
        }
    };
    let passwords_dir = spec.defaults.passwords_dir.as_ref();
    for account in &spec.accounts {
        account
            .login_secrets(passwords_dir)
            .iter()
            .for_each(&mut check);
        let secrets = account.sinks.iter().filter_map(|sink| sink.secret());
        secrets.for_each(&mut check);
    }
    spec.network.secrets().for_each(&mut check);
    let email = spec.alerts.email.as_ref();
    let password = email.and_then(|email| email.password.as_ref());
    password.into_iter().for_each(check);
}

/// A secret that works but is not kept well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum SecretWarning {
    /// Readable by group or others.
    #[error(
        "{path} is readable by others (mode {mode:04o}): run `chmod 600 {path}`",
        path = path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
}

/// What is wrong with how this secret is kept. systemd's directory of credentials is left out: it
/// is readable for the service only, whatever the modes of its files are.
fn warning(source: &SecretSource) -> Option<SecretWarning> {
    // The other sources have no mode that could be looked at.
    let SecretSource::File(path) = source else {
        return None;
    };
    if std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|dir| path.starts_with(dir)) {
        return None;
    }
    // An error is ignored: the file may be written later, or be on another machine.
    let mode = std::fs::metadata(path).ok()?.mode() & 0o7777;
    (mode & 0o077 != 0).then(|| SecretWarning::Exposed {
        path: path.clone(),
        mode,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn source(content: &[u8]) -> (tempfile::NamedTempFile, SecretSource) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let source = SecretSource::File(file.path().to_owned());
        (file, source)
    }

    #[test]
    fn a_secret_that_others_can_read_is_warned_about() {
        use std::os::unix::fs::PermissionsExt;
        let (file, source) = source(b"pass");
        assert_eq!(warning(&source), None);
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o644))
            .unwrap();
        assert!(warning(&source).unwrap().to_string().contains("chmod 600"));
    }
}
