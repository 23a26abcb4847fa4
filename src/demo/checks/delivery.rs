//! Checks of what reached the consumers of tokens: what was read, what was sent, what each sink
//! holds.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::super::facts::{AccountFacts, DemoFacts, TokenFact, carried, was_taken};
use super::super::stage::WEBHOOK;
use super::super::timeline::grouped;
use super::{Check, ROTATIONS};
use crate::reconcile::Recorded;
use rotator_core::account::Generation;
use rotator_core::event::{Event, GenerationNo};
use rotator_core::secret::Fingerprint;
use rotator_simulator::receiver::{ReceivedDelivery, Signature};

pub(super) fn reads(facts: &DemoFacts) -> Check {
    let good: u64 = facts
        .accounts
        .iter()
        .map(|account| account.tally.good)
        .sum();
    let bad: u64 = facts.accounts.iter().map(|account| account.tally.bad).sum();
    // Without a good read of each account, no bad one would say nothing.
    let each = facts.accounts.iter().all(|account| account.tally.good > 0);
    let why = facts
        .accounts
        .iter()
        .find_map(|account| account.tally.first_bad.clone());
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    let found = format!(
        "{} reads of the token files gave a whole token that worked, {bad} did not{why}",
        grouped(good)
    );
    Check {
        what: "No reader ever got a bad token",
        passed: each && bad == 0,
        found,
    }
}

/// A flow calls with what is configured inside RingCX, whatever that is: each token was there in
/// its turn, none twice, and no caller was turned away.
pub(super) fn flow(facts: &DemoFacts) -> Check {
    let what = "No caller of the IVR flow was turned away";
    let Some((account, flow)) = facts
        .accounts
        .iter()
        .find_map(|account| Some((account, account.flow.as_ref()?)))
    else {
        return Check {
            what,
            passed: false,
            found: "the flow never got a key that worked".to_owned(),
        };
    };
    let promoted = account.promoted().into_iter();
    let promoted = promoted.filter_map(|number| account.fingerprint(number));
    let promoted: Vec<Fingerprint> = promoted.collect();
    let found = format!(
        "{} calls with the key that the auth config inside RingCX held just then, {} keys in turn; \
         {} refused",
        grouped(flow.calls),
        flow.keys.len(),
        flow.failed,
    );
    // At 50 calls a second a flow that ran all the time has many more.
    let passed = flow.calls >= 100
        && flow.failed == 0
        // In the order of the journal, so a key that came back or was left out fails too.
        && flow.keys == promoted
        && promoted.len() > ROTATIONS;
    Check {
        what,
        passed,
        found,
    }
}

/// The time in which a webhook failed: from the first delivery that was refused to the promotion of
/// the token that it carried.
struct Outage<'a> {
    account: &'a AccountFacts,
    /// The generation that waited for the webhook.
    waiting: GenerationNo,
    /// What was recorded in that time.
    trail: &'a [Recorded],
    ended_at: DateTime<Utc>,
}

