//! An auth config of type APIKEY inside RingCX, whose key is the token.

use super::kind::{Claims, SinkConfig};

/// `type = "ringcx-auth-config"`: the token is the key of an auth config in RingCX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfigSink {
    /// The RingCX account that has it.
    pub account_id: String,
    /// The id of the auth config in that account.
    pub auth_config_id: String,
}

impl SinkConfig for AuthConfigSink {
    fn type_name(&self) -> &'static str {
        "ringcx-auth-config"
    }

    fn target(&self) -> String {
        format!("{} {}", self.account_id, self.auth_config_id)
    }

    fn can_be_read(&self) -> bool {
        true
    }

    fn claims(&self) -> Claims<'_> {
        Claims::AuthConfig {
            account_id: &self.account_id,
            auth_config_id: &self.auth_config_id,
        }
    }

    fn is_in_ringcx(&self) -> bool {
        true
    }
}
