//! Checks of the tokens themselves: how they were minted and deleted, and whose they were.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::super::facts::{AccountFacts, DemoFacts, TokenFact, carried, was_taken};
use super::super::stage::DemoLogin;
use super::{Check, ROTATIONS, list};
use crate::reconcile::Recorded;
use rotator_core::event::{Event, GenerationNo, MintSource, RetiredBy};
use rotator_core::secret::Fingerprint;
use rotator_simulator::{Call, DeletedBy, Fault};

/// Of each account's promotions, those that every sink, and every witness beside the journal, knew
/// first.
pub(super) fn rotations(facts: &DemoFacts) -> Check {
    let mut passed = true;
    let mut found = Vec::new();
    for account in &facts.accounts {
        let promoted = account.promoted();
        let through = promoted
            .iter()
            .filter(|number| went_through(account, **number))
            .count();
        let rotations = promoted.len().saturating_sub(1);
        passed &= through == promoted.len() && rotations >= ROTATIONS;
        found.push(format!("{}: {rotations} rotations", account.name));
        if through < promoted.len() {
            found.push(format!(
                "{} tokens that not every sink had",
                promoted.len() - through
            ));
        }
    }
    let sinks = facts
        .accounts
        .iter()
        .map(|account| account.sinks.len().to_string())
        .collect::<Vec<_>>();
    let found = format!(
        "{}; each token in all {} sinks of its account before it became current",
        list(&found),
        sinks.join(" and "),
    );
    Check {
        what: "Rotated through every sink",
        passed,
        found,
    }
}

fn went_through(account: &AccountFacts, number: GenerationNo) -> bool {
    let promoted =
        |event: &Event| matches!(event, Event::Promoted { generation } if *generation == number);
    let before: Vec<&Event> = account
        .trail
        .iter()
        .map(|recorded| &recorded.event)
        // Only what was recorded before the promotion: a proof that came later is too late.
        .take_while(|event| !promoted(event))
        .collect();
    let proved = |name: &str| {
        let proof = |event: &&Event| {
            matches!(event, Event::Proved { sink, generation }
                if sink == name && *generation == number)
        };
        before.iter().any(proof)
    };
    let Some(token) = account.fingerprint(number) else {
        return false;
    };
    // Three witnesses that do not know the journal: the reader, the webhook's far end, the flow.
    let read = account.tally.tokens.contains(&token);
    let taken = account
        .deliveries
        .iter()
        .any(|delivery| was_taken(delivery) && carried(delivery) == Some(token));
    let called = account
        .flow
        .as_ref()
        .is_none_or(|flow| flow.keys.contains(&token));
    account.sinks.iter().all(|sink| proved(sink)) && read && taken && called
}

/// Each account got in by the way its policy names, and RingEX was asked no oftener than it must
/// be.
pub(super) fn logins(facts: &DemoFacts) -> Check {
    let mut passed = true;
    let mut found = Vec::new();
    for account in &facts.accounts {
        let count = |wanted| {
            account
                .calls
                .iter()
                .filter(|record| record.call == wanted && record.effect)
                .count()
        };
        let [password, ringex, with_it] =
            [Call::Login, Call::RingexToken, Call::RingexLogin].map(count);
        // RingEX exactly once: an access token of an hour serves all logins of the demo.
        passed &= match account.way {
            DemoLogin::Password => password > 0 && ringex == 0 && with_it == 0,
            DemoLogin::RingEx => password == 0 && ringex == 1 && with_it > 0,
        };
        found.push(match account.way {
            DemoLogin::Password => format!("{}: {password} with a password", account.name),
            DemoLogin::RingEx => format!(
                "{}: {ringex} request to RingEX, {with_it} login to RingCX with what it gave, \
                 {password} with a password",
                account.name
            ),
        });
    }
    Check {
        what: "Logged in as the policy says",
        passed,
        found: found.join("; "),
    }
}

pub(super) fn mints(facts: &DemoFacts) -> Check {
    let mut passed = true;
    let mut found = Vec::new();
    for account in &facts.accounts {
        let known: BTreeSet<Fingerprint> = account.trail.iter().filter_map(minted).collect();
        let there: BTreeSet<Fingerprint> = account.own().map(|token| token.fingerprint).collect();
        let calls = account
            .calls
            .iter()
            .filter(|record| record.call == Call::Mint && record.effect)
            .count();
        // Server and journal have the same tokens, and no mint was repeated without need.
        passed &= known == there && calls == there.len() && !there.is_empty();
        found.push(format!(
            "{}: {calls} mints at the server, {} generations",
            account.name,
            known.len()
        ));
    }
    Check {
        what: "No token too many",
        passed,
        found: found.join("; "),
    }
}

