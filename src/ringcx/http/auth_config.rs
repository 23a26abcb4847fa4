//! The calls about auth configs over HTTP. What their answers mean is in `ringcx/auth_config.rs`.

use reqwest::{Method, header};

use super::{HttpApi, MAX_JSON, NOTHING, exposed};
use crate::ringcx::Auth;
use crate::ringcx::auth_config::{self, Answering, AuthConfig, AuthConfigId, AuthConfigs};
use rotator_core::secret::Token;

/// The path of an account's auth configs; segments, so that no id can lead elsewhere.
fn configs(account_id: &str) -> [&str; 8] {
    [
        "voice",
        "api",
        "v1",
        "admin",
        "accounts",
        account_id,
        "external",
        "authConfigs",
    ]
}

impl AuthConfigs for HttpApi {
    fn auth_config<'a>(
        &'a self,
        auth: Auth<'a>,
        place: AuthConfigId<'a>,
    ) -> Answering<'a, AuthConfig> {
        Box::pin(async move {
            let segments = [&configs(place.account_id)[..], &[place.config_id]].concat();
            let request = self.request_as(auth, Method::GET, &segments).await?;
            let answer = self
                .send("config-read", request, MAX_JSON, &[exposed(auth)])
                .await?;
            answer.read(auth_config::one(&answer.body))
        })
    }

    fn set_api_key<'a>(
        &'a self,
        auth: Auth<'a>,
        place: AuthConfigId<'a>,
        was: &'a AuthConfig,
        key: &'a Token,
    ) -> Answering<'a, ()> {
        Box::pin(async move {
            let segments = [&configs(place.account_id)[..], &[place.config_id, "apiKey"]].concat();
            let body = auth_config::change(was, key).to_string();
            let request = self.request_as(auth, Method::PATCH, &segments).await?;
            let request = request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body);
            let secrets = [exposed(auth), key.expose()];
            // The read that follows shows what is there now.
            self.send("config-write", request, NOTHING, &secrets)
                .await
                .map(drop)
        })
    }

    fn auth_configs<'a>(
        &'a self,
        auth: Auth<'a>,
        account_id: &'a str,
    ) -> Answering<'a, Vec<AuthConfig>> {
        Box::pin(async move {
            let request = self
                .request_as(auth, Method::GET, &configs(account_id))
                .await?;
            let answer = self
                .send("config-list", request, MAX_JSON, &[exposed(auth)])
                .await?;
            answer.read::<Vec<AuthConfig>>(auth_config::many(&answer.body))
        })
    }
}
