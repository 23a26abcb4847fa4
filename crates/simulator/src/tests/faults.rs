//! Every fault at every call it fits: what the client sees, and what really happened.

use super::*;
use crate::http::HUGE;

/// What a client can tell.
enum Seen {
    Answer(reqwest::Response),
    Cut,
    TimedOut,
}

async fn see(request: RequestBuilder) -> Seen {
    match request.send().await {
        Ok(response) => Seen::Answer(response),
        Err(error) if error.is_timeout() => Seen::TimedOut,
        Err(error) if error.is_connect() => panic!("{error:?}"),
        Err(_) => Seen::Cut,
    }
}

async fn body(response: reqwest::Response) -> String {
    String::from_utf8_lossy(&response.bytes().await.unwrap()).into_owned()
}

async fn check_seen(call: Call, fault: Fault, seen: Seen) {
    let context = format!("{call}={fault}");
    let response = match (fault, seen) {
        (Fault::CutBefore | Fault::LostAnswer | Fault::LateEffect(_), seen) => {
            assert!(matches!(seen, Seen::Cut), "{context}");
            return;
        }
        (Fault::Silence | Fault::SilenceAfter, seen) => {
            assert!(matches!(seen, Seen::TimedOut), "{context}");
            return;
        }
        (_, Seen::Answer(response)) => response,
        (_, Seen::Cut | Seen::TimedOut) => panic!("{context}: no answer"),
    };
    let status = response.status().as_u16();
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    match fault {
        Fault::HalfBody => assert!(response.bytes().await.is_err(), "{context}"),
        Fault::Status(expected, retry, _) => {
            assert_eq!(status, expected, "{context}");
            match retry {
                RetryAfter::Absent => assert_eq!(header("retry-after"), None, "{context}"),
                RetryAfter::Seconds(2) => {
                    assert_eq!(header("retry-after").as_deref(), Some("2"), "{context}")
                }
                RetryAfter::Seconds(_) | RetryAfter::Date(_) => {
                    let date = header("retry-after").unwrap();
                    assert!(
                        httpdate::parse_http_date(&date).is_ok(),
                        "{context}: {date}"
                    );
                }
            }
            let expected = if status == 401 {
                "Jwt verification fails"
            } else {
                "errorCode"
            };
            assert!(body(response).await.contains(expected), "{context}");
        }
        Fault::Html(expected, _) => {
            assert_eq!(status, expected, "{context}");
            assert!(body(response).await.starts_with("<html>"), "{context}");
        }
        Fault::Firewall(_) => {
            assert_eq!(status, 403, "{context}");
            assert!(body(response).await.starts_with("<html>"), "{context}");
        }
        Fault::Garbage => {
            let bytes = response.bytes().await.unwrap();
            assert!(
                status == 200 && std::str::from_utf8(&bytes).is_err(),
                "{context}"
            );
        }
        Fault::Huge => {
            assert_eq!(
                (status, response.content_length()),
                (200, Some(HUGE as u64)),
                "{context}"
            )
        }
        Fault::Empty => assert_eq!(
            (status, body(response).await.as_str()),
            (200, ""),
            "{context}"
        ),
        Fault::Part => assert_eq!(status, 200, "{context}"),
        Fault::WrongJson => {
            let json: Value = serde_json::from_str(&body(response).await).unwrap();
            assert!(status == 200 && json["data"].is_object(), "{context}");
        }
        Fault::Redirect => {
            assert_eq!(status, 307, "{context}");
            let location = header("location").unwrap();
            assert!(
                location.starts_with("http://127.0.0.1:"),
                "{context}: {location}"
            );
        }
        Fault::Pass | Fault::Slow(_) => {
            assert!(
                status == 200 && !body(response).await.is_empty(),
                "{context}"
            );
        }
        Fault::CutBefore
        | Fault::LostAnswer
        | Fault::LateEffect(_)
        | Fault::Silence
        | Fault::SilenceAfter => {
            unreachable!("handled above")
        }
    }
}

