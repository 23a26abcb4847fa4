//! A policy that is broken at random around a password does not leak it. What holds for any bytes is
//! in `src/fuzz_properties.rs`.

use super::{ACCOUNT, Setup};
use proptest::prelude::*;
use rotator_policy::Color;

/// Loads, renders, and looks for the canary in the result.
fn survives(bytes: &[u8]) -> Result<(), TestCaseError> {
    let setup = Setup::new("");
    setup.add("config.toml", bytes);
    let shown = match setup.load() {
        Ok(loaded) => rotator_policy::render(&loaded.warnings, Color::Never, Some(60)),
        Err(errors) => {
            prop_assert!(!errors.diagnostics().is_empty());
            errors.render(Color::Always, Some(60))
        }
    };
    prop_assert!(!shown.contains("canary"), "{}", shown);
    Ok(())
}

/// Pieces that turn one valid policy into another, or into none.
const PIECES: [&str; 14] = [
    "\"",
    "'''",
    "\"\"\"",
    "[",
    "]]",
    "{",
    "}",
    "=",
    "\n",
    "#",
    "\\",
    "é",
    "\u{0}",
    "0 0 30 2 *",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_password_stays_unsaid_whatever_else_is_broken(
        at in any::<prop::sample::Index>(), piece in 0..PIECES.len(), removed in 0..6_usize,
    ) {
        let account = ACCOUNT.replace("{ credential = \"sales-ivr\" }", "\"canary\"");
        let mut text: Vec<char> = account.chars().collect();
        let at = at.index(text.len());
        let end = (at + removed).min(text.len());
        text.splice(at..end, PIECES[piece].chars());
        survives(text.into_iter().collect::<String>().as_bytes())?;
    }
}
