//! What each answer means.

use super::*;

#[track_caller]
fn is_denied(error: Option<ApiError>, status: u16, said: &str) {
    assert_eq!(
        error,
        Some(ApiError::Denied {
            status,
            said: said.to_owned()
        })
    );
}

async fn asked_to_wait(status: &str, headers: &str) -> Option<Duration> {
    let server = Server::answering(response(status, headers, "slow down")).await;
    match list(&server.api()).await.err() {
        Some(ApiError::Busy {
            retry_after, said, ..
        }) => {
            assert_eq!(said, "slow down");
            retry_after
        }
        other => panic!("{status} is not busy but {other:?}"),
    }
}

async fn deletion(status: &str, body: &str) -> Result<Deletion, ApiError> {
    let server = Server::answering(response(status, "", body)).await;
    server
        .api()
        .delete(Auth::Bearer(&Secret::new(ACCESS)), &token(ONE))
        .await
}

// proves: clock
#[tokio::test]
async fn a_list_tells_the_servers_time_where_it_can_be_read() {
    let body = format!("[\"{ONE}\",\"{TWO}\"]");
    for (headers, server_time) in [
        (
            format!("Date: {DATE}\r\nContent-Type: text/html\r\n"),
            wire::http_date(DATE),
        ),
        ("Date: yesterday\r\n".to_owned(), None),
        (String::new(), None),
    ] {
        let server = Server::answering(response("200 OK", &headers, &body)).await;
        let listing = list(&server.api()).await.unwrap();
        assert_eq!(listing.tokens.len(), 2);
        assert_eq!(listing.server_time, server_time);
    }
}

#[tokio::test]
async fn a_success_with_a_senseless_body_may_have_been_done() {
    let server = Server::answering(response("200 OK", "", "<html>Sign in</html>")).await;
    let error = mint(&server.api()).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "answered 200, but the body is an HTML page"
    );
    assert_eq!(error.outcome(), rotator_core::event::Outcome::Unknown);
    assert!(matches!(
        login(&server.api()).await,
        Err(ApiError::Nonsense { status: 200, .. })
    ));
    assert!(matches!(
        list(&server.api()).await,
        Err(ApiError::Nonsense { status: 200, .. })
    ));
}

#[tokio::test]
async fn a_deletion_is_told_by_status_and_body() {
    for (status, body) in [
        ("200 OK", "true"),
        ("200 OK", "\"true\""),
        ("200 OK", ""),
        ("202 Accepted", ""),
    ] {
        assert_eq!(
            deletion(status, body).await,
            Ok(Deletion::Accepted),
            "{status} {body}"
        );
    }
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let deleted = server
        .api()
        .delete(Auth::Token(&token(TWO)), &token(ONE))
        .await;
    assert_eq!(deleted, Ok(Deletion::Accepted));
    for (status, body) in [
        ("200 OK", "false"),
        ("404 Not Found", "<html>"),
        ("404 Not Found", ""),
    ] {
        assert_eq!(
            deletion(status, body).await,
            Ok(Deletion::Denied),
            "{status} {body}"
        );
    }
    assert!(matches!(
        deletion("200 OK", "maybe").await,
        Err(ApiError::Nonsense { status: 200, .. })
    ));
    assert!(matches!(
        deletion("500 Oops", "true").await,
        Err(ApiError::Status { status: 500, .. })
    ));
}

#[tokio::test]
async fn a_refusal_repeats_what_ringcx_said() {
    let server = Server::answering(response("401 Unauthorized", "", "Jwt is expired")).await;
    is_denied(list(&server.api()).await.err(), 401, "Jwt is expired");
    let json =
        r#"{"errorCode":"access.denied.exception","generalMessage":"Access denied","details":""}"#;
    let server = Server::answering(response("403 Forbidden", "", json)).await;
    is_denied(
        mint(&server.api()).await.err(),
        403,
        "access.denied.exception: Access denied",
    );
    let server = Server::answering(response("502 Bad Gateway", "", "<html>nginx</html>")).await;
    let error = mint(&server.api()).await.err().unwrap();
    assert_eq!(error.to_string(), "answered 502: an HTML page");
}

