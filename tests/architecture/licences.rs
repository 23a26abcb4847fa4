//! Licence expressions, as Cargo shows them.

use std::collections::BTreeSet;

use spdx::{Expression, ParseMode};

/// Whether one of the ways to read this licence is allowed altogether. The old form with a slash is known;
/// what is not on the list of SPDX is not allowed.
pub fn is_allowed(licence: &str, allowed: &BTreeSet<String>) -> bool {
    let mode = ParseMode { allow_slash_as_or_operator: true, allow_deprecated: true, ..ParseMode::STRICT };
    Expression::parse_mode(licence, mode)
        .is_ok_and(|expression| expression.evaluate(|required| allowed.contains(&required.to_string())))
}
