//! A file rendered from a template, with the tokens of one or several accounts in it.

use std::fmt;
use std::path::PathBuf;

use super::access::FileAccess;
use super::kind::{Claims, SinkConfig};
use crate::template::Template;

/// `type = "template"`: a file rendered with the tokens of one or several accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateSink {
    /// Absolute path of the file that is rendered.
    pub path: PathBuf,
    /// `mode` is 0600 where the policy is silent.
    pub access: FileAccess,
    /// Parsed, and tried out with made-up tokens.
    pub template: Template,
    /// The other accounts whose tokens it may name.
    pub accounts: Vec<String>,
}

impl SinkConfig for TemplateSink {
    fn type_name(&self) -> &'static str {
        "template"
    }

    fn target(&self) -> String {
        // Another template writes another file, so it is another target.
        let template = self.template.fingerprint().to_string();
        format!("{} ({})", self.path.display(), &template[..8])
    }

    fn can_be_read(&self) -> bool {
        true
    }

    fn claims(&self) -> Claims<'_> {
        Claims::File(&self.path)
    }

    fn access(&self) -> FileAccess {
        self.access.clone()
    }

    fn peers(&self) -> &[String] {
        &self.accounts
    }
}

/// A template sink of another account that names this one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerSink {
    /// The account whose sink it is.
    pub account: String,
    /// Name of the sink, as in the policy.
    pub sink: String,
}

impl fmt::Display for PeerSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.sink)
    }
}
