//! Each check, made to fail: a check that passes whatever happened is worth nothing.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::super::facts::{AccountFacts, TokenFact};
use super::super::leaks::LeakReport;
use super::super::reader::Tally;
use super::super::stage::{ACCOUNTS, CONFIG, DemoLogin, ENV_FILE, SINKS};
use super::*;
use crate::reconcile::Recorded;
use rotator_core::event::{DeliveryReceipt, Event, GenerationNo, MintSource, Outcome, RetiredBy};
use rotator_core::secret::Fingerprint;
use rotator_simulator::receiver::{ReceivedDelivery, Signature};
use rotator_simulator::{AuthKind, Call, CallRecord, DeletedBy, Fault, FlowRecord, MintedBy};

const GENERATIONS: u64 = 5;

fn at(seconds: u64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + i64::try_from(seconds).unwrap(), 0).unwrap()
}

fn text(account: &str, number: u64) -> String {
    format!("aws80:{account}-{number}")
}

fn token(account: &str, number: u64) -> Fingerprint {
    Fingerprint::of(text(account, number).as_bytes())
}

/// An account in whose life generation 3 is special.
fn account(number: usize, special: impl Fn(&mut AccountFacts, u64)) -> AccountFacts {
    let (name, sinks) = (ACCOUNTS[number], SINKS[number]);
    let (way, logins): (_, &[Call]) = match number {
        0 => (DemoLogin::Password, &[Call::Login]),
        _ => (DemoLogin::RingEx, &[Call::RingexToken, Call::RingexLogin]),
    };
    let flow = sinks.contains(&CONFIG).then(|| FlowRecord {
        calls: 1_000,
        keys: (1..=GENERATIONS)
            .map(|number| token(name, number))
            .collect(),
        ..FlowRecord::default()
    });
    let foreign = TokenFact {
        fingerprint: token(name, 99),
        minted_by: MintedBy::Foreign,
        deleted: None,
    };
    let mut facts = AccountFacts {
        name,
        trail: Vec::new(),
        tokens: vec![foreign],
        calls: logins
            .iter()
            .map(|login| call(*login, token(name, 0)))
            .collect(),
        way,
        sinks,
        flow,
        deliveries: Vec::new(),
        tally: Tally {
            good: 1_000,
            ..Tally::default()
        },
        held: vec![Some(token(name, GENERATIONS)); sinks.len()],
        env_file_kept: name != ACCOUNTS[0],
    };
    for number in 1..=GENERATIONS {
        rotate(&mut facts, number, &special);
    }
    facts
}

fn rotate(facts: &mut AccountFacts, number: u64, special: &impl Fn(&mut AccountFacts, u64)) {
    let (generation, fingerprint) = (GenerationNo(number), token(facts.name, number));
    let begun = number * 10;
    push(
        facts,
        begun,
        Event::MintIntended {
            generation,
            baseline: BTreeSet::new(),
        },
    );
    facts.calls.push(call(Call::Mint, fingerprint));
    push(
        facts,
        begun,
        Event::Minted {
            generation,
            fingerprint,
            how: MintSource::Answered,
        },
    );
    facts.tokens.push(TokenFact {
        fingerprint,
        minted_by: MintedBy::Api,
        deleted: None,
    });
    facts.tally.tokens.insert(fingerprint);
    special(facts, number);
    push(facts, begun + 1, Event::Verified { generation });
    for sink in facts.sinks {
        push(
            facts,
            begun + 1,
            Event::Delivered {
                sink: (*sink).to_owned(),
                generation,
                taken: DeliveryReceipt::default(),
            },
        );
        push(
            facts,
            begun + 1,
            Event::Proved {
                sink: (*sink).to_owned(),
                generation,
            },
        );
    }
    facts.deliveries.push(delivery(facts.name, number, 200));
    push(facts, begun + 1, Event::Promoted { generation });
    if number > 1 {
        let old = token(facts.name, number - 1);
        facts.calls.push(call(Call::Delete, old));
        let gone = facts
            .tokens
            .iter_mut()
            .find(|token| token.fingerprint == old)
            .unwrap();
        gone.deleted = Some((at(begun + 4), Some(DeletedBy::Api)));
        let generation = Some(GenerationNo(number - 1));
        push(
            facts,
            begun + 5,
            Event::Retired {
                fingerprint: old,
                generation,
                by: RetiredBy::Us,
            },
        );
    }
}

