//! Every time that a state keeps, so that all of them can be moved at once.

use chrono::{DateTime, TimeDelta, Utc};

use crate::account::{
    AccountState, Adoption, ForeignToken, Generation, LostMint, RingexUse, SinkRecord,
};

/// What a time says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeUse {
    /// When a token came to be, or was replaced: the age of tokens rests on it.
    Retention,
    /// When something else happened.
    Other,
}

type Change<'a> = &'a mut dyn FnMut(DateTime<Utc>, TimeUse) -> DateTime<Utc>;

/// `time` and so many milliseconds, or `time` itself where that overflows.
pub(super) fn moved(time: DateTime<Utc>, by_ms: i64) -> DateTime<Utc> {
    TimeDelta::try_milliseconds(by_ms)
        .and_then(|by| time.checked_add_signed(by))
        .unwrap_or(time)
}

impl AccountState {
    /// Every time at which something happened. A time that is to come stays as far from the one
    /// that it was reckoned from.
    pub(super) fn for_each_time(&mut self, change: Change<'_>) {
        // Every field by its name: a new one does not compile until its times are moved as well.
        let Self {
            seq: _,
            lines,
            generations,
            last_generation: _,
            foreign,
            open_mint,
            lost_mints,
            ambiguous_mints,
            sinks,
            released_sinks,
            lanes,
            asked_at,
            logins,
            ringex,
            password_reset_since,
            clock,
            token_lost,
            open_delete: _,
            server_quiet,
            accepted_secret: _,
            frame: _,
        } = self;
        let others = lines.iter_mut().map(|line| &mut line.since);
        let others = others.chain(open_mint.iter_mut().map(|mint| &mut mint.at));
        let others = others.chain(ambiguous_mints.iter_mut().map(|mint| &mut mint.at));
        let others = others
            .chain(asked_at)
            .chain(logins)
            .chain(password_reset_since);
        let others = others.chain(clock.iter_mut().map(|trouble| &mut trouble.since));
        let others = others.chain(token_lost.iter_mut().map(|loss| &mut loss.at));
        others.for_each(|time| _ = other(time, change));
        generations
            .values_mut()
            .for_each(|generation| of_generation(generation, change));
        foreign
            .values_mut()
            .for_each(|token| of_foreign(token, change));
        sinks
            .values_mut()
            .chain(released_sinks.values_mut())
            .for_each(|record| of_sink(record, change));
        for failure in lanes.values_mut() {
            other(&mut failure.since, change);
            let by = other(&mut failure.last, change);
            shift(&mut failure.next_attempt_at, by);
        }
        if let Some(quiet) = server_quiet {
            let by = other(&mut quiet.since, change);
            shift(&mut quiet.until, by);
        }
        lost_mints
            .iter_mut()
            .for_each(|lost| of_lost_mint(lost, change));
        of_ringex(ringex, change);
    }
}

fn of_generation(generation: &mut Generation, change: Change<'_>) {
    retention(&mut generation.minted_at, change);
    if let Some(time) = &mut generation.superseded_at {
        retention(time, change);
    }
    let verified = generation.verified_at.iter_mut();
    let others = verified
        .chain(&mut generation.promoted_at)
        .chain(&mut generation.lost_at)
        .chain(&mut generation.unlisted_since)
        .chain(generation.retired.iter_mut().map(|(time, _)| time));
    others.for_each(|time| _ = other(time, change));
}

fn of_foreign(token: &mut ForeignToken, change: Change<'_>) {
    retention(&mut token.first_seen_at, change);
    token
        .superseded_at
        .iter_mut()
        .for_each(|time| retention(time, change));
    if let Some(Adoption { at, left_at, .. }) = &mut token.adoption {
        retention(at, change);
        left_at.iter_mut().for_each(|time| retention(time, change));
    }
}

fn of_sink(record: &mut SinkRecord, change: Change<'_>) {
    other(&mut record.bound_at, change);
    let proved = record.proved.iter_mut().map(|(_, time)| time);
    let drifted = record.drifted.iter_mut().map(|(time, _)| time);
    let acknowledged = record.acknowledged.iter_mut().map(|(_, time)| time);
    proved
        .chain(drifted)
        .chain(acknowledged)
        .for_each(|time| _ = other(time, change));
}

fn of_lost_mint(lost: &mut LostMint, change: Change<'_>) {
    // Journals from before that was kept: it is reckoned from itself.
    let mut since = lost.since.unwrap_or(lost.open_until);
    let by = match lost.since {
        Some(_) => other(&mut since, change),
        None => return,
    };
    lost.since = Some(since);
    shift(&mut lost.open_until, by);
}

fn of_ringex(ringex: &mut RingexUse, change: Change<'_>) {
    let mut by = TimeDelta::zero();
    for attempt in &mut ringex.attempts {
        // The last one is the latest, and its answer asked for the pause.
        by = other(attempt, change);
    }
    ringex
        .backoff_until
        .iter_mut()
        .for_each(|until| shift(until, by));
}

fn retention(time: &mut DateTime<Utc>, change: Change<'_>) {
    *time = change(*time, TimeUse::Retention);
}

/// Answers by how much it was moved.
fn other(time: &mut DateTime<Utc>, change: Change<'_>) -> TimeDelta {
    let was = *time;
    *time = change(was, TimeUse::Other);
    *time - was
}

fn shift(time: &mut DateTime<Utc>, by: TimeDelta) {
    *time = time.checked_add_signed(by).unwrap_or(*time);
}
