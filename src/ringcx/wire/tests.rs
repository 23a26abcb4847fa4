//! Each form an answer is documented or was seen to take, and bytes of no form at all.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;

const ONE: &str = "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9";
const TWO: &str = "aws80:00000000-bc74-af1a-2850-1d55a371c0a9";

fn server_time() -> DateTime<Utc> {
    http_date("Sun, 22 Nov 2026 03:30:00 GMT").unwrap()
}

fn jwt(claims: &str) -> String {
    format!(
        "{}.{}.sig",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#),
        URL_SAFE_NO_PAD.encode(claims)
    )
}

#[track_caller]
fn mints(body: &[u8], token: &str) {
    assert_eq!(
        minted(body).map(|token| token.expose().to_owned()),
        Ok(token.to_owned())
    );
}

#[track_caller]
fn mints_nothing(body: &[u8], why: &str) {
    assert_eq!(
        minted(body).err().map(|why| why.to_string()).as_deref(),
        Some(why)
    );
}

#[track_caller]
fn lists(body: &str, tokens: &[&str]) {
    let listed = listed(body.as_bytes());
    let mut listed: Vec<String> = listed
        .expect(body)
        .tokens
        .iter()
        .map(|token| token.expose().to_owned())
        .collect();
    listed.sort();
    let mut tokens = tokens.to_vec();
    tokens.sort_unstable();
    assert_eq!(listed, tokens, "{body}");
}

#[track_caller]
fn lists_nothing(body: &[u8], why: &str) {
    assert_eq!(
        listed(body).err().map(|why| why.to_string()).as_deref(),
        Some(why)
    );
}

#[track_caller]
fn lives(access: &str, server_time: Option<DateTime<Utc>>, seconds: u64) {
    let body = serde_json::json!({ "accessToken": access }).to_string();
    assert_eq!(
        login(body.as_bytes(), server_time).unwrap().lifetime,
        Duration::from_secs(seconds),
        "{access}"
    );
}

#[track_caller]
fn waits(value: &str, seconds: Option<u64>) {
    assert_eq!(
        retry_after(value, server_time()),
        seconds.map(Duration::from_secs),
        "{value}"
    );
}

#[test]
fn a_minted_token_comes_bare_quoted_or_with_a_line_end() {
    mints(ONE.as_bytes(), ONE);
    mints(format!("\"{ONE}\"").as_bytes(), ONE);
    mints(format!("{ONE}\r\n").as_bytes(), ONE);
    mints(format!("\u{feff} \"{ONE}\" \n").as_bytes(), ONE);
}

#[test]
fn a_minted_body_of_any_other_form_is_nonsense() {
    mints_nothing(b"", "the body is empty");
    mints_nothing(b" \r\n ", "the body is empty");
    mints_nothing(b"<html>502 Bad Gateway</html>", "the body is an HTML page");
    mints_nothing(b"aws80:\xff\xff\xff\xff\xff", "the body is not text");
    mints_nothing(
        b"\"\"",
        "the body is not a token: a token has 8 to 256 characters, this has 0",
    );
    for body in [
        format!("{ONE} {TWO}"),
        format!("{ONE}\n{TWO}"),
        format!("[\"{ONE}\"]"),
        format!("{{\"token\":\"{ONE}\"}}"),
        format!("\"{ONE}"),
        format!("aws80:{}\0", &ONE[6..]),
        "Too many requests, slow down".to_owned(),
    ] {
        let why = minted(body.as_bytes()).err().expect(&body);
        assert!(
            matches!(why, BodyError::NotToken(TokenFormError::Character { .. })),
            "{body}: {why}"
        );
    }
    assert!(minted("a".repeat(257).as_bytes()).is_err());
}

#[test]
fn a_list_is_a_json_array_or_the_brace_form_of_the_old_page() {
    lists(&format!("[\"{ONE}\",\"{TWO}\"]"), &[ONE, TWO]);
    lists(&format!("\u{feff}[ \"{ONE}\" ]\n"), &[ONE]);
    lists(&format!("{{ \"{ONE}\", \"{TWO}\" }}"), &[ONE, TWO]);
    lists(&format!("{{\"{ONE}\"}}"), &[ONE]);
    for empty in ["[]", "{}", "{ }", " [ ] "] {
        lists(empty, &[]);
    }
}