fn push(facts: &mut AccountFacts, seconds: u64, event: Event) {
    let seq = facts.trail.len() as u64 + 1;
    facts.trail.push(Recorded {
        seq,
        at: at(seconds),
        reading: None,
        event,
    });
}

fn call(call: Call, subject: Fingerprint) -> CallRecord {
    let (user, auth, with) = (None, AuthKind::Bearer, None);
    CallRecord {
        at: at(0),
        call,
        user,
        auth,
        with,
        subject: Some(subject),
        status: Some(200),
        fault: None,
        effect: true,
    }
}

fn delivery(account: &str, number: u64, status: u16) -> ReceivedDelivery {
    let body = json!({ "data": { "token": text(account, number) } });
    ReceivedDelivery {
        at: at(number * 10),
        method: "POST".to_owned(),
        target: "/hook".to_owned(),
        headers: vec![("webhook-id".to_owned(), format!("msg-{account}-{number}"))],
        body: body.to_string().into_bytes(),
        signature: Signature::Valid,
        status: Some(status),
    }
}

/// A story that went as it should.
fn good() -> DemoFacts {
    let sales = account(0, |facts, number| {
        let sink = ENV_FILE.to_owned();
        if number == 3 {
            let Event::Minted { how, .. } = &mut facts.trail.last_mut().unwrap().event else {
                panic!()
            };
            *how = MintSource::Recovered;
            facts.calls.last_mut().unwrap().fault = Some(Fault::LostAnswer);
        } else if number == 4 {
            let generation = GenerationNo(3);
            push(
                facts,
                40,
                Event::Drifted {
                    sink: sink.clone(),
                    generation,
                    found: "nothing".to_owned(),
                },
            );
            push(facts, 40, Event::Proved { sink, generation });
        }
    });
    let support = account(1, |facts, number| {
        if number == 3 {
            let (sink, generation) = (WEBHOOK.to_owned(), GenerationNo(3));
            let outcome = Outcome::NotDone;
            push(
                facts,
                30,
                Event::DeliveryFailed {
                    sink,
                    generation,
                    outcome,
                    parked: false,
                    note: None,
                },
            );
            facts.deliveries.push(delivery(ACCOUNTS[1], 3, 500));
        }
    });
    let incidents = [
        "sales-ivr: no token could be minted",
        "support-ivr: sink crm failed",
    ];
    let both =
        |incident: &&str| ["(FIRING)", "(RESOLVED)"].map(|state| format!("{incident} {state}"));
    DemoFacts {
        accounts: vec![sales, support],
        mails: incidents.iter().flat_map(both).collect(),
        leaks: LeakReport {
            secrets: 20,
            places: 10,
            found: Vec::new(),
            control: (9, 9),
        },
        journal: Ok(100),
        status: Some(ExitStatus::from_raw(0)),
        stopping: Duration::from_millis(20),
        socket_gone: true,
        overlap: TimeDelta::seconds(2),
    }
}

fn failed(facts: &DemoFacts) -> Vec<&'static str> {
    all(facts)
        .into_iter()
        .filter(|check| !check.passed)
        .map(|check| check.what)
        .collect()
}

/// With this done to the facts, this check fails and, but for `also`, no other.
#[track_caller]
fn fails(what: &'static str, also: &[&'static str], spoil: impl FnOnce(&mut DemoFacts)) {
    let mut facts = good();
    spoil(&mut facts);
    let failed = failed(&facts);
    assert!(failed.contains(&what), "{what} passed; failed: {failed:?}");
    assert!(
        failed
            .iter()
            .all(|check| *check == what || also.contains(check)),
        "{failed:?}"
    );
}

fn cut(facts: &mut DemoFacts, account: usize, what: impl Fn(&Event) -> bool) {
    facts.accounts[account]
        .trail
        .retain(|recorded| !what(&recorded.event));
}

const ROTATED: &str = "Rotated through every sink";
const FLOW: &str = "No caller of the IVR flow was turned away";
const OUTAGE: &str = "The failing webhook harmed nothing";
const RETIRED: &str = "Old tokens are gone";
const WEBHOOKS: &str = "Webhooks can be believed";
const LOST: &str = "The lost mint was recovered";
const SINKS_SERVE: &str = "Every sink serves what it should";

