//! How each event changes the state. One arm an event, no decisions.

use chrono::{DateTime, Utc};

use super::{
    AccountState, Adoption, AmbiguousMint, ClockTrouble, Failure, ForeignToken, Generation,
    LastDelivery, LoginEpoch, LostMint, OpenMint, RETIRED_KEPT, RingexUse, SinkRecord, Stage,
    TokenLoss, is_recent,
};
use crate::event::{BackoffKey, Event, GenerationNo, IncidentKind, MintSource};
use crate::secret::Fingerprint;

impl AccountState {
    /// Folds one event in.
    pub fn apply(&mut self, seq: u64, at: DateTime<Utc>, event: &Event) {
        self.seq = seq;
        match event {
            Event::LineStarted {
                username,
                platform_id,
            } => self.start_line(username, platform_id, at),
            Event::RotationAsked => self.asked_at = Some(at),
            Event::RingexAttempted { client_id } => {
                let ringex = self.ringex_of(client_id);
                ringex.attempts.retain(|earlier| is_recent(*earlier, at));
                ringex.attempts.push_back(at);
            }
            Event::RingexQuiet { client_id, until } => {
                self.ringex_of(client_id).backoff_until = Some(*until)
            }
            Event::LoginAttempted => {
                self.logins.retain(|earlier| is_recent(*earlier, at));
                self.logins.push_back(at);
            }
            Event::PasswordReset { required } => {
                self.password_reset_since =
                    required.then(|| self.password_reset_since.unwrap_or(at));
            }
            Event::ForeignSeen { fingerprints } => {
                for fingerprint in fingerprints {
                    self.foreign.entry(*fingerprint).or_insert(ForeignToken {
                        first_seen_at: at,
                        superseded_at: None,
                        delete_sent: false,
                        adoption: None,
                    });
                }
            }
            Event::Adopted {
                fingerprint,
                length,
                files,
                held_by,
            } => {
                self.update_foreign(fingerprint, |token| {
                    token.adoption = Some(Adoption {
                        at,
                        length: *length,
                        files: files.clone(),
                        held_by: held_by.clone(),
                        left_at: None,
                    });
                });
            }
            Event::AdoptedHeld {
                fingerprint,
                held_by,
            } => self.update_foreign(fingerprint, |token| {
                if let Some(adoption) = &mut token.adoption {
                    if !adoption.held_by.is_subset(held_by) {
                        adoption.left_at = Some(at);
                    }
                    adoption.held_by = held_by.clone();
                }
            }),
            Event::Disowned { fingerprint } => {
                self.update_foreign(fingerprint, |token| token.adoption = None);
            }
            Event::ForeignGone { fingerprints } => {
                self.foreign
                    .retain(|fingerprint, _| !fingerprints.contains(fingerprint));
            }
            Event::MintIntended {
                generation,
                baseline,
            } => {
                self.last_generation = self.last_generation.max(generation.0);
                self.open_mint = Some(OpenMint {
                    generation: *generation,
                    at,
                    baseline: baseline.clone(),
                });
            }
            Event::Minted {
                generation,
                fingerprint,
                how,
            } => self.mint(*generation, *fingerprint, *how, at),
            Event::MintFailed { generation, .. } => self.close_mint(*generation),
            // The intent stays open: this only says why in the audit trail.
            Event::MintUnknown { .. } => {}
            Event::MintMissing {
                generation,
                open_until,
            } => {
                self.close_mint(*generation);
                self.lost_mints.push(LostMint {
                    generation: *generation,
                    open_until: *open_until,
                });
            }
            Event::MintAmbiguous {
                generation,
                candidates,
            } => {
                self.close_mint(*generation);
                self.lost_mints
                    .retain(|mint| mint.generation != *generation);
                self.ambiguous_mints.push(AmbiguousMint {
                    generation: *generation,
                    at,
                    candidates: candidates.clone(),
                });
            }
            Event::LostMintClosed { generation } => {
                self.lost_mints
                    .retain(|mint| mint.generation != *generation);
            }
            Event::Verified { generation } => {
                self.update(*generation, |it| it.verified_at = Some(at))
            }
            Event::Abandoned { generation, reason } => {
                self.update(*generation, |it| it.set_aside = Some(reason.clone()));
            }
            Event::SinkBound {
                sink,
                sink_type,
                target,
            } => {
                self.released_sinks.remove(sink);
                self.leave_sink_lanes(sink);
                self.sinks.insert(
                    sink.clone(),
                    SinkRecord {
                        sink_type: sink_type.clone(),
                        target: target.clone(),
                        bound_at: at,
                        intended: None,
                        last_delivery: LastDelivery::Never,
                        proved: None,
                        parked: false,
                        drifted: None,
                        awaits_proof: false,
                        notify_owed: None,
                        acknowledged: None,
                        taken: None,
                    },
                );
            }
            Event::SinkReleased { sink } => {
                self.leave_sink_lanes(sink);
                if let Some(record) = self.sinks.remove(sink) {
                    self.released_sinks.insert(sink.clone(), record);
                }
            }
            Event::DeliveryIntended { sink, generation } => self.update_sink(sink, |record| {
                record.intended = record.intended.max(Some(*generation));
                record.last_delivery = LastDelivery::Open;
                record.awaits_proof = false;
            }),
            Event::Delivered {
                sink,
                generation,
                taken,
            } => self.update_sink(sink, |record| {
                record.last_delivery = LastDelivery::Done;
                record.awaits_proof = true;
                record.taken = Some((*generation, taken.clone()));
            }),
            Event::DeliveryFailed {
                sink,
                outcome,
                parked,
                ..
            } => self.update_sink(sink, |record| {
                record.last_delivery = LastDelivery::Failed(*outcome);
                record.awaits_proof = false;
                record.parked = *parked;
            }),
            Event::Proved { sink, generation } => self.update_sink(sink, |record| {
                record.intended = record.intended.max(Some(*generation));
                record.last_delivery = LastDelivery::Done;
                record.proved = Some((*generation, at));
                record.drifted = None;
                record.awaits_proof = false;
                record.parked = false;
            }),
            Event::Drifted { sink, found, .. } => self.update_sink(sink, |record| {
                record.drifted = Some((at, found.clone()));
                record.awaits_proof = false;
            }),
            Event::NotifyOwed { sink, generation } => {
                self.update_sink(sink, |record| record.notify_owed = Some(*generation));
            }
            Event::Notified {
                sink, generation, ..
            } => self.update_sink(sink, |record| {
                record.notify_owed.take_if(|owed| *owed <= *generation);
            }),
            Event::Acknowledged { sink, generation } => {
                self.update_sink(sink, |record| record.acknowledged = Some((*generation, at)));
            }
            Event::Promoted { generation } => self.promote(*generation, at),
            Event::DeleteIntended {
                fingerprint,
                generation,
                ..
            } => {
                self.open_delete = Some(*fingerprint);
                match generation {
                    Some(generation) => self.update(*generation, |it| it.delete_sent = true),
                    None => self.update_foreign(fingerprint, |token| token.delete_sent = true),
                }
            }
            Event::Retired {
                fingerprint,
                generation,
                by,
            } => {
                if self.open_delete == Some(*fingerprint) {
                    self.open_delete = None;
                }
                self.foreign.remove(fingerprint);
                if let Some(generation) = generation {
                    self.update(*generation, |it| it.retired = Some((at, *by)));
                }
                self.forget_long_gone();
            }
            Event::TokenLost {
                generation,
                evidence,
            } => {
                self.update(*generation, |it| it.lost_at = Some(at));
                self.forget_long_gone();
                self.token_lost = Some(TokenLoss {
                    generation: *generation,
                    at,
                    evidence: evidence.clone(),
                });
            }
            Event::Reappeared { generation } => self.bring_back(*generation),
            Event::AttemptFailed {
                lane,
                incident,
                error,
                failures,
                next_attempt_at,
                rejected,
            } => {
                match lane {
                    BackoffKey::Retirement => self.open_delete = None,
                    // It was taken, but could not be seen to be there: it is to be delivered again.
                    BackoffKey::Sink(sink) => {
                        self.update_sink(sink, |record| record.awaits_proof = false)
                    }
                    BackoffKey::Login
                    | BackoffKey::Server
                    | BackoffKey::Rotation
                    | BackoffKey::Notify(_) => {}
                }
                let since = match self.lanes.get(lane) {
                    Some(earlier) if earlier.incident == *incident => earlier.since,
                    Some(_) | None => at,
                };
                self.lanes.insert(
                    lane.clone(),
                    Failure {
                        since,
                        last: at,
                        incident: *incident,
                        error: error.clone(),
                        count: *failures,
                        next_attempt_at: *next_attempt_at,
                        rejected: *rejected,
                    },
                );
            }
            Event::LaneCleared { lane } => {
                self.lanes.remove(lane);
            }
            Event::HoldLifted { lane, .. } => {
                if let Some(failure) = self.lanes.get_mut(lane) {
                    // Not `at`: that is yet to come where the clock is set back before the attempt.
                    failure.next_attempt_at = failure.last.min(at);
                    failure.rejected = None;
                }
                if let BackoffKey::Sink(sink) = lane {
                    self.update_sink(sink, |record| record.parked = false);
                }
            }
            Event::ClockDisagreed { skew_seconds } => {
                let since = self.clock.map_or(at, |trouble| trouble.since);
                self.clock = Some(ClockTrouble {
                    since,
                    skew_seconds: *skew_seconds,
                });
            }
            Event::ClockAgreed => self.clock = None,
        }
    }

