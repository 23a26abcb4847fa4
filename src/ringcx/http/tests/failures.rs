//! What no answer, half an answer and far too much of an answer mean.

use super::*;

#[track_caller]
fn was_not_sent(error: &ApiError, expected: &str) {
    let ApiError::Unreachable { why, .. } = error else {
        panic!("{error:?} is not Unreachable")
    };
    assert_eq!(why, expected);
}

#[track_caller]
fn may_have_been_done(error: &ApiError, expected: &str) {
    let ApiError::NoAnswer { why, .. } = error else {
        panic!("{error:?} is not NoAnswer")
    };
    assert_eq!(why, expected);
}

/// Far more than the buffers of two sockets hold: who has sent all of it had a client that took it.
const ENDLESS: usize = 256 * 1024 * 1024;

/// Sends a head, then zeros until the client hangs up, and tells how many bytes that took.
async fn endless(head: &'static str) -> (Server, mpsc::UnboundedReceiver<usize>) {
    let (tell, sent) = mpsc::unbounded_channel();
    let server = Server::doing(move |mut stream, _| {
        let tell = tell.clone();
        Box::pin(async move {
            stream.write_all(head.as_bytes()).await?;
            let zeros = vec![b'0'; 64 * 1024];
            let mut sent = 0;
            while sent < ENDLESS && stream.write_all(&zeros).await.is_ok() {
                sent += zeros.len();
            }
            let _ = tell.send(sent);
            Ok(())
        })
    })
    .await;
    (server, sent)
}

#[tokio::test]
async fn a_refused_connection_proves_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = login(&api(&policy(&format!("http://{address}"))))
        .await
        .err()
        .unwrap();
    was_not_sent(&error, "connection refused");
    assert_eq!(
        error.to_string(),
        format!("cannot reach {address}: connection refused")
    );
    assert_eq!(error.outcome(), rotator_core::event::Outcome::NotDone);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_proves_that_nothing_was_sent() {
    // RFC 6761: this name resolves nowhere.
    let error = mint(&api(&policy("http://ringcx.invalid")))
        .await
        .err()
        .unwrap();
    was_not_sent(&error, "name does not resolve");
    assert!(
        error
            .to_string()
            .starts_with("cannot reach ringcx.invalid:80: "),
        "{error}"
    );
}

// proves: no-blind-mint, one-open-intent
#[tokio::test]
async fn a_connection_closed_before_an_answer_may_have_minted_and_is_not_tried_again() {
    let server = Server::answering("").await;
    let error = mint(&server.api()).await.err().unwrap();
    may_have_been_done(&error, "connection closed before an answer");
    assert_eq!(error.outcome(), rotator_core::event::Outcome::Unknown);
    server.only_request().await;
}

#[tokio::test]
async fn an_answer_cut_in_its_head_or_body_may_have_been_done() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Le").await;
    may_have_been_done(
        &mint(&server.api()).await.err().unwrap(),
        "connection closed before an answer",
    );
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{ONE}");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for cut in [
        announced,
        format!("{chunked}2a\r\n{ONE}\r\n"),
        format!("{chunked}2a\r\n{ONE}\r\n0\r\n"),
        format!("{chunked}30\r\n{ONE}"),
        // No end at all, but another chunk whose size cannot be read.
        format!("{chunked}2a\r\n{ONE}\r\nzz\r\n\r\n"),
        format!("{chunked}2a\r\n{ONE}0\r\n\r\n"),
    ] {
        let server = Server::answering(cut.clone()).await;
        let error = mint(&server.api()).await.err().expect(&cut);
        may_have_been_done(&error, "the answer was cut short");
    }
}

