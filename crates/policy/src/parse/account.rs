//! The keys of an `[[account]]`.

use std::path::PathBuf;

use rotator_core::secret::SecretSource;

use super::login::LoginSpec;
use super::tuning::TuningSpec;
use crate::sinks::SinkSpec;
use crate::source::{At, Span};
use crate::table::Table;
use crate::value;

/// One `[[account]]`, as it is written.
pub(crate) struct AccountSpec {
    /// Its header: the place of issues about the account as a whole.
    pub span: Span,
    pub name: Option<At<String>>,
    pub login: Option<LoginSpec>,
    pub tuning: TuningSpec,
    pub sinks: Vec<SinkSpec>,
}

impl AccountSpec {
    /// The accounts in a file of `accounts-dir`.
    pub fn read_all(table: &mut Table<'_>) -> Vec<Self> {
        let help =
            "files of accounts-dir hold only [[account]] tables: write this in the main file";
        table.elsewhere(&["daemon", "log", "ringcx", "defaults", "alerts"], help);
        table.tables("account", "[[account]]", Self::read)
    }

    pub fn read(table: &mut Table<'_>) -> Self {
        table.elsewhere(
            &["passwords-dir"],
            "it is for all accounts: write it in [defaults]",
        );
        Self {
            span: table.span(),
            name: table.required("name", &value::NAME),
            login: LoginSpec::read(table),
            tuning: TuningSpec::read(table),
            sinks: table.tables("sink", "[[account.sink]]", SinkSpec::read),
        }
    }

    /// The account's name, where it is well written.
    pub fn own_name(&self) -> Option<&str> {
        self.name.as_ref().map(|name| name.value.as_str())
    }

    /// The sources of the secrets that its login needs. One that is absent is taken from
    /// `passwords-dir`, where it is set.
    pub fn login_secrets(&self, passwords_dir: Option<&At<PathBuf>>) -> Vec<At<SecretSource>> {
        match &self.login {
            Some(login) => login.secrets(self.own_name(), passwords_dir),
            None => Vec::new(),
        }
    }
}