#[test]
fn a_token_listed_twice_is_one_token() {
    lists(&format!("[\"{ONE}\",\"{TWO}\",\"{ONE}\"]"), &[ONE, TWO]);
}

#[test]
fn an_odd_entry_of_a_list_hides_no_token() {
    for odd in [
        "null",
        "7",
        "true",
        "{\"token\":\"x\"}",
        "[[[]]]",
        "\"\"",
        "\"short\"",
        "\"two words\"",
        "\"bG9uZyBlbm91Z2g+/w==\"",
        "\"\\ud800 lone surrogate\"",
        "1e999",
    ] {
        for body in [
            format!("[{odd},\"{ONE}\",\"{TWO}\"]"),
            format!("[\"{ONE}\",\"{TWO}\", {odd} ]"),
            format!("{{ \"{ONE}\", {odd}, \"{TWO}\" }}"),
        ] {
            lists(&body, &[ONE, TWO]);
            assert_eq!(listed(body.as_bytes()).unwrap().odd, 1, "{body}");
        }
    }
    let no_text = [b"[\"\xff long enough\",\"", ONE.as_bytes(), b"\"]"].concat();
    let listed = listed(&no_text).unwrap();
    assert_eq!((listed.tokens.len(), listed.odd), (1, 1));
    lists(&format!("[\" {ONE}\\r\\n\"]"), &[ONE]);
}

#[test]
fn a_list_may_be_of_odd_entries_alone_and_null_is_an_empty_one() {
    for body in ["null", " null\n", "[null]", "[\"a+b=\"]", "[null,7]"] {
        lists(body, &[]);
    }
    assert_eq!(listed(b"null").unwrap().odd, 0);
    assert_eq!(listed(b"[null,\"a+b=\"]").unwrap().odd, 2);
}

#[test]
fn a_list_of_another_form_is_no_list() {
    let array = "the body is not a JSON array of strings";
    lists_nothing(b"", "the body is empty");
    lists_nothing(b"<!doctype html>", "the body is an HTML page");
    for body in [
        format!("[{{\"token\":\"{ONE}\"}}]"),
        format!("[[\"{ONE}\"]]"),
        "[7]".to_owned(),
        format!("[\"{ONE}\""),
        format!("[\"{ONE}\"] x"),
        format!("{{\"token\":\"{ONE}\"}}"),
        "{\"records\":[]}".to_owned(),
        format!("{{\"{ONE}\"]"),
        format!("\"{ONE}\""),
        ONE.to_owned(),
        "true".to_owned(),
    ] {
        lists_nothing(body.as_bytes(), array);
    }
}

#[test]
fn a_list_may_have_ten_thousand_tokens_and_no_more() {
    let list = |count: usize| {
        let tokens: Vec<String> = (0..count).map(|n| format!("\"aws80:{n:08}\"")).collect();
        format!("[{}]", tokens.join(","))
    };
    assert_eq!(
        listed(list(MAX_TOKENS).as_bytes()).unwrap().tokens.len(),
        MAX_TOKENS
    );
    lists_nothing(
        list(MAX_TOKENS + 1).as_bytes(),
        "the list has more than 10000 elements",
    );
}

// proves: irreversible-last
#[test]
fn a_deletion_is_accepted_by_true_or_silence_and_denied_by_false() {
    for body in ["true", "\"true\"", " true\n", ""] {
        assert_eq!(deleted(body.as_bytes()), Ok(Deletion::Accepted), "{body:?}");
    }
    for body in ["false", "\"false\"", "false\r\n"] {
        assert_eq!(deleted(body.as_bytes()), Ok(Deletion::Denied), "{body:?}");
    }
    for body in ["1", "truefalse", "{\"deleted\":true}", "ok", "<html>"] {
        assert!(deleted(body.as_bytes()).is_err(), "{body:?}");
    }
}

