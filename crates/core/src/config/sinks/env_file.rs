//! One variable of a file as systemd's `EnvironmentFile=` reads it.

use std::path::PathBuf;

use super::access::FileAccess;
use super::kind::{Claims, SinkConfig};

/// `type = "env-file"`: one variable of a file of environment variables.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvFileSink {
    /// Absolute path of the file, such as `/etc/crm/env`.
    pub path: PathBuf,
    /// Name of the variable: `[A-Za-z_][A-Za-z0-9_]*`.
    pub key: String,
    /// Kept as they are where the policy is silent; a new file is 0600.
    pub access: FileAccess,
}

impl SinkConfig for EnvFileSink {
    fn type_name(&self) -> &'static str {
        "env-file"
    }

    fn target(&self) -> String {
        // With the key: another variable of the same file is another sink.
        format!("{} {}", self.path.display(), self.key)
    }

    fn can_be_read(&self) -> bool {
        true
    }

    fn claims(&self) -> Claims<'_> {
        Claims::FileKey {
            path: &self.path,
            key: &self.key,
        }
    }

    fn access(&self) -> FileAccess {
        self.access.clone()
    }
}
