//! Due times, with any time as an argument.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::FixedOffset;
use proptest::prelude::*;

use super::*;
use crate::plan::tests::scene::{Scene, cron, days, every, file, hours, minutes};

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text)
        .unwrap()
        .with_timezone(&Utc)
}

/// The runs of this line after `from`, on the wall clock of its zone.
#[track_caller]
fn check(zone: &str, line: &str, from: &str, expected: &[&str]) {
    let schedule = cron(line, zone);
    let mut anchor = at(from);
    let mut found = Vec::new();
    for _ in expected {
        anchor = next_run(&schedule, "sales-ivr", anchor).unwrap();
        let wall = schedule.timezone.wall(anchor).unwrap();
        let offset =
            FixedOffset::east_opt((wall - anchor.naive_utc()).num_seconds() as i32).unwrap();
        found.push(
            anchor
                .with_timezone(&offset)
                .format("%m-%d %H:%M:%S %z")
                .to_string(),
        );
    }
    assert_eq!(found, expected, "{line} in {zone} after {from}");
}

#[test]
fn lines_of_five_and_six_fields_names_and_both_sundays_are_read() {
    let from = "2026-11-20T12:00:00Z";
    for line in [
        "30 3 * * SUN",
        "30 3 * * sun",
        "30 3 * * 0",
        "30 3 * * 7",
        "0 30 3 * * SUN",
    ] {
        check(
            "UTC",
            line,
            from,
            &["11-22 03:30:00 +0000", "11-29 03:30:00 +0000"],
        );
    }
    check(
        "UTC",
        "15 30 3 * * *",
        from,
        &["11-21 03:30:15 +0000", "11-22 03:30:15 +0000"],
    );
    check("UTC", "0 0 1 JAN *", from, &["01-01 00:00:00 +0000"]);
    check(
        "UTC",
        "0 0 * * 5-7",
        from,
        &[
            "11-21 00:00:00 +0000",
            "11-22 00:00:00 +0000",
            "11-27 00:00:00 +0000",
        ],
    );
}

#[test]
fn a_time_that_the_clocks_skip_runs_once_right_after_the_gap() {
    let runs = [
        "03-28 02:30:00 +0100",
        "03-29 03:00:00 +0200",
        "03-30 02:30:00 +0200",
    ];
    check("Europe/Berlin", "30 2 * * *", "2026-03-28T00:00:00Z", &runs);
    let runs = ["03-08 03:00:00 -0400", "03-09 02:30:00 -0400"];
    check(
        "America/New_York",
        "30 2 * * *",
        "2026-03-08T05:00:00Z",
        &runs,
    );
    // Half an hour only: 02:00 becomes 02:30.
    let runs = ["10-04 02:30:00 +1100", "10-05 02:15:00 +1100"];
    check(
        "Australia/Lord_Howe",
        "15 2 * * *",
        "2026-10-03T12:00:00Z",
        &runs,
    );
    // A whole day: Samoa had no 30 December 2011.
    let runs = [
        "12-29 12:00:00 -1000",
        "12-31 00:00:00 +1400",
        "12-31 12:00:00 +1400",
    ];
    check("Pacific/Apia", "0 12 * * *", "2011-12-29T12:00:00Z", &runs);
}

#[test]
fn a_skipped_time_among_others_of_its_line_is_not_lost() {
    let runs = ["03-29 03:00:00 +0200", "03-29 14:30:00 +0200"];
    check(
        "Europe/Berlin",
        "30 2,14 * * *",
        "2026-03-28T20:00:00Z",
        &runs,
    );
    // Only there when the clocks skip it: the run of the year is not lost.
    check(
        "Europe/Berlin",
        "30 2 29 3 *",
        "2026-03-01T00:00:00Z",
        &["03-29 03:00:00 +0200"],
    );
}

#[test]
fn a_time_that_comes_twice_runs_once_the_first_time() {
    let runs = ["10-25 02:30:00 +0200", "10-26 02:30:00 +0100"];
    check("Europe/Berlin", "30 2 * * *", "2026-10-24T20:00:00Z", &runs);
    let runs = ["11-01 01:30:00 -0400", "11-02 01:30:00 -0500"];
    check(
        "America/New_York",
        "30 1 * * *",
        "2026-11-01T00:00:00Z",
        &runs,
    );
    let runs = ["04-05 01:45:00 +1100", "04-06 01:45:00 +1030"];
    check(
        "Australia/Lord_Howe",
        "45 1 * * *",
        "2026-04-04T12:00:00Z",
        &runs,
    );
}

