//! What a foreign text may still say, and what it never may.

use proptest::prelude::*;

use super::super::wire::percent_encode;
use super::*;

const PASSWORD: &str = "p&s s=\"w\\<'é+/%";
const TOKEN: &str = "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9";

#[track_caller]
fn says(body: &str, expected: &str) {
    assert_eq!(said(body.as_bytes(), &[PASSWORD]), expected, "{body}");
}

#[test]
fn the_json_error_of_ringcx_becomes_one_line_whatever_is_missing() {
    let whole = r#"{"errorCode":"access.denied.exception","generalMessage":"Not\n allowed","details":"",
        "requestUri":"/api?password=x","timestamp":1}"#;
    says(whole, "access.denied.exception: Not allowed");
    says(
        r#"{"errorCode":"access.denied.exception"}"#,
        "access.denied.exception",
    );
    says(
        r#"{"generalMessage":"Not allowed","errorCode":null}"#,
        "Not allowed",
    );
    says(
        r#"{"generalMessage":"","errorCode":7}"#,
        r#"{"generalMessage":"","errorCode":7}"#,
    );
}

#[test]
fn text_is_said_as_it_is_and_a_page_only_named() {
    says("Jwt is expired\r\n", "Jwt is expired");
    says("", "");
    says("\u{feff}\n <!DOCTYPE html><p>secret", "an HTML page");
    says("a\u{0}b\u{1b}[31m\u{202e}\tc\u{7f}", "ab[31m c");
}

#[test]
fn a_long_text_is_cut_at_two_hundred_characters() {
    let cut = said("é".repeat(5000).as_bytes(), &[]);
    assert_eq!(cut.chars().count(), 200);
    assert!(cut.ends_with("é…"), "{cut}");
    assert_eq!(said(&[b'a'; 200], &[]), "a".repeat(200));
}

#[test]
fn bytes_that_are_no_text_are_survived() {
    assert_eq!(said(b"a \xff b", &[]), "a \u{fffd} b");
}

// fault: no-leak at secret/redact line: nothing is redacted in the texts of others
#[test]
fn an_echoed_password_is_blotted_in_every_spelling() {
    let html = "p&amp;s s=&quot;w\\&lt;&#39;é+/%";
    for echo in [
        PASSWORD.to_owned(),
        percent_encode(PASSWORD),
        percent_encode(PASSWORD).to_lowercase(),
        percent_encode(PASSWORD).replace("%20", "+"),
        percent_encode(&percent_encode(PASSWORD)),
        serde_json::to_string(PASSWORD)
            .unwrap()
            .trim_matches('"')
            .to_owned(),
        PASSWORD.replace('é', "\\u00e9").replace('<', "\\u003C"),
        html.to_owned(),
    ] {
        says(
            &format!("bad password {echo}, try again"),
            &format!("bad password {BLOT}, try again"),
        );
        says(&format!("x{echo}{echo}y"), &format!("x{BLOT}{BLOT}y"));
    }
    let json = serde_json::json!({ "generalMessage": format!("bad password {PASSWORD}") });
    says(&json.to_string(), &format!("bad password {BLOT}"));
}

#[test]
fn a_password_that_a_control_character_breaks_up_is_blotted() {
    assert_eq!(
        line("is hun\u{0}ter2 wrong", &["hunter2"]),
        format!("is {BLOT} wrong")
    );
    assert_eq!(
        line("is two  words wrong", &["two  words"]),
        format!("is {BLOT} wrong")
    );
}

#[test]
fn a_password_cut_by_the_end_of_the_text_is_blotted() {
    assert_eq!(
        line("is correct-hor", &["correct-horse"]),
        format!("is {BLOT}")
    );
    assert_eq!(line("is caf", &["café-noir"]), "is caf");

    assert_eq!(line("is le%20caf%C3", &["le café"]), format!("is {BLOT}"));
    let mut body = vec![b' '; MAX_LOOKED_AT - 8];
    body.extend(b"correct-horse");
    assert_eq!(said(&body, &["correct-horse"]), BLOT);
}

#[test]
fn a_percent_sign_in_a_password_is_read_both_ways() {
    assert_eq!(
        line("is 100%25 or 100%2525.", &["100%25"]),
        format!("is {BLOT} or {BLOT}.")
    );
}

#[test]
fn the_longer_of_two_secrets_goes_first() {
    assert_eq!(line("abcdefgh", &["abcd", "abcdefgh", ""]), BLOT);
}

#[test]
fn what_looks_like_a_secret_is_blotted_though_nobody_knows_it() {
    let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2ln";
    for (text, clean) in [
        (
            format!("token {TOKEN} unknown"),
            format!("token {BLOT} unknown"),
        ),
        (
            format!("DELETE /admin/token/{TOKEN}: no"),
            format!("DELETE /admin/token/{BLOT}: no"),
        ),
        (TOKEN.replace(':', "%3A"), BLOT.to_owned()),
        (format!("({TOKEN},{TOKEN})"), format!("({BLOT},{BLOT})")),
        (
            format!("Bearer {jwt}, expired"),
            format!("Bearer {BLOT}, expired"),
        ),
        (
            "at /login?username=a&password=b now".to_owned(),
            format!("at /login?{BLOT} now"),
        ),
    ] {
        assert_eq!(line(&text, &[]), clean);
    }
}

#[test]
fn what_only_resembles_a_secret_stays() {
    for text in [
        "Why? Because a=b",
        "10.0.0.1:8443 refused",
        "at 2026-11-22T03:30:00Z: no",
        "eyJ",
        "error:12",
    ] {
        assert_eq!(line(text, &[]), text);
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_grow(body in proptest::collection::vec(any::<u8>(), 0..2000), secret in ".{0,12}") {
        prop_assert!(said(&body, &[&secret]).chars().count() <= MAX_SAID);
    }

    // proves: no-leak
    #[test]
    fn a_secret_never_survives_in_any_mixture_of_spellings(
        secret in "[!-Zd-~é ]{6,20}",
        spellings in proptest::collection::vec(0..4u8, 20),
        before in "[a-c ]{0,10}",
        after in "[a-c ]{0,10}",
    ) {
        let spelled: String = secret.chars().zip(spellings).map(|(c, spelling)| match spelling {
            0 => percent_encode(&c.to_string()),
            1 if !c.is_ascii_alphanumeric() => percent_encode(&c.to_string()).to_lowercase(),
            2 => format!("\\u{:04X}", u32::from(c)),
            _ => c.to_string(),
        }).collect();
        let text = line(&format!("{before}{spelled}{after}"), &[&secret]);
        prop_assert!(text.contains(BLOT), "{text:?} of {spelled:?}");
        prop_assert!(!text.contains(&secret));
    }
}