impl<'a> Outage<'a> {
    /// The one outage there should have been, or what there was instead.
    fn find(facts: &'a DemoFacts) -> Result<Self, &'static str> {
        // The first failed delivery of an account has to be the webhook's; the story breaks no
        // other sink.
        let failed = facts.accounts.iter().find_map(|account| {
            let first = account
                .trail
                .iter()
                .position(|recorded| matches!(recorded.event, Event::DeliveryFailed { .. }))?;
            let Event::DeliveryFailed {
                sink, generation, ..
            } = &account.trail[first].event
            else {
                return None;
            };
            (sink == WEBHOOK).then_some((account, &account.trail[first..], *generation))
        });
        let (account, after, waiting) = failed.ok_or("no delivery failed")?;
        let promoted = Event::Promoted {
            generation: waiting,
        };
        let end = after.iter().position(|recorded| recorded.event == promoted);
        let end = end.ok_or("the token that waited was never promoted")?;
        Ok(Self {
            account,
            waiting,
            trail: &after[..end],
            ended_at: after[end].at,
        })
    }

    /// How many tokens were minted while one waited: none should have been.
    fn minted(&self) -> usize {
        let mint = |recorded: &&Recorded| matches!(recorded.event, Event::MintIntended { .. });
        self.trail.iter().filter(mint).count()
    }

    /// The generation before, and whether its token worked until the outage was over.
    fn predecessor(&self) -> (GenerationNo, bool) {
        let state = self.account.state();
        let mut older = state.generations.values();
        let Some(before) = older.rfind(|older| older.number < self.waiting) else {
            return (GenerationNo(0), false);
        };
        // From RingCX's own record, and not from the journal, which might be wrong in the same way.
        let deleted = token_of(self.account, before).and_then(|token| token.deleted);
        let alive = deleted.is_none_or(|(at, _)| at > self.ended_at);
        (before.number, alive)
    }
}

pub(super) fn outage(facts: &DemoFacts) -> Check {
    let what = "The failing webhook harmed nothing";
    let outage = match Outage::find(facts) {
        Ok(outage) => outage,
        Err(found) => {
            return Check {
                what,
                passed: false,
                found: found.to_owned(),
            };
        }
    };
    let token = outage.account.fingerprint(outage.waiting);
    let deliveries = &outage.account.deliveries;
    let tries: Vec<&ReceivedDelivery> = deliveries
        .iter()
        .filter(|delivery| carried(delivery) == token)
        .collect();
    let failed = |delivery: &&ReceivedDelivery| delivery.status == Some(500);
    let refused = tries.iter().copied().filter(failed).count();
    let refused_others = deliveries.iter().filter(failed).count() - refused;
    let taken = tries.iter().filter(|delivery| was_taken(delivery)).count();
    // All tries of one token have one id, so that a receiver can recognize a repetition.
    let ids: BTreeSet<Option<&str>> = tries.iter().map(|delivery| delivery.id()).collect();
    let minted = outage.minted();
    let (before, alive) = outage.predecessor();
    let passed =
        refused > 0 && taken == 1 && ids.len() == 1 && refused_others == 0 && minted == 0 && alive;
    let before_worked = if alive {
        "worked all along"
    } else {
        "did not last that long"
    };
    let found = format!(
        "refused {refused} times, then taken: the same token under the same webhook-id; {minted} \
         minted meanwhile; generation {before} {before_worked}"
    );
    Check {
        what,
        passed,
        found,
    }
}

pub(super) fn webhooks(facts: &DemoFacts) -> Check {
    let deliveries: Vec<&ReceivedDelivery> = facts
        .accounts
        .iter()
        .flat_map(|account| &account.deliveries)
        .collect();
    let valid = deliveries
        .iter()
        .filter(|delivery| delivery.signature == Signature::Valid)
        .count();
    let pairs: BTreeSet<(Option<&str>, Option<Fingerprint>)> = deliveries
        .iter()
        .map(|delivery| (delivery.id(), carried(delivery)))
        .collect();
    let ids: BTreeSet<Option<&str>> = pairs.iter().map(|(id, _)| *id).collect();
    let tokens: BTreeSet<Option<Fingerprint>> = pairs.iter().map(|(_, token)| *token).collect();
    // As many ids as tokens: neither two tokens under one id nor one token under two.
    let one_to_one = ids.len() == pairs.len() && tokens.len() == pairs.len();
    let whole = !ids.contains(&None) && !tokens.contains(&None);
    let passed = !deliveries.is_empty() && valid == deliveries.len() && one_to_one && whole;
    let found = format!(
        "{valid} of {} signatures valid; {} ids for {} tokens",
        deliveries.len(),
        ids.len(),
        tokens.len(),
    );
    Check {
        what: "Webhooks can be believed",
        passed,
        found,
    }
}

pub(super) fn drift(facts: &DemoFacts) -> Check {
    let mut repaired = Vec::new();
    let mut drifts = 0;
    for account in &facts.accounts {
        for (index, recorded) in account.trail.iter().enumerate() {
            let Event::Drifted { sink, .. } = &recorded.event else {
                continue;
            };
            drifts += 1;
            let is_repair = |later: &&Recorded| matches!(&later.event, Event::Proved { sink: proved, .. } if proved == sink);
            // The first proof after the drift; earlier ones are of the file before it was deleted.
            let repair = account.trail[index..].iter().find(is_repair);
            repaired.extend(repair.map(|repair| (repair.at - recorded.at).num_milliseconds()));
        }
    }
    let passed = drifts == 1 && repaired.len() == 1;
    let took = repaired
        .first()
        .map_or("never".to_owned(), |took| format!("within {took} ms"));
    let found = format!("{drifts} file found missing, and written again {took} of that");
    Check {
        what: "The deleted file came back",
        passed,
        found,
    }
}

pub(super) fn sinks(facts: &DemoFacts) -> Check {
    let (mut all, mut serving, mut kept) = (0, 0, 0);
    for account in &facts.accounts {
        let current = account.state().current().map(|current| current.fingerprint);
        let alive = account
            .own()
            .find(|token| Some(token.fingerprint) == current && token.deleted.is_none());
        all += account.held.len();
        serving += account
            .held
            .iter()
            // Two missing values are equal too, so the sink must hold something.
            .filter(|held| held.is_some() && **held == alive.map(|token| token.fingerprint))
            .count();
        kept += usize::from(account.env_file_kept);
    }
    // The other env-file is the one that was deleted, with all that was in it.
    let expected: usize = facts
        .accounts
        .iter()
        .map(|account| account.sinks.len())
        .sum();
    let passed = all == expected && serving == all && kept + 1 == facts.accounts.len();
    let found = format!(
        "{serving} of {all} hold their account's current token, which works; in the env-file \
         that nobody deleted every other byte is as it was",
    );
    let found = if kept == 0 {
        format!("{found}: it is not")
    } else {
        found
    };
    Check {
        what: "Every sink serves what it should",
        passed,
        found,
    }
}

fn token_of<'a>(account: &'a AccountFacts, generation: &Generation) -> Option<&'a TokenFact> {
    account
        .tokens
        .iter()
        .find(|token| token.fingerprint == generation.fingerprint)
}
