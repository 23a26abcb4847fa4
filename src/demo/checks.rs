//! What must be true at the end, each with the numbers that show it. Pure.
//!
//! Every check can fail, and its test makes it. Where two witnesses exist that do not know each other
//! (the journal and RingCX's record, the journal and the webhook's far end), both are asked.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::facts::{AccountFacts, Facts, TokenFact};
use super::stage::{SINKS, WEBHOOK};
use super::timeline::grouped;
use crate::account::Generation;
use crate::event::{Event, GenerationNo, Hand, Learnt};
use crate::secret::Fingerprint;
use crate::simulate::receiver::{Delivery, Signature};
use crate::simulate::{Call, DeletedBy, Fault};

#[cfg(test)]
mod tests;

/// Rotations that each account must have had, its first token left out.
const ROTATIONS: usize = 3;

/// One thing that was checked.
pub struct Check {
    /// In a few words.
    pub what: &'static str,
    /// Whether it is so.
    pub passed: bool,
    /// What was found.
    pub found: String,
}

/// Everything that must be true.
pub fn all(facts: &Facts) -> Vec<Check> {
    vec![
        rotations(facts),
        reads(facts),
        mints(facts),
        lost_mint(facts),
        outage(facts),
        mails(facts),
        retired(facts),
        foreign(facts),
        webhooks(facts),
        drift(facts),
        sinks(facts),
        secrets(facts),
        journal(facts),
        ending(facts),
    ]
}

/// Of each account's promotions, those that every sink, and every witness beside the journal, knew first.
fn rotations(facts: &Facts) -> Check {
    let mut passed = true;
    let mut found = Vec::new();
    for account in &facts.accounts {
        let promoted = promoted(account);
        let through = promoted.iter().filter(|number| went_through(account, **number)).count();
        let rotations = promoted.len().saturating_sub(1);
        passed &= through == promoted.len() && rotations >= ROTATIONS;
        found.push(format!("{}: {rotations} rotations", account.name));
        if through < promoted.len() {
            found.push(format!("{} tokens that not every sink had", promoted.len() - through));
        }
    }
    let found = format!("{}; each token in {} before it became current", list(&found), list(&SINKS));
    Check { what: "Rotated through every sink", passed, found }
}

fn promoted(account: &AccountFacts) -> Vec<GenerationNo> {
    let promoted = account.trail.iter().filter_map(|it| {
        let Event::Promoted { generation } = it.event else { return None };
        Some(generation)
    });
    promoted.collect()
}

fn went_through(account: &AccountFacts, number: GenerationNo) -> bool {
    let promoted = |event: &Event| matches!(event, Event::Promoted { generation } if *generation == number);
    let before: Vec<&Event> =
        account.trail.iter().map(|it| &it.event).take_while(|event| !promoted(event)).collect();
    let proved = |name: &str| {
        let proof = |event: &&Event| matches!(event, Event::Proved { sink, generation } if sink == name && *generation == number);
        before.iter().any(proof)
    };
    let Some(token) = fingerprint(account, number) else { return false };
    let read = account.tally.tokens.contains(&token);
    let taken = account.deliveries.iter().any(|it| was_taken(it) && carried(it) == Some(token));
    SINKS.iter().all(|sink| proved(sink)) && read && taken
}

fn reads(facts: &Facts) -> Check {
    let good: u64 = facts.accounts.iter().map(|account| account.tally.good).sum();
    let bad: u64 = facts.accounts.iter().map(|account| account.tally.bad).sum();
    let each = facts.accounts.iter().all(|account| account.tally.good > 0);
    let why = facts.accounts.iter().find_map(|account| account.tally.first_bad.clone());
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    let found = format!(
        "{} reads of the token files gave a whole token that worked, {bad} did not{why}",
        grouped(good)
    );
    Check { what: "No reader ever got a bad token", passed: each && bad == 0, found }
}

fn mints(facts: &Facts) -> Check {
    let mut passed = true;
    let mut found = Vec::new();
    for account in &facts.accounts {
        let known: BTreeSet<Fingerprint> = account.trail.iter().filter_map(minted).collect();
        let there: BTreeSet<Fingerprint> = account.own().map(|token| token.fingerprint).collect();
        let calls = account.calls.iter().filter(|it| it.call == Call::Mint && it.effect).count();
        passed &= known == there && calls == there.len() && !there.is_empty();
        found.push(format!("{}: {calls} mints at the server, {} generations", account.name, known.len()));
    }
    Check { what: "No token too many", passed, found: found.join("; ") }
}

fn minted(recorded: &crate::driver::Recorded) -> Option<Fingerprint> {
    let Event::Minted { fingerprint, .. } = recorded.event else { return None };
    Some(fingerprint)
}

