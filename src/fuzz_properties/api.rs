//! RingCX's and RingEX's answers as any bytes: a value of the stated form, or one of a few
//! sentences.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::ringcx::auth_config::{self, Likeness, ShownKey};
use crate::ringcx::redact;
use crate::ringcx::wire::{self, BodyError};
use rotator_core::secret::redact::BLOT;
use rotator_core::secret::{Secret, Token};

/// What a body may be said to be, digits taken out. Nothing of it can be in there.
const SENTENCES: [&str; 15] = [
    "the body is not the JSON of an auth config",
    "the body is not a JSON object with `records`",
    "the body is empty",
    "the body is an HTML page",
    "the body is not text",
    "the body is not a JSON object",
    "the body is not a JSON array of strings",
    "the body is not a JSON array of objects",
    "the body is not true or false",
    "the body has no accessToken",
    "the body has no access_token",
    "the access token is not  to  visible ASCII characters",
    "the body is not a token: a token has  to  characters, this has ",
    "the body is not a token: a token has only letters, digits and . _ ~ : -, this has another character at position ",
    "the list has more than  elements",
];

/// The secrets of the call that was made: a password with all that an encoding changes, and a
/// token.
const SECRETS: [&str; 2] = [
    "c0rrect horse+b&ttery=st%aple",
    "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9",
];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[track_caller]
fn says_nothing_of_it(error: &BodyError) {
    let text = error.to_string();
    let without_digits: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
    assert!(SENTENCES.contains(&without_digits.as_str()), "{text:?}");
}

/// The answer of `login` and of `refresh`.
pub fn login(body: &[u8]) {
    for server_time in [
        None,
        Some(DateTime::UNIX_EPOCH),
        Some(DateTime::<Utc>::MAX_UTC),
    ] {
        match wire::login(body, server_time) {
            Ok(login) => {
                std::iter::once(&login.access)
                    .chain(&login.refresh)
                    .for_each(fits_a_header);
                assert!(
                    login.lifetime <= Duration::from_secs(60 * 60),
                    "{:?}",
                    login.lifetime
                );
            }
            Err(error) => says_nothing_of_it(&error),
        }
    }
}

#[track_caller]
fn fits_a_header(secret: &Secret) {
    let text = secret.expose();
    assert!(
        (1..=16 * 1024).contains(&text.len()),
        "{} bytes of header",
        text.len()
    );
    assert!(
        text.bytes().all(|byte| byte.is_ascii_graphic()),
        "{text:?} in a header"
    );
}

/// RingEX's answer to a JWT.
pub fn ringex_access(body: &[u8]) {
    match wire::ringex_access(body) {
        Ok(access) => {
            fits_a_header(&access.bearer);
            assert!(access.lifetime <= DAY, "{:?}", access.lifetime);
        }
        Err(error) => says_nothing_of_it(&error),
    }
}

/// An operator's JWT, of which nothing is shown but the user that it names.
pub fn ringex_jwt(jwt: &[u8]) {
    let jwt = String::from_utf8_lossy(jwt);
    let user = wire::ringex_user(&jwt);
    let name = user
        .strip_prefix("RingEX ")
        .expect("it says whose user that is");
    assert!(
        name.chars().count() <= "user ".len() + 64,
        "{} characters",
        name.chars().count()
    );
    assert!(!name.chars().any(char::is_control), "{name:?}");
    // A JWT without its signature logs nobody in: that is not in a name.
    let mut parts = jwt.split('.');
    if let (true, Some(header), Some(claims)) =
        (name.starts_with("user "), parts.next(), parts.next())
    {
        assert_eq!(
            wire::ringex_user(&format!("{header}.{claims}.another")),
            user
        );
    }
}

/// The answer of `mint`.
pub fn mint(body: &[u8]) {
    match wire::minted(body) {
        Ok(token) => {
            super::has_the_form(&token);
            assert!(
                String::from_utf8_lossy(body).contains(token.expose()),
                "it was made up"
            );
        }
        Err(error) => says_nothing_of_it(&error),
    }
}

/// The answer of `list`.
pub fn list(body: &[u8]) {
    match wire::listed(body) {
        Ok(listed) => {
            let (tokens, all) = (&listed.tokens, listed.tokens.len() + listed.odd);
            assert!(all <= wire::MAX_TOKENS, "{all} elements");
            tokens.iter().for_each(super::has_the_form);
            let distinct: std::collections::BTreeSet<&str> =
                tokens.iter().map(|token| token.expose()).collect();
            assert_eq!(distinct.len(), tokens.len(), "a token is listed twice");
        }
        Err(error) => says_nothing_of_it(&error),
    }
}

