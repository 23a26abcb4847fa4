//! Appending events to the journal, what follows from an append, and keeping the stream short.

use chrono::{DateTime, Utc};

use super::event_history::{self, HistoryError, entry};
use super::log;
use super::state::{Observer, Reconciler};
use crate::ringcx::TokenApi;
use rotator_core::event::{BackoffKey, ClockReading, Event, ReleaseCause, StepSource};
use rotator_core::journal::{Entry, Journal, JournalError};

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Appends events, folds them in, logs them and informs the observer. Only after this returns
    /// have they happened.
    pub(super) async fn record(&mut self, events: Vec<Event>) -> Result<(), JournalError> {
        if events.is_empty() {
            return Ok(());
        }
        let (now, reading) = self.read_clock();
        self.append(now, &reading, events).await
    }

    /// The time, once the journal knows of all that was done to the clock so far: only then can
    /// recorded times be compared with it.
    pub(super) async fn keep_time(
        &mut self,
    ) -> Result<(DateTime<Utc>, ClockReading), JournalError> {
        let (now, reading) = self.read_clock();
        if self.state.clock_step(now, &reading).is_some() {
            self.append(now, &reading, Vec::new()).await?;
        }
        Ok((now, reading))
    }

    fn read_clock(&self) -> (DateTime<Utc>, ClockReading) {
        let (now, reading) = self.clock.read();
        let skew = self.server.clock.skew(&reading);
        (now, ClockReading { skew, ..reading })
    }

    /// Appends these events, and before them the step of the clock that this reading shows.
    async fn append(
        &mut self,
        now: DateTime<Utc>,
        reading: &ClockReading,
        mut events: Vec<Event>,
    ) -> Result<(), JournalError> {
        let step = self.state.clock_step(now, reading);
        let steady = step.filter(|step| step.source == StepSource::Steady);
        if let Some(step) = steady {
            // What they name was reckoned by the clock as it was.
            events
                .iter_mut()
                .for_each(|event| event.clock_stepped(step.by));
        }
        events.splice(0..0, step.map(|step| step.event()));
        // One time for the rows and for the fold, so that a restart arrives at the same state.
        let entries: Vec<Entry> = events
            .iter()
            .map(|event| entry(now, Some(reading), event))
            .collect();
        let mut size = self.journal.size;
        entries.iter().for_each(|entry| size.add(entry));
        // Set before the append and cleared after it: a task that is dropped in between leaves it
        // set as well, and then too it is unknown whether the rows were written.
        self.journal.in_doubt = true;
        // Refused unless the stream still ends at this row: another writer is noticed.
        let last = self
            .journal
            .store
            .append(self.name(), self.state.seq, entries)
            .await?;
        self.journal.in_doubt = false;
        self.journal.size = size;
        let first = last + 1 - events.len() as u64;
        for (seq, event) in (first..).zip(&events) {
            // The same fold as after a restart, so memory and journal cannot drift apart.
            self.state.apply_row(seq, now, Some(reading), event);
            log::event(self.name(), &self.state, event);
        }
        if let Some(step) = steady {
            self.evidence.clock_stepped(step.by);
        }
        self.publish_to_peers();
        self.observer
            .changed(self.name(), &self.state, &self.evidence);
        self.report_conditions().await;
        Ok(())
    }

    /// After an append that failed, reads again what the journal really holds before anything else
    /// is done.
    pub(super) async fn resolve_doubt(&mut self) -> Result<(), HistoryError> {
        if self.journal.in_doubt {
            (self.state, self.journal.size) =
                event_history::load(&self.journal.store, self.name()).await?;
            self.journal.in_doubt = false;
        }
        Ok(())
    }

    /// Records that an operator asked for a rotation, and lifts what holds it back.
    pub async fn ask_rotation(&mut self) -> Result<(), JournalError> {
        // The request first: a crash between the two appends loses only the lifted holds.
        self.record(vec![Event::RotationAsked]).await?;
        self.lift_holds(ReleaseCause::Operator).await
    }

    /// Lets everything that waits after a failure be tried at once, parked sinks too.
    pub(super) async fn lift_holds(&mut self, by: ReleaseCause) -> Result<(), JournalError> {
        let now = self.clock.now();
        let held = self
            .state
            .lanes
            .iter()
            .filter(|(_, failure)| failure.next_attempt_at > now);
        let mut keys: Vec<BackoffKey> = held.map(|(key, _)| key.clone()).collect();
        if self.state.quiet_until(now).is_some() && !keys.contains(&BackoffKey::Server) {
            keys.push(BackoffKey::Server);
        }
        for (name, record) in &self.state.sinks {
            let key = BackoffKey::Sink(name.clone());
            // A parked sink waits for a reload or an operator, even after its wait has passed.
            if record.parked && !keys.contains(&key) {
                keys.push(key);
            }
        }
        self.record(
            keys.into_iter()
                .map(|key| Event::HoldLifted { lane: key, by })
                .collect(),
        )
        .await
    }

    /// Reports what is wrong with the account now.
    pub(super) async fn report_conditions(&mut self) {
        let conditions = rotator_core::incidents::conditions(
            &self.config.account,
            &self.config.alerts,
            &self.state,
            self.clock.now(),
        );
        self.observer.conditions(self.name(), conditions).await;
    }

    /// Keeps the stream within bounds. Nothing depends on it: a failure is tried again after the
    /// next pass.
    pub(super) async fn compact_if_long(&mut self) {
        // While it is unknown which rows exist, none of them is replaced.
        if self.journal.in_doubt || !self.journal.size.is_long() {
            return;
        }
        match event_history::compact(&self.journal.store, self.name()).await {
            Ok(size) => self.journal.size = size,
            Err(error) => {
                tracing::warn!(name: "history-not-compacted", account = self.name(), %error, "History not compacted, trying again")
            }
        }
    }
}
