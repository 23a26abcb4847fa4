//! Looking, and finding a token's text. Nothing is changed here.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::pass::Interrupt;
use super::{Observer, Reconciler};
use crate::ringcx::{ApiError, Auth, TokenApi};
use crate::sinks::auth_config::CALLS_OF_A_LOOK;
use crate::sinks::{AnySink, ReadBack, RingcxAccess, Sink, SinkContext, SinkError};
use rotator_core::account::{AccountState, SinkRecord};
use rotator_core::config::SinkPolicy;
use rotator_core::event::{BackoffKey, GenerationNo};
use rotator_core::journal::Journal;
use rotator_core::plan::Look;
use rotator_core::plan::evidence::{ListedBy, SinkContent};
use rotator_core::secret::{Fingerprint, Secret, Token};

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    pub(super) async fn look(
        &mut self,
        look: Look,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        match look {
            Look::Sinks => self.look_at_sinks(stop).await,
            Look::Preflight => self.preflight(stop).await,
            Look::ListByLogin => self.list_by_login(stop).await,
            Look::ListAsCurrent => self.list_as_current(stop).await,
        }
    }

    async fn list_as_current(&mut self, stop: &CancellationToken) -> Result<(), Interrupt> {
        let Some(current) = self.state.current().map(|current| current.fingerprint) else {
            return Ok(());
        };
        // Where its text is neither kept nor in a sink, a login has to do; its list brings the
        // text.
        let Some(text) = self.session.text(&current).cloned() else {
            self.login_allowed()?;
            return self.list_by_login(stop).await;
        };
        match self.list_with(&text, stop).await? {
            Ok(_) => {
                let cleared = self.cleared(BackoffKey::Server);
                Ok(self.record(cleared.into_iter().collect()).await?)
            }
            Err(error) => self.list_failed(ListedBy::Token(current), &error).await,
        }
    }

    async fn preflight(&mut self, stop: &CancellationToken) -> Result<(), Interrupt> {
        let inside = self.sinks_in_ringcx();
        let mut renewed = false;
        let looks = loop {
            // It is asked as the login that mints: before the first mint there is no token to ask
            // with.
            if inside > 0 {
                self.login_allowed()?;
                if self.session.bearer().is_none() {
                    renewed = true;
                    if !self.renew_access(stop).await? {
                        return Ok(());
                    }
                }
                self.pace_calls(inside * CALLS_OF_A_LOOK, stop).await?;
            }
            let asker = self
                .session
                .bearer()
                .filter(|_| inside > 0)
                .cloned()
                .map(RingcxCaller::Login);
            let all = self.sinks.iter();
            let looks = join_all(all.map(async |(name, sink)| {
                let around = self.around(self.state.sinks.get(name), asker.as_ref());
                (name.clone(), sink.preflight(around).await)
            }))
            .await;
            let ended = looks
                .iter()
                .any(|(_, look)| look.as_ref().is_err_and(says_login_ended));
            if !ended || renewed {
                break looks;
            }
            // The server takes the login for ended, whatever our clock says: it is renewed once.
            renewed = true;
            if !self.renew_access(stop).await? {
                return Ok(());
            }
        };
        let mut unfit = BTreeMap::new();
        for (name, look) in looks {
            if let Err(error) = look {
                self.note_ringcx_error(&error, None);
                unfit.insert(name, error.to_string());
            }
        }
        self.seen.preflight = Some(unfit);
        self.progress();
        Ok(())
    }

    async fn look_at_sinks(&mut self, stop: &CancellationToken) -> Result<(), Interrupt> {
        let asker = self.asker(stop).await?;
        let all = self.sinks.iter();
        let looks = join_all(all.map(async |(name, sink)| {
            let around = self.around(self.state.sinks.get(name), asker.as_ref());
            (name.clone(), sink.read_back(around).await)
        }))
        .await;
        let mut found = BTreeMap::new();
        for (name, look) in looks {
            let held =
                self.take_read_back(&name, &look, asker.as_ref().and_then(RingcxCaller::token));
            found.insert(name, held);
        }
        let mut still_held = BTreeMap::new();
        for (name, record) in &self.state.released_sinks {
            if let Some(sink) = record.file_location().map(AnySink::left) {
                let look = sink
                    .read_back(self.around(Some(record), asker.as_ref()))
                    .await;
                still_held.insert(name.clone(), held(&look, &self.state, Some(record)));
            }
        }
        self.seen.claims = self.hear_consumers().await;
        self.seen.files = self.search_files().await;
        self.seen.sinks = Some(found);
        self.seen.released = still_held;
        self.note_texts();
        self.tell_held();
        self.progress();
        Ok(())
    }

    /// As whom RingCX is asked what it holds, where a sink is inside it: as a token in use, whose
    /// text is at hand, or as the login. `None`: there is no such sink, or RingCX may not be asked
    /// now; what it holds is then unknown, which is for the plan to judge.
    async fn asker(&mut self, stop: &CancellationToken) -> Result<Option<RingcxCaller>, Interrupt> {
        let count = self.sinks_in_ringcx();
        if count == 0 || self.state.in_use().is_empty() {
            return Ok(None);
        }
        match self.login_allowed() {
            Ok(()) => {}
            Err(Interrupt::NotBefore(_)) if self.token_at_hand().is_some() && self.may_ask() => {}
            Err(Interrupt::NotBefore(_)) => return Ok(None),
            Err(halt) => return Err(halt),
        }
        if self.token_at_hand().is_none() && self.session.bearer().is_none() {
            match self.list_by_login(stop).await {
                Ok(()) => {}
                Err(Interrupt::NotBefore(_)) => return Ok(None),
                Err(halt) => return Err(halt),
            }
        }
        let as_token = self.token_at_hand().cloned().map(RingcxCaller::Token);
        let asker = as_token.or_else(|| self.session.bearer().cloned().map(RingcxCaller::Login));
        if asker.is_some() {
            self.pace_calls(count * CALLS_OF_A_LOOK, stop).await?;
        }
        Ok(asker)
    }

    /// The first of those that may be asked as, if its text is at hand.
    pub(super) fn token_at_hand(&self) -> Option<&Token> {
        self.seen
            .askers(&self.state)
            .find_map(|it| self.session.text(&it.fingerprint))
    }

    /// Whether the server may be asked for anything at all.
    fn may_ask(&self) -> bool {
        let now = self.clock.now();
        self.state.held_until(&BackoffKey::Server, now).is_none()
            && self.seen.backoff_until.is_none_or(|until| until <= now)
    }

    fn sinks_in_ringcx(&self) -> u32 {
        let inside = self
            .assignment
            .account
            .sinks
            .iter()
            .filter(|sink| sink.kind.is_in_ringcx());
        u32::try_from(inside.count()).unwrap_or(u32::MAX)
    }

    pub(super) async fn pace_calls(
        &mut self,
        calls: u32,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        for _ in 0..calls {
            self.pace(stop).await?;
        }
        Ok(())
    }

    /// A sink inside RingCX hears when RingCX wants to be left alone, and so do all calls. It also
    /// hears first when the token it asks as is refused: as long as no other call is made with that
    /// one, nobody else does.
    pub(super) fn note_ringcx_error(&mut self, error: &SinkError, asked_as: Option<Fingerprint>) {
        let Some(refusal) = error.of_ringcx() else {
            return;
        };
        self.back_off(refusal);
        if let (Some(token), true) = (asked_as, says_login_ended(error)) {
            self.seen.saw_refusal_in_a_sink(token);
        }
    }

    /// What a sink is told, beside the token, when it is to do something.
    pub(super) fn around<'a>(
        &'a self,
        record: Option<&'a SinkRecord>,
        asker: Option<&'a RingcxCaller>,
    ) -> SinkContext<'a> {
        SinkContext {
            ringcx: asker.map(|asker| RingcxAccess {
                api: &*self.api,
                auth: asker.auth(),
            }),
            ..around(record)
        }
    }

    fn take_read_back(
        &mut self,
        sink: &str,
        look: &ReadBack,
        asked_as: Option<Fingerprint>,
    ) -> SinkContent {
        if let ReadBack::Holds(token) = look
            && self.state.in_use().contains(&token.fingerprint())
        {
            self.session.keep_text(token);
        }
        if let ReadBack::Unreadable(error) = look {
            self.note_ringcx_error(error, asked_as);
        }
        held(look, &self.state, self.state.sinks.get(sink))
    }

    /// The generation of the last delivery that this sink took.
    pub(super) fn last_taken(&self, sink: &str) -> Option<GenerationNo> {
        self.state
            .sinks
            .get(sink)?
            .taken
            .as_ref()
            .map(|(generation, _)| *generation)
    }

    /// The text of one of our tokens in use: at hand, or from the list of a login.
    pub(super) async fn text_of(
        &mut self,
        fingerprint: Fingerprint,
        stop: &CancellationToken,
    ) -> Result<Option<Token>, Interrupt> {
        if self.session.text(&fingerprint).is_none() {
            self.login_allowed()?;
            self.list_by_login(stop).await?;
        }
        Ok(self.session.text(&fingerprint).cloned())
    }

    /// Refuses while a login, or any call, is held back.
    pub(super) fn login_allowed(&self) -> Result<(), Interrupt> {
        let now = self.clock.now();
        let held = [BackoffKey::Login, BackoffKey::Server]
            .iter()
            .filter_map(|lane| self.state.held_until(lane, now))
            .max();
        match held.max(self.seen.backoff_until.filter(|until| *until > now)) {
            Some(until) => Err(Interrupt::NotBefore(until)),
            None => Ok(()),
        }
    }
}

