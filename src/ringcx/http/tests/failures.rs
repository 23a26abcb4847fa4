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
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2a\r\n{ONE}\r\n");
    for cut in [announced, chunked] {
        let server = Server::answering(cut).await;
        may_have_been_done(
            &mint(&server.api()).await.err().unwrap(),
            "the answer was cut short",
        );
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
        "answered 200, but the body is larger than 1024 KiB"
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
        "answered 200, but the body is larger than 1024 KiB"
    );
    // Short ones fit into the body, and are too many all the same.
    let tokens: Vec<String> = (0..50_000).map(|n| format!("\"t:{n:08}\"")).collect();
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
    let padded = format!("{ONE}{}", " ".repeat(MAX_BODY - ONE.len()));
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
