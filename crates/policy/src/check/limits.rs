//! Whether schedule, retention and retry of an account go together, defaults included.

use std::collections::HashMap;
use std::time::Duration;

use rotator_core::config::{CronExpr, Timing};
use rotator_core::span::format_duration;

use crate::issues::Issues;
use crate::parse::AccountSpec;
use crate::resolve::{Setting, Tuning};
use crate::source::Span;
use crate::value;

/// The tunings are those of the accounts, in the same order.
pub(super) fn check(accounts: &[AccountSpec], tunings: &[Tuning], issues: &mut Issues) {
    let mut gaps = Gaps::default();
    for (account, tuning) in accounts.iter().zip(tunings) {
        retry(tuning, account.span, issues);
        overlap(tuning, account.span, issues);
        // A cron line without a second occurrence has no period; the rest does not apply then.
        let period = match &tuning.timing.value {
            Timing::Cron(cron) => gaps.shortest(cron),
            Timing::Every(period) => Some(*period),
        };
        if let Some(period) = period {
            lifetime(tuning, period, account.span, issues);
            tokens_alive(tuning, period, account.span, issues);
        }
    }
}

/// The shortest time between two rotations, by cron line: accounts that inherit a line share it.
#[derive(Default)]
struct Gaps(HashMap<String, Option<Duration>>);

impl Gaps {
    fn shortest(&mut self, cron: &CronExpr) -> Option<Duration> {
        if let Some(known) = self.0.get(&cron.text) {
            return *known;
        }
        let gap = value::shortest_gap(cron);
        self.0.insert(cron.text.clone(), gap);
        gap
    }
}

/// Where the setting is written, or the account's header.
fn place<T>(setting: &Setting<T>, account: Span) -> Span {
    setting.span.unwrap_or(account)
}

fn retry(tuning: &Tuning, account: Span, issues: &mut Issues) {
    let Tuning { initial, max, .. } = tuning;
    if max.value < initial.value {
        // At the one of the two that is written: a default has no place in a file.
        let place = max.span.or(initial.span).unwrap_or(account);
        issues
            .error(place, "`retry.max` is shorter than `retry.initial`")
            .help(format!(
                "they are {} and {}",
                format_duration(max.value),
                format_duration(initial.value)
            ));
    }
}

fn overlap(tuning: &Tuning, account: Span, issues: &mut Issues) {
    if tuning.overlap.value.is_zero() {
        let message =
            "without `overlap` a token may be deleted as soon as its successor is delivered";
        issues
            .warning(place(&tuning.overlap, account), message)
            .help("leave programs the time to read the new token: `overlap = \"24h\"`".to_owned());
    }
}

/// `max-age` and `jitter`, compared with the time between two rotations.
fn lifetime(tuning: &Tuning, period: Duration, account: Span, issues: &mut Issues) {
    let shown = format_duration(period);
    if tuning.max_age.value < period {
        let message = format!("`max-age` is shorter than the {shown} between two rotations");
        let help =
            "a token stays at least until it has a successor: rotate at least once per `max-age`";
        issues
            .warning(place(&tuning.max_age, account), message)
            .help(help.to_owned());
    }
    if tuning.jitter.value >= period {
        let message = format!("`jitter` is not shorter than the {shown} between two rotations");
        issues.warning(place(&tuning.jitter, account), message);
    }
}

/// Warns where `max-live` is reached before the oldest token may be deleted.
fn tokens_alive(tuning: &Tuning, period: Duration, account: Span, issues: &mut Issues) {
    // A token is deleted once it has reached `max-age` and `overlap` has passed since its
    // successor was promoted, one period after itself. Example: weekly, 14 d and 24 h give
    // max(14 d, 8 d) / 7 d = 2 tokens that are alive when the next one is minted.
    let overlap = tuning.overlap.value.saturating_add(period);
    let lifetime = tuning.max_age.value.max(overlap);
    // `max(1)` keeps a period below a millisecond from dividing by zero.
    let alive = lifetime.as_millis() / period.as_millis().max(1);
    let max_live = tuning.max_live.value;
    if alive < u128::from(max_live) {
        return;
    }
    let shown = format_duration(period);
    let message = format!(
        "`max-live` is {max_live}, but with a rotation every {shown} there are {alive} tokens \
         before the oldest may be deleted"
    );
    let written = tuning.max_live.span.or(tuning.max_age.span);
    let place = written.or(tuning.timing.span).unwrap_or(account);
    issues.warning(place, message).help(
        "rotations will wait: rotate less often, shorten `max-age` or raise `max-live`".to_owned(),
    );
}
