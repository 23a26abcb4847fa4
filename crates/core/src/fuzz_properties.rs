//! What any bytes that this crate reads must come to: properties for tests and for fuzzing.
//!
//! Each gives bytes to the crate's own code, as a broken server, a careless hand or an attacker
//! would, and panics where a promise is broken. The corpora and the list of all targets are with
//! the program.

pub mod template;

/// The longest error or other foreign text in one, in bytes.
const LONGEST_ERROR: usize = 1024;

/// An error is one short line that can be shown on a terminal.
#[track_caller]
pub fn is_one_short_line(error: &str) {
    assert!(
        !error.is_empty() && error.len() <= LONGEST_ERROR,
        "{} bytes of error",
        error.len()
    );
    assert!(
        !error.chars().any(char::is_control),
        "a control character in {error:?}"
    );
}

/// What is a token has the form of one.
#[track_caller]
pub fn has_the_form(token: &crate::secret::Token) {
    let text = token.expose();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._~:-".contains(&byte);
    assert!(
        (8..=256).contains(&text.len()) && text.bytes().all(fits),
        "{text:?} was taken for a token"
    );
}
