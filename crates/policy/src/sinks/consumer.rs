//! The keys `notify` and `acknowledge` of a sink: what is run after a delivery, and where the
//! program that reads the file confirms the token it uses.

use std::path::PathBuf;
use std::time::Duration;

use rotator_core::config::{Acknowledge, Notify, NotifyWhat, UnitAction};

use crate::defaults;
use crate::source::At;
use crate::table::Table;
use crate::value;

/// Both keys, as they were written.
#[derive(Default)]
pub(crate) struct ConsumerSpec {
    pub notify: Option<NotifySpec>,
    pub acknowledge: Option<AcknowledgeSpec>,
}

/// `notify = { … }`
pub(crate) struct NotifySpec {
    unit: Option<At<String>>,
    action: Option<At<UnitAction>>,
    argv: Option<At<Vec<String>>>,
    timeout: Option<At<Duration>>,
}

/// `acknowledge = { … }`
pub(crate) struct AcknowledgeSpec {
    pub path: Option<At<PathBuf>>,
    within: Option<At<Duration>>,
}

impl ConsumerSpec {
    pub fn read(table: &mut Table<'_>) -> Self {
        Self {
            notify: table.optional_table("notify", "notify", NotifySpec::read),
            acknowledge: table.optional_table("acknowledge", "acknowledge", AcknowledgeSpec::read),
        }
    }

    /// What is run after a delivery, if anything is. The outer `None` is a faulty `notify`.
    pub fn notify(&self) -> Option<Option<Notify>> {
        match &self.notify {
            Some(spec) => Some(Some(spec.resolve()?)),
            None => Some(None),
        }
    }

    /// Where the token is confirmed, if it is. The outer `None` is a faulty `acknowledge`.
    pub fn acknowledge(&self) -> Option<Option<Acknowledge>> {
        match &self.acknowledge {
            Some(spec) => Some(Some(spec.resolve()?)),
            None => Some(None),
        }
    }
}

impl NotifySpec {
    fn read(table: &mut Table<'_>) -> Self {
        let spec = Self {
            unit: table.value("unit", &value::UNIT),
            action: table.choice("action", &UnitAction::WORDS),
            // Only where it is written: `required_list` would report it as missing beside a `unit`.
            argv: table
                .has("argv")
                .then(|| table.required_list("argv", &value::ARGUMENT))
                .flatten(),
            timeout: table.value("timeout", &value::TIME_SPAN),
        };
        let fault = match (table.has("unit"), table.has("argv")) {
            (true, false) => None,
            (false, true) => spec
                .action
                .as_ref()
                .map(|action| (action.span, "`action` is what systemd does to a `unit`")),
            (true, true) => Some((table.span(), "`notify` has both `unit` and `argv`")),
            (false, false) => Some((table.span(), "`notify` has neither `unit` nor `argv`")),
        };
        if let Some((span, message)) = fault {
            let help = "write `notify = { unit = \"NAME.service\" }` or \
                `notify = { argv = [\"/path/to/program\"] }`";
            table.issues().error(span, message).help(help.to_owned());
        }
        spec
    }

    fn resolve(&self) -> Option<Notify> {
        let Self {
            unit,
            action,
            argv,
            timeout,
        } = self;
        let what = match (unit, argv) {
            (Some(unit), None) => NotifyWhat::Unit {
                unit: unit.value.clone(),
                // The default starts nothing: a unit that does not run reads the new token once it
                // starts.
                action: At::or(action, UnitAction::TryReloadOrRestart),
            },
            (None, Some(argv)) => NotifyWhat::Program(argv.value.clone()),
            // Recorded as an issue when it was read.
            (Some(_), Some(_)) | (None, None) => return None,
        };
        Some(Notify {
            what,
            timeout: At::or(timeout, defaults::NOTIFY_TIMEOUT),
        })
    }
}

impl AcknowledgeSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            path: table.required("path", &value::FILE_PATH),
            within: table.value("within", &value::TIME_SPAN),
        }
    }

    fn resolve(&self) -> Option<Acknowledge> {
        let Self { path, within } = self;
        Some(Acknowledge {
            path: path.as_ref()?.value.clone(),
            within: At::or(within, defaults::ACKNOWLEDGE_WITHIN),
        })
    }
}
