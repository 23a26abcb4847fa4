//! The kinds of sink, and what each answers when it is asked what it is like. Nobody outside of the
//! policy and of `src/sink.rs` asks which kind a sink is: a new one is an arm of [`SinkKind`], one
//! of `match_kind!`, and its answers here.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::Duration;

use super::{
    AuthConfigSink, CommandSink, EnvFileSink, FileAccess, FileSink, TemplateSink, WebhookSink,
    sinks,
};
use crate::secret::{Fingerprint, SecretSource};

/// The kinds of sink. Asked as a [`SinkConfig`].
#[derive(Clone, Debug, PartialEq)]
pub enum SinkKind {
    /// `type = "file"`
    File(FileSink),
    /// `type = "env-file"`
    EnvFile(EnvFileSink),
    /// `type = "webhook"`
    Webhook(WebhookSink),
    /// `type = "command"`
    Command(CommandSink),
    /// `type = "ringcx-auth-config"`
    AuthConfig(AuthConfigSink),
    /// `type = "template"`
    Template(TemplateSink),
}

/// The same of whichever kind it is.
macro_rules! match_kind {
    ($any:expr, $kind:ident => $what:expr) => {
        match $any {
            SinkKind::File($kind) => $what,
            SinkKind::EnvFile($kind) => $what,
            SinkKind::Webhook($kind) => $what,
            SinkKind::Command($kind) => $what,
            SinkKind::AuthConfig($kind) => $what,
            SinkKind::Template($kind) => $what,
        }
    };
}

impl Deref for SinkKind {
    type Target = dyn SinkConfig;

    fn deref(&self) -> &Self::Target {
        match_kind!(self, kind => kind)
    }
}

impl DerefMut for SinkKind {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match_kind!(self, kind => kind)
    }
}

/// What a kind of sink is like.
pub trait SinkConfig {
    /// The `type` of the policy.
    fn type_name(&self) -> &'static str;

    /// Where it is, in words without secrets. Another target makes it another sink.
    fn target(&self) -> String;

    /// Whether it can be looked at, so that what it holds need not be taken on trust.
    fn can_be_read(&self) -> bool;

    /// The file that it writes, where it is one,
    fn path(&self) -> Option<&Path> {
        None
    }

    /// and who may read that.
    fn access(&self) -> FileAccess {
        FileAccess::default()
    }

    /// The secret that it needs beside the token.
    fn secret(&self) -> Option<&SecretSource> {
        None
    }

    /// The same, for whoever puts another in its place.
    fn secret_mut(&mut self) -> Option<&mut SecretSource> {
        None
    }

    /// The longest that a call of its own may take.
    fn longest_call(&self) -> Option<Duration> {
        None
    }

    /// Whether it is inside RingCX, so that whatever holds back calls to RingCX holds it back too.
    fn is_in_ringcx(&self) -> bool {
        false
    }

    /// The other accounts whose tokens it holds too.
    fn peers(&self) -> &[String] {
        &[]
    }
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

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn access(&self) -> FileAccess {
        let mode = self.access.mode.or(Some(sinks::DEFAULT_MODE));
        FileAccess {
            mode,
            ..self.access.clone()
        }
    }
}

impl SinkConfig for EnvFileSink {
    fn type_name(&self) -> &'static str {
        "env-file"
    }

    fn target(&self) -> String {
        format!("{} {}", self.path.display(), self.key)
    }

    fn can_be_read(&self) -> bool {
        true
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn access(&self) -> FileAccess {
        self.access.clone()
    }
}

impl SinkConfig for WebhookSink {
    fn type_name(&self) -> &'static str {
        "webhook"
    }

    /// Path and query may be a secret, but another one is another target all the same.
    fn target(&self) -> String {
        let address = Fingerprint::of(self.url.expose().as_str().as_bytes()).to_string();
        format!("{} ({})", self.url, &address[..8])
    }

    fn can_be_read(&self) -> bool {
        false
    }

    fn secret(&self) -> Option<&SecretSource> {
        Some(&self.secret)
    }

    fn secret_mut(&mut self) -> Option<&mut SecretSource> {
        Some(&mut self.secret)
    }

    fn longest_call(&self) -> Option<Duration> {
        Some(self.timeout.saturating_add(self.secret.longest_read()))
    }
}

impl SinkConfig for CommandSink {
    fn type_name(&self) -> &'static str {
        "command"
    }

    /// The program, and what tells its arguments apart: they may be many, and hold what is nobody's
    /// business.
    fn target(&self) -> String {
        let mut parts = Vec::new();
        for argument in &self.argv {
            // With lengths, so that no two lists read the same.
            parts.extend_from_slice(&(argument.len() as u64).to_be_bytes());
            parts.extend_from_slice(argument.as_bytes());
        }
        let whole = Fingerprint::of(&parts).to_string();
        format!(
            "{} ({})",
            self.argv.first().map_or("", String::as_str),
            &whole[..8]
        )
    }

    fn can_be_read(&self) -> bool {
        false
    }

    fn longest_call(&self) -> Option<Duration> {
        Some(self.timeout)
    }
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

    fn is_in_ringcx(&self) -> bool {
        true
    }
}

impl SinkConfig for TemplateSink {
    fn type_name(&self) -> &'static str {
        "template"
    }

    /// Another template makes another file of it.
    fn target(&self) -> String {
        let template = self.template.fingerprint().to_string();
        format!("{} ({})", self.path.display(), &template[..8])
    }

    fn can_be_read(&self) -> bool {
        true
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn access(&self) -> FileAccess {
        self.access.clone()
    }

    fn peers(&self) -> &[String] {
        &self.accounts
    }
}
