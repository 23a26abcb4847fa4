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
    /// The sources of its secrets, such as a file or a systemd credential.
    pub fn secrets(&self) -> Vec<&SecretSource> {
        match self {
            Self::Admin(login) => vec![&login.password],
            Self::RingEx(login) => vec![&login.client_secret, &login.jwt],
        }
    }

    /// The same sources, to be replaced: checks on this host resolve systemd's credentials that
    /// way.
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

/// `login = "admin"`: a RingCX user with a password.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminLogin {
    /// Name of the RingCX user that logs in.
    pub username: String,
    /// Where its password is.
    pub password: SecretSource,
    /// The RingCX platform of the user, such as `aws80`.
    pub platform_id: String,
}

/// `login = "ringex"`: a RingEX user through an app. The user is named only inside the JWT.
#[derive(Clone, Debug, PartialEq)]
pub struct RingExLogin {
    /// Client id of the RingEX app. Neither a secret nor the name of a user.
    pub client_id: String,
    /// Where the app's secret is.
    pub client_secret: SecretSource,
    /// Where the user's JWT is.
    pub jwt: SecretSource,
}
