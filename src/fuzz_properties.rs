//! What any bytes must come to. The properties are written here once: `cargo test` holds the
//! corpora of `fuzz/corpus` and generated input against them, the fuzz targets of `fuzz/` whatever
//! they can think of.
//!
//! Compiled for tests and for fuzzing only. Each target gives bytes to the program's own code, as a
//! broken server, a careless hand or an attacker would, and panics where a promise is broken. What
//! it does not know: where the bytes came from.

pub mod api;
pub mod control;
pub mod env_file;
pub mod persisted;
pub mod policy;
pub mod template;
pub mod webhook;

#[cfg(test)]
pub(crate) mod tests;

/// A property, by the name of its fuzz target and of its directory of seeds.
pub type Target = (&'static str, fn(&[u8]));

/// Every one of them.
pub const TARGETS: [Target; 18] = [
    ("policy", policy::loading),
    ("login", api::login),
    ("ringex_access", api::ringex_access),
    ("ringex_jwt", api::ringex_jwt),
    ("mint", api::mint),
    ("list", api::list),
    ("delete", api::delete),
    ("accounts", api::accounts),
    ("auth_config", api::auth_config),
    ("refusal", api::refusal),
    ("header", api::header),
    ("env_file", env_file::editing),
    ("template", template::rendering),
    ("receipt", webhook::receipt),
    ("request", control::request),
    ("answer", control::answer),
    ("journal", persisted::journal),
    ("token_file", persisted::token_file),
];

/// The longest error or other foreign text in one, in bytes.
const LONGEST_ERROR: usize = 1024;

/// An error is one short line that can be shown on a terminal.
#[track_caller]
fn is_one_short_line(error: &str) {
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
fn has_the_form(token: &crate::secret::Token) {
    let text = token.expose();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._~:-".contains(&byte);
    assert!(
        (8..=256).contains(&text.len()) && text.bytes().all(fits),
        "{text:?} was taken for a token"
    );
}

/// A file of a test, which nobody reads while it is written.
fn put(path: &std::path::Path, bytes: impl AsRef<[u8]>) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).expect("it can be made");
    file.write_all(bytes.as_ref()).expect("it can be written");
}