    /// Another app has limits of its own.
    fn ringex_of(&mut self, client_id: &str) -> &mut RingexUse {
        if self.ringex.client_id != client_id {
            self.ringex = RingexUse {
                client_id: client_id.to_owned(),
                ..RingexUse::default()
            };
        }
        &mut self.ringex
    }

    fn start_line(&mut self, username: &str, platform_id: &str, at: DateTime<Utc>) {
        let former = format!("the account logs in as another user since {at}");
        for generation in self
            .generations
            .values_mut()
            .filter(|generation| generation.is_alive())
        {
            generation.set_aside.get_or_insert_with(|| former.clone());
        }
        self.lines.push(LoginEpoch {
            username: username.to_owned(),
            platform_id: platform_id.to_owned(),
            since: at,
        });
        // What concerned the old login says nothing of the new one.
        self.foreign.clear();
        self.open_mint = None;
        self.lost_mints.clear();
        self.ambiguous_mints.clear();
        self.password_reset_since = None;
        self.token_lost = None;
        self.open_delete = None;
        self.lanes
            .retain(|lane, _| matches!(lane, BackoffKey::Sink(_)));
    }

    fn mint(
        &mut self,
        number: GenerationNo,
        fingerprint: Fingerprint,
        learnt: MintSource,
        at: DateTime<Utc>,
    ) {
        self.close_mint(number);
        self.lost_mints.retain(|mint| mint.generation != number);
        self.foreign.remove(&fingerprint);
        self.last_generation = self.last_generation.max(number.0);
        // One that was never published and is not the newest any more never will be.
        let line = self.line();
        for earlier in self
            .generations
            .values_mut()
            .filter(|it| it.line == line && it.number < number)
        {
            if earlier.promoted_at.is_none() {
                earlier
                    .set_aside
                    .get_or_insert_with(|| format!("generation {number} took its place"));
            }
        }
        self.generations.insert(
            number,
            Generation {
                number,
                fingerprint,
                line,
                minted_at: at,
                learnt,
                verified_at: None,
                promoted_at: None,
                superseded_at: None,
                set_aside: None,
                delete_sent: false,
                retired: None,
                lost_at: None,
            },
        );
    }

