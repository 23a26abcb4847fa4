//! The login by RingEX: a JWT becomes a RingEX access token, and that a login to RingCX.
//!
//! The first is kept for as long as it lives, so that each further login takes one call. Two hosts
//! can refuse, for different reasons, and each failure says which of them did and what to do.

use tokio_util::sync::CancellationToken;

use crate::reconcile::interrupt::Interrupt;
use crate::reconcile::session::CachedAccess;
use crate::reconcile::state::{Observer, Reconciler};
use crate::ringcx::{ApiError, RingexAccess, RingexCredentials, TokenApi, ringex_user};
use crate::secret_source;
use crate::secret_source::SecretError;
use rotator_core::config::{LoginPolicy, RingExLogin, RingcxPolicy};
use rotator_core::event::Event;
use rotator_core::journal::Journal;
use rotator_core::secret::{Secret, SecretTag};
use rotator_core::time::after;

/// The pause of an app after a 429 without `Retry-After`: RingEX's limits are per minute.
const QUIET: std::time::Duration = std::time::Duration::from_secs(60);

/// Which of the two hosts refused or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedBy {
    /// RingEX: it is about the app or the JWT.
    RingEx,
    /// RingCX: it is about the user's access there.
    RingCx,
}

/// What the policy's sources hold.
struct RingexSecrets {
    client_secret: Secret,
    jwt: Secret,
}

/// Whether the login goes on.
enum Turn<T> {
    With(T),
    /// It ends here, and why is recorded.
    Over,
}

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    pub(super) async fn login_by_ringex(
        &mut self,
        login: &RingExLogin,
        stop: &CancellationToken,
    ) -> Result<bool, Interrupt> {
        // At most twice: the second time the access is a new one.
        loop {
            self.check_login_rate()?;
            let (access, reused) = match self.server.session.ringex() {
                Some(access) => (access, true),
                None => match self.ringex_access(login, stop).await? {
                    Turn::With(access) => (access, false),
                    Turn::Over => return Ok(false),
                },
            };
            self.pace(stop).await?;
            self.record(vec![Event::LoginAttempted]).await?;
            let answer = self.server.api.login_with(&access).await;
            self.answered(answer.as_ref().err()).await?;
            match answer {
                Ok(login) => return self.logged_in(login).await,
                // A kept access may have been revoked early. A new one shows whether that was it.
                Err(error) if error.is_denied() && reused => self.server.session.drop_ringex(),
                Err(error) => return self.refused_by(RefusedBy::RingCx, login, &error).await,
            }
        }
    }

    /// Asks RingEX for an access token, within the limits of the app.
    async fn ringex_access(
        &mut self,
        login: &RingExLogin,
        stop: &CancellationToken,
    ) -> Result<Turn<RingexAccess>, Interrupt> {
        let secrets = match read(login).await {
            Ok(secrets) => secrets,
            Err(error) => {
                self.login_failed(error, None).await?;
                return Ok(Turn::Over);
            }
        };
        // As another user everything seen so far is void: the plan decides again before any
        // request.
        if self.note_user(&secrets.jwt).await? {
            return Ok(Turn::Over);
        }
        let limit = self.config.ringcx.ringex_logins_per_minute as usize;
        let claim =
            self.server
                .ringex_limits
                .claim(&login.client_id, self.name(), limit, self.clock.now());
        claim.map_err(Interrupt::NotBefore)?;
        // The last chance to stop before an attempt is counted and sent.
        if stop.is_cancelled() {
            return Err(Interrupt::Stopped);
        }
        // In the journal too: the minute of the limit can include a restart.
        self.record(vec![Event::RingexAttempted {
            client_id: login.client_id.clone(),
        }])
        .await?;
        let who = RingexCredentials {
            client_id: &login.client_id,
            client_secret: &secrets.client_secret,
            jwt: &secrets.jwt,
        };
        let answer = self.server.api.ringex_token(who).await;
        self.progress();
        // Kept on success as well: if RingCX refuses the access later, the hold is on these
        // secrets.
        let tag = self.tag_of_ringex(login, &secrets);
        self.server.session.tried_with(tag);
        match answer {
            Ok(access) => {
                self.server
                    .session
                    .keep_ringex(CachedAccess::new(access.clone()));
                Ok(Turn::With(access))
            }
            Err(error) => {
                self.spare_app(login, &error).await?;
                self.refused_by(RefusedBy::RingEx, login, &error).await?;
                Ok(Turn::Over)
            }
        }
    }

    /// Pauses the app for all its accounts if it asked too often: a request during the penalty
    /// would prolong it.
    async fn spare_app(&mut self, login: &RingExLogin, error: &ApiError) -> Result<(), Interrupt> {
        let ApiError::Busy {
            status,
            retry_after,
            ..
        } = error
        else {
            return Ok(());
        };
        let wait = match (retry_after, status) {
            (Some(wait), _) => *wait,
            (None, 429) => QUIET,
            // A 503 without a time says nothing about the app's limit.
            (None, _) => return Ok(()),
        };
        let until = after(self.clock.now(), wait);
        self.server.ringex_limits.back_off(&login.client_id, until);
        let client_id = login.client_id.clone();
        Ok(self
            .record(vec![Event::RingexQuiet { client_id, until }])
            .await?)
    }

    /// Records that one of the hosts refused the login. Always `false`.
    async fn refused_by(
        &mut self,
        host: RefusedBy,
        login: &RingExLogin,
        error: &ApiError,
    ) -> Result<bool, Interrupt> {
        let text = explain(host, &self.config.ringcx, error);
        let tag = match self.server.session.tag() {
            Some(tag) => Some(tag),
            None => self.tag_secrets_of(login).await,
        };
        self.login_refused(text, error, tag).await
    }

    /// Takes the RingCX user from the JWT, as only a login would show it otherwise. If it is
    /// another user than before, a new line of generations starts, because the old tokens are not
    /// that user's. Whether it is another user.
    async fn note_user(&mut self, jwt: &Secret) -> Result<bool, Interrupt> {
        let user = ringex_user(jwt);
        let line = self.state.lines.last();
        if line.is_some_and(|line| line.is_of_ringex() && line.username == user) {
            return Ok(false);
        }
        // Before the append: even if it fails, nothing of the user before is used for this one.
        self.server.session.forget();
        self.evidence.another_login();
        self.server.listing = Vec::new();
        self.record(vec![Event::LineStarted {
            username: user,
            platform_id: String::new(),
        }])
        .await?;
        Ok(true)
    }

    /// Notes the user of the JWT, where the policy logs in by RingEX and the journal knows another
    /// login or none. A JWT that cannot be read is a failure only for a login.
    pub(in crate::reconcile) async fn note_first_user(&mut self) -> Result<(), Interrupt> {
        let LoginPolicy::RingEx(login) = &self.config.account.login else {
            return Ok(());
        };
        if !self.state.login_differs(&self.config.account) {
            return Ok(());
        }
        match secret_source::read_async(&login.jwt).await {
            Ok(jwt) => self.note_user(&jwt).await.map(drop),
            Err(error) => {
                tracing::debug!(account = self.name(), %error, "JWT cannot be read yet");
                Ok(())
            }
        }
    }

    pub(super) async fn tag_secrets_of(&self, login: &RingExLogin) -> Option<SecretTag> {
        let secrets = read(login).await.ok()?;
        Some(self.tag_of_ringex(login, &secrets))
    }

    /// Covers both secrets: either may be the wrong one.
    fn tag_of_ringex(&self, login: &RingExLogin, secrets: &RingexSecrets) -> SecretTag {
        let salt = format!("{} {}", self.name(), login.client_id);
        // The separator keeps `ab` + `c` apart from `a` + `bc`.
        let both = format!(
            "{}\0{}",
            secrets.client_secret.expose(),
            secrets.jwt.expose()
        );
        SecretTag::of(&salt, &Secret::new(both))
    }
}

