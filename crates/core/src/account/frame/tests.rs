//! A clock that is set, and what becomes of the times recorded before.

use super::*;
use crate::event::{BackoffKey, GenerationNo, IncidentKind, MintSource};
use crate::secret::Fingerprint;
use crate::testing::start;

const HOUR: i64 = 3600;

/// A machine with a clock that can be set. True time is the server's.
struct Machine {
    state: AccountState,
    /// Seconds of true time since [`start`].
    now: i64,
    /// By how much the local clock is ahead.
    ahead: i64,
    boot: &'static str,
    booted: i64,
    server_tells: bool,
}

impl Machine {
    fn new(ahead: i64) -> Self {
        Self {
            state: AccountState::default(),
            now: 0,
            ahead,
            boot: "first",
            booted: -HOUR,
            server_tells: false,
        }
    }

    fn local(&self) -> DateTime<Utc> {
        start() + TimeDelta::seconds(self.now + self.ahead)
    }

    fn reading(&self) -> ClockReading {
        let base = start() + TimeDelta::seconds(self.booted + self.ahead);
        let skew = SkewBounds::NONE.moved(self.ahead * 1000);
        ClockReading {
            boot: self.boot.to_owned(),
            base_ms: base.timestamp_millis(),
            skew: self.server_tells.then_some(skew),
        }
    }

    fn happens(&mut self, event: &Event) {
        let (at, reading) = (self.local(), self.reading());
        if let Some(step) = self.state.clock_step(at, &reading) {
            let seq = self.state.seq + 1;
            self.state.apply_row(seq, at, Some(&reading), &step.event());
            assert_eq!(self.state.clock_step(at, &reading), None, "{step:?}");
        }
        let seq = self.state.seq + 1;
        self.state.apply_row(seq, at, Some(&reading), event);
    }

    fn reboots(&mut self, boot: &'static str) {
        (self.boot, self.booted, self.server_tells) = (boot, self.now, false);
    }

    fn mints(&mut self, number: u64) {
        let generation = GenerationNo(number);
        self.happens(&Event::Minted {
            generation,
            fingerprint: Fingerprint::of(&number.to_be_bytes()),
            how: MintSource::Answered,
        });
        self.happens(&Event::Verified { generation });
        self.happens(&Event::Promoted { generation });
    }

    /// Looks at the clock.
    fn looks(&mut self) {
        self.happens(&Event::RotationAsked);
    }

    /// Seconds since this generation was minted, and since it was replaced.
    fn ages(&self, number: u64) -> (i64, Option<i64>) {
        let generation = &self.state.generations[&GenerationNo(number)];
        let age = |at: DateTime<Utc>| (self.local() - at).num_seconds();
        (age(generation.minted_at), generation.superseded_at.map(age))
    }

    /// Two tokens, an hour apart; an hour later.
    fn of_two_tokens(ahead: i64) -> Self {
        let mut machine = Self::new(ahead);
        machine.server_tells = true;
        machine.mints(1);
        machine.now += HOUR;
        machine.mints(2);
        machine.now += HOUR;
        machine
    }
}

#[test]
fn a_clock_that_is_set_while_the_machine_runs_makes_no_token_older_or_younger() {
    for ahead in [0, -2 * HOUR, 60 * 24 * HOUR, 240] {
        for server_tells in [false, true] {
            for later in [0, 2 * HOUR, -2 * HOUR, -240, 1] {
                let mut machine = Machine::of_two_tokens(ahead);
                machine.server_tells = server_tells;
                machine.ahead = later;
                machine.looks();
                assert_eq!(machine.ages(1), (2 * HOUR, Some(HOUR)), "{ahead} {later}");
                assert_eq!(machine.ages(2), (HOUR, None), "{ahead} {later}");
            }
        }
    }
}

#[test]
fn steps_too_small_to_tell_count_together() {
    let mut machine = Machine::of_two_tokens(0);
    let mut reading = machine.reading();
    let at = machine.local();
    for by_ms in [100, 200, 300] {
        reading.base_ms += 100;
        let stepped = machine.state.clock_step(at, &reading).is_some();
        assert_eq!(stepped, by_ms >= SMALLEST_STEP_MS, "{by_ms}");
        let seq = machine.state.seq + 1;
        machine
            .state
            .apply_row(seq, at, Some(&reading), &Event::ClockAgreed);
    }
}

#[test]
fn a_clock_that_is_set_while_the_machine_is_off_is_found_by_the_servers_date() {
    for ahead in [0, -2 * HOUR, 60 * 24 * HOUR, 240] {
        for later in [0, 2 * HOUR, -2 * HOUR, -240, -40 * 365 * 24 * HOUR] {
            let mut machine = Machine::of_two_tokens(ahead);
            machine.now += HOUR;
            machine.ahead = later;
            machine.reboots("second");
            // Before the server has told anything, no time lies in the future.
            machine.looks();
            assert!(machine.ages(2).0 >= 0, "{ahead} {later}");
            machine.now += 10;
            machine.server_tells = true;
            machine.looks();
            let expected = (3 * HOUR + 10, Some(2 * HOUR + 10));
            assert_eq!(machine.ages(1), expected, "{ahead} {later}");
            // Set right at last.
            machine.ahead = 0;
            machine.looks();
            assert_eq!(machine.ages(1), expected, "{ahead} {later}");
        }
    }
}