fn lost_mint(facts: &Facts) -> Check {
    let lost: Vec<Fingerprint> = facts
        .accounts
        .iter()
        .flat_map(|account| &account.calls)
        .filter(|it| it.call == Call::Mint && it.fault == Some(Fault::LostAnswer) && it.effect)
        .filter_map(|it| it.subject)
        .collect();
    let recovered = facts.accounts.iter().flat_map(|account| {
        account.trail.iter().filter_map(move |it| {
            let Event::Minted { generation, fingerprint, how: Learnt::Recovered } = it.event else {
                return None;
            };
            Some((account, generation, fingerprint))
        })
    });
    let recovered: Vec<_> = recovered.collect();
    let fingerprints: Vec<Fingerprint> = recovered.iter().map(|(_, _, fingerprint)| *fingerprint).collect();
    let used = recovered.iter().filter(|(account, number, _)| promoted(account).contains(number)).count();
    let passed = lost.len() == 1 && fingerprints == lost && used == 1;
    let found = format!(
        "{} answer lost; {} token found on the list, the very one that was made; {used} put to use",
        lost.len(),
        recovered.len(),
    );
    Check { what: "The lost mint was recovered", passed, found }
}

/// The first delivery that was refused is the beginning of the outage, its token's promotion the end.
fn outage(facts: &Facts) -> Check {
    let what = "The failing webhook harmed nothing";
    let none = |why: &str| Check { what, passed: false, found: why.to_owned() };
    let failed = facts.accounts.iter().find_map(|account| {
        let began = account.trail.iter().position(|it| matches!(it.event, Event::DeliveryFailed { .. }))?;
        let Event::DeliveryFailed { sink, generation, .. } = &account.trail[began].event else { return None };
        (sink == WEBHOOK).then_some((account, began, *generation))
    });
    let Some((account, began, number)) = failed else { return none("no delivery failed") };
    let after = &account.trail[began..];
    let end = after.iter().position(|it| it.event == Event::Promoted { generation: number });
    let Some(end) = end else { return none("the token that waited was never promoted") };
    let minted = after[..end].iter().filter(|it| matches!(it.event, Event::MintIntended { .. })).count();

    let token = fingerprint(account, number);
    let tries: Vec<&Delivery> = account.deliveries.iter().filter(|it| carried(it) == token).collect();
    let refused = tries.iter().filter(|it| it.status == Some(500)).count();
    let taken = tries.iter().filter(|it| was_taken(it)).count();
    let ids: BTreeSet<Option<&str>> = tries.iter().map(|it| it.id()).collect();
    let others = account.deliveries.iter().filter(|it| it.status == Some(500)).count() - refused;

    let before = account.state().generations.values().rfind(|it| it.number < number).cloned();
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
        if alive { "worked all along" } else { "did not last that long" },
    );
    Check { what, passed, found }
}

/// Each incident is told of once, and its end once, in this order.
fn mails(facts: &Facts) -> Check {
    let mut told: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for subject in &facts.mails {
        let (incident, state) = subject.rsplit_once(' ').unwrap_or((subject, ""));
        told.entry(incident).or_default().push(state);
    }
    let webhook: Vec<_> = told.iter().filter(|(incident, _)| incident.contains(WEBHOOK)).collect();
    let states: Vec<&str> = webhook.iter().flat_map(|(_, states)| states.iter().copied()).collect();
    let count = |wanted| states.iter().filter(|state| **state == wanted).count();
    let once = told.values().all(|states| states == &["(FIRING)", "(RESOLVED)"]);
    let found = format!(
        "the failing webhook: {} FIRING, {} RESOLVED; the {} other incidents: {}",
        count("(FIRING)"),
        count("(RESOLVED)"),
        told.len() - webhook.len(),
        if once { "likewise".to_owned() } else { list(&facts.mails) },
    );
    Check { what: "One mail when it fails, one when it is over", passed: webhook.len() == 1 && once, found }
}

fn retired(facts: &Facts) -> Check {
    let mut passed = true;
    let (mut gone, mut left) = (0, Vec::new());
    let mut shortest: Option<TimeDelta> = None;
    for account in &facts.accounts {
        let state = account.state();
        let mut gone_here = 0;
        for token in account.own() {
            let generation = state.by_fingerprint(&token.fingerprint);
            let Some((deleted_at, by)) = token.deleted else { continue };
            gone_here += 1;
            let known = generation.is_some_and(|it| it.retired.is_some_and(|(_, hand)| hand == Hand::Us));
            let overlap = generation.and_then(|it| it.superseded_at).map(|at| deleted_at - at);
            passed &= known && by == Some(DeletedBy::Api) && overlap.is_some_and(|it| it >= facts.overlap);
            shortest = shortest.into_iter().chain(overlap).min();
        }
        let alive = account.own().filter(|token| token.deleted.is_none()).count();
        let current = account.own().find(|token| {
            let generation = state.by_fingerprint(&token.fingerprint);
            state.current().is_some() && generation == state.current()
        });
        passed &= gone_here >= ROTATIONS && alive <= 2 && current.is_some_and(|it| it.deleted.is_none());
        gone += gone_here;
        left.push(format!("{}: {alive} left", account.name));
    }
    let shortest = shortest.unwrap_or_default().num_milliseconds() as f64 / 1000.0;
    let found = format!(
        "{gone} old tokens are gone from the server, by our own hand, none sooner than {shortest:.1} s after \
         its successor was in place (policy: {} s); {}",
        facts.overlap.num_seconds(),
        list(&left),
    );
    Check { what: "Old tokens are gone", passed, found }
}

