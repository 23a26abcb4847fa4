//! `completions`: made from the command line's own description.

use clap::Args;

use crate::console::{Exit, output};

/// Arguments of `completions`.
#[derive(Args)]
pub struct CompletionsArgs {
    /// Which shell
    shell: clap_complete::Shell,
}

pub fn completions(args: &CompletionsArgs) -> Exit {
    // Into memory first: the generator panics if stdout is closed while it writes.
    let mut script = Vec::new();
    let mut command = crate::cli::command();
    clap_complete::generate(args.shell, &mut command, "ringcx-rotator", &mut script);
    output::stdout(&script);
    Exit::Done
}
