//! The target of a sink, read back from the text that the journal has of it.

use std::path::PathBuf;

use super::SinkRecord;

/// Where a sink writes its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileLocation {
    /// The whole file is the token.
    File {
        /// Absolute path.
        path: PathBuf,
    },
    /// The value of one key in the file is the token.
    EnvFile {
        /// Absolute path.
        path: PathBuf,
        /// The key in the file, such as `RINGCX_TOKEN`.
        key: String,
    },
}

impl SinkRecord {
    /// The file of this sink; `None` where it has none that can be searched for a token. Works for
    /// sinks that are no longer in the policy, because it needs only the journal.
    pub fn file_location(&self) -> Option<FileLocation> {
        match self.sink_type.as_str() {
            "file" => Some(FileLocation::File {
                path: PathBuf::from(&self.target),
            }),
            // `PATH KEY`: a path may have spaces in it, a key has none.
            "env-file" => {
                let (path, key) = self.target.rsplit_once(' ')?;
                Some(FileLocation::EnvFile {
                    path: PathBuf::from(path),
                    key: key.to_owned(),
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::AccountState;
    use crate::event::Event;
    use crate::testing::start;

    fn target(sink_type: &str, target: &str) -> Option<FileLocation> {
        let bound = Event::SinkBound {
            sink: "crm".to_owned(),
            sink_type: sink_type.to_owned(),
            target: target.to_owned(),
        };
        let state = AccountState::fold([(1, start(), &bound)]);
        assert_eq!(
            state.sinks["crm"].target, target,
            "the journal's text is kept"
        );
        state.sinks["crm"].file_location()
    }

    #[test]
    fn a_path_may_have_spaces_in_it_and_a_key_has_none() {
        let path = PathBuf::from("/srv/two words/env");
        let found = target("env-file", "/srv/two words/env RINGCX_TOKEN");
        let key = "RINGCX_TOKEN".to_owned();
        assert_eq!(
            found,
            Some(FileLocation::EnvFile {
                path: path.clone(),
                key
            })
        );
        let found = target("file", "/srv/two words/env");
        assert_eq!(found, Some(FileLocation::File { path }));
    }

    #[test]
    fn what_has_no_file_or_no_key_has_no_target() {
        assert_eq!(target("env-file", "/srv/env"), None);
        assert_eq!(target("webhook", "crm.example.com"), None);
        assert_eq!(target("a-type-of-tomorrow", "/srv/x y"), None);
    }
}