fn foreign(facts: &Facts) -> Check {
    let foreign: Vec<&TokenFact> = facts.accounts.iter().flat_map(AccountFacts::foreign).collect();
    let alive = foreign.iter().filter(|token| token.deleted.is_none()).count();
    let calls = facts.accounts.iter().flat_map(|account| &account.calls);
    let touched = calls
        .filter(|it| it.call == Call::Delete)
        .filter(|it| foreign.iter().any(|token| it.subject == Some(token.fingerprint)))
        .count();
    let passed = foreign.len() == facts.accounts.len() && alive == foreign.len() && touched == 0;
    let found = format!("{alive} of {} still work; {touched} attempts to delete one", foreign.len());
    Check { what: "Tokens of others were left alone", passed, found }
}

fn webhooks(facts: &Facts) -> Check {
    let deliveries: Vec<&Delivery> = facts.accounts.iter().flat_map(|account| &account.deliveries).collect();
    let valid = deliveries.iter().filter(|it| it.signature == Signature::Valid).count();
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
    Check { what: "Webhooks can be believed", passed, found }
}

fn drift(facts: &Facts) -> Check {
    let mut repaired = Vec::new();
    let mut drifts = 0;
    for account in &facts.accounts {
        for (index, it) in account.trail.iter().enumerate() {
            let Event::Drifted { sink, .. } = &it.event else { continue };
            drifts += 1;
            let again = account.trail[index..]
                .iter()
                .find(|later| matches!(&later.event, Event::Proved { sink: proved, .. } if proved == sink));
            repaired.extend(again.map(|again| (again.at - it.at).num_milliseconds()));
        }
    }
    let passed = drifts == 1 && repaired.len() == 1;
    let took = repaired.first().map_or("never".to_owned(), |took| format!("within {took} ms"));
    let found = format!("{drifts} file found missing, and written again {took} of that");
    Check { what: "The deleted file came back", passed, found }
}

fn sinks(facts: &Facts) -> Check {
    let (mut all, mut serving, mut kept) = (0, 0, 0);
    for account in &facts.accounts {
        let current = account.state().current().map(|current| current.fingerprint);
        let alive = account.own().find(|token| Some(token.fingerprint) == current && token.deleted.is_none());
        all += account.held.len();
        serving += account
            .held
            .iter()
            .filter(|held| held.is_some() && **held == alive.map(|it| it.fingerprint))
            .count();
        kept += usize::from(account.env_file_kept);
    }
    // The other env-file is the one that was deleted, with all that was in it.
    let passed =
        all == facts.accounts.len() * SINKS.len() && serving == all && kept + 1 == facts.accounts.len();
    let found = format!(
        "{serving} of {all} hold their account's current token, which works; in the env-file that nobody \
         deleted every other byte is as it was",
    );
    let found = if kept == 0 { format!("{found}: it is not") } else { found };
    Check { what: "Every sink serves what it should", passed, found }
}

fn secrets(facts: &Facts) -> Check {
    let report = &facts.leaks;
    let (there, seen) = report.control;
    let passed =
        report.found.is_empty() && report.secrets > 0 && report.places > 0 && there > 0 && there == seen;
    let found = format!(
        "{} tokens, passwords and keys looked for in {} files, mails and outputs: {} found (and {seen} of \
         {there} in the files where they belong)",
        report.secrets,
        report.places,
        report.found.len(),
    );
    let found = if report.found.is_empty() { found } else { format!("{found}: {}", list(&report.found)) };
    Check { what: "No secret is where it should not be", passed, found }
}

fn journal(facts: &Facts) -> Check {
    let (passed, found) = match &facts.journal {
        Ok(rows) => (*rows > 0, format!("its chain of hashes holds over all {rows} rows")),
        Err(error) => (false, error.clone()),
    };
    Check { what: "The journal is whole", passed, found }
}

fn ending(facts: &Facts) -> Check {
    let took = facts.stopping.as_millis();
    let (passed, found) = match facts.status {
        Some(status) if status.success() && facts.socket_gone => {
            (true, format!("{took} ms after SIGTERM, with exit code 0, its socket removed"))
        }
        Some(status) => (false, format!("{status}, {took} ms after SIGTERM")),
        None => (false, "it had to be killed".to_owned()),
    };
    Check { what: "The daemon ended cleanly", passed, found }
}

fn fingerprint(account: &AccountFacts, number: GenerationNo) -> Option<Fingerprint> {
    account.state().generations.get(&number).map(|it| it.fingerprint)
}

fn token_of<'a>(account: &'a AccountFacts, generation: &Generation) -> Option<&'a TokenFact> {
    account.tokens.iter().find(|token| token.fingerprint == generation.fingerprint)
}

fn was_taken(delivery: &Delivery) -> bool {
    delivery.status.is_some_and(|status| (200..300).contains(&status))
}

fn carried(delivery: &Delivery) -> Option<Fingerprint> {
    delivery.token().map(|token| Fingerprint::of(token.as_bytes()))
}

fn list(items: &[impl AsRef<str>]) -> String {
    items.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}
