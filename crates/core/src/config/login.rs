//! How an account logs in, and who it is then.
//!
//! Knows where secrets are, never what they are.

use std::time::Duration;

use crate::secret::SecretSource;

/// How an account logs in.
#[derive(Clone, Debug, PartialEq)]
pub enum LoginPolicy {
    /// `login = "admin"`: with a user's name and password.
    Admin(AdminLogin),
    /// `login = "ringex"`: with the JWT of a RingEX user, through an app.
    RingEx(RingExLogin),
}

impl LoginPolicy {
    /// Where its secrets are.
    pub fn secrets(&self) -> Vec<&SecretSource> {
        match self {
            Self::Admin(login) => vec![&login.password],
            Self::RingEx(login) => vec![&login.client_secret, &login.jwt],
        }
    }

    /// The same, to be changed.
    pub fn secrets_mut(&mut self) -> Vec<&mut SecretSource> {
        match self {
            Self::Admin(login) => vec![&mut login.password],
            Self::RingEx(login) => vec![&mut login.client_secret, &mut login.jwt],
        }
    }

    /// How long reading them may take, where that is limited: they are read side by side.
    pub fn longest_read(&self) -> Duration {
        self.secrets()
            .into_iter()
            .map(SecretSource::longest_read)
            .max()
            .unwrap_or_default()
    }
}

/// `login = "admin"`
#[derive(Clone, Debug, PartialEq)]
pub struct AdminLogin {
    /// The RingCX user.
    pub username: String,
    /// Where its password is.
    pub password: SecretSource,
    /// Such as `aws80`.
    pub platform_id: String,
}

/// `login = "ringex"`. Whom the JWT names only the JWT tells.
#[derive(Clone, Debug, PartialEq)]
pub struct RingExLogin {
    /// The app's; no secret, and no user either.
    pub client_id: String,
    /// Where the app's secret is.
    pub client_secret: SecretSource,
    /// Where the user's JWT is.
    pub jwt: SecretSource,
}
