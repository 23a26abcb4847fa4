//! The files that the daemon reads, and that no sink may overwrite.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rotator_core::secret::SecretSource;

use crate::base_dir::BaseDir;
use crate::parse::PolicySpec;
use crate::sinks::SinkSpec;

/// Absolute paths, each with what the file is.
pub(super) struct ReadFiles(HashMap<PathBuf, &'static str>);

impl ReadFiles {
    pub fn of(main: &Path, spec: &PolicySpec, base: BaseDir<'_>) -> Self {
        let mut files = Self(HashMap::from([(main.to_owned(), "the policy")]));
        let passwords_dir = spec.defaults.passwords_dir.as_ref();
        for account in &spec.accounts {
            for sink in &account.sinks {
                files.add_sink(sink, base);
            }
            for source in account.login_secrets(passwords_dir) {
                files.add_secret(&source.value, base);
            }
        }
        for source in spec.network.secrets() {
            files.add_secret(&source.value, base);
        }
        files
    }

    /// Such as `a template`, in the sentence "this file is a template".
    pub fn what_is(&self, path: &Path) -> Option<&'static str> {
        self.0.get(path).copied()
    }

    fn add_sink(&mut self, sink: &SinkSpec, base: BaseDir<'_>) {
        if let Some((path, what)) = sink.kind.as_ref().and_then(|kind| kind.input()) {
            self.0.insert(base.join(&path.value), what);
        }
        let acknowledge = sink.consumer.acknowledge.as_ref();
        if let Some(path) = acknowledge.and_then(|acknowledge| acknowledge.path.as_ref()) {
            let what = "where a consumer acknowledges its token";
            // Not joined: its reader accepts only absolute paths.
            self.0.insert(path.value.clone(), what);
        }
        if let Some(source) = sink.secret() {
            self.add_secret(&source.value, base);
        }
    }

    fn add_secret(&mut self, source: &SecretSource, base: BaseDir<'_>) {
        // A credential is in a directory of systemd's, where no sink can write.
        match source {
            SecretSource::File(path) => {
                self.0
                    .insert(base.join(path), "where a secret is read from");
            }
            SecretSource::Credential(_) | SecretSource::Env(_) | SecretSource::Command(_) => {}
        }
    }
}
