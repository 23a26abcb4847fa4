//! What is wrong with a policy, where, and how it is shown.
//!
//! A [`Diagnostic`] carries the part of the file that it shows. Everything that may be a secret has
//! been masked in it before (see `source.rs`), so neither its `Debug` nor its rendering can reveal
//! one. Knows nothing of TOML or policies.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// In columns, where the terminal's width is not known.
const DEFAULT_WIDTH: usize = 110;

/// Whether the policy can be used despite a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DiagnosticSeverity {
    /// No: it is refused.
    Error,
    /// Yes, but the operator should look at this.
    Warning,
}

/// One thing that is wrong with a policy, or doubtful in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether the policy is refused because of it.
    pub severity: DiagnosticSeverity,
    /// The file that it is about, absolute.
    pub file: PathBuf,
    /// From 1; absent where the diagnostic is about the file as a whole.
    pub line: Option<usize>,
    /// In characters, from 1; absent where `line` is.
    pub column: Option<usize>,
    /// What is wrong, without a period at the end.
    pub message: String,
    /// What the operator can do about it.
    pub help: Option<String>,
    /// More context, such as the place of the first of two.
    pub note: Option<String>,
    /// The line that it points at, if it may be shown.
    // Only people need it: JSON gives the place.
    #[serde(skip)]
    pub(crate) excerpt: Option<Excerpt>,
}

/// A line of the file, masked where it may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub text: String,
    /// What to underline: bytes of `text`.
    pub underline: Range<usize>,
}

impl Excerpt {
    /// The column where the underlined text begins in the excerpt. A mask before it makes it differ
    /// from the column in the file.
    fn column(&self) -> usize {
        self.text[..self.underline.start].chars().count() + 1
    }
}

/// Whether a rendering has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// ANSI colours, for a terminal.
    Always,
    /// Plain text, for a file or another program.
    Never,
}

impl Diagnostic {
    /// A warning about the policy as a whole, for a check that looks at this host and not at the
    /// policy only.
    pub fn warning(file: &Path, message: String, help: String) -> Self {
        Self::of_file(DiagnosticSeverity::Warning, file, message, help)
    }

    /// An error of the policy as a whole.
    pub(crate) fn error(file: &Path, message: String, help: String) -> Self {
        Self::of_file(DiagnosticSeverity::Error, file, message, help)
    }

    fn of_file(severity: DiagnosticSeverity, file: &Path, message: String, help: String) -> Self {
        Self {
            severity,
            file: file.to_owned(),
            line: None,
            column: None,
            message,
            help: Some(help),
            note: None,
            excerpt: None,
        }
    }

    /// Renders it as rustc does: the message, the place, the faulty text underlined, the help.
    /// `width` is the terminal's, in columns. The text ends without a line end.
    pub fn render(&self, color: Color, width: Option<usize>) -> String {
        let renderer = match color {
            Color::Always => Renderer::styled(),
            Color::Never => Renderer::plain(),
        };
        renderer
            .term_width(width.unwrap_or(DEFAULT_WIDTH))
            .render(&[self.group()])
    }

    fn group(&self) -> Group<'_> {
        let level = match self.severity {
            DiagnosticSeverity::Error => Level::ERROR,
            DiagnosticSeverity::Warning => Level::WARNING,
        };
        let path = self.file.to_string_lossy();
        let title = level.primary_title(self.message.as_str());
        let origin = |line| {
            Origin::path(path.to_string())
                .line(line)
                .char_column(self.column.unwrap_or(1))
        };
        let mut group = match (self.line, &self.excerpt) {
            (Some(line), Some(excerpt)) => {
                let snippet = Snippet::source(excerpt.text.as_str())
                    .line_start(line)
                    .annotation(AnnotationKind::Primary.span(excerpt.underline.clone()));
                // The renderer takes the column from the excerpt. After a mask it would be wrong,
                // so the place is given apart from it.
                if self.column == Some(excerpt.column()) {
                    title.element(snippet.path(path))
                } else {
                    title.element(origin(line)).element(snippet)
                }
            }
            (Some(line), None) => title
                .element(origin(line))
                .element(Level::NOTE.message("the line is not shown: it may hold a secret")),
            (None, _) => title.element(Origin::path(path)),
        };
        if let Some(note) = &self.note {
            group = group.element(Level::NOTE.message(note.as_str()));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        group
    }
}

/// Renders several, each followed by an empty line.
pub fn render(diagnostics: &[Diagnostic], color: Color, width: Option<usize>) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&diagnostic.render(color, width));
        text.push_str("\n\n");
    }
    text
}

/// Why a policy is refused: all its errors, and its warnings.
#[derive(Debug)]
pub struct PolicyErrors {
    path: PathBuf,
    diagnostics: Vec<Diagnostic>,
}

impl PolicyErrors {
    pub(crate) fn new(path: PathBuf, diagnostics: Vec<Diagnostic>) -> Self {
        Self { path, diagnostics }
    }

    /// Path of the policy's main file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Errors and warnings, ordered by file and place.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Renders all of them, and a last line with their number.
    pub fn render(&self, color: Color, width: Option<usize>) -> String {
        format!("{}{self}\n", render(&self.diagnostics, color, width))
    }

    fn count(&self, severity: DiagnosticSeverity) -> usize {
        self.diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    }
}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize, word: &str| match count {
            1 => format!("1 {word}"),
            several => format!("{several} {word}s"),
        };
        write!(
            f,
            "{}: {}",
            self.path.display(),
            plural(self.count(DiagnosticSeverity::Error), "error")
        )?;
        match self.count(DiagnosticSeverity::Warning) {
            0 => Ok(()),
            warnings => write!(f, ", {}", plural(warnings, "warning")),
        }
    }
}

impl std::error::Error for PolicyErrors {}
