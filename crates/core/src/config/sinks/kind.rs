//! What every kind of sink answers about itself.
//!
//! Code outside of the sinks asks through this trait instead of matching on the kind, so that a new
//! kind changes no other file.

use std::path::Path;
use std::time::Duration;

use super::access::FileAccess;
use crate::config::NetworkPolicy;
use crate::secret::SecretSource;

/// What a sink writes. Two sinks that claim the same would undo each other's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claims<'a> {
    /// A whole file, with no part that another sink could write.
    File(&'a Path),
    /// One key of a file that holds others too.
    FileKey {
        /// Absolute path of the file.
        path: &'a Path,
        /// Name of the variable.
        key: &'a str,
    },
    /// One auth config inside RingCX.
    AuthConfig {
        /// The RingCX account that has it.
        account_id: &'a str,
        /// The id of the auth config in that account.
        auth_config_id: &'a str,
    },
    /// Nothing that two sinks could not share: a receiver that is called.
    Nothing,
}

impl<'a> Claims<'a> {
    /// The file that is written, wholly or in part.
    pub fn path(&self) -> Option<&'a Path> {
        match *self {
            Self::File(path) | Self::FileKey { path, .. } => Some(path),
            Self::AuthConfig { .. } | Self::Nothing => None,
        }
    }

    /// Whether two sinks cannot both exist: they claim the same, or one claims the whole file of
    /// which the other claims a key.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        match (self, other) {
            // A receiver that is called can take any number of tokens.
            (Self::Nothing, _) | (_, Self::Nothing) => false,
            // Writing the whole file would remove the key that the other one put there.
            (Self::File(path), other) | (other, Self::File(path)) => other.path() == Some(*path),
            (Self::FileKey { .. } | Self::AuthConfig { .. }, _) => self == other,
        }
    }
}

/// What a kind of sink is like.
pub trait SinkConfig {
    /// The `type` of the policy.
    fn type_name(&self) -> &'static str;

    /// Identifies the place that is written, without secrets, e.g. the path. A sink whose target
    /// changes counts as another sink.
    fn target(&self) -> String;

    /// Whether the sink's content can be read back. If not, its receipt is the only proof.
    fn can_be_read(&self) -> bool;

    /// What it writes and no other sink may write.
    fn claims(&self) -> Claims<'_>;

    /// Path of the file that it writes, if it writes one.
    fn path(&self) -> Option<&Path> {
        self.claims().path()
    }

    /// Mode, owner and group of that file.
    fn access(&self) -> FileAccess {
        FileAccess::default()
    }

    /// The secret that it needs beside the token, e.g. a signing key.
    fn secret(&self) -> Option<&SecretSource> {
        None
    }

    /// The address that it calls and the way to it, if it calls one. The address may be a secret.
    fn calls(&self) -> Option<(&url::Url, &NetworkPolicy)> {
        None
    }

    /// Every secret that it names, to be replaced: checks on this host resolve systemd's
    /// credentials that way.
    fn secrets_mut(&mut self) -> Vec<&mut SecretSource> {
        Vec::new()
    }

    /// The longest time that one call of the sink may take; `None` for a sink that calls nothing.
    fn longest_call(&self) -> Option<Duration> {
        None
    }

    /// Whether it is inside RingCX, so that a pause of all calls to RingCX pauses it too.
    fn is_in_ringcx(&self) -> bool {
        false
    }

    /// The other accounts whose tokens it holds too.
    fn peers(&self) -> &[String] {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_different_keys_of_one_file_can_be_shared() {
        let (ivr, bot) = (Path::new("/run/ivr"), Path::new("/run/bot"));
        let key = |path, key| Claims::FileKey { path, key };
        let config = |account_id, auth_config_id| Claims::AuthConfig {
            account_id,
            auth_config_id,
        };
        for (one, other, conflict) in [
            (Claims::File(ivr), Claims::File(ivr), true),
            (Claims::File(ivr), Claims::File(bot), false),
            (Claims::File(ivr), key(ivr, "A"), true),
            (key(ivr, "A"), key(ivr, "A"), true),
            (key(ivr, "A"), key(ivr, "B"), false),
            (key(ivr, "A"), key(bot, "A"), false),
            (config("1", "2"), config("1", "2"), true),
            (config("1", "2"), config("2", "2"), false),
            (config("1", "2"), Claims::File(ivr), false),
            (Claims::Nothing, Claims::Nothing, false),
        ] {
            assert_eq!(one.conflicts_with(&other), conflict, "{one:?} {other:?}");
            assert_eq!(other.conflicts_with(&one), conflict, "{other:?} {one:?}");
        }
    }
}
