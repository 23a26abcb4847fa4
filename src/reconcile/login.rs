//! Logging in: with a refresh token where there is one, else with what the policy names.
//!
//! Every attempt is counted before it is made, and a rejected one is not repeated before something
//! has changed: RingCX locks users out after a few wrong passwords. What this file does not know:
//! what the login is for.

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::interrupt::Interrupt;
use super::session::Access;
use super::state::{Observer, Reconciler};
use crate::ringcx::{Credentials, LoginTokens, TokenApi};
use crate::secret_source;
use rotator_core::account::LOGIN_WINDOW;
use rotator_core::config::{AdminLogin, LoginPolicy};
use rotator_core::event::{BackoffKey, Event, IncidentKind};
use rotator_core::journal::Journal;
use rotator_core::plan::backoff::{FailureReport, failed};
use rotator_core::secret::{Secret, SecretTag};

mod ringex;
pub use ringex::{RefusedBy, explain};

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Logs in. `false`: it failed, and the failure is recorded.
    pub(super) async fn renew_access(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<bool, Interrupt> {
        // A refresh cannot lock the user out, as a wrong password can. Its token works once, so it
        // is given up whatever comes of the call.
        if let Some(refresh) = self.server.session.drop_access() {
            self.pace(stop).await?;
            let refreshed = self.server.api.refresh(&refresh).await;
            self.progress();
            match refreshed {
                Ok(login) => return self.logged_in(login).await,
                Err(error) => {
                    // No failure to record: refresh tokens end, and the login that follows shows
                    // what is wrong.
                    tracing::debug!(account = self.name(), %error, "Refresh failed, logging in")
                }
            }
        }
        match self.config.account.login.clone() {
            LoginPolicy::Admin(login) => self.login_as_admin(&login, stop).await,
            LoginPolicy::RingEx(login) => self.login_by_ringex(&login, stop).await,
        }
    }

    async fn login_as_admin(
        &mut self,
        login: &AdminLogin,
        stop: &CancellationToken,
    ) -> Result<bool, Interrupt> {
        let password = match secret_source::read_async(&login.password).await {
            Ok(password) => password,
            Err(error) => return self.login_failed(format!("password: {error}")).await,
        };
        self.check_login_rate()?;
        self.pace(stop).await?;
        // Counted before it is sent: a crash loop must not send more logins than are allowed.
        self.record(vec![Event::LoginAttempted]).await?;
        let who = Credentials {
            username: &login.username,
            password: &password,
            platform_id: &login.platform_id,
        };
        let answer = self.server.api.login(who).await;
        self.progress();
        match answer {
            Ok(login) => self.logged_in(login).await,
            Err(error) => {
                let rejected = error.is_denied();
                let incident = if rejected {
                    IncidentKind::LoginRejected
                } else {
                    IncidentKind::LoginFailed
                };
                let mut report =
                    FailureReport::new(BackoffKey::Login, incident, format!("login: {error}"));
                report.retry_after = error.retry_after();
                // With this tag the plan sees that the secret was changed, and lifts the hold.
                report.rejected = rejected.then(|| self.tag_of_admin(login, &password));
                self.back_off(&error);
                let held = failed(
                    &self.state,
                    &self.config.account.retry,
                    report,
                    self.clock.now(),
                );
                self.record(vec![held]).await?;
                Ok(false)
            }
        }
    }

    /// Refuses while `logins-per-minute` are used up.
    fn check_login_rate(&self) -> Result<(), Interrupt> {
        let now = self.clock.now();
        if self.state.recent_logins(now) < self.server.session.logins_per_minute() {
            return Ok(());
        }
        // The oldest login of the window is the first to leave it, which makes room for one more.
        // The second is for clocks that are read a little too early.
        let oldest = self.state.logins.front().copied().unwrap_or(now);
        Err(Interrupt::NotBefore(
            (oldest + LOGIN_WINDOW).max(now + TimeDelta::seconds(1)),
        ))
    }

    /// Records a login that failed before any request was sent, e.g. because a secret could not be
    /// read.
    async fn login_failed(&mut self, error: String) -> Result<bool, Interrupt> {
        let failure = self.failure(BackoffKey::Login, IncidentKind::LoginFailed, error, None);
        self.record(vec![failure]).await?;
        Ok(false)
    }

    async fn logged_in(&mut self, login: LoginTokens) -> Result<bool, Interrupt> {
        let mut events: Vec<Event> = self.cleared(BackoffKey::Login).into_iter().collect();
        // Only changes are recorded: a row for each login would say nothing new.
        if login.password_reset != self.state.password_reset_since.is_some() {
            events.push(Event::PasswordReset {
                required: login.password_reset,
            });
        }
        self.server.session.keep_access(Access::new(login));
        self.record(events).await?;
        Ok(true)
    }

    /// The tag of the secrets that the policy names now.
    pub(super) async fn tag_secrets(&self) -> Option<SecretTag> {
        match &self.config.account.login {
            LoginPolicy::Admin(login) => {
                let password = secret_source::read_async(&login.password).await.ok()?;
                Some(self.tag_of_admin(login, &password))
            }
            LoginPolicy::RingEx(login) => self.tag_secrets_of(login).await,
        }
    }

    fn tag_of_admin(&self, login: &AdminLogin, password: &Secret) -> SecretTag {
        // The user is part of it: the same password for another user is another login.
        let salt = format!("{} {} {}", self.name(), login.username, login.platform_id);
        SecretTag::of(&salt, password)
    }
}
