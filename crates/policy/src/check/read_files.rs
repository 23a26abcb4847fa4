//! The files that the daemon reads, and that no sink may overwrite.

use std::collections::HashMap;
use std::path::Path;

use rotator_core::config::DaemonPolicy;
use rotator_core::secret::SecretSource;

use super::places::PlaceId;
use crate::base_dir::BaseDir;
use crate::parse::PolicySpec;
use crate::sinks::SinkSpec;

/// Places, each with what the file is.
pub(super) struct ReadFiles(HashMap<PlaceId, &'static str>);

/// The daemon's own files in the state directory.
const STATE_FILES: [&str; 5] = [
    "lock",
    "journal.sqlite",
    "journal.sqlite-wal",
    "journal.sqlite-shm",
    "journal.sqlite-journal",
];

impl ReadFiles {
    pub fn of(main: &Path, spec: &PolicySpec, daemon: &DaemonPolicy, base: BaseDir<'_>) -> Self {
        let mut files = Self(HashMap::new());
        files.add(main, "the policy");
        files.add(&daemon.control_socket, "the control socket");
        for name in STATE_FILES {
            files.add(
                &daemon.state_dir.join(name),
                "the daemon's own, in state-dir",
            );
        }
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
        self.0.get(&PlaceId::of(path)).copied()
    }

    fn add(&mut self, path: &Path, what: &'static str) {
        self.0.insert(PlaceId::of(path), what);
        // Unlike a sink's, such a file may be a symlink: what it leads to is read.
        if let Ok(real) = std::fs::canonicalize(path) {
            self.0.insert(PlaceId::of(&real), what);
        }
    }

    fn add_sink(&mut self, sink: &SinkSpec, base: BaseDir<'_>) {
        if let Some((path, what)) = sink.kind.as_ref().and_then(|kind| kind.input()) {
            self.add(&base.join(&path.value), what);
        }
        let acknowledge = sink.consumer.acknowledge.as_ref();
        if let Some(path) = acknowledge.and_then(|acknowledge| acknowledge.path.as_ref()) {
            let what = "where a consumer acknowledges its token";
            // Not joined: its reader accepts only absolute paths.
            self.add(&path.value, what);
        }
        if let Some(source) = sink.secret() {
            self.add_secret(&source.value, base);
        }
    }

    fn add_secret(&mut self, source: &SecretSource, base: BaseDir<'_>) {
        // A credential is in a directory of systemd's, where no sink can write.
        match source {
            SecretSource::File(path) => {
                self.add(&base.join(path), "where a secret is read from");
            }
            SecretSource::Credential(_) | SecretSource::Env(_) | SecretSource::Command(_) => {}
        }
    }
}
