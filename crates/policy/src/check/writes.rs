//! What sinks write to: no two sinks to the same place, and none to a file that the daemon reads.
//!
//! Knows what a sink writes, not which kind it is. Two sinks that put different tokens into one
//! place would overwrite each other's at every check.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::places::PlaceId;
use super::read_files::ReadFiles;
use crate::access::AccessSpec;
use crate::base_dir::BaseDir;
use crate::issues::Issues;
use crate::parse::PolicySpec;
use crate::sinks::SinkWrites;
use crate::source::{At, Span};
use rotator_core::config::DaemonPolicy;

/// Who writes a file.
enum FileWriter<'s> {
    /// A sink that shares it with no other.
    Whole,
    /// A sink of one variable in it.
    Variable {
        name: Option<&'s At<String>>,
        access: &'s AccessSpec,
    },
}

pub(super) fn check(
    main: &Path,
    spec: &PolicySpec,
    daemon: &DaemonPolicy,
    base: BaseDir<'_>,
    issues: &mut Issues,
) {
    let read = ReadFiles::of(main, spec, daemon, base);
    let mut written = WrittenPlaces::default();
    let sinks = spec.accounts.iter().flat_map(|account| &account.sinks);
    let kinds = sinks.filter_map(|sink| sink.kind.as_ref());
    for writes in kinds.filter_map(|kind| kind.writes()) {
        let (path, writer) = match writes {
            SinkWrites::File(path) => (path, FileWriter::Whole),
            SinkWrites::Variable { path, name, access } => {
                (path, FileWriter::Variable { name, access })
            }
            SinkWrites::Entry { what, ids } => {
                written.add_entry(what, ids, issues);
                // Not a file, so none of the checks below applies to it.
                continue;
            }
        };
        if let Some(what) = read.what_is(&path.value) {
            let message = format!("this file is {what}: a sink would overwrite it");
            issues
                .error(path.span, message)
                .help("give the token a file of its own".to_owned());
        }
        // Also after an error above, as another sink may write the same file.
        written.add_file(path, writer, issues);
    }
}

/// What the sinks that were looked at write, each with its place in the policy.
#[derive(Default)]
struct WrittenPlaces<'s> {
    files: HashMap<PlaceId, Vec<(Span, FileWriter<'s>)>>,
    entries: HashMap<(&'static str, [&'s str; 2]), Span>,
}

impl<'s> WrittenPlaces<'s> {
    fn add_entry(&mut self, what: &'static str, ids: [&'s At<String>; 2], issues: &mut Issues) {
        let key = (what, ids.map(|id| id.value.as_str()));
        let span = ids[1].span;
        match self.entries.get(&key) {
            Some(first) => {
                let message = format!("another sink puts its token into this {what}");
                issues.error(span, message).other("the first is at", *first);
            }
            None => {
                self.entries.insert(key, span);
            }
        }
    }

    fn add_file(&mut self, path: &'s At<PathBuf>, writer: FileWriter<'s>, issues: &mut Issues) {
        let earlier = self.files.entry(PlaceId::of(&path.value)).or_default();
        // Compared with the first only: three sinks with one file are two issues, not three.
        if let Some((first, other)) = earlier.first() {
            same_file(path.span, &writer, *first, other, issues);
        }
        // Compared with all earlier ones, as any of them may write the variable of this name.
        same_variable(&writer, earlier, issues);
        earlier.push((path.span, writer));
    }
}

/// Two sinks with one file: only sinks of single variables can share it.
fn same_file(
    span: Span,
    writer: &FileWriter<'_>,
    first: Span,
    other: &FileWriter<'_>,
    issues: &mut Issues,
) {
    let issue = match (writer, other) {
        (FileWriter::Whole, FileWriter::Whole) => {
            issues.error(span, "another sink writes this file")
        }
        (FileWriter::Whole, FileWriter::Variable { .. })
        | (FileWriter::Variable { .. }, FileWriter::Whole) => issues.error(
            span,
            "this is the file of a file sink and of an env-file sink",
        ),
        (
            FileWriter::Variable { access, .. },
            FileWriter::Variable {
                access: first_access,
                ..
            },
        ) => {
            // As they are written: a key that is left out keeps what the file has.
            if written(access) == written(first_access) {
                return;
            }
            let message = "two sinks give this file a different mode, owner or group";
            issues
                .warning(span, message)
                .help("write the same in both, or the last to deliver decides".to_owned())
        }
    };
    issue.other("the first is at", first);
}

fn written(access: &AccessSpec) -> (Option<u32>, Option<&str>, Option<&str>) {
    let AccessSpec { mode, owner, group } = access;
    (
        mode.as_ref().map(|at| at.value),
        owner.as_ref().map(|at| at.value.as_str()),
        group.as_ref().map(|at| at.value.as_str()),
    )
}

fn same_variable(writer: &FileWriter<'_>, earlier: &[(Span, FileWriter<'_>)], issues: &mut Issues) {
    let FileWriter::Variable {
        name: Some(name), ..
    } = writer
    else {
        return;
    };
    let first = earlier.iter().find_map(|(_, other)| match other {
        FileWriter::Variable {
            name: Some(other), ..
        } if other.value == name.value => Some(other.span),
        FileWriter::Variable { .. } | FileWriter::Whole => None,
    });
    if let Some(first) = first {
        let message = format!("another sink writes `{}` of this file", name.value);
        issues
            .error(name.span, message)
            .other("the first is at", first);
    }
}
