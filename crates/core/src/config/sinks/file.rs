//! A file that holds the token and nothing else.

use std::path::PathBuf;

use super::access::{DEFAULT_MODE, FileAccess};
use super::kind::{Claims, SinkConfig};

/// `type = "file"`: the token alone in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSink {
    /// Absolute path of the file, such as `/etc/crm/token`.
    pub path: PathBuf,
    /// `mode` is 0600 where the policy is silent.
    pub access: FileAccess,
    /// Whether a `\n` ends the file.
    pub trailing_newline: bool,
}

impl SinkConfig for FileSink {
    fn type_name(&self) -> &'static str {
        "file"
    }

    fn target(&self) -> String {
        self.path.display().to_string()
    }

    fn can_be_read(&self) -> bool {
        true
    }

    fn claims(&self) -> Claims<'_> {
        Claims::File(&self.path)
    }

    fn access(&self) -> FileAccess {
        // Never `None`: an existing file that others can read would otherwise keep its mode.
        let mode = self.access.mode.or(Some(DEFAULT_MODE));
        FileAccess {
            mode,
            ..self.access.clone()
        }
    }
}
