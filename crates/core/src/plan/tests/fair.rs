//! What a fair continuation is: from some moment on nothing goes wrong any more, and an operator
//! does what incidents ask for, no more. From every state it must come to a healthy one, in bounded
//! time.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use super::world::{Broken, Fault, Invariant, Key, Maker, Says, World, broken};
use crate::config::AccountPolicy;
use crate::event::IncidentKind;
use crate::plan::{adopted_retires_after, retires_after, unacknowledged};
use crate::secret::Fingerprint;

/// More moves than it needs.
const MOST_MOVES: usize = 5000;

/// Faults are over: clocks are right, the server answers, sinks take tokens.
pub(crate) fn mend(world: &mut World) {
    world.tell(|| "(nothing goes wrong any more)".to_owned());
    world.out.server.down = false;
    world.out.server.page = None;
    let off = world.out.skew;
    world.set_clock(-off);
    for place in world.out.places.values_mut() {
        (place.refuses, place.unreadable, place.deaf) = (None, false, false);
    }
    world.out.flow.unreadable = false;
}

/// What someone who reads the incidents does. Whether there was anything to do.
fn heed_incidents(world: &mut World) -> Result<bool, Broken> {
    for incident in world.incidents() {
        match incident.kind {
            IncidentKind::LoginRejected if world.password != world.out.server.password => {
                world.tell(|| "(the operator tells the new password)".to_owned());
                world.password = world.out.server.password;
                return Ok(true);
            }
            IncidentKind::SinkFailed if incident.next_attempt_at.is_none() => {
                world.tell(|| "(the operator reloads, to try a parked sink again)".to_owned());
                world.reload(|_| {})?;
                return Ok(true);
            }
            IncidentKind::MintCapped => {
                world.tell(|| "(the operator raises max-live)".to_owned());
                world.reload(|policy| policy.retention.max_live += 2)?;
                return Ok(true);
            }
            IncidentKind::RetirementOverdue if world.out.flow.holds.is_some() => {
                world.tell(|| "(the operator gives the flow another token)".to_owned());
                world.mend_flow();
                return Ok(true);
            }
            IncidentKind::AcknowledgementLate => {
                let sink = incident.sink.unwrap_or_default();
                if acknowledges(world, &sink) {
                    world.tell(|| "(the operator sees to the consumer)".to_owned());
                    return Ok(true);
                }
            }
            _ => {}
        }
    }
    Ok(false)
}

/// The consumer of this sink says that it uses what is there. Whether it said something else
/// before.
fn acknowledges(world: &mut World, sink: &str) -> bool {
    let place = world.place(sink);
    let uses = place.holds.map(Says::Uses);
    let is_new = place.says != uses;
    if is_new {
        place.says = uses;
        world.wake();
    }
    is_new
}

/// What is done as life goes on: consumers say at once what they use, and incidents are heeded.
pub(crate) fn tend(world: &mut World) -> Result<bool, Broken> {
    let policy = Rc::clone(&world.policy);
    let silent = policy
        .sinks
        .iter()
        .filter(|sink| sink.acknowledge.is_some());
    let said = silent
        .filter(|sink| acknowledges(world, &sink.name))
        .count();
    Ok(heed_incidents(world)? || said > 0)
}