#[test]
fn after_a_rotation_in_the_second_hour_no_run_of_the_first_is_due() {
    // 02:10 for the second time; 02:30 was due, and ran or was skipped, an hour ago.
    let asked = "2026-10-25T02:10:00+01:00";
    check(
        "Europe/Berlin",
        "30 2 * * *",
        asked,
        &["10-26 02:30:00 +0100"],
    );
    check(
        "Europe/Berlin",
        "*/15 * * * *",
        asked,
        &["10-25 03:00:00 +0100"],
    );
}

#[test]
fn a_line_of_intervals_falls_together_in_a_gap_and_pauses_in_an_hour_that_comes_twice() {
    let runs = [
        "03-29 01:45:00 +0100",
        "03-29 03:00:00 +0200",
        "03-29 03:15:00 +0200",
    ];
    check(
        "Europe/Berlin",
        "*/15 * * * *",
        "2026-03-29T01:30:00+01:00",
        &runs,
    );
    let runs = [
        "10-25 02:30:00 +0200",
        "10-25 02:45:00 +0200",
        "10-25 03:00:00 +0100",
    ];
    check(
        "Europe/Berlin",
        "*/15 * * * *",
        "2026-10-25T02:15:00+02:00",
        &runs,
    );
    let runs = [
        "03-29 01:30:00 +0100",
        "03-29 03:00:00 +0200",
        "03-29 03:30:00 +0200",
    ];
    check(
        "Europe/Berlin",
        "30 * * * *",
        "2026-03-29T01:00:00+01:00",
        &runs,
    );
}

#[test]
fn leap_days_and_leap_seconds_are_times_like_others() {
    let leap_second = at("2016-12-31T23:59:59Z") + TimeDelta::milliseconds(999);
    let schedule = cron("* * * * * *", "UTC");
    assert_eq!(
        next_run(&schedule, "a", leap_second),
        Some(at("2017-01-01T00:00:00Z"))
    );
    check(
        "UTC",
        "0 0 29 2 *",
        "2026-01-01T00:00:00Z",
        &["02-29 00:00:00 +0000"],
    );
    assert_eq!(
        next_run(&cron("0 0 29 2 *", "UTC"), "a", at("2096-03-01T00:00:00Z")),
        Some(at("2104-02-29T00:00:00Z"))
    );
}

#[test]
fn a_schedule_that_never_comes_due_again_is_waited_for_in_no_way() {
    assert_eq!(
        next_run(&cron("0 0 1 1 *", "UTC"), "a", at("5000-01-02T00:00:00Z")),
        None
    );
    assert_eq!(
        next_run(
            &cron("0 0 1 1 *", "Pacific/Apia"),
            "a",
            DateTime::<Utc>::MAX_UTC
        ),
        None
    );
    let mut scene = Scene::new([file("app")]);
    scene.policy.schedule = cron("0 0 1 1 *", "UTC");
    scene.now = at("5000-01-02T00:00:00Z");
    let scene = scene.rotated(1).all_hold(1);
    let scene = scene.listed_as_current([crate::plan::tests::scene::token(1)]);
    // It comes back for the next check and waits for nothing.
    let decision = scene.does("rest").decision();
    assert!(decision.waiting.is_empty(), "{decision:?}");
}

#[test]
fn an_interval_counts_from_the_last_promotion_and_never_overflows() {
    let schedule = every(days(7));
    assert_eq!(
        next_run(&schedule, "a", at("2026-01-01T00:00:00Z")),
        Some(at("2026-01-08T00:00:00Z"))
    );
    let endless = Schedule {
        jitter: Duration::MAX,
        ..every(Duration::MAX)
    };
    assert_eq!(
        next_run(&endless, "a", at("2026-01-01T00:00:00Z")),
        Some(DateTime::<Utc>::MAX_UTC)
    );
}

#[test]
fn missed_runs_collapse_into_one() {
    let scene =
        Scene::with_current([file("app")]).with(|it| it.schedule = cron("0 * * * *", "UTC"));
    let late = scene.next_pass(days(3)).does("look whether sinks are fit");
    let late = late
        .rotated(2)
        .all_hold(2)
        .listed_as_current([1, 2].map(crate::plan::tests::scene::token));
    late.does("rest").waits_for("the next rotation");
}

