//! What RingCX may show of an auth config, and what is made of it.

use super::*;

const TOKEN: &str = "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9";

fn body(key: &str) -> String {
    format!(
        "{{\"authConfigId\":\"c1\",\"authType\":\"APIKEY\",\"providerName\":\"CRM\",\"description\":null,\
         \"createdTime\":1,\"updatedTime\":\"2026-11-22T03:30:00.000+0000\"{key}}}"
    )
}

#[track_caller]
fn check(key: &str, expected: Likeness, whole: Option<&str>) {
    let config = one(body(&format!(",\"apiKey\":{key}")).as_bytes())
        .ok()
        .unwrap();
    assert_eq!(
        config.key.likeness(&Token::try_new(TOKEN).unwrap()),
        expected,
        "{key}"
    );
    let shown = match &config.key {
        ShownKey::Whole(key) => Some(key.expose()),
        ShownKey::Masked { .. } | ShownKey::Absent => None,
    };
    assert_eq!(shown, whole, "{key}");
}

#[test]
fn a_key_is_told_whole_masked_or_absent() {
    check(&format!("\"{TOKEN}\""), Likeness::Fits, Some(TOKEN));
    check(
        "\"aws80:another\"",
        Likeness::Differs,
        Some("aws80:another"),
    );
    for absent in ["null", "\"\"", "7"] {
        check(absent, Likeness::Tells, None);
    }
    for (masked, likeness) in [
        ("aws80:********c0a9", Likeness::Fits),
        ("••••••c0a9", Likeness::Fits),
        ("xxxxxxxxxxxxc0a9", Likeness::Fits),
        ("aws80:…c0a9", Likeness::Fits),
        ("********", Likeness::Tells),
        ("aws80:****a9", Likeness::Tells),
        ("********dead", Likeness::Differs),
        ("aws81:****c0a9", Likeness::Differs),
    ] {
        check(&format!("\"{masked}\""), likeness, None);
    }
}

#[test]
fn what_is_sent_back_is_what_came() {
    let text = body("").replace("null", "\"for the IVR\"");
    let config = one(text.as_bytes()).ok().unwrap();
    assert_eq!(
        config.updated.as_deref(),
        Some("2026-11-22T03:30:00.000+0000")
    );
    let sent = change(&config, &Token::try_new(TOKEN).unwrap());
    let expected = serde_json::json!({
        "providerName": "CRM", "description": "for the IVR", "authType": "APIKEY", "apiKey": TOKEN,
    });
    assert_eq!(sent, expected);
    let without = one(body("").as_bytes()).ok().unwrap();
    assert_eq!(
        change(&without, &Token::try_new(TOKEN).unwrap()).get("description"),
        None
    );
}

#[test]
fn a_list_is_understood_whole_or_not_at_all() {
    let two = format!("{{\"records\":[{},{}]}}", body(""), body(""));
    assert_eq!(many(two.as_bytes()).ok().unwrap().len(), 2);
    assert!(many(b"{\"records\":[]}").ok().unwrap().is_empty());
    for bad in [
        "[]",
        "{}",
        "{\"records\":{}}",
        "{\"records\":[7]}",
        "{\"records\":[{\"authType\":\"JWT\"}]}",
    ] {
        assert!(many(bad.as_bytes()).is_err(), "{bad}");
    }
    for bad in ["", "<html>", "[]", "{}", "\"text\""] {
        assert!(one(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn no_error_repeats_a_body() {
    for bad in [
        "{\"apiKey\":\"canary\"}",
        "canary",
        "{\"authConfigId\":\"c\",\"apiKey\":\"canary\"}",
    ] {
        let error = one(bad.as_bytes())
            .err()
            .expect("no auth config")
            .to_string();
        assert!(!error.contains("canary"), "{error}");
    }
}