/// Why all is not well, if so: one current token that works, proved and served in every sink;
/// nothing of ours alive past the policy; no incident.
pub(crate) fn ailment(world: &World) -> Option<String> {
    let state = &world.state;
    let Some(current) = state.current() else {
        return Some("there is no current token".to_owned());
    };
    let alive = world.alive();
    if !alive.contains(&current.fingerprint) {
        return Some("the current token does not work".to_owned());
    }
    if state.pending().is_some() || state.open_mint.is_some() {
        return Some("a rotation is not finished".to_owned());
    }
    for sink in &world.policy.sinks {
        let proved = state.sinks.get(&sink.name).and_then(|record| record.proved);
        if world.held_by(&sink.name) != Some(current.fingerprint) {
            return Some(format!(
                "sink {} does not hold the current token",
                sink.name
            ));
        }
        if proved.is_none_or(|(number, _)| number != current.number) {
            return Some(format!("sink {} is not proved", sink.name));
        }
        if sink.notify.is_some() && world.place_of(sink).is_some_and(|place| place.untold) {
            return Some(format!("the consumer of sink {} was not told", sink.name));
        }
    }
    let now = world.out.now;
    let mut old = state
        .previous()
        .filter(|generation| retires_after(&world.policy, generation).is_some_and(|at| at <= now));
    if let Some(old) = old.next() {
        return Some(format!("generation {} is alive past its time", old.number));
    }
    let mut adopted = state
        .adopted(world.policy.retention.foreign)
        .filter(|(token, it)| {
            let is_due = adopted_retires_after(&world.policy, it).is_some_and(|at| at <= now);
            is_due && alive.contains(token) && world.out.flow.holds != Some(**token)
        });
    if adopted.next().is_some() {
        return Some("an adopted token is alive past its time".to_owned());
    }
    let known = |token: &Fingerprint| {
        state.by_fingerprint(token).is_some()
            || state.foreign.contains_key(token)
            || world.maker(token) == Maker::Sibling
    };
    if !alive.iter().all(known) {
        return Some("a token on the server is known to nobody".to_owned());
    }
    world
        .incidents()
        .first()
        .map(|incident| format!("{} is an open incident", incident.kind))
}

/// Whose consumer has yet to say what it uses.
fn unsaid(world: &World) -> Option<String> {
    let mut silent = world.policy.sinks.iter().filter(|sink| {
        let record = world.state.sinks.get(&sink.name);
        let missing = |acknowledge| {
            record.is_some_and(|record| unacknowledged(acknowledge, record).is_some())
        };
        sink.acknowledge.as_ref().is_some_and(missing)
    });
    silent.next().map(|sink| {
        format!(
            "the consumer of sink {} does not say that it uses it",
            sink.name
        )
    })
}

/// How long it may take: each wait of the policy, and some of them twice. The next rotation is none
/// of them, unless it comes sooner.
fn patience(policy: &AccountPolicy) -> Duration {
    let AccountPolicy {
        retention,
        retry,
        check_every,
        ..
    } = policy;
    let said = policy
        .sinks
        .iter()
        .filter_map(|sink| sink.acknowledge.as_ref())
        .map(|acknowledge| acknowledge.within)
        .max();
    let once =
        retention.max_age + retention.overlap + retry.rejected_login + said.unwrap_or_default();
    let once = once + Duration::from_secs(3600);
    once + (*check_every + retry.max) * 2
}

/// Goes on fairly until all is well. `healthy` holds the states from which that is known to come to
/// pass, and is added to. Answers how many moves it took.
pub(crate) fn go_on_fairly(world: &mut World, healthy: &mut HashSet<Key>) -> Result<usize, Broken> {
    mend(world);
    let latest = world.out.now + patience(&world.policy);
    let mut road = Vec::new();
    for moves in 0..MOST_MOVES {
        let key = world.key();
        let is_well =
            world.rests_until.is_some() && ailment(world).or_else(|| unsaid(world)).is_none();
        if is_well || healthy.contains(&key) {
            healthy.extend(road);
            healthy.insert(key);
            return Ok(moves);
        }
        road.push(key);
        if world.out.now > latest {
            break;
        }
        if world.rests_until.is_none() {
            world.step(Fault::None)?;
        } else if !heed_incidents(world)? {
            world.sleep();
        }
    }
    let why = ailment(world).or_else(|| unsaid(world));
    let why = why.unwrap_or_else(|| "a pass comes to no end".to_owned());
    Err(broken(
        Invariant::Liveness,
        format!("though nothing goes wrong any more, {why}"),
    ))
}