/// Where the length is in doubt, so is the token.
#[tokio::test]
async fn an_answer_whose_length_contradicts_itself_or_that_is_a_part_is_no_token() {
    let part = &ONE[..20];
    for (head, outcome) in [
        ("200 OK\r\nContent-Length: 20\r\nContent-Length: 44", ""),
        ("200 OK\r\nContent-Length: 20, 44", ""),
        ("200 OK\r\nContent-Length: 20x", ""),
        (
            "206 Partial Content\r\nContent-Length: 20\r\nContent-Range: bytes 0-19/44",
            "answered 206, but that is only a part of the answer",
        ),
    ] {
        let server = Server::answering(format!("HTTP/1.1 {head}\r\n\r\n{part}")).await;
        let error = mint(&server.api()).await.err().expect(head);
        assert_eq!(error.outcome(), rotator_core::event::Outcome::Unknown);
        assert!(error.to_string().contains(outcome), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_whose_body_is_cut_is_still_a_refusal() {
    let server =
        Server::answering("HTTP/1.1 401 Unauthorized\r\nContent-Length: 100\r\n\r\nJwt is ex")
            .await;
    let error = list(&server.api()).await.err();
    assert_eq!(
        error,
        Some(ApiError::Denied {
            status: 401,
            said: "Jwt is ex".to_owned()
        })
    );
}

#[tokio::test]
async fn silence_ends_with_the_request_timeout() {
    for (said, during) in [
        ("", "while waiting for an answer"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\naws80:",
            "in the midst of the answer",
        ),
    ] {
        let server = Server::doing(move |mut stream, _| {
            Box::pin(async move {
                stream.write_all(said.as_bytes()).await?;
                stream.read_u8().await.map(|_| ())
            })
        })
        .await;
        let policy = RingcxPolicy {
            request_timeout: Duration::from_millis(500),
            ..policy(&server.base_url)
        };
        let error = mint(&api(&policy)).await.err().unwrap();
        may_have_been_done(&error, &format!("timed out {during}"));
    }
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    let server = Server::answering("220 mail.example.com ESMTP\r\n").await;
    let error = mint(&server.api()).await.err().unwrap();
    assert!(matches!(error, ApiError::NoAnswer { .. }), "{error:?}");
    assert!(!error.to_string().contains("/voice"), "{error}");
}

#[tokio::test]
async fn no_more_of_a_body_is_taken_than_makes_sense() {
    let (server, mut sent) = endless("HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n").await;
    let error = mint(&server.api()).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "answered 200, but the body is larger than 64 KiB"
    );
    assert!(sent.recv().await.unwrap() < ENDLESS);

    let (server, mut sent) = endless("HTTP/1.1 200 OK\r\n\r\n").await;
    let error = list(&server.api()).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "answered 200, but the body is larger than 16384 KiB"
    );
    assert!(sent.recv().await.unwrap() < ENDLESS);

    let (server, mut sent) = endless("HTTP/1.1 500 Oops\r\n\r\n").await;
    let error = list(&server.api()).await.err().unwrap();
    assert!(
        matches!(error, ApiError::Status { status: 500, .. }),
        "{error:?}"
    );
    assert!(sent.recv().await.unwrap() < ENDLESS);
}

/// A byte now and then is an answer that never ends: the time-out is for the whole of it.
#[tokio::test]
async fn a_body_that_drips_without_end_is_given_up_at_the_time_out() {
    let server = Server::doing(|mut stream, _| {
        Box::pin(async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            while stream.write_all(b"0").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        })
    })
    .await;
    let timeout = Duration::from_millis(400);
    let policy = RingcxPolicy {
        request_timeout: timeout,
        ..policy(&server.base_url)
    };
    let since = monotonic();
    let error = mint(&api(&policy)).await.err().unwrap();
    assert!(matches!(error, ApiError::NoAnswer { .. }), "{error:?}");
    assert!(since.elapsed() >= timeout, "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_list_of_a_hundred_thousand_tokens_is_refused() {
    let tokens: Vec<String> = (0..100_000)
        .map(|n| format!("\"aws80:{n:08}-1d55a371c0a9\""))
        .collect();
    let server =
        Server::answering(response("200 OK", "", &format!("[{}]", tokens.join(",")))).await;
    let error = list(&server.api()).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "answered 200, but the list has more than 10000 elements"
    );
}

#[tokio::test]
async fn a_body_of_just_the_largest_size_is_taken_whole() {
    let padded = format!("{ONE}{}", " ".repeat(MAX_WORD - ONE.len()));
    let server = Server::answering(response("200 OK", "", &padded)).await;
    assert_eq!(mint(&server.api()).await.unwrap().expose(), ONE);
    let server = Server::answering(response("200 OK", "", &format!("{padded} "))).await;
    assert!(matches!(
        mint(&server.api()).await,
        Err(ApiError::Nonsense { .. })
    ));
}

// proves: no-leak
#[tokio::test]
async fn no_error_of_the_library_shows_the_password_or_the_path() {
    let closing = Server::answering("").await;
    for base_url in ["http://127.0.0.1:1/prefix", &closing.base_url] {
        let error = login(&api(&policy(base_url))).await.err().unwrap();
        for text in [error.to_string(), format!("{error:?}")] {
            for secret in ["password", "p%26s", "p&s", "login", "ivr", "prefix"] {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
    }
}

#[tokio::test]
async fn an_access_token_that_would_break_the_header_is_not_sent() {
    let mut server = Server::answering(response("200 OK", "", ONE)).await;
    let error = server
        .api()
        .mint(&Secret::new("a\r\nX-Evil: 1"))
        .await
        .err()
        .unwrap();
    was_not_sent(&error, "the access token cannot stand in a header");
    assert!(server.requests.try_recv().is_err());
}

/// A success to a call with the token is proof enough, whatever it says and however it ends.
#[tokio::test]
async fn a_token_that_is_tried_out_works_by_the_status_alone() {
    for answer in [
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        response("200 OK", "", "null"),
        response("200 OK", "", "<html>"),
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        "HTTP/1.1 206 Partial Content\r\n\r\n[{".to_owned(),
    ] {
        let server = Server::answering(answer.clone()).await;
        let tried = server.api().try_out(Auth::Token(&token(ONE))).await;
        assert_eq!(tried, Ok(()), "{answer}");
    }
    let (server, mut sent) = endless("HTTP/1.1 200 OK\r\n\r\n").await;
    let tried = server.api().try_out(Auth::Token(&token(ONE))).await;
    assert_eq!(tried, Ok(()));
    assert!(sent.recv().await.unwrap() < ENDLESS);
    for refused in ["401 Unauthorized", "404 Not Found", "302 Found", "500 Oops"] {
        let server = Server::answering(response(refused, "", "[]")).await;
        let tried = server.api().try_out(Auth::Token(&token(ONE))).await;
        assert!(tried.is_err(), "{refused}");
    }
}

#[tokio::test]
async fn an_answer_of_a_documented_size_is_read() {
    let account = format!(r#"{{"accountId":"1","more":"{}"}}"#, "x".repeat(3000));
    let body = format!("[{}]", vec![account; 2000].join(","));
    let server = Server::answering(response("200 OK", "", &body)).await;
    let accounts = server.api().accounts(Auth::Token(&token(ONE))).await;
    assert_eq!(accounts.unwrap().len(), 2000);

    let agent = format!(r#"{{"agentId":1,"more":"{}"}}"#, "x".repeat(330));
    let agents = vec![agent; 10_000].join(",");
    let body = format!(r#"{{"agentDetails":[{agents}],"accessToken":"a"}}"#);
    let server = Server::answering(response("200 OK", "", &body)).await;
    assert_eq!(login(&server.api()).await.unwrap().access.expose(), "a");
}
