//! What is wrong with an account right now, derived from its state. Pure.

use chrono::{DateTime, Utc};

use super::Condition;
use crate::account::{AccountState, Failure, SinkRecord, Stage};
use crate::config::{AccountPolicy, AlertsPolicy};
use crate::event::{BackoffKey, IncidentKind, RetiredBy};
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
    let account = AccountCheck { policy, state, now };
    let mut found = Vec::new();
    for (lane, failure) in &state.lanes {
        found.extend(account.lane(lane, failure));
    }
    for (name, record) in &state.sinks {
        found.extend(account.sink(name, record));
    }
    found.extend(account.consumers(now));
    found.extend(account.account_wide());
    found.extend(account.late(alerts, now));
    one_each(found)
}

/// Two lanes can fail for the same reason: to an operator that is one incident.
fn one_each(found: Vec<Condition>) -> Vec<Condition> {
    let mut kept: Vec<Condition> = Vec::with_capacity(found.len());
    for condition in found {
        match kept.iter_mut().find(|known| known.key() == condition.key()) {
            Some(known) => {
                known.since = known.since.min(condition.since);
                known.count = known.count.max(condition.count);
                // `None` sorts first: where one of the two waits for an operator, so does the
                // incident.
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
    now: DateTime<Utc>,
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
            // Only the notice failed: the token is in its sink.
            condition.sink = Some(name.clone());
            condition.still_works = CONSUMERS_WORK.to_owned();
        }
        if let BackoffKey::Sink(name) = lane {
            // Without a record the sink is not managed, so there is nothing to report.
            let record = self.state.sinks.get(name)?;
            // A parked sink is not tried again by time: a reload or an operator ends that.
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
        // The repair is a delivery, so its next try is that of the sink.
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
            // Until `within` is over nothing is wrong: consumers may read their file only now and
            // then.
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
        // One incident for all lost mints; the newest names the tokens to look at.
        if let Some(mint) = self.state.ambiguous_mints.last() {
            let candidates: Vec<String> =
                mint.candidates.iter().map(|token| token.short()).collect();
            let cause = format!(
                "the answer to a mint was lost, and it cannot be told which of these tokens is \
                 ours: {}",
                candidates.join(", "),
            );
            found.push(self.condition(IncidentKind::MintUnknown, mint.at, cause));
        }
        if let Some(loss) = &self.state.token_lost {
            let cause = format!("generation {}: {}", loss.generation, loss.evidence);
            let mut condition = self.condition(IncidentKind::TokenLost, loss.at, cause);
            // The repair is a rotation, so its next try is that of the rotation.
            condition.next_attempt_at = self
                .state
                .lanes
                .get(&BackoffKey::Rotation)
                .map(|failure| failure.next_attempt_at);
            found.push(condition);
        }
        found.extend(self.unlisted());
        found.extend(self.overlap_cut());
        if let Some(trouble) = self.state.clock {
            let cause = format!("the local clock is {} s off RingCX's", trouble.skew_seconds);
            found.push(self.condition(IncidentKind::ClockDisagrees, trouble.since, cause));
        }
        found
    }

    /// A token of ours works, or did when that was last seen, and is not on the list.
    fn unlisted(&self) -> Option<Condition> {
        let unlisted = self.state.own().filter(|own| match own.stage() {
            Stage::Pending | Stage::Current | Stage::Previous | Stage::Lost => true,
            Stage::Retired => false,
        });
        // One incident for all of them, which opened with the first.
        let (since, number) = unlisted
            .filter_map(|own| Some((own.unlisted_since?, own.number)))
            .min()?;
        let cause = format!("generation {number} works, and the server's list does not show it");
        Some(self.condition(IncidentKind::ListDisagrees, since, cause))
    }

    /// An old token was gone before its overlap was over, which it would not be yet.
    fn overlap_cut(&self) -> Option<Condition> {
        let overlap = self.policy.retention.overlap;
        let (number, at) = self.state.own().rev().find_map(|own| {
            let over = after(own.superseded_at?, overlap);
            own.promoted_at?;
            let gone_at = match (own.retired, own.lost_at) {
                (Some((at, RetiredBy::Another)), _) | (None, Some(at)) => at,
                // Deleted by us: an operator wanted it.
                (Some((_, RetiredBy::Us)), _) | (None, None) => return None,
            };
            (gone_at < over && self.now < over).then_some((own.number, gone_at))
        })?;
        // Lost before another was minted, it was lost and not dropped: that has its own incident.
        let successor = self.state.own().find(|own| own.number > number)?;
        (successor.minted_at < at).then(|| {
            let cause = format!(
                "generation {number} was gone before its overlap of {} was over",
                format_duration(overlap)
            );
            self.condition(IncidentKind::OverlapCut, at, cause)
        })
    }

    /// What is due and cannot be done, or has been due for too long.
    fn late(&self, alerts: &AlertsPolicy, now: DateTime<Utc>) -> Vec<Condition> {
        let due = due(self.policy, self.state, now).map(|due| due.since);
        let overdue = |since: &DateTime<Utc>| after(*since, alerts.overdue_after) <= now;
        // Where none is due, one that was begun and not finished counts from its mint.
        let rotation = due.or(self.state.pending().map(|pending| pending.minted_at));
        let retirement = self.due_retirements().filter(|(since, _)| overdue(since));
        let found = [
            due.and_then(|since| self.capped(since)),
            rotation
                .filter(overdue)
                .map(|since| self.rotation_overdue(since)),
            retirement
                .min()
                .map(|(since, token)| self.retirement_overdue(since, &token)),
        ];
        found.into_iter().flatten().collect()
    }

    /// A rotation is due, none is under way, and `max-live` does not allow to begin one.
    fn capped(&self, since: DateTime<Utc>) -> Option<Condition> {
        let (live, max_live) = (self.state.live_count(), self.policy.retention.max_live);
        // A rotation that has its token needs no room for another one.
        let idle = self.state.pending().is_none() && self.state.open_mint.is_none();
        (idle && live >= max_live as usize).then(|| {
            let cause = format!("{live} of our tokens are alive, max-live is {max_live}");
            self.condition(IncidentKind::MintCapped, since, cause)
        })
    }

    fn rotation_overdue(&self, since: DateTime<Utc>) -> Condition {
        let failures = self.state.lanes.values();
        // The most recent failure is the likeliest cause.
        let cause = match failures.max_by_key(|failure| failure.last) {
            Some(failure) => failure.error.clone(),
            None => "the rotation is not finished".to_owned(),
        };
        self.condition(IncidentKind::RotationOverdue, since, cause)
    }

    /// Tokens that wait for their deletion, with when each may be deleted.
    fn due_retirements(&self) -> impl Iterator<Item = (DateTime<Utc>, String)> {
        let own = self.state.previous().filter_map(|generation| {
            let name = format!("generation {}", generation.number);
            Some((retires_after(self.policy, generation)?, name))
        });
        let adopted = self.state.adopted(self.policy.retention.foreign);
        let adopted = adopted.filter_map(|(fingerprint, token)| {
            let name = format!("the adopted token {}", fingerprint.short());
            let held_by = token.adoption.iter().flat_map(|adoption| &adoption.held_by);
            let places = held_by.map(String::as_str).collect::<Vec<_>>().join(", ");
            let name = if places.is_empty() {
                name
            } else {
                format!("{name}, which is in {places},")
            };
            Some((adopted_retires_after(self.policy, token)?, name))
        });
        own.chain(adopted)
    }

    fn retirement_overdue(&self, since: DateTime<Utc>, token: &str) -> Condition {
        let cause = match self.state.lanes.get(&BackoffKey::Retirement) {
            Some(failure) => failure.error.clone(),
            None => format!("{token} is still alive: see `plan`"),
        };
        self.condition(IncidentKind::RetirementOverdue, since, cause)
    }

    fn still_works(&self) -> String {
        // A token that no sink was proved to hold is valid, but no reader has it yet.
        let served = self
            .state
            .sinks
            .values()
            .any(|record| record.proved.is_some());
        match (self.state.current(), &self.state.token_lost) {
            (Some(current), _) if served => {
                let number = current.number;
                format!("generation {number} stays valid in its sinks; IVR flows are not affected")
            }
            (Some(current), _) => format!("generation {} is valid", current.number),
            (None, Some(_)) => {
                "nothing: what the sinks hold no longer works, and readers get errors until a new \
                 token is there"
                    .to_owned()
            }
            (None, None) => {
                "there is no token yet; nothing that worked before was changed".to_owned()
            }
        }
    }

    fn sink_still_works(&self, record: &SinkRecord) -> String {
        let held = record
            .proved
            .and_then(|(number, _)| self.state.generations.get(&number));
        match held {
            Some(held) if held.is_alive() => format!(
                "generation {} was delivered there before, stays valid, and is not deleted; IVR \
                 flows are not affected",
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
