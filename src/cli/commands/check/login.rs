//! Logins for `check --online`, within the limits that RingEX sets.

use chrono::{SecondsFormat, TimeDelta};

use crate::clock::Clock;
use crate::console::Screen;
use crate::reconcile::{RefusedBy, RingexRateLimiter, explain};
use crate::ringcx::{Credentials, LoginTokens, RingexCredentials, TokenApi, ringex_user};
use crate::secret_source;
use crate::store::SqliteJournal;
use rotator_core::account::LOGIN_WINDOW;
use rotator_core::config::{
    AccountPolicy, AdminLogin, LoginPolicy, Policy, RingExLogin, RingcxPolicy,
};

/// Logs accounts in, one after the other; those that share a RingEX app wait for each other.
pub struct LogIn<'a, A> {
    api: &'a A,
    ringcx: &'a RingcxPolicy,
    limits: RingexRateLimiter,
    clock: Clock,
    screen: &'a Screen,
}

impl<'a, A: TokenApi> LogIn<'a, A> {
    /// Reads the recent logins of the daemon from its journal, if that is possible: they count for
    /// the limits too.
    pub async fn new(api: &'a A, policy: &'a Policy, screen: &'a Screen) -> Self {
        let state_dir = &policy.daemon.state_dir;
        // Read only, so that `check` works beside a running daemon, which holds the state
        // directory.
        let journal = state_dir
            .exists()
            .then(|| SqliteJournal::open_read_only(state_dir).ok())
            .flatten();
        let limits = match journal {
            Some(journal) => RingexRateLimiter::of_journal(&journal, policy).await,
            // Without the journal the limits count this command's own logins only.
            None => RingexRateLimiter::default(),
        };
        Self {
            api,
            ringcx: &policy.ringcx,
            limits,
            clock: Clock::system(),
            screen,
        }
    }

    /// Logs in. Returns the user too, and an error as a message.
    pub async fn attempt(&self, account: &AccountPolicy) -> Result<(LoginTokens, String), String> {
        match &account.login {
            LoginPolicy::Admin(login) => self.as_admin(login).await,
            LoginPolicy::RingEx(login) => self.by_ringex(&account.name, login).await,
        }
    }

    async fn as_admin(&self, login: &AdminLogin) -> Result<(LoginTokens, String), String> {
        let password = secret_source::read_async(&login.password)
            .await
            .map_err(|error| format!("password: {error}"))?;
        let username = &login.username;
        let who = Credentials {
            username,
            password: &password,
            platform_id: &login.platform_id,
        };
        let opened = self
            .api
            .login(who)
            .await
            .map_err(|error| format!("login: {error}"))?;
        Ok((opened, username.clone()))
    }

    async fn by_ringex(
        &self,
        account: &str,
        login: &RingExLogin,
    ) -> Result<(LoginTokens, String), String> {
        let client_secret = secret_source::read_async(&login.client_secret)
            .await
            .map_err(|error| format!("client-secret: {error}"))?;
        let jwt = secret_source::read_async(&login.jwt)
            .await
            .map_err(|error| format!("jwt: {error}"))?;
        // After the secrets are read: an unreadable file must not use up a login.
        self.await_turn(account, login).await?;
        let who = RingexCredentials {
            client_id: &login.client_id,
            client_secret: &client_secret,
            jwt: &jwt,
        };
        let refused = |by, error| explain(by, self.ringcx, &error);
        let access = self
            .api
            .ringex_token(who)
            .await
            .map_err(|error| refused(RefusedBy::RingEx, error))?;
        let opened = self
            .api
            .login_with(&access)
            .await
            .map_err(|error| refused(RefusedBy::RingCx, error))?;
        Ok((opened, ringex_user(&jwt)))
    }

    /// Waits until RingEX allows another login of this app. One too many would be refused although
    /// the credentials are right, and would prolong the time of refusals.
    async fn await_turn(&self, account: &str, login: &RingExLogin) -> Result<(), String> {
        let limit = self.ringcx.ringex_logins_per_minute as usize;
        while let Err(turn) = self
            .limits
            .claim(&login.client_id, account, limit, self.clock.now())
        {
            let wait = (turn - self.clock.now()).max(TimeDelta::zero());
            // A longer wait comes from a `Retry-After`; a command does not wait for hours.
            if wait > LOGIN_WINDOW {
                let turn = turn.to_rfc3339_opts(SecondsFormat::Secs, true);
                return Err(format!(
                    "login to RingEX not tried: it refuses logins of this app until {turn}"
                ));
            }
            self.screen.note(format!(
                "{account}: RingEX lets an app log in {limit} times a minute, going on in {} s",
                wait.num_seconds() + 1
            ));
            tokio::time::sleep(wait.to_std().unwrap_or_default()).await;
        }
        Ok(())
    }
}