/// The answer of `delete`.
pub fn delete(body: &[u8]) {
    if let Err(error) = wire::deleted(body) {
        says_nothing_of_it(&error);
    }
}

/// The answer of `accounts`.
pub fn accounts(body: &[u8]) {
    match wire::accounts(body) {
        Ok(accounts) => {
            assert!(accounts.len() <= body.len(), "{} accounts", accounts.len());
            for shown in accounts
                .iter()
                .flat_map(|account| [&account.id, &account.name])
            {
                assert!(shown.chars().count() <= 128, "{shown:?} is long");
                assert!(!shown.chars().any(char::is_control), "{shown:?}");
            }
        }
        Err(error) => says_nothing_of_it(&error),
    }
}

/// The answers about auth configs: one, and a list of them.
pub fn auth_config(body: &[u8]) {
    let token = Token::try_new(SECRETS[1]).expect("it has the form");
    let configs = match auth_config::many(body) {
        Ok(configs) => configs,
        Err(error) => {
            says_nothing_of_it(&error);
            Vec::new()
        }
    };
    assert!(
        configs.len() <= auth_config::MAX_CONFIGS,
        "{} auth configs",
        configs.len()
    );
    let one = auth_config::one(body).inspect_err(says_nothing_of_it).ok();
    for config in configs.iter().chain(&one) {
        for shown in [
            Some(&config.id),
            Some(&config.auth_type),
            config.updated.as_ref(),
        ]
        .into_iter()
        .flatten()
        {
            assert!(
                shown.chars().count() <= auth_config::MAX_TEXT,
                "{shown:?} is long"
            );
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
        }
        let shown = match &config.key {
            ShownKey::Whole(key) => key.expose() == token.expose(),
            ShownKey::Masked { head, tail } => {
                tail.len() >= 4
                    && token.expose().starts_with(head)
                    && token.expose().ends_with(tail)
            }
            ShownKey::Absent => false,
        };
        assert_eq!(
            config.key.likeness(&token) == Likeness::Fits,
            shown,
            "taken for our token, or not"
        );
        let change = auth_config::change(config, &token);
        assert_eq!(change["apiKey"], token.expose());
        assert_eq!(change["providerName"], *config.provider);
        assert_eq!(
            change.get("description").and_then(|text| text.as_str()),
            config.description.as_deref()
        );
    }
}

/// An error's body, and the same with the call's secrets put in where its first byte says.
pub fn refusal(body: &[u8]) {
    shown(body, &redact::said(body, &SECRETS));
    for secret in SECRETS {
        let percent = wire::percent_encode(secret);
        for written in [secret, &percent] {
            let at = body
                .first()
                .map_or(0, |first| usize::from(*first) % body.len());
            let planted = [&body[..at], b" ", written.as_bytes(), b" ", &body[at..]].concat();
            let said = redact::said(&planted, &SECRETS);
            assert!(!said.contains(written), "{said:?}");
            shown(&planted, &said);
        }
    }
}

fn shown(body: &[u8], said: &str) {
    assert!(
        said.chars().count() <= 200,
        "{} characters",
        said.chars().count()
    );
    assert!(!said.chars().any(char::is_control), "{said:?}");
    for (at, _) in said.match_indices(':') {
        let head = said[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
        let tail = said[at + 1..]
            .bytes()
            .take_while(|b| b.is_ascii_hexdigit() || *b == b'-')
            .count();
        let dashes = said[at + 1..at + 1 + tail].matches('-').count();
        assert!(!(head && tail >= 20 && dashes >= 2), "a token in {said:?}");
    }
    for (at, _) in said.match_indices("eyJ") {
        let length = said[at..]
            .bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || b"-_.=".contains(b))
            .count();
        assert!(length < 12, "a JWT in {said:?}");
    }
    // Not proof of much, but that it is not all blots.
    assert!(
        said.is_empty() || !body.is_empty() || said == BLOT,
        "said of nothing: {said:?}"
    );
}

/// The values of `Retry-After` and `Date`.
pub fn header(value: &[u8]) {
    let text = String::from_utf8_lossy(value);
    for now in [
        DateTime::UNIX_EPOCH,
        DateTime::<Utc>::MAX_UTC,
        DateTime::<Utc>::MIN_UTC,
    ] {
        if let Some(wait) = wire::retry_after(&text, now) {
            assert!(wait <= rotator_core::time::LONGEST_QUIET, "{wait:?}");
        }
    }
    if let Some(date) = wire::http_date(&text) {
        assert!(
            (1900..=9999).contains(&chrono::Datelike::year(&date)),
            "{date}"
        );
    }
}
