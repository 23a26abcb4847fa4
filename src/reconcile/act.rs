//! The steps. Each has the same shape: intent, effect, outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::observe::RingcxCaller;
use super::pass::Interrupt;
use super::server::ListStanding;
use super::{Observer, Reconciler};
use crate::ringcx::{ApiError, Auth, TokenApi};
use crate::sinks::auth_config::{CALLS_OF_A_DELIVERY, CALLS_OF_A_LOOK};
use crate::sinks::{Delivery, Previous, ReadBack, Sink};
use rotator_core::account::{Minted, Proved, Verified};
use rotator_core::event::{BackoffKey, Event, GenerationNo, IncidentKind, MintSource, Outcome};
use rotator_core::journal::Journal;
use rotator_core::plan::backoff::{FailureReport, failed};
use rotator_core::plan::evidence::ListedBy;
use rotator_core::plan::{Retirable, Step, notifications_owed};
use rotator_core::secret::{Fingerprint, Secret, Token};
use rotator_core::template::RenderedToken;
use rotator_core::time::after;

/// The first wait between two looks at a fresh token; each is twice the one before.
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// The longest.
const LONGEST_LOOK: Duration = Duration::from_secs(15);

/// What one look at a fresh token told.
enum TokenCheck {
    Works,
    /// The server says no: it is not listed, or refused.
    Denied(String),
    /// The server could not say.
    Unclear(String),
}

/// As whom a token is deleted.
enum DeletingHand {
    Current(Token),
    Login(Secret),
}

