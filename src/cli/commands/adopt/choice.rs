//! Which tokens are meant: by the beginnings of their fingerprints, or by their numbers in the
//! table.

use std::collections::BTreeSet;
use std::io::BufRead;

use super::AdoptAction;
use super::files::FoundToken;
use crate::cli::context;
use crate::console::{Exit, Screen, output};
use rotator_core::secret::Fingerprint;

/// The tokens with these fingerprints.
pub fn only<'t>(
    tokens: &'t [FoundToken],
    chosen: &[Fingerprint],
) -> impl Iterator<Item = &'t FoundToken> {
    tokens
        .iter()
        .filter(|found| chosen.contains(&found.token.fingerprint))
}

/// The tokens whose fingerprints begin like this; an error if one is not the beginning of exactly
/// one.
pub fn matching(
    tokens: &[FoundToken],
    prefixes: &[String],
    screen: &Screen,
) -> Result<Vec<Fingerprint>, Exit> {
    let mut chosen = Vec::new();
    for prefix in prefixes {
        let all = tokens.iter().map(|found| found.token.fingerprint);
        let matching: Vec<Fingerprint> = all
            .filter(|fingerprint| fingerprint.to_string().starts_with(prefix))
            .collect();
        let error = match matching.as_slice() {
            [one] => {
                // Two beginnings may mean the same token; it is one request.
                if !chosen.contains(one) {
                    chosen.push(*one);
                }
                continue;
            }
            [] => format!("no foreign token has a fingerprint that begins with `{prefix}`"),
            many => format!(
                "{} tokens have a fingerprint that begins with `{prefix}`: give more of it",
                many.len()
            ),
        };
        return Err(context::failing(error, screen));
    }
    Ok(chosen)
}

/// Asks on the terminal for numbers of the table.
pub fn pick(
    tokens: &[FoundToken],
    action: AdoptAction,
    screen: &Screen,
) -> Result<Vec<Fingerprint>, Exit> {
    let what = match action {
        AdoptAction::Take => "Adopt",
        AdoptAction::Leave => "Leave alone",
    };
    output::stderr(format!("{what} which? [numbers; nothing: none] ").as_bytes());
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    // As if nothing was typed: without an answer nothing is adopted.
    if read.is_err() {
        return Ok(Vec::new());
    }
    numbered(tokens, &answer).map_err(|error| {
        screen.error(error);
        Exit::Usage
    })
}

/// The tokens of these numbers: `1, 3` is the first and the third.
pub fn numbered(tokens: &[FoundToken], answer: &str) -> Result<Vec<Fingerprint>, String> {
    let words = answer
        .split([' ', ',', '\t', '\n', '\r'])
        .filter(|word| !word.is_empty());
    let picked = words.map(|word| {
        let number: Option<usize> = word.parse().ok();
        // The table counts from 1, so 0 is not a number of it.
        let index = number.and_then(|number| number.checked_sub(1));
        let found = index.and_then(|index| tokens.get(index));
        found
            .map(|found| found.token.fingerprint)
            .ok_or_else(|| format!("`{word}` is not a number of the table"))
    });
    // One wrong word refuses the whole answer: part of it might not be what was meant.
    let picked: BTreeSet<Fingerprint> = picked.collect::<Result<_, _>>()?;
    Ok(picked.into_iter().collect())
}
