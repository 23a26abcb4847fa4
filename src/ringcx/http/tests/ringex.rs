//! The two calls of a login by RingEX: what each host is sent, and what its refusals come to.

use super::*;

const CLIENT_SECRET: &str = "app/secret+&%";
const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiI2MjQyIn0.c2lnbmF0dXJl";
/// Basic: `app:` and the secret.
const BASIC: &str = "YXBwOmFwcC9zZWNyZXQrJiU=";
const GIVEN: &str = "U0pDMTFQMDFQQVMwMH/+";

async fn ask(server: &Server) -> Result<RingexAccess, ApiError> {
    let (client_secret, jwt) = (Secret::new(CLIENT_SECRET), Secret::new(JWT));
    let who = RingexCredentials {
        client_id: "app",
        client_secret: &client_secret,
        jwt: &jwt,
    };
    server.api().ringex_token(who).await
}

async fn refused(status: &str, headers: &str, body: &str) -> ApiError {
    ask(&Server::answering(response(status, headers, body)).await)
        .await
        .err()
        .unwrap()
}

#[tokio::test]
async fn ringex_is_sent_the_apps_secret_and_the_jwt_and_ringcx_only_what_it_gave() {
    let body = format!(r#"{{"access_token":"{GIVEN}","expires_in":3600}}"#);
    let server = Server::answering(response("200 OK", "", &body)).await;
    let access = ask(&server).await.unwrap();
    assert_eq!(
        (access.bearer.expose(), access.lifetime),
        (GIVEN, Duration::from_secs(3600))
    );
    let request = server.only_request().await;
    assert!(
        request.starts_with("POST /restapi/oauth/token HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains(&format!("\r\nauthorization: Basic {BASIC}\r\n")),
        "{request}"
    );
    let form =
        format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={JWT}");
    assert!(request.ends_with(&format!("\r\n\r\n{form}")), "{request}");

    let server = Server::answering(response(
        "200 OK",
        "",
        r#"{"accessToken":"a","refreshToken":null}"#,
    ))
    .await;
    assert_eq!(
        server
            .api()
            .login_with(&access)
            .await
            .unwrap()
            .access
            .expose(),
        "a"
    );
    let request = server.only_request().await;
    assert!(
        request.starts_with("POST /api/auth/login/rc/accesstoken?includeRefresh=true HTTP/1.1\r\n")
    );
    assert!(
        request.ends_with("\r\n\r\nrcAccessToken=U0pDMTFQMDFQQVMwMH%2F%2B&rcTokenType=Bearer"),
        "{request}"
    );
    for other in [JWT, CLIENT_SECRET, BASIC, "authorization"] {
        assert!(!request.contains(other), "{other} in:\n{request}");
    }
}

#[tokio::test]
async fn a_refused_grant_is_a_denial_and_another_400_is_not() {
    for code in ["invalid_client", "invalid_grant", "unauthorized_client"] {
        let body = format!(
            r#"{{"error":"{code}","error_description":"No","errors":[{{"errorCode":"OAU-1"}}]}}"#
        );
        let error = refused("400 Bad Request", "", &body).await;
        assert!(error.is_denied(), "{error:?}");
        assert_eq!(error.to_string(), format!("answered 400: {code}: No"));
    }
    assert!(refused("401 Unauthorized", "", "").await.is_denied());
    for body in [
        r#"{"error":"invalid_request"}"#,
        "",
        "invalid_grant_of_another_kind",
        "<html>",
    ] {
        let error = refused("400 Bad Request", "", body).await;
        assert!(
            matches!(error, ApiError::Status { status: 400, .. }),
            "{error:?}"
        );
    }
    let error = refused("429 Too Many Requests", "Retry-After: 60\r\n", "").await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn what_a_host_says_back_shows_no_secret_of_the_call() {
    for status in ["400 Bad Request", "401 Unauthorized", "500 Oops"] {
        for secret in [CLIENT_SECRET, JWT, BASIC, "app%2Fsecret%2B%26%25"] {
            let error = format!(
                "{:?}",
                refused(status, "", &format!("you sent {secret}, no")).await
            );
            assert!(
                !error.contains(secret) && error.contains("you sent"),
                "{error}"
            );
        }
    }
    let server = Server::answering(response(
        "403 Forbidden",
        "",
        &format!("you sent {GIVEN}, no"),
    ))
    .await;
    let access = RingexAccess {
        bearer: Secret::new(GIVEN),
        lifetime: PLENTY,
    };
    let error = format!(
        "{:?}",
        server.api().login_with(&access).await.err().unwrap()
    );
    assert!(
        !error.contains(GIVEN) && error.contains("you sent"),
        "{error}"
    );
}

#[tokio::test]
async fn neither_call_follows_a_redirect() {
    let elsewhere = Server::answering(response(
        "200 OK",
        "",
        r#"{"access_token":"a","accessToken":"a"}"#,
    ))
    .await;
    let location = format!("Location: {}/\r\n", elsewhere.base_url);
    let error = refused("307 Temporary Redirect", &location, "").await;
    assert!(
        matches!(error, ApiError::Status { status: 307, .. }),
        "{error:?}"
    );
    let server = Server::answering(response("307 Temporary Redirect", &location, "")).await;
    let access = RingexAccess {
        bearer: Secret::new(GIVEN),
        lifetime: PLENTY,
    };
    assert!(server.api().login_with(&access).await.is_err());
    let mut elsewhere = elsewhere;
    assert!(elsewhere.requests.try_recv().is_err(), "it was handed on");
}
