//! The consumers of sinks: they are notified once a sink is proved, and may have to acknowledge
//! that they use its token.
//!
//! A notification is owed from before the token is written until it was made, so that a crash in
//! between loses nothing: it is made again rather than not at all. Neither holds up promotion; both
//! hold up the deletion of what they may still use (`plan/retire.rs`).

use chrono::{DateTime, Utc};

use super::reasons::{Because, WaitingFor};
use super::{Action, Next, Planner, Step};
use crate::account::{AccountState, LastDelivery, SinkRecord};
use crate::config::{AccountPolicy, Acknowledge, Notify, SinkPolicy};
use crate::event::{BackoffKey, Event, GenerationNo};
use crate::time::after;

/// A generation that a consumer has yet to say it uses.
pub struct MissingAck {
    /// The newest generation that is proved in the sink.
    pub generation: GenerationNo,
    /// When its `within` is over, counted from the proof.
    pub late_at: DateTime<Utc>,
}

/// What the consumer of this sink has yet to acknowledge.
pub fn unacknowledged(acknowledge: &Acknowledge, record: &SinkRecord) -> Option<MissingAck> {
    let (generation, proved_at) = record.proved?;
    let said = record.acknowledged.map(|(number, _)| number);
    let late_at = after(proved_at, acknowledge.within);
    // `None` is less than any number: a consumer that said nothing has yet to acknowledge.
    (said < Some(generation)).then_some(MissingAck {
        generation,
        late_at,
    })
}

/// What is owed to the consumers of these sinks once they hold this generation, and is not owed
/// yet: written down with the intent to deliver.
pub fn notifications_owed(
    policy: &AccountPolicy,
    state: &AccountState,
    sinks: &[String],
    generation: GenerationNo,
) -> Vec<Event> {
    let has_notify = |name: &&String| {
        policy
            .sinks
            .iter()
            .any(|sink| sink.name == **name && sink.notify.is_some())
    };
    let is_owed = |name: &&String| {
        state
            .sinks
            .get(*name)
            .is_some_and(|record| record.notify_owed == Some(generation))
    };
    // Recorded once: every further try of the delivery would add the same event again.
    let owed = sinks
        .iter()
        .filter(has_notify)
        .filter(|name| !is_owed(name));
    owed.map(|name| Event::NotifyOwed {
        sink: name.clone(),
        generation,
    })
    .collect()
}

impl Planner<'_> {
    /// Notify the consumers of sinks that are proved. Sinks with the same `notify` share one call:
    /// a service whose three files changed restarts once.
    pub(super) fn notify_consumers(&mut self) {
        let (policy, state) = (self.policy, self.state);
        let owed = policy.sinks.iter().filter_map(|sink| {
            let record = state.sinks.get(&sink.name)?;
            Some((
                sink,
                sink.notify.as_ref()?,
                // Notified before the proof, a consumer might load the old token again.
                record.notify_owed.filter(|_| is_settled(record))?,
            ))
        });
        let mut groups: Vec<(&Notify, Vec<&SinkPolicy>)> = Vec::new();
        for (sink, notify, generation) in owed {
            let because = Because::NotNotified {
                notify: Box::new(notify.clone()),
                generation,
            };
            self.step(Action::Notify, Some(sink.name.clone()), because);
            match groups.iter_mut().find(|(other, _)| *other == notify) {
                Some((_, sinks)) => sinks.push(sink),
                None => groups.push((notify, vec![sink])),
            }
        }
        for (notify, sinks) in groups {
            let names: Vec<String> = sinks.iter().map(|sink| sink.name.clone()).collect();
            let held = names
                .iter()
                .map(|name| self.own_hold(&BackoffKey::Notify(name.clone())));
            // One call is made for the whole group, so the longest back-off among them holds it.
            match held.max().flatten() {
                Some(until) => {
                    let what = WaitingFor::NotifyRetry(Box::new(notify.clone()));
                    self.wait(what, Some(until));
                }
                None => self.offer(Next::Do(Step::Notify { sinks: names })),
            }
        }
    }

    /// What a consumer has yet to say is waited for, until it is late and longer.
    pub(super) fn await_acknowledgements(&mut self) {
        for sink in &self.policy.sinks {
            let record = self.state.sinks.get(&sink.name);
            let (Some(acknowledge), Some(record)) = (&sink.acknowledge, record) else {
                continue;
            };
            let Some(missing) = unacknowledged(acknowledge, record) else {
                continue;
            };
            let what = WaitingFor::Acknowledgement {
                sink: sink.name.clone(),
                generation: missing.generation,
            };
            // A time that is past would wake the plan at once, again and again.
            self.wait(
                what,
                Some(missing.late_at).filter(|late_at| *late_at > self.now),
            );
        }
    }
}

/// The newest that was sent there is proved, and nothing has changed since.
fn is_settled(record: &SinkRecord) -> bool {
    let newest = record
        .proved
        .is_some_and(|(proved, _)| Some(proved) == record.intended);
    let done = match record.last_delivery {
        LastDelivery::Done => true,
        LastDelivery::Never | LastDelivery::Open | LastDelivery::Failed(_) => false,
    };
    newest && done && !record.awaits_proof && record.drifted.is_none()
}

#[cfg(test)]
mod tests;
