//! The answer of `list`, element by element.
//!
//! A user's list has what other programs made as well, so one element that is no token must not
//! hide those that are. A list that is of another form altogether is no list: it would show every
//! token as gone.

use serde_json::value::RawValue;

use super::{BodyError, content};
use rotator_core::secret::Token;

/// The most tokens that a list may have: a user of RingCX has a few.
pub const MAX_TOKENS: usize = 10_000;

/// What stands on a list.
pub struct Listed {
    /// Its tokens, without duplicates.
    pub tokens: Vec<Token>,
    /// How many of its elements are no token.
    pub odd: usize,
}

/// Reads a JSON array of whole tokens, or the brace form `{ "a", "b" }` that the documentation of
/// 2024 prints. `null` is an empty list.
pub fn listed(body: &[u8]) -> Result<Listed, BodyError> {
    // A byte that is no text makes odd only the element that it is in.
    let text = String::from_utf8_lossy(content(body)?);
    // A token holds no comma, so this bounds the elements before any is allocated.
    if text.starts_with(['[', '{'])
        && text.bytes().filter(|byte| *byte == b',').count() >= MAX_TOKENS
    {
        return Err(BodyError::TooMany);
    }
    let inside = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let array = match inside {
        Some(inside) => format!("[{inside}]").into(),
        None if text == "null" => "[]".into(),
        None => text,
    };
    let other = BodyError::NotThat {
        expected: "a JSON array of strings",
    };
    let elements: Vec<&RawValue> = serde_json::from_str(&array).map_err(|_| other)?;
    // Of objects or numbers alone it is another answer than the one that was asked for.
    if !elements.is_empty() && !elements.iter().copied().any(may_stand_there) {
        return Err(other);
    }
    let (mut tokens, mut odd) = (Vec::new(), 0);
    for element in elements {
        match token(element) {
            Some(token) => tokens.push(token),
            None => odd += 1,
        }
    }
    tokens.sort_unstable_by(|one: &Token, other| one.expose().cmp(other.expose()));
    tokens.dedup_by(|one, other| one.expose() == other.expose());
    Ok(Listed { tokens, odd })
}

/// Whether this is of the type that a list is made of, or nothing in the place of one.
fn may_stand_there(element: &RawValue) -> bool {
    element.get().starts_with('"') || element.get() == "null"
}

/// White space around a token is not part of it: taken for odd, the token would show as gone.
fn token(element: &RawValue) -> Option<Token> {
    let text: String = serde_json::from_str(element.get()).ok()?;
    Token::try_new(text.trim()).ok()
}