/// Reads both at once: each may be a command that takes a while.
async fn read(login: &RingExLogin) -> Result<RingexSecrets, String> {
    let (client_secret, jwt) = futures_util::future::join(
        secret_source::read_async(&login.client_secret),
        secret_source::read_async(&login.jwt),
    )
    .await;
    let named = |name: &str, error: SecretError| format!("{name}: {error}");
    Ok(RingexSecrets {
        client_secret: client_secret.map_err(|error| named("client-secret", error))?,
        jwt: jwt.map_err(|error| named("jwt", error))?,
    })
}

/// A failure as a message: which host, its answer, and what to do.
pub fn explain(host: RefusedBy, ringcx: &RingcxPolicy, error: &ApiError) -> String {
    let (name, url) = match host {
        RefusedBy::RingEx => ("RingEX", &ringcx.ringex_url),
        RefusedBy::RingCx => ("RingCX", &ringcx.base_url),
    };
    format!(
        "login to {name} ({}): {error}{}",
        url.host_str().unwrap_or_default(),
        advice(host, error)
    )
}

/// What to do about it, as far as the answer shows.
fn advice(host: RefusedBy, error: &ApiError) -> &'static str {
    match (host, error) {
        // `redact::said` puts the OAuth error code first, followed by a colon.
        (RefusedBy::RingEx, ApiError::Denied { said, .. }) => match said.split(':').next() {
            Some("invalid_client") => {
                "; see to client-id and client-secret, and that the app is active"
            }
            Some("invalid_grant") => {
                "; the JWT has expired, was revoked, or is not meant for this app: make another one in \
                 RingCentral's developer console"
            }
            Some("unauthorized_client") => {
                "; allow the app the JWT auth flow in RingCentral's developer console"
            }
            Some(_) | None => "; see to the app and its user in RingCentral's developer console",
        },
        (RefusedBy::RingCx, ApiError::Denied { .. }) => {
            "; RingEX let the user in and RingCX did not: give it access to RingCX, with the rights of an admin"
        }
        (RefusedBy::RingEx, ApiError::Busy { status: 429, .. }) => {
            "; all accounts that log in through this app share its limit"
        }
        (
            RefusedBy::RingEx | RefusedBy::RingCx,
            ApiError::Unreachable { .. }
            | ApiError::NoAnswer { .. }
            | ApiError::Busy { .. }
            | ApiError::Status { .. }
            | ApiError::Nonsense { .. },
        ) => "",
    }
}