async fn check(call: Call, fault: Fault) {
    let context = format!("{call}={fault}");
    let bench = Bench::new().await;
    let record = bench.simulator.record();
    let (access, refresh) = bench.session().await;
    let victim = bench.simulator.mint_foreign("ann");
    read(bench.call(Call::RingexToken, &access, &refresh, &victim)).await;
    let before = record.effects(call);
    bench.simulator.inject(call, fault, Times::Once);

    let mut request = bench.call(call, &access, &refresh, &victim);
    if matches!(fault, Fault::Silence | Fault::SilenceAfter) {
        request = request.timeout(Duration::from_millis(100));
    }
    check_seen(call, fault, see(request).await).await;

    let happened = fault.carries_out() && call.changes();
    if happened {
        record.until(|record| record.effects(call) > before).await;
    }
    assert_eq!(
        record.effects(call) - before,
        usize::from(happened),
        "{context}"
    );
    assert_eq!(
        record.is_alive(&victim),
        !(call == Call::Delete && happened),
        "{context}"
    );
    assert_eq!(
        record.alive("ann").len(),
        1 + usize::from(call == Call::Mint && happened)
            - usize::from(call == Call::Delete && happened),
        "{context}"
    );
    let noted = record.calls().pop().unwrap();
    assert_eq!(
        (noted.call, noted.fault, noted.user.as_deref()),
        (call, Some(fault), Some("ann"))
    );
    assert_eq!(record.redirected_calls(), 0, "{context}");

    // It was to happen once; what a refresh had in hand may be used up.
    if call != Call::Refresh {
        let next = bench.simulator.mint_foreign("ann");
        let status = read(bench.call(call, &access, &refresh, &next))
            .await
            .status;
        assert!(status.is_success(), "{context}: then {status}");
    }
}

async fn check_all(call: Call) {
    for fault in Fault::ALL.into_iter().filter(|fault| fault.fits(call)) {
        check(call, fault).await;
    }
}

#[tokio::test]
async fn every_fault_of_a_login_happens() {
    check_all(Call::Login).await;
}

#[tokio::test]
async fn every_fault_of_a_request_to_ringex_happens() {
    check_all(Call::RingexToken).await;
}

#[tokio::test]
async fn every_fault_of_a_login_with_ringex_happens() {
    check_all(Call::RingexLogin).await;
}

#[tokio::test]
async fn every_fault_of_a_refresh_happens() {
    check_all(Call::Refresh).await;
}

#[tokio::test]
async fn every_fault_of_a_mint_happens() {
    check_all(Call::Mint).await;
}

#[tokio::test]
async fn every_fault_of_a_list_happens() {
    check_all(Call::List).await;
}

#[tokio::test]
async fn every_fault_of_a_delete_happens() {
    check_all(Call::Delete).await;
}

#[tokio::test]
async fn every_fault_of_accounts_happens() {
    check_all(Call::Accounts).await;
}

#[tokio::test]
async fn every_fault_of_auth_configs_happens() {
    check_all(Call::ConfigList).await;
    check_all(Call::ConfigRead).await;
    check_all(Call::ConfigWrite).await;
}

#[tokio::test]
async fn a_huge_body_is_as_long_as_it_says() {
    let bench = Bench::new().await;
    bench
        .simulator
        .inject(Call::Login, Fault::Huge, Times::Once);
    let mut response = bench.login_request("ann", "pw").send().await.unwrap();
    let mut length = 0;
    while let Some(chunk) = response.chunk().await.unwrap() {
        length += chunk.len();
    }
    assert_eq!(length, HUGE);
}

#[tokio::test]
async fn a_late_mint_comes_after_the_client_was_cut_off() {
    let bench = Bench::new().await;
    let record = bench.simulator.record();
    let (access, _) = bench.session().await;
    bench.simulator.inject(
        Call::Mint,
        Fault::LateEffect(Duration::from_millis(300)),
        Times::Once,
    );
    assert!(matches!(
        see(bench.call(Call::Mint, &access, "", "")).await,
        Seen::Cut
    ));
    let cut_at = crate::clock::monotonic();
    record.until(|record| record.effects(Call::Mint) == 1).await;
    let token = record.alive("ann").pop().unwrap();
    assert!(record.alive_since(&token.token).unwrap() > cut_at);
    assert_eq!(
        record.calls().pop().unwrap().subject,
        Some(token.fingerprint)
    );
}

