//! The steps, as the driver performs them: intent, effect, outcome.

use std::collections::BTreeMap;

use super::super::scene::user_of;
use super::sinks::{Given, Inside, Shows, shows};
use super::{Broken, Fault, Maker, Refusal, Stop, World};
use crate::event::{BackoffKey, DeliveryReceipt, Event, GenerationNo, IncidentKind, MintSource};
use crate::plan::backoff::{FailureReport, failed};
use crate::plan::evidence::{ListedBy, SinkContent, TokenList};
use crate::plan::{Look, Step, notifications_owed};
use crate::secret::Fingerprint;

impl World {
    pub(super) fn perform(&mut self, step: Step, fault: Fault) -> Result<(), Stop> {
        match step {
            Step::Look(look) => self.look(look, fault),
            Step::Wait { until } => {
                self.out.now = until;
                Ok(())
            }
            Step::Mint {
                generation,
                baseline,
            } => {
                if !self.logged_in && !self.log_in()? {
                    return Ok(());
                }
                self.record(vec![Event::MintIntended {
                    generation,
                    baseline,
                }])?;
                self.mint(generation, fault)
            }
            Step::Verify(minted) => self.verify(minted.generation(), minted.fingerprint(), fault),
            Step::Deliver { token, sinks } => {
                self.deliver(token.generation(), token.fingerprint(), &sinks, fault)
            }
            Step::Prove { token, sinks } => {
                self.prove(token.generation(), token.fingerprint(), &sinks, fault)
            }
            Step::Notify { sinks } => self.notify(&sinks, fault),
            Step::Promote(proved) => {
                self.die_if(fault, Fault::CrashBefore)?;
                self.record(vec![Event::Promoted {
                    generation: proved.generation(),
                }])?;
                self.die_if(fault, Fault::CrashAfter)
            }
            Step::Delete(victim) => {
                let because = victim.because().to_string();
                let (fingerprint, generation) = (victim.fingerprint(), victim.generation());
                self.record(vec![Event::DeleteIntended {
                    fingerprint,
                    generation,
                    because,
                }])?;
                self.delete(fingerprint, fault)
            }
        }
    }

    fn die_if(&self, fault: Fault, deadly: Fault) -> Result<(), Stop> {
        if fault == deadly {
            Err(Stop::Crashed)
        } else {
            Ok(())
        }
    }

    fn look(&mut self, look: Look, fault: Fault) -> Result<(), Stop> {
        self.die_if(fault, Fault::CrashBefore)?;
        match look {
            Look::Sinks => self.look_at_sinks()?,
            Look::Preflight => {
                if self.has_inside(|_| true) {
                    self.login_allowed()?;
                    if !self.logged_in && !self.log_in()? {
                        return Ok(());
                    }
                }
                let mut unfit = BTreeMap::new();
                for sink in self.policy.sinks.clone() {
                    let down = self.out.server.down;
                    let place = self.place(&sink.name);
                    // What a config may not be changed for is seen no sooner than it is changed.
                    let is_unfit = match shows(&sink) {
                        Shows::Token => place.refuses.is_some(),
                        Shows::Version => place.unreadable || down,
                        Shows::Nothing => false,
                    };
                    if is_unfit {
                        unfit.insert(sink.name, "it is no regular file".to_owned());
                    }
                }
                self.seen.preflight = Some(unfit);
            }
            Look::ListByLogin => self.list_by_login(fault)?,
            Look::ListAsCurrent => {
                let current = self.state.current().map(|current| current.fingerprint);
                self.list_as(current, fault)?;
            }
            Look::ListAs(token) => self.list_as(Some(token), fault)?,
            Look::ListAgain => {
                self.seen.looks_again();
                let current = self.state.current().map(|current| current.fingerprint);
                match current {
                    Some(_) => self.list_as(current, fault)?,
                    None => self.list_by_login(fault)?,
                }
            }
        }
        self.die_if(fault, Fault::CrashAfter)
    }

    fn list_as(&mut self, token: Option<Fingerprint>, fault: Fault) -> Result<(), Stop> {
        match token {
            Some(token) if self.texts.contains(&token) => _ = self.list_with(token, fault)?,
            // The text is nowhere at hand: a login has to do.
            Some(_) => {
                self.login_allowed()?;
                self.list_by_login(fault)?;
            }
            None => {}
        }
        Ok(())
    }

