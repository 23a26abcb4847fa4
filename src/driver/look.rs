//! Looking, and finding a token's text. Nothing is changed here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::pass::Halt;
use super::{AccountDriver, Witness};
use crate::account::SinkRecord;
use crate::event::Lane;
use crate::journal::Journal;
use crate::plan::Look;
use crate::plan::seen::{Held, ListedBy};
use crate::policy::{EnvFileSink, FileAccess, FileSink, SinkPolicy};
use crate::ringcx::TokenApi;
use crate::secret::{Fingerprint, Token};
use crate::sink::{AnySink, ReadBack, Sink, env_file::EnvFile, file::File};

impl<A: TokenApi, J: Journal, W: Witness> AccountDriver<A, J, W> {
    pub(super) async fn look(&mut self, look: Look, stop: &CancellationToken) -> Result<(), Halt> {
        match look {
            Look::Sinks => {
                self.look_at_sinks().await;
                Ok(())
            }
            Look::Preflight => {
                self.preflight().await;
                Ok(())
            }
            Look::ListByLogin => self.list_by_login(stop).await,
            Look::ListAsCurrent => self.list_as_current(stop).await,
        }
    }

    async fn list_as_current(&mut self, stop: &CancellationToken) -> Result<(), Halt> {
        let Some(current) = self.state.current().map(|current| current.fingerprint) else {
            return Ok(());
        };
        // Where its text is neither kept nor in a sink, a login has to do; its list brings the text.
        let Some(text) = self.session.text(&current).cloned() else {
            self.login_allowed()?;
            return self.list_by_login(stop).await;
        };
        match self.list_with(&text, stop).await? {
            Ok(_) => {
                let cleared = self.cleared(Lane::Server);
                Ok(self.record(cleared.into_iter().collect()).await?)
            }
            Err(error) => self.list_failed(ListedBy::Token(current), &error).await,
        }
    }

    async fn preflight(&mut self) {
        let all = self.sinks.iter();
        let looks = join_all(all.map(async |(name, sink)| (name, sink.preflight().await))).await;
        let unfit = looks
            .into_iter()
            .filter_map(|(name, look)| look.err().map(|error| (name.clone(), error.to_string())))
            .collect();
        self.seen.preflight = Some(unfit);
        self.progress();
    }

    async fn look_at_sinks(&mut self) {
        let all = self.sinks.iter();
        let looks = join_all(all.map(|(name, sink)| async { (name.clone(), sink.read_back().await) })).await;
        let held = looks.into_iter().map(|(name, look)| (name, self.take_read_back(look))).collect();
        let mut still_held = BTreeMap::new();
        for (name, record) in &self.state.released_sinks {
            if let Some(sink) = released_sink(record) {
                still_held.insert(name.clone(), sink.read_back().await);
            }
        }
        let released = still_held.into_iter().map(|(name, look)| (name, self.take_read_back(look))).collect();
        self.seen.claims = self.hear_consumers().await;
        self.seen.sinks = Some(held);
        self.seen.released = released;
        self.note_texts();
        self.progress();
    }

    fn take_read_back(&mut self, look: ReadBack) -> Held {
        if let ReadBack::Holds(token) = &look
            && self.state.in_use().contains(&token.fingerprint())
        {
            self.session.keep_text(token);
        }
        held(&look)
    }

    /// The text of one of our tokens in use: at hand, or from the list of a login.
    pub(super) async fn text_of(
        &mut self,
        fingerprint: Fingerprint,
        stop: &CancellationToken,
    ) -> Result<Option<Token>, Halt> {
        if self.session.text(&fingerprint).is_none() {
            self.login_allowed()?;
            self.list_by_login(stop).await?;
        }
        Ok(self.session.text(&fingerprint).cloned())
    }

    /// Refuses while a login, or any call, is held back.
    pub(super) fn login_allowed(&self) -> Result<(), Halt> {
        let now = self.clock.now();
        let held =
            [Lane::Login, Lane::Server].iter().filter_map(|lane| self.state.held_until(lane, now)).max();
        match held.max(self.seen.quiet_until.filter(|until| *until > now)) {
            Some(until) => Err(Halt::NotBefore(until)),
            None => Ok(()),
        }
    }
}

/// What these sinks hold right now, for who only wants to know.
pub async fn look_at(sinks: &[SinkPolicy]) -> BTreeMap<String, Held> {
    let mut looks = BTreeMap::new();
    for sink in sinks {
        looks.insert(sink.name.clone(), held(&AnySink::new(sink).read_back().await));
    }
    looks
}

/// The look without the token's text.
fn held(look: &ReadBack) -> Held {
    match look {
        ReadBack::Holds(token) => Held::Token(token.fingerprint()),
        ReadBack::Absent => Held::Absent,
        ReadBack::Other(what) => Held::Other(what.clone()),
        ReadBack::Unreadable(error) => Held::Unreadable(error.to_string()),
        ReadBack::Opaque => Held::Opaque,
    }
}

/// A sink that was taken out of the policy, as far as it can still be looked at.
fn released_sink(record: &SinkRecord) -> Option<AnySink> {
    let access = FileAccess::default();
    match record.sink_type.as_str() {
        "file" => {
            let path = PathBuf::from(&record.target);
            Some(AnySink::File(File::new(FileSink { path, access, trailing_newline: false })))
        }
        "env-file" => {
            let (path, key) = record.target.rsplit_once(' ')?;
            let (path, key) = (PathBuf::from(path), key.to_owned());
            Some(AnySink::EnvFile(EnvFile::new(EnvFileSink { path, key, access })))
        }
        _ => None,
    }
}
