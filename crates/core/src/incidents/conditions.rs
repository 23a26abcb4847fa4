//! What is wrong with an account right now, derived from its state. Pure.

use chrono::{DateTime, Utc};

use super::Condition;
use crate::account::{AccountState, Failure, SinkRecord};
use crate::config::{AccountPolicy, AlertsPolicy};
use crate::event::{BackoffKey, IncidentKind};
use crate::plan::{adopted_retires_after, due, retires_after, unacknowledged};
use crate::span::format_duration;
use crate::time::after;

const CONSUMERS_WORK: &str =
    "the new token is in the sink and works; the older one stays valid and is not deleted";

/// Everything that is wrong with the account at this time, in a fixed order.
pub fn conditions(
    policy: &AccountPolicy,
    alerts: &AlertsPolicy,
    state: &AccountState,
    now: DateTime<Utc>,
) -> Vec<Condition> {
    let ward = AccountCheck { policy, state };
    let mut found = Vec::new();
    for (lane, failure) in &state.lanes {
        found.extend(ward.lane(lane, failure));
    }
    for (name, record) in &state.sinks {
        found.extend(ward.sink(name, record));
    }
    found.extend(ward.consumers(now));
    found.extend(ward.account_wide());
    found.extend(ward.late(alerts, now));
    one_each(found)
}

/// Two lanes can be in the same trouble: to an operator it is one.
fn one_each(found: Vec<Condition>) -> Vec<Condition> {
    let mut kept: Vec<Condition> = Vec::with_capacity(found.len());
    for condition in found {
        match kept.iter_mut().find(|known| known.key() == condition.key()) {
            Some(known) => {
                known.since = known.since.min(condition.since);
                known.count = known.count.max(condition.count);
                known.next_attempt_at = known.next_attempt_at.min(condition.next_attempt_at);
            }
            None => kept.push(condition),
        }
    }
    kept
}

struct AccountCheck<'a> {
    policy: &'a AccountPolicy,
    state: &'a AccountState,
}