#[test]
fn a_good_story_passes_every_check() {
    assert_eq!(failed(&good()), Vec::<&str>::new());
}

#[test]
fn a_rotation_past_a_sink_is_found() {
    for sink in SINKS[1] {
        let proof = |event: &Event| matches!(event, Event::Proved { sink: proved, generation: GenerationNo(2) } if proved == sink);
        fails(ROTATED, &[], |facts| cut(facts, 1, proof));
    }
    fails(ROTATED, &[], |facts| facts.accounts[0].tally.tokens.clear());
    fails(ROTATED, &[], |facts| {
        facts.accounts[0].deliveries[1].status = Some(503)
    });
    fails(ROTATED, &[FLOW], |facts| {
        flow(facts).keys.retain(|key| *key != token(ACCOUNTS[1], 2))
    });
    fails(
        ROTATED,
        &[RETIRED, OUTAGE, LOST, SINKS_SERVE, FLOW],
        |facts| {
            cut(
                facts,
                1,
                |event| matches!(event, Event::Promoted { generation } if generation.0 > 3),
            );
        },
    );
}

#[test]
fn a_bad_read_is_found() {
    let what = "No reader ever got a bad token";
    fails(what, &[], |facts| facts.accounts[1].tally.bad = 1);
    fails(what, &[], |facts| facts.accounts[1].tally.good = 0);
}

fn flow(facts: &mut DemoFacts) -> &mut FlowRecord {
    facts.accounts[1].flow.as_mut().unwrap()
}

#[test]
fn a_caller_who_was_turned_away_is_found() {
    fails(FLOW, &[], |facts| flow(facts).failed = 1);
    fails(FLOW, &[], |facts| flow(facts).calls = 99);
    fails(FLOW, &[], |facts| {
        flow(facts).keys.insert(1, token("pasted", 1))
    });
    fails(FLOW, &[], |facts| flow(facts).keys.swap(1, 2));
    fails(FLOW, &[], |facts| facts.accounts[1].flow = None);
}

#[test]
fn a_login_by_another_way_is_found() {
    let what = "Logged in as the policy says";
    for (number, login) in [
        (0, Call::RingexToken),
        (0, Call::RingexLogin),
        (1, Call::Login),
        (1, Call::RingexToken),
    ] {
        let more = |facts: &mut DemoFacts| {
            facts.accounts[number]
                .calls
                .push(call(login, token("any", 0)))
        };
        fails(what, &[], more);
    }
    for (number, login) in [
        (0, Call::Login),
        (1, Call::RingexToken),
        (1, Call::RingexLogin),
    ] {
        fails(what, &[], |facts| {
            facts.accounts[number]
                .calls
                .retain(|record| record.call != login)
        });
    }
}

#[test]
fn a_token_too_many_is_found() {
    let what = "No token too many";
    let stray = TokenFact {
        fingerprint: token("stray", 1),
        minted_by: MintedBy::Api,
        deleted: None,
    };
    fails(what, &[RETIRED], |facts| {
        facts.accounts[0].tokens.push(stray)
    });
    fails(what, &[], |facts| {
        facts.accounts[1]
            .calls
            .push(call(Call::Mint, token("stray", 2)))
    });
}

#[test]
fn a_lost_mint_that_was_not_recovered_is_found() {
    fails(LOST, &[], |facts| {
        let minted = facts.accounts[0]
            .trail
            .iter_mut()
            .map(|recorded| &mut recorded.event);
        for event in minted {
            if let Event::Minted { how, .. } = event {
                *how = MintSource::Answered;
            }
        }
    });
    fails(LOST, &[], |facts| {
        facts.accounts[0]
            .calls
            .iter_mut()
            .for_each(|record| record.fault = None)
    });
}

#[test]
fn harm_by_the_failing_webhook_is_found() {
    fails(OUTAGE, &[], |facts| {
        cut(facts, 1, |event| {
            matches!(event, Event::DeliveryFailed { .. })
        })
    });
    fails(OUTAGE, &[], |facts| {
        let trail = &mut facts.accounts[1].trail;
        let failed = trail
            .iter()
            .position(|recorded| matches!(recorded.event, Event::DeliveryFailed { .. }))
            .unwrap();
        let mint = Event::MintIntended {
            generation: GenerationNo(3),
            baseline: BTreeSet::new(),
        };
        let again = Recorded {
            event: mint,
            ..trail[failed].clone()
        };
        trail.insert(failed + 1, again);
    });
    fails(OUTAGE, &[WEBHOOKS], |facts| {
        let refused = facts.accounts[1]
            .deliveries
            .iter_mut()
            .find(|delivery| delivery.status == Some(500))
            .unwrap();
        refused.headers[0].1 = "another".to_owned();
    });
    fails(OUTAGE, &[RETIRED], |facts| {
        facts.accounts[1].tokens[2].deleted = Some((at(30), Some(DeletedBy::Api)));
    });
}

