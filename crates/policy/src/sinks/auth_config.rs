//! `type = "ringcx-auth-config"`: an auth config inside RingCX that holds the token.

use rotator_core::config::{AuthConfigSink, SinkKind};

use super::{SinkForm, SinkKindSpec, SinkPlace, SinkType, SinkWrites};
use crate::issues::Issues;
use crate::source::At;
use crate::table::Table;
use crate::value;

pub(super) const TYPE: SinkType = SinkType {
    name: "ringcx-auth-config",
    form: SinkForm::Other,
    keys: &["account-id", "auth-config-id"],
    read: |table| Box::new(AuthConfigSpec::read(table)),
};

struct AuthConfigSpec {
    account_id: Option<At<String>>,
    auth_config_id: Option<At<String>>,
}

impl AuthConfigSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            account_id: table.required("account-id", &value::ID),
            auth_config_id: table.required("auth-config-id", &value::ID),
        }
    }
}

impl SinkKindSpec for AuthConfigSpec {
    fn resolve(&self, _place: &SinkPlace<'_>, _issues: &mut Issues) -> Option<SinkKind> {
        let Self {
            account_id,
            auth_config_id,
        } = self;
        Some(SinkKind::AuthConfig(AuthConfigSink {
            account_id: account_id.as_ref()?.value.clone(),
            auth_config_id: auth_config_id.as_ref()?.value.clone(),
        }))
    }

    fn writes(&self) -> Option<SinkWrites<'_>> {
        Some(SinkWrites::Entry {
            what: "auth config",
            ids: [self.account_id.as_ref()?, self.auth_config_id.as_ref()?],
        })
    }
}
