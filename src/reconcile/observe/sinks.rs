//! Reading back what the sinks hold.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::reconcile::caller::RingcxCaller;
use crate::reconcile::interrupt::Interrupt;
use crate::reconcile::state::{Observer, Reconciler};
use crate::ringcx::TokenApi;
use crate::sinks::auth_config::CALLS_OF_A_LOOK;
use crate::sinks::{AnySink, ReadBack, Sink};
use rotator_core::account::{AccountState, SinkRecord};
use rotator_core::journal::Journal;
use rotator_core::plan::evidence::{SinkContent, SinksLook};

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    pub(super) async fn look_at_sinks(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        let caller = self.caller_for_sinks(stop).await?;
        let asked_as = caller.as_ref().and_then(RingcxCaller::token);
        let looks = join_all(self.sinks.iter().map(async |(name, sink)| {
            let context = self.sink_context(self.state.sinks.get(name), caller.as_ref());
            (name.clone(), sink.read_back(context).await)
        }))
        .await;
        let (mut found, mut pauses) = (BTreeMap::new(), Vec::new());
        for (name, look) in looks {
            if let ReadBack::Unreadable(error) = &look {
                pauses.extend(self.note_ringcx_error(error, asked_as));
            }
            found.insert(name.clone(), self.take_read_back(&name, &look));
        }
        self.record(pauses).await?;
        let look = SinksLook {
            sinks: found,
            claims: self.hear_consumers().await,
            files: self.search_files().await,
            released: self.look_at_released(caller.as_ref()).await,
        };
        self.evidence.saw_sinks(look);
        self.note_texts();
        // After `saw_sinks`, since it publishes what was just seen.
        self.publish_held();
        self.progress();
        Ok(())
    }

    /// What the sinks that were taken out of the policy still hold: a token there may be in use, so
    /// it is not deleted.
    async fn look_at_released(
        &self,
        caller: Option<&RingcxCaller>,
    ) -> BTreeMap<String, SinkContent> {
        let mut released = BTreeMap::new();
        for (name, record) in &self.state.released_sinks {
            if let Some(sink) = AnySink::of_released(&record.sink_type, &record.target) {
                let look = sink
                    .read_back(self.sink_context(Some(record), caller))
                    .await;
                released.insert(name.clone(), content(&look, &self.state, Some(record)));
            }
        }
        released
    }

    /// What authenticates the reads of sinks inside RingCX: a token in use whose text is at hand,
    /// or the login. `None`: there is no such sink, or RingCX may not be asked now; the plan
    /// decides what to make of contents that are then unknown.
    async fn caller_for_sinks(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Option<RingcxCaller>, Interrupt> {
        let count = self.sinks_in_ringcx();
        // Without a token in use no sink can hold one of ours, so a login would be wasted.
        if count == 0 || self.state.in_use().is_empty() {
            return Ok(None);
        }
        match self.login_allowed() {
            Ok(()) => {}
            // A login that is held back does not hold back a call as a token.
            Err(Interrupt::NotBefore(_)) if self.token_at_hand().is_some() && self.may_ask() => {}
            Err(Interrupt::NotBefore(_)) => return Ok(None),
            Err(interrupt) => return Err(interrupt),
        }
        if self.token_at_hand().is_none() && self.server.session.bearer().is_none() {
            match self.list_by_login(stop).await {
                Ok(()) => {}
                Err(Interrupt::NotBefore(_)) => return Ok(None),
                Err(interrupt) => return Err(interrupt),
            }
            // That list may have been answered with a pause.
            if !self.may_ask() {
                return Ok(None);
            }
        }
        // The token first: it costs no login, and a 401 then shows that it no longer works.
        let as_token = self.token_at_hand().cloned().map(RingcxCaller::Token);
        let as_login = || self.server.session.bearer().cloned();
        let caller = as_token.or_else(|| as_login().map(RingcxCaller::Login));
        if caller.is_some() {
            self.pace_calls(count * CALLS_OF_A_LOOK, stop).await?;
        }
        Ok(caller)
    }

    fn take_read_back(&mut self, sink: &str, look: &ReadBack) -> SinkContent {
        // After a restart this is how the text of a token in use is found without a login.
        if let ReadBack::Holds(token) = look
            && self.state.in_use().contains(&token.fingerprint())
        {
            self.server.session.keep_text(token);
        }
        content(look, &self.state, self.state.sinks.get(sink))
    }
}

/// The look without the token's text. A sink that shows no token, but what a delivery left there,
/// holds the token of that delivery.
pub(super) fn content(
    look: &ReadBack,
    state: &AccountState,
    record: Option<&SinkRecord>,
) -> SinkContent {
    match look {
        ReadBack::Holds(token) => SinkContent::Token(token.fingerprint()),
        ReadBack::Shows(fingerprint) => SinkContent::Token(*fingerprint),
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
