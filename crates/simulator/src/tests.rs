//! The stand-in seen through an HTTP client, and what it says of it afterwards.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;

use super::*;
use crate::clock::SimClock;
use rotator_core::secret::Fingerprint;

mod beside;
mod calls;
mod configs;
mod faults;
mod ringex;

const LOGIN: &str = "/api/auth/login/admin";
const REFRESH: &str = "/api/auth/token/refresh";
const TOKEN: &str = "/voice/api/v1/admin/token";
const ACCOUNTS: &str = "/voice/api/v1/admin/accounts";
const CONFIGS: &str = "/voice/api/v1/admin/accounts/21170001/external/authConfigs";

/// A simulator with a client that follows nothing.
struct Bench {
    simulator: Simulator,
    client: Client,
}

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

fn client() -> Client {
    client_trusting(None)
}

fn client_trusting(authority: Option<&Authority>) -> Client {
    // Whichever test comes first installs it for all.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots = authority
        .map(|authority| reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap());
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only(roots)
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

impl Bench {
    async fn new() -> Self {
        let ringex = RingexSetup {
            jwts: [("ann-jwt".to_owned(), "ann".to_owned())].into(),
            ..RingexSetup::default()
        };
        Self::with(Setup {
            ringex,
            ..Setup::default()
        })
        .await
    }

    async fn with(setup: Setup) -> Self {
        let simulator = Simulator::start(setup).await.unwrap();
        simulator.add_auth_config("21170001/c1".parse().unwrap());
        Self {
            simulator,
            client: client(),
        }
    }

    async fn with_user(name: &str, password: &str) -> Self {
        let user = User {
            name: name.to_owned(),
            password: Some(password.to_owned()),
            platform: None,
        };
        Self::with(Setup {
            users: vec![user],
            ..Setup::default()
        })
        .await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.simulator.base_url()))
    }

    fn login_request(&self, username: &str, password: &str) -> RequestBuilder {
        let query = [
            ("username", username),
            ("password", password),
            ("platformId", "aws80"),
        ];
        self.request(Method::POST, LOGIN).query(&query)
    }

    async fn login(&self, username: &str, password: &str) -> Answer {
        read(self.login_request(username, password)).await
    }

    /// Logs `ann` in and gives the access and the refresh token.
    async fn session(&self) -> (String, String) {
        let login = self.login("ann", "pw").await.json();
        let text = |key: &str| login[key].as_str().unwrap().to_owned();
        (text("accessToken"), text("refreshToken"))
    }

    async fn mint(&self, access: &str) -> Answer {
        read(self.request(Method::POST, TOKEN).bearer_auth(access)).await
    }

    async fn list(&self, access: &str) -> Answer {
        read(self.request(Method::GET, TOKEN).bearer_auth(access)).await
    }

    async fn delete(&self, access: &str, token: &str) -> Answer {
        read(
            self.request(Method::DELETE, &format!("{TOKEN}/{token}"))
                .bearer_auth(access),
        )
        .await
    }

    fn jwt_request(&self, client_id: &str, client_secret: &str, jwt: &str) -> RequestBuilder {
        let url = format!("{}/restapi/oauth/token", self.simulator.ringex_url());
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", jwt),
        ];
        self.client
            .post(url)
            .basic_auth(client_id, Some(client_secret))
            .form(&form)
    }

    fn ringex_login_request(&self, token: &str) -> RequestBuilder {
        let path = "/api/auth/login/rc/accesstoken?includeRefresh=true";
        self.request(Method::POST, path)
            .form(&[("rcAccessToken", token), ("rcTokenType", "Bearer")])
    }

    /// Makes the call as it should be made; `victim` is what a delete is to delete.
    fn call(&self, call: Call, access: &str, refresh: &str, victim: &str) -> RequestBuilder {
        match call {
            Call::Login => self.login_request("ann", "pw"),
            Call::RingexToken => self.jwt_request("app", "app-secret", "ann-jwt"),
            Call::RingexLogin => {
                let token = self.simulator.ringex_tokens().pop().unwrap_or_default();
                self.ringex_login_request(&token)
            }
            Call::Refresh => self
                .request(Method::POST, REFRESH)
                .form(&[("refresh_token", refresh)]),
            Call::Mint => self.request(Method::POST, TOKEN).bearer_auth(access),
            Call::List => self.request(Method::GET, TOKEN).bearer_auth(access),
            Call::Delete => self
                .request(Method::DELETE, &format!("{TOKEN}/{victim}"))
                .bearer_auth(access),
            Call::Accounts => self.request(Method::GET, ACCOUNTS).bearer_auth(access),
            Call::ConfigList => self.request(Method::GET, CONFIGS).bearer_auth(access),
            Call::ConfigRead => self
                .request(Method::GET, &format!("{CONFIGS}/c1"))
                .bearer_auth(access),
            Call::ConfigWrite => {
                let body = r#"{"providerName":"P","description":"D","apiKey":"aws80:a-new-key"}"#;
                self.request(Method::PATCH, &format!("{CONFIGS}/c1/apiKey"))
                    .bearer_auth(access)
                    .body(body)
            }
        }
    }
}

async fn read(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer {
        status,
        headers,
        body: response.text().await.unwrap(),
    }
}