    /// Whether a sink is inside RingCX, among those that are meant.
    fn has_inside(&self, is_meant: impl Fn(&String) -> bool) -> bool {
        self.policy
            .sinks
            .iter()
            .any(|sink| shows(sink) == Shows::Version && is_meant(&sink.name))
    }

    /// As whom RingCX can be asked what is in it: as a token in use whose text is at hand, or as
    /// the login.
    fn asker(&mut self) -> Result<Inside, Stop> {
        if !self.has_inside(|_| true) || self.state.in_use().is_empty() {
            return Ok(Inside::Nobody);
        }
        let at_hand = self.token_at_hand();
        match self.login_allowed() {
            Ok(()) => {}
            Err(Stop::NotBefore(_)) => {
                let may_ask = self
                    .state
                    .held_until(&BackoffKey::Server, self.out.now)
                    .is_none();
                if at_hand.is_none() || !may_ask {
                    return Ok(Inside::Nobody);
                }
            }
            Err(stop) => return Err(stop),
        }
        if at_hand.is_none() && !self.logged_in {
            match self.list_by_login(Fault::None) {
                Ok(()) | Err(Stop::NotBefore(_)) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(match self.token_at_hand() {
            Some(token) => self.ask_inside(token),
            None if self.logged_in => Inside::Somebody,
            None => Inside::Nobody,
        })
    }

    /// Somebody who is refused hears of it.
    pub(super) fn ask_inside(&mut self, token: Fingerprint) -> Inside {
        if self.out.server.down {
            return Inside::Nobody;
        }
        if self.alive().contains(&token) {
            return Inside::Somebody;
        }
        self.seen.saw_refusal_in_a_sink(token, self.out.now);
        Inside::Nobody
    }

    fn token_at_hand(&self) -> Option<Fingerprint> {
        self.seen
            .askers(&self.state)
            .map(|generation| generation.fingerprint)
            .find(|token| self.texts.contains(token))
    }

    fn look_at_sinks(&mut self) -> Result<(), Stop> {
        let inside = self.asker()?;
        let mut held = BTreeMap::new();
        let in_use = self.state.in_use();
        for sink in self.policy.sinks.clone() {
            let found = self.read_back(&sink, inside);
            if let (SinkContent::Token(token), Shows::Token) = (&found, shows(&sink))
                && in_use.contains(token)
            {
                self.texts.insert(*token);
            }
            held.insert(sink.name, found);
        }
        let files = |sink_type: &str| ["file", "env-file"].contains(&sink_type);
        let released = self
            .state
            .released_sinks
            .iter()
            .filter(|(_, record)| files(&record.sink_type));
        let place = |target: &String| self.out.places.get(target).and_then(|place| place.holds);
        let released =
            released.filter_map(|(name, record)| Some((name.clone(), place(&record.target)?)));
        self.seen.released = released
            .map(|(name, token)| (name, SinkContent::Token(token)))
            .collect();
        self.hear_consumers();
        self.look_at_flow();
        self.seen.sinks = Some(held);
        self.note_texts();
        Ok(())
    }

    fn trouble(&mut self, lane: BackoffKey, incident: IncidentKind) -> Result<(), Broken> {
        let trouble = FailureReport::new(lane, incident, "it did not work");
        let event = failed(
            &self.policy.name,
            &self.state,
            &self.policy.retry,
            trouble,
            self.out.now,
        );
        self.record(vec![event])
    }

    fn clear(&mut self, lane: BackoffKey) -> Result<(), Broken> {
        match self.state.lanes.contains_key(&lane) {
            true => self.record(vec![Event::LaneCleared { lane }]),
            false => Ok(()),
        }
    }

    fn login_allowed(&self) -> Result<(), Stop> {
        let held = [BackoffKey::Login, BackoffKey::Server];
        match held
            .iter()
            .filter_map(|lane| self.state.held_until(lane, self.out.now))
            .max()
        {
            Some(until) => Err(Stop::NotBefore(until)),
            None => Ok(()),
        }
    }

    /// `false`: it failed, and that is recorded.
    fn log_in(&mut self) -> Result<bool, Stop> {
        if self.state.recent_logins(self.out.now) >= 5 {
            return Err(Stop::NotBefore(
                self.out.now + chrono::TimeDelta::seconds(60),
            ));
        }
        self.record(vec![Event::LoginAttempted])?;
        if self.out.server.down {
            self.trouble(BackoffKey::Login, IncidentKind::LoginFailed)?;
        } else if self.password != self.out.server.password {
            let mut trouble =
                FailureReport::new(BackoffKey::Login, IncidentKind::LoginRejected, "401");
            trouble.rejected = Some(self.tag());
            let event = failed(
                &self.policy.name,
                &self.state,
                &self.policy.retry,
                trouble,
                self.out.now,
            );
            self.record(vec![event])?;
        } else {
            self.clear(BackoffKey::Login)?;
            self.logged_in = true;
        }
        Ok(self.logged_in)
    }

    fn list_by_login(&mut self, fault: Fault) -> Result<(), Stop> {
        if !self.logged_in && !self.log_in()? {
            return Ok(());
        }
        if self.out.server.down
            || matches!(fault, Fault::Before | Fault::NoAnswer | Fault::NoEffect)
        {
            self.trouble(BackoffKey::Server, IncidentKind::LoginFailed)?;
            return Ok(());
        }
        self.take_listing(ListedBy::Login, fault);
        self.clear(BackoffKey::Server)?;
        Ok(())
    }

    /// Lists with a token. `false`: there is no list.
    fn list_with(&mut self, token: Fingerprint, fault: Fault) -> Result<bool, Broken> {
        if self.out.server.down
            || matches!(fault, Fault::Before | Fault::NoAnswer | Fault::NoEffect)
        {
            self.trouble(BackoffKey::Server, IncidentKind::LoginFailed)?;
            return Ok(false);
        }
        // Some nodes refuse a token that others take.
        if !self.alive().contains(&token) || fault == Fault::Denied {
            self.seen.saw_refusal(token, self.out.now);
            return Ok(false);
        }
        self.take_listing(ListedBy::Token(token), fault);
        self.clear(BackoffKey::Server)?;
        Ok(true)
    }

    fn take_listing(&mut self, by: ListedBy, fault: Fault) {
        let true_now = self.out.now - self.out.skew;
        let server = &mut self.out.server;
        let (due, late) = std::mem::take(&mut server.late)
            .into_iter()
            .partition(|entry| entry.0 <= true_now);
        server.late = late;
        for (_, user, token) in due {
            server.users.entry(user).or_default().insert(token);
        }
        let mut tokens = server
            .users
            .get(user_of(&self.policy))
            .cloned()
            .unwrap_or_default();
        if let Some(page) = &server.page {
            tokens.retain(|token| page.contains(token));
        }
        if fault == Fault::Part {
            let in_use = self.state.in_use();
            tokens.retain(|token| !in_use.contains(token));
        }
        self.ledger.looked_since_mint |= by == ListedBy::Login;
        let alive = self.state.alive().map(|own| own.fingerprint);
        self.texts
            .extend(alive.filter(|token| tokens.contains(token)));
        let list = TokenList {
            at: self.out.now,
            tokens,
            by,
            skew: Some(self.out.skew),
        };
        self.told_time = true;
        self.seen.saw_list(list, &self.state);
        self.note_texts();
    }

    fn mint(&mut self, generation: GenerationNo, fault: Fault) -> Result<(), Stop> {
        self.seen.server_changed();
        self.die_if(fault, Fault::CrashBefore)?;
        let fault = if self.out.server.down {
            Fault::Before
        } else {
            fault
        };
        let (user, true_now) = (
            user_of(&self.policy).to_owned(),
            self.out.now - self.out.skew,
        );
        let server = &mut self.out.server;
        let mut minted = None;
        match fault {
            Fault::NoEffect | Fault::Denied | Fault::CrashBefore | Fault::Before => {}
            Fault::Late(by) => {
                let token = server.make(Maker::Us);
                server.late.push((true_now + by, user, token));
            }
            Fault::None | Fault::Part | Fault::NoAnswer | Fault::CrashAfter => {
                let token = server.make(Maker::Us);
                server.users.entry(user).or_default().insert(token);
                minted = Some(token);
            }
        }
        self.die_if(fault, Fault::CrashAfter)?;
        let error = "it did not work".to_owned();
        if let (Some(token), Fault::None) = (minted, fault) {
            self.texts.insert(token);
            self.note_texts();
            self.record(vec![Event::Minted {
                generation,
                fingerprint: token,
                how: MintSource::Answered,
            }])?;
        } else {
            self.record(vec![match fault == Fault::Before {
                true => Event::MintFailed { generation, error },
                false => Event::MintUnknown { generation, error },
            }])?;
            self.trouble(BackoffKey::Rotation, IncidentKind::MintFailed)?;
        }
        Ok(())
    }

    /// Whether this token's text is at hand, a login's list asked if need be.
    fn text_of(&mut self, token: Fingerprint) -> Result<bool, Stop> {
        if !self.texts.contains(&token) {
            self.login_allowed()?;
            self.list_by_login(Fault::None)?;
        }
        Ok(self.texts.contains(&token))
    }

    fn abandon(&mut self, generation: GenerationNo) -> Result<(), Broken> {
        self.trouble(BackoffKey::Rotation, IncidentKind::VerifyFailed)?;
        self.record(vec![Event::Abandoned {
            generation,
            reason: "it does not work".to_owned(),
        }])
    }

    fn verify(
        &mut self,
        number: GenerationNo,
        token: Fingerprint,
        fault: Fault,
    ) -> Result<(), Stop> {
        if !self.text_of(token)? {
            if self.seen.list.is_some() {
                self.abandon(number)?;
            }
            return Ok(());
        }
        self.die_if(fault, Fault::CrashBefore)?;
        let unclear = matches!(fault, Fault::Before | Fault::NoAnswer | Fault::NoEffect);
        if self.out.server.down || unclear {
            self.trouble(BackoffKey::Rotation, IncidentKind::VerifyFailed)?;
        } else if !self.list_with(token, fault)? {
            self.abandon(number)?;
        } else {
            self.die_if(fault, Fault::CrashAfter)?;
            let mut events = vec![Event::Verified { generation: number }];
            let listed = self.seen.list.as_ref().map(|list| &list.tokens);
            if listed.is_some_and(|listed| !listed.contains(&token)) {
                events.push(Event::ListDisagreed { generation: number });
            }
            self.record(events)?;
            self.clear(BackoffKey::Rotation)?;
        }
        Ok(())
    }

    fn deliver(
        &mut self,
        generation: GenerationNo,
        token: Fingerprint,
        sinks: &[String],
        fault: Fault,
    ) -> Result<(), Stop> {
        if !self.text_of(token)? {
            return Ok(());
        }
        self.check_handed_on(&token)?;
        let intents = sinks.iter().map(|sink| Event::DeliveryIntended {
            sink: sink.clone(),
            generation,
        });
        let owed = notifications_owed(&self.policy, &self.state, sinks, generation);
        self.record(intents.chain(owed).collect())?;
        self.seen.sinks_changed();
        self.die_if(fault, Fault::CrashBefore)?;
        let mut outcomes = Vec::new();
        for sink in sinks {
            let refusal = match fault {
                Fault::None | Fault::Part | Fault::CrashAfter | Fault::CrashBefore => {
                    self.place(sink).refuses
                }
                Fault::Before | Fault::Denied => Some(Refusal::NotDone),
                Fault::NoAnswer | Fault::Late(_) => Some(Refusal::NoAnswer),
                Fault::NoEffect => Some(Refusal::Silent),
            };
            outcomes.push((sink.clone(), self.give(sink, token, refusal)));
        }
        self.die_if(fault, Fault::CrashAfter)?;
        for (sink, Given { failed, parked }) in outcomes {
            match failed {
                None => {
                    let taken = self.taken(&sink);
                    self.record(vec![Event::Delivered {
                        sink,
                        generation,
                        taken,
                    }])?;
                }
                Some(outcome) => {
                    let lane = BackoffKey::Sink(sink.clone());
                    self.record(vec![Event::DeliveryFailed {
                        sink,
                        generation,
                        outcome,
                        parked,
                        note: None,
                    }])?;
                    self.trouble(lane, IncidentKind::SinkFailed)?;
                }
            }
        }
        Ok(())
    }

    fn prove(
        &mut self,
        generation: GenerationNo,
        token: Fingerprint,
        sinks: &[String],
        fault: Fault,
    ) -> Result<(), Stop> {
        self.die_if(fault, Fault::CrashBefore)?;
        let mut inside = Inside::Nobody;
        if self.has_inside(|name| sinks.contains(name)) && self.text_of(token)? {
            inside = self.ask_inside(token);
        }
        let (mut proved, mut read) = (Vec::new(), Vec::new());
        for sink in self
            .policy
            .sinks
            .clone()
            .into_iter()
            .filter(|configured| sinks.contains(&configured.name))
        {
            match self.read_back(&sink, inside) {
                SinkContent::Token(found) if found == token => {
                    if shows(&sink) == Shows::Token {
                        self.texts.insert(token);
                    }
                    read.push(sink.name);
                }
                SinkContent::Opaque => proved.push(sink.name),
                SinkContent::Token(_)
                | SinkContent::Absent
                | SinkContent::Other(_)
                | SinkContent::Unreadable(_) => {
                    self.trouble(BackoffKey::Sink(sink.name), IncidentKind::SinkFailed)?;
                }
            }
        }
        if !read.is_empty() && !self.text_of(token)? {
            return Ok(());
        }
        if !read.is_empty() && self.list_with(token, fault)? {
            proved.extend(read);
        }
        self.die_if(fault, Fault::CrashAfter)?;
        for sink in proved {
            self.clear(BackoffKey::Sink(sink.clone()))?;
            self.record(vec![Event::Proved { sink, generation }])?;
        }
        self.seen.sinks_changed();
        Ok(())
    }

    /// What the sink says of a delivery it took.
    fn taken(&mut self, sink: &str) -> DeliveryReceipt {
        let kind = self
            .policy
            .sinks
            .iter()
            .find(|configured| configured.name == sink)
            .map(shows);
        let version = match kind {
            Some(Shows::Version) => Some(self.place(sink).version.to_string()),
            Some(Shows::Token | Shows::Nothing) | None => None,
        };
        DeliveryReceipt {
            version,
            ..DeliveryReceipt::default()
        }
    }

    /// It is one and the same for all of them, so it works for all or for none.
    fn notify(&mut self, sinks: &[String], fault: Fault) -> Result<(), Stop> {
        self.die_if(fault, Fault::CrashBefore)?;
        let deaf = sinks.iter().any(|sink| self.place(sink).deaf);
        let heard = match fault {
            Fault::None | Fault::Part | Fault::CrashAfter | Fault::NoAnswer | Fault::Late(_) => {
                !deaf
            }
            Fault::Before | Fault::NoEffect | Fault::Denied | Fault::CrashBefore => false,
        };
        if heard {
            sinks
                .iter()
                .for_each(|sink| self.place(sink).untold = false);
        }
        self.die_if(fault, Fault::CrashAfter)?;
        for sink in sinks {
            let (lane, owed) = (
                BackoffKey::Notify(sink.clone()),
                self.state.sinks[sink].notify_owed,
            );
            match (heard && fault == Fault::None, owed) {
                (true, Some(generation)) => {
                    self.record(vec![Event::Notified {
                        sink: sink.clone(),
                        generation,
                        note: None,
                    }])?;
                    self.clear(lane)?;
                }
                (true, None) | (false, _) => self.trouble(lane, IncidentKind::NotifyFailed)?,
            }
        }
        Ok(())
    }

    fn delete(&mut self, victim: Fingerprint, fault: Fault) -> Result<(), Stop> {
        self.seen.server_changed();
        self.die_if(fault, Fault::CrashBefore)?;
        // As the current token; without one, as the login.
        let current = self
            .state
            .current()
            .map(|generation| generation.fingerprint);
        let hand = current.map_or(ListedBy::Login, ListedBy::Token);
        let refused = self.out.server.down
            || current.is_some_and(|fingerprint| !self.alive().contains(&fingerprint));
        let fault = if refused && fault != Fault::CrashAfter {
            Fault::Before
        } else {
            fault
        };
        match fault {
            Fault::CrashAfter if refused => {}
            Fault::Before | Fault::NoEffect | Fault::Denied | Fault::CrashBefore => {}
            Fault::None | Fault::Part | Fault::NoAnswer | Fault::Late(_) | Fault::CrashAfter => {
                // Of this login's tokens, that is: another's it does not know.
                let own = self.out.server.users.get_mut(user_of(&self.policy));
                own.into_iter()
                    .for_each(|tokens| _ = tokens.remove(&victim));
            }
        }
        self.die_if(fault, Fault::CrashAfter)?;
        if refused || fault == Fault::NoAnswer {
            self.trouble(BackoffKey::Retirement, IncidentKind::RetireFailed)?;
            return Ok(());
        }
        if fault == Fault::None {
            self.seen.saw_deletion(victim);
        }
        self.take_listing(hand, Fault::None);
        match self.alive().contains(&victim) {
            true => self.trouble(BackoffKey::Retirement, IncidentKind::RetireFailed)?,
            false => self.clear(BackoffKey::Retirement)?,
        }
        Ok(())
    }
}
