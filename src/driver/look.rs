//! Looking, and finding a token's text. Nothing is changed here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::pass::Halt;
use super::{AccountDriver, Witness};
use crate::account::{AccountState, SinkRecord};
use crate::event::{GenerationNo, Lane};
use crate::journal::Journal;
use crate::plan::Look;
use crate::plan::seen::{Held, ListedBy};
use crate::policy::{EnvFileSink, FileAccess, FileSink, SinkPolicy};
use crate::ringcx::TokenApi;
use crate::secret::{Fingerprint, Token};
use crate::sink::{AnySink, Around, ReadBack, Sink, env_file::EnvFile, file::File};

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
        let looks = join_all(all.map(|(name, sink)| async {
            (name.clone(), sink.read_back(around(self.state.sinks.get(name))).await)
        }))
        .await;
        let mut found = BTreeMap::new();
        for (name, look) in looks {
            let held = self.take_read_back(&name, &look);
            found.insert(name, held);
        }
        let mut still_held = BTreeMap::new();
        for (name, record) in &self.state.released_sinks {
            if let Some(sink) = released_sink(record) {
                let look = sink.read_back(around(Some(record))).await;
                still_held.insert(name.clone(), held(&look, &self.state, Some(record)));
            }
        }
        self.seen.sinks = Some(found);
        self.seen.released = still_held;
        self.note_texts();
        self.progress();
    }

    fn take_read_back(&mut self, sink: &str, look: &ReadBack) -> Held {
        if let ReadBack::Holds(token) = look
            && self.state.in_use().contains(&token.fingerprint())
        {
            self.session.keep_text(token);
        }
        held(look, &self.state, self.state.sinks.get(sink))
    }

    /// The generation of the last delivery that this sink took.
    pub(super) fn last_taken(&self, sink: &str) -> Option<GenerationNo> {
        self.state.sinks.get(sink)?.taken.as_ref().map(|(generation, _)| *generation)
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
pub async fn look_at(sinks: &[SinkPolicy], state: &AccountState) -> BTreeMap<String, Held> {
    let mut looks = BTreeMap::new();
    for sink in sinks {
        let record = state.sinks.get(&sink.name).filter(|record| record.target == sink.kind.target());
        let look = AnySink::new(sink).read_back(around(record)).await;
        looks.insert(sink.name.clone(), held(&look, state, record));
    }
    looks
}

/// What a sink is told that is to be looked at.
pub(super) fn around(record: Option<&SinkRecord>) -> Around<'_> {
    let taken = record.and_then(|record| record.taken.as_ref());
    Around { last: taken.map(|(generation, taken)| (*generation, taken)) }
}

/// The look without the token's text. A sink that shows no token but what was left there holds the token
/// of that delivery.
fn held(look: &ReadBack, state: &AccountState, record: Option<&SinkRecord>) -> Held {
    match look {
        ReadBack::Holds(token) => Held::Token(token.fingerprint()),
        ReadBack::AsDelivered => {
            let taken = record.and_then(|record| record.taken.as_ref());
            let generation = taken.and_then(|(generation, _)| state.generations.get(generation));
            generation.map_or_else(
                || Held::Other("what was delivered long ago".to_owned()),
                |generation| Held::Token(generation.fingerprint),
            )
        }
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
