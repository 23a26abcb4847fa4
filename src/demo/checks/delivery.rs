//! What reached those who use tokens: what was read, what was sent, what each sink holds.

use std::collections::BTreeSet;

use super::super::facts::{AccountFacts, DemoFacts, TokenFact};
use super::super::stage::WEBHOOK;
use super::super::timeline::grouped;
use super::tokens::promoted;
use super::{Check, ROTATIONS, fingerprint};
use rotator_core::account::Generation;
use rotator_core::event::Event;
use rotator_core::secret::Fingerprint;
use rotator_simulator::receiver::{ReceivedDelivery, Signature};

pub(super) fn reads(facts: &DemoFacts) -> Check {
    let good: u64 = facts
        .accounts
        .iter()
        .map(|account| account.tally.good)
        .sum();
    let bad: u64 = facts.accounts.iter().map(|account| account.tally.bad).sum();
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
        .find_map(|it| Some((it, it.flow.as_ref()?)))
    else {
        return Check {
            what,
            passed: false,
            found: "the flow never got a key that worked".to_owned(),
        };
    };
    let promoted = promoted(account)
        .into_iter()
        .filter_map(|number| fingerprint(account, number));
    let promoted: Vec<Fingerprint> = promoted.collect();
    let found = format!(
        "{} calls with the key that the auth config inside RingCX held just then, {} keys in turn; {} refused",
        grouped(flow.calls),
        flow.keys.len(),
        flow.failed,
    );
    let passed = flow.calls >= 100
        && flow.failed == 0
        && flow.keys == promoted
        && promoted.len() > ROTATIONS;
    Check {
        what,
        passed,
        found,
    }
}

/// The first delivery that was refused is the beginning of the outage, its token's promotion the
/// end.
pub(super) fn outage(facts: &DemoFacts) -> Check {
    let what = "The failing webhook harmed nothing";
    let none = |why: &str| Check {
        what,
        passed: false,
        found: why.to_owned(),
    };
    let failed = facts.accounts.iter().find_map(|account| {
        let began = account
            .trail
            .iter()
            .position(|it| matches!(it.event, Event::DeliveryFailed { .. }))?;
        let Event::DeliveryFailed {
            sink, generation, ..
        } = &account.trail[began].event
        else {
            return None;
        };
        (sink == WEBHOOK).then_some((account, began, *generation))
    });
    let Some((account, began, number)) = failed else {
        return none("no delivery failed");
    };
    let after = &account.trail[began..];
    let end = after
        .iter()
        .position(|it| it.event == Event::Promoted { generation: number });
    let Some(end) = end else {
        return none("the token that waited was never promoted");
    };
    let minted = after[..end]
        .iter()
        .filter(|it| matches!(it.event, Event::MintIntended { .. }))
        .count();

    let token = fingerprint(account, number);
    let tries: Vec<&ReceivedDelivery> = account
        .deliveries
        .iter()
        .filter(|it| carried(it) == token)
        .collect();
    let refused = tries.iter().filter(|it| it.status == Some(500)).count();
    let taken = tries.iter().filter(|it| was_taken(it)).count();
    let ids: BTreeSet<Option<&str>> = tries.iter().map(|it| it.id()).collect();
    let others = account
        .deliveries
        .iter()
        .filter(|it| it.status == Some(500))
        .count()
        - refused;

    let before = account
        .state()
        .generations
        .values()
        .rfind(|it| it.number < number)
        .cloned();
    let ended_at = after[end].at;
    let alive = before.as_ref().is_some_and(|before| {
        let deleted = token_of(account, before).and_then(|token| token.deleted);
        deleted.is_none_or(|(at, _)| at > ended_at)
    });
    let passed = refused > 0 && taken == 1 && ids.len() == 1 && others == 0 && minted == 0 && alive;
    let found = format!(
        "refused {refused} times, then taken: the same token under the same webhook-id; {minted} minted \
         meanwhile; generation {} {}",
        before.map_or(0, |before| before.number.0),
        if alive {
            "worked all along"
        } else {
            "did not last that long"
        },
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
        .filter(|it| it.signature == Signature::Valid)
        .count();
    let pairs: BTreeSet<(Option<&str>, Option<Fingerprint>)> =
        deliveries.iter().map(|it| (it.id(), carried(it))).collect();
    let ids: BTreeSet<Option<&str>> = pairs.iter().map(|(id, _)| *id).collect();
    let tokens: BTreeSet<Option<Fingerprint>> = pairs.iter().map(|(_, token)| *token).collect();
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
        for (index, it) in account.trail.iter().enumerate() {
            let Event::Drifted { sink, .. } = &it.event else {
                continue;
            };
            drifts += 1;
            let again = account.trail[index..]
                .iter()
                .find(|later| matches!(&later.event, Event::Proved { sink: proved, .. } if proved == sink));
            repaired.extend(again.map(|again| (again.at - it.at).num_milliseconds()));
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
            .filter(|held| held.is_some() && **held == alive.map(|it| it.fingerprint))
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
        "{serving} of {all} hold their account's current token, which works; in the env-file that nobody \
         deleted every other byte is as it was",
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

pub(super) fn was_taken(delivery: &ReceivedDelivery) -> bool {
    delivery
        .status
        .is_some_and(|status| (200..300).contains(&status))
}

pub(super) fn carried(delivery: &ReceivedDelivery) -> Option<Fingerprint> {
    delivery
        .token()
        .map(|token| Fingerprint::of(token.as_bytes()))
}

fn token_of<'a>(account: &'a AccountFacts, generation: &Generation) -> Option<&'a TokenFact> {
    account
        .tokens
        .iter()
        .find(|token| token.fingerprint == generation.fingerprint)
}
