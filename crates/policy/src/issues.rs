//! Collects what is wrong while a policy is loaded, so that all of it is reported at once.
//!
//! An issue is a message and a place. It becomes a [`Diagnostic`] at the end: only when all values
//! have been read is it known which lines an excerpt may show.

use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, DiagnosticSeverity};
use crate::source::{FileId, SourceFile, Span};

/// The largest number of issues that are reported. A file with more is probably not a policy.
const MOST: usize = 500;

/// Where an issue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum IssuePlace {
    /// The file as a whole.
    File(FileId),
    /// A part of a file.
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
        // `None` sorts first: an issue of a whole file comes before those at places in it.
        match self {
            Self::File(file) => (file, None),
            Self::Span(span) => (span.file, Some(span)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Issue {
    place: IssuePlace,
    severity: DiagnosticSeverity,
    message: String,
    help: Option<String>,
    /// A second place, and what it is: `the first is at`.
    other: Option<(&'static str, Span)>,
}

/// Everything found so far, and the files it was found in.
#[derive(Default)]
pub(crate) struct Issues {
    files: Vec<SourceFile>,
    issues: Vec<Issue>,
}

/// An issue that was just added, to complete it.
pub(crate) struct IssueBuilder<'f>(&'f mut Issue);

impl IssueBuilder<'_> {
    /// What the operator can do about it.
    pub fn help(self, help: impl Into<Option<String>>) -> Self {
        if let Some(help) = help.into() {
            self.0.help = Some(help);
        }
        self
    }

    /// The place of the other one of two, shown as `note: {what} {place}`.
    pub fn other(self, what: &'static str, span: Span) -> Self {
        self.0.other = Some((what, span));
        self
    }
}

impl Issues {
    /// Adds a file. The text is empty where it could not be read.
    pub fn add_file(&mut self, path: PathBuf, text: String) -> FileId {
        self.files.push(SourceFile::new(path, text));
        FileId(self.files.len() - 1)
    }

    /// The policy's files, in the order in which they were read.
    pub fn paths(&self) -> Vec<(FileId, PathBuf)> {
        let files = self.files.iter().enumerate();
        files
            .map(|(at, file)| (FileId(at), file.path.clone()))
            .collect()
    }

    pub fn file(&mut self, file: FileId) -> &mut SourceFile {
        &mut self.files[file.0]
    }

    /// Records an error: the policy is refused.
    pub fn error(
        &mut self,
        place: impl Into<IssuePlace>,
        message: impl Into<String>,
    ) -> IssueBuilder<'_> {
        self.add(place.into(), DiagnosticSeverity::Error, message.into())
    }

    /// Records a warning: the policy loads, but the operator should look at this.
    pub fn warning(
        &mut self,
        place: impl Into<IssuePlace>,
        message: impl Into<String>,
    ) -> IssueBuilder<'_> {
        self.add(place.into(), DiagnosticSeverity::Warning, message.into())
    }

    fn add(
        &mut self,
        place: IssuePlace,
        severity: DiagnosticSeverity,
        message: String,
    ) -> IssueBuilder<'_> {
        self.issues.push(Issue {
            place,
            severity,
            message,
            help: None,
            other: None,
        });
        IssueBuilder(self.issues.last_mut().expect("one was just pushed"))
    }

    /// Whether the policy must be refused.
    pub fn is_fatal(&self) -> bool {
        self.issues
            .iter()
            .any(|issue| issue.severity == DiagnosticSeverity::Error)
    }

    /// Ordered by file and place. An issue that several accounts inherit from one line is reported
    /// once.
    pub fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        // Taken out, because the files beside them are changed while the issues are gone through.
        let mut issues = std::mem::take(&mut self.issues);
        issues.sort_by(|a, b| {
            // At one place errors come first; the text decides last, so that the order is fixed.
            let key = |issue: &Issue| (issue.place.order(), issue.severity);
            key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
        });
        // Equal ones are neighbors now.
        issues.dedup();
        if issues.len() > MOST {
            // Errors are what the operator has to correct, so warnings give way to them.
            let errors = issues
                .iter()
                .any(|issue| issue.severity == DiagnosticSeverity::Error);
            issues.retain(|issue| !errors || issue.severity == DiagnosticSeverity::Error);
            issues.truncate(MOST);
        }
        // Only of files with an issue, because a survey parses the whole file again.
        for issue in &issues {
            self.files[issue.place.file().0].survey();
        }
        issues
            .into_iter()
            .map(|issue| self.diagnostic(issue))
            .collect()
    }

    fn diagnostic(&self, issue: Issue) -> Diagnostic {
        let Issue {
            place,
            severity,
            message,
            help,
            other,
        } = issue;
        let file = &self.files[place.file().0];
        let (position, excerpt) = match place {
            IssuePlace::File(_) => (None, None),
            IssuePlace::Span(span) => (Some(file.position(span.start)), file.excerpt(span)),
        };
        let note = other.map(|(what, span)| {
            let other_file = &self.files[span.file.0];
            let (line, column) = other_file.position(span.start);
            format!("{what} {}:{line}:{column}", other_file.path.display())
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
