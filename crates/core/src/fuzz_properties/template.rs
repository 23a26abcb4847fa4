//! A template of any bytes: a text of bounded size, or an error in bounded words without a token.

use std::collections::BTreeMap;

use chrono::DateTime;

use crate::event::GenerationNo;
use crate::secret::Token;
use crate::template::{LARGEST, RenderedToken, Template, TemplateError, Values};

const OWN: &str = "aws80:canary-0wn-1d55a371c0a9";
const OTHER: &str = "aws80:canary-0ther-1d55a371c0a9";

/// Parses, tries out and renders it.
pub fn rendering(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else {
        return;
    };
    let template = match Template::try_new(source.to_owned()) {
        Ok(template) => template,
        Err(error) => return is_told_in_short(&error),
    };
    if let Err(error) = template.try_out("ivr", &["crm".to_owned()]) {
        is_told_in_short(&error);
    }
    let shown = |text: &str| RenderedToken {
        token: Token::try_new(text).expect("it has the form"),
        generation: GenerationNo(7),
        minted_at: DateTime::UNIX_EPOCH,
    };
    let others = BTreeMap::from([("crm".to_owned(), shown(OTHER))]);
    match template.render(&Values {
        account: "ivr",
        own: &shown(OWN),
        others: &others,
    }) {
        Ok(text) => assert!(text.len() <= LARGEST, "{} bytes", text.len()),
        Err(error) => is_told_in_short(&error),
    }
}

fn is_told_in_short(error: &TemplateError) {
    let text = error.to_string();
    super::is_one_short_line(&text);
    assert!(!text.contains(OWN) && !text.contains(OTHER), "{text}");
}
