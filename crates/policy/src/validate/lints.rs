//! What is possible but hardly meant: warnings, and the few relations that cannot work.

use std::time::Duration;

use super::Context;
use super::limits::{Setting, Tuning};
use crate::source::Span;
use crate::spec::{AccountSpec, SinkSpec};
use rotator_core::config::Timing;
use rotator_core::span::format_duration;

/// Schedule, retention and retry as they hold for one account, whose header is at `account`.
pub(super) fn tuning(tuning: &Tuning, account: Span, context: &mut Context<'_>) {
    let issues = &mut *context.issues;
    if tuning.max.value < tuning.initial.value {
        let place = tuning.max.span.or(tuning.initial.span).unwrap_or(account);
        issues
            .error(place, "`retry.max` is shorter than `retry.initial`")
            .help(format!(
                "they are {} and {}",
                format_duration(tuning.max.value),
                format_duration(tuning.initial.value)
            ));
    }
    if tuning.overlap.value.is_zero() {
        let message = "without `overlap` a token may go the moment its successor is delivered";
        issues
            .warning(place(&tuning.overlap, account), message)
            .help("give those who read it time to read it again: `overlap = \"24h\"`".to_owned());
    }
    let period = match &tuning.timing.value {
        Timing::Cron(cron) => context.gap(cron),
        Timing::Every(period) => Some(*period),
    };
    if let Some(period) = period {
        rhythm(tuning, period, account, context);
    }
}

/// How retention and jitter go with the time between rotations.
fn rhythm(tuning: &Tuning, period: Duration, account: Span, context: &mut Context<'_>) {
    let issues = &mut *context.issues;
    let shown = format_duration(period);
    if tuning.max_age.value < period {
        let message = format!("`max-age` is shorter than the {shown} between two rotations");
        issues
            .warning(place(&tuning.max_age, account), message)
            .help(
                "a token stays at least until it has a successor: rotate as often as it should go"
                    .to_owned(),
            );
    }
    if tuning.jitter.value >= period {
        let message = format!("`jitter` is not shorter than the {shown} between two rotations");
        issues.warning(place(&tuning.jitter, account), message);
    }
    // At each rotation those are alive that are younger than both clocks allow them to go.
    let lifetime = tuning
        .max_age
        .value
        .max(tuning.overlap.value.saturating_add(period));
    let alive = lifetime.as_millis() / period.as_millis().max(1);
    if alive >= u128::from(tuning.max_live.value) {
        let message = format!(
            "`max-live` is {}, but with a rotation every {shown} there are {alive} tokens before the oldest may go",
            tuning.max_live.value
        );
        let place = tuning
            .max_live
            .span
            .or(tuning.max_age.span)
            .or(tuning.timing.span)
            .unwrap_or(account);
        issues.warning(place, message).help(
            "rotations will wait: rotate less often, shorten `max-age` or raise `max-live`"
                .to_owned(),
        );
    }
}

fn place<T>(set: &Setting<T>, account: Span) -> Span {
    set.span.unwrap_or(account)
}

/// `every` has no time zone, so one beside it is a misunderstanding.
pub(super) fn every_sets_no_timezone(spec: &AccountSpec, context: &mut Context<'_>) {
    let schedule = &spec.tuning.schedule;
    if let (None, Some(_), Some(timezone)) = (&schedule.cron, &schedule.every, &schedule.timezone) {
        context
            .issues
            .warning(timezone.span, "`timezone` means nothing to `every`");
    }
}

/// An account whose tokens reach nobody, or nobody for certain.
pub(super) fn sinks(spec: &AccountSpec, context: &mut Context<'_>) {
    let best_effort = |sink: &SinkSpec| {
        sink.required
            .as_ref()
            .is_some_and(|required| !required.value)
    };
    if spec.sinks.is_empty() {
        context
            .issues
            .warning(
                spec.span,
                "no sink: the tokens of this account reach nobody",
            )
            .help("add an [[account.sink]] table".to_owned());
    } else if spec.sinks.iter().all(best_effort) {
        context
            .issues
            .warning(
                spec.span,
                "no sink is required: a token counts as delivered though it reached nobody",
            )
            .help("leave `required = false` out of one sink".to_owned());
    }
}
