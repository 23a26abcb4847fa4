//! A text with places for tokens: what a template may say, and what is made of it.
//!
//! Rendering is a pure function of the template and the tokens: no time, no files, no other
//! templates, a bounded number of steps and a bounded size. What this does not know: where the text
//! goes, and which tokens are due. Errors say where in the template something is wrong; of its
//! values they never say anything.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use chrono::{DateTime, SecondsFormat, Utc};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use secrecy::zeroize::Zeroizing;

use crate::event::GenerationNo;
use crate::secret::redact::{MAX_SAID, plain};
use crate::secret::{Fingerprint, Token};

mod escape;
mod print;
#[cfg(test)]
mod tests;

/// The largest template, and the largest text made of one, in bytes: more than any file of settings
/// has.
pub const LARGEST: usize = 1024 * 1024;

/// Steps of one rendering: many thousand lines' worth.
const MOST_STEPS: u64 = 500_000;

// The engine wants a name for each template; errors of ours give only the line.
const NAME: &str = "template";

/// A template that was parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: String,
}

/// One account's token as a template sees it.
#[derive(Clone)]
pub struct RenderedToken {
    /// The token in clear.
    pub token: Token,
    /// Its generation, counted in its account.
    pub generation: GenerationNo,
    /// When it was minted.
    pub minted_at: DateTime<Utc>,
}

/// What a rendering is made of.
pub struct Values<'a> {
    /// The account whose file it is.
    pub account: &'a str,
    /// The token of that account.
    pub own: &'a RenderedToken,
    /// The tokens of other accounts, by name.
    pub others: &'a BTreeMap<String, RenderedToken>,
}

/// Why there is no text. Never quotes a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is not a template, or asks for what there is not.
    #[error("line {line}: {what}")]
    At {
        /// Line of the template, counted from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// It makes more than 1 MiB.
    #[error("it makes more than 1 MiB of text")]
    TooLarge,
    /// It takes too many steps.
    #[error("it takes too many steps: is there a loop without an end?")]
    TooLong,
}

/// What a trial with made-up tokens has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateCheck {
    /// The account's own token is nowhere in the text.
    pub lacks_own: bool,
    /// These other accounts' tokens are nowhere in the text.
    pub lacks: BTreeSet<String>,
}

impl Template {
    /// Parses a text of at most [`LARGEST`] bytes.
    pub fn try_new(source: String) -> Result<Self, TemplateError> {
        // Before parsing, whose cost grows with the text.
        if source.len() > LARGEST {
            return Err(TemplateError::TooLarge);
        }
        environment()
            .template_from_named_str(NAME, &source)
            // No token is known yet, so what the engine says cannot hold one.
            .map_err(|error| wrong(&error, Detail::Told))?;
        // Only the text is kept: what the engine makes of it borrows both text and environment.
        Ok(Self { source })
    }

    /// What tells this template from another.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.source.as_bytes())
    }

    /// The text with these tokens in it.
    pub fn render(&self, values: &Values<'_>) -> Result<Zeroizing<Vec<u8>>, TemplateError> {
        self.render_with(values, Detail::Hidden)
    }

    /// Renders it with made-up tokens, so that what is wrong with it shows before there are any.
    pub fn try_out(
        &self,
        account: &str,
        others: &[String],
    ) -> Result<TemplateCheck, TemplateError> {
        // Each token differs, so that it shows which of them the text lacks.
        let shown = |number: usize| RenderedToken {
            token: Token::try_new(&format!("saMple:00000000-0000-0000-0000-{number:012}"))
                .expect("it has the form of a token"),
            generation: GenerationNo(number as u64),
            minted_at: DateTime::UNIX_EPOCH,
        };
        let own = shown(0);
        let peers: BTreeMap<String, RenderedToken> = others
            .iter()
            .enumerate()
            .map(|(at, name)| (name.clone(), shown(at + 1)))
            .collect();
        let text = self.render_with(
            &Values {
                account,
                own: &own,
                others: &peers,
            },
            Detail::Told,
        )?;
        // A token is ASCII, so replaced bytes elsewhere do not hide it.
        let text = String::from_utf8_lossy(&text);
        let lacks = |shown: &RenderedToken| !text.contains(shown.token.expose());
        Ok(TemplateCheck {
            lacks_own: lacks(&own),
            lacks: peers
                .iter()
                .filter(|(_, shown)| lacks(shown))
                .map(|(name, _)| name.clone())
                .collect(),
        })
    }

    fn render_with(
        &self,
        values: &Values<'_>,
        detail: Detail,
    ) -> Result<Zeroizing<Vec<u8>>, TemplateError> {
        let environment = environment();
        let template = environment
            .template_from_named_str(NAME, &self.source)
            .map_err(|error| wrong(&error, detail))?;
        // Wiped when dropped, also where rendering ends in an error: tokens may be in it.
        let mut text = Capped {
            text: Zeroizing::new(Vec::new()),
            is_full: false,
        };
        match template.render_captured_to(context(values), &mut text) {
            Ok(_) => Ok(text.text),
            // Asked first: the engine's own error only says that writing failed.
            Err(_) if text.is_full => Err(TemplateError::TooLarge),
            // The engine stops once `MOST_STEPS` are used up.
            Err(error) if error.kind() == ErrorKind::OutOfFuel => Err(TemplateError::TooLong),
            Err(error) => Err(wrong(&error, detail)),
        }
    }
}

/// Whether an error may repeat what the template engine says: only where no token can be in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Told,
    Hidden,
}

fn wrong(error: &minijinja::Error, detail: Detail) -> TemplateError {
    let what = match error.detail().filter(|_| detail == Detail::Told) {
        // It repeats what the template says, however long.
        Some(said) => format!("{}: {}", error.kind(), plain(said, MAX_SAID)),
        None => error.kind().to_string(),
    };
    TemplateError::At {
        // An error of the template as a whole has no line.
        line: error.line().unwrap_or(1),
        what,
    }
}

fn environment<'source>() -> Environment<'source> {
    let mut environment = Environment::new();
    // A misspelled name is an error instead of an empty place in a file of credentials.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // By default the engine drops the line end that closes a file.
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the default delimiters are distinct"));
    // The name does not tell the format of a file, so the template itself names the filter that
    // escapes.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(print::print);
    // Bounds a loop without an end, which nothing else would stop.
    environment.set_fuel(Some(MOST_STEPS));
    escape::add_to(&mut environment);
    environment
}

fn context(values: &Values<'_>) -> Value {
    let mut names = members(values.own);
    let others = values
        .others
        .iter()
        .map(|(name, shown)| (name.clone(), Value::from_pairs(members(shown))));
    names.push(("account", Value::from(values.account)));
    names.push(("accounts", Value::from_pairs(others)));
    Value::from_pairs(names)
}

fn members(shown: &RenderedToken) -> Vec<(&'static str, Value)> {
    vec![
        ("token", Value::from(shown.token.expose())),
        ("generation", Value::from(shown.generation.0)),
        (
            "fingerprint",
            Value::from(shown.token.fingerprint().to_string()),
        ),
        (
            "minted_at",
            Value::from(shown.minted_at.to_rfc3339_opts(SecondsFormat::Secs, true)),
        ),
    ]
}

/// Takes what is rendered, up to a limit.
struct Capped {
    text: Zeroizing<Vec<u8>>,
    is_full: bool,
}

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Before the copy: a short template can repeat a value into any size.
        if self.text.len() + bytes.len() > LARGEST {
            self.is_full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
