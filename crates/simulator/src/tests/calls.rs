//! The six calls as they are documented, and in every form they are feared to have.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use rotator_core::secret::Token;

#[tokio::test]
async fn a_token_lives_from_its_mint_to_its_delete() {
    let bench = Bench::new().await;
    let record = bench.simulator.record();
    let (access, _) = bench.session().await;
    assert_eq!(bench.list(&access).await.body, "[]");
    let minted = bench.mint(&access).await;
    let token = minted.body.as_str();
    assert_eq!(minted.header("content-type"), Some("text/plain"));
    assert!(
        Token::try_new(token).is_ok() && token.starts_with("aws80:"),
        "{token}"
    );
    assert!(record.is_alive(token) && record.dead_since(token).is_none());

    for path in [TOKEN, ACCOUNTS] {
        let answer = read(
            bench
                .request(Method::GET, path)
                .header("X-Auth-Token", token),
        )
        .await;
        assert_eq!(answer.status, 200, "{path}");
    }
    assert_eq!(bench.list(&access).await.json(), serde_json::json!([token]));
    let gone = read(
        bench
            .request(Method::DELETE, &format!("{TOKEN}/{token}"))
            .header("x-auth-token", token),
    );
    assert_eq!(gone.await.body, "true");
    assert!(!record.is_alive(token) && record.dead_since(token) >= record.alive_since(token));
    let dead = read(
        bench
            .request(Method::GET, TOKEN)
            .header("X-Auth-Token", token),
    )
    .await;
    assert_eq!(dead.status, 401);

    let entry = &record.tokens()[0];
    assert_eq!(
        (entry.minted_by, entry.deleted_by),
        (MintedBy::Api, Some(DeletedBy::Api))
    );
    let kinds: Vec<_> = record
        .calls()
        .iter()
        .map(|call| (call.call, call.auth, call.effect))
        .collect();
    let expected = [
        (Call::Login, AuthKind::Query, true),
        (Call::List, AuthKind::Bearer, false),
        (Call::Mint, AuthKind::Bearer, true),
        (Call::List, AuthKind::Token, false),
        (Call::Accounts, AuthKind::Token, false),
        (Call::List, AuthKind::Bearer, false),
        (Call::Delete, AuthKind::Token, true),
        (Call::List, AuthKind::Token, false),
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn a_login_comes_as_query_or_as_form_and_needs_the_password() {
    let bench = Bench::with_user("ann", "p&w +ü").await;
    assert_eq!(bench.login("ann", "p&w +ü").await.status, 200);
    let form = [
        ("username", "ann"),
        ("password", "p&w +ü"),
        ("platformId", "aws80"),
    ];
    let answer = read(bench.request(Method::POST, LOGIN).form(&form)).await;
    assert_eq!(answer.json()["platformId"], "aws80");
    for (user, password) in [("ann", "wrong"), ("nobody", "p&w +ü")] {
        let refused = bench.login(user, password).await;
        assert_eq!(
            (refused.status.as_u16(), refused.header("content-type")),
            (401, Some("text/plain"))
        );
    }
    let auth: Vec<_> = bench
        .simulator
        .record()
        .calls()
        .iter()
        .map(|call| call.auth)
        .collect();
    assert_eq!(
        auth,
        [
            AuthKind::Query,
            AuthKind::Form,
            AuthKind::Query,
            AuthKind::Query
        ]
    );
}

#[tokio::test]
async fn wrong_passwords_lock_the_user_until_the_password_is_changed() {
    let bench = Bench::with_user("ann", "pw").await;
    bench
        .simulator
        .adjust(|settings| settings.lockout_after = Some(2));
    assert_eq!(bench.login("ann", "bad").await.status, 401);
    assert_eq!(bench.login("ann", "bad").await.status, 401);
    let locked = bench.login("ann", "pw").await;
    assert_eq!(locked.status, 403);
    assert_eq!(locked.json()["errorCode"], "access.denied.exception");
    bench.simulator.set_password("ann", "new");
    assert_eq!(bench.login("ann", "new").await.status, 200);
    bench.simulator.set_platform("ann", "aws13");
    assert_eq!(bench.login("ann", "new").await.status, 401);
}

#[tokio::test]
async fn an_access_token_says_when_it_ends_and_then_does() {
    let start: DateTime<Utc> = "2026-11-22T03:30:00Z".parse().unwrap();
    let clock = SimClock::manual(start);
    let bench = Bench::with(Setup {
        clock: clock.clone(),
        ..Setup::default()
    })
    .await;
    bench
        .simulator
        .adjust(|settings| settings.date_skew_seconds = 3600);
    let (access, refresh) = bench.session().await;
    let claims = URL_SAFE_NO_PAD
        .decode(access.split('.').nth(1).unwrap())
        .unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["exp"], start.timestamp() + 3600 + 300);

    clock.advance(TimeDelta::seconds(299));
    assert_eq!(bench.list(&access).await.status, 200);
    clock.advance(TimeDelta::seconds(1));
    let expired = bench.list(&access).await;
    assert_eq!(
        (expired.status.as_u16(), expired.body.as_str()),
        (401, "Jwt is expired")
    );
    assert_eq!(
        expired.header("date"),
        Some("Sun, 22 Nov 2026 04:35:00 GMT")
    );

    let again = || read(bench.call(Call::Refresh, "", &refresh, ""));
    let renewed = again().await.json();
    assert_eq!(
        bench
            .list(renewed["accessToken"].as_str().unwrap())
            .await
            .status,
        200
    );
    assert_ne!(renewed["refreshToken"], refresh);
    assert_eq!(again().await.status, 401, "a refresh token is good once");
}

#[tokio::test]
async fn an_opaque_access_token_works_as_well_and_a_permanent_one_does_not() {
    let bench = Bench::new().await;
    bench.simulator.adjust(|settings| {
        settings.access_token_form = AccessTokenForm::Opaque;
        settings.admin_password_reset = true;
    });
    let login = bench.login("ann", "pw").await.json();
    assert_eq!(login["adminPasswordReset"], true);
    let access = login["accessToken"].as_str().unwrap();
    assert!(!access.contains('.'));
    let token = bench.mint(access).await.body;
    assert_eq!(bench.list(&token).await.status, 401, "as a Bearer");
    let mint = read(
        bench
            .request(Method::POST, TOKEN)
            .header("X-Auth-Token", &token),
    )
    .await;
    assert_eq!(mint.status, 401, "as X-Auth-Token for a mint");
    assert_eq!(
        read(bench.request(Method::GET, TOKEN)).await.status,
        401,
        "without anything"
    );
    bench.simulator.expire_sessions();
    assert_eq!(bench.list(access).await.body, "Jwt is expired");
}

#[tokio::test]
async fn a_mint_is_answered_in_the_form_asked_for() {
    let bench = Bench::new().await;
    let (access, _) = bench.session().await;
    for (form, status) in [
        (MintForm::Bare, 200),
        (MintForm::Quoted, 201),
        (MintForm::Newline, 201),
        (MintForm::Half, 200),
    ] {
        bench
            .simulator
            .adjust(|settings| (settings.mint_form, settings.mint_status) = (form, status));
        let answer = bench.mint(&access).await;
        let token = bench.simulator.record().tokens().pop().unwrap().token;
        let expected = match form {
            MintForm::Bare => token,
            MintForm::Quoted => format!("\"{token}\""),
            MintForm::Newline => format!("{token}\n"),
            MintForm::Half => token[..token.len() / 2].to_owned(),
        };
        assert_eq!((answer.status.as_u16(), answer.body), (status, expected));
    }
}

#[tokio::test]
async fn a_list_can_be_one_page_and_old_and_a_user_can_have_few_tokens() {
    let bench = Bench::new().await;
    let (access, _) = bench.session().await;
    for _ in 0..3 {
        bench.mint(&access).await;
    }
    let all = bench.simulator.record().tokens();
    let listed = async || {
        let answer = bench.list(&access).await.body;
        let is_listed = |token: &&crate::TokenRecord| answer.contains(&token.token);
        all.iter().filter(is_listed).count()
    };
    assert_eq!(listed().await, 3);
    bench
        .simulator
        .adjust(|settings| settings.list_first = Some(2));
    assert_eq!(listed().await, 2);
    bench.simulator.adjust(|settings| {
        (settings.list_first, settings.list_lag) = (None, Duration::from_secs(3600));
    });
    assert_eq!(listed().await, 0);
    bench.simulator.adjust(|settings| {
        (settings.list_lag, settings.tokens_per_user) = (Duration::ZERO, Some(2));
    });
    bench.mint(&access).await;
    assert_eq!(listed().await, 1, "two of the three made room");
}

#[tokio::test]
async fn a_list_is_whole_in_no_order_and_of_one_user() {
    let bench = Bench::new().await;
    let (access, _) = bench.session().await;
    bench.simulator.mint_foreign("bob");
    let mut mine: Vec<_> = (0..12)
        .map(|_| bench.simulator.mint_foreign("ann"))
        .collect();
    mine.sort();
    let mut orders = std::collections::HashSet::new();
    for _ in 0..8 {
        let mut listed: Vec<String> =
            serde_json::from_value(bench.list(&access).await.json()).unwrap();
        orders.insert(listed.clone());
        listed.sort();
        assert_eq!(listed, mine);
    }
    assert!(orders.len() > 1, "eight shuffles of twelve were the same");

    bench
        .simulator
        .adjust(|settings| settings.list_form = ListForm::Brace);
    let braces = bench.list(&access).await.body;
    assert!(
        braces.starts_with("{ \"aws80:") && braces.ends_with("\" }"),
        "{braces}"
    );
    assert_eq!(braces.matches("\", \"").count(), 11);
}

#[tokio::test]
async fn a_new_token_can_be_late_on_the_list_and_in_use() {
    let clock = SimClock::manual("2026-11-22T03:30:00Z".parse().unwrap());
    let bench = Bench::with(Setup {
        clock: clock.clone(),
        ..Setup::default()
    })
    .await;
    bench.simulator.adjust(|settings| {
        settings.listed_after = Duration::from_secs(10);
        settings.usable_after = Duration::from_secs(20);
    });
    let (access, _) = bench.session().await;
    let token = bench.mint(&access).await.body;
    let used = || {
        read(
            bench
                .request(Method::GET, ACCOUNTS)
                .header("X-Auth-Token", &token),
        )
    };
    assert_eq!(
        (
            bench.list(&access).await.body.as_str(),
            used().await.status.as_u16()
        ),
        ("[]", 401)
    );
    clock.advance(TimeDelta::seconds(10));
    assert_eq!(bench.list(&access).await.json(), serde_json::json!([token]));
    assert_eq!(used().await.status, 401);
    clock.advance(TimeDelta::seconds(10));
    assert_eq!(used().await.status, 200);
}

#[tokio::test]
async fn a_delete_does_and_answers_what_was_set() {
    for (form, status, body, gone) in [
        (DeleteForm::True, 200, "true", true),
        (DeleteForm::NoContent, 204, "", true),
        (DeleteForm::False, 200, "false", false),
        (DeleteForm::NotFound, 404, "resource.not.found", false),
        (DeleteForm::Lie, 200, "true", false),
        (DeleteForm::FalseYetGone, 200, "false", true),
    ] {
        let bench = Bench::new().await;
        bench
            .simulator
            .adjust(|settings| settings.delete_form = form);
        let (access, _) = bench.session().await;
        let token = bench.mint(&access).await.body;
        let answer = bench.delete(&access, &token).await;
        assert_eq!(answer.status, status, "{form:?}");
        assert!(answer.body.contains(body), "{form:?}: {}", answer.body);
        assert_eq!(!bench.simulator.record().is_alive(&token), gone, "{form:?}");
        assert_eq!(
            bench.simulator.record().effects(Call::Delete),
            usize::from(gone),
            "{form:?}"
        );
    }
}

#[tokio::test]
async fn a_token_that_is_not_there_cannot_be_deleted_and_neither_can_anothers() {
    let bench = Bench::new().await;
    let (access, _) = bench.session().await;
    let bobs = bench.simulator.mint_foreign("bob");
    for (form, status, body) in [
        (DeleteUnknown::True, 200, "true"),
        (DeleteUnknown::False, 200, "false"),
        (DeleteUnknown::Unauthorized, 401, "Unauthorized"),
        (DeleteUnknown::Forbidden, 403, "access.denied"),
        (DeleteUnknown::NotFound, 404, "not.found"),
    ] {
        bench
            .simulator
            .adjust(|settings| settings.delete_unknown = form);
        for token in ["aws80:00000000-none", &bobs] {
            let answer = bench.delete(&access, token).await;
            assert_eq!(answer.status, status, "{form:?}");
            assert!(answer.body.contains(body), "{form:?}: {}", answer.body);
        }
    }
    assert!(bench.simulator.record().is_alive(&bobs));
}

#[tokio::test]
async fn limits_count_per_user_and_a_request_in_a_penalty_restarts_it() {
    let clock = SimClock::manual("2026-11-22T03:30:00Z".parse().unwrap());
    let bench = Bench::with(Setup {
        clock: clock.clone(),
        ..Setup::default()
    })
    .await;
    bench.simulator.adjust(|settings| {
        settings.logins_per_minute = Some(2);
        settings.requests_per_minute = Some(3);
        settings.penalty = Duration::from_secs(60);
    });
    for _ in 0..2 {
        assert_eq!(bench.login("ann", "pw").await.status, 200);
    }
    let refused = bench.login("ann", "pw").await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (429, Some("60"))
    );
    assert_eq!(bench.login("bob", "pw").await.status, 200);
    clock.advance(TimeDelta::seconds(59));
    assert_eq!(
        bench.login("ann", "pw").await.status,
        429,
        "too early, and it starts again"
    );
    clock.advance(TimeDelta::seconds(59));
    bench
        .simulator
        .adjust(|settings| settings.penalty_form = PenaltyForm::Date);
    let dated = bench.login("ann", "pw").await;
    assert_eq!(
        dated.header("retry-after"),
        Some("Sun, 22 Nov 2026 03:32:58 GMT")
    );
    clock.advance(TimeDelta::seconds(60));
    let (access, _) = bench.session().await;
    for expected in [200, 200, 200, 429] {
        assert_eq!(bench.list(&access).await.status, expected);
    }
    assert_eq!(bench.simulator.record().logins_in_any_minute("ann"), 4);
    assert_eq!(bench.simulator.record().effects(Call::Login), 4);
}

