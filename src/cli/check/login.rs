//! One login for `check --online`, and no more calls than it takes.

use std::time::Duration;

use crate::cli::output::Screen;
use crate::clock::Clock;
use crate::driver::{RefusedBy, RingexApps, explain};
use crate::policy::{AccountPolicy, AdminLogin, LoginPolicy, RingExLogin, RingcxPolicy};
use crate::ringcx::{Credentials, Login, RingexCredentials, TokenApi, ringex_user};

/// Logs in accounts one after the other; those that share a RingEX app wait for each other.
pub struct LogIn<'a, A> {
    api: &'a A,
    ringcx: &'a RingcxPolicy,
    apps: RingexApps,
    clock: Clock,
    screen: &'a Screen,
}

impl<'a, A: TokenApi> LogIn<'a, A> {
    /// Nobody has logged in yet, as far as it knows.
    pub fn new(api: &'a A, ringcx: &'a RingcxPolicy, screen: &'a Screen) -> Self {
        Self { api, ringcx, apps: RingexApps::default(), clock: Clock::system(), screen }
    }

    /// Logs in, and says as whom; or why not.
    pub async fn attempt(&self, account: &AccountPolicy) -> Result<(Login, String), String> {
        match &account.login {
            LoginPolicy::Admin(login) => self.as_admin(login).await,
            LoginPolicy::RingEx(login) => self.by_ringex(&account.name, login).await,
        }
    }

    async fn as_admin(&self, login: &AdminLogin) -> Result<(Login, String), String> {
        let password = login.password.read_aside().await.map_err(|error| format!("password: {error}"))?;
        let username = &login.username;
        let who = Credentials { username, password: &password, platform_id: &login.platform_id };
        let opened = self.api.login(who).await.map_err(|error| format!("login: {error}"))?;
        Ok((opened, username.clone()))
    }

    async fn by_ringex(&self, account: &str, login: &RingExLogin) -> Result<(Login, String), String> {
        let client_secret =
            login.client_secret.read_aside().await.map_err(|error| format!("client-secret: {error}"))?;
        let jwt = login.jwt.read_aside().await.map_err(|error| format!("jwt: {error}"))?;
        self.await_turn(account, login).await;
        let who = RingexCredentials { client_id: &login.client_id, client_secret: &client_secret, jwt: &jwt };
        let refused = |by, error| explain(by, self.ringcx, &error);
        let access = self.api.ringex_token(who).await.map_err(|error| refused(RefusedBy::RingEx, error))?;
        let opened = self.api.login_with(&access).await.map_err(|error| refused(RefusedBy::RingCx, error))?;
        Ok((opened, ringex_user(&jwt)))
    }

    /// So as not to be refused for what would work.
    async fn await_turn(&self, account: &str, login: &RingExLogin) {
        let limit = self.ringcx.ringex_logins_per_minute as usize;
        while let Err(turn) = self.apps.claim(&login.client_id, account, limit, self.clock.now()) {
            let wait = (turn - self.clock.now()).to_std().unwrap_or(Duration::from_secs(1));
            self.screen.note(format!(
                "{account}: RingEX lets an app log in {limit} times a minute, going on in {} s",
                wait.as_secs() + 1
            ));
            tokio::time::sleep(wait).await;
        }
    }
}