fn minted(recorded: &Recorded) -> Option<Fingerprint> {
    let Event::Minted { fingerprint, .. } = recorded.event else {
        return None;
    };
    Some(fingerprint)
}

pub(super) fn lost_mint(facts: &DemoFacts) -> Check {
    let lost: Vec<Fingerprint> = facts
        .accounts
        .iter()
        .flat_map(|account| &account.calls)
        .filter(|record| {
            record.call == Call::Mint && record.fault == Some(Fault::LostAnswer) && record.effect
        })
        .filter_map(|record| record.subject)
        .collect();
    let recovered = facts.accounts.iter().flat_map(|account| {
        account.trail.iter().filter_map(move |recorded| {
            let Event::Minted {
                generation,
                fingerprint,
                how: MintSource::Recovered,
            } = recorded.event
            else {
                return None;
            };
            Some((account, generation, fingerprint))
        })
    });
    let recovered: Vec<_> = recovered.collect();
    let fingerprints: Vec<Fingerprint> = recovered
        .iter()
        .map(|(_, _, fingerprint)| *fingerprint)
        .collect();
    let used = recovered
        .iter()
        .filter(|(account, number, _)| account.promoted().contains(number))
        .count();
    // Compared by fingerprint: finding any token on the list would not be enough.
    let passed = lost.len() == 1 && fingerprints == lost && used == 1;
    let found = format!(
        "{} answer lost; {} token found on the list, the very one that was made; {used} put to use",
        lost.len(),
        recovered.len(),
    );
    Check {
        what: "The lost mint was recovered",
        passed,
        found,
    }
}

pub(super) fn retired(facts: &DemoFacts) -> Check {
    let mut passed = true;
    let (mut gone, mut left) = (0, Vec::new());
    let mut shortest: Option<TimeDelta> = None;
    for account in &facts.accounts {
        let state = account.state();
        let mut gone_here = 0;
        for token in account.own() {
            let generation = state.by_fingerprint(&token.fingerprint);
            let Some((deleted_at, by)) = token.deleted else {
                continue;
            };
            gone_here += 1;
            let known = generation.is_some_and(|generation| {
                generation
                    .retired
                    .is_some_and(|(_, hand)| hand == RetiredBy::Us)
            });
            let overlap = generation
                .and_then(|generation| generation.superseded_at)
                .map(|at| deleted_at - at);
            passed &= known
                && by == Some(DeletedBy::Api)
                && overlap.is_some_and(|overlap| overlap >= facts.overlap);
            shortest = shortest.into_iter().chain(overlap).min();
        }
        let alive = account
            .own()
            .filter(|token| token.deleted.is_none())
            .count();
        let current = account.own().find(|token| {
            let generation = state.by_fingerprint(&token.fingerprint);
            state.current().is_some() && generation == state.current()
        });
        passed &= gone_here >= ROTATIONS
            // The current one, and its predecessor whose overlap may not be over yet.
            && alive <= 2
            && current.is_some_and(|current| current.deleted.is_none());
        gone += gone_here;
        left.push(format!("{}: {alive} left", account.name));
    }
    let shortest = shortest.unwrap_or_default().num_milliseconds() as f64 / 1000.0;
    let found = format!(
        "{gone} old tokens are gone from the server, by our own hand, none sooner than \
         {shortest:.1} s after its successor was in place (policy: {} s); {}",
        facts.overlap.num_seconds(),
        list(&left),
    );
    Check {
        what: "Old tokens are gone",
        passed,
        found,
    }
}

pub(super) fn foreign(facts: &DemoFacts) -> Check {
    let foreign: Vec<&TokenFact> = facts
        .accounts
        .iter()
        .flat_map(AccountFacts::foreign)
        .collect();
    let alive = foreign
        .iter()
        .filter(|token| token.deleted.is_none())
        .count();
    let calls = facts.accounts.iter().flat_map(|account| &account.calls);
    let touched = calls
        .filter(|record| record.call == Call::Delete)
        .filter(|record| {
            foreign
                .iter()
                .any(|token| record.subject == Some(token.fingerprint))
        })
        .count();
    // One was made for each account before the start, so none at all is a failure too.
    let passed = foreign.len() == facts.accounts.len() && alive == foreign.len() && touched == 0;
    let found = format!(
        "{alive} of {} still work; {touched} attempts to delete one",
        foreign.len()
    );
    Check {
        what: "Tokens of others were left alone",
        passed,
        found,
    }
}
