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
}

impl LoginPolicy {
    /// Where its secrets are.
    pub fn secrets(&self) -> Vec<&SecretSource> {
        match self {
            Self::Admin(login) => vec![&login.password],
        }
    }

    /// The same, to be changed.
    pub fn secrets_mut(&mut self) -> Vec<&mut SecretSource> {
        match self {
            Self::Admin(login) => vec![&mut login.password],
        }
    }

    /// How long reading them may take, where that is limited: they are read side by side.
    pub fn longest_read(&self) -> Duration {
        self.secrets().into_iter().map(SecretSource::longest_read).max().unwrap_or_default()
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