impl AccountCheck<'_> {
    fn condition(
        &self,
        kind: IncidentKind,
        since: DateTime<Utc>,
        cause: impl Into<String>,
    ) -> Condition {
        Condition {
            account: self.policy.name.clone(),
            kind,
            sink: None,
            since,
            count: 1,
            cause: cause.into(),
            next_attempt_at: None,
            still_works: self.still_works(),
        }
    }

    fn lane(&self, lane: &BackoffKey, failure: &Failure) -> Option<Condition> {
        let mut condition = self.condition(failure.incident, failure.since, failure.error.clone());
        condition.count = failure.count;
        condition.next_attempt_at = Some(failure.next_attempt_at);
        if let BackoffKey::Notify(name) = lane {
            condition.sink = Some(name.clone());
            condition.still_works = CONSUMERS_WORK.to_owned();
        }
        if let BackoffKey::Sink(name) = lane {
            let record = self.state.sinks.get(name)?;
            if record.parked {
                condition.next_attempt_at = None;
            }
            condition.sink = Some(name.clone());
            condition.still_works = self.sink_still_works(record);
        }
        Some(condition)
    }

    fn sink(&self, name: &str, record: &SinkRecord) -> Option<Condition> {
        let (since, found) = record.drifted.as_ref()?;
        let cause = format!("{} no longer held the token: {found}", record.target);
        let mut condition = self.condition(IncidentKind::SinkDrifted, *since, cause);
        condition.sink = Some(name.to_owned());
        condition.next_attempt_at = self
            .state
            .lanes
            .get(&BackoffKey::Sink(name.to_owned()))
            .map(|failure| failure.next_attempt_at);
        condition.still_works = "the token itself is valid; only this sink lost it".to_owned();
        Some(condition)
    }

    /// Consumers that have not said in time what they use.
    fn consumers(&self, now: DateTime<Utc>) -> Vec<Condition> {
        let late = self.policy.sinks.iter().filter_map(|sink| {
            let (acknowledge, record) = (
                sink.acknowledge.as_ref()?,
                self.state.sinks.get(&sink.name)?,
            );
            let missing =
                unacknowledged(acknowledge, record).filter(|missing| missing.late_at <= now)?;
            let said = match record.acknowledged {
                Some((number, _)) => format!("it says that it uses generation {number}"),
                None => "it has said nothing yet".to_owned(),
            };
            let cause = format!(
                "generation {} was to be acknowledged in {} within {}; {said}",
                missing.generation,
                acknowledge.path.display(),
                format_duration(acknowledge.within),
            );
            let mut condition =
                self.condition(IncidentKind::AcknowledgementLate, missing.late_at, cause);
            condition.sink = Some(sink.name.clone());
            condition.still_works = CONSUMERS_WORK.to_owned();
            Some(condition)
        });
        late.collect()
    }

    fn account_wide(&self) -> Vec<Condition> {
        let mut found = Vec::new();
        if let Some(since) = self.state.password_reset_since {
            let cause = "RingCX says that the password must be changed (adminPasswordReset)";
            found.push(self.condition(IncidentKind::PasswordResetRequired, since, cause));
        }
        if let Some(mint) = self.state.ambiguous_mints.last() {
            let candidates: Vec<String> = mint.candidates.iter().map(|it| it.short()).collect();
            let cause = format!(
                "the answer to a mint was lost, and it cannot be told which of these tokens is ours: {}",
                candidates.join(", "),
            );
            found.push(self.condition(IncidentKind::MintUnknown, mint.at, cause));
        }
        if let Some(loss) = &self.state.token_lost {
            let cause = format!("generation {}: {}", loss.generation, loss.evidence);
            let mut condition = self.condition(IncidentKind::TokenLost, loss.at, cause);
            condition.next_attempt_at = self
                .state
                .lanes
                .get(&BackoffKey::Rotation)
                .map(|failure| failure.next_attempt_at);
            found.push(condition);
        }
        if let Some(trouble) = self.state.clock {
            let cause = format!("the local clock is {} s off RingCX's", trouble.skew_seconds);
            found.push(self.condition(IncidentKind::ClockDisagrees, trouble.since, cause));
        }
        found
    }

    fn late(&self, alerts: &AlertsPolicy, now: DateTime<Utc>) -> Vec<Condition> {
        let mut found = Vec::new();
        let (policy, state) = (self.policy, self.state);
        let due = due(policy, state, now);
        let live = state.live_count();
        let idle = state.pending().is_none() && state.open_mint.is_none();
        if let Some(due) = due
            .as_ref()
            .filter(|_| idle && live >= policy.retention.max_live as usize)
        {
            let cause = format!(
                "{live} of our tokens are alive, max-live is {}",
                policy.retention.max_live
            );
            found.push(self.condition(IncidentKind::MintCapped, due.since, cause));
        }
        let rotation_since = due
            .map(|due| due.since)
            .or(state.pending().map(|pending| pending.minted_at));
        if let Some(since) =
            rotation_since.filter(|since| after(*since, alerts.overdue_after) <= now)
        {
            let cause = match state.lanes.values().max_by_key(|failure| failure.last) {
                Some(failure) => failure.error.clone(),
                None => "the rotation is not finished".to_owned(),
            };
            found.push(self.condition(IncidentKind::RotationOverdue, since, cause));
        }
        let own = state.previous().filter_map(|generation| {
            Some((
                retires_after(policy, generation)?,
                format!("generation {}", generation.number),
            ))
        });
        let adopted = state
            .adopted(policy.retention.foreign)
            .filter_map(|(fingerprint, token)| {
                let name = format!("the adopted token {}", fingerprint.short());
                let held_by = token
                    .adoption
                    .iter()
                    .flat_map(|it| &it.held_by)
                    .map(String::as_str);
                let places = held_by.collect::<Vec<_>>().join(", ");
                let name = if places.is_empty() {
                    name
                } else {
                    format!("{name}, which is in {places},")
                };
                Some((adopted_retires_after(policy, token)?, name))
            });
        let late = own
            .chain(adopted)
            .filter(|(due, _)| after(*due, alerts.overdue_after) <= now);
        if let Some((since, victim)) = late.min() {
            let cause = match state.lanes.get(&BackoffKey::Retirement) {
                Some(failure) => failure.error.clone(),
                None => format!("{victim} is still alive: see `plan`"),
            };
            found.push(self.condition(IncidentKind::RetirementOverdue, since, cause));
        }
        found
    }

    fn still_works(&self) -> String {
        let served = self
            .state
            .sinks
            .values()
            .any(|record| record.proved.is_some());
        match (self.state.current(), &self.state.token_lost) {
            (Some(current), _) if served => {
                format!("generation {} stays valid in its sinks; IVR flows are not affected", current.number)
            }
            (Some(current), _) => format!("generation {} is valid", current.number),
            (None, Some(_)) => {
                "nothing: what the sinks hold no longer works, and readers get errors until a new token is there"
                    .to_owned()
            }
            (None, None) => "there is no token yet; nothing that worked before was changed".to_owned(),
        }
    }

    fn sink_still_works(&self, record: &SinkRecord) -> String {
        let held = record
            .proved
            .and_then(|(number, _)| self.state.generations.get(&number));
        match held {
            Some(held) if held.is_alive() => format!(
                "generation {} was delivered there before, stays valid, and is not deleted; IVR flows are not affected",
                held.number,
            ),
            Some(held) => {
                format!(
                    "nothing in this sink: its last known token, generation {}, is gone",
                    held.number
                )
            }
            None => "this sink never held a token of ours; other sinks are not affected".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