/// Whether the token or the login it was asked as is none any more.
fn says_login_ended(error: &SinkError) -> bool {
    matches!(
        error.of_ringcx(),
        Some(ApiError::Denied { status: 401, .. })
    )
}

/// As whom RingCX is asked.
pub(super) enum RingcxCaller {
    /// A token in use.
    Token(Token),
    /// The login.
    Login(Secret),
}

impl RingcxCaller {
    pub(super) fn token(&self) -> Option<Fingerprint> {
        match self {
            Self::Token(token) => Some(token.fingerprint()),
            Self::Login(_) => None,
        }
    }

    pub(super) fn auth(&self) -> Auth<'_> {
        match self {
            Self::Token(token) => Auth::Token(token),
            Self::Login(access) => Auth::Bearer(access),
        }
    }
}

/// What these sinks hold right now, for who only wants to know.
pub async fn look_at(sinks: &[SinkPolicy], state: &AccountState) -> BTreeMap<String, SinkContent> {
    let mut looks = BTreeMap::new();
    for sink in sinks {
        let record = state
            .sinks
            .get(&sink.name)
            .filter(|record| record.target == sink.kind.target());
        let look = AnySink::new(sink).read_back(around(record)).await;
        looks.insert(sink.name.clone(), held(&look, state, record));
    }
    looks
}

/// What a sink is told that has nobody to ask.
fn around(record: Option<&SinkRecord>) -> SinkContext<'_> {
    let taken = record.and_then(|record| record.taken.as_ref());
    SinkContext {
        last: taken.map(|(generation, taken)| (*generation, taken)),
        ringcx: None,
        ..SinkContext::default()
    }
}

/// The look without the token's text. A sink that shows no token but what was left there holds the
/// token of that delivery.
fn held(look: &ReadBack, state: &AccountState, record: Option<&SinkRecord>) -> SinkContent {
    match look {
        ReadBack::Holds(token) => SinkContent::Token(token.fingerprint()),
        ReadBack::AsDelivered => {
            let taken = record.and_then(|record| record.taken.as_ref());
            let generation = taken.and_then(|(generation, _)| state.generations.get(generation));
            generation.map_or_else(
                || SinkContent::Other("what was delivered long ago".to_owned()),
                |generation| SinkContent::Token(generation.fingerprint),
            )
        }
        ReadBack::Absent => SinkContent::Absent,
        ReadBack::Other(what) => SinkContent::Other(what.clone()),
        ReadBack::Unreadable(error) => SinkContent::Unreadable(error.to_string()),
        ReadBack::Opaque => SinkContent::Opaque,
    }
}