    fn close_mint(&mut self, number: GenerationNo) {
        self.open_mint.take_if(|mint| mint.generation == number);
    }

    fn promote(&mut self, number: GenerationNo, at: DateTime<Utc>) {
        let line = self.line();
        let earlier = self
            .generations
            .values_mut()
            .filter(|it| it.line == line && it.number != number);
        for generation in earlier.filter(|it| it.promoted_at.is_some() || it.set_aside.is_some()) {
            generation.superseded_at.get_or_insert(at);
        }
        for token in self.foreign.values_mut() {
            token.superseded_at.get_or_insert(at);
        }
        self.update(number, |it| it.promoted_at = Some(at));
        self.asked_at = None;
        self.token_lost = None;
        self.ambiguous_mints.retain(|mint| mint.at > at);
    }

    fn bring_back(&mut self, number: GenerationNo) {
        let line = self.line();
        let published = self.generations.values().filter(|it| it.may_be_published());
        let newest = published.map(|it| it.number).max();
        self.update(number, |it| {
            it.retired = None;
            it.lost_at = None;
            // Seen on the list of the login in use, so it is that login's, whoever minted it. One
            // that was current when the login changed, and to which nothing newer was preferred, is
            // so again.
            if it.line != line && Some(number) == newest && it.promoted_at.is_some() {
                it.set_aside = None;
            }
            it.line = line;
        });
        let is_current = self
            .current()
            .is_some_and(|current| current.number == number);
        if is_current
            && self
                .token_lost
                .as_ref()
                .is_some_and(|loss| loss.generation == number)
        {
            self.token_lost = None;
        }
    }

    fn update(&mut self, number: GenerationNo, change: impl FnOnce(&mut Generation)) {
        if let Some(generation) = self.generations.get_mut(&number) {
            change(generation);
        }
    }

    fn update_foreign(
        &mut self,
        fingerprint: &Fingerprint,
        change: impl FnOnce(&mut ForeignToken),
    ) {
        if let Some(token) = self.foreign.get_mut(fingerprint) {
            change(token);
        }
    }

    fn update_sink(&mut self, name: &str, change: impl FnOnce(&mut SinkRecord)) {
        if let Some(record) = self.sinks.get_mut(name) {
            change(record);
        }
    }

    fn leave_sink_lanes(&mut self, name: &str) {
        self.lanes.remove(&BackoffKey::Sink(name.to_owned()));
        self.lanes.remove(&BackoffKey::Notify(name.to_owned()));
    }

    fn forget_long_gone(&mut self) {
        let gone = |generation: &Generation| match generation.stage() {
            Stage::Retired | Stage::Lost => true,
            Stage::Pending | Stage::Current | Stage::Previous => false,
        };
        let dead: Vec<GenerationNo> = self
            .generations
            .values()
            .filter(|it| gone(it))
            .map(|it| it.number)
            .collect();
        for number in dead.iter().take(dead.len().saturating_sub(RETIRED_KEPT)) {
            self.generations.remove(number);
        }
    }

    /// The kind of trouble a lane is in, if any.
    pub fn trouble(&self, lane: &BackoffKey) -> Option<IncidentKind> {
        self.lanes.get(lane).map(|failure| failure.incident)
    }
}
