//! A sink, and what was delivered to it.

use chrono::{DateTime, Utc};

use crate::account::{AccountState, LastDelivery, SinkRecord};
use crate::event::{BackoffKey, Event};

impl AccountState {
    /// A sink, and what was delivered to it. Between an intent and its outcome the sink may hold
    /// either token, also after a crash.
    pub(super) fn apply_sink(&mut self, at: DateTime<Utc>, event: &Event) {
        match event {
            Event::SinkBound {
                sink,
                sink_type,
                target,
            } => self.bind_sink(sink, SinkRecord::bound(sink_type, target, at)),
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
                // Without a delivery of ours too: the token may have been put there by hand.
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
            crate::account_events!()
            | crate::backoff_events!()
            | crate::foreign_events!()
            | crate::mint_events!()
            | crate::token_events!()
            | crate::consumer_events!() => {}
        }
    }

    pub(super) fn update_sink(&mut self, name: &str, change: impl FnOnce(&mut SinkRecord)) {
        // Any sequence of events folds: one about a sink that is not bound changes nothing.
        if let Some(record) = self.sinks.get_mut(name) {
            change(record);
        }
    }

    fn bind_sink(&mut self, name: &str, record: SinkRecord) {
        self.released_sinks.remove(name);
        // What the sink of this name failed with before says nothing about the new target.
        self.leave_sink_lanes(name);
        self.sinks.insert(name.to_owned(), record);
    }

    fn leave_sink_lanes(&mut self, name: &str) {
        self.lanes.remove(&BackoffKey::Sink(name.to_owned()));
        self.lanes.remove(&BackoffKey::Notify(name.to_owned()));
    }

    /// The consumer of a sink.
    pub(super) fn apply_consumer(&mut self, at: DateTime<Utc>, event: &Event) {
        match event {
            Event::NotifyOwed { sink, generation } => {
                self.update_sink(sink, |record| record.notify_owed = Some(*generation));
            }
            Event::Notified {
                sink, generation, ..
            } => self.update_sink(sink, |record| {
                // A notification that is owed for a newer generation stays owed.
                record.notify_owed.take_if(|owed| *owed <= *generation);
            }),
            Event::Acknowledged { sink, generation } => {
                self.update_sink(sink, |record| record.acknowledged = Some((*generation, at)));
            }
            crate::account_events!()
            | crate::backoff_events!()
            | crate::foreign_events!()
            | crate::mint_events!()
            | crate::token_events!()
            | crate::sink_events!() => {}
        }
    }
}

impl SinkRecord {
    /// A sink that was given nothing yet.
    fn bound(sink_type: &str, target: &str, at: DateTime<Utc>) -> Self {
        Self {
            sink_type: sink_type.to_owned(),
            target: target.to_owned(),
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
        }
    }
}
