//! What a proxy does is the proxy's, and what it did not connect was not sent.

use super::*;
use rotator_core::config::{ProxyAddress, ProxyChoice, ProxyLogin};
use rotator_core::secret::SecretSource;

/// A policy whose host is reached by this proxy alone.
fn by(proxy: &Server, login: Option<ProxyLogin>) -> RingcxPolicy {
    RingcxPolicy {
        network: NetworkPolicy {
            proxy: ProxyChoice::Through(ProxyAddress::parse(&proxy.base_url).unwrap()),
            login,
            no_proxy: Vec::new(),
        },
        // RFC 6761: this name resolves nowhere.
        ..policy("https://ringcx.invalid")
    }
}

// proves: no-blind-mint
#[tokio::test]
async fn a_mint_that_the_proxy_did_not_connect_was_not_sent_and_is_no_answer_of_ringcx() {
    for (answer, says) in [
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n",
            "refused, or does not reach",
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\n\r\n",
            "refused, or does not reach",
        ),
        (
            "HTTP/1.0 502 Bad Gateway\r\n\r\n<html>",
            "refused, or does not reach",
        ),
        (
            "HTTP/1.1 503 Busy\r\nRetry-After: 9\r\n\r\n",
            "refused, or does not reach",
        ),
        (
            "HTTP/1.1 504 Gateway Timeout\r\n\r\n",
            "refused, or does not reach",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://x\r\n\r\n",
            "refused, or does not reach",
        ),
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
            "wants a login, or another one (407): see proxy-username and proxy-password",
        ),
        ("", "closed the connection"),
        (
            "220 mail.example.com ESMTP\r\n\r\n",
            "refused, or does not reach",
        ),
    ] {
        let proxy = Server::answering(answer).await;
        let error = mint(&api(&by(&proxy, None))).await.err().unwrap();
        let ApiError::Unreachable { host, why } = &error else {
            panic!("{answer}: {error:?}")
        };
        assert_eq!(host, "ringcx.invalid:443");
        let proxys = format!("the proxy {} {says}", proxy.base_url);
        assert!(why.starts_with(&proxys), "{answer}: {why}");
        assert_eq!(error.outcome(), rotator_core::event::Outcome::NotDone);
        let request = proxy.only_request().await;
        assert!(
            request.starts_with("CONNECT ringcx.invalid:443 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            !request.contains(ACCESS) && !request.contains("roxy-"),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_or_is_silent_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let (_, requests) = mpsc::unbounded_channel();
    let proxy = Server { base_url, requests };
    let silent = RingcxPolicy {
        connect_timeout: Duration::from_millis(200),
        ..by(&proxy, None)
    };
    let error = mint(&api(&silent)).await.err().unwrap();
    let why = format!(
        "timed out while connecting through the proxy {}",
        proxy.base_url
    );
    assert!(
        matches!(&error, ApiError::Unreachable { why: told, .. } if *told == why),
        "{error}"
    );
    drop(listener);
    let error = mint(&api(&silent)).await.err().unwrap();
    let why = format!(
        "the proxy {} cannot be reached: connection refused",
        proxy.base_url
    );
    assert!(
        matches!(&error, ApiError::Unreachable { why: told, .. } if *told == why),
        "{error}"
    );
}

// proves: no-leak
#[tokio::test]
async fn the_proxys_login_is_read_at_each_call_and_never_shown() {
    let write = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        put(file.path(), text);
        file
    };
    let (username, password) = (write("rotator"), write("first-canary\n"));
    let mut proxy = Server::answering("HTTP/1.1 407 No\r\n\r\n").await;
    let login = ProxyLogin {
        username: SecretSource::File(username.path().to_owned()),
        password: SecretSource::File(password.path().to_owned()),
    };
    let api = api(&by(&proxy, Some(login)));
    for (secret, encoded) in [
        ("first-canary", "cm90YXRvcjpmaXJzdC1jYW5hcnk="),
        ("second-canary", "cm90YXRvcjpzZWNvbmQtY2FuYXJ5"),
    ] {
        put(password.path(), secret);
        let error = mint(&api).await.err().unwrap();
        let told = format!("{error} {error:?}");
        assert!(
            !told.contains("canary") && !told.contains(encoded),
            "{told}"
        );
        let request = proxy.requests.recv().await.unwrap().to_lowercase();
        let header = format!("proxy-authorization: basic {}", encoded.to_lowercase());
        assert!(request.contains(&header), "{request}");
    }
    std::fs::remove_file(password.path()).unwrap();
    let error = mint(&api).await.err().unwrap();
    assert!(error.to_string().contains("the proxy's login: "), "{error}");
    assert_eq!(error.outcome(), rotator_core::event::Outcome::NotDone);
}
