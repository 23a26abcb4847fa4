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
    /// How long reading its secrets may take, where that is limited.
    pub fn longest_read(&self) -> Duration {
        match self {
            Self::Admin(login) => login.password.longest_read(),
        }
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