#[test]
fn a_login_needs_nothing_but_an_access_token() {
    let login = login(br#"{"accessToken":"opaque"}"#, None).unwrap();
    assert_eq!(login.access.expose(), "opaque");
    assert!(login.refresh.is_none());
    assert!(!login.password_reset);
}

#[test]
fn a_login_gives_its_refresh_token_and_tells_of_a_password_reset() {
    let body =
        br#"{"accessToken":"a","refreshToken":"r","adminPasswordReset":true,"agentDetails":null}"#;
    let login = login(body, None).unwrap();
    assert_eq!(login.refresh.unwrap().expose(), "r");
    assert!(login.password_reset);
}

#[test]
fn odd_optional_fields_do_not_spoil_a_login() {
    let body = br#"{"accessToken":"a","refreshToken":7,"adminPasswordReset":null,"adminId":"x"}"#;
    let login = login(body, None).unwrap();
    assert!(login.refresh.is_none());
    assert!(!login.password_reset);
}

#[test]
fn of_a_login_nothing_is_read_but_what_is_needed() {
    let agents = r#"{"agentId":1,"name":"x"},"#.repeat(20_000);
    let body = format!(
        r#"{{"agentDetails":[{agents}{{"n":1e999}}],"agentDetails":"\ud800","accessToken":"a","x":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000),
    );
    assert_eq!(login(body.as_bytes(), None).unwrap().access.expose(), "a");
    let latin = b"\xEF\xBB\xBF {\"name\":\"M\xfcller\",\"accessToken\":\"a\"}\r\n";
    assert_eq!(login(latin, None).unwrap().access.expose(), "a");
    let ringex = b"{\"scope\":\"\xfc\",\"scope\":7,\"access_token\":\"a\",\"expires_in\":9}";
    assert_eq!(ringex_access(ringex).unwrap().bearer.expose(), "a");
}

#[test]
fn a_login_without_a_usable_access_token_is_nonsense() {
    let why = |body: &str| login(body.as_bytes(), None).err().expect(body);
    for body in ["{}", r#"{"accessToken":null}"#, r#"{"accessToken":{}}"#] {
        assert_eq!(why(body), BodyError::NoAccessToken, "{body}");
    }
    let long = format!(r#"{{"accessToken":"{}"}}"#, "a".repeat(16 * 1024 + 1));
    for body in [
        r#"{"accessToken":""}"#,
        r#"{"accessToken":"a\r\nX-Evil: 1"}"#,
        r#"{"accessToken":"é"}"#,
        &long,
    ] {
        assert_eq!(why(body), BodyError::AccessTokenForm, "{body}");
    }
    for body in ["[]", "nope", "{\"accessToken\":\"a\""] {
        assert_eq!(
            why(body),
            BodyError::NotThat {
                expected: "a JSON object"
            },
            "{body}"
        );
    }
}

#[test]
fn an_access_token_lives_from_iat_to_exp_whatever_the_servers_date_says() {
    let now = server_time();
    let five_minutes = jwt(&format!(
        r#"{{"exp":{},"iat":{}}}"#,
        now.timestamp() + 300,
        now.timestamp()
    ));
    for date in [0, 200, 301, 86_400, -301] {
        lives(&five_minutes, Some(now + TimeDelta::seconds(date)), 300);
    }
}

#[test]
fn without_iat_the_answer_or_the_servers_date_tells_the_life() {
    let now = server_time();
    let in_90_s = jwt(&format!(r#"{{"exp":{}.75}}"#, now.timestamp() + 90));
    lives(&in_90_s, Some(now), 90);
    lives(&in_90_s, Some(now + TimeDelta::seconds(30)), 60);
    for expires_in in ["120", r#""120""#] {
        let body = format!(r#"{{"accessToken":"{in_90_s}","expires_in":{expires_in}}}"#);
        let life = login(body.as_bytes(), Some(now)).unwrap().lifetime;
        assert_eq!(life, Duration::from_secs(120));
    }
    // It was issued just now, so it has not ended.
    lives(&in_90_s, Some(now + TimeDelta::seconds(91)), 300);
}

#[test]
fn without_the_servers_time_an_access_token_lives_from_iat_to_exp() {
    lives(&jwt(r#"{"exp":1300,"iat":1000}"#), None, 300);
    lives(&jwt(r#"{"exp":1120,"iat":1000}"#), None, 120);
}

#[test]
fn a_lifetime_is_never_negative_nor_over_an_hour() {
    let now = server_time();
    lives(&jwt(r#"{"exp":1}"#), Some(now), 300);
    lives(&jwt(r#"{"exp":1,"iat":9}"#), Some(now), 300);
    lives(
        &jwt(&format!(r#"{{"exp":{}}}"#, now.timestamp() + 86_400)),
        Some(now),
        3600,
    );
    lives(&jwt(r#"{"exp":9223372036854775807}"#), Some(now), 3600);
    lives(
        &jwt(r#"{"exp":1e300,"iat":-9223372036854775808}"#),
        None,
        3600,
    );
    lives(
        &jwt(r#"{"exp":-9223372036854775808,"iat":9223372036854775807}"#),
        None,
        300,
    );
}

#[test]
fn an_access_token_that_tells_nothing_lives_five_minutes() {
    for access in [
        "opaque",
        "a.b.c",
        "eyJ.eyJ.eyJ",
        &jwt("{}"),
        &jwt("[]"),
        &jwt(r#"{"exp":"soon"}"#),
    ] {
        lives(access, Some(server_time()), 300);
    }
    lives(&jwt(r#"{"exp":1300}"#), None, 300);
}

#[test]
fn accounts_show_only_id_and_name_and_nothing_that_moves_a_cursor() {
    let body =
        br#"[{"accountId":"150100","accountName":"  Sales\u001b[31m\n\u202eIVR ","secret":"s"},
        {"accountId":150101},{"accountName":null}]"#;
    let account = |id: &str, name: &str| VisibleAccount {
        id: id.to_owned(),
        name: name.to_owned(),
    };
    assert_eq!(
        accounts(body),
        Ok(vec![
            account("150100", "Sales[31m IVR"),
            account("150101", ""),
            account("", "")
        ])
    );
    let long = format!(
        r#"[{{"accountId":"{0}","accountName":"{0}"}}]"#,
        "é".repeat(500)
    );
    let cut = &accounts(long.as_bytes()).unwrap()[0];
    assert_eq!(
        (cut.id.chars().count(), cut.name.chars().count()),
        (64, 128)
    );
}

#[test]
fn what_is_no_account_is_skipped_and_another_answer_is_nonsense() {
    for body in ["", "null", "[]", "[1]", "[null,[],\"x\"]"] {
        assert_eq!(accounts(body.as_bytes()), Ok(Vec::new()), "{body}");
    }
    for body in ["{}", "true", "\"x\"", "[{}", "[{}] x", "<html>"] {
        assert!(accounts(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn retry_after_is_seconds_or_a_date_and_at_most_an_hour() {
    waits("0", Some(0));
    waits(" 120 ", Some(120));
    waits("3601", Some(3_600));
    waits("86400", Some(3_600));
    waits("99999999999999999999999999", Some(3_600));
    waits("Sun, 22 Nov 2026 03:31:30 GMT", Some(90));
    waits("Sun, 22 Nov 2026 03:29:00 GMT", Some(0));
    waits("Fri, 31 Dec 9999 23:59:59 GMT", Some(3_600));
    for garbage in ["", "-5", "1.5", "soon", "Sun, 99 Nov 2026 03:31:30 GMT"] {
        waits(garbage, None);
    }
}

#[test]
fn all_but_unreserved_characters_are_percent_encoded() {
    assert_eq!(percent_encode("aZ09-._~"), "aZ09-._~");
    assert_eq!(
        percent_encode("p&s=w+r d%#?/é"),
        "p%26s%3Dw%2Br%20d%25%23%3F%2F%C3%A9"
    );
}

#[test]
fn what_ringex_gives_lives_as_long_as_it_says_and_at_most_a_day() {
    let lives = |expires: &str| {
        let body = format!(r#"{{"access_token":"a"{expires}}}"#);
        ringex_access(body.as_bytes()).unwrap().lifetime.as_secs()
    };
    for (expires, seconds) in [
        (r#","expires_in":3600"#, 3600),
        (r#","expires_in":"3600""#, 3600),
        (r#","expires_in":9999999999"#, 86_400),
        // Without a life that can be read it is used once.
        ("", 0),
        (r#","expires_in":-1"#, 0),
        (r#","expires_in":null"#, 0),
    ] {
        assert_eq!(lives(expires), seconds, "{expires}");
    }
    for body in [
        "",
        "[]",
        "{}",
        r#"{"access_token":""}"#,
        r#"{"access_token":"a b"}"#,
        r#"{"access_token":1}"#,
    ] {
        assert!(ringex_access(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_jwt_names_its_user_and_one_that_cannot_be_read_stands_for_itself() {
    assert_eq!(ringex_user(&jwt(r#"{"sub":"6242"}"#)), "RingEX user 6242");
    assert_eq!(ringex_user(&jwt(r#"{"sub":6242}"#)), "RingEX user 6242");
    for unreadable in [
        "a.b.c",
        "opaque",
        &jwt("{}"),
        &jwt(r#"{"sub":""}"#),
        &jwt(r#"{"sub":[1]}"#),
    ] {
        let user = ringex_user(unreadable);
        assert!(
            user.starts_with("RingEX JWT ") && !user.contains(unreadable),
            "{user}"
        );
    }
    assert_ne!(ringex_user("one"), ringex_user("another"));
    let long = ringex_user(&jwt(&format!(
        r#"{{"sub":"{}\u001b[31m"}}"#,
        "6".repeat(500)
    )));
    assert!(
        long.chars().count() < 90 && !long.chars().any(char::is_control),
        "{long:?}"
    );
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9._~:-]{8,256}"
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(body in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = (minted(&body), deleted(&body), accounts(&body), login(&body, None));
        let _ = listed(&body);
    }

    #[test]
    fn no_json_like_text_makes_a_parser_panic(body in r#"[\[\]{}",:a-z0-9\\u .eE+-]{0,200}"#) {
        let body = body.as_bytes();
        let _ = (minted(body), deleted(body), accounts(body), login(body, None), listed(body).map(|_| ()));
    }

    #[test]
    fn no_claims_make_a_lifetime_over_an_hour(claims in ".{0,64}", exp: i64, iat: i64, at in 0i64..4_000_000_000) {
        let at = DateTime::from_timestamp(at, 0);
        for claims in [claims, format!(r#"{{"exp":{exp},"iat":{iat}}}"#)] {
            for at in [at, None] {
                prop_assert!(jwt::lifetime(&jwt(&claims), None, at) <= Duration::from_secs(3600));
            }
        }
    }

    #[test]
    fn a_minted_token_survives_each_form(text in token()) {
        for body in [text.clone(), format!("\"{text}\""), format!("{text}\n")] {
            let minted = minted(body.as_bytes()).map(|token| token.expose().to_owned());
            prop_assert_eq!(minted, Ok(text.clone()));
        }
    }

    #[test]
    fn a_list_survives_both_forms(texts in proptest::collection::btree_set(token(), 0..20)) {
        let inside = texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ");
        for body in [format!("[{inside}]"), format!("{{ {inside} }}")] {
            let tokens = listed(body.as_bytes()).unwrap().tokens;
            prop_assert_eq!(tokens.len(), texts.len());
            prop_assert!(tokens.iter().all(|token| texts.contains(token.expose())));
        }
    }

    #[test]
    fn a_percent_encoded_text_is_what_a_server_reads(text in ".{0,40}") {
        let query = format!("password={}", percent_encode(&text));
        let read: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
        prop_assert_eq!(&read[0].1, &text);
    }
}
