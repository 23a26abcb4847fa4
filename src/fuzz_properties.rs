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
pub mod webhook;

#[cfg(test)]
pub(crate) mod tests;

use rotator_core::fuzz_properties::{has_the_form, is_one_short_line, template};
use rotator_policy::fuzz_properties::{self as policy, put};

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
