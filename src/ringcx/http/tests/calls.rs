//! What each call sends.

use super::*;

#[track_caller]
fn begins(request: &str, line: &str) {
    assert_eq!(
        request.lines().next(),
        Some(format!("{line} HTTP/1.1").as_str())
    );
}

#[track_caller]
fn has_header(request: &str, header: &str) {
    let head = request.split("\r\n\r\n").next().unwrap();
    assert!(
        head.lines().any(|line| line.eq_ignore_ascii_case(header)),
        "no {header} in:\n{request}"
    );
}

#[track_caller]
fn has_no_header(request: &str, name: &str) {
    let head = request.split("\r\n\r\n").next().unwrap().to_lowercase();
    assert!(
        !head
            .lines()
            .any(|line| line.starts_with(&format!("{name}:"))),
        "{name} in:\n{request}"
    );
}

const ENCODED: &str = "username=ivr%2Bbot%40example.com&password=p%26s%3Dw%2Br%20d%25%23%3F%2F%C3%A9%22&platformId=aws80";

#[tokio::test]
async fn a_login_sends_its_fields_as_a_query() {
    let server = Server::answering(response("200 OK", "", r#"{"accessToken":"a"}"#)).await;
    assert_eq!(login(&server.api()).await.unwrap().access.expose(), "a");
    let request = server.only_request().await;
    begins(&request, &format!("POST /api/auth/login/admin?{ENCODED}"));
    has_header(&request, "content-length: 0");
    has_header(
        &request,
        concat!("user-agent: ringcx-rotator/", env!("CARGO_PKG_VERSION")),
    );
    has_no_header(&request, "accept-encoding");
}

#[tokio::test]
async fn a_login_sends_its_fields_as_a_form_where_the_policy_says_so() {
    let server = Server::answering(response("200 OK", "", r#"{"accessToken":"a"}"#)).await;
    let policy = RingcxPolicy {
        login_encoding: LoginEncoding::Form,
        ..policy(&server.base_url)
    };
    login(&api(&policy)).await.unwrap();
    let request = server.only_request().await;
    begins(&request, "POST /api/auth/login/admin");
    has_header(&request, "content-type: application/x-www-form-urlencoded");
    assert!(
        request.ends_with(&format!("\r\n\r\n{ENCODED}")),
        "{request}"
    );
}

#[tokio::test]
async fn a_refresh_sends_its_token_as_a_form() {
    let server = Server::answering(response(
        "200 OK",
        "",
        r#"{"accessToken":"b","refreshToken":"c"}"#,
    ))
    .await;
    let login = server.api().refresh(&Secret::new("r/+=")).await.unwrap();
    assert_eq!(
        (login.access.expose(), login.refresh.unwrap().expose()),
        ("b", "c")
    );
    let request = server.only_request().await;
    begins(&request, "POST /api/auth/token/refresh");
    has_header(&request, "content-type: application/x-www-form-urlencoded");
    assert!(
        request.ends_with("\r\n\r\nrefresh_token=r%2F%2B%3D"),
        "{request}"
    );
}

#[tokio::test]
async fn a_mint_is_an_empty_post_with_the_access_token_as_bearer() {
    let server = Server::answering(response("201 Created", "", ONE)).await;
    assert_eq!(mint(&server.api()).await.unwrap().expose(), ONE);
    let request = server.only_request().await;
    begins(&request, "POST /voice/api/v1/admin/token");
    has_header(&request, &format!("authorization: Bearer {ACCESS}"));
    has_header(&request, "content-length: 0");
}

#[tokio::test]
async fn a_list_under_a_permanent_token_sends_it_as_x_auth_token_alone() {
    let server = Server::answering(response("200 OK", "", "[]")).await;
    let listing = server.api().list(Auth::Token(&token(ONE))).await.unwrap();
    assert!(listing.tokens.is_empty());
    let request = server.only_request().await;
    begins(&request, "GET /voice/api/v1/admin/token");
    has_header(&request, &format!("x-auth-token: {ONE}"));
    has_no_header(&request, "authorization");
}

#[tokio::test]
async fn a_delete_has_the_token_as_one_segment_with_its_colon() {
    for text in [ONE, "aws80:..~a_b", "........"] {
        let server = Server::answering(response("200 OK", "", "true")).await;
        let deletion = server
            .api()
            .delete(Auth::Bearer(&Secret::new(ACCESS)), &token(text))
            .await;
        assert_eq!(deletion, Ok(Deletion::Accepted));
        begins(
            &server.only_request().await,
            &format!("DELETE /voice/api/v1/admin/token/{text}"),
        );
    }
}

#[tokio::test]
async fn accounts_are_asked_for_under_a_permanent_token_too() {
    let server = Server::answering(response(
        "200 OK",
        "",
        r#"[{"accountId":"1","accountName":"Sales"}]"#,
    ))
    .await;
    let accounts = server
        .api()
        .accounts(Auth::Token(&token(ONE)))
        .await
        .unwrap();
    assert_eq!(
        accounts,
        [VisibleAccount {
            id: "1".to_owned(),
            name: "Sales".to_owned()
        }]
    );
    let request = server.only_request().await;
    begins(&request, "GET /voice/api/v1/admin/accounts");
    has_header(&request, &format!("x-auth-token: {ONE}"));
}

#[tokio::test]
async fn a_path_prefix_of_the_base_url_is_kept() {
    for prefix in ["/ringcx/eu", "/ringcx/eu/"] {
        let server = Server::answering(response("200 OK", "", "[]")).await;
        list(&api(&policy(&format!("{}{prefix}", server.base_url))))
            .await
            .unwrap();
        begins(
            &server.only_request().await,
            "GET /ringcx/eu/voice/api/v1/admin/token",
        );
    }
}

#[tokio::test]
async fn no_two_calls_share_a_connection_even_where_the_server_would() {
    let server = Server::doing(|mut stream, _| {
        Box::pin(async move {
            stream
                .write_all(response("200 OK", "Connection: keep-alive\r\n", "[]").as_bytes())
                .await?;
            // A second request on this connection finds no answer, and would not be counted.
            stream.read_to_end(&mut Vec::new()).await.map(|_| ())
        })
    })
    .await;
    let policy = RingcxPolicy {
        request_timeout: Duration::from_secs(2),
        ..policy(&server.base_url)
    };
    let api = api(&policy);
    for _ in 0..3 {
        assert!(list(&api).await.is_ok());
    }
}