#[test]
fn a_mail_too_many_or_too_few_is_found() {
    let what = "One mail when it fails, one when it is over";
    fails(what, &[], |facts| {
        facts
            .mails
            .push("support-ivr: sink crm failed (FIRING)".to_owned())
    });
    fails(what, &[], |facts| drop(facts.mails.pop()));
    fails(what, &[], |facts| facts.mails.reverse());
    fails(what, &[], |facts| facts.mails.truncate(2));
}

#[test]
fn an_old_token_that_stayed_or_went_too_soon_is_found() {
    let token = |facts: &mut DemoFacts, deleted| facts.accounts[0].tokens[2].deleted = deleted;
    fails(RETIRED, &[], |facts| {
        token(facts, Some((at(32), Some(DeletedBy::Api))))
    });
    fails(RETIRED, &[], |facts| {
        token(facts, Some((at(34), Some(DeletedBy::Foreign))))
    });
    fails(RETIRED, &[], |facts| {
        cut(facts, 0, |event| matches!(event, Event::Retired { .. }))
    });
    fails(RETIRED, &[], |facts| {
        facts.accounts[0]
            .tokens
            .iter_mut()
            .skip(3)
            .for_each(|token| token.deleted = None);
    });
    fails(RETIRED, &[SINKS_SERVE], |facts| {
        let current = facts.accounts[0].tokens.last_mut().unwrap();
        current.deleted = Some((at(60), Some(DeletedBy::Api)));
    });
}

#[test]
fn a_hand_on_somebody_elses_token_is_found() {
    let what = "Tokens of others were left alone";
    fails(what, &[], |facts| {
        facts.accounts[0].tokens[0].deleted = Some((at(1), None))
    });
    fails(what, &[], |facts| {
        let foreign = facts.accounts[0].tokens[0].fingerprint;
        facts.accounts[0].calls.push(call(Call::Delete, foreign));
    });
}

#[test]
fn a_webhook_that_cannot_be_believed_is_found() {
    fails(WEBHOOKS, &[], |facts| {
        facts.accounts[0].deliveries[0].signature = Signature::Stale
    });
    fails(WEBHOOKS, &[], |facts| {
        facts.accounts[0].deliveries[0].headers.clear()
    });
    fails(WEBHOOKS, &[], |facts| {
        let id = facts.accounts[0].deliveries[1].headers.clone();
        facts.accounts[0].deliveries[0].headers = id;
    });
}

#[test]
fn a_sink_without_its_token_is_found() {
    let what = "The deleted file came back";
    fails(what, &[], |facts| {
        cut(facts, 0, |event| matches!(event, Event::Drifted { .. }))
    });
    for index in 0..SINKS[1].len() {
        fails(SINKS_SERVE, &[], |facts| {
            facts.accounts[1].held[index] = Some(token(ACCOUNTS[1], 4))
        });
        fails(SINKS_SERVE, &[], |facts| {
            facts.accounts[1].held[index] = None
        });
    }
    fails(SINKS_SERVE, &[], |facts| {
        facts.accounts[1].env_file_kept = false
    });
}

#[test]
fn a_leak_a_torn_journal_and_a_bad_end_are_found() {
    let secrets = "No secret is where it should not be";
    fails(secrets, &[], |facts| {
        facts.leaks.found.push("daemon.log".to_owned())
    });
    fails(secrets, &[], |facts| facts.leaks.control = (9, 8));
    fails("The journal is whole", &[], |facts| {
        facts.journal = Err("row 7".to_owned())
    });
    let ended = "The daemon ended cleanly";
    fails(ended, &[], |facts| facts.status = None);
    fails(ended, &[], |facts| {
        facts.status = Some(ExitStatus::from_raw(9))
    });
    fails(ended, &[], |facts| facts.socket_gone = false);
}
