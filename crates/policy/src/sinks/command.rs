//! `type = "command"`: a program that is given the token on its standard input.

use std::time::Duration;

use rotator_core::config::{CommandInput, CommandSink, Receipt, SinkKind};

use super::{SinkForm, SinkKindSpec, SinkPlace, SinkType, hidden, receipt};
use crate::issues::Issues;
use crate::source::At;
use crate::table::Table;
use crate::value;

pub(super) const TYPE: SinkType = SinkType {
    name: "command",
    form: SinkForm::Other,
    keys: &[
        "argv",
        "stdin",
        "environment",
        "timeout",
        "receipt",
        "read-back",
    ],
    read: |table| Box::new(CommandSpec::read(table)),
};

const TIMEOUT: Duration = Duration::from_secs(30);

struct CommandSpec {
    argv: Option<At<Vec<String>>>,
    stdin: Option<At<CommandInput>>,
    environment: Option<At<Vec<(String, String)>>>,
    timeout: Option<At<Duration>>,
    receipt: Option<At<Receipt>>,
    read_back: Option<At<Vec<String>>>,
}

impl CommandSpec {
    fn read(table: &mut Table<'_>) -> Self {
        let inputs = [("json", CommandInput::Json), ("token", CommandInput::Token)];
        let content = value::environment_value;
        Self {
            argv: table.required_list("argv", &value::ARGUMENT),
            stdin: table.choice("stdin", &inputs),
            environment: table.pairs("environment", value::VARIABLE.parse, content),
            timeout: table.value("timeout", &value::TIME_SPAN),
            receipt: receipt(table),
            read_back: table
                .has("read-back")
                .then(|| table.required_list("read-back", &value::ARGUMENT))
                .flatten(),
        }
    }
}

impl SinkKindSpec for CommandSpec {
    fn resolve(&self, _place: &SinkPlace<'_>, _issues: &mut Issues) -> Option<SinkKind> {
        let Self {
            argv,
            stdin,
            environment,
            timeout,
            receipt,
            read_back,
        } = self;
        Some(SinkKind::Command(CommandSink {
            argv: argv.as_ref()?.value.clone(),
            stdin: At::or(stdin, CommandInput::Json),
            environment: hidden(environment),
            timeout: At::or(timeout, TIMEOUT),
            receipt: At::or(receipt, Receipt::Status),
            read_back: read_back.as_ref().map(|at| at.value.clone()),
        }))
    }

    fn check(&self, issues: &mut Issues) {
        let programs = [("argv", &self.argv), ("read-back", &self.read_back)];
        for (key, program) in programs {
            // An empty list has been recorded when it was read.
            let Some(At { value: argv, span }) = program else {
                continue;
            };
            if argv
                .first()
                .is_some_and(|program| !value::is_program(program))
            {
                let help = "write its whole path, such as \"/usr/local/bin/push-token\"; there is \
                            no shell";
                issues
                    .error(
                        *span,
                        format!("the program of `{key}` has no absolute path"),
                    )
                    .help(help.to_owned());
            }
        }
    }
}