#[tokio::test]
async fn whoever_follows_a_redirect_is_counted() {
    let bench = Bench::new().await;
    bench
        .simulator
        .inject(Call::Login, Fault::Redirect, Times::Once);
    let answer = bench.login("ann", "pw").await;
    let followed = bench
        .client
        .post(answer.header("location").unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(followed.status(), 200);
    assert_eq!(bench.simulator.record().redirected_calls(), 1);
}

#[tokio::test]
async fn an_error_repeats_the_uri_and_the_password_in_it() {
    let bench = Bench::new().await;
    bench
        .simulator
        .inject(Call::Login, "status-403".parse().unwrap(), Times::Once);
    let denied = bench.login("ann", "canary").await.json();
    assert!(denied["requestUri"].as_str().unwrap().contains("canary"));
}

#[tokio::test]
async fn faults_can_be_counted_kept_aimed_and_cleared() {
    let bench = Bench::new().await;
    let status = async |user: &str| bench.login(user, "pw").await.status.as_u16();
    let simulator = &bench.simulator;
    simulator.inject_for(
        "bob",
        Call::Login,
        "status-500".parse().unwrap(),
        Times::Always,
    );
    simulator.inject(Call::Login, "status-502".parse().unwrap(), Times::N(2));
    let seen = [
        status("bob").await,
        status("ann").await,
        status("ann").await,
        status("ann").await,
        status("bob").await,
    ];
    assert_eq!(seen, [500, 502, 502, 200, 500]);
    simulator.clear();
    assert_eq!(status("bob").await, 200);
}

#[tokio::test]
async fn the_admin_routes_do_what_the_library_does() {
    let bench = Bench::with_user("ann", "pw").await;
    let record = bench.simulator.record();
    let admin = |method: Method, path: &str, body: &str| {
        read(
            bench
                .request(method, &format!("/_simulate/{path}"))
                .body(body.to_owned()),
        )
    };
    let (access, _) = bench.session().await;
    let fault = r#"{"call":"mint","fault":"lost-answer","times":1}"#;
    assert_eq!(admin(Method::POST, "faults", fault).await.status, 200);
    assert!(matches!(
        see(bench.call(Call::Mint, &access, "", "")).await,
        Seen::Cut
    ));
    assert_eq!(bench.mint(&access).await.status, 200);
    admin(
        Method::POST,
        "faults",
        r#"{"call":"list","fault":"status-500","times":"always"}"#,
    )
    .await;
    assert_eq!(bench.list(&access).await.status, 500);
    admin(Method::DELETE, "faults", "").await;
    assert_eq!(bench.list(&access).await.status, 200);

    let foreign = admin(Method::POST, "foreign", "").await.body;
    assert!(record.is_alive(&foreign));
    let fingerprint = Fingerprint::of(foreign.as_bytes());
    assert_eq!(
        admin(Method::DELETE, &format!("tokens/{fingerprint}"), "")
            .await
            .status,
        200
    );
    assert_eq!(
        record.token(fingerprint).unwrap().deleted_by,
        Some(DeletedBy::Foreign)
    );
    assert_eq!(
        admin(Method::DELETE, &format!("tokens/{fingerprint}"), "")
            .await
            .status,
        404
    );

    let change = r#"{"list_form":"brace","delete_form":"204","listed_after":"2s",
        "user":{"name":"ann","password":"new"}}"#;
    assert_eq!(admin(Method::PATCH, "settings", change).await.status, 200);
    assert_eq!(bench.login("ann", "pw").await.status, 401);
    assert_eq!(bench.login("ann", "new").await.status, 200);
    let settings = admin(Method::GET, "settings", "").await.json();
    assert_eq!(
        (&settings["list_form"], &settings["listed_after"]),
        (&"brace".into(), &"2s".into())
    );

    for (method, path, body) in [
        (
            Method::POST,
            "faults",
            r#"{"call":"list","fault":"late-effect-1s"}"#,
        ),
        (
            Method::POST,
            "faults",
            r#"{"call":"list","fault":"garbage","times":0}"#,
        ),
        (
            Method::PATCH,
            "settings",
            r#"{"list_form":"array","speed":1}"#,
        ),
        (Method::PATCH, "settings", r#"{"mint_status":500}"#),
        (Method::POST, "foreign", r#"{"usr":"ann"}"#),
    ] {
        assert_eq!(admin(method, path, body).await.status, 400, "{body}");
    }
    assert_eq!(
        admin(Method::GET, "settings", "").await.json()["list_form"],
        "brace"
    );

    let shown = admin(Method::GET, "record", "").await;
    assert_eq!(
        shown.json()["tokens"][0]["fingerprint"],
        record.tokens()[0].fingerprint.to_string()
    );
    assert_eq!(shown.json()["calls"][1]["fault"], "lost-answer");
    let secrets = record
        .tokens()
        .into_iter()
        .map(|token| token.token)
        .chain([access, "\"new\"".to_owned()]);
    for secret in secrets {
        assert!(!shown.body.contains(&secret), "the record shows a secret");
    }
}
