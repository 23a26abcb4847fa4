//! How those who read a sink are told, and what they are to say.

use super::{or, secs};
use crate::spec::{AcknowledgeSpec, ConsumerSpec, NotifySpec};
use rotator_core::config::{Acknowledge, Notify, NotifyWhat, UnitAction};

/// Both, where they are well written or absent. What is wrong with them was recorded when they were
/// read.
pub(super) fn consumer(spec: ConsumerSpec) -> Option<(Option<Notify>, Option<Acknowledge>)> {
    let ConsumerSpec {
        notify: told,
        acknowledge: heard,
    } = spec;
    let told = match told {
        Some(spec) => Some(notify(spec)?),
        None => None,
    };
    let heard = match heard {
        Some(spec) => Some(acknowledge(spec)?),
        None => None,
    };
    Some((told, heard))
}

fn notify(spec: NotifySpec) -> Option<Notify> {
    let NotifySpec {
        unit,
        action,
        argv,
        timeout,
    } = spec;
    let what = match (unit, argv) {
        (Some(unit), None) => NotifyWhat::Unit {
            unit: unit.value,
            action: or(action, UnitAction::TryReloadOrRestart),
        },
        (None, Some(argv)) => NotifyWhat::Program(argv.value),
        (Some(_), Some(_)) | (None, None) => return None,
    };
    Some(Notify {
        what,
        timeout: or(timeout, secs(60)),
    })
}

fn acknowledge(spec: AcknowledgeSpec) -> Option<Acknowledge> {
    let AcknowledgeSpec { path, within } = spec;
    Some(Acknowledge {
        path: path?.value,
        within: or(within, secs(2 * 60 * 60)),
    })
}
