//! What is wrong with a policy, where, and how it is shown.
//!
//! A [`Diagnostic`] is complete in itself: it carries the piece of the file it shows, from which
//! everything that may be a secret has been taken before (see `policy/source.rs`). So neither its
//! `Debug` nor its rendering can give away what the file holds. Knows nothing of TOML or policies.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// Columns a rendering takes where the terminal's width is not known.
const DEFAULT_WIDTH: usize = 110;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// The policy is taken, but the operator should know.
    Warning,
}

/// One thing that is wrong with a policy, or doubtful in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The file it is in.
    pub file: PathBuf,
    /// From 1; absent where it is about the file as a whole.
    pub line: Option<usize>,
    /// In characters, from 1; absent where `line` is.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// What else is to be known, such as where the first of two was.
    pub note: Option<String>,
    /// The line, if it may be shown.
    #[serde(skip)]
    pub(super) excerpt: Option<Excerpt>,
}

/// A line of the file, fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub text: String,
    /// What to underline: bytes of `text`.
    pub underline: Range<usize>,
}

impl Excerpt {
    /// Where the underlined text begins here; elsewhere than in the file if a mask stands before
    /// it.
    fn column(&self) -> usize {
        self.text[..self.underline.start].chars().count() + 1
    }
}

/// Whether a rendering has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// ANSI colours.
    Always,
    /// Plain text.
    Never,
}

impl Diagnostic {
    /// A warning about a policy as a whole, from one who knows what the policy cannot: the machine.
    pub fn warning(file: &Path, message: String, help: String) -> Self {
        Self {
            severity: Severity::Warning,
            file: file.to_owned(),
            line: None,
            column: None,
            message,
            help: Some(help),
            note: None,
            excerpt: None,
        }
    }

    /// Shows it as rustc would: the message, the place, the offending text underlined, the help.
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
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
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

/// Shows several, one after the other with an empty line between them.
pub fn render(diagnostics: &[Diagnostic], color: Color, width: Option<usize>) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&diagnostic.render(color, width));
        text.push_str("\n\n");
    }
    text
}

/// Why a policy is refused: everything that is wrong with it, and its warnings.
#[derive(Debug)]
pub struct PolicyErrors {
    path: PathBuf,
    diagnostics: Vec<Diagnostic>,
}

impl PolicyErrors {
    pub(super) fn new(path: PathBuf, diagnostics: Vec<Diagnostic>) -> Self {
        Self { path, diagnostics }
    }

    /// The main file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Errors and warnings, in the order of the files and of the places in them.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Shows all of them, and a line that sums them up.
    pub fn render(&self, color: Color, width: Option<usize>) -> String {
        format!("{}{self}\n", render(&self.diagnostics, color, width))
    }

    fn count(&self, severity: Severity) -> usize {
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
            plural(self.count(Severity::Error), "error")
        )?;
        match self.count(Severity::Warning) {
            0 => Ok(()),
            warnings => write!(f, ", {}", plural(warnings, "warning")),
        }
    }
}

impl std::error::Error for PolicyErrors {}
