//! What `notify` and `acknowledge` of a sink look like.

use std::path::PathBuf;
use std::time::Duration;

use super::{At, Table, value};
use rotator_core::config::UnitAction;

/// What a sink says of those who read it.
#[derive(Default)]
pub(crate) struct ConsumerSpec {
    pub notify: Option<NotifySpec>,
    pub acknowledge: Option<AcknowledgeSpec>,
}

/// `notify = { … }`
pub(crate) struct NotifySpec {
    pub unit: Option<At<String>>,
    pub action: Option<At<UnitAction>>,
    pub argv: Option<At<Vec<String>>>,
    pub timeout: Option<At<Duration>>,
}

/// `acknowledge = { … }`
pub(crate) struct AcknowledgeSpec {
    pub path: Option<At<PathBuf>>,
    pub within: Option<At<Duration>>,
}

impl ConsumerSpec {
    pub fn read(table: &mut Table<'_>) -> Self {
        Self {
            notify: table.optional_table("notify", "notify", NotifySpec::read),
            acknowledge: table.optional_table("acknowledge", "acknowledge", AcknowledgeSpec::read),
        }
    }
}

impl NotifySpec {
    fn read(table: &mut Table<'_>) -> Self {
        let span = table.span();
        let spec = Self {
            unit: table.value("unit", &value::UNIT),
            action: table.choice("action", &UnitAction::WORDS),
            argv: table
                .has("argv")
                .then(|| table.required_list("argv", &value::ARGUMENT))
                .flatten(),
            timeout: table.value("timeout", &value::TIME_SPAN),
        };
        let help = "write `notify = { unit = \"NAME.service\" }` or `notify = { argv = [\"/path/to/program\"] }`";
        match (table.has("unit"), table.has("argv")) {
            (true, false) | (false, true) => {}
            (true, true) => {
                table
                    .issues()
                    .error(span, "`notify` has both `unit` and `argv`")
                    .help(help.to_owned());
            }
            (false, false) => {
                table
                    .issues()
                    .error(span, "`notify` says neither `unit` nor `argv`")
                    .help(help.to_owned());
            }
        }
        if let (Some(action), true, false) = (&spec.action, table.has("argv"), table.has("unit")) {
            let at = action.span;
            table
                .issues()
                .error(at, "`action` is what systemd does to a `unit`")
                .help(help.to_owned());
        }
        spec
    }
}

impl AcknowledgeSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            path: table.required("path", &value::FILE_PATH),
            within: table.value("within", &value::TIME_SPAN),
        }
    }
}
