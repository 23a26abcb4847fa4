//! The policy's files as text: places in them, and which parts of them a diagnostic may show.
//!
//! The rule is an allow-list. A value is shown only if it was read as an ordinary option. A value
//! that was not read (of an unknown key, or a table where a string is expected) is shown as `…`. A
//! line with a value that may be a secret is not shown at all, nor is any line of a file that does
//! not parse. Comments are never shown. For example, `state-dri = "/x" # old` becomes
//! `state-dri = …`. Knows nothing of what keys mean, except which names may be those of secrets.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Excerpt;

/// One of the policy's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId(pub usize);

/// A place in one of the files, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    pub file: FileId,
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn new(file: FileId, range: Range<usize>) -> Self {
        Self {
            file,
            start: range.start,
            end: range.end,
        }
    }
}

/// A value, and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub value: T,
    pub span: Span,
}

impl<T: Clone> At<T> {
    /// The value that is written, or else this default.
    pub fn or(written: &Option<Self>, default: T) -> T {
        match written {
            Some(at) => at.value.clone(),
            None => default,
        }
    }
}

/// How an excerpt shows a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visibility {
    /// It was not read: as `…`.
    Unread,
    /// It is an ordinary option: as it is written.
    Plain,
    /// Not at all, and neither is the rest of its line.
    Secret,
}

/// True for keys that may hold a secret, including near-misses such as `pasword` or `api-key`:
/// their lines are not shown.
fn names_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let parts = [
        "pass",
        "pwd",
        "secret",
        "jwt",
        "token",
        "header",
        "credential",
        "auth",
        "signature",
    ];
    // These two are shown, unless their value holds more than an address: see `Table::mark`.
    let url = key.contains("url") && !["base-url", "ringex-url"].contains(&key.as_str());
    // `key` alone is not one of them: an env-file sink names its variable with it.
    let private_key = key.len() > 3 && key.ends_with("key");
    url || private_key || parts.iter().any(|part| key.contains(part))
}

/// The longest excerpt of a line, in bytes: several terminals wide.
const WIDEST: usize = 1024;

/// Keys, and values that hold no other value, by where they start: where they end, and how they are
/// shown. They do not overlap.
type Leaves = BTreeMap<usize, (usize, Visibility)>;

/// A file's text, and which parts of it may be shown.
pub(crate) struct SourceFile {
    pub path: PathBuf,
    pub text: Arc<str>,
    line_starts: Vec<usize>,
    /// Where the values start that were read as ordinary options.
    plain: HashSet<usize>,
    /// Where the values start that turned out to hold a secret.
    secret: HashSet<usize>,
    /// Whether nothing is shown, whatever a survey would find.
    hidden: bool,
    /// Absent until the survey, and where the text does not parse. Then nothing is shown.
    leaves: Option<Leaves>,
}

impl SourceFile {
    pub fn new(path: PathBuf, text: String) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let (plain, secret) = (HashSet::new(), HashSet::new());
        Self {
            path,
            text: text.into(),
            line_starts,
            plain,
            secret,
            hidden: false,
            leaves: None,
        }
    }

    /// Hides the whole file.
    pub fn hide(&mut self) {
        self.hidden = true;
    }

    /// Notes that the value that starts here was read as an ordinary option.
    pub fn mark_plain(&mut self, start: usize) {
        self.plain.insert(start);
    }

    /// Hides the lines of the value that starts here, whatever its key is called.
    pub fn mark_secret(&mut self, start: usize) {
        self.secret.insert(start);
    }

    /// Finds out what may be shown. Parses the text again, so it is done only for a file with an
    /// issue.
    pub fn survey(&mut self) {
        if self.leaves.is_some() || self.hidden {
            return;
        }
        let (root, errors) = DeTable::parse_recoverable(&self.text);
        // Without a whole parse it is unknown where secrets are, so nothing is shown.
        if !errors.is_empty() {
            return;
        }
        let mut leaves = Leaves::new();
        survey_table(root.get_ref(), Visibility::Unread, &mut leaves);
        for (start, (_, visibility)) in &mut leaves {
            // First what its reader found to hold a secret, whatever its key is called. And only
            // what is `Unread` becomes plain: a key that sounds like a secret stays hidden.
            if self.secret.contains(start) {
                *visibility = Visibility::Secret;
            } else if *visibility == Visibility::Unread && self.plain.contains(start) {
                *visibility = Visibility::Plain;
            }
        }
        self.leaves = Some(leaves);
    }

    /// Line and column in characters, both from 1.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts[line - 1];
        // An offset within a character has no text before it that could be cut out.
        let before = self.text.get(start..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// The first line of this place, with what may not be shown masked.
    pub fn excerpt(&self, span: Span) -> Option<Excerpt> {
        let leaves = self.leaves.as_ref()?;
        // A span that cuts a character cannot be underlined.
        self.text.get(span.start..span.end)?;
        let line = self.line(span.start);
        let mut shown = ExcerptLine {
            text: String::new(),
            underline: 0..0,
            span,
        };
        let mut at = line.start;
        // Between leaves there are only brackets, signs, blanks and comments, which hold no value.
        for (start, end, visibility) in leaves_in(leaves, &line) {
            if !shown.structure(&self.text, at..start.max(line.start)) {
                return Some(shown.finish());
            }
            let here = start.max(line.start)..end.min(line.end);
            match visibility {
                Visibility::Plain => shown.push(&self.text[here.clone()], here.clone()),
                Visibility::Unread => shown.push("…", here.clone()),
                Visibility::Secret => return None,
            }
            at = here.end;
        }
        shown.structure(&self.text, at..line.end);
        Some(shown.finish())
    }

    fn line(&self, offset: usize) -> Range<usize> {
        let index = self.line_starts.partition_point(|start| *start <= offset) - 1;
        let start = self.line_starts[index];
        let end = self
            .line_starts
            .get(index + 1)
            // Without the `\n` that ends it.
            .map_or(self.text.len(), |next| next - 1);
        // Files from Windows end their lines with `\r\n`.
        start..start + self.text[start..end].trim_end_matches('\r').len()
    }
}

