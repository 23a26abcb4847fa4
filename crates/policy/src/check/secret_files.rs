//! The files that hold secrets: a file that others can read is warned about.
//!
//! Characters that hardly belong to a secret are named, nothing else of it is shown. A file that is not there yet is not an issue of the
//! policy: it may be written later, or on the machine that the policy is for.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rotator_core::secret::SecretSource;

use crate::base_dir::BaseDir;
use crate::files;
use crate::issues::Issues;
use crate::parse::PolicySpec;
use crate::source::At;

/// No secret is longer. In bytes.
const LARGEST: u64 = 64 * 1024;

pub(super) fn check(spec: &PolicySpec, base: BaseDir<'_>, issues: &mut Issues) {
    let mut check = |at: &At<SecretSource>| {
        let source = base.secret(&at.value);
        if let Some(warning) = warning(&source) {
            issues.warning(at.span, warning.to_string());
        }
        if let SecretSource::File(path) = &source
            && let Some(what) = odd_content(path)
        {
            issues.warning(at.span, format!("{} {what}", path.display()));
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

/// What a secret hardly has in it, and its reader would take for a part of it: named, and nothing
/// else of the file shown. A file that cannot be read is not an issue here.
fn odd_content(path: &Path) -> Option<String> {
    let bytes = files::read(path, LARGEST).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    if text.starts_with('\u{feff}') {
        return Some("begins with a byte order mark (U+FEFF): save it without".to_owned());
    }
    let secret = text.strip_suffix('\n').unwrap_or(text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.trim_end_matches(['\r', '\n']) != secret {
        return Some("ends with more than one line end (U+000A): keep one".to_owned());
    }
    if secret.contains(['\r', '\n']) {
        return Some("has more than one line: keep the secret alone in it".to_owned());
    }
    for quote in ['"', '\'', '`'] {
        let quoted = secret.len() > 1 && secret.starts_with(quote) && secret.ends_with(quote);
        if quoted {
            let code = u32::from(quote);
            return Some(format!(
                "is in quotes (U+{code:04X}), which count as part of the secret: take them off if \
                 they are not"
            ));
        }
    }
    let (first, last) = (secret.chars().next(), secret.chars().next_back());
    let edge = [first, last]
        .into_iter()
        .flatten()
        .find(|c| c.is_whitespace());
    let hidden = secret
        .chars()
        .find(|c| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{a0}'));
    let odd = u32::from(edge.or(hidden)?);
    Some(format!(
        "has the character U+{odd:04X} in it, which counts as part of the secret: take it out if it \
         is not"
    ))
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

    #[test]
    fn what_a_secret_hardly_has_in_it_is_named_and_nothing_else_is_shown() {
        for (content, named) in [
            ("\u{feff}canary\n", "U+FEFF"),
            ("canary\n\n", "more than one line end"),
            ("canary\r\n\r\n", "more than one line end"),
            ("canary\nuser: x\n", "more than one line"),
            ("\"canary\"\n", "U+0022"),
            ("'canary'", "U+0027"),
            ("canary \n", "U+0020"),
            ("\tcanary", "U+0009"),
            ("can\u{200b}ary", "U+200B"),
            ("can\0ary", "U+0000"),
        ] {
            let (file, _) = source(content.as_bytes());
            let what = odd_content(file.path()).expect(named);
            assert!(what.contains(named) && !what.contains("canary"), "{what}");
        }
        for content in ["canary\n", "canary\r\n", "ca na'ry\"", "päss"] {
            let (file, _) = source(content.as_bytes());
            assert_eq!(odd_content(file.path()), None);
        }
    }
}
