//! Arguments to exit code.

use std::process::ExitCode;

use clap::Parser;
use ringcx_rotator::cli::Cli;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => ringcx_rotator::cli::main(cli),
        Err(answer) => ringcx_rotator::cli::answer(&answer),
    }
}