fn leaves_in(
    leaves: &Leaves,
    line: &Range<usize>,
) -> impl Iterator<Item = (usize, usize, Visibility)> {
    // A value may have begun on an earlier line; as they do not overlap, only one can.
    let reaching_in = leaves
        .range(..line.start)
        .next_back()
        .filter(|(_, (end, _))| *end > line.start);
    reaching_in
        .into_iter()
        .chain(leaves.range(line.start..line.end))
        .map(|(start, (end, visibility))| (*start, *end, *visibility))
}

/// An excerpt while it is made. Masks change the positions of what follows them, so the underlined
/// part is tracked while text is added.
struct ExcerptLine {
    text: String,
    underline: Range<usize>,
    span: Span,
}

impl ExcerptLine {
    /// Adds what is between keys and values. False at a comment, which ends the line.
    fn structure(&mut self, text: &str, range: Range<usize>) -> bool {
        let between = &text[range.clone()];
        // A `#` within a string is not found here, because strings are leaves.
        let comment = between.find('#');
        let kept = &between[..comment.unwrap_or(between.len())];
        self.push(kept, range.start..range.start + kept.len());
        comment.is_none()
    }

    fn push(&mut self, shown: &str, original: Range<usize>) {
        let begins = self.text.len();
        self.text.push_str(shown);
        let place = |offset: usize| {
            let within = offset.saturating_sub(original.start);
            // A mask is underlined whole or not at all.
            if shown.len() == original.len() {
                begins + within.min(shown.len())
            } else {
                begins + shown.len()
            }
        };
        // The underline begins in the piece that holds the start of the span.
        if original.contains(&self.span.start) {
            let start = if shown.len() == original.len() {
                place(self.span.start)
            } else {
                begins
            };
            self.underline = start..start;
        }
        // It ends in the last piece into which the span reaches.
        if self.span.start < original.end && self.span.end > original.start {
            self.underline.end = place(self.span.end);
        }
    }

    fn finish(mut self) -> Excerpt {
        // Blanks stay behind where a comment was left out.
        let kept = self.text.trim_end().len();
        self.text.truncate(kept);
        let start = self.underline.start.min(kept);
        // The span may go on in a comment or on the next line, which the excerpt does not have.
        let end = self.underline.end.clamp(start, kept);
        shortened(self.text, start..end)
    }
}

/// The line, or the part of a longer line around what is underlined. A file may be one line of a
/// megabyte with an issue at each word.
fn shortened(text: String, underline: Range<usize>) -> Excerpt {
    if text.len() <= WIDEST {
        return Excerpt { text, underline };
    }
    let boundary = |at: usize| {
        (at..text.len())
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(text.len())
    };
    let begin = boundary(underline.start.saturating_sub(WIDEST / 4));
    let end = boundary(begin + WIDEST);
    let mark = |is_cut| if is_cut { "…" } else { "" };
    let (before, behind) = (mark(begin > 0), mark(end < text.len()));
    let moved = |at: usize| at.min(end) - begin + before.len();
    let underline = moved(underline.start)..moved(underline.end);
    Excerpt {
        text: format!("{before}{}{behind}", &text[begin..end]),
        underline,
    }
}

fn survey_table(table: &DeTable<'_>, inherited: Visibility, leaves: &mut Leaves) {
    for (key, value) in table {
        leaves
            .entry(key.span().start)
            .or_insert((key.span().end, Visibility::Plain));
        // A table named like a secret hides everything in it, whatever its keys are called.
        let visibility = if names_a_secret(key.get_ref()) {
            Visibility::Secret
        } else {
            inherited
        };
        survey(value, visibility, leaves);
    }
}

fn survey(value: &Spanned<DeValue<'_>>, visibility: Visibility, leaves: &mut Leaves) {
    match value.get_ref() {
        DeValue::Table(table) => survey_table(table, visibility, leaves),
        DeValue::Array(array) => array
            .iter()
            .for_each(|item| survey(item, visibility, leaves)),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {
            leaves.insert(value.span().start, (value.span().end, visibility));
        }
    }
}
