//! What authenticates a call to RingCX: a permanent token, or the login.

use crate::ringcx::Auth;
use rotator_core::plan::evidence::ListedBy;
use rotator_core::secret::{Fingerprint, Secret, Token};

/// What authenticates a call to RingCX.
pub(super) enum RingcxCaller {
    /// A token in use.
    Token(Token),
    /// The login's access token.
    Login(Secret),
}

impl RingcxCaller {
    pub(super) fn token(&self) -> Option<Fingerprint> {
        match self {
            Self::Token(token) => Some(token.fingerprint()),
            Self::Login(_) => None,
        }
    }

    pub(super) fn auth(&self) -> Auth<'_> {
        match self {
            Self::Token(token) => Auth::Token(token),
            Self::Login(access) => Auth::Bearer(access),
        }
    }

    pub(super) fn listed_by(&self) -> ListedBy {
        match self {
            Self::Token(token) => ListedBy::Token(token.fingerprint()),
            Self::Login(_) => ListedBy::Login,
        }
    }
}
