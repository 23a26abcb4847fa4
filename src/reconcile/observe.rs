//! Looking at sinks and at the server, and finding a token's text. Nothing is changed here.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::caller::RingcxCaller;
use super::interrupt::Interrupt;
use super::state::{Observer, Reconciler};
use crate::ringcx::TokenApi;
use crate::sinks::{AnySink, RingcxAccess, Sink, SinkContext, SinkError};
use rotator_core::account::{AccountState, SinkRecord};
use rotator_core::config::SinkPolicy;
use rotator_core::event::GenerationNo;
use rotator_core::journal::Journal;
use rotator_core::plan::Look;
use rotator_core::plan::evidence::SinkContent;
use rotator_core::secret::{Fingerprint, Token};

mod consumers;
mod files;
mod preflight;
mod server_list;
mod sinks;

pub(super) use files::look_through;
pub(super) use server_list::ListStanding;

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

    /// The text of one of our tokens in use: at hand, or from the list of a login.
    pub(super) async fn text_of(
        &mut self,
        fingerprint: Fingerprint,
        stop: &CancellationToken,
    ) -> Result<Option<Token>, Interrupt> {
        if self.server.session.text(&fingerprint).is_none() {
            // Wanting a text is no reason to bypass the wait after a failed login.
            self.login_allowed()?;
            self.list_by_login(stop).await?;
        }
        Ok(self.server.session.text(&fingerprint).cloned())
    }

    /// The first of the tokens that RingCX may be asked as, if its text is at hand.
    pub(super) fn token_at_hand(&self) -> Option<&Token> {
        self.evidence
            .askers(&self.state)
            .find_map(|token| self.server.session.text(&token.fingerprint))
    }

    /// Takes in of which tokens the session has the text, for the plan and for other accounts.
    pub(super) fn note_texts(&mut self) {
        self.evidence.has_texts_of(self.server.session.texts());
        self.publish_to_peers();
    }

    /// Feeds the error of a sink inside RingCX back into the account: a rate limit pauses every
    /// call, and a 401 counts against the token that the sink asked as. Only the sink may see that
    /// 401, as long as no other call uses this token.
    pub(super) fn note_ringcx_error(&mut self, error: &SinkError, asked_as: Option<Fingerprint>) {
        let Some(refusal) = error.of_ringcx() else {
            return;
        };
        self.back_off(refusal);
        if let (Some(token), true) = (asked_as, error.is_unauthorized()) {
            self.evidence.saw_refusal_in_a_sink(token);
        }
    }

    /// What a sink may need beside the token. `caller` is for sinks inside RingCX.
    pub(super) fn sink_context<'a>(
        &'a self,
        record: Option<&'a SinkRecord>,
        caller: Option<&'a RingcxCaller>,
    ) -> SinkContext<'a> {
        SinkContext {
            ringcx: caller.map(|caller| RingcxAccess {
                api: &*self.server.api,
                auth: caller.auth(),
            }),
            ..context_of(record)
        }
    }

    /// The generation of the last delivery that this sink took.
    pub(super) fn last_taken(&self, sink: &str) -> Option<GenerationNo> {
        let taken = self.state.sinks.get(sink)?.taken.as_ref();
        taken.map(|(generation, _)| *generation)
    }
}

/// What these sinks hold right now, without a reconciler: for `plan` and `status` beside a daemon.
/// Sinks inside RingCX are not asked.
pub async fn look_at(sinks: &[SinkPolicy], state: &AccountState) -> BTreeMap<String, SinkContent> {
    let mut looks = BTreeMap::new();
    for sink in sinks {
        let record = state
            .sinks
            .get(&sink.name)
            // What was delivered to another target says nothing about this one.
            .filter(|record| record.target == sink.kind.target());
        let look = AnySink::new(sink).read_back(context_of(record)).await;
        looks.insert(sink.name.clone(), sinks::content(&look, state, record));
    }
    looks
}

/// What a sink may need that is known without asking RingCX.
fn context_of(record: Option<&SinkRecord>) -> SinkContext<'_> {
    let taken = record.and_then(|record| record.taken.as_ref());
    SinkContext {
        last: taken.map(|(generation, taken)| (*generation, taken)),
        ..SinkContext::default()
    }
}