#[tokio::test]
async fn what_a_firewall_says_is_no_word_on_the_credential() {
    let page = "<html>Request blocked</html>";
    for (status, headers, body) in [
        ("403 Forbidden", "", page),
        ("403 Forbidden", "", "Access denied by security policy"),
        ("403 Forbidden", "Retry-After: 3\r\n", ""),
        ("401 Unauthorized", "Retry-After: 3\r\n", page),
    ] {
        let server = Server::answering(response(status, headers, body)).await;
        let error = login(&server.api()).await.err().unwrap();
        assert!(!error.is_denied() && error.refuses_login(), "{error:?}");
        assert!(!error.is_own_refusal(), "{error:?}");
        let wait = (!headers.is_empty()).then_some(Duration::from_secs(3));
        assert_eq!(error.retry_after(), wait, "{error:?}");
    }
    // A 401 may be all that a server has to say of a credential; only a login takes a second look.
    let server = Server::answering(response("401 Unauthorized", "", page)).await;
    let error = login(&server.api()).await.err().unwrap();
    assert!(error.is_denied() && !error.is_own_refusal(), "{error:?}");
    let server = Server::answering(response("403 Forbidden", "", "")).await;
    let error = login(&server.api()).await.err().unwrap();
    assert!(error.is_denied() && error.is_own_refusal(), "{error:?}");
}

#[tokio::test]
async fn any_refusal_can_ask_for_a_wait() {
    for status in [
        "404 Not Found",
        "418 Odd",
        "500 Internal",
        "502 Bad Gateway",
    ] {
        let wait = asked_to_wait(status, "Retry-After: 7\r\n").await;
        assert_eq!(wait, Some(Duration::from_secs(7)), "{status}");
    }
}

#[tokio::test]
async fn a_busy_server_is_left_alone_for_as_long_as_it_asks() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(
        asked_to_wait("429 Too Many Requests", "Retry-After: 7\r\n").await,
        seconds(7)
    );
    assert_eq!(
        asked_to_wait("503 Unavailable", "Retry-After: 999999\r\n").await,
        seconds(3_600)
    );
    assert_eq!(asked_to_wait("503 Unavailable", "").await, None);
    let by_its_clock =
        "Date: Sun, 22 Nov 2026 09:00:00 GMT\r\nRetry-After: Sun, 22 Nov 2026 09:00:20 GMT\r\n";
    assert_eq!(
        asked_to_wait("429 Too Many Requests", by_its_clock).await,
        seconds(20)
    );
    let by_ours = "Retry-After: Sun, 22 Nov 2026 03:31:00 GMT\r\n";
    assert_eq!(
        asked_to_wait("429 Too Many Requests", by_ours).await,
        seconds(60)
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_never_followed() {
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let mut elsewhere = Server::answering(response("200 OK", "", ONE)).await;
        let location = format!(
            "Location: {}/voice/api/v1/admin/token\r\n",
            elsewhere.base_url
        );
        let server = Server::answering(response(status, &location, "")).await;
        let error = mint(&server.api()).await.err().unwrap();
        assert!(
            matches!(
                error,
                ApiError::Status {
                    status: 300..=399,
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
        assert!(
            elsewhere.requests.try_recv().is_err(),
            "{status} was followed"
        );
    }
}

#[tokio::test]
async fn an_echo_of_the_calls_own_secrets_is_blotted_out() {
    for echo in [PASSWORD.to_owned(), wire::percent_encode(PASSWORD)] {
        let server = Server::answering(response(
            "401 Unauthorized",
            "",
            &format!("bad password {echo}!"),
        ))
        .await;
        is_denied(
            login(&server.api()).await.err(),
            401,
            "bad password [redacted]!",
        );
    }
    let server = Server::answering(response(
        "401 Unauthorized",
        "",
        &format!("{ACCESS} may not"),
    ))
    .await;
    is_denied(mint(&server.api()).await.err(), 401, "[redacted] may not");
    is_denied(list(&server.api()).await.err(), 401, "[redacted] may not");
    let server = Server::answering(response(
        "401 Unauthorized",
        "",
        "my-token-1 may not my-token-2",
    ))
    .await;
    let api = server.api();
    let (one, two) = (token("my-token-1"), token("my-token-2"));
    is_denied(
        api.delete(Auth::Token(&one), &two).await.err(),
        401,
        "[redacted] may not [redacted]",
    );
    is_denied(
        api.accounts(Auth::Token(&one)).await.err(),
        401,
        "[redacted] may not my-token-2",
    );
    is_denied(
        api.refresh(&Secret::new("my-token-2")).await.err(),
        401,
        "my-token-1 may not [redacted]",
    );
}

/// What nobody needs cannot cost the answer.
#[tokio::test]
async fn a_malformed_header_does_not_fail_the_call() {
    for header in [
        "X Bad: 1\r\n",
        "no colon at all\r\n",
        "X-Odd: a\u{1}b\r\n",
        ": no name\r\n",
        "X-Space : 1\r\n",
        "X-Folded: 1\r\n  2\r\n",
        "X-Latin: M\u{fc}ller\r\n",
        "\u{e4}: 1\r\n",
    ] {
        let answer = response("200 OK", &format!("{header}Date: {DATE}\r\n"), ONE);
        let server = Server::answering(answer).await;
        let minted = mint(&server.api()).await;
        assert_eq!(minted.expect(header).expose(), ONE, "{header}");
    }
}
