//! A token in an external auth config of RingCX, where an IVR flow's HTTP nodes take it from.
//!
//! Knows in what order the config is read and changed, and what shows that the change is there.
//! RingCX may show the key whole, masked or not at all; then it is the config's `updatedTime` that
//! tells whether anyone has changed it since. What this does not know: limits and logins; it is
//! handed a way to ask, and asks once.

use super::{Delivery, ReadBack, RingcxAccess, Sink, SinkContext, SinkError, SinkTarget};
use crate::ringcx::auth_config::{API_KEY, AuthConfig, AuthConfigId, Likeness, ShownKey};
use crate::ringcx::{ApiError, Auth};
use rotator_core::config::AuthConfigSink;
use rotator_core::event::{DeliveryReceipt, Outcome};
use rotator_core::secret::Token;

#[cfg(test)]
mod tests;

/// Calls of one look, or of one preflight.
pub const CALLS_OF_A_LOOK: u32 = 1;
/// Calls of one delivery: read, change, read again.
pub const CALLS_OF_A_DELIVERY: u32 = 3;

/// A sink of `type = "ringcx-auth-config"`.
pub struct AuthConfigTarget(AuthConfigSink);

impl SinkTarget for AuthConfigTarget {
    type Config = AuthConfigSink;

    fn new(_name: &str, policy: AuthConfigSink) -> Self {
        Self(policy)
    }
}

impl AuthConfigTarget {
    fn place(&self) -> AuthConfigId<'_> {
        AuthConfigId {
            account_id: &self.0.account_id,
            config_id: &self.0.auth_config_id,
        }
    }

    /// The config, if it is one that holds a key.
    async fn read(
        &self,
        access: RingcxAccess<'_>,
        outcome: Outcome,
    ) -> Result<AuthConfig, SinkError> {
        let shown = access.api.auth_config(access.auth, self.place()).await;
        let shown = shown.map_err(|error| self.refused("read", error, outcome))?;
        if shown.auth_type != API_KEY {
            return Err(SinkError::NoApiKey {
                config: self.0.auth_config_id.clone(),
                got: shown.auth_type,
                outcome,
            });
        }
        Ok(shown)
    }

    fn refused(&self, doing: &'static str, error: ApiError, outcome: Outcome) -> SinkError {
        let help = match &error {
            ApiError::Denied { status: 403, .. } if doing == "read" => {
                "give the account's user READ and UPDATE on External Auth Config"
            }
            ApiError::Denied { status: 403, .. } => {
                "give the account's user UPDATE on External Auth Config"
            }
            ApiError::Status { status: 404, .. } => {
                "see `ringcx-rotator auth-configs` for those there are, and correct account-id or auth-config-id"
            }
            ApiError::Denied { .. }
            | ApiError::Unreachable { .. }
            | ApiError::NoAnswer { .. }
            | ApiError::Busy { .. }
            | ApiError::Status { .. }
            | ApiError::Nonsense { .. } => "",
        };
        SinkError::AuthConfig {
            config: self.0.auth_config_id.clone(),
            doing,
            error,
            help,
            outcome,
        }
    }

    fn not_shown(&self, why: &'static str) -> SinkError {
        SinkError::NotShown {
            config: self.0.auth_config_id.clone(),
            why,
        }
    }

    /// How it is known that the token is there now, if it is.
    fn proof(
        &self,
        before: &AuthConfig,
        after: &AuthConfig,
        token: &Token,
    ) -> Result<&'static str, SinkError> {
        match (&after.key, after.key.likeness(token)) {
            (ShownKey::Whole(_), Likeness::Fits) => Ok("the whole key"),
            (_, Likeness::Differs) => {
                Err(self.not_shown("it shows another key than the one just set"))
            }
            (_, Likeness::Fits | Likeness::Tells)
                if after.updated.is_some() && after.updated != before.updated =>
            {
                Ok("the change's answer, and an updatedTime that moved")
            }
            // The same key set again may leave the time as it was; as much as can be seen of it is
            // ours.
            (_, Likeness::Fits) => Ok("the change's answer, and the end of the key"),
            (_, Likeness::Tells) => {
                Err(self.not_shown("neither its key nor a new updatedTime shows the change"))
            }
        }
    }
}

impl Sink for AuthConfigTarget {
    async fn preflight(&self, context: SinkContext<'_>) -> Result<(), SinkError> {
        self.read(context.ringcx()?, Outcome::NotDone)
            .await
            .map(drop)
    }

    async fn deliver(
        &self,
        delivery: &Delivery<'_>,
        context: SinkContext<'_>,
    ) -> Result<DeliveryReceipt, SinkError> {
        // As the flow itself will ask.
        let access = RingcxAccess {
            auth: Auth::Token(delivery.token),
            ..context.ringcx()?
        };
        // Read first: the change sends the other fields back as they were, and where the key is
        // not shown, an `updatedTime` that moved since proves it.
        let before = self.read(access, Outcome::NotDone).await?;
        let change = access
            .api
            .set_api_key(access.auth, self.place(), &before, delivery.token)
            .await;
        change.map_err(|error| {
            let outcome = error.outcome();
            self.refused("changed", error, outcome)
        })?;
        // The change was accepted: if this look fails, the config may hold the token.
        let after = self.read(access, Outcome::Unknown).await?;
        let proof = self.proof(&before, &after, delivery.token)?;
        Ok(DeliveryReceipt {
            version: after.updated,
            proof: Some(proof.to_owned()),
            ..DeliveryReceipt::default()
        })
    }

    async fn read_back(&self, context: SinkContext<'_>) -> ReadBack {
        let shown = match context.ringcx() {
            Ok(access) => self.read(access, Outcome::NotDone).await,
            Err(error) => Err(error),
        };
        let shown = match shown {
            Ok(shown) => shown,
            Err(SinkError::NoApiKey { got, .. }) => {
                return ReadBack::Other(format!("an auth config of type {got}, not {API_KEY}"));
            }
            Err(error) => return ReadBack::Unreadable(error),
        };
        match (&shown.key, &shown.updated) {
            (ShownKey::Whole(key), _) => match Token::try_new(key.expose()) {
                Ok(token) => ReadBack::Holds(token),
                Err(_) => ReadBack::Other("a key that is no token".to_owned()),
            },
            (ShownKey::Masked { .. } | ShownKey::Absent, Some(updated))
                if context.left_it_as(updated) =>
            {
                ReadBack::AsDelivered
            }
            (ShownKey::Masked { .. } | ShownKey::Absent, _) => ReadBack::Other(
                "an auth config that was changed since, with a key that is not shown".to_owned(),
            ),
        }
    }
}
