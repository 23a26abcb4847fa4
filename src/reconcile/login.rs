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
use crate::ringcx::{ApiError, Credentials, LoginTokens, TokenApi};
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
        let was_listed = self.server.session.was_listed();
        if let Some(refresh) = self.server.session.drop_access() {
            self.pace(stop).await?;
            let refreshed = self.server.api.refresh(&refresh).await;
            self.answered(refreshed.as_ref().err()).await?;
            match refreshed {
                Ok(login) => {
                    let is_open = self.logged_in(login).await?;
                    if was_listed {
                        self.server.session.listed();
                    }
                    return Ok(is_open);
                }
                // A login in the same instant would be a call during the pause.
                Err(error) if !self.may_ask() => {
                    let text = format!("refresh: {error}");
                    return self.login_failed(text, Some(&error)).await;
                }
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
            Err(error) => return self.login_failed(format!("password: {error}"), None).await,
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
        let tag = self.tag_of_admin(login, &password);
        self.server.session.tried_with(tag);
        let answer = self.server.api.login(who).await;
        self.answered(answer.as_ref().err()).await?;
        match answer {
            Ok(login) => self.logged_in(login).await,
            Err(error) => {
                let text = format!("login: {error}");
                self.login_refused(text, &error, Some(tag)).await
            }
        }
    }

    /// Records a login that was answered with an error. `tag` is that of its secrets. Always
    /// `false`.
    ///
    /// A rejected login is not sent again for hours, so it has to be certain: an answer that RingCX
    /// did not write itself, or one to secrets that worked before, gets one more login soon.
    async fn login_refused(
        &mut self,
        text: String,
        error: &ApiError,
        tag: Option<SecretTag>,
    ) -> Result<bool, Interrupt> {
        let refused = error.refuses_login();
        let worked_before = tag.is_some() && self.state.accepted_secret == tag;
        let had_second_look = self
            .state
            .lanes
            .get(&BackoffKey::Login)
            .is_some_and(|earlier| earlier.rejected == tag);
        let second_look = refused && (worked_before || !error.is_own_refusal()) && !had_second_look;
        let incident = if refused && !second_look {
            IncidentKind::LoginRejected
        } else {
            IncidentKind::LoginFailed
        };
        let mut report = FailureReport::new(BackoffKey::Login, incident, text);
        report.retry_after = error.retry_after();
        report.second_look = second_look;
        // With this tag the plan sees that the secret was changed, and lifts the hold.
        report.rejected = if refused { tag } else { None };
        let retry = &self.config.account.retry;
        let held = failed(self.name(), &self.state, retry, report, self.clock.now());
        self.record(vec![held]).await?;
        Ok(false)
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

    /// Records a login that failed before it was sent, e.g. because a secret could not be read.
    async fn login_failed(
        &mut self,
        text: String,
        cause: Option<&ApiError>,
    ) -> Result<bool, Interrupt> {
        let failure = self.failure(BackoffKey::Login, IncidentKind::LoginFailed, text, cause);
        self.record(vec![failure]).await?;
        Ok(false)
    }

    async fn logged_in(&mut self, login: LoginTokens) -> Result<bool, Interrupt> {
        let mut events = Vec::new();
        // Only changes are recorded: a row for each login would say nothing new.
        if login.password_reset != self.state.password_reset_since.is_some() {
            events.push(Event::PasswordReset {
                required: login.password_reset,
            });
        }
        let access = Access::new(login, self.server.call_began);
        self.server.session.keep_access(access);
        self.record(events).await?;
        Ok(true)
    }

    /// The events that follow from the first call that the access token opened. Only now the login
    /// is known to work: one whose access token is refused is as good as none.
    pub(super) fn access_opened(&self) -> Vec<Event> {
        let mut events: Vec<Event> = self.cleared(BackoffKey::Login).into_iter().collect();
        // After a refresh the secrets were not asked for.
        if let Some(tag) = self.server.session.tag()
            && self.state.accepted_secret != Some(tag)
        {
            events.push(Event::SecretAccepted { tag });
        }
        events
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