impl DeletingHand {
    fn auth(&self) -> Auth<'_> {
        match self {
            Self::Current(token) => Auth::Token(token),
            Self::Login(access) => Auth::Bearer(access),
        }
    }

    fn listed_by(&self) -> ListedBy {
        match self {
            Self::Current(token) => ListedBy::Token(token.fingerprint()),
            Self::Login(_) => ListedBy::Login,
        }
    }
}

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    pub(super) async fn perform(
        &mut self,
        step: Step,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        match step {
            Step::Look(look) => self.look(look, stop).await,
            Step::Mint {
                generation,
                baseline,
            } => self.mint(generation, baseline, stop).await,
            Step::Verify(minted) => self.verify(minted, stop).await,
            Step::Deliver { token, sinks } => self.deliver(token, sinks, stop).await,
            Step::Prove { token, sinks } => self.prove(token, sinks, stop).await,
            Step::Notify { sinks } => self.notify(sinks).await,
            Step::Promote(proved) => self.promote(proved).await,
            Step::Delete(victim) => self.delete(victim, stop).await,
        }
    }

    async fn mint(
        &mut self,
        generation: GenerationNo,
        baseline: BTreeSet<Fingerprint>,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        if self.session.bearer().is_none() && !self.renew_access(stop).await? {
            return Ok(());
        }
        self.pace(stop).await?;
        self.record(vec![Event::MintIntended {
            generation,
            baseline,
        }])
        .await?;
        self.seen.server_changed();
        let Some(bearer) = self.session.bearer() else {
            let error = "the access token ended just before the mint was sent".to_owned();
            return Ok(self
                .record(vec![Event::MintFailed { generation, error }])
                .await?);
        };
        let answer = self.api.mint(bearer).await;
        self.progress();
        match answer {
            Ok(token) => {
                let fingerprint = token.fingerprint();
                // A server that hands out a token that is there already has not minted one.
                if self.state.by_fingerprint(&fingerprint).is_some()
                    || self.was_in_baseline(&fingerprint)
                {
                    let error = ApiError::Nonsense {
                        status: 200,
                        why: "with a token it had before".into(),
                    };
                    return self.mint_unknown(generation, error).await;
                }
                self.session.keep_text(&token);
                self.note_texts();
                let minted = Event::Minted {
                    generation,
                    fingerprint,
                    how: MintSource::Answered,
                };
                Ok(self.record(vec![minted]).await?)
            }
            Err(error) if error.outcome() == Outcome::NotDone => {
                let text = format!("mint: {error}");
                let held = self.trouble(
                    BackoffKey::Rotation,
                    IncidentKind::MintFailed,
                    text,
                    Some(&error),
                );
                let error = error.to_string();
                Ok(self
                    .record(vec![Event::MintFailed { generation, error }, held])
                    .await?)
            }
            Err(error) => self.mint_unknown(generation, error).await,
        }
    }

    fn was_in_baseline(&self, fingerprint: &Fingerprint) -> bool {
        self.state
            .open_mint
            .as_ref()
            .is_some_and(|mint| mint.baseline.contains(fingerprint))
    }

    async fn mint_unknown(
        &mut self,
        generation: GenerationNo,
        error: ApiError,
    ) -> Result<(), Interrupt> {
        if error.is_denied() {
            // Perhaps the access token ended: the look that follows renews it.
            self.session.end_access();
        }
        let text = format!("mint: {error}");
        let held = self.trouble(
            BackoffKey::Rotation,
            IncidentKind::MintFailed,
            text,
            Some(&error),
        );
        let unknown = Event::MintUnknown {
            generation,
            error: error.to_string(),
        };
        Ok(self.record(vec![unknown, held]).await?)
    }

    async fn verify(&mut self, minted: Minted, stop: &CancellationToken) -> Result<(), Interrupt> {
        let Some(token) = self.text_of(minted.fingerprint(), stop).await? else {
            return self
                .without_text(minted.generation(), minted.fingerprint())
                .await;
        };
        let deadline = after(self.clock.now(), self.assignment.account.verify_within);
        let mut wait = FIRST_LOOK;
        loop {
            let trial = self.try_token(&token, stop).await?;
            let (reason, given_up) = match trial {
                TokenCheck::Works => {
                    let mut events = vec![Event::Verified {
                        generation: minted.generation(),
                    }];
                    events.extend(self.cleared(BackoffKey::Rotation));
                    return Ok(self.record(events).await?);
                }
                TokenCheck::Denied(reason) => (reason, true),
                TokenCheck::Unclear(reason) => (reason, false),
            };
            if after(self.clock.now(), wait) > deadline {
                let error = format!("generation {} does not work: {reason}", minted.generation());
                let mut events = vec![self.trouble(
                    BackoffKey::Rotation,
                    IncidentKind::VerifyFailed,
                    error,
                    None,
                )];
                if given_up {
                    events.push(Event::Abandoned {
                        generation: minted.generation(),
                        reason,
                    });
                }
                return Ok(self.record(events).await?);
            }
            self.sleep(wait, stop).await?;
            wait = (wait * 2).min(LONGEST_LOOK);
        }
    }

    async fn try_token(
        &mut self,
        token: &Token,
        stop: &CancellationToken,
    ) -> Result<TokenCheck, Interrupt> {
        match self.list_with(token, stop).await? {
            Ok(ListStanding::Listed) => {}
            Ok(ListStanding::Missing) => {
                return Ok(TokenCheck::Denied(
                    "the server's list does not have it".to_owned(),
                ));
            }
            Err(error) if error.is_denied() => {
                return Ok(TokenCheck::Denied(format!("list: {error}")));
            }
            Err(error) => return Ok(TokenCheck::Unclear(self.unclear("list", &error))),
        }
        if !self.assignment.account.smoke_test {
            return Ok(TokenCheck::Works);
        }
        self.pace(stop).await?;
        let accounts = self.api.accounts(Auth::Token(token)).await;
        self.progress();
        Ok(match accounts {
            Ok(_) => TokenCheck::Works,
            Err(error) if error.is_denied() => TokenCheck::Denied(format!("accounts: {error}")),
            Err(error) => TokenCheck::Unclear(self.unclear("accounts", &error)),
        })
    }

    fn unclear(&mut self, call: &str, error: &ApiError) -> String {
        self.back_off(error);
        format!("{call}: {error}")
    }

    async fn deliver(
        &mut self,
        token: Verified,
        sinks: Vec<String>,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        let generation = token.generation();
        let Some(text) = self.text_of(token.fingerprint(), stop).await? else {
            return self.without_text(generation, token.fingerprint()).await;
        };
        // Whoever stops now has not begun.
        let asked = self.count_in_ringcx(&sinks);
        self.pace_calls(asked * CALLS_OF_A_DELIVERY, stop).await?;
        let mut intents: Vec<Event> = sinks
            .iter()
            .map(|sink| Event::DeliveryIntended {
                sink: sink.clone(),
                generation,
            })
            .collect();
        let account = &self.assignment.account;
        intents.extend(notifications_owed(account, &self.state, &sinks, generation));
        self.record(intents).await?;
        self.seen.sinks_changed();
        let minted_at = self
            .state
            .generations
            .get(&generation)
            .map(|it| it.minted_at);
        let delivery = Delivery {
            account: self.name(),
            generation,
            token: &text,
            minted_at: minted_at.unwrap_or_else(|| self.clock.now()),
            previous: self.replaced_by(generation),
            now: self.clock.now(),
        };
        let asker = RingcxCaller::Token(text.clone());
        let peers: BTreeMap<String, BTreeMap<String, RenderedToken>> = sinks
            .iter()
            .map(|sink| {
                (
                    sink.clone(),
                    self.peers.take_for(self.name(), sink, self.peers_of(sink)),
                )
            })
            .collect();
        let targets = sinks
            .iter()
            .filter_map(|name| self.sinks.get_key_value(name));
        let outcomes = join_all(targets.map(|(name, sink)| {
            let mut around = self.around(self.state.sinks.get(name), Some(&asker));
            if let Some(peers) = peers.get(name) {
                around.peers = peers;
            }
            let delivery = &delivery;
            async move { (name.clone(), sink.deliver(delivery, around).await) }
        }))
        .await;
        self.progress();
        let mut events = Vec::new();
        for (sink, outcome) in outcomes {
            match outcome {
                Ok(taken) => events.push(Event::Delivered {
                    sink,
                    generation,
                    taken,
                }),
                Err(error) => {
                    self.note_ringcx_error(&error, asker.token());
                    let lane = BackoffKey::Sink(sink.clone());
                    let mut trouble =
                        FailureReport::new(lane, IncidentKind::SinkFailed, error.to_string());
                    trouble.retry_after = error.retry_after();
                    let now = self.clock.now();
                    let held = failed(&self.state, &self.assignment.account.retry, trouble, now);
                    let (outcome, parked, note) = (error.outcome(), error.parks(), error.note());
                    events.push(Event::DeliveryFailed {
                        sink,
                        generation,
                        outcome,
                        parked,
                        note,
                    });
                    events.push(held);
                }
            }
        }
        Ok(self.record(events).await?)
    }

    fn peers_of(&self, sink: &str) -> &[String] {
        let sinks = &self.assignment.account.sinks;
        sinks
            .iter()
            .find(|it| it.name == sink)
            .map_or(&[], |it| it.kind.peers())
    }

    fn count_in_ringcx(&self, names: &[String]) -> u32 {
        let sinks = &self.assignment.account.sinks;
        let inside = sinks
            .iter()
            .filter(|sink| sink.kind.is_in_ringcx() && names.contains(&sink.name));
        u32::try_from(inside.count()).unwrap_or(u32::MAX)
    }

    /// The token that this one takes the place of, and how long it works at least.
    fn replaced_by(&self, generation: GenerationNo) -> Option<Previous> {
        let retention = &self.assignment.account.retention;
        let own = self
            .state
            .own()
            .filter(|it| it.number < generation && it.promoted_at.is_some());
        let old = own.rev().find(|it| it.is_alive())?;
        let new = self.state.generations.get(&generation)?;
        // Promotion comes after minting, so the overlap ends no sooner than this.
        let retires_after =
            after(old.minted_at, retention.max_age).max(after(new.minted_at, retention.overlap));
        Some(Previous {
            fingerprint: old.fingerprint,
            retires_after,
        })
    }

    async fn prove(
        &mut self,
        token: Verified,
        sinks: Vec<String>,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        let generation = token.generation();
        let asker = match self.count_in_ringcx(&sinks) {
            0 => None,
            asked => {
                let text = self.text_of(token.fingerprint(), stop).await?;
                self.pace_calls(asked * CALLS_OF_A_LOOK, stop).await?;
                text.map(RingcxCaller::Token)
            }
        };
        let targets = sinks
            .iter()
            .filter_map(|name| self.sinks.get_key_value(name));
        let looks = join_all(targets.map(async |(name, sink)| {
            let around = self.around(self.state.sinks.get(name), asker.as_ref());
            (name.clone(), sink.read_back(around).await)
        }))
        .await;
        let (mut proved, mut read, mut events) = (Vec::new(), Vec::new(), Vec::new());
        let mut text = None;
        for (sink, look) in looks {
            let instead = match look {
                ReadBack::Holds(held) if held.fingerprint() == token.fingerprint() => {
                    text = Some(held);
                    read.push(sink);
                    continue;
                }
                // What it holds is what was put there, and that was this token.
                ReadBack::AsDelivered if self.last_taken(&sink) == Some(generation) => {
                    read.push(sink);
                    continue;
                }
                ReadBack::AsDelivered => "what an earlier delivery left there".to_owned(),
                // Its receipt was the proof.
                ReadBack::Opaque => {
                    proved.push(sink);
                    continue;
                }
                ReadBack::Holds(held) => format!("another token ({})", held.fingerprint().short()),
                ReadBack::Absent => "nothing".to_owned(),
                ReadBack::Other(what) => what,
                ReadBack::Unreadable(error) => {
                    self.note_ringcx_error(&error, asker.as_ref().and_then(RingcxCaller::token));
                    error.to_string()
                }
            };
            let error = format!("read back after delivery: {instead}");
            events.push(self.trouble(
                BackoffKey::Sink(sink),
                IncidentKind::SinkFailed,
                error,
                None,
            ));
        }
        if text.is_none() && !read.is_empty() {
            text = self.text_of(token.fingerprint(), stop).await?;
            if text.is_none() {
                return self.without_text(generation, token.fingerprint()).await;
            }
        }
        if let Some(text) = text
            && self.try_read_back(&text, stop).await?
        {
            proved.extend(read);
        }
        for sink in proved {
            events.extend(self.cleared(BackoffKey::Sink(sink.clone())));
            events.push(Event::Proved { sink, generation });
        }
        self.seen.sinks_changed();
        Ok(self.record(events).await?)
    }

    /// Uses once what was read from a sink, as the sink's own readers would. Whether it works.
    async fn try_read_back(
        &mut self,
        text: &Token,
        stop: &CancellationToken,
    ) -> Result<bool, Interrupt> {
        match self.list_with(text, stop).await? {
            Ok(standing) => {
                let cleared = self.cleared(BackoffKey::Server);
                self.record(cleared.into_iter().collect()).await?;
                Ok(standing == ListStanding::Listed)
            }
            Err(error) => {
                self.list_failed(ListedBy::Token(text.fingerprint()), &error)
                    .await?;
                Ok(false)
            }
        }
    }

    async fn promote(&mut self, proved: Proved) -> Result<(), Interrupt> {
        Ok(self
            .record(vec![Event::Promoted {
                generation: proved.generation(),
            }])
            .await?)
    }

    /// Irreversible, so last. "Retired" is recorded after a list shows it, by the plan.
    async fn delete(
        &mut self,
        victim: Retirable,
        stop: &CancellationToken,
    ) -> Result<(), Interrupt> {
        let text = self
            .listing
            .iter()
            .find(|it| it.fingerprint() == victim.fingerprint())
            .cloned();
        // It was on the list that the guards looked at, had as whom it is deleted now.
        let (Some(text), Some(hand)) = (text, self.deleting_hand()) else {
            self.seen.server_changed();
            return Ok(());
        };
        self.pace(stop).await?;
        self.record(vec![Event::DeleteIntended {
            fingerprint: victim.fingerprint(),
            generation: victim.generation(),
            because: victim.because().to_string(),
        }])
        .await?;
        self.seen.server_changed();
        let answer = self.api.delete(hand.auth(), &text).await;
        self.progress();
        let refusal = match &answer {
            Ok(crate::ringcx::Deletion::Accepted) => "it was accepted".to_owned(),
            Ok(crate::ringcx::Deletion::Denied) => "it was denied".to_owned(),
            Err(error) => error.to_string(),
        };
        // Whatever was answered: the list tells.
        self.pace(stop).await?;
        match self.api.list(hand.auth()).await {
            Ok(listing) => {
                self.progress();
                let still_there = listing
                    .tokens
                    .iter()
                    .any(|it| it.fingerprint() == victim.fingerprint());
                self.take_listing(listing, hand.listed_by());
                let event = if still_there {
                    let name = victim.fingerprint().short();
                    let error = format!("{name} is still on the list after its delete ({refusal})");
                    Some(self.trouble(
                        BackoffKey::Retirement,
                        IncidentKind::RetireFailed,
                        error,
                        answer.err().as_ref(),
                    ))
                } else {
                    self.cleared(BackoffKey::Retirement)
                };
                Ok(self.record(event.into_iter().collect()).await?)
            }
            Err(error) => {
                let text = format!("cannot see whether the delete worked: list: {error}");
                let held = self.trouble(
                    BackoffKey::Retirement,
                    IncidentKind::RetireFailed,
                    text,
                    Some(&error),
                );
                Ok(self.record(vec![held]).await?)
            }
        }
    }

    /// As the current token; without one, as the login.
    fn deleting_hand(&self) -> Option<DeletingHand> {
        match self.state.current() {
            Some(current) => self
                .session
                .text(&current.fingerprint)
                .cloned()
                .map(DeletingHand::Current),
            None => self.session.bearer().cloned().map(DeletingHand::Login),
        }
    }

    /// A token of ours whose text is nowhere to be had cannot be worked with: the list has lost it.
    async fn without_text(
        &mut self,
        generation: GenerationNo,
        fingerprint: Fingerprint,
    ) -> Result<(), Interrupt> {
        let unverified = self
            .state
            .generations
            .get(&generation)
            .is_some_and(|it| it.verified_at.is_none());
        if unverified && self.seen.list.is_some() {
            let reason = format!("{} is not on the server's list", fingerprint.short());
            let error = format!("generation {generation} does not work: {reason}");
            let held = self.trouble(
                BackoffKey::Rotation,
                IncidentKind::VerifyFailed,
                error,
                None,
            );
            self.record(vec![held, Event::Abandoned { generation, reason }])
                .await?;
        }
        Ok(())
    }
}