fn spread(schedule: Schedule, jitter: Duration) -> Schedule {
    Schedule { jitter, ..schedule }
}

#[test]
fn jitter_differs_between_accounts_and_between_occurrences() {
    let schedule = spread(cron("30 3 * * SUN", "UTC"), minutes(10));
    let from = at("2026-11-20T12:00:00Z");
    let accounts = ["sales-ivr", "support-ivr", "a", "b"];
    let runs: BTreeSet<_> = accounts
        .iter()
        .map(|name| next_run(&schedule, name, from))
        .collect();
    assert_eq!(runs.len(), accounts.len());
    let offset = |from| {
        next_run(&schedule, "a", at(from))
            .unwrap()
            .signed_duration_since(at(from))
    };
    assert_ne!(
        offset("2026-11-22T00:00:00Z"),
        offset("2026-11-29T00:00:00Z")
    );
}

#[test]
fn jitter_takes_no_more_than_a_tenth_of_the_time_between_two_runs() {
    let schedule = spread(cron("*/10 * * * *", "UTC"), hours(5));
    let mut widest = TimeDelta::zero();
    for minute in (0..6000).step_by(10) {
        let anchor = at("2026-01-01T00:00:00Z") + TimeDelta::minutes(minute);
        let nominal = anchor + TimeDelta::minutes(10);
        let late = next_run(&schedule, "a", anchor).unwrap() - nominal;
        assert!(
            late >= TimeDelta::zero() && late < TimeDelta::minutes(1),
            "{late}"
        );
        widest = widest.max(late);
    }
    assert!(widest > TimeDelta::seconds(50), "{widest}");
}

#[test]
fn a_restart_between_a_run_and_its_jitter_neither_skips_nor_repeats_it() {
    let with_jitter = |it: &mut crate::config::AccountPolicy| {
        it.schedule = spread(cron("30 3 * * SUN", "UTC"), hours(4));
    };
    let scene = Scene::with_current([file("app")]).with(with_jitter);
    let nominal = at("2026-03-08T03:30:00Z");
    let run = next_run(&scene.policy.schedule, "sales-ivr", scene.now).unwrap();
    assert!(
        run > nominal + TimeDelta::minutes(2) && run < nominal + TimeDelta::hours(4),
        "{run}"
    );

    let mut waiting = scene.restarted();
    waiting.now = nominal + TimeDelta::minutes(1);
    let mut waiting = waiting
        .all_hold(1)
        .listed_as_current([crate::plan::tests::scene::token(1)]);
    assert!(
        waiting
            .decision()
            .waiting
            .iter()
            .any(|wait| wait.until == Some(run)),
        "not skipped"
    );
    waiting.now = run;
    let waiting = waiting.does("look whether sinks are fit");

    let done = waiting.rotated(2).restarted().all_hold(2);
    let done = done
        .listed_as_current([1, 2].map(crate::plan::tests::scene::token))
        .does("rest");
    let next = next_run(&done.policy.schedule, "sales-ivr", done.now).unwrap();
    assert!(next > nominal + TimeDelta::days(7), "not repeated: {next}");
}

const ZONES: [&str; 6] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Sao_Paulo",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn runs_come_after_their_anchor_and_in_its_order(
        zone in prop::sample::select(ZONES.to_vec()),
        line in prop::sample::select(vec!["30 2 * * *", "*/15 * * * *", "0 0 * * *", "30 1,2,3 * * SUN", "15 30 2 * * *"]),
        jitter in 0_u64..100_000,
        seconds in 1_200_000_000_i64..2_000_000_000,
        later in 0_i64..200_000,
    ) {
        let schedule = spread(cron(line, zone), Duration::from_secs(jitter));
        let anchor = DateTime::from_timestamp(seconds, 0).unwrap();
        let run = next_run(&schedule, "a", anchor).unwrap();
        prop_assert!(run > anchor);
        prop_assert_eq!(next_run(&schedule, "a", anchor), Some(run));
        prop_assert!(next_run(&schedule, "a", anchor + TimeDelta::seconds(later)).unwrap() >= run);
        let bare = next_run(&cron(line, zone), "a", anchor).unwrap();
        prop_assert!(run >= bare && run - bare <= TimeDelta::seconds(jitter as i64));
    }
}
