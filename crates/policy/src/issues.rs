//! Collects what is wrong while the policy's files are read, so that all of it is said at once.
//!
//! A fault here is a message and a place. It becomes a [`Diagnostic`] at the end, when it is known
//! of every line whether it may be shown.

use std::path::PathBuf;

use super::diagnostic::{Diagnostic, Severity};
use super::source::{FileId, SourceFile, Span};

/// No more than this is said: whoever has more has fed us something else.
const MOST: usize = 500;

/// Where a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum IssuePlace {
    /// The file as a whole.
    File(FileId),
    /// A piece of it.
    Span(Span),
}

impl From<Span> for IssuePlace {
    fn from(span: Span) -> Self {
        Self::Span(span)
    }
}

impl IssuePlace {
    fn file(self) -> FileId {
        match self {
            Self::File(file) => file,
            Self::Span(span) => span.file,
        }
    }

    fn order(self) -> (FileId, Option<Span>) {
        match self {
            Self::File(file) => (file, None),
            Self::Span(span) => (span.file, Some(span)),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Issue {
    place: IssuePlace,
    severity: Severity,
    message: String,
    help: Option<String>,
    first: Option<(&'static str, Span)>,
}

/// Everything found so far, and the files it was found in.
#[derive(Default)]
pub(super) struct Issues {
    files: Vec<SourceFile>,
    issues: Vec<Issue>,
}

/// A fault just added, to say more about it.
pub(super) struct IssueBuilder<'f>(&'f mut Issue);

impl IssueBuilder<'_> {
    /// What the operator can do about it.
    pub fn help(self, help: impl Into<Option<String>>) -> Self {
        if let Some(help) = help.into() {
            self.0.help = Some(help);
        }
        self
    }

    /// Where the other one of two is: `note: {what} {place}`.
    pub fn other(self, what: &'static str, span: Span) -> Self {
        self.0.first = Some((what, span));
        self
    }
}

impl Issues {
    /// Takes in a file whose text could be had; an empty text stands for one that could not.
    pub fn add_file(&mut self, path: PathBuf, text: String) -> FileId {
        self.files.push(SourceFile::new(path, text));
        FileId(self.files.len() - 1)
    }

    /// The file itself.
    pub fn file(&mut self, file: FileId) -> &mut SourceFile {
        &mut self.files[file.0]
    }

    /// The policy cannot be used.
    pub fn error(
        &mut self,
        place: impl Into<IssuePlace>,
        message: impl Into<String>,
    ) -> IssueBuilder<'_> {
        self.add(place.into(), Severity::Error, message.into())
    }

    /// The policy can be used, but.
    pub fn warning(
        &mut self,
        place: impl Into<IssuePlace>,
        message: impl Into<String>,
    ) -> IssueBuilder<'_> {
        self.add(place.into(), Severity::Warning, message.into())
    }

    fn add(&mut self, place: IssuePlace, severity: Severity, message: String) -> IssueBuilder<'_> {
        self.issues.push(Issue {
            place,
            severity,
            message,
            help: None,
            first: None,
        });
        IssueBuilder(self.issues.last_mut().expect("one was just pushed"))
    }

    /// Whether the policy must be refused.
    pub fn is_fatal(&self) -> bool {
        self.issues
            .iter()
            .any(|fault| fault.severity == Severity::Error)
    }

    /// In the order of files and places; what two accounts inherit from one line is said once.
    pub fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        let mut issues = std::mem::take(&mut self.issues);
        issues.sort_by(|a, b| {
            let key = |fault: &Issue| (fault.place.order(), fault.severity);
            key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
        });
        issues.dedup();
        if issues.len() > MOST {
            let errors = issues.iter().any(|fault| fault.severity == Severity::Error);
            issues.retain(|fault| !errors || fault.severity == Severity::Error);
            issues.truncate(MOST);
        }
        for fault in &issues {
            self.files[fault.place.file().0].survey();
        }
        issues
            .into_iter()
            .map(|fault| self.diagnostic(fault))
            .collect()
    }

    fn diagnostic(&self, fault: Issue) -> Diagnostic {
        let Issue {
            place,
            severity,
            message,
            help,
            first,
        } = fault;
        let file = &self.files[place.file().0];
        let (position, excerpt) = match place {
            IssuePlace::File(_) => (None, None),
            IssuePlace::Span(span) => (Some(file.position(span.start)), file.excerpt(span)),
        };
        let note = first.map(|(what, span)| {
            let first_file = &self.files[span.file.0];
            let (line, column) = first_file.position(span.start);
            format!("{what} {}:{line}:{column}", first_file.path.display())
        });
        Diagnostic {
            severity,
            file: file.path.clone(),
            line: position.map(|(line, _)| line),
            column: position.map(|(_, column)| column),
            message,
            help,
            note,
            excerpt,
        }
    }
}
