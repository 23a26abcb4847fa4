//! What a call leaves in the log at its most talkative.

use std::sync::{Arc, Mutex, PoisonError};

use super::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_call_is_one_line_of_the_log_and_shows_no_secret_even_at_trace() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    // The worst there is: a server that answers with the whole request, secrets and all.
    let server = Server::doing(|mut stream, request| {
        Box::pin(async move {
            stream
                .write_all(response("401 Unauthorized", "", &request).as_bytes())
                .await
        })
    })
    .await;
    let policies = [LoginEncoding::Query, LoginEncoding::Form].map(|login_encoding| RingcxPolicy {
        login_encoding,
        ..policy(&server.base_url)
    });
    let [api, by_form] = policies.map(|policy| api(&policy));
    let (one, two, access) = (token(ONE), token(TWO), Secret::new(ACCESS));
    let failed = [
        login(&api).await.is_err(),
        login(&by_form).await.is_err(),
        api.refresh(&access).await.is_err(),
        mint(&api).await.is_err(),
        list(&api).await.is_err(),
        api.list(Auth::Token(&one)).await.is_err(),
        api.delete(Auth::Bearer(&access), &two).await.is_err(),
        api.accounts(Auth::Token(&one)).await.is_err(),
    ];
    assert_eq!(failed, [true; 8]);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let calls: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("Called RingCX"))
        .collect();
    assert_eq!(calls.len(), 8, "{log}");
    assert!(
        calls[0].contains("call=\"login\" status=401 elapsed_ms="),
        "{}",
        calls[0]
    );
    let (encoded_password, encoded_access) =
        (wire::percent_encode(PASSWORD), wire::percent_encode(ACCESS));
    for secret in [
        PASSWORD,
        &encoded_password,
        ACCESS,
        &encoded_access,
        ONE,
        TWO,
    ] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
