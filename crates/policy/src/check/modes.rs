//! Who may change what the daemon follows, and who may read what it writes. Only looks, at this
//! machine; each warning has the command that mends it.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::issues::Issues;
use crate::parse::PolicySpec;
use crate::sinks::SinkWrites;
use crate::source::FileId;

const STICKY: u32 = 0o1000;
const WRITABLE_BY_ALL: u32 = 0o002;

/// Records warnings, and returns the policy's files that everybody may write to: a daemon must not
/// follow those.
pub(super) fn check(spec: &PolicySpec, state_dir: &Path, issues: &mut Issues) -> Vec<PathBuf> {
    let mut writable = Vec::new();
    let mut directories = BTreeSet::new();
    for (id, path) in issues.paths() {
        directories.extend(path.parent().map(|parent| (parent.to_owned(), id)));
        policy_file(id, &path, issues);
        if std::fs::metadata(&path).is_ok_and(|found| found.mode() & WRITABLE_BY_ALL != 0) {
            writable.push(path);
        }
    }
    let mut known = BTreeSet::new();
    for (directory, id) in directories {
        if known.insert(directory.clone()) {
            policy_directory(id, &directory, issues);
        }
    }
    the_state_directory(state_dir, issues);
    for sink in spec.accounts.iter().flat_map(|account| &account.sinks) {
        let writes = sink.kind.as_ref().and_then(|kind| kind.writes());
        // A whole file has the mode of the policy; a variable's file keeps the one that it has.
        if let Some(SinkWrites::Variable { path, access, .. }) = writes
            && access.mode.is_none()
            && let Ok(found) = std::fs::metadata(&path.value)
            && found.mode() & 0o007 != 0
        {
            let (shown, mode) = (path.value.display(), found.mode() & 0o7777);
            issues.warning(
                path.span,
                format!(
                    "{shown} receives a token and is open to everyone (mode {mode:04o}): run \
                     `chmod o-rwx {shown}`"
                ),
            );
        }
    }
    writable
}

fn policy_file(id: FileId, path: &Path, issues: &mut Issues) {
    let Ok(found) = std::fs::metadata(path) else {
        return;
    };
    let (shown, mode) = (path.display(), found.mode() & 0o7777);
    if is_open(&found) {
        issues.warning(
            crate::issues::IssuePlace::File(id),
            format!("others may change {shown} (mode {mode:04o}): run `chmod go-w {shown}`"),
        );
    }
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != 0 && found.uid() != us {
        let owner = found.uid();
        issues.warning(
            crate::issues::IssuePlace::File(id),
            format!("{shown} belongs to another user (uid {owner}): run `chown root {shown}`"),
        );
    }
}

fn policy_directory(id: FileId, path: &Path, issues: &mut Issues) {
    let Ok(found) = std::fs::metadata(path) else {
        return;
    };
    // In a sticky directory others cannot exchange the file.
    if is_open(&found) && found.mode() & STICKY == 0 {
        let (shown, mode) = (path.display(), found.mode() & 0o7777);
        issues.warning(
            crate::issues::IssuePlace::File(id),
            format!(
                "others may exchange the policy's files in {shown} (mode {mode:04o}): run `chmod \
                 go-w {shown}`"
            ),
        );
    }
}

fn the_state_directory(path: &Path, issues: &mut Issues) {
    let Ok(found) = std::fs::metadata(path) else {
        // The daemon makes it, for itself alone.
        return;
    };
    if is_open(&found)
        && let Some((id, _)) = issues.paths().into_iter().next()
    {
        let (shown, mode) = (path.display(), found.mode() & 0o7777);
        issues.warning(
            crate::issues::IssuePlace::File(id),
            format!(
                "others may change the journal in the state-dir {shown} (mode {mode:04o}): run \
                 `chmod 700 {shown}`"
            ),
        );
    }
}

/// Whether somebody else than root, the owner and the owner's own group may write.
fn is_open(found: &Metadata) -> bool {
    let group_is_another = found.gid() != 0 && found.gid() != rustix::process::getegid().as_raw();
    found.mode() & WRITABLE_BY_ALL != 0 || (found.mode() & 0o020 != 0 && group_is_another)
}