#[tokio::test]
async fn the_date_can_be_missing_or_no_date() {
    let bench = Bench::new().await;
    let (access, _) = bench.session().await;
    bench
        .simulator
        .adjust(|settings| settings.date_form = DateForm::Absent);
    assert_eq!(bench.list(&access).await.header("date"), None);
    bench
        .simulator
        .adjust(|settings| settings.date_form = DateForm::Garbled);
    assert_eq!(
        bench.list(&access).await.header("date"),
        Some("the day before yesterday")
    );
}

#[tokio::test]
async fn https_is_trusted_through_the_private_authority_only() {
    let authority = Authority::generate();
    let setup = Setup {
        tls: Some(authority.clone()),
        ..Setup::default()
    };
    let mut bench = Bench::with(setup).await;
    assert!(
        bench.login_request("ann", "pw").send().await.is_err(),
        "trusted without the authority"
    );
    bench.client = client_trusting(Some(&authority));
    assert_eq!(bench.login("ann", "pw").await.status, 200);
    assert_eq!(bench.simulator.record().count(Call::Login), 1);
}

#[tokio::test]
async fn accounts_hold_planted_secrets() {
    let bench = Bench::new().await;
    let (access, _) = bench.session().await;
    let accounts = read(bench.call(Call::Accounts, &access, "", "")).await;
    assert_eq!(accounts.json()[0]["accountId"], "21170001");
    assert!(
        PLANTED_SECRETS
            .iter()
            .all(|secret| accounts.body.contains(secret))
    );
}

#[tokio::test]
async fn a_stand_in_listens_on_loopback_only() {
    let listen = "0.0.0.0:0".parse().unwrap();
    let refused = Simulator::start(Setup {
        listen,
        ..Setup::default()
    })
    .await;
    assert!(matches!(refused.err(), Some(StartError::NotLoopback { got }) if got == listen));
}

#[tokio::test]
async fn a_stopped_simulator_frees_its_port_and_keeps_its_record() {
    let bench = Bench::new().await;
    let (access, _) = bench.session().await;
    let listen = bench.simulator.address();
    bench.simulator.stop().await;
    assert!(
        bench
            .call(Call::List, &access, "", "")
            .send()
            .await
            .unwrap_err()
            .is_connect()
    );
    assert_eq!(bench.simulator.record().count(Call::Login), 1);
    let again = Simulator::start(Setup {
        listen,
        ..Setup::default()
    })
    .await
    .unwrap();
    assert_eq!(again.address(), listen);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let bench = Bench::new().await;
    let large = read(
        bench
            .request(Method::POST, LOGIN)
            .body(vec![b'a'; 1024 * 1024 + 1]),
    )
    .await;
    assert_eq!(large.status, 413);
    assert_eq!(bench.simulator.record().calls().len(), 0);
}