/// What is recorded between a start and the server's first answer is by the clock as it is then.
#[test]
fn times_from_before_and_after_a_start_are_told_apart() {
    for ahead in [-2 * HOUR, 2 * HOUR, 240, -240] {
        let mut machine = Machine::of_two_tokens(ahead);
        machine.happens(&Event::Minted {
            generation: GenerationNo(3),
            fingerprint: Fingerprint::of(b"3"),
            how: MintSource::Answered,
        });
        machine.ahead = 0;
        machine.reboots("second");
        machine.now += 60;
        machine.happens(&Event::Promoted {
            generation: GenerationNo(3),
        });
        machine.now += 60;
        machine.server_tells = true;
        machine.looks();
        assert_eq!(machine.ages(2), (HOUR + 120, Some(60)), "{ahead}");
        assert_eq!(machine.ages(3), (120, None), "{ahead}");
    }
}

#[test]
fn of_a_start_at_which_the_server_told_nothing_the_latest_is_assumed() {
    let mut machine = Machine::of_two_tokens(0);
    machine.reboots("second");
    machine.ahead = -HOUR;
    machine.mints(3);
    machine.now += HOUR;
    machine.ahead = 5 * HOUR;
    machine.reboots("third");
    machine.looks();
    machine.now += 60;
    machine.server_tells = true;
    machine.looks();
    assert_eq!(machine.ages(1), (3 * HOUR + 60, Some(2 * HOUR + 60)));
    // That the second start had another skew, nobody can tell: from the third one on it counts.
    assert_eq!(machine.ages(2), (2 * HOUR + 60, Some(60)));
    assert_eq!(machine.ages(3), (60, None));
}

#[test]
fn a_journal_without_readings_is_believed_but_for_what_lies_in_the_future() {
    let mut machine = Machine::new(0);
    let minted = |number| Event::Minted {
        generation: GenerationNo(number),
        fingerprint: Fingerprint::of(&[number as u8]),
        how: MintSource::Answered,
    };
    let ahead = start() + TimeDelta::days(60);
    machine.state.apply(1, start(), &minted(1));
    machine.state.apply(2, ahead, &minted(2));
    machine.now = HOUR;
    machine.looks();
    machine.server_tells = true;
    machine.now = 2 * HOUR;
    machine.looks();
    assert_eq!(machine.ages(1).0, 2 * HOUR);
    assert_eq!(machine.ages(2).0, 0);
}

/// A process whose steady clock is set along with the local one.
#[test]
fn an_age_is_no_more_than_by_the_server_where_the_steady_clock_saw_no_step() {
    let mut machine = Machine::of_two_tokens(-2 * HOUR);
    (machine.ahead, machine.booted) = (0, machine.booted - 2 * HOUR);
    machine.looks();
    let (age, replaced) = machine.ages(1);
    assert!(
        age <= 2 * HOUR && replaced <= Some(HOUR),
        "{age} {replaced:?}"
    );
    // Back by more than the machine has run: it is no clock that nothing sets.
    let mut machine = Machine::of_two_tokens(60 * 24 * HOUR);
    (machine.ahead, machine.booted) = (0, machine.booted + 60 * 24 * HOUR);
    machine.looks();
    assert_eq!(machine.ages(1), (2 * HOUR, Some(HOUR)));
}

/// As a virtual machine that is suspended: its steady clock stands still, and its local one is set
/// right afterwards.
#[test]
fn time_in_which_the_machine_was_frozen_has_passed_if_the_server_says_so() {
    let mut machine = Machine::of_two_tokens(0);
    (machine.now, machine.booted) = (machine.now + 25 * HOUR, machine.booted + 25 * HOUR);
    machine.server_tells = false;
    machine.looks();
    assert_eq!(machine.ages(1).0, 2 * HOUR);
    machine.server_tells = true;
    machine.looks();
    let (age, replaced) = machine.ages(1);
    assert!((27 * HOUR - 3..=27 * HOUR).contains(&age), "{age}");
    assert!(replaced.is_some_and(|age| (26 * HOUR - 3..=26 * HOUR).contains(&age)));
}

/// Two front ends, one of them five minutes off: times must not run away from now for ever.
#[test]
fn a_server_whose_date_goes_back_and_forth_moves_times_once_at_the_most() {
    let mut machine = Machine::of_two_tokens(0);
    for turn in 0..10 {
        let (at, mut reading) = (machine.local(), machine.reading());
        let off = if turn % 2 == 0 { -299_000 } else { 0 };
        reading.skew = Some(SkewBounds::NONE.moved(off));
        let seq = machine.state.seq + 1;
        machine
            .state
            .apply_row(seq, at, Some(&reading), &Event::ClockAgreed);
        machine.now += HOUR;
    }
    machine.looks();
    assert_eq!(machine.ages(1).0, 12 * HOUR);
}

#[test]
fn a_hold_lasts_as_long_as_it_was_meant_to() {
    let mut machine = Machine::new(0);
    machine.looks();
    machine.happens(&Event::AttemptFailed {
        lane: BackoffKey::Login,
        incident: IncidentKind::LoginFailed,
        error: String::new(),
        failures: 1,
        next_attempt_at: machine.local() + TimeDelta::hours(1),
        rejected: None,
    });
    for ahead in [30 * 24 * HOUR, -HOUR] {
        machine.ahead = ahead;
        machine.looks();
        let until = machine
            .state
            .held_until(&BackoffKey::Login, machine.local());
        assert_eq!(
            until,
            Some(machine.local() + TimeDelta::hours(1)),
            "{ahead}"
        );
    }
}
